"""At which frames of a note the network writes: often where a note begins or is let go, seldom where it is old.

A frame at which it writes is a *knot*; between knots envelopes are interpolated linearly. A held note's knots lie on
the held grid. A release is heard from a frame on, the *border*: there the released grid begins, and the frame before
the border is a knot too, so that what was held ends where it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.int64]

LARGEST_STRIDE, LATEST_STRIDE, MOST_STRIDES = 16, 1 << 16, 8


@dataclass(frozen=True)
class Strides:
    """Frames 0, 1, 2 ... up to the first step's start, then every second one or so, and so on.

    steps: (from which frame on, how many frames apart), increasing; each lies on the grid of those before it.
    """

    steps: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        whole = all(isinstance(number, int) and not isinstance(number, bool) for step in self.steps for number in step)
        if not whole or any(len(step) != 2 for step in self.steps) or len(self.steps) > MOST_STRIDES:
            raise ValueError(f"a grid is up to {MOST_STRIDES} pairs of a frame and a stride, whole numbers")
        before, stride = 0, 1
        for start, wider in self.steps:
            if not before < start <= LATEST_STRIDE or not stride < wider <= LARGEST_STRIDE:
                raise ValueError(f"a grid's frames and strides increase, up to {LATEST_STRIDE} and {LARGEST_STRIDE}")
            if (start - before) % stride:
                raise ValueError(f"a stride of {stride} frames from {before} on does not meet frame {start}")
            before, stride = start, wider

    def frames(self, first: int, count: int) -> Frames:
        """The `count` knots number first, first + 1, ..."""
        index = np.arange(first, first + count)
        frames, number, before, stride = index.copy(), 0, 0, 1
        for start, wider in self.steps:
            number += (start - before) // stride
            frames = np.where(index >= number, start + (index - number) * wider, frames)
            before, stride = start, wider
        return frames

    def index(self, frame: int) -> int:
        """How many knots lie before a frame."""
        number, before, stride = 0, 0, 1
        for start, wider in self.steps:
            if frame <= start:
                break
            number += (start - before) // stride
            before, stride = start, wider
        return number + -(-max(frame - before, 0) // stride)


DENSE = Strides()


@dataclass(frozen=True)
class Grid:
    """Knots of held and of released notes."""

    held: Strides = DENSE
    released: Strides = DENSE

    def after(self, frame: int, count: int, border: int | None = None) -> Frames:
        """The next `count` knots from a frame on; border: the first frame that hears the release, None while held."""
        if border is None:
            return self.held.frames(self.held.index(frame), count)
        before = self.held.frames(self.held.index(frame), max(self.held.index(border) - self.held.index(frame), 0))
        if border > frame and (not len(before) or before[-1] != border - 1):
            before = np.append(before, border - 1)
        since = self.released.index(max(frame - border, 0))
        return np.concatenate([before, border + self.released.frames(since, max(count - len(before), 0))])[:count]

    def until(self, end: int, border: int | None = None) -> Frames:
        """All knots before a frame, and the next one."""
        count = self.held.index(end) + 1
        if border is not None and border < end:
            count = self.held.index(border) + 1 + self.released.index(end - border) + 1
        knots = self.after(0, count, border)
        return knots[: int(np.searchsorted(knots, end)) + 1]

    def to_json(self) -> dict[str, Any]:
        """As it stands in an instrument file."""
        return {"held": [list(step) for step in self.held.steps], "released": [list(s) for s in self.released.steps]}

    @classmethod
    def from_json(cls, data: Any) -> Grid:
        """From an instrument file; nothing there means that every frame is a knot. Raises ValueError for no grid."""
        if data is None:
            return cls()
        parts: list[Any] = [data.get(name) for name in ("held", "released")] if isinstance(data, dict) else [None]
        if not all(isinstance(part, list) and all(isinstance(step, list) for step in part) for part in parts):
            raise ValueError("a grid has two lists of pairs, 'held' and 'released'")
        return cls(*(Strides(tuple(tuple(step) for step in part)) for part in parts))


def interpolation(knots: Sequence[int] | Frames, first: int, last: int) -> NDArray[np.float32]:
    """Matrix (frames, knots) that draws lines between values at knots; frames first ... last. The first knot's value
    holds before it, the last one's after it."""
    places, frames = np.asarray(knots), np.arange(first, last + 1)
    if len(places) == 1:
        return np.ones((len(frames), 1), np.float32)
    right = np.clip(np.searchsorted(places, frames, "left"), 1, len(places) - 1)
    share = np.clip((frames - places[right - 1]) / (places[right] - places[right - 1]), 0, 1)
    matrix = np.zeros((len(frames), len(places)), np.float32)
    rows = np.arange(len(frames))
    matrix[rows, right - 1] = 1 - share
    matrix[rows, right] += share.astype(np.float32)
    return matrix
