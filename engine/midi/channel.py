"""State of one MIDI channel: controllers become gains and pitch, keys and pedals become note starts and releases.

The rules are General MIDI's as FluidSynth plays them, because the shipped instruments are judged against it: a pedal
is down from 64 on (real performances hold it at every value between), a key struck again while it sounds releases the
older note unless a pedal holds it, volume and expression are squared (40 log10(value / 127) dB).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

from engine.midi.events import Event, Kind

PEDAL_DOWN = 64
MODULATION, DATA_MSB, VOLUME, PAN, EXPRESSION, DATA_LSB = 1, 6, 7, 10, 11, 38
SUSTAIN, SOSTENUTO, SOFT = 64, 66, 67
NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB = 98, 99, 100, 101
ALL_SOUND_OFF, RESET_CONTROLLERS, ALL_NOTES_OFF = 120, 121, 123
NOTE_MODES = range(123, 128)  # all notes off, omni and mono modes: each of them ends the notes
RESERVED = frozenset({0, 1, 6, 7, 10, 11, 32, 38, *range(64, 68), *range(96, 102), *range(120, 128)})
"""Controllers that a knob must not be bound to: banks, wheel, data entry, volume, pan, expression, pedals, modes."""

DRUM_CHANNEL = 9
VIBRATO_CENTS = 50.0  # FluidSynth's depth of a full mod wheel
BEND_RANGE = 2.0


@dataclass(frozen=True, slots=True)
class Start:
    """A note begins."""

    note: int
    key: int
    velocity: float


@dataclass(frozen=True, slots=True)
class Release:
    """A note ends by its own release."""

    note: int


@dataclass(frozen=True, slots=True)
class Silence:
    """A note ends at once, within a short fade."""

    note: int


Command = Start | Release | Silence


@dataclass(slots=True)
class _Note:
    key: int
    down: bool = True
    sostenuto: bool = False


@dataclass(slots=True)
class ChannelState:
    """What a channel remembers between events. `apply` is the only way in."""

    numbers: itertools.count[int] = field(default_factory=itertools.count)
    """Source of note numbers; channels of one synth share it, so that a number names a note everywhere."""
    bend_range: float = BEND_RANGE
    bend: float = 0.0
    controllers: dict[int, int] = field(default_factory=dict)
    pressure: float = 0.0
    program: int = 0
    _rpn: tuple[int, int] | None = None
    _notes: dict[int, _Note] = field(default_factory=dict)

    @property
    def gain(self) -> float:
        """Amplitude factor of volume (default 100) and expression (default 127): the product of (value / 127)^2."""
        volume, expression = self.controllers.get(VOLUME, 100), self.controllers.get(EXPRESSION, 127)
        return (volume / 127) ** 2 * (expression / 127) ** 2

    @property
    def pan(self) -> float:
        """Balance from -1 (left) to 1 (right)."""
        return max(-1.0, (self.controllers.get(PAN, 64) - 64) / 63)

    @property
    def bend_semitones(self) -> float:
        """The wheel's bend in semitones."""
        return self.bend * self.bend_range

    @property
    def vibrato_cents(self) -> float:
        """Depth of the vibrato that mod wheel and pressure ask for."""
        return VIBRATO_CENTS * min(1.0, (self.controllers.get(MODULATION, 0) + self.pressure) / 127)

    @property
    def sustain(self) -> bool:
        """Whether the sustain pedal holds."""
        return self.controllers.get(SUSTAIN, 0) >= PEDAL_DOWN

    @property
    def soft(self) -> float:
        """How far the soft pedal is down, 0-1."""
        return self.controllers.get(SOFT, 0) / 127

    @property
    def keys_down(self) -> list[int]:
        """Keys that are held by a finger, not by a pedal."""
        return [note.key for note in self._notes.values() if note.down]

    def apply(self, event: Event) -> list[Command]:
        """Take an event of this channel; return what notes must do, in order."""
        match event.kind:
            case Kind.NOTE_ON:
                return self._note_on(event.number, event.value)
            case Kind.NOTE_OFF:
                return self._lift([n for n, note in self._notes.items() if note.key == event.number])
            case Kind.CONTROL:
                return self._control(event.number, int(event.value))
            case Kind.BEND:
                self.bend = event.value / 8192
            case Kind.PRESSURE:
                self.pressure = event.value
            case Kind.PROGRAM:
                self.program = event.number
            case Kind.PANIC:
                return self._panic()
            case Kind.KNOB:
                pass
        return []

    def forget(self, note: int) -> None:
        """The note has died away by itself or was stolen: nothing will be said of it again."""
        self._notes.pop(note, None)

    def _note_on(self, key: int, velocity: float) -> list[Command]:
        commands = self._lift([n for n, note in self._notes.items() if note.key == key])
        number = next(self.numbers)
        self._notes[number] = _Note(key)
        return [*commands, Start(number, key, velocity)]

    def _lift(self, numbers: list[int]) -> list[Command]:
        for number in numbers:
            self._notes[number].down = False
        return self._release_loose()

    def _release_loose(self) -> list[Command]:
        """Release every note that neither its key nor a pedal holds."""
        if self.sustain:
            return []
        loose = [n for n, note in self._notes.items() if not note.down and not note.sostenuto]
        for number in loose:
            del self._notes[number]
        return [Release(number) for number in loose]

    def _control(self, number: int, value: int) -> list[Command]:
        before = self.controllers.get(number, 0)
        if number == ALL_SOUND_OFF:
            return self._end_all(Silence)
        if number == RESET_CONTROLLERS:
            return self._reset()
        if number in NOTE_MODES:
            return self._lift(list(self._notes))
        self.controllers[number] = value
        if number == SUSTAIN:
            return self._release_loose()
        if number == SOSTENUTO:
            return self._sostenuto(before >= PEDAL_DOWN, value >= PEDAL_DOWN)
        self._registered_parameter(number, value)
        return []

    def _sostenuto(self, was_down: bool, is_down: bool) -> list[Command]:
        """Pressing the pedal catches the keys that are down at that moment, and only those."""
        if is_down and not was_down:
            for note in self._notes.values():
                note.sostenuto = note.down
        elif was_down and not is_down:
            for note in self._notes.values():
                note.sostenuto = False
            return self._release_loose()
        return []

    def _registered_parameter(self, number: int, value: int) -> None:
        """RPN 0 sets the bend range in semitones (MSB) and cents (LSB); NRPNs are left alone."""
        if number in (RPN_MSB, RPN_LSB):
            msb, lsb = self.controllers.get(RPN_MSB, 127), self.controllers.get(RPN_LSB, 127)
            self._rpn = (msb, lsb)
        elif number in (NRPN_MSB, NRPN_LSB):
            self._rpn = None
        elif self._rpn == (0, 0) and number == DATA_MSB:
            self.bend_range = float(value)
        elif self._rpn == (0, 0) and number == DATA_LSB:
            self.bend_range = math.floor(self.bend_range) + min(value, 99) / 100

    def _reset(self) -> list[Command]:
        """CC121 by RP-015: pedals, wheel, pressure, expression go back; volume, pan and bend range stay."""
        kept = {n: v for n, v in self.controllers.items() if n in (VOLUME, PAN)}
        released_sostenuto = self.controllers.get(SOSTENUTO, 0) >= PEDAL_DOWN
        self.controllers, self.bend, self.pressure, self._rpn = kept, 0.0, 0.0, None
        return self._sostenuto(released_sostenuto, False) or self._release_loose()

    def _end_all(self, how: type[Release] | type[Silence]) -> list[Command]:
        numbers = list(self._notes)
        self._notes.clear()
        return [how(number) for number in numbers]

    def _panic(self) -> list[Command]:
        self.controllers, self.bend, self.pressure, self._rpn = {}, 0.0, 0.0, None
        self.bend_range = BEND_RANGE
        return self._end_all(Silence)
