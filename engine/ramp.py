"""A gain that moves without a step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Ramp:
    """A number that reaches its target in a straight line within a fixed number of samples."""

    def __init__(self, value: float, samples: int) -> None:
        self._value, self._target, self._step, self._samples = value, value, 0.0, samples

    @property
    def value(self) -> float:
        """Where it is now."""
        return self._value

    @property
    def settled(self) -> bool:
        """Whether it has reached its target."""
        return self._value == self._target

    def go(self, target: float, samples: int | None = None) -> None:
        """Move to a target from now on, within another number of samples where one is given."""
        if target != self._target or samples is not None:
            self._target = target
            self._step = (target - self._value) / (samples or self._samples)

    def next(self, count: int) -> NDArray[np.float32] | float:
        """Its way over the next samples."""
        if self.settled or not count:
            return self._value
        path = self._value + self._step * np.arange(1, count + 1)
        low, high = sorted((self._value, self._target))
        path = np.clip(path, low, high)
        self._value = self._target if path[-1] == self._target else float(path[-1])
        return np.asarray(path, np.float32)
