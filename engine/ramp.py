"""A gain that moves without a step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Ramp:
    """A number that reaches its target in a straight line within a fixed number of samples."""

    def __init__(self, value: float, samples: int) -> None:
        self._target, self._step, self._samples = value, 0.0, samples
        self.left = 0
        """Samples until it has reached its target."""

    @property
    def value(self) -> float:
        """Where it is now."""
        return self._target - self._step * self.left

    def go(self, target: float, samples: int | None = None) -> None:
        """Move to another target from now on, within another number of samples where one is given."""
        if target != self._target or samples is not None:
            value, self.left = self.value, samples or self._samples
            self._target, self._step = target, (target - value) / self.left

    def next(self, count: int) -> NDArray[np.float32] | float:
        """Its way over the next samples."""
        if not self.left:
            return self._target
        path = self._target - self._step * np.maximum(np.arange(self.left - 1, self.left - 1 - count, -1), 0)
        self.left = max(0, self.left - count)
        return np.asarray(path, np.float32)
