"""Short-time Fourier transform and back, in one piece and as a stream, and the power normalisation of spectra.

Frame m of a signal ends with sample (m + 1) * hop: the first frame holds the first hop of the signal behind zeros, the
last one the signal's last samples before zeros. So every sample lies under all of its windows, and a frame is ready
as soon as its last hop has arrived. Synthesis multiplies every frame by the window again and divides by the sum of
the squared windows (Griffin and Lim 1984), so that an unchanged spectrum gives its signal back to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

WINDOWS = ("hann", "kaiser", "rectangular")
KAISER_BETA = 8.0
LONGEST_FRAME = 1 << 20


def window(name: str, length: int) -> NDArray[np.float64]:
    """A periodic window (its first sample would come again after `length`), shape (length,)."""
    match name:
        case "hann":
            return np.hanning(length + 1)[:length]
        case "kaiser":
            return np.kaiser(length + 1, KAISER_BETA)[:length]
        case "rectangular":
            return np.ones(length)
    raise ValueError(f"window {name!r} is not one of {', '.join(WINDOWS)}")


@dataclass(frozen=True)
class Stft:
    """A short-time Fourier transform: `length` samples a frame, `hop` samples between frames.

    Spectra have shape (frames, bins), bins = length / 2 + 1, complex64, scaled so that a sine of amplitude 1 peaks
    at 1 (numpy's sum divided by half of the window's sum).
    """

    length: int
    hop: int
    window: str = "hann"

    def __post_init__(self) -> None:
        if not 2 <= self.length <= LONGEST_FRAME or self.length % 2:
            raise ValueError(f"a frame of {self.length} samples is not an even number in 2..{LONGEST_FRAME}")
        if not 0 < self.hop <= self.length:
            raise ValueError(f"a hop of {self.hop} samples is not in 1..{self.length}")
        if np.min(self._overlap) < 1e-3 * np.max(self._overlap):
            raise ValueError(f"hop {self.hop} leaves gaps between windows of {self.length} samples")

    @property
    def bins(self) -> int:
        """Frequencies in a frame, 0 Hz and half of the sample rate included."""
        return self.length // 2 + 1

    @cached_property
    def shape(self) -> Samples:
        """The window, (length,)."""
        return window(self.window, self.length).astype(np.float32)

    @cached_property
    def analysis_window(self) -> Samples:
        """The window that makes a sine of amplitude 1 peak at 1, (length,)."""
        return (window(self.window, self.length) * self.scale).astype(np.float32)

    @cached_property
    def scale(self) -> float:
        """By which a spectrum is multiplied so that a sine of amplitude 1 peaks at 1."""
        return float(2.0 / window(self.window, self.length).sum())

    @cached_property
    def _overlap(self) -> NDArray[np.float64]:
        """Sum of the squared windows over one hop, (hop,): the same at every hop of an endless signal."""
        squared = window(self.window, self.length) ** 2
        padded = np.pad(squared, (0, -len(squared) % self.hop))
        return np.asarray(padded.reshape(-1, self.hop).sum(axis=0))

    @cached_property
    def synthesis_window(self) -> Samples:
        """Window that a frame is multiplied by before it is added to the stream, (length,)."""
        norm = np.resize(self._overlap, self.length)
        return (window(self.window, self.length) / norm).astype(np.float32)

    def frame_count(self, samples: int) -> int:
        """Frames that touch a signal of that many samples."""
        return math.ceil((samples + self.length) / self.hop) - 1 if samples else 0

    def transform(self, frames: Samples) -> Spectrum:
        """Spectra (..., bins) of unwindowed stretches of signal (..., length)."""
        return np.fft.rfft(frames * self.analysis_window, axis=-1).astype(np.complex64, copy=False)

    def inverse(self, spectra: Spectrum) -> Samples:
        """Windowed stretches (..., length), ready to be overlapped and added, of spectra (..., bins)."""
        frames = np.fft.irfft(spectra / np.float32(self.scale), n=self.length, axis=-1)
        return (frames * self.synthesis_window).astype(np.float32)

    def analyse(self, signal: Samples) -> Spectrum:
        """Spectrum (frames, bins) of a whole signal (samples,)."""
        stream = StreamingStft(self)
        return np.concatenate([stream.push(signal), stream.flush()])

    def synthesise(self, spectra: Spectrum, samples: int) -> Samples:
        """Signal of `samples` samples of a whole spectrum (frames, bins)."""
        stream = StreamingIstft(self)
        signal = np.concatenate([stream.push(spectra), stream.flush()])
        return np.pad(signal, (0, max(0, samples - len(signal))))[:samples]


class StreamingStft:
    """Frames of a signal that arrives in blocks of any size."""

    def __init__(self, stft: Stft) -> None:
        self._stft = stft
        self._rest = np.zeros(stft.length - stft.hop, np.float32)
        self._samples = self._frames = 0

    def push(self, block: Samples) -> Spectrum:
        """Take samples (n,); return the frames (frames, bins) that they complete."""
        stft = self._stft
        self._samples += len(block)
        signal = np.concatenate([self._rest, block.astype(np.float32, copy=False)])
        count = max(0, (len(signal) - stft.length) // stft.hop + 1)
        self._rest = signal[count * stft.hop :]
        self._frames += count
        if not count:
            return np.zeros((0, stft.bins), np.complex64)
        return stft.transform(np.lib.stride_tricks.sliding_window_view(signal, stft.length)[:: stft.hop][:count])

    def flush(self) -> Spectrum:
        """The last frames, whose windows reach beyond the signal's end."""
        missing = self._stft.frame_count(self._samples) - self._frames
        if missing <= 0:
            return np.zeros((0, self._stft.bins), np.complex64)
        needed = (missing - 1) * self._stft.hop + self._stft.length - len(self._rest)
        samples = self._samples
        frames = self.push(np.zeros(needed, np.float32))
        self._samples = samples
        return frames[:missing]


