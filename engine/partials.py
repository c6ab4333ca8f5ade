"""Partials: tables of carriers, and the spectrum frames that their envelopes become.

A note is a sum of carriers, each with a slow complex envelope: its partials, and between them *body* carriers for
hammer, body and breath. A carrier's frame is the main lobe of the synthesis window at its frequency, turned by the
envelope and the carrier's phase; an inverse transform and overlap-add make it sound (Rodet and Depalle 1992). The
envelope varies slowly, so a network can learn it; the pitch is the table's, so it is right by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Lobes = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Real and imaginary, see `PartialSynthesis.lobes`."""


@dataclass(frozen=True)
class CarrierTable:
    """Where the carriers of every key lie.

    first_key: MIDI key of row 0.
    hz: frequencies (keys, carriers), 0 where a key has no such carrier.
    harmonic: (keys, carriers), k for the k-th partial, 0 for a body carrier.
    """

    first_key: int
    hz: NDArray[np.float64]
    harmonic: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.hz.ndim != 2 or self.hz.shape != self.harmonic.shape or not self.hz.size:
            raise ValueError("a carrier table has one frequency and one harmonic number for each key and carrier")
        if not 0 <= self.first_key <= 127:
            raise ValueError("a carrier table's first key is not in 0..127")
        if not np.all(np.isfinite(self.hz)) or np.any(self.hz < 0) or np.any(self.harmonic < 0):
            raise ValueError("a carrier table's frequencies and harmonic numbers are finite and not negative")

    @property
    def carriers(self) -> int:
        """Carriers of each key."""
        return int(self.hz.shape[1])

    @property
    def last_key(self) -> int:
        """MIDI key of the last row."""
        return self.first_key + len(self.hz) - 1

    def row(self, key: int) -> int:
        """The row that plays a key: its own, or the nearest one beyond the table's ends."""
        return min(max(key, self.first_key), self.last_key) - self.first_key

    @cached_property
    def fundamentals(self) -> NDArray[np.float64]:
        """Frequency of the first partial of every key, (keys,)."""
        return np.asarray(np.where(self.harmonic == 1, self.hz, 0.0).max(axis=1))


@dataclass(frozen=True)
class PartialSynthesis:
    """Frames of `length` samples, one every `hop`, whose windows (Hann squared) add up to 1 at a hop of length / 4.

    Frame m is centred at sample (m + 1) hop - length / 2 of its note, as the codec's frames are. The first frames begin
    before the note-on. What they add up to is silent before it and rises in `rise` samples, whatever the envelopes are:
    no note begins with a step. The analysis knows of it, so an attack is as sharp as its envelopes can make it.
    """

    length: int
    hop: int
    sample_rate: int
    rise: int = 0

    REACH = 12  # bins on either side of a carrier; the window's lobe is 100 dB down there
    STEPS = 256  # table entries a bin; between them the lobe is interpolated linearly

    def __post_init__(self) -> None:
        if self.length != 4 * self.hop:
            raise ValueError(f"a hop of {self.hop} samples is not a quarter of a frame of {self.length}")
        if not isinstance(self.rise, int) or not 0 <= self.rise <= self.hop:
            raise ValueError(f"a rise of {self.rise} samples is not in 0..{self.hop}")

    @property
    def bins(self) -> int:
        """Frequencies of a spectrum frame."""
        return self.length // 2 + 1

    def centre(self, frame: int) -> int:
        """Sample (since note-on) at the middle of a frame, where the carriers' phases are taken."""
        return (frame + 1) * self.hop - self.length // 2

    @cached_property
    def window(self) -> NDArray[np.float64]:
        """The window that an envelope is spread with, (length,): Hann squared over 3/2."""
        n = np.arange(self.length) - self.length / 2
        return np.asarray((0.5 + 0.5 * np.cos(2 * np.pi * n / self.length)) ** 2 / 1.5)

    @cached_property
    def onset(self) -> NDArray[np.float32]:
        """Gain of a note's first samples, (rise,): half a period of a cosine, from 0 on."""
        return np.asarray((1 - np.cos(np.pi * np.arange(self.rise) / max(self.rise, 1))) / 2, np.float32)

    @cached_property
    def _lobe(self) -> NDArray[np.float64]:
        """The window's transform, real and even, at distances 0, 1 / STEPS ... REACH + 1 bins."""
        distance = np.arange((self.REACH + 1) * self.STEPS + 1) / self.STEPS
        # Hann squared is a sum of five cosines; each transforms to a Dirichlet kernel around its own bin.
        cosines = ((0, 3 / 8), (1, 1 / 4), (-1, 1 / 4), (2, 1 / 16), (-2, 1 / 16))
        x = [(np.pi * (distance - bin_ + 1e-12), weight / 1.5) for bin_, weight in cosines]
        return np.asarray(sum(weight * np.sin(angle) / np.tan(angle / self.length) for angle, weight in x))

    def lobes(self, hz: NDArray[np.float64]) -> Lobes:
        """Matrices (carriers, bins) that take the real and the imaginary parts of envelopes to a spectrum.

        Re(a e^(i w n)) g(n) transforms to (a G(b - w) + conj(a) G(b + w)) / 2: the second term, the mirror image at
        negative frequency, reaches over 0 Hz into the lowest bins. G is real, so re and im go separate ways. The
        signs (-1)^b move the frame's middle from its first sample to its centre. Carriers at 0 Hz or beyond half of
        the sample rate stay silent.
        """
        position = hz * self.length / self.sample_rate
        silent = (position <= 0) | (position >= self.bins - 1)
        position = np.where(silent, self.bins // 2, position)
        near = np.floor(position).astype(np.int64)[:, None] + np.arange(-self.REACH + 1, self.REACH + 1)
        sign = np.where(near % 2, -0.5, 0.5) * ~silent[:, None]
        taps = sign * self._interpolate(np.abs(near - position[:, None]))
        shape = (len(hz), self.bins)
        real, imaginary = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        rows = np.broadcast_to(np.arange(len(hz))[:, None], near.shape)
        mirrored = np.where(near < 0, -near, np.where(near >= self.bins, 2 * self.bins - 2 - near, near))
        direct = mirrored == near
        real[rows[direct], near[direct]] = imaginary[rows[direct], near[direct]] = taps[direct]
        folded = ~direct | (near == 0) | (near == self.bins - 1)
        np.add.at(real, (rows[folded], mirrored[folded]), taps[folded])
        np.add.at(imaginary, (rows[folded], mirrored[folded]), -taps[folded])
        return real, imaginary

    def _interpolate(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        position = distance * self.STEPS
        index = position.astype(np.int64)
        fraction = position - index
        return np.asarray(self._lobe[index] * (1 - fraction) + self._lobe[index + 1] * fraction)


def turn(hz: NDArray[np.float64], sample: int, sample_rate: int) -> NDArray[np.complex64]:
    """Phases (carriers,) of carriers at a sample since note-on, as unit complex numbers: e^(2 pi i f n / SR)."""
    return np.asarray(np.exp(2j * np.pi * ((hz * sample / sample_rate) % 1)), np.complex64)
