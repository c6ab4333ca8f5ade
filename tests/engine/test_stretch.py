import numpy as np
import pytest

from engine.stretch import Loop, LoopReader, onsets, read

RATE = 44_100
BEAT = RATE // 4


def drum_loop():
    """Eight beats of a low thump and a burst of noise; the places where they are struck."""
    rng, length = np.random.default_rng(0), 8 * BEAT
    sound, struck = np.zeros((2, length), np.float32), np.arange(8) * BEAT
    for index, place in enumerate(struck):
        seconds = np.arange(length - place) / RATE
        thump = np.sin(2 * np.pi * 60 * seconds) * np.exp(-12 * seconds)
        burst = 0.5 * rng.standard_normal(len(seconds)) * np.exp(-30 * seconds)
        sound[:, place:] += (burst if index % 2 else thump + 0.2 * burst).astype(np.float32)
    return sound, struck


def reader():
    sound, _ = drum_loop()
    return LoopReader(Loop(sound, onsets(sound, RATE)))


def test_onsets_are_found_where_they_are():
    sound, struck = drum_loop()
    found = onsets(sound, RATE)
    assert len(found) == len(struck) and found[0] == 0
    assert np.abs(np.array(found) - struck).max() <= 64


def test_silence_and_a_steady_tone_have_one_onset():
    assert onsets(np.zeros((2, 5000), np.float32), RATE) == (0,)
    tone = np.sin(2 * np.pi * np.arange(20_000) / 100).astype(np.float32)
    assert onsets(np.stack([tone, tone]), RATE) == (0,)


def test_at_its_own_tempo_a_loop_is_read_as_it_stands():
    sound, _ = drum_loop()
    loop = reader()
    heard = np.concatenate([loop.read(count, 1.0, 1.0) for count in [700] * 300], axis=1)
    assert np.array_equal(heard, np.tile(sound, 3)[:, : heard.shape[1]])


@pytest.mark.parametrize("tempo", [0.5, 0.83, 0.97, 1.06, 1.3, 2.0])
def test_every_stroke_of_every_pass_is_at_its_time_and_untouched(tempo):
    sound, struck = drum_loop()
    heard = reader().read(round(2.1 * sound.shape[1] / tempo), tempo, 1.0)[0]
    for place in [*struck[1:], *(struck + sound.shape[1])]:
        due, attack = round(place / tempo), sound[0, place % sound.shape[1] :][:500]
        around = heard[due - 400 : due + 900]
        likeness = np.correlate(around, attack, "valid")
        likeness /= np.sqrt(np.convolve(around**2, np.ones(500), "valid") * (attack**2).sum())
        assert abs(int(likeness.argmax()) - 400) <= 30  # 0.7 ms
        assert likeness.max() > 0.75


@pytest.mark.parametrize(("tempo", "pitch"), [(0.7, 1.0), (1.4, 1.0), (1.0, 2.0), (1.1, 0.6), (0.25, 4.0), (8.0, 1.0)])
def test_blocks_do_not_matter_and_nothing_steps(tempo, pitch):
    sound, _ = drum_loop()
    whole = reader().read(100_000, tempo, pitch)
    loop, parts, left = reader(), [], 100_000
    while left:
        parts.append(loop.read(min(left, 37 + len(parts) % 400), tempo, pitch))
        left -= parts[-1].shape[1]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert np.abs(np.diff(whole)).max() < 1.2 * np.abs(np.diff(sound)).max() * max(1, pitch)


def test_a_smooth_loop_stays_smooth():
    """Without onsets it is the crossfades that show: a tone must stay one."""
    tone = (0.5 * np.sin(2 * np.pi * np.arange(44_000) / 100)).astype(np.float32)
    loop = LoopReader(Loop(np.stack([tone, tone]), (0,)))
    heard = loop.read(150_000, 0.8, 1.0)[0]
    assert np.abs(np.diff(heard)).max() < 1.5 * np.abs(np.diff(tone)).max()
    levels = np.sqrt((heard[: 1000 * 150].reshape(150, 1000) ** 2).mean(axis=1))
    assert levels.min() > 0.8 * levels.max()


def test_a_tempo_that_changes_keeps_the_beat():
    sound, _ = drum_loop()
    loop, passed = reader(), 0.0
    for tempo in np.linspace(0.8, 1.5, 400):
        loop.read(256, float(tempo), 1.0)
        passed += 256 * tempo
    assert passed / sound.shape[1] > 1
    off = loop._target - passed % sound.shape[1]
    assert abs(off - round(off / sound.shape[1]) * sound.shape[1]) < 1e-6
    assert abs(loop._place - loop._target) < 3000


def test_the_next_pass_may_be_another_loop():
    sound, _ = drum_loop()
    other = Loop(0.5 * sound, onsets(sound, RATE))
    loop = LoopReader(Loop(sound, other.onsets), lambda: other)
    heard = loop.read(2 * sound.shape[1], 1.0, 1.0)
    assert np.array_equal(heard[:, : sound.shape[1] - 200], sound[:, :-200])
    assert np.array_equal(heard[:, sound.shape[1] :], 0.5 * sound)


@pytest.mark.parametrize("step", [0.5, 0.9, 1.5, 2.0, 3.7])
def test_a_tone_is_read_at_another_pitch(step):
    places = np.arange(30_000)
    tone = np.sin(2 * np.pi * places / 50.0).astype(np.float32)
    heard = read(np.stack([tone, tone]), 100.25, step, 5000)[0]
    wanted = np.sin(2 * np.pi * (100.25 + step * np.arange(5000)) / 50.0)
    assert np.abs(heard - wanted).max() < 0.01


def test_what_would_fold_over_is_left_out():
    tone = np.sin(2 * np.pi * 0.4 * np.arange(30_000)).astype(np.float32)
    assert np.abs(read(np.stack([tone, tone]), 200, 2.0, 5000)).max() < 0.02


def test_beyond_its_ends_a_sound_is_silent():
    ones = np.ones((2, 100), np.float32)
    assert not read(ones, 300, 1, 50).any()
    assert not read(ones, 300.5, 1.5, 50).any()
    assert read(ones, 90, 1, 20).sum() == 20
    assert read(ones, -10, 1, 20).sum() == 20
