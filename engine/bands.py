"""Pictures of sounds: levels in bands of frequency over time, what the networks of pads and songs write.

Bands are a constant step of mel apart but never less than one bin of the transform, so none of them is empty and the
low ones are as exact as the transform is. A picture is (frames, bands): 0 is `range_db` under `top_db` and below, 1 is
`top_db`. `levels` goes from spectra to a picture, `magnitudes` back, by interpolation in dB between the bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.spectral import Spectrum, Stft

Picture = NDArray[np.float32]
"""(..., frames, bands), 0 to 1."""

SMALLEST = 1e-12
GRAIN = 192  # frames
GATE = 0.04  # of a picture's range, under which there is silence: a network's zeros are never quite zero


@dataclass(frozen=True)
class Bands:
    """A transform and its bands: `count` of them up to `high_hz`. A sine of amplitude 1 has 0 dB.

    curve: "db", or "power" for pictures of bare power relative to top_db, as the first of these systems had them.
    """

    stft: Stft
    count: int
    high_hz: float
    sample_rate: int = 44_100
    top_db: float = 0.0
    range_db: float = 80.0
    curve: str = "db"

    def __post_init__(self) -> None:
        if not 2 <= self.count <= self.stft.bins // 2:
            raise ValueError(f"{self.count} bands are not in 2..{self.stft.bins // 2}")
        if not self.count * self.bin_hz <= self.high_hz <= self.sample_rate / 2:
            raise ValueError(f"{self.count} bands do not fit under {self.high_hz:g} Hz")
        if not 10 <= self.range_db <= 200 or not -200 <= self.top_db <= 100:
            raise ValueError("the range of levels is not in 10..200 dB, or its top not in -200..100 dB")
        if self.curve not in ("db", "power"):
            raise ValueError(f"curve {self.curve!r} is not one of db, power")

    @property
    def bin_hz(self) -> float:
        """Distance of the transform's bins."""
        return self.sample_rate / self.stft.length

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """Centres in bins, (count,), the first at 0, the last at high_hz."""
        low, high = 0.0, float(_mel(self.high_hz))
        for _ in range(50):  # bisection of the step in mel
            step = (low + high) / 2
            low, high = (step, high) if self._walk(step)[-1] < self.high_hz else (low, step)
        walk = self._walk(high)
        return np.asarray(walk * (self.high_hz / walk[-1]) / self.bin_hz)

    def _walk(self, step: float) -> NDArray[np.float64]:
        """Centres in Hz that are `step` mel apart, but at least a bin."""
        hz = [0.0]
        for _ in range(self.count - 1):
            hz.append(max(hz[-1] + self.bin_hz, float(_hertz(_mel(hz[-1]) + step))))
        return np.array(hz)

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """Triangles over the bins, (count, bins), each with the sum 1."""
        bins = np.arange(self.stft.bins)[None]
        edges = np.concatenate([[self.centres[0] - 1], self.centres, [2 * self.centres[-1] - self.centres[-2]]])
        low, centre, high = (edges[i : i + self.count, None] for i in range(3))
        shape = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
        return np.asarray(shape / shape.sum(axis=1, keepdims=True), np.float32)

    @cached_property
    def _between(self) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """For every bin up to high_hz the band below it, and how far it is on the way to the next one."""
        bins = np.arange(min(self.stft.bins, int(self.centres[-1]) + 1))
        below = np.clip(np.searchsorted(self.centres, bins, "right") - 1, 0, self.count - 2)
        share = (bins - self.centres[below]) / (self.centres[below + 1] - self.centres[below])
        return below, share.astype(np.float32)

    def levels(self, spectra: Spectrum) -> Picture:
        """Picture (frames, bands) of spectra (frames, bins)."""
        power = np.square(spectra.real) + np.square(spectra.imag)
        decibels = 10 * np.log10(power @ self.weights.T + SMALLEST)
        return self.scaled(decibels)

    def scaled(self, decibels: NDArray[np.floating]) -> Picture:
        """Levels in dB as numbers of a picture, nothing under 0."""
        if self.curve == "power":
            return np.asarray(10 ** ((decibels - self.top_db) / 10), np.float32)
        return np.asarray(np.maximum((decibels - self.top_db) / self.range_db + 1, 0), np.float32)

    def decibels(self, picture: Picture) -> Picture:
        """Numbers of a picture in dB."""
        if self.curve == "power":
            return (10 * np.log10(np.maximum(picture, SMALLEST)) + self.top_db).astype(np.float32)
        return self._heard(picture)

    def magnitudes(self, picture: Picture) -> NDArray[np.float32]:
        """Magnitudes (frames, bins) of a picture (frames, bands), 0 where it is under GATE and over high_hz.

        Numbers over 1.1 are held there: a network that errs must not be loud.
        """
        below, share = self._between
        bounded = np.clip(picture, 0, 1.1)
        if self.curve == "power":
            bounded = np.maximum(self.decibels(bounded) - self.top_db + self.range_db, 0) / self.range_db
        between = bounded[:, below] * (1 - share) + bounded[:, below + 1] * share
        out = np.zeros((len(picture), self.stft.bins), np.float32)
        out[:, : len(below)] = np.where(between > GATE, 10 ** (self._heard(between) / 20), 0)
        return out

    def textured(self, magnitudes: NDArray[np.float32], seed: int, first: int = 0) -> NDArray[np.float32]:
        """Magnitudes (frames, bins) with the grain of noise where bands are wider than a bin.

        Between bands' centres a picture is smooth as no noise is; phases that are integrated from it would be those of
        a click in every frame, a buzz. The grain is the spectrum of white noise that goes round after GRAIN frames; its
        mean power is 1. seed: which noise. first: place of the first frame in it.
        """
        stft = self.stft
        noise = np.random.default_rng(seed).standard_normal(GRAIN * stft.hop).astype(np.float32)
        starts = (first + np.arange(len(magnitudes))) % GRAIN * stft.hop
        stretches = noise[(starts[:, None] + np.arange(stft.length)[None]) % len(noise)]
        power = np.square(np.abs(stft.transform(stretches))) * (
            float(stft.shape.sum()) ** 2 / (4 * float(np.square(stft.shape).sum()))
        )
        below, _ = self._between
        width = np.diff(self.centres)[below]
        share = np.clip(width - 1, 0, 1).astype(np.float32)
        out = magnitudes.copy()
        out[:, : len(below)] *= np.sqrt(share * power[:, : len(below)] + 1 - share)
        return out

    def _heard(self, levels: Picture) -> Picture:
        """dB of levels on the scale of "db"."""
        return (levels - 1) * np.float32(self.range_db) + np.float32(self.top_db)


def _mel(hz: float) -> float:
    """O'Shaughnessy's formula: 2595 log10(1 + hz / 700)."""
    return float(2595 * np.log10(1 + hz / 700))


def _hertz(mel: float) -> float:
    return float(700 * (10 ** (mel / 2595) - 1))
