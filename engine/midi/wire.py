"""Bytes of a live MIDI connection become events. Any bytes are accepted: what is no message is skipped.

Sound servers deliver packets, usually of one message. A packet may hold several, with running status, and real-time
bytes in between; one may be cut short, or begin with data bytes. As the MIDI specification has it, a status byte ends
an unfinished message.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.midi.channel import DATA_LSB, DATA_MSB, NOTE_MODES, NRPN_LSB, PEDAL_DOWN, RPN_MSB, SOFT, SOSTENUTO, SUSTAIN
from engine.midi.events import Event, Kind, bend, control, note_off, note_on, panic

NOTE_OFF, NOTE_ON, KEY_PRESSURE, CONTROL, PROGRAM, PRESSURE, BEND, SYSTEM = range(0x80, 0x100, 0x10)
REAL_TIME, RESET = 0xF8, 0xFF
DATA_BYTES = {NOTE_OFF: 2, NOTE_ON: 2, KEY_PRESSURE: 2, CONTROL: 2, PROGRAM: 1, PRESSURE: 1, BEND: 2}

Message = tuple[int, int, int]
"""Status and two data bytes; the second is 0 where the message has only one."""

THIN_ABOVE = 16
"""Messages in one fetch: no hands play so many within a block, and each would split the block."""
MOST_STARTS, MOST_ENDS = 64, 16
"""Note-ons kept of one fetch, as many as there are voices; note-offs kept of one key."""
MOST_PARAMETERS = 64
"""Messages of registered parameters kept of one fetch."""
PARAMETERS = frozenset({0, 32, DATA_MSB, DATA_LSB, *range(96, 102)})
"""Banks, data entry and the choice of a parameter: they mean something in their order only."""
CHOICES = range(NRPN_LSB, RPN_MSB + 1)
ORDERED = frozenset({SUSTAIN, SOSTENUTO, SOFT, 120, 121, 122, *NOTE_MODES})
"""Controllers whose order among the notes matters."""


def messages(packet: Sequence[int]) -> list[Message]:
    """All complete channel messages of a packet; a lone FF, the system's reset, comes as (255, 0, 0)."""
    if len(packet) == 3 and NOTE_OFF <= packet[0] < SYSTEM and packet[1] < 0x80 and packet[2] < 0x80:
        if DATA_BYTES[packet[0] & 0xF0] == 2:
            return [(packet[0], packet[1], packet[2])]
    elif len(packet) == 1:  # inside of a longer packet FF is garbage: it must not silence everything
        return [(RESET, 0, 0)] if packet[0] == RESET else []
    found, status, data = list[Message](), 0, list[int]()
    for byte in packet:
        if byte >= REAL_TIME:
            continue
        if byte >= 0x80:
            status, data = (byte if byte < SYSTEM else 0), []
        elif status:
            data.append(byte)
            if len(data) == DATA_BYTES[status & 0xF0]:
                found.append((status, data[0], data[1] if len(data) > 1 else 0))
                data = []  # the status runs on
    return found


def event_of(message: Message, sample: int = 0) -> Event | None:
    """The event of a message at a sample; None for what the engine has no use for."""
    status, first, second = message
    channel = status & 0x0F
    match status & 0xF0:
        case 0x80:
            return note_off(sample, first, channel)
        case 0x90:
            return note_on(sample, first, second, channel)
        case 0xB0:
            return control(sample, first, second, channel)
        case 0xC0:
            return Event(sample, Kind.PROGRAM, channel, first)
        case 0xD0:
            return Event(sample, Kind.PRESSURE, channel, 0, first)
        case 0xE0:
            return bend(sample, first + 128 * second - 8192, channel)
        case 0xF0 if status == RESET:
            return panic(sample)
    return None


def events(packet: Sequence[int]) -> list[Event]:
    """All events of a packet, at sample 0."""
    return [event for message in messages(packet) if (event := event_of(message)) is not None]


def thinned(fetched: Sequence[tuple[Message, float]]) -> list[tuple[Message, float]]:
    """What must be heard of messages that came within one block, each with its moment; in order.

    A few are all kept. Of a flood stay the last value of every controller, wheel and pressure; pedals and modes as far
    as they change what is held; the last note-on of each key, and note-offs.
    """
    if len(fetched) <= THIN_ABOVE:
        return list(fetched)
    flood = _Flood(sum(message[0] & 0xF0 == NOTE_ON and message[2] > 0 for message, _ in fetched) > MOST_STARTS)
    kept = [(message, moment) for message, moment in reversed(fetched) if flood.keeps(message)]
    kept.reverse()
    return _without_orphans(kept) if flood.cut else kept


class _Flood:
    """Goes through messages from the last to the first and tells which are kept."""

    def __init__(self, crowded: bool) -> None:
        """crowded: there are more note-ons than voices."""
        self._crowded = crowded
        self._seen: set[tuple[int, int]] = set()  # (status, number) of what only the last counts
        self._run: dict[int, dict[int, bool]] = {}
        """By channel, the ordered controllers kept since the next kept note, and whether one of them was a release."""
        self._started: set[tuple[int, int]] = set()
        self._ended: dict[tuple[int, int], int] = {}
        self._parameters = 0

    @property
    def cut(self) -> bool:
        """Whether messages of parameters were left out."""
        return self._parameters > MOST_PARAMETERS

    def keeps(self, message: Message) -> bool:
        """Whether this message, before those so far, is kept."""
        status, first, second = message
        kind, channel = status & 0xF0, status & 0x0F
        if kind in (NOTE_ON, NOTE_OFF):
            kept = self._note((channel, first), kind == NOTE_ON and second > 0)
            if kept:
                self._run.pop(channel, None)
            return kept
        if kind == KEY_PRESSURE:
            return False
        if kind == CONTROL and first in ORDERED:
            return self._ordered(channel, first, second)
        if kind == CONTROL and first in PARAMETERS:
            self._parameters += 1
            return not self.cut
        place = (status, first if kind == CONTROL else 0)
        if place in self._seen:
            return False
        self._seen.add(place)
        return True

    def _note(self, place: tuple[int, int], starts: bool) -> bool:
        if not starts:
            self._ended[place] = self._ended.get(place, 0) + 1
            return self._ended[place] <= MOST_ENDS
        if self._crowded and (place in self._started or len(self._started) >= MOST_STARTS):
            return False
        self._started.add(place)
        return True

    def _ordered(self, channel: int, number: int, value: int) -> bool:
        """Between two notes: the last value of a pedal, and one release before it if it is down again."""
        run = self._run.setdefault(channel, {})
        releases = number not in (SUSTAIN, SOSTENUTO) or value < PEDAL_DOWN
        if number in run and (run[number] or not releases):
            return False
        run[number] = releases
        return True


def _without_orphans(kept: list[tuple[Message, float]]) -> list[tuple[Message, float]]:
    """Without data for parameters whose choice was left out."""
    chosen, rest = set[int](), list[tuple[Message, float]]()
    for message, moment in kept:
        status, first, _ = message
        if status & 0xF0 == CONTROL and first in PARAMETERS:
            if first in CHOICES:
                chosen.add(status)
            elif status not in chosen:
                continue
        rest.append((message, moment))
    return rest
