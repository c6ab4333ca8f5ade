"""Sound of magnitudes: phases by phase-gradient heap integration, then a few rounds of fast Griffin-Lim.

**Phases from magnitudes.** For a Gaussian window the phase's derivatives are those of the log magnitude s, exchanged
(Prusa, Balazs, Soendergaard, "A noniterative method for reconstruction of phase from STFT magnitude", 2017). With hop
a, length M, frame n, bin m and a Hann window, that is close to a Gaussian with gamma = 0.25645 M^2:

    along time       a M / (2 gamma) (s[m+1, n] - s[m-1, n]) + 2 pi a m / M     radians per frame
    along frequency  -gamma / (2 a M) (s[m, n+1] - s[m, n-1]) - pi              radians per bin (pi: frames begin at 0)

They are summed along the strongest way. In real-time form (Prusa and Soendergaard 2016) the ways into frame n begin in
frame n - 1; a heap takes the loudest bin next. The heap's order depends on magnitudes alone, and its tree is that of
the widest paths: bin m is reached with the priority

    A[m] = max(s[m, n-1], min(s[m-1, n], A[m-1]), min(s[m+1, n], A[m+1])),

which two scans over the bins give for all frames at once. What is left for each frame is a sum along its bins, so no
heap is needed, and the result is the heap's own.

**Griffin-Lim** goes back and forth between the spectra that have these magnitudes and those that a signal can have,
with a step beyond (Perraudin, Balazs, Soendergaard, "A fast Griffin-Lim algorithm", 2013).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.spectral import Samples, Spectrum, Stft

Magnitudes = NDArray[np.float32]
"""(frames, bins)."""

HANN_GAMMA = 0.25645
TOLERANCE = 1e-4  # of the loudest magnitude: below, phases are random
MOMENTUM = 0.99
_TINY = np.float32(1e-10)


def invert(
    magnitudes: Magnitudes, stft: Stft, samples: int, *, seed: int = 0, iterations: int = 4, loop: bool = False
) -> Samples:
    """A sound (samples,) with these magnitudes; the same seed gives the same sound.

    loop: the frames go round, and the sound's end fits its beginning; then samples must be frames * hop.
    Raises ValueError for other shapes.
    """
    if magnitudes.ndim != 2 or magnitudes.shape[1] != stft.bins:
        raise ValueError(f"magnitudes of shape {magnitudes.shape} do not belong to frames of {stft.bins} bins")
    frames = len(magnitudes)
    if loop and samples != frames * stft.hop:
        raise ValueError(f"a loop of {frames} frames has {frames * stft.hop} samples, not {samples}")
    phases = integrate(magnitudes, stft, seed=seed, loop=loop)
    return griffin_lim(magnitudes, stft, samples, phases, iterations, loop=loop)


def griffin_lim(
    magnitudes: Magnitudes, stft: Stft, samples: int, phases: NDArray[np.float32], iterations: int,
    *, momentum: float = MOMENTUM, loop: bool = False,
) -> Samples:  # fmt: skip
    """A sound (samples,) of magnitudes and first phases (frames, bins), after so many rounds.

    momentum: 0 is Griffin and Lim's own method (1984).
    """
    forth, back = _ways(stft, len(magnitudes), samples, loop=loop)
    spectra: Spectrum = magnitudes * _turned(phases)
    before: Spectrum | None = None
    for _ in range(iterations):
        consistent = forth(back(spectra))
        ahead = consistent if before is None else consistent + np.float32(momentum) * (consistent - before)
        before = consistent
        spectra = np.asarray(ahead * (magnitudes / (np.abs(ahead) + _TINY)), np.complex64)
    return back(spectra)


def integrate(magnitudes: Magnitudes, stft: Stft, *, seed: int = 0, loop: bool = False) -> NDArray[np.float32]:
    """Phases (frames, bins) for magnitudes (frames, bins)."""
    stream = PhaseStream(stft, float(magnitudes.max(initial=0.0)), np.random.default_rng(seed))
    along = np.concatenate([magnitudes[-1:], magnitudes, magnitudes[:1]]) if loop else None
    return stream.push(magnitudes, along)


class PhaseStream:
    """Phases of frames that arrive in blocks. Within a block the derivative along frequency looks one frame ahead."""

    def __init__(self, stft: Stft, loudest: float, rng: np.random.Generator) -> None:
        """`loudest`: magnitude that TOLERANCE is relative to."""
        self._stft, self._rng = stft, rng
        self._floor = np.float32(max(loudest * TOLERANCE, 1e-9))
        self._level: NDArray[np.float32] | None = None  # of the last frame, (bins,)
        self._slope = np.zeros(stft.bins, np.float32)
        self._phase = np.zeros(stft.bins, np.float64)

    def copy(self, rng: np.random.Generator) -> PhaseStream:
        """A stream that goes on from here by itself."""
        other = copy.copy(self)  # its arrays are replaced, never written to
        other._rng = rng
        return other

    def push(self, magnitudes: Magnitudes, neighbours: Magnitudes | None = None) -> NDArray[np.float32]:
        """Phases (frames, bins) of the next frames. neighbours: the same with a frame before and behind, if known."""
        stft = self._stft
        if not len(magnitudes):
            return np.zeros((0, stft.bins), np.float32)
        level = np.log(np.maximum(magnitudes, self._floor))
        first = level[:1] if self._level is None else self._level[None]
        around = (
            np.concatenate([first, level, level[-1:]]) if neighbours is None
            else np.log(np.maximum(neighbours, self._floor))
        )  # fmt: skip
        along_time, along_bins = _gradients(level, around, stft)
        before = np.concatenate([first, level[:-1]])
        silent = level <= np.log(self._floor)
        used = int(np.flatnonzero(~silent.all(axis=0)).max(initial=0)) + 1  # nothing sounds above
        sources = _sources(before[:, :used], level[:, :used])
        slopes = np.concatenate([self._slope[None], along_time])[:, :used]
        sums = np.zeros((len(level), used))
        np.cumsum((along_bins[:, 1:used] + along_bins[:, : used - 1]) / 2, axis=1, out=sums[:, 1:])
        out = self._rng.uniform(0, 2 * np.pi, level.shape)
        phase = out[0, :used] if self._level is None else self._phase[:used]
        for n in range(len(level)):
            entered, source = phase + (slopes[n] + slopes[n + 1]) / 2, sources[n]
            phase = (entered[source] + sums[n] - sums[n][source]) % (2 * np.pi)
            phase = np.where(silent[n, :used], out[n, :used], phase)
            out[n, :used] = phase
        self._level, self._slope, self._phase = level[-1], along_time[-1], out[-1]
        return out.astype(np.float32)


def _gradients(
    level: NDArray[np.float32], around: NDArray[np.float32], stft: Stft
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Derivatives (frames, bins) of the phase along time, per frame, and along frequency, per bin."""
    hop, length = stft.hop, stft.length
    gamma = HANN_GAMMA * length**2
    across = np.zeros_like(level)
    across[:, 1:-1] = level[:, 2:] - level[:, :-2]
    carrier = 2 * np.pi * hop * np.arange(stft.bins) / length
    along_time = hop * length / (2 * gamma) * across + carrier
    along_bins = -gamma / (2 * hop * length) * (around[2:] - around[:-2]) - np.pi
    return along_time.astype(np.float32), along_bins.astype(np.float32)


