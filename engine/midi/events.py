"""The timed events of the engine. One table says what each kind carries; checks and conversions read it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Kind(Enum):
    """What an event does."""

    NOTE_ON = "note on"
    NOTE_OFF = "note off"
    CONTROL = "control change"
    PROGRAM = "program change"
    PRESSURE = "channel pressure"
    BEND = "pitch bend"
    KNOB = "knob"
    TEMPO = "tempo"
    PANIC = "panic"
    DRUMS = "drum part"
    TUNING = "master tuning"


@dataclass(frozen=True, slots=True)
class Range:
    """Allowed values of one field, both ends included."""

    low: float
    high: float


# kind -> (range of number, range of value)
SPECS: dict[Kind, tuple[Range, Range]] = {
    Kind.NOTE_ON: (Range(0, 127), Range(1, 127)),
    Kind.NOTE_OFF: (Range(0, 127), Range(0, 127)),
    Kind.CONTROL: (Range(0, 127), Range(0, 127)),
    Kind.PROGRAM: (Range(0, 127), Range(0, 0)),
    Kind.PRESSURE: (Range(0, 0), Range(0, 127)),
    Kind.BEND: (Range(0, 0), Range(-8192, 8191)),
    Kind.KNOB: (Range(0, 1), Range(float("-inf"), float("inf"))),
    Kind.TEMPO: (Range(0, 0), Range(0, 60_000_000)),
    Kind.PANIC: (Range(0, 0), Range(0, 0)),
    Kind.DRUMS: (Range(0, 0), Range(0, 1)),
    Kind.TUNING: (Range(0, 1), Range(-64, 64)),
}
EVERYWHERE = frozenset({Kind.PANIC, Kind.TUNING})
"""What happens on every channel."""
DRUM_CHANNEL = 9
"""The channel (from 0) that has drums unless a message says otherwise."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens at a sample of the engine's clock.

    sample: time in samples at the engine's rate, from the start of the stream or score.
    number: key, controller or program, 0-127; 1 for a knob of the channel's own instrument, and for coarse tuning;
    0 where the kind has none.
    value: velocity, controller value, pressure (0-127), bend (-8192..8191), quarter notes a minute, a knob's value
    in its own unit, semitones of tuning, or 1 where a channel becomes a drum part.
    name: the knob's name, empty for every other kind.
    voice: tells notes apart that sound at once on one key of a channel; what is played live has voice 0.
    """

    sample: int
    kind: Kind
    channel: int = 0
    number: int = 0
    value: float = 0.0
    name: str = ""
    voice: int = 0

    def __post_init__(self) -> None:
        number, value = SPECS[self.kind]
        if not number.low <= self.number <= number.high:
            raise ValueError(f"{self.kind.value}: number {self.number} is not in {number.low:g}..{number.high:g}")
        if not value.low <= self.value <= value.high:
            raise ValueError(f"{self.kind.value}: value {self.value} is not in {value.low:g}..{value.high:g}")
        if not 0 <= self.channel <= 15:
            raise ValueError(f"channel {self.channel} is not in 0..15")

    def at(self, sample: int) -> Event:
        """The same event at another time."""
        return replace(self, sample=sample)

    def with_voice(self, voice: int) -> Event:
        """The same event of another voice."""
        return replace(self, voice=voice) if voice != self.voice else self


def note_on(sample: int, key: int, velocity: float, channel: int = 0) -> Event:
    """A key goes down. Velocity 1-127; by MIDI's convention a velocity of 0 is a note-off."""
    if velocity == 0:
        return note_off(sample, key, channel)
    return Event(sample, Kind.NOTE_ON, channel, key, velocity)


def note_off(sample: int, key: int, channel: int = 0) -> Event:
    """A key comes up."""
    return Event(sample, Kind.NOTE_OFF, channel, key)


def control(sample: int, number: int, value: float, channel: int = 0) -> Event:
    """A controller moves."""
    return Event(sample, Kind.CONTROL, channel, number, value)


def bend(sample: int, value: float, channel: int = 0) -> Event:
    """The bend wheel moves, -8192..8191."""
    return Event(sample, Kind.BEND, channel, 0, value)


def knob(sample: int, name: str, value: float, channel: int | None = None) -> Event:
    """A knob moves to a value in its own unit: of the main instrument, or of the one that a channel has of its own."""
    if channel is None:
        return Event(sample, Kind.KNOB, 0, 0, value, name)
    return Event(sample, Kind.KNOB, channel, 1, value, name)


def tempo(sample: int, bpm: float) -> Event:
    """From now on the score has so many quarter notes a minute."""
    return Event(sample, Kind.TEMPO, 0, 0, bpm)


def panic(sample: int) -> Event:
    """Everything falls silent and every channel forgets its state."""
    return Event(sample, Kind.PANIC)


def drum_part(sample: int, channel: int, on: bool) -> Event:
    """A channel becomes a drum part, or is none any more."""
    return Event(sample, Kind.DRUMS, channel, 0, float(on))


def master_tuning(sample: int, semitones: float, *, coarse: bool = False) -> Event:
    """All channels are tuned; drum parts follow the fine tuning only. Both add up."""
    return Event(sample, Kind.TUNING, 0, int(coarse), semitones)
