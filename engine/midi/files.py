"""Standard MIDI Files to events on the sample clock.

mido parses the bytes; the timing is worked out here, because it has to land on samples: tempo maps of types 0 and 1,
the sequences of type 2 one after another, SMPTE time. A file is never trusted: what cannot be read is said in one
sentence, what can be mended is mended and noted in `Score.warnings`.
"""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any

import mido
from mido.midifiles.meta import KeySignatureError

from engine.errors import InputFileError
from engine.midi.events import Event, Kind, from_mido, note_off

DEFAULT_TEMPO = 500_000  # microseconds a quarter note, 120 beats a minute
MAX_BYTES = 20_000_000
MAX_SECONDS = 6 * 3600.0
_BROKEN = (OSError, EOFError, ValueError, LookupError, TypeError, KeySignatureError)
"""What mido raises on bytes that are no MIDI file."""


@dataclass(frozen=True, slots=True)
class TrackInfo:
    """One part of a score: the notes of one track of the file on one channel.

    index: place in `Score.tracks`. notes: how many begin.
    """

    index: int
    title: str
    channel: int
    notes: int


@dataclass(frozen=True, slots=True)
class Score:
    """A file's events in playing order.

    events: sorted by time; events of the same sample keep the file's order.
    length: samples until the last event.
    sample_rate: Hz of the clock that `events` and `length` count.
    warnings: what was mended on the way in, a sentence each.
    tracks: its parts; empty where nothing is known of them.
    track_of: index of every event's part, -1 for what belongs to none; empty where `tracks` is.
    """

    events: tuple[Event, ...]
    length: int
    sample_rate: int
    title: str = ""
    warnings: tuple[str, ...] = ()
    tracks: tuple[TrackInfo, ...] = ()
    track_of: tuple[int, ...] = ()

    @property
    def seconds(self) -> float:
        """Time until the last event."""
        return self.length / self.sample_rate

    @property
    def notes(self) -> int:
        """How many notes begin."""
        return sum(event.kind is Kind.NOTE_ON for event in self.events)

    def on_grid(self, block: int) -> Score:
        """The same score with every event moved to the nearest multiple of `block` samples."""
        events = tuple(event.at(round(event.sample / block) * block) for event in self.events)
        return replace(self, events=events, length=-(-self.length // block) * block)

    def without_channel(self, channel: int) -> Score:
        """The same score without the events of one channel."""
        kept = [event.channel != channel for event in self.events]
        return replace(self, events=tuple(compress(self.events, kept)), track_of=tuple(compress(self.track_of, kept)))


@dataclass(slots=True)
class _Reader:
    """Turns parsed tracks into timed events; collects what had to be mended."""

    sample_rate: int
    events: list[tuple[Event, int]] = field(default_factory=list)  # with the file's track
    warnings: Counter[str] = field(default_factory=Counter)
    title: str = ""
    names: dict[int, str] = field(default_factory=dict)  # of the file's tracks

    def sequence(self, messages: Iterable[tuple[int, Any, int]], clock: _Clock, start: float) -> float:
        """Append one sequence's events; `messages` are (tick, message, track) in order. Returns its end in seconds."""
        seconds = start
        for tick, message, track in messages:
            seconds = start + clock.seconds(tick)
            if seconds > MAX_SECONDS:
                raise InputFileError(f"the MIDI file lasts longer than {MAX_SECONDS / 3600:g} hours")
            if message.type == "set_tempo":
                if message.tempo == 0:
                    self.warnings["a tempo of 0 was ignored"] += 1
                else:
                    clock.change(tick, message.tempo)
            elif message.type == "track_name":
                self.names.setdefault(track, message.name.strip())
                self.title = self.title or message.name.strip()
            elif not message.is_meta:
                event = from_mido(message, round(seconds * self.sample_rate))
                if event is not None:
                    self.events.append((event, track))
        return seconds

    def close_open_notes(self, end: int) -> None:
        """A note without an end stops with the score."""
        down: dict[tuple[int, int], int] = {}
        for event, track in self.events:
            if event.kind is Kind.NOTE_ON:
                down[event.channel, event.number] = track
            elif event.kind is Kind.NOTE_OFF:
                down.pop((event.channel, event.number), None)
        for (channel, key), track in down.items():
            self.warnings["a note that never ends was closed at the end"] += 1
            self.events.append((note_off(end, key, channel), track))

    def tracks(self) -> tuple[tuple[TrackInfo, ...], tuple[int, ...]]:
        """The parts, and the part of every event: those that hold notes, in the file's order."""
        notes = Counter((track, event.channel) for event, track in self.events if event.kind is Kind.NOTE_ON)
        places = {place: index for index, place in enumerate(sorted(notes))}
        alone = Counter(track for track, _ in notes)
        tracks = tuple(
            TrackInfo(index, self._track_title(track, channel, alone[track] == 1), channel, notes[track, channel])
            for (track, channel), index in places.items()
        )
        return tracks, tuple(places.get((track, event.channel), -1) for event, track in self.events)

    def _track_title(self, track: int, channel: int, alone: bool) -> str:
        name = self.names.get(track, "")
        number = f"Channel {channel + 1}"
        return (name if alone else f"{name}, {number.lower()}") if name else number


class _Clock:
    """Seconds of a tick, under a tempo map that grows as it is read, or under SMPTE's fixed rate."""

    def __init__(self, division: int) -> None:
        self._seconds_per_tick: float
        self._ticks_per_beat = 0
        if division < 0:
            frames, ticks = -(division >> 8), division & 0xFF
            if frames not in (24, 25, 29, 30) or ticks == 0:
                raise InputFileError("the MIDI file has an SMPTE time division that does not exist")
            rate = 30_000 / 1001 if frames == 29 else float(frames)
            self._seconds_per_tick = 1 / (rate * ticks)
        elif division == 0:
            raise InputFileError("the MIDI file says that a beat has no ticks")
        else:
            self._ticks_per_beat = division
            self._seconds_per_tick = DEFAULT_TEMPO * 1e-6 / division
        self._tick, self._time = 0, 0.0

    def seconds(self, tick: int) -> float:
        """Time of a tick that is not before the last tempo change."""
        return self._time + (tick - self._tick) * self._seconds_per_tick

    def change(self, tick: int, tempo: int) -> None:
        """From this tick on a quarter note lasts `tempo` microseconds; SMPTE time has no tempo."""
        if self._ticks_per_beat:
            self._time, self._tick = self.seconds(tick), tick
            self._seconds_per_tick = tempo * 1e-6 / self._ticks_per_beat


def read_score(path: Path | str, sample_rate: int) -> Score:
    """Read a Standard MIDI File of type 0, 1 or 2.

    Raises InputFileError, in one sentence, for a file that is missing, too large, broken or holds no note.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputFileError(f"{path.name} is over {MAX_BYTES // 1_000_000} MB, too large for a MIDI file")
        data = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return parse_score(data, sample_rate)
    except InputFileError as error:
        raise InputFileError(f"{path.name} cannot be played: {error}") from error


def parse_score(data: bytes, sample_rate: int) -> Score:
    """The score of a MIDI file's bytes; see `read_score`."""
    if data[:4] == b"RIFF" and data[8:12] == b"RMID" and data[12:16] == b"data":
        data = data[20:]
    if data[:4] != b"MThd":
        raise InputFileError("it is not a MIDI file" if data else "it is empty")
    midi, warnings = _parse(data)
    reader = _Reader(sample_rate, warnings=Counter(warnings))
    division = struct.unpack(">h", data[12:14])[0]
    if midi.type == 2:
        end = 0.0
        for index, track in enumerate(midi.tracks):
            end = reader.sequence(_absolute(track, index), _Clock(division), end)
    else:
        rows = (row for index, track in enumerate(midi.tracks) for row in _absolute(track, index))
        end = reader.sequence(sorted(rows, key=lambda row: row[0]), _Clock(division), 0.0)
    reader.events.sort(key=lambda row: row[0].sample)
    if not any(event.kind is Kind.NOTE_ON for event, _ in reader.events):
        raise InputFileError("it holds no notes")
    length = round(end * sample_rate)
    reader.close_open_notes(length)
    tracks, track_of = reader.tracks()
    notes = tuple(f"{text} ({count} times)" if count > 1 else text for text, count in reader.warnings.items())
    events = tuple(event for event, _ in reader.events)
    return Score(events, length, sample_rate, reader.title, notes, tracks, track_of)


def _absolute(track: Iterable[Any], index: int) -> list[tuple[int, Any, int]]:
    tick, rows = 0, []
    for message in track:
        tick += message.time
        rows.append((tick, message, index))
    return rows


def _parse(data: bytes) -> tuple[Any, list[str]]:
    """mido's file, with a truncated one cut back to the tracks that are whole."""
    try:
        return mido.MidiFile(file=io.BytesIO(data), clip=True), []
    except _BROKEN as error:
        whole = _whole_tracks(data)
        if whole is None:
            raise InputFileError("it is broken or cut short") from error
    try:
        return mido.MidiFile(file=io.BytesIO(whole), clip=True), ["the file is cut short: its broken end was left out"]
    except _BROKEN as error:
        raise InputFileError("it is broken") from error


def _whole_tracks(data: bytes) -> bytes | None:
    """The file with only its complete track chunks, or None where there is none to keep."""
    if len(data) < 14:
        return None
    position, chunks = 8 + int.from_bytes(data[4:8]), []
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8])
        if position + 8 + size > len(data):
            break
        if data[position : position + 4] == b"MTrk":
            chunks.append(data[position : position + 8 + size])
        position += 8 + size
    if not chunks:
        return None
    header = data[:10] + struct.pack(">H", len(chunks)) + data[12:14]
    return header[:4] + (6).to_bytes(4) + header[8:14] + b"".join(chunks)
