"""What can be undone: one immutable state of everything that an edit may change, and the steps between states."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.score_options import ScoreOptions
from musicnn_gui.presets import Preset

MOST_STEPS = 5000
JOIN_SECONDS = 0.7  # within which edits of one thing are one step


@dataclass(frozen=True, slots=True)
class EditState:
    """Never changed in place.

    knobs: values by name; other: those of the other side of A/B. loaded: the knobs right after `preset` was loaded.
    mapping: numbers of controllers by the names of the knobs that they turn.
    """

    knobs: Mapping[str, float] = field(default_factory=dict)
    other: Mapping[str, float] = field(default_factory=dict)
    side: str = "A"
    locks: frozenset[str] = frozenset()
    mapping: Mapping[str, int] = field(default_factory=dict)
    score: ScoreOptions = field(default_factory=ScoreOptions)
    preset: Preset | None = None
    loaded: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Step:
    before: EditState
    after: EditState
    what: str
    moment: float


class History:
    """Steps that were made, and steps that were undone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._made: list[_Step] = []
        self._undone: list[_Step] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return bool(self._made)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to do again."""
        return bool(self._undone)

    def push(self, before: EditState, after: EditState, what: str = "") -> None:
        """Something was edited. Of the same `what`, a step joins the one before it that is not long ago; "" never does.

        Two equal states are no step.
        """
        if before == after:
            return
        self._undone.clear()
        now, last = self._clock(), self._made[-1] if self._made else None
        if last and what and last.what == what and now - last.moment < JOIN_SECONDS and last.after == before:
            last.after, last.moment = after, now
            if last.before == last.after:
                self._made.pop()
            return
        self._made.append(_Step(before, after, what, now))
        del self._made[:-MOST_STEPS]

    def undo(self) -> EditState | None:
        """The state before the last step; None where there is none."""
        if not self._made:
            return None
        self._undone.append(self._made.pop())
        return self._undone[-1].before

    def redo(self) -> EditState | None:
        """The state after the step that was undone last; None where there is none."""
        if not self._undone:
            return None
        self._made.append(self._undone.pop())
        self._made[-1].what = ""  # nothing joins a step that was made again
        return self._made[-1].after

    def clear(self) -> None:
        """Forget all steps."""
        self._made.clear()
        self._undone.clear()

    def rewrite(self, change: Callable[[EditState], EditState]) -> None:
        """Change every state that is kept; steps that come to nothing by that are forgotten."""
        for steps in (self._made, self._undone):
            for step in steps:
                step.before, step.after = change(step.before), change(step.after)
            steps[:] = [step for step in steps if step.before != step.after]