class OverlapAdd:
    """Adds overlapping stretches into a stream; a stretch begins `hop` samples after the one before it."""

    def __init__(self, length: int, hop: int, skip: int = 0) -> None:
        """`skip`: samples at the stream's start that are dropped, because they lie before the signal."""
        self._tail = np.zeros(length, np.float32)
        self._hop = hop
        self._skip = skip

    def push(self, stretches: Samples) -> Samples:
        """Take (frames, length); return the samples (n,) that no later stretch can touch."""
        if not len(stretches):
            return np.zeros(0, np.float32)
        hop, length = self._hop, len(self._tail)
        sums = np.zeros(len(stretches) * hop + length, np.float32)
        sums[:length] = self._tail
        for index, stretch in enumerate(stretches):
            sums[index * hop : index * hop + length] += stretch
        done = len(stretches) * hop
        self._tail = sums[done : done + length].copy()
        return self._cut(sums[:done])

    def flush(self) -> Samples:
        """What is left in the stream."""
        tail, self._tail = self._tail, np.zeros_like(self._tail)
        return self._cut(tail)

    def _cut(self, samples: Samples) -> Samples:
        dropped = min(self._skip, len(samples))
        self._skip -= dropped
        return samples[dropped:]


class StreamingIstft:
    """A signal of frames that arrive in any number at a time."""

    def __init__(self, stft: Stft) -> None:
        self._stft = stft
        self._sum = OverlapAdd(stft.length, stft.hop, skip=stft.length - stft.hop)

    def push(self, spectra: Spectrum) -> Samples:
        """Take frames (frames, bins); return the samples (n,) that they complete."""
        return self._sum.push(self._stft.inverse(spectra))

    def flush(self) -> Samples:
        """The samples that still lie under the last windows."""
        return self._sum.flush()


def normalise_power(spectra: Spectrum, power: float) -> Spectrum:
    """Raise every magnitude to `power` and keep its angle: z |z|^(power - 1); 0 stays 0. nnss takes 1/8."""
    if power <= 0:
        raise ValueError(f"power {power} is not over 0")
    magnitude = np.abs(spectra)
    return (spectra * np.power(np.maximum(magnitude, 1e-30), power - 1.0)).astype(np.complex64)


def denormalise_power(spectra: Spectrum, power: float) -> Spectrum:
    """Undo `normalise_power` with the same power."""
    return normalise_power(spectra, 1.0 / power)
