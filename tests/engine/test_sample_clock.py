"""The clock that gives events their samples."""

import numpy as np

from engine.sample_clock import SampleClock

RATE, BLOCK = 48_000, 128


def marked(clock, blocks, gap_at=None, gap=0.0, seed=0):
    """Blocks asked for in turn, most of them somewhat late; the device pauses once. Returns each block's true moment
    and where the clock says that it is."""
    late = np.random.default_rng(seed).exponential(0.0005, blocks)
    late[::10] = 0
    true, said = [], []
    for block in range(blocks):
        moment = 1.0 + block * BLOCK / RATE + (gap if gap_at is not None and block >= gap_at else 0.0)
        clock.mark(moment + late[block], block * BLOCK)
        true.append(block * BLOCK)
        said.append(clock.sample(moment))
    return np.array(true), np.array(said)


def test_events_keep_their_distances_although_blocks_are_late():
    true, said = marked(SampleClock(RATE), 1000)
    assert np.abs(said - true)[20:].max() <= 2


def test_a_pause_of_the_device_delays_what_is_played_only_for_a_moment():
    true, said = marked(SampleClock(RATE), 1000, gap_at=500, gap=0.04)
    wrong = (said - true)[500:] / RATE
    assert wrong[0] > 0.039  # nothing can be known yet
    assert np.abs(wrong[int(0.25 * RATE / BLOCK) :]).max() < 0.001


def test_a_sleep_is_forgotten_at_once():
    true, said = marked(SampleClock(RATE), 1000, gap_at=500, gap=100.0)
    assert np.abs(said - true)[520:].max() <= 2


def test_there_is_no_sample_before_the_first_block():
    clock = SampleClock(RATE)
    assert clock.sample(5.0) == 0
    clock.mark(2.0, 0)
    assert clock.sample(2.5) == RATE // 2
    clock.reset()
    assert clock.sample(5.0) == 0
