"""Controllers that turn knobs, with soft takeover: a knob moves once the controller has come to where it stands."""

from __future__ import annotations

from collections.abc import Mapping

from engine.knobs import KNOBS
from engine.midi.channel import RESERVED
from engine.midi.events import Event, Kind, knob

NEAR = 2 / 127  # of a knob's way, from which on a controller has hold of it


class ControllerMap:
    """Turns controller events into knob events.

    `turned` may be called by any thread; `take` by the one that fetches MIDI.
    """

    def __init__(self) -> None:
        self._knobs: dict[int, str] = {}
        self._places: dict[str, float] = {}  # of all knobs on their way, 0-1
        self._seen: dict[int, float] = {}  # where the controllers were last
        self._held: set[int] = set()  # controllers that have hold of their knobs

    def set_mapping(self, mapping: Mapping[str, int]) -> None:
        """Which controller turns which knob, by the knobs' names; reserved controllers are left out."""
        self._knobs = {number: name for name, number in mapping.items() if name in KNOBS and is_free(number)}
        self._held = set()

    def turned(self, name: str, value: float) -> None:
        """A knob was turned by something else: its controller has to come to it again."""
        spec = KNOBS.get(name)
        if spec is None:
            return
        place = spec.to_position(value)
        if place != self._places.get(name):
            self._places[name] = place
            self._held = {number for number in self._held if self._knobs.get(number) != name}

    def take(self, event: Event) -> Event | None:
        """The event, a knob's event instead, or None where its controller has not yet come to the knob."""
        if event.kind is not Kind.CONTROL:
            return event
        number, place = event.number, event.value / 127
        before, self._seen[number] = self._seen.get(number), place
        name = self._knobs.get(number)
        if name is None:
            return event
        stands = self._places.get(name, KNOBS[name].to_position(KNOBS[name].default))
        if number not in self._held and not _reaches(before, place, stands):
            return None
        self._held.add(number)
        self._places[name] = place
        return knob(event.sample, name, KNOBS[name].to_value(place))


def is_free(number: int) -> bool:
    """Whether a controller may turn a knob."""
    return 0 <= number <= 127 and number not in RESERVED


def _reaches(before: float | None, place: float, stands: float) -> bool:
    """Whether a controller has come near a knob's place, or has gone over it."""
    if abs(place - stands) <= NEAR:
        return True
    return before is not None and min(before, place) <= stands <= max(before, place)
