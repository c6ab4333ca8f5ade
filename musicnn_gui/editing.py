"""What a player edits and can undo: knobs, presets, locks, A/B, controllers, how the score is played."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from PySide6.QtCore import QObject, Signal

from engine.client import EngineClient
from engine.errors import MusicNNError, sentence
from engine.knobs import KNOBS, MASTER
from engine.midi.mapping import is_free
from engine.score_options import FASTEST, FURTHEST, SHORTEST_LOOP_SECONDS, SLOWEST, ScoreOptions
from musicnn_gui.crash import log_path
from musicnn_gui.exploring import randomised
from musicnn_gui.history import EditState, History
from musicnn_gui.presets import (
    Preset,
    clean_title,
    delete_preset,
    factory_presets,
    read_preset,
    save_preset,
    user_presets,
)

if TYPE_CHECKING:
    from engine.reports import InstrumentInfo

T = TypeVar("T")
WIDGET, ENGINE = "widget", "engine"
"""Who turned knobs and knows of it."""


class Editing(QObject):
    """One `EditState`, replaced by every edit, and the engine that is kept in step with it.

    Signals come after the state is complete. `knobs_changed` is not emitted for what a widget turns itself.
    """

    message = Signal(str, bool)
    """A sentence for the player; True for a problem."""
    knobs_changed = Signal(list)
    """Names of knobs that were moved by anything but `turn`."""
    history_changed = Signal()
    side_changed = Signal()
    locks_changed = Signal()
    preset_changed = Signal()
    """Another preset, another list of presets, or knobs that have left the preset or come back to it."""
    mapping_changed = Signal()
    """Also where learning begins or ends."""
    score_options_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.engine = EngineClient(self._hear, log_path())
        self.instrument: InstrumentInfo | None = None
        self.presets: list[Preset] = []
        """Of the loaded instrument, the factory's first."""
        self.broken_presets: list[str] = []
        """A sentence about each file that is no preset."""
        self.learning: str | None = None
        """Name of the knob that waits for a controller."""
        self.chance = random.Random()
        self._state = EditState(knobs={name: KNOBS[name].default for name in MASTER})
        self._history = History()
        self._gestures = 0
        self._gesture_from = self._state

    # --- how things stand ---

    @property
    def knobs(self) -> Mapping[str, float]:
        """Values by name; not to be changed in place."""
        return self._state.knobs

    @property
    def locks(self) -> frozenset[str]:
        """Knobs that randomising, presets and `move` leave alone."""
        return self._state.locks

    @property
    def side(self) -> str:
        """ "A" or "B"."""
        return self._state.side

    @property
    def mapping(self) -> Mapping[str, int]:
        """Numbers of controllers by the names of the knobs that they turn."""
        return self._state.mapping

    @property
    def score_options(self) -> ScoreOptions:
        """How the score is played, live and in exports."""
        return self._state.score

    @property
    def preset(self) -> Preset | None:
        """The one that was loaded or saved last."""
        return self._state.preset

    @property
    def changed(self) -> bool:
        """Whether a knob has been moved since the preset was loaded."""
        return _changed(self._state)

    # --- undo ---

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to undo."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is an edit to do again."""
        return self._history.can_redo

    def undo(self) -> None:
        """Take the last step back."""
        self._travel(self._history.undo)

    def redo(self) -> None:
        """Make the step again that was taken back last."""
        self._travel(self._history.redo)

    def _travel(self, step: Callable[[], EditState | None]) -> None:
        self._end_gestures()
        state = step()
        if state is not None:
            self._become(state)
            self.history_changed.emit()

    def begin_gesture(self) -> None:
        """What is edited from now on is one step, until `end_gesture`; gestures may lie within gestures."""
        if not self._gestures:
            self._gesture_from = self._state
        self._gestures += 1

    def end_gesture(self) -> None:
        """The outermost one makes a step, if anything has changed."""
        if self._gestures == 1:
            self._end_gestures()
        elif self._gestures:
            self._gestures -= 1

    # --- knobs ---

    def turn(self, name: str, value: float) -> None:
        """A widget turns a knob."""
        self._edit(self._with({name: value}), f"turn {name}", by=WIDGET)

    def move(self, values: Mapping[str, float]) -> None:
        """Turn knobs that are not locked, as an XY pad does; within a gesture it is one step."""
        free = {name: value for name, value in values.items() if name in self.knobs and name not in self.locks}
        self._edit(self._with(free), "move")

    def set_locked(self, name: str, on: bool) -> None:
        """Lock a knob, or let it go."""
        locks = self.locks | {name} if on else self.locks - {name}
        self._edit(replace(self._state, locks=locks))

    def randomise(self, names: Iterable[str], amount: float) -> None:
        """Move knobs that are not locked by a share of 0-1 of the way to a random place."""
        free = [name for name in names if name in self.knobs and name not in self.locks]
        self._edit(self._with(randomised(self.knobs, free, min(max(amount, 0.0), 1.0), self.chance)))

    # --- A/B ---

    def switch_side(self) -> None:
        """Hear the other side. Going there is no edit, and undone is what was edited on either."""
        self._end_gestures()
        state = self._state
        self._become(
            replace(
                state, side="B" if state.side == "A" else "A",
                knobs={**state.other, **_only(state.knobs, MASTER)}, other=_without(state.knobs, MASTER),
            )
        )  # fmt: skip

    def copy_to_other_side(self) -> None:
        """Make the other side as this one is."""
        self._edit(replace(self._state, other=_without(self.knobs, MASTER)))

    # --- presets ---

    def load_preset(self, preset: Preset) -> None:
        """Turn the knobs that are not locked to a preset; those that it does not name go to their defaults."""
        wanted = self._values_of(preset)
        state = self._with({name: value for name, value in wanted.items() if name not in self.locks})
        self._edit(replace(state, preset=preset, loaded=state.knobs))

    def _values_of(self, preset: Preset) -> dict[str, float]:
        """Of all knobs that a preset sets, named in it or not."""
        return {name: preset.knobs.get(name, KNOBS[name].default) for name in self.knobs if name not in MASTER}

    def save_preset(self, title: str, author: str = "", comment: str = "") -> None:
        """Keep the knobs as a preset of the player's; one of the same title is replaced."""
        title, instrument = clean_title(title), self.instrument
        if not title or instrument is None:
            self.message.emit("A preset needs a title.", True)
            return
        knobs = _without(self.knobs, MASTER)
        try:
            preset = save_preset(Preset(title, clean_title(author), comment, knobs, instrument=instrument.name))
        except MusicNNError as error:
            self.message.emit(sentence(str(error)), True)
            return
        self._become(replace(self._state, preset=preset, loaded=self.knobs))
        self.refresh_presets()
        self.message.emit(f"{title} is saved.", False)

    def delete_preset(self, preset: Preset) -> None:
        """Remove one of the player's presets; the knobs stay."""
        try:
            delete_preset(preset)
        except MusicNNError as error:
            self.message.emit(sentence(str(error)), True)
            return
        if self.preset == preset:
            self._become(replace(self._state, preset=None))
        self.refresh_presets()

    def step_preset(self, step: int) -> None:
        """Load the next preset (1) or the one before (-1), round and round."""
        if self.presets:
            self.load_preset(neighbour(self.presets, self.preset, step))

    def open_preset(self, path: Path) -> None:
        """Load a preset from a file of this instrument; what is wrong with it is said."""
        try:
            self._open_preset(read_preset(path))
        except MusicNNError as error:
            self.message.emit(sentence(str(error)), True)

    def refresh_presets(self) -> None:
        """Look at the player's folder again."""
        if self.instrument is None:
            return
        mine, self.broken_presets = user_presets(self.instrument.name)
        self.presets = [*factory_presets(self.instrument.name, self.instrument.presets), *mine]
        self.preset_changed.emit()

    def _open_preset(self, preset: Preset) -> None:
        self.load_preset(preset)

    # --- controllers ---

    def learn(self, name: str | None) -> None:
        """Let the next controller that moves turn a knob; None gives that up."""
        self.learning = name
        self.engine.learn(name is not None)
        self.mapping_changed.emit()

    def forget(self, name: str) -> None:
        """No controller turns this knob any more."""
        self._edit(replace(self._state, mapping=_without(self.mapping, (name,))))

    def clear_mapping(self) -> None:
        """No controller turns any knob."""
        self._edit(replace(self._state, mapping={}))

    def _learned(self, number: int) -> None:
        name, self.learning = self.learning, None
        if name is not None and is_free(number):
            others = {knob: used for knob, used in self.mapping.items() if used != number}
            self._edit(replace(self._state, mapping=others | {name: number}))
        self.mapping_changed.emit()

    def _controlled(self, values: Mapping[str, float]) -> None:
        """Controllers have turned knobs, in the engine."""
        values = {name: value for name, value in values.items() if name in self.knobs}
        self._edit(self._with(values), f"control {sorted(values)}", by=ENGINE)

    # --- how the score is played ---

    def set_tempo(self, factor: float) -> None:
        """Play faster or slower, 0.5-2."""
        self._play_score(replace(self.score_options, tempo=min(max(factor, SLOWEST), FASTEST)), "tempo")

    def set_transpose(self, semitones: int) -> None:
        """Play higher or lower, by up to 12 semitones."""
        semitones = min(max(semitones, -FURTHEST), FURTHEST)
        self._play_score(replace(self.score_options, transpose=semitones), "transpose")

    def set_loop(self, start: float | None, end: float | None = None) -> None:
        """Go round between two times of the score, in seconds at its own tempo; None goes on to the end."""
        loop = None
        if start is not None and end is not None:
            start, end = max(0.0, min(start, end)), max(start, end)
            loop = (start, max(end, start + 1.001 * SHORTEST_LOOP_SECONDS))
        self._play_score(replace(self.score_options, loop=loop), "loop")

    def set_muted(self, track: int, on: bool) -> None:
        """Leave a track out, or play it again."""
        muted = self.score_options.muted
        self._play_score(replace(self.score_options, muted=muted | {track} if on else muted - {track}))

    def set_solo(self, track: int, on: bool) -> None:
        """Hear a track alone, together with others that are."""
        solo = self.score_options.solo
        self._play_score(replace(self.score_options, solo=solo | {track} if on else solo - {track}))

    def _play_score(self, options: ScoreOptions, what: str = "") -> None:
        self._edit(replace(self._state, score=options), what)

    def _begin_score(self, options: ScoreOptions) -> None:
        """There is another score: steps that changed how the old one was played are forgotten."""
        self._history.rewrite(lambda state: replace(state, score=options))
        self._become(replace(self._state, score=options))
        self.history_changed.emit()

    # --- the state ---

    def _begin_instrument(self, info: InstrumentInfo, state: EditState) -> None:
        """There is another instrument, with knobs of its own; the engine is told all of them."""
        self._end_gestures()
        self._history.clear()
        self.instrument = info
        self._state = state
        for name, value in state.knobs.items():
            self.engine.turn(name, value)
        self.engine.map(state.mapping)
        self.refresh_presets()
        loaded = {name: KNOBS[name].default for name in info.knobs}
        self._become(replace(state, preset=self.presets[0], loaded=loaded))
        self.history_changed.emit()

    def _with(self, values: Mapping[str, float]) -> EditState:
        return replace(self._state, knobs={**self.knobs, **values})

    def _edit(self, state: EditState, what: str = "", *, by: str = "") -> None:
        """Become another state, as a step; what: see `History.push`."""
        before = self._state
        if state == before:
            return
        self._become(state, by=by)
        if not self._gestures:
            self._history.push(before, state, what)
            self.history_changed.emit()

    def _end_gestures(self) -> None:
        if self._gestures:
            self._gestures = 0
            self._history.push(self._gesture_from, self._state)
            self.history_changed.emit()

    def _become(self, state: EditState, *, by: str = "") -> None:
        """Take a state, tell the engine, then the widgets; whoever turned the knobs (`by`) is not told of them."""
        before, self._state = self._state, state
        turned = [name for name, value in state.knobs.items() if value != before.knobs.get(name)]
        for name in turned if by != ENGINE else ():
            self.engine.turn(name, state.knobs[name])
        if state.mapping != before.mapping:
            self.engine.map(state.mapping)
        if state.score != before.score:
            self.engine.set_score_options(state.score)
        if turned and by != WIDGET:
            self.knobs_changed.emit(turned)
        for signal, wanted in (
            (self.side_changed, state.side != before.side),
            (self.locks_changed, state.locks != before.locks),
            (self.mapping_changed, state.mapping != before.mapping),
            (self.score_options_changed, state.score != before.score),
            (self.preset_changed, (state.preset, _changed(state)) != (before.preset, _changed(before))),
        ):
            if wanted:
                signal.emit()

    def _hear(self, name: str, arguments: tuple[Any, ...]) -> None:
        """The engine tells something, on a thread of its own."""
        raise NotImplementedError


def neighbour(items: Sequence[T], here: T | None, step: int) -> T:
    """The next item (1) or the one before (-1), round and round; from outside, the first or the last."""
    index = items.index(here) if here is not None and here in items else -1 if step > 0 else 0
    return items[(index + step) % len(items)]


def _changed(state: EditState) -> bool:
    return any(value != state.loaded.get(name, value) for name, value in state.knobs.items() if name not in MASTER)


def _only(values: Mapping[str, float], names: Iterable[str]) -> dict[str, float]:
    return {name: values[name] for name in names if name in values}


def _without(values: Mapping[str, T], names: Iterable[str]) -> dict[str, T]:
    left_out = set(names)
    return {name: value for name, value in values.items() if name not in left_out}