def _sources(before: NDArray[np.float32], level: NDArray[np.float32]) -> NDArray[np.intp]:
    """For each bin (frames, bins) the bin at which its strongest way entered the frame from the one before."""
    arrive_up, from_up = _scan(before, level)
    arrive_down, from_down = _scan(before[:, ::-1], level[:, ::-1])
    arrive_down, from_down = arrive_down[:, ::-1], level.shape[1] - 1 - from_down[:, ::-1]
    own = np.broadcast_to(np.arange(level.shape[1]), level.shape)
    best = np.where(arrive_down > arrive_up, from_down, from_up)
    return np.where(before >= np.maximum(arrive_up, arrive_down), own, best)


def _scan(before: NDArray[np.float32], level: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Priority (frames, bins) of the best way that reaches a bin from the bins below it, and where that way entered."""
    columns, rows = np.ascontiguousarray(level.T), np.ascontiguousarray(before.T)
    arrive = np.full(columns.shape, -np.inf, np.float32)
    entered = np.zeros(columns.shape, np.intp)
    for m in range(1, len(columns)):
        through = np.maximum(arrive[m - 1], rows[m - 1])
        np.minimum(through, columns[m - 1], out=arrive[m])
        entered[m] = np.where(arrive[m - 1] > rows[m - 1], entered[m - 1], m - 1)
    return arrive.T, entered.T


def _turned(phases: NDArray[np.float32]) -> Spectrum:
    out = np.empty(phases.shape, np.complex64)
    np.cos(phases, out=out.real)
    np.sin(phases, out=out.imag)
    return out


def _ways(
    stft: Stft, frames: int, samples: int, *, loop: bool
) -> tuple[Callable[[Samples], Spectrum], Callable[[Spectrum], Samples]]:
    """From a sound (samples,) to its spectra (frames, bins), and back."""
    before, hop, length = stft.length - stft.hop, stft.hop, stft.length
    span = (frames - 1) * hop + length

    def forth(sound: Samples) -> Spectrum:
        if loop:
            padded = np.concatenate([sound[-before:], sound]) if before <= len(sound) else np.resize(sound, span)
        else:
            padded = np.pad(sound, (before, max(0, span - before - len(sound))))[:span]
        return stft.transform(np.lib.stride_tricks.sliding_window_view(padded, length)[::hop][:frames])

    def back(spectra: Spectrum) -> Samples:
        stretches = stft.inverse(spectra)
        sums = np.zeros(span, np.float32)
        for index, stretch in enumerate(stretches):
            sums[index * hop : index * hop + length] += stretch
        if loop:  # what lies before the first sample belongs to the end
            sums[span - before :] += sums[:before]
        out = sums[before:]
        return np.pad(out, (0, max(0, samples - len(out))))[:samples]

    return forth, back
