"""Which sample is rendered at a moment of time: how events that come between two blocks keep their distances."""

from __future__ import annotations

WINDOW_SECONDS = 0.1
"""Over which the earliest block tells the time. Long enough for one that was asked for promptly to be among them, and
short: where the sound server left out a block, all later samples come later than they would have, and as long as blocks
from before that are remembered, every event waits in vain for as much."""


class SampleClock:
    """Blocks are asked for at a steady rate but now and then later: the earliest of the last window or two count."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._since, self._earliest, self._before = 0.0, 0.0, 0.0

    def reset(self) -> None:
        """Forget what was; the next block tells anew."""
        self._since = 0.0

    def mark(self, moment: float, sample: int) -> None:
        """A block that begins with a sample is rendered at a moment (seconds)."""
        zero = moment - sample / self._rate
        if not self._since or moment - self._since > 4 * WINDOW_SECONDS:  # the first one, or after a sleep
            self._since, self._earliest, self._before = moment, zero, zero
        elif moment - self._since > WINDOW_SECONDS:
            self._since, self._before, self._earliest = moment, self._earliest, zero
        self._earliest = min(self._earliest, zero)

    def sample(self, moment: float) -> int:
        """The sample of a moment; 0 before the first block."""
        return round((moment - min(self._earliest, self._before)) * self._rate) if self._since else 0
