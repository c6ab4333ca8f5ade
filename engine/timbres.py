"""A space of timbres: what lies between the sounds that a network has learned.

Each learned timbre is a point. Axes are the principal ones of those points, in order of importance; a position on them
is given in standard deviations. Between the points, the carriers' frequencies and reference levels are weighted means
(of logarithms) with inverse-distance weights (Shepard 1968): at a timbre's own point they are that timbre's alone, and
everywhere they lie within what was measured, so that every place is in tune and none is too loud.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.motion import Motion, check_numbers

NEARNESS = 4.0  # power of the inverse distance: higher keeps to the nearest timbre for longer
_CLOSE = 1e-6
_FAINT = 1e-9


@dataclass(frozen=True)
class TimbreSpace:
    """Tables of some timbres at some keys.

    names: of the timbres. points: where they lie, (timbres, dims).
    anchors: MIDI keys that were measured, ascending.
    hz: carriers' frequencies (timbres, anchors, carriers), 0 for none. harmonic: (carriers,), 0 for a body carrier; a
        partial of a lower octave's fundamental (an organ's 16-foot stop) is a half.
    level, phase: reference levels and phases (radians), (timbres, anchors, channels, carriers).
    exponents: amplitude is proportional to (velocity / 127) ** exponent, (timbres,).
    noise: reference levels of noise bands, (timbres, anchors, channels, bands).
    motion: see `engine.motion.Motion`, (timbres, anchors, NUMBERS).
    voicing: decibels that make a key as loud as those around it, (timbres, anchors).
    """

    names: tuple[str, ...]
    points: NDArray[np.float64]
    anchors: NDArray[np.int64]
    hz: NDArray[np.float64]
    harmonic: NDArray[np.float64]
    level: NDArray[np.float64]
    phase: NDArray[np.float64]
    exponents: NDArray[np.float64]
    noise: NDArray[np.float64]
    motion: NDArray[np.float64]
    voicing: NDArray[np.float64]

    def __post_init__(self) -> None:
        timbres, anchors, carriers = len(self.names), len(self.anchors), len(self.harmonic)
        if self.points.ndim != 2 or len(self.points) != timbres or not 1 <= self.points.shape[1] <= 64:
            raise ValueError("a timbre space has one point of 1..64 dimensions for each name")
        if self.hz.shape != (timbres, anchors, carriers) or self.level.shape[:2] != (timbres, anchors):
            raise ValueError("a timbre space's tables do not agree in timbres, keys or carriers")
        if self.level.ndim != 4 or self.level.shape[3] != carriers or not timbres or not anchors or not carriers:
            raise ValueError("a timbre space's reference levels are (timbres, keys, channels, carriers)")
        if self.phase.shape != self.level.shape:
            raise ValueError("a timbre space has one reference phase for each level")
        if np.any(np.diff(self.anchors) <= 0) or self.anchors[0] < 0 or self.anchors[-1] > 127:
            raise ValueError("a timbre space's keys do not ascend within 0..127")
        if np.any(self.harmonic < 0):
            raise ValueError("a timbre space has a negative harmonic number")
        if self.exponents.shape != (timbres,) or np.any(self.exponents < 0) or np.any(self.exponents > 8):
            raise ValueError("a timbre space has one velocity exponent in 0..8 for each timbre")
        if self.noise.ndim != 4 or self.noise.shape[:3] != self.level.shape[:3]:
            raise ValueError("a timbre space's noise levels are (timbres, keys, channels, bands)")
        if self.motion.shape[:2] != (timbres, anchors):
            raise ValueError("a timbre space has one motion for each timbre and key")
        check_numbers(self.motion)
        if self.voicing.shape != (timbres, anchors):
            raise ValueError("a timbre space has one voicing for each timbre and key")
        numbers = (self.points, self.hz, self.level, self.phase, self.exponents)
        tables = (*numbers, self.noise, self.harmonic, self.voicing)
        negative = any(bool(np.any(table < 0)) for table in (self.hz, self.level, self.noise))
        if not all(np.all(np.isfinite(table)) for table in tables) or negative:
            raise ValueError("a timbre space's numbers are finite, its frequencies and levels not negative")

    @property
    def dims(self) -> int:
        """Dimensions of a point."""
        return int(self.points.shape[1])

    @cached_property
    def centre(self) -> NDArray[np.float64]:
        """Mean of the points, (dims,): where all axes stand at 0."""
        return np.asarray(self.points.mean(axis=0))

    @cached_property
    def axes(self) -> NDArray[np.float64]:
        """Principal axes, (axes, dims), each one standard deviation long, the longest first."""
        _, sizes, directions = np.linalg.svd(self.points - self.centre, full_matrices=False)
        lengths = sizes / np.sqrt(max(1, len(self.points)))
        # A sign of its own for every axis: its largest component is positive.
        signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])
        return np.asarray(directions * (lengths * signs)[:, None])

    def point(self, positions: Sequence[float]) -> NDArray[np.float64]:
        """The point (dims,) at positions on the first axes, in standard deviations."""
        values = np.asarray(positions, np.float64)
        return np.asarray(self.centre + values @ self.axes[: len(values)])

    def positions(self, name: str) -> NDArray[np.float64]:
        """Where a named timbre lies on the axes, (axes,), in standard deviations. Raises KeyError."""
        if name not in self.names:
            raise KeyError(name)
        axes = self.axes
        lengths = np.maximum((axes**2).sum(axis=1), _FAINT)
        return np.asarray((self.points[self.names.index(name)] - self.centre) @ axes.T / lengths)

    def weights(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shares (timbres,) of the timbres at a point; they add up to 1."""
        distance = np.sqrt(((self.points - point) ** 2).sum(axis=1))
        if distance.min() < _CLOSE:
            return np.asarray((distance == distance.min()) / np.count_nonzero(distance == distance.min()))
        inverse = (distance.min() / distance) ** NEARNESS
        return np.asarray(inverse / inverse.sum())

    def frequencies(self, point: NDArray[np.float64], key: float) -> NDArray[np.float64]:
        """Carriers (carriers,) of a key in Hz: the partials follow the key, body carriers stay where they are."""
        weights, (low, high, share) = self.weights(point), self._between(key)
        result = np.zeros(len(self.harmonic))
        for anchor, part in ((low, 1 - share), (high, share)):
            hz = self.hz[:, anchor]
            silent = (hz <= 0).all(axis=0)
            log = np.where(hz > 0, np.log(np.maximum(hz, _FAINT)), 0.0)
            # A timbre without this carrier has no say in where it lies.
            share_of = weights[:, None] * (hz > 0)
            mean = (log * share_of).sum(axis=0) / np.maximum(share_of.sum(axis=0), _FAINT)
            moved = mean + np.where(self.harmonic > 0, (key - self.anchors[anchor]) * np.log(2) / 12, 0.0)
            result += part * np.where(silent, -np.inf, moved) if part else 0.0
        return np.asarray(np.where(np.isfinite(result), np.exp(np.where(np.isfinite(result), result, 0)), 0.0))

    def reference(self, point: NDArray[np.float64], key: float) -> NDArray[np.complex128]:
        """Reference levels and phases (channels, carriers) of a key, complex.

        Levels are means of logarithms; a phase is that of the mean of unit vectors, which at a timbre's own point and
        key is the measured one.
        """
        weights, (low, high, share) = self.weights(point), self._between(key)
        logs = np.log(np.maximum(self.level[:, [low, high]], _FAINT))
        mean = np.tensordot(weights, logs, axes=1)
        turns = np.tensordot(weights, np.exp(1j * self.phase[:, [low, high]]), axes=1)
        turn = turns[0] * (1 - share) + turns[1] * share
        size = np.abs(turn)
        unit = np.where(size > _CLOSE, turn / np.maximum(size, _CLOSE), 1.0)
        return np.asarray(np.exp(mean[0] * (1 - share) + mean[1] * share) * unit)

    def noise_level(self, point: NDArray[np.float64], key: float) -> NDArray[np.float64]:
        """Reference levels of the noise bands (channels, bands) of a key: means of logarithms."""
        weights, (low, high, share) = self.weights(point), self._between(key)
        logs = np.tensordot(weights, np.log(np.maximum(self.noise[:, [low, high]], _FAINT)), axes=1)
        return np.asarray(np.exp(logs[0] * (1 - share) + logs[1] * share))

    def motion_of(self, point: NDArray[np.float64], key: float) -> Motion:
        """How a key moves by chance: weighted means."""
        low, high, share = self._between(key)
        mean = np.tensordot(self.weights(point), self.motion[:, [low, high]], axes=1)
        return Motion.from_numbers(mean[0] * (1 - share) + mean[1] * share)

    def voicing_of(self, point: NDArray[np.float64], key: float) -> float:
        """Decibels that make a key as loud as those around it: a weighted mean."""
        low, high, share = self._between(key)
        mean = self.weights(point) @ self.voicing[:, [low, high]]
        return float(mean[0] * (1 - share) + mean[1] * share)

    def gain(self, point: NDArray[np.float64], velocity: float) -> float:
        """Amplitude factor of a velocity."""
        return float((velocity / 127) ** (self.weights(point) @ self.exponents))

    def _between(self, key: float) -> tuple[int, int, float]:
        """Indices of the anchors on either side of a key, and how far it is on the way from the one to the other."""
        high = int(np.clip(np.searchsorted(self.anchors, key), 1, max(1, len(self.anchors) - 1)))
        low = max(0, high - 1)
        high = min(high, len(self.anchors) - 1)
        if low == high:
            return low, high, 0.0
        share = (key - self.anchors[low]) / (self.anchors[high] - self.anchors[low])
        return low, high, float(np.clip(share, 0.0, 1.0))
