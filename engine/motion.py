"""Vibrato and ensemble as slow random processes: no two notes are the same, and every note can be made again.

A note's pitch swings with a rate and a depth that grow as it is held, and in an ensemble each carrier moves a little
for itself. How fast, how deep and how irregular was measured in the teacher. What is random is drawn from the note's
key and velocity: what is played live is what is rendered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine import _native

AGES = (0.1, 0.25, 0.5, 1.0, 2.0)  # seconds at which the depth is known; later it stays
NUMBERS = 5 + len(AGES)
"""Numbers of a `Motion`, in the order of its fields."""
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
        """Deviation of the pitch at some ages of a note; seed: of the note."""
        return np.asarray(_native.motion_cents(self.numbers().tolist(), seed, seconds.tolist()))

    def envelopes(self, seed: int, seconds: NDArray[np.float64], carriers: int) -> NDArray[np.complex64]:
        """Factors (frames, carriers) of the envelopes, 1 on average."""
        made = _native.motion_crowd(self.numbers().tolist(), seed, seconds.tolist(), carriers)
        return np.asarray(made[:, 0] + 1j * made[:, 1], np.complex64)


def check_numbers(tables: NDArray[np.float64]) -> None:
    """Raise ValueError where tables (..., NUMBERS) hold no motion."""
    if tables.shape[-1] != NUMBERS or not np.all(np.isfinite(tables)) or np.any(tables < 0):
        raise ValueError(f"a motion is {NUMBERS} finite numbers, none negative")
    rate, wander, drift, ensemble, spread, depth = np.split(tables, (1, 2, 3, 4, 5), axis=-1)
    if max(rate.max(), spread.max()) > FASTEST or max(wander.max(), ensemble.max()) > 1:
        raise ValueError("a motion is too fast or too irregular")
    if max(drift.max(), depth.max()) > DEEPEST:
        raise ValueError("a vibrato is too deep")
