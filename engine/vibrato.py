"""Vibrato and ensemble as slow random processes, so that no two notes are the same and every note can be made again.

A note's pitch swings with a rate and a depth that grow as it is held; both, and how far they wander, were measured in
the teacher. What is random is drawn from the note's key and velocity: what is played live is what is rendered.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

AGES = (0.1, 0.25, 0.5, 1.0, 2.0)  # seconds at which the depth is known; later it stays
NUMBERS = 3 + len(AGES)
"""Numbers of a `Vibrato`, see `from_numbers`."""
WANDERING_HZ = 0.7  # rate at which rate and depth wander, and the pitch drifts
WAVES = 5  # sines that make a slow random process
HIGHEST_RATE, DEEPEST = 20.0, 200.0  # of what a file may hold


@dataclass(frozen=True)
class Vibrato:
    """rate: Hz. wander: standard deviation of the rate, relative to it. drift: standard deviation in cents of a slow
    drift of the pitch. depth: amplitude in cents at AGES."""

    rate: float
    wander: float
    drift: float
    depth: tuple[float, ...]

    @classmethod
    def from_numbers(cls, numbers: NDArray[np.float64]) -> Vibrato:
        """From a row of a table, (NUMBERS,)."""
        rate, wander, drift, *depth = (float(number) for number in numbers)
        return cls(rate, wander, drift, tuple(depth))

    def cents(self, seed: int, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Deviation of the pitch at some ages of a note."""
        slow = _processes(seed)
        depth = np.interp(seconds, (0.0, *AGES), (self.depth[0], *self.depth))
        turns = self.rate * (seconds + self.wander * slow.integral(0, seconds)) + slow.start
        swing = depth * np.sin(2 * np.pi * turns)
        return np.asarray(swing + self.drift * slow.value(1, seconds))


@dataclass(frozen=True)
class _Slow:
    """Two random processes of unit variance, sums of slow sines. hz, phase: (2, WAVES); start: of the vibrato, turns."""

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
def _processes(seed: int) -> _Slow:
    rng = np.random.default_rng([seed, 17])
    hz = WANDERING_HZ * rng.uniform(0.3, 1.7, (2, WAVES))
    return _Slow(hz, rng.uniform(0, 2 * np.pi, (2, WAVES)), float(rng.uniform()))


def check_numbers(tables: NDArray[np.float64]) -> None:
    """Raise ValueError where tables (..., NUMBERS) hold no vibrato."""
    if tables.shape[-1] != NUMBERS or not np.all(np.isfinite(tables)) or np.any(tables < 0):
        raise ValueError(f"a vibrato is {NUMBERS} finite numbers, none negative")
    if np.any(tables[..., 0] > HIGHEST_RATE) or np.any(tables[..., 1] > 1) or np.any(tables[..., 2:] > DEEPEST):
        raise ValueError("a vibrato is too fast or too deep")
