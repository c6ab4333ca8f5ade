"""State of one MIDI channel: controllers become gains and pitch, keys and pedals become note starts and releases.

The rules are General MIDI's as FluidSynth plays them, because the shipped instruments are judged against it: a pedal
is down from 64 on (real performances hold it at every value between), a key struck again while it sounds releases the
older note unless a pedal holds it, volume and expression are squared (40 log10(value / 127) dB).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

from engine.midi.events import DRUM_CHANNEL, Event, Kind

PEDAL_DOWN = 64
BANK, MODULATION, DATA_MSB, VOLUME, PAN, EXPRESSION, DATA_LSB = 0, 1, 6, 7, 10, 11, 38
SUSTAIN, SOSTENUTO, SOFT = 64, 66, 67
NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB = 98, 99, 100, 101
ALL_SOUND_OFF, RESET_CONTROLLERS, ALL_NOTES_OFF = 120, 121, 123
NOTE_MODES = range(123, 128)  # all notes off, omni and mono modes: each of them ends the notes
RESERVED = frozenset({0, 1, 6, 7, 10, 11, 32, 38, *range(64, 68), *range(96, 102), *range(120, 128)})
"""Controllers that a knob must not be bound to: banks, wheel, data entry, volume, pan, expression, pedals, modes."""

VIBRATO_CENTS = 50.0  # FluidSynth's depth of a full mod wheel
BEND_RANGE = 2.0
PITCH_RANGE, FINE_TUNING, COARSE_TUNING = (0, 0), (0, 1), (0, 2)  # registered parameters (MSB, LSB)
CENTRE = 64  # MSB of a tuning that changes nothing
DRUM_BANKS = (120, 126, 127)  # MSB: General MIDI 2, and XG's effects and drum kits
MELODIC_BANKS = (64, 121)  # MSB that take the drums from channel 10: XG's effects voices, General MIDI 2


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
    voice: int = 0
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
    drums: bool = False
    """Whether the channel is a drum part."""
    fine: float = 0.0  # semitones, of this channel
    coarse: float = 0.0
    master_fine: float = 0.0  # semitones, of all channels
    master_coarse: float = 0.0
    _by_bank: bool = False  # whether a bank has made the drum part
    _rpn: tuple[int, int] | None = None
    _notes: dict[int, _Note] = field(default_factory=dict)

    @classmethod
    def of_channel(cls, index: int, numbers: itertools.count[int] | None = None) -> ChannelState:
        """The channel of a number (0-15), of which one has drums."""
        return cls(numbers or itertools.count(), drums=index == DRUM_CHANNEL)

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
    def tuning_semitones(self) -> float:
        """How much higher than written the channel sounds; a drum kit is not transposed."""
        fine = self.fine + self.master_fine
        return fine if self.drums else fine + self.coarse + self.master_coarse

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
                return self._note_on(event.number, event.value, event.voice)
            case Kind.NOTE_OFF:
                return self._lift(self._on_key(event.number, event.voice))
            case Kind.CONTROL:
                return self._control(event.number, int(event.value))
            case Kind.BEND:
                self.bend = event.value / 8192
            case Kind.PRESSURE:
                self.pressure = event.value
            case Kind.PROGRAM:
                self.program = event.number
                self._choose_bank()
            case Kind.DRUMS:
                self.drums = event.value > 0
            case Kind.TUNING if event.number:
                self.master_coarse = event.value
            case Kind.TUNING:
                self.master_fine = event.value
            case Kind.PANIC:
                return self._panic()
            case Kind.KNOB | Kind.TEMPO:
                pass
        return []

    def forget(self, note: int) -> None:
        """The note has died away by itself or was stolen: nothing will be said of it again."""
        self._notes.pop(note, None)

    def _note_on(self, key: int, velocity: float, voice: int) -> list[Command]:
        commands = self._lift(self._on_key(key, voice))
        number = next(self.numbers)
        self._notes[number] = _Note(key, voice)
        return [*commands, Start(number, key, velocity)]

    def _on_key(self, key: int, voice: int) -> list[int]:
        return [number for number, note in self._notes.items() if note.key == key and note.voice == voice]

    def _choose_bank(self) -> None:
        """A program of a bank of drum kits makes a drum part, one of a melodic bank a melodic one."""
        bank = self.controllers.get(BANK, 0)
        if bank in DRUM_BANKS:
            self.drums, self._by_bank = True, self._by_bank or not self.drums
        elif self._by_bank or bank in MELODIC_BANKS:
            self.drums, self._by_bank = False, False

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
        """RPN 0: bend range, in semitones (MSB) and cents (LSB). RPN 1 and 2: fine tuning (14 bits, +-100 cents) and
        coarse tuning (MSB, in semitones). NRPNs are left alone."""
        if number in (RPN_MSB, RPN_LSB):
            self._rpn = (self.controllers.get(RPN_MSB, 127), self.controllers.get(RPN_LSB, 127))
        elif number in (NRPN_MSB, NRPN_LSB):
            self._rpn = None
        elif number not in (DATA_MSB, DATA_LSB):
            return
        elif self._rpn == PITCH_RANGE and number == DATA_MSB:
            self.bend_range = float(value)
        elif self._rpn == PITCH_RANGE:
            self.bend_range = math.floor(self.bend_range) + min(value, 99) / 100
        elif self._rpn == FINE_TUNING and number == DATA_MSB:
            self.fine = (value - CENTRE) / 64
        elif self._rpn == FINE_TUNING:
            self.fine = math.floor(self.fine * 64 + 1e-9) / 64 + value / 8192
        elif self._rpn == COARSE_TUNING and number == DATA_MSB:
            self.coarse = float(value - CENTRE)

    def _reset(self) -> list[Command]:
        """CC121 by RP-015: pedals, wheel, pressure, expression go back; bank, volume, pan and what RPNs set stay."""
        kept = {n: v for n, v in self.controllers.items() if n in (BANK, VOLUME, PAN)}
        released_sostenuto = self.controllers.get(SOSTENUTO, 0) >= PEDAL_DOWN
        self.controllers, self.bend, self.pressure, self._rpn = kept, 0.0, 0.0, None
        return self._sostenuto(released_sostenuto, False) or self._release_loose()

    def _end_all(self, how: type[Release] | type[Silence]) -> list[Command]:
        numbers = list(self._notes)
        self._notes.clear()
        return [how(number) for number in numbers]

    def _panic(self) -> list[Command]:
        self.controllers, self.bend, self.pressure, self._rpn = {}, 0.0, 0.0, None
        self.bend_range, self.fine, self.coarse = BEND_RANGE, 0.0, 0.0
        return self._end_all(Silence)
