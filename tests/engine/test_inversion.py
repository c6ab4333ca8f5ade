"""Phases of magnitudes, against the heap that the method is named after, and by physics."""

import heapq

import numpy as np
import pytest

from engine.inversion import PhaseStream, _sources, griffin_lim, integrate, invert
from engine.spectral import Stft

STFT = Stft(1024, 256)
RATE = 44_100


def hit(samples=20_480, seed=0):
    t = np.arange(samples) / RATE
    noise = np.random.default_rng(seed).standard_normal(samples) * np.exp(-30 * t)
    return (0.5 * np.sin(2 * np.pi * (60 * t + 2 * (1 - np.exp(-20 * t)))) * np.exp(-8 * t) + 0.15 * noise).astype("f")


def convergence_db(sound, magnitudes, stft=STFT):
    own = np.abs(stft.analyse(sound))[: len(magnitudes)]
    return 20 * np.log10(np.linalg.norm(own - magnitudes) / np.linalg.norm(magnitudes))


def by_heap(before, level):
    """Real-time phase-gradient heap integration as its authors write it down: which bin each bin's way came through."""
    out = np.zeros(level.shape, int)
    for n in range(len(level)):
        heap = [(-value, 0, m) for m, value in enumerate(before[n])]
        heapq.heapify(heap)
        source = {}
        while len(source) < level.shape[1]:
            _, this_frame, m = heapq.heappop(heap)
            if not this_frame and m not in source:
                source[m] = m
                heapq.heappush(heap, (-level[n, m], 1, m))
            for k in (m - 1, m + 1) if this_frame else ():
                if 0 <= k < level.shape[1] and k not in source:
                    source[k] = source[m]
                    heapq.heappush(heap, (-level[n, k], 1, k))
        out[n] = [source[m] for m in range(level.shape[1])]
    return out


@pytest.mark.parametrize("seed", range(5))
def test_the_scans_find_the_heaps_own_ways(seed):
    before, level = np.random.default_rng(seed).standard_normal((2, 12, 50)).astype(np.float32)
    assert np.array_equal(_sources(before, level), by_heap(before, level))


def test_integrated_phases_are_far_better_than_random_ones():
    magnitudes = np.abs(STFT.analyse(hit()))
    integrated = griffin_lim(magnitudes, STFT, 20_480, integrate(magnitudes, STFT), 0)
    random = np.random.default_rng(0).uniform(0, 2 * np.pi, magnitudes.shape).astype(np.float32)
    assert convergence_db(integrated, magnitudes) < -15
    assert convergence_db(griffin_lim(magnitudes, STFT, 20_480, random, 0), magnitudes) > -6


def test_rounds_bring_a_sound_nearer_to_its_magnitudes():
    magnitudes = np.abs(STFT.analyse(hit()))
    errors = [convergence_db(invert(magnitudes, STFT, 20_480, iterations=n), magnitudes) for n in (0, 4, 16)]
    assert errors[0] > errors[1] + 1 > errors[2] + 1


def test_a_tone_comes_back_as_a_tone():
    tone = 0.5 * np.sin(2 * np.pi * 1000.3 * np.arange(RATE // 2) / RATE).astype(np.float32)
    back = invert(np.abs(STFT.analyse(tone)), STFT, len(tone), iterations=0)
    middle = back[4096:-4096]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 18))
    assert spectrum.argmax() * RATE / (1 << 18) == pytest.approx(1000.3, abs=1.0)  # two cents
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.05)


def test_the_same_seed_gives_the_same_sound_and_another_one_another():
    magnitudes = np.abs(STFT.analyse(hit()))
    first, again, other = (invert(magnitudes, STFT, 20_480, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("stft", [Stft(1024, 256), Stft(2048, 460)])
def test_a_loop_goes_round_without_a_step(stft):
    frames = 48
    hz = 20 * RATE / (frames * stft.hop)  # a whole number of periods
    tone = np.sin(2 * np.pi * hz * np.arange(4 * frames * stft.hop) / RATE).astype(np.float32)
    magnitudes = np.abs(stft.analyse(tone))[frames : 2 * frames]
    loop = invert(magnitudes, stft, frames * stft.hop, loop=True, iterations=8)
    steps = np.abs(np.diff(np.tile(loop, 2)))
    assert steps[len(loop) - 1] <= steps[: len(loop) - 1].max() * 1.01
    assert convergence_db(np.tile(loop, 3)[: 3 * len(loop)], np.tile(magnitudes, (3, 1))[:-8], stft) < -10


def test_blocks_of_a_stream_join():
    magnitudes = np.abs(STFT.analyse(hit()))
    stream = PhaseStream(STFT, float(magnitudes.max()), np.random.default_rng(0))
    around = np.concatenate([magnitudes[:1], magnitudes, magnitudes[-1:]])
    parts = [
        stream.push(magnitudes[i : i + 10], around[i : i + len(magnitudes[i : i + 10]) + 2])
        for i in range(0, len(magnitudes), 10)
    ]
    sound = griffin_lim(magnitudes, STFT, 20_480, np.concatenate(parts), 0)
    assert convergence_db(sound, magnitudes) < -15


def test_silence_stays_silent_and_wrong_shapes_are_refused():
    assert not invert(np.zeros((20, STFT.bins), np.float32), STFT, 4000).any()
    with pytest.raises(ValueError, match="do not belong"):
        invert(np.zeros((20, 5), np.float32), STFT, 4000)
    with pytest.raises(ValueError, match="a loop of 20 frames"):
        invert(np.zeros((20, STFT.bins), np.float32), STFT, 4000, loop=True)
