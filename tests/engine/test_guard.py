"""What no voice may write: found, silenced, its voice ended, and told once. No NaN stays anywhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.audio.limiter import Limiter
from engine.errors import InstrumentError
from engine.guard import LOUDEST, faulty_sentence, is_sound
from engine.knobs import KNOBS
from engine.live import LiveEngine
from engine.midi.events import knob, note_off, note_on
from engine.midi.files import read_score
from engine.render import RenderOptions, render_file
from engine.synth import Synth
from engine.voices.models import PartialKeys
from tests.engine.generated import pads_instrument, song_instrument
from tests.scores import write_midi

NAN, INF = float("nan"), float("inf")
BAD = [NAN, INF, -INF, 3e38, 1e6]


@pytest.mark.parametrize("value", [*BAD, 1e20, -LOUDEST * 1.01])
def test_one_bad_sample_is_found_wherever_it_is(value):
    block = np.full((2, 300), 0.9, np.float32)
    assert is_sound(block)
    for place in ((0, 0), (1, 299), (0, 77)):
        bad = block.copy()
        bad[place] = value
        assert not is_sound(bad)


def test_what_is_only_loud_is_sound():
    assert is_sound(np.full((2, 4096), 500, np.float32))  # its energy is over the square of the limit
    assert is_sound(np.zeros((2, 0), np.float32))
    assert is_sound(np.full((2, 64), -LOUDEST, np.float32))
    assert not is_sound(np.full((2, 64), 2.0, np.float32), 1.0)


def poisoned(tiny, key, value):
    """The tiny instrument whose reference of one key is a value that loading would refuse."""
    model = tiny.model
    reference = model.reference.clone()
    reference[key - model.carriers.first_key] = torch.complex(torch.tensor(value), torch.tensor(0.0))
    made = PartialKeys(
        model.codec, model.network, model.head, model.carriers, reference, model.noise, model.voicing, model.grid,
        model.synthesis.rise,
    )  # fmt: skip
    return replace(tiny, model=made)


def rendered(instrument, events, samples=12_000, block=500, **options):
    synth = Synth(instrument, **{"limiter": False, **options})
    synth.schedule(events)
    return np.concatenate([synth.render(block) for _ in range(samples // block)]), synth


@pytest.mark.parametrize("value", BAD)
def test_a_poisoned_key_ends_and_the_others_sound_as_if_it_had_not_been_played(tiny, value):
    instrument = poisoned(tiny, 40, value)
    others = [note_on(0, 60, 90), note_on(3000, 67, 80), note_off(6000, 60)]
    wanted, _ = rendered(tiny, others)
    sound, synth = rendered(instrument, [*others, note_on(1000, 40, 100)])
    assert np.isfinite(sound).all()
    assert synth.faulty == 1
    assert synth.sounding == 2
    assert np.abs(sound - wanted).max() < 1e-5


def test_a_poisoned_key_leaves_nothing_behind_in_the_limiter(tiny):
    instrument = poisoned(tiny, 40, NAN)
    sound, synth = rendered(instrument, [note_on(0, 40, 100), note_off(500, 40), note_on(4000, 60, 90)], limiter=True)
    assert np.isfinite(sound).all()
    assert not sound[:4000].any()
    assert sound[4000:].any()
    assert (synth.faulty, synth.sounding) == (1, 1)


def test_a_level_counts_after_the_instruments_gain(tiny):
    loud = poisoned(tiny, 40, 20.0)
    _, synth = rendered(loud, [note_on(0, 40, 127)])
    assert synth.faulty == 0
    _, synth = rendered(replace(loud, gain_db=60.0), [note_on(0, 40, 127)])
    assert (synth.faulty, synth.sounding) == (1, 0)


@pytest.mark.parametrize("value", BAD)
def test_pads_and_songs_that_write_no_sound_are_silent_and_end(monkeypatch, value):
    pads, song = pads_instrument(), song_instrument()
    kick = pads.model.pads[0].centre

    make, following, made = type(pads.model).sound, type(song.model).next, []

    def spoilt(self, latent, seed=0):
        out = make(self, latent, seed)
        out[0, 10] = value if np.allclose(latent, kick) else out[0, 10]
        return out

    monkeypatch.setattr(type(pads.model), "sound", spoilt)
    sound, synth = rendered(pads, [knob(0, "vary", 0), note_on(0, 36, 100), note_on(2000, 37, 100)])
    assert np.isfinite(sound).all()
    assert not sound[:2000].any()
    assert sound[2000:].any()
    assert synth.faulty == 1

    def next_block(self, state, temperature, rng):
        block, state = following(self, state, temperature, rng)
        made.append(block)
        return np.where(len(made) > 2, np.float32(value), block), state

    monkeypatch.setattr(type(song.model), "next", next_block)
    sound, synth = rendered(song, [note_on(0, 48, 100)], samples=20_000)
    assert np.isfinite(sound).all()
    assert sound[:2000].any()
    assert (synth.faulty, synth.sounding) == (1, 0)
    synth.schedule([note_on(synth.position, 60, 100)])  # a key that would go on
    assert np.isfinite(synth.render(5000)).all()


def test_a_song_whose_network_says_no_numbers_ends():
    song = song_instrument()
    state = song.model.begin(0)
    broken = replace(state, said=torch.full_like(state.said, NAN))
    assert not np.isfinite(song.model.next(broken, 1.0, np.random.default_rng(0))[0]).any()


@pytest.mark.parametrize("value", BAD)
def test_whatever_a_bank_renders_the_synth_is_finite(tiny, monkeypatch, value):
    synth = Synth(tiny)
    bank = synth.part().bank
    synth.schedule([note_on(0, 60, 90)])
    whole = bank.render
    monkeypatch.setattr(bank, "render", lambda *how: (np.full((2, how[0]), value, np.float32), whole(*how)[1]))
    assert not synth.render(512).any()
    assert synth.faulty
    monkeypatch.undo()
    synth.schedule([note_on(synth.position + 1000, 62, 90)])
    sound = synth.render(8000)
    assert np.isfinite(sound).all()
    assert sound.any()


@pytest.mark.parametrize("value", BAD[:4])
def test_the_limiter_goes_on_after_what_is_no_number(value):
    limiter, good = Limiter(44_100), np.full((2, 400), 0.5, np.float32)
    bad = good.copy()
    bad[1, 7] = value
    for block in (good, bad, good, 4 * good, good):
        out = limiter.process(block)
        assert np.isfinite(out).all()
        assert np.abs(out).max() <= 1
    for _ in range(300):
        out = limiter.process(good)
    assert np.abs(out - 0.5).max() < 1e-3


def test_a_knob_that_is_no_number_stands_at_its_default():
    assert KNOBS["volume"].clip(NAN) == 0
    assert (KNOBS["volume"].clip(-INF), KNOBS["volume"].clip(INF)) == (-60, 12)


def test_the_snapshot_counts(tiny):
    engine = LiveEngine(poisoned(tiny, 40, NAN))
    engine.send(note_on(0, 40, 90))
    for _ in range(20):
        assert np.isfinite(engine.render(512)).all()
    assert engine.snapshot.faulty == 1
    engine.load(tiny)
    engine.render(512)
    engine.render(512)
    assert engine.snapshot.faulty == 1  # it never falls: a message is due where it rises


def test_a_file_is_written_with_a_warning_or_not_at_all(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.render.LONGEST_TAIL_SECONDS", 0.2)
    instrument, options, said = poisoned(tiny, 40, NAN), RenderOptions({}), []
    both = read_score(write_midi(tmp_path / "both.mid", [(40, 90, 0.0, 0.2), (60, 90, 0.1, 0.2)]), 44_100)
    assert render_file(both, instrument, tmp_path / "both.wav", options, warn=said.append)
    assert said == [faulty_sentence(1)]
    bad = read_score(write_midi(tmp_path / "bad.mid", [(40, 90, 0.0, 0.2), (40, 90, 0.3, 0.4)]), 44_100)
    with pytest.raises(InstrumentError, match="2 notes were silenced"):
        render_file(bad, instrument, tmp_path / "bad.wav", options, warn=said.append)
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["both.wav"]
    assert len(said) == 1
