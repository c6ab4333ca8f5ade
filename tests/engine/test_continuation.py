"""Songs that go on."""

import numpy as np
import pytest

from engine.errors import InstrumentError
from tests.engine.generated import tiny_song


def played(model, count, temperature=1.0, seed=0):
    rng, state, parts = np.random.default_rng(seed), model.begin(0), []
    for _ in range(count):
        part, state = model.next(state, temperature, rng)
        assert part.shape == (2, model.block) and np.isfinite(part).all()
        parts.append(part[0])
    return np.concatenate(parts)


@pytest.mark.parametrize("kind", ["bands", "spectrum"])
def test_blocks_follow_without_a_seam(kind):
    model = tiny_song(kind)
    sound = played(model, 40)
    assert np.abs(sound).max() > 1e-3
    steps = np.abs(np.diff(sound))
    seams = steps[np.arange(1, 40) * model.block - 1]
    assert seams.mean() < 1.5 * steps.mean()


def test_without_overlap_the_original_clicks_at_its_seams():
    from dataclasses import replace

    model = tiny_song("spectrum")
    size = 2 * (1000 // 2 + 1)
    tone = np.sin(2 * np.pi * 100.3 * np.arange(44_100) / 44_100).astype(np.float32)
    plain = replace(model.codec, overlap=0, mean=np.zeros(size, np.float32), deviations=np.ones(size, np.float32))
    blocks = plain.of(tone)[::3]
    rng = np.random.default_rng(0)
    steps = np.abs(np.diff(plain.sound(plain.start(rng), blocks, rng)[0]))
    assert steps[np.arange(1, len(blocks)) * 1000 - 1].max() > 10 * np.median(steps)


@pytest.mark.parametrize("kind", ["bands", "spectrum"])
def test_what_is_heard_sounds_again(kind):
    codec = tiny_song(kind).codec
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(44_100) / 44_100).astype(np.float32)
    if kind == "spectrum":
        rng = np.random.default_rng(0)
        again = codec.sound(codec.start(rng), codec.of(tone), rng)[0]
        inside = slice(2000, len(again) - 2000)
        # its deviations clip at 8: levels are what the data had
        assert np.corrcoef(again[inside], tone[: len(again)][inside])[0, 1] > 0.5
    else:
        assert codec.of(tone).shape == (codec.bands.stft.frame_count(len(tone)) // codec.frames, codec.size)


def test_seed_and_temperature_decide():
    model = tiny_song()
    assert np.array_equal(played(model, 6, seed=1), played(model, 6, seed=1))
    assert not np.array_equal(played(model, 6, seed=1), played(model, 6, seed=2))
    rng = np.random.default_rng
    state = model.begin(1)
    likely = [model.drawn(state.said, 0.0, rng(seed)) for seed in range(3)]
    assert np.array_equal(likely[0], likely[1])
    calm = np.std([model.drawn(state.said, 0.3, rng(seed)) for seed in range(200)], axis=0).mean()
    wild = np.std([model.drawn(state.said, 1.5, rng(seed)) for seed in range(200)], axis=0).mean()
    assert calm < 0.5 * wild


def test_states_are_never_changed():
    model, rng = tiny_song(), np.random.default_rng
    state = model.begin(0)
    first = model.next(state, 1.0, rng(0))[0]
    model.next(model.next(state, 1.0, rng(1))[1], 1.0, rng(2))
    assert np.array_equal(first, model.next(state, 1.0, rng(0))[0])


def test_it_goes_on_from_a_sound_of_ones_own():
    model = tiny_song()
    noise = np.random.default_rng(0).standard_normal((2, 44_100)).astype(np.float32) * 0.1
    assert model.next(model.begin(noise), 1.0, np.random.default_rng(0))[0].any()
    with pytest.raises(InstrumentError, match="too short"):
        model.begin(noise[:, :3000])
    with pytest.raises(InstrumentError, match="nothing in this sound"):
        model.begin(np.full((2, 44_100), np.nan, np.float32))
    with pytest.raises(IndexError):
        model.begin(7)
