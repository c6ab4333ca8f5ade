import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.audio.limiter import LOOKAHEAD, Limiter

CEILING = 10 ** (-1 / 20)


def signal(seed, level):
    rng = np.random.default_rng(seed)
    bursts = np.repeat(rng.uniform(0, level, 40), 100)
    return (rng.uniform(-1, 1, (2, 4000)) * bursts).astype(np.float32)


@given(st.integers(0, 1000), st.floats(0.1, 30), st.lists(st.integers(1, 900), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_never_over_the_ceiling_and_the_same_for_any_blocks(seed, level, sizes):
    loud = signal(seed, level)
    whole = Limiter(44_100).process(loud)
    assert np.abs(whole).max() <= CEILING + 1e-6
    limiter, parts, start = Limiter(44_100), [], 0
    while start < loud.shape[1]:
        size = sizes[len(parts) % len(sizes)]
        parts.append(limiter.process(loud[:, start : start + size]))
        start += size
    assert np.abs(np.concatenate(parts, axis=1) - whole).max() < 1e-6


def test_under_the_ceiling_it_is_a_delay():
    quiet = signal(0, 0.8)
    out = Limiter(44_100).process(quiet)
    assert np.array_equal(out[:, LOOKAHEAD:], quiet[:, :-LOOKAHEAD])


def test_the_gain_moves_smoothly():
    steady = np.full((2, 40_000), 0.5, np.float32)
    steady[:, 3000:3010] = 4.0
    out = Limiter(44_100).process(steady)[0]
    around = out[3000 + LOOKAHEAD - 60 : 3000 + LOOKAHEAD]  # comes down over the look-ahead
    assert np.abs(np.diff(around)).max() < 0.03
    assert out[2900] == 0.5
    assert abs(out[39_990] - 0.5) < 1e-3  # and recovers


def test_a_peak_is_forgotten_and_nothing_is_changed_afterwards():
    """It lets go for good, not only nearly: an untouched stretch is what costs no time."""
    limiter, quiet = Limiter(44_100), signal(1, 0.8)
    limiter.process(np.full((2, 100), 4.0, np.float32))
    limiter.process(np.zeros((2, LOOKAHEAD), np.float32))
    assert limiter.reduction < 0.3
    limiter.process(np.zeros((2, 2 * 44_100), np.float32))
    out = limiter.process(quiet)
    assert limiter.reduction == 1.0
    assert np.array_equal(out[:, LOOKAHEAD:], quiet[:, :-LOOKAHEAD])


def test_the_reduction_is_the_gain_that_a_steady_sound_gets():
    limiter = Limiter(44_100)
    out = limiter.process(np.full((2, 1000), 2.0, np.float32))
    assert np.abs(out[:, -100:] - CEILING).max() < 1e-5
    assert abs(limiter.reduction - CEILING / 2) < 1e-6


def test_both_sides_get_the_same_gain():
    """A sound that is loud on one side must not wander to the other."""
    sides = np.stack([np.full(1000, 3.0), np.full(1000, 0.3)]).astype(np.float32)
    out = Limiter(44_100).process(sides)
    assert np.abs(out[1] * 10 - out[0]).max() < 1e-5


def test_an_empty_block_is_empty_while_there_is_something_to_limit():
    limiter, loud = Limiter(44_100), np.full((2, 10), 4.0, np.float32)
    limiter.process(loud)
    assert limiter.process(loud[:, :0]).shape == (2, 0)
    assert limiter.process(loud).shape == (2, 10)
