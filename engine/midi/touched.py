"""What a port has moved and would leave behind where it goes away in the middle of playing."""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

from engine.midi.channel import (
    ALL_NOTES_OFF,
    ALL_SOUND_OFF,
    EXPRESSION,
    MODULATION,
    NOTE_MODES,
    RESET_CONTROLLERS,
    SOFT,
    SOSTENUTO,
    SUSTAIN,
)
from engine.midi.events import Event, Kind, bend, control, note_off

BREATH, FOOT, PORTAMENTO_TIME, PORTAMENTO, LEGATO, HOLD = 2, 4, 5, 65, 68, 69
NEUTRAL = {SUSTAIN: 0, SOSTENUTO: 0, SOFT: 0, PORTAMENTO: 0, LEGATO: 0, HOLD: 0} | {
    MODULATION: 0, BREATH: 0, FOOT: 0, PORTAMENTO_TIME: 0, EXPRESSION: 127,
}  # fmt: skip
"""Where controllers stand that nobody moves: those of playing. Volume, pan, banks and parameters are settings and stay
(as RP-015 has it for "reset all controllers")."""
MOST_STRIKES = 64  # of one key without an end, after which more are not counted


Place = TypeVar("Place", int, tuple[int, int])


class Touched:
    """Follows the events of one port."""

    def __init__(self) -> None:
        self._held: Counter[tuple[int, int]] = Counter()  # strikes by (channel, key)
        self._moved: set[tuple[int, int]] = set()  # (channel, controller)
        self._bent: set[int] = set()
        self._pressed: set[int] = set()

    def hear(self, event: Event) -> None:
        """The port has sent an event."""
        channel, place = event.channel, (event.channel, event.number)
        match event.kind:
            case Kind.NOTE_ON:
                self._held[place] = min(self._held[place] + 1, MOST_STRIKES)
            case Kind.NOTE_OFF:
                self._held[place] -= 1
                if self._held[place] <= 0:
                    del self._held[place]
            case Kind.CONTROL if event.number in (ALL_SOUND_OFF, *NOTE_MODES):
                self._held = Counter({where: count for where, count in self._held.items() if where[0] != channel})
            case Kind.CONTROL if event.number == RESET_CONTROLLERS:
                self._moved -= {where for where in self._moved if where[0] == channel}
                self._bent.discard(channel)
                self._pressed.discard(channel)
            case Kind.CONTROL if event.number in NEUTRAL:
                _mark(self._moved, place, event.value != NEUTRAL[event.number])
            case Kind.BEND:
                _mark(self._bent, channel, bool(event.value))
            case Kind.PRESSURE:
                _mark(self._pressed, channel, bool(event.value))
            case Kind.PANIC:
                self._forget()

    def undo(self) -> list[Event]:
        """Events that let go of everything that the port still holds; from now on it holds nothing."""
        events = [control(0, number, NEUTRAL[number], channel) for channel, number in sorted(self._moved)]
        events += [bend(0, 0, channel) for channel in sorted(self._bent)]
        events += [Event(0, Kind.PRESSURE, channel) for channel in sorted(self._pressed)]
        events += [note_off(0, key, channel) for channel, key in sorted(self._held.elements())]
        self._forget()
        return events

    def _forget(self) -> None:
        self._held.clear()
        for marked in (self._moved, self._bent, self._pressed):
            marked.clear()


def everything_neutral(channel: int) -> list[Event]:
    """Events after which a channel holds no note and stands as if nobody had played it."""
    controls = [control(0, number, value, channel) for number, value in NEUTRAL.items()]
    return [*controls, bend(0, 0, channel), Event(0, Kind.PRESSURE, channel), control(0, ALL_NOTES_OFF, 0, channel)]


def _mark(marked: set[Place], place: Place, wanted: bool) -> None:
    (marked.add if wanted else marked.discard)(place)
