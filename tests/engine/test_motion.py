import numpy as np
import pytest

from engine.motion import AGES, NUMBERS, Motion, check_numbers
from engine.partials import PartialSynthesis
from training.analysis import EnvelopeFit
from training.motion import made_steady, measured, pitch_deviation

RATE = 44_100
VIOLIN = Motion(5.5, 0.04, 2.0, 0.0, 0.0, (0.0, 5.0, 15.0, 20.0, 20.0))


def test_a_vibrato_has_its_rate_and_depth():
    seconds = np.arange(0, 8, 0.005)
    cents = np.stack([VIOLIN.cents(seed, seconds) for seed in range(40)])
    late = cents[:, seconds > 1]
    assert np.sqrt(2) * late.std() == pytest.approx(20, rel=0.1)
    assert np.abs(cents[:, seconds < 0.1]).max() < 8  # drift alone
    spectrum = np.abs(np.fft.rfft(late * np.hanning(late.shape[1]), axis=1)).mean(axis=0)
    hz = np.fft.rfftfreq(late.shape[1], 0.005)
    assert hz[spectrum.argmax()] == pytest.approx(5.5, abs=0.3)


def test_no_two_notes_swing_alike_and_each_does_so_again():
    seconds = np.arange(0, 3, 0.01)
    one, other = VIOLIN.cents(1, seconds), VIOLIN.cents(2, seconds)
    assert np.abs(one - other).max() > 10
    assert np.array_equal(one, VIOLIN.cents(1, seconds))
    assert np.allclose(one[100:], VIOLIN.cents(1, seconds[100:]))  # from anywhere on


def test_an_ensembles_carriers_move_for_themselves_and_are_1_on_average():
    motion = Motion(0, 0, 0, 0.4, 3.0, (0,) * len(AGES))
    factors = motion.envelopes(3, np.arange(0, 60, 0.02), 50)
    assert np.abs(factors.mean() - 1) < 0.05
    assert np.sqrt((np.abs(factors - 1) ** 2).mean()) == pytest.approx(0.4, rel=0.1)
    assert abs(np.corrcoef(factors[:, 0].real, factors[:, 1].real)[0, 1]) < 0.3
    assert not motion.swings and VIOLIN.swings


def test_numbers_are_read_as_they_were_written():
    assert Motion.from_numbers(VIOLIN.numbers()) == VIOLIN
    assert len(VIOLIN.numbers()) == NUMBERS


@pytest.mark.parametrize(
    ("place", "value"), [(0, 50), (1, 2), (2, 900), (3, 3), (4, 99), (7, 4000), (0, -1), (6, np.nan)]
)
def test_a_motion_that_cannot_be_is_refused(place, value):
    numbers = VIOLIN.numbers()
    check_numbers(numbers)
    numbers[place] = value
    with pytest.raises(ValueError, match=r"motion|vibrato"):
        check_numbers(numbers)
    with pytest.raises(ValueError, match="motion"):
        check_numbers(VIOLIN.numbers()[:-1])


def test_a_teachers_vibrato_is_measured_and_taken_out():
    """A tone of 20 partials that swings by 20 cents 6 times a second, from half a second on."""
    seconds = np.arange(round(2.5 * RATE)) / RATE
    depth = 20 * np.clip((seconds - 0.3) / 0.4, 0, 1)
    cents = depth * np.sin(2 * np.pi * 6 * seconds)
    turns = 440 * np.cumsum(2 ** (cents / 1200)) / RATE
    k = np.arange(1, 21)
    sound = np.tile(sum(np.sin(2 * np.pi * n * turns) / n for n in k), (2, 1)).astype(np.float32)
    synthesis = PartialSynthesis(1024, 256, RATE, 128)
    fit = EnvelopeFit(synthesis, 440.0 * k, k.astype(float))

    def analysed(part):
        import torch

        return fit.fit(torch.from_numpy(part / part.std()), iterations=(14, 10))

    total = np.zeros(fit.frame_count(len(seconds)) - 1)
    for _ in range(2):
        total += pitch_deviation(analysed(made_steady(sound, total, synthesis)), 440.0 * k, k, synthesis)
    frames = (np.arange(len(total)) * 256 + 128 - 256) / RATE
    found = 1200 * np.log2(1 + total)
    inside = (frames > 0.1) & (frames < 2.3)
    assert np.abs(found - np.interp(frames, seconds, cents))[inside].max() < 3
    envelopes = analysed(made_steady(sound, total, synthesis))
    motion = measured(total, envelopes, k.astype(float), synthesis)
    assert motion.rate == pytest.approx(6, abs=0.15)
    assert motion.depth[-1] == pytest.approx(20, rel=0.1) and motion.depth[0] < 3
    assert motion.ensemble < 0.1
    steady = envelopes[0, 40:380].abs().numpy()
    before = analysed(sound)[0, 40:380]
    turning = np.abs(np.angle((before[1:] * before[:-1].conj()).numpy()))[:, 9]
    after = np.abs(np.angle((envelopes[0, 41:380] * envelopes[0, 40:379].conj()).numpy()))[:, 9]
    assert after.max() < 0.2 * turning.max()
    assert (steady.std(axis=0) / steady.mean(axis=0))[:10].max() < 0.1
