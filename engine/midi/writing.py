"""Events to a Standard MIDI File."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mido

from engine.errors import OutputFileError
from engine.midi.channel import CENTRE
from engine.midi.events import DRUM_CHANNEL, Event, Kind, note_off
from engine.midi.sysex import COARSE, FINE, GS_PART, GS_RHYTHM, ROLAND
from engine.outputs import write_whole

BEAT = 500_000  # microseconds, 120 beats a minute
MOST_TICKS = 2**28 - 1  # between two messages


def write_midi(path: Path | str, events: Iterable[Event], sample_rate: int, length: int) -> None:
    """Write events as a file of type 0 whose ticks are samples, up to `length`, where held notes end.

    What has no place in a MIDI file (knobs) is left out. Raises OutputFileError.
    """
    path = Path(path)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=BEAT)])
    now = 0
    for event in [*sorted(_closed(events, length), key=lambda event: event.sample)]:
        message = to_mido(event)
        if message is None:
            continue
        now = _wait(track, now, event.sample)
        track.append(message.copy(time=event.sample - now))
        now = event.sample
    now = _wait(track, now, length)
    track.append(mido.MetaMessage("end_of_track", time=max(0, length - now)))
    file = mido.MidiFile(type=0, ticks_per_beat=round(sample_rate * BEAT * 1e-6))
    file.tracks.append(track)
    content = io.BytesIO()
    file.save(file=content)
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise OutputFileError(f"{path} cannot be written: {error.strerror or error}") from error


def to_mido(event: Event) -> Any | None:
    """The mido message of an event; None for what MIDI does not know."""
    where = {"channel": event.channel}
    match event.kind:
        case Kind.NOTE_ON:
            return mido.Message("note_on", note=event.number, velocity=max(1, round(event.value)), **where)
        case Kind.NOTE_OFF:
            return mido.Message("note_off", note=event.number, velocity=round(event.value), **where)
        case Kind.CONTROL:
            return mido.Message("control_change", control=event.number, value=round(event.value), **where)
        case Kind.PROGRAM:
            return mido.Message("program_change", program=event.number, **where)
        case Kind.PRESSURE:
            return mido.Message("aftertouch", value=round(event.value), **where)
        case Kind.BEND:
            return mido.Message("pitchwheel", pitch=round(event.value), **where)
        case Kind.DRUMS:
            part = 0 if event.channel == DRUM_CHANNEL else event.channel + (event.channel < DRUM_CHANNEL)
            body = (0x40, GS_PART | part, GS_RHYTHM, int(event.value))
            return mido.Message("sysex", data=(ROLAND, 0x10, 0x42, 0x12, *body, -sum(body) % 128))
        case Kind.TUNING:
            fine = min(8192 + round(event.value * 8192), 16383)
            data = (0, round(event.value) + CENTRE) if event.number else (fine & 0x7F, fine >> 7)
            return mido.Message("sysex", data=(0x7F, 0x7F, 4, COARSE if event.number else FINE, *data))
        case _:
            return None


def _closed(events: Iterable[Event], length: int) -> Iterable[Event]:
    """The events, and ends of the notes that have none."""
    down: dict[tuple[int, int], None] = {}
    for event in events:
        if event.kind is Kind.NOTE_ON:
            down[event.channel, event.number] = None
        elif event.kind is Kind.NOTE_OFF:
            down.pop((event.channel, event.number), None)
        yield event
    yield from (note_off(length, key, channel) for channel, key in down)


def _wait(track: Any, now: int, until: int) -> int:
    """A file cannot say how long nothing happens where that is very long: say it in pieces."""
    while until - now > MOST_TICKS:
        track.append(mido.MetaMessage("text", text="", time=MOST_TICKS))
        now += MOST_TICKS
    return now
