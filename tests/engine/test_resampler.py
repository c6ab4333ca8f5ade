import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.audio.resampler import Resampler

RATES = [(44_100, 48_000), (44_100, 96_000), (44_100, 88_200), (44_100, 32_000), (48_000, 44_100)]


def sine(hz, rate, count):
    wave = np.sin(2 * np.pi * hz * np.arange(count) / rate)
    return np.stack([wave, 0.5 * wave], axis=1).astype(np.float32)


@pytest.mark.parametrize(("old", "new"), RATES)
@pytest.mark.parametrize("hz", [50.0, 997.0, 9000.0, 13_000.0])
def test_a_sine_stays_that_sine_after_the_delay(old, new, hz):
    resampler = Resampler(old, new)
    made = resampler.process(sine(hz, old, old // 5))
    times = np.arange(len(made)) / new - (resampler.delay) / old
    wanted = np.sin(2 * np.pi * hz * times)
    inner = slice(300, -300)
    error = made[inner] - np.stack([wanted, 0.5 * wanted], axis=1)[inner]
    assert 20 * np.log10(np.abs(error).max()) < -80


def test_what_the_new_rate_cannot_hold_is_silent():
    made = Resampler(44_100, 32_000).process(sine(18_500.0, 44_100, 20_000))
    assert 20 * np.log10(np.abs(made[500:-500]).max()) < -75


@given(sizes=st.lists(st.integers(0, 700), min_size=1, max_size=20), rates=st.sampled_from(RATES))
@settings(max_examples=50, deadline=None)
def test_any_blocks_give_the_same_samples(sizes, rates):
    signal = np.random.default_rng(0).standard_normal((sum(sizes), 2)).astype(np.float32)
    whole = Resampler(*rates).process(signal)
    stream, parts, start = Resampler(*rates), [], 0
    for size in sizes:
        parts.append(stream.process(signal[start : start + size]))
        start += size
    assert np.allclose(np.concatenate(parts), whole, atol=1e-6)
    assert len(whole) == -(-len(signal) * rates[1] // rates[0])


@given(wishes=st.lists(st.integers(1, 900), min_size=1, max_size=20), rates=st.sampled_from(RATES))
@settings(max_examples=50, deadline=None)
def test_the_wanted_samples_come_and_no_more_than_one_input_sample_brings(wishes, rates):
    stream = Resampler(*rates)
    for wish in wishes:
        need = stream.needed(wish)
        made = len(stream.process(np.zeros((need, 2), np.float32)))
        assert wish <= made or need == 0
        assert made <= wish + -(-rates[1] // rates[0]) or need == 0


@pytest.mark.parametrize("rates", [(0, 44_100), (44_100, 0), (44_100, 99_991 * 7)])
def test_impossible_rates_are_refused(rates):
    with pytest.raises(ValueError, match="no way"):
        Resampler(*rates)
