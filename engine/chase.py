"""What holds at a place of a score that is jumped to: controllers, bends, programs and held notes.

A long score has its state kept every few hundred events, so that a jump in the middle of playing costs the render
worker no more than those.
"""

from __future__ import annotations

import bisect
from collections.abc import Container
from dataclasses import dataclass, field

from engine.midi.channel import (
    ALL_SOUND_OFF,
    BEND_RANGE,
    CENTRE,
    COARSE_TUNING,
    DATA_LSB,
    DATA_MSB,
    EXPRESSION,
    FINE_TUNING,
    NOTE_MODES,
    NRPN_LSB,
    NRPN_MSB,
    PAN,
    PITCH_RANGE,
    RESET_CONTROLLERS,
    RPN_LSB,
    RPN_MSB,
    SOSTENUTO,
    SUSTAIN,
    VOLUME,
)
from engine.midi.events import DRUM_CHANNEL, Event, Kind, bend, control, drum_part
from engine.midi.files import Score

PARAMETERS = frozenset({DATA_MSB, DATA_LSB, NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB})
"""Controllers that mean something in their order only."""
UNTOUCHED = {VOLUME: 100, EXPRESSION: 127, PAN: 64}
"""Where controllers stand that nobody has moved; all others stand at 0."""
DEFAULT_PARAMETERS = (
    *((number, value)
      for (msb, lsb), default in ((PITCH_RANGE, BEND_RANGE), (FINE_TUNING, CENTRE), (COARSE_TUNING, CENTRE))
      for number, value in ((RPN_MSB, msb), (RPN_LSB, lsb), (DATA_MSB, default), (DATA_LSB, 0))),
    (RPN_MSB, 127), (RPN_LSB, 127),
)  # fmt: skip
"""Controllers that put back bend range and tuning."""
LEVELS = (VOLUME, EXPRESSION, PAN)
STEP = 128  # events between two states that are kept

Held = dict[tuple[int, int, int, int], Event]
"""Notes that are held, by (track, channel, key, voice)."""


@dataclass(slots=True)
class _State:
    """Of all channels, after some events. parameters: how many of the score's."""

    controls: dict[tuple[object, ...], Event] = field(default_factory=dict)
    held: Held = field(default_factory=dict)
    parameters: int = 0

    def copy(self) -> _State:
        return _State(dict(self.controls), dict(self.held), self.parameters)

    def take(self, event: Event, track: int) -> None:
        if event.kind is Kind.NOTE_ON:
            self.held[track, event.channel, event.number, event.voice] = event
            return
        if event.kind is Kind.NOTE_OFF:
            self.held.pop((track, event.channel, event.number, event.voice), None)
            return
        if _is_parameter(event):
            self.parameters += 1
        if event.kind is Kind.CONTROL and event.number in PARAMETERS:
            return
        place = event.kind, event.channel, event.number
        self.controls.pop(place, None)  # a reset may stand between the two
        self.controls[place] = event
        if event.kind is Kind.CONTROL and event.number in (ALL_SOUND_OFF, *NOTE_MODES):
            self.held = {where: note for where, note in self.held.items() if where[1] != event.channel}


class Chase:
    """The states of a score at any of its samples."""

    def __init__(self, score: Score) -> None:
        self.score = score
        self.times = [event.sample for event in score.events]
        self.tracks = score.track_of or (0,) * len(score.events)
        self.untouched = _untouched(score)
        self._parameters = [event for event in score.events if _is_parameter(event)]
        self._kept: list[_State] = []
        self._last: tuple[int, list[Event], Held] = (-1, [], {})  # a loop asks for the same again and again
        state = _State()
        for index, event in enumerate(score.events):
            if index % STEP == 0:
                self._kept.append(state.copy())
            state.take(event, self.tracks[index])

    @property
    def pedals(self) -> list[Event]:
        """Events that lift every pedal that the score presses and that holds notes."""
        return [event for event in self.untouched if _is_control(event, (SUSTAIN, SOSTENUTO))]

    @property
    def levels(self) -> list[Event]:
        """Events that put back the volume, expression and pan that the score moves."""
        return [event for event in self.untouched if _is_control(event, LEVELS)]

    @property
    def movements(self) -> list[Event]:
        """Events that put back everything else that the score moves: pedals, wheels, pressure, bend and its range."""
        return [event for event in self.untouched if not _is_control(event, LEVELS)]

    def at(self, sample: int) -> tuple[list[Event], Held]:
        """Controllers, bends and programs, and held notes, as they stand before a sample.

        What the score moves only later is put back first: it may have been played before, or further.
        """
        if not self._kept:
            return [], {}
        if self._last[0] != sample:
            self._last = sample, *self._at(bisect.bisect_left(self.times, sample))
        return self._last[1:]

    def _at(self, until: int) -> tuple[list[Event], Held]:
        """What holds before the event of an index."""
        kept = min(until // STEP, len(self._kept) - 1)
        state = self._kept[kept].copy()
        for index in range(kept * STEP, until):
            state.take(self.score.events[index], self.tracks[index])
        return [*self.untouched, *self._parameters[: state.parameters], *state.controls.values()], state.held


def _is_control(event: Event, numbers: Container[int]) -> bool:
    return event.kind is Kind.CONTROL and event.number in numbers


def _is_parameter(event: Event) -> bool:
    """Whether it is repeated in its order; a reset of the controllers ends the choice of a parameter."""
    return event.kind is Kind.CONTROL and (event.number in PARAMETERS or event.number == RESET_CONTROLLERS)


def _untouched(score: Score) -> list[Event]:
    """Events that put back every controller, wheel and bend range that a score moves."""
    moved = {(event.kind, event.channel, event.number) for event in score.events}
    events: list[Event] = []
    for kind, channel, number in sorted(moved, key=lambda row: (row[0].value, *row[1:])):
        if kind is Kind.CONTROL and number in (DATA_MSB, DATA_LSB):
            events += [control(0, step, value, channel) for step, value in DEFAULT_PARAMETERS]
        elif kind is Kind.CONTROL and number < ALL_SOUND_OFF and number not in PARAMETERS:
            events.append(control(0, number, UNTOUCHED.get(number, 0), channel))
        elif kind is Kind.BEND:
            events.append(bend(0, 0, channel))
        elif kind is Kind.PRESSURE:
            events.append(Event(0, kind, channel))
        elif kind is Kind.DRUMS:
            events.append(drum_part(0, channel, channel == DRUM_CHANNEL))
        elif kind is Kind.TUNING:
            events.append(Event(0, kind, channel, number))
    return events
