"""Vibrato and ensemble as slow random processes: no two notes are the same, and every note can be made again.

A note's pitch swings with a rate and a depth that grow as it is held, and in an ensemble each carrier moves a little
for itself. How fast, how deep and how irregular was measured in the teacher. What is random is drawn from the note's
key and velocity: what is played live is what is rendered.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

AGES = (0.1, 0.25, 0.5, 1.0, 2.0)  # seconds at which the depth is known; later it stays
NUMBERS = 5 + len(AGES)
"""Numbers of a `Motion`, in the order of its fields."""
WANDERING_HZ = 0.7  # mean rate at which rate and depth wander
WAVES = 5  # sines that make a slow random process
FASTEST, DEEPEST = 20.0, 200.0  # Hz and cents that a file may hold


@dataclass(frozen=True)
class Motion:
    """How a note moves by chance.

    rate: of the vibrato, Hz. wander: standard deviation of the rate, relative to it. drift: that of the pitch, slowly,
    in cents. ensemble: that of every carrier's envelope, relative to it. spread: Hz by which the voices of an ensemble
    lie apart. depth: amplitude of the vibrato in cents at AGES.
    """

    rate: float
    wander: float
    drift: float
    ensemble: float
    spread: float
    depth: tuple[float, ...]

    @classmethod
    def from_numbers(cls, numbers: NDArray[np.float64]) -> Motion:
        """From a row of a table, (NUMBERS,)."""
        rate, wander, drift, ensemble, spread, *depth = (float(number) for number in numbers)
        return cls(rate, wander, drift, ensemble, spread, tuple(depth))

    def numbers(self) -> NDArray[np.float64]:
        """As a row of a table, (NUMBERS,)."""
        return np.array([self.rate, self.wander, self.drift, self.ensemble, self.spread, *self.depth])

    @property
    def swings(self) -> bool:
        """Whether the pitch moves at all."""
        return max(self.drift, *self.depth) > 0

    def cents(self, seed: int, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Deviation of the pitch at some ages of a note."""
        slow = _slow(seed)
        depth = np.interp(seconds, (0.0, *AGES), (self.depth[0], *self.depth))
        turns = self.rate * (seconds + self.wander * slow.integral(0, seconds)) + slow.start
        return np.asarray(depth * np.sin(2 * np.pi * turns) + self.drift * slow.value(1, seconds))

    def envelopes(self, seed: int, seconds: NDArray[np.float64], carriers: int) -> NDArray[np.complex64]:
        """Factors (frames, carriers) of the envelopes, 1 on average."""
        hz, phase = _voices(seed, carriers)
        angle = 2 * np.pi * self.spread * np.multiply.outer(seconds, hz) + phase
        return np.asarray(1 + self.ensemble * np.exp(1j * angle).sum(-1) / np.sqrt(WAVES), np.complex64)


@dataclass(frozen=True)
class _Slow:
    """Two random processes of unit variance, sums of slow sines.

    hz, phase: of these, (2, WAVES). start: of the vibrato, in turns.
    """

    hz: NDArray[np.float64]
    phase: NDArray[np.float64]
    start: float

    def value(self, which: int, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        angle = 2 * np.pi * np.multiply.outer(seconds, self.hz[which]) + self.phase[which]
        return np.asarray(np.sqrt(2 / WAVES) * np.sin(angle).sum(-1))

    def integral(self, which: int, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of `value` from the note-on on."""
        angle = 2 * np.pi * np.multiply.outer(seconds, self.hz[which]) + self.phase[which]
        falls = (np.cos(self.phase[which]) - np.cos(angle)) / (2 * np.pi * self.hz[which])
        return np.asarray(np.sqrt(2 / WAVES) * falls.sum(-1))


@lru_cache(maxsize=512)
def _slow(seed: int) -> _Slow:
    rng = np.random.default_rng([seed, 17])
    hz = WANDERING_HZ * rng.uniform(0.3, 1.7, (2, WAVES))
    return _Slow(hz, rng.uniform(0, 2 * np.pi, (2, WAVES)), float(rng.uniform()))


@lru_cache(maxsize=512)
def _voices(seed: int, carriers: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies, of unit variance, and phases (carriers, WAVES) of an ensemble's voices."""
    rng = np.random.default_rng([seed, 18])
    return rng.standard_normal((carriers, WAVES)), rng.uniform(0, 2 * np.pi, (carriers, WAVES))


def check_numbers(tables: NDArray[np.float64]) -> None:
    """Raise ValueError where tables (..., NUMBERS) hold no motion."""
    if tables.shape[-1] != NUMBERS or not np.all(np.isfinite(tables)) or np.any(tables < 0):
        raise ValueError(f"a motion is {NUMBERS} finite numbers, none negative")
    rate, wander, drift, ensemble, spread, depth = np.split(tables, (1, 2, 3, 4, 5), axis=-1)
    if max(rate.max(), spread.max()) > FASTEST or max(wander.max(), ensemble.max()) > 1:
        raise ValueError("a motion is too fast or too irregular")
    if max(drift.max(), depth.max()) > DEEPEST:
        raise ValueError("a vibrato is too deep")
