"""Standard MIDI Files to events on the sample clock.

`chunks` finds the tracks and `tracks` decodes them, whatever is wrong with the file; here they become a score. What
was mended is noted in `Score.warnings`; a file is refused, in one sentence, where nothing in it can be played.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

from engine.errors import InputFileError
from engine.midi.chunks import Chunks, read_chunks
from engine.midi.events import DRUM_CHANNEL, Event, Kind
from engine.midi.inputs import read_input
from engine.midi.scoring import MAX_SECONDS, score_parts
from engine.midi.text import decode_texts
from engine.midi.timeline import timeline

MAX_BYTES = 20_000_000
KARAOKE_TITLE = "@T"

__all__ = ["MAX_BYTES", "MAX_SECONDS", "Score", "TrackInfo", "parse_score", "read_score"]


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
    length: samples until the end, with the silence that belongs to it.
    sample_rate: Hz of the clock that `events` and `length` count.
    warnings: what was mended on the way in, a sentence each.
    tracks: its parts; empty where nothing is known of them.
    track_of: index of every event's part, -1 for what belongs to none; empty where `tracks` is.
    drums: channels that are drum parts.
    """

    events: tuple[Event, ...]
    length: int
    sample_rate: int
    title: str = ""
    warnings: tuple[str, ...] = ()
    tracks: tuple[TrackInfo, ...] = ()
    track_of: tuple[int, ...] = ()
    drums: frozenset[int] = frozenset({DRUM_CHANNEL})

    @property
    def seconds(self) -> float:
        """Time until the end."""
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
        kept = [event.channel != channel or event.kind is Kind.TEMPO for event in self.events]
        return replace(self, events=tuple(compress(self.events, kept)), track_of=tuple(compress(self.track_of, kept)))


def read_score(path: Path | str, sample_rate: int) -> Score:
    """Read a Standard MIDI File of format 0, 1 or 2, bare or in a RIFF file.

    Raises InputFileError, in one sentence, for a file that is missing, too large, no MIDI file or holds no note.
    """
    path = Path(path)
    data = read_input(path, MAX_BYTES, "a MIDI file")
    try:
        return parse_score(data, sample_rate)
    except InputFileError as error:
        raise InputFileError(f"{path.name} cannot be played: {error}") from error


def parse_score(data: bytes, sample_rate: int) -> Score:
    """The score of a MIDI file's bytes; see `read_score`."""
    chunks = read_chunks(data)
    title, names = _texts(chunks)
    parts = score_parts(chunks, timeline(chunks, sample_rate), sample_rate)
    tracks, track_of = _tracks(parts.rows, names)
    events = tuple(event for event, _ in parts.rows)
    warnings = (*chunks.repairs, *parts.warnings)
    return Score(events, parts.length, sample_rate, title, warnings, tracks, track_of, parts.drums)


def _texts(chunks: Chunks) -> tuple[str, list[str]]:
    """The title and the names of the tracks."""
    karaoke = [text[2:] for track in chunks.tracks for text in track.texts if text.startswith(KARAOKE_TITLE.encode())]
    names = decode_texts([*(track.name for track in chunks.tracks), *karaoke[:1]])
    title = names[-1] if karaoke else next((name for name in names if name), "")
    return title, names[: len(chunks.tracks)]


def _tracks(rows: list[tuple[Event, int]], names: list[str]) -> tuple[tuple[TrackInfo, ...], tuple[int, ...]]:
    """The parts, and the part of every event: those that hold notes, in the file's order."""
    notes = Counter((track, event.channel) for event, track in rows if event.kind is Kind.NOTE_ON)
    places = {place: index for index, place in enumerate(sorted(notes))}
    alone = Counter(track for track, _ in notes)

    def title(track: int, channel: int) -> str:
        number = f"Channel {channel + 1}"
        if not names[track]:
            return number
        return names[track] if alone[track] == 1 else f"{names[track]}, {number.lower()}"

    tracks = tuple(
        TrackInfo(index, title(track, channel), channel, notes[track, channel])
        for (track, channel), index in places.items()
    )
    return tracks, tuple(places.get((track, event.channel), -1) for event, track in rows)
