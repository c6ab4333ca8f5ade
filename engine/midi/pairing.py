"""Which note-off ends which note of a file, so that notes on one key of a channel can overlap.

A note-off belongs to the oldest open note of its own track, channel and key. Where notes would be left over, a note
that is struck again ends there instead. A note-off that no note waits for is dropped.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

ENDLESS = float("inf")
MOST_VOICES = 16  # on one key
BETWEEN = 0.25  # from an index to the place before or behind it
SHORT_OVERLAP = 0.25  # of a note's length


class Mark(Enum):
    """What a line of a track says at one place."""

    ON = "note on"
    OFF = "note off"
    ALL_OFF = "all notes off"


@dataclass(slots=True, eq=False)
class Note:
    """A note of a file.

    place: (channel, key). begin: index of its note-on. tick: when it begins. velocity: 1-127.
    end: index of the note-off, or a place beside an index for one that the file lacks; ENDLESS for none.
    silent: no note-off is sent at its end, because a message for all notes or the end of a twin ends it.
    voice: tells it from the others on its key that sound meanwhile.
    """

    place: tuple[int, int]
    track: int
    begin: int
    tick: int
    velocity: int
    end: float = ENDLESS
    end_tick: int = 0
    silent: bool = False
    voice: int = 0


@dataclass(slots=True)
class _Line:
    """What happens on one key of one channel in one track."""

    marks: list[tuple[Mark, int, int, int]] = field(default_factory=list)  # with index, tick, velocity
    open: int = 0
    stray: bool = False  # whether the last mark is a note-off that no note waits for


@dataclass(slots=True)
class Pairing:
    """Collects the messages of a file in playing order; `notes` makes notes of them."""

    _lines: dict[tuple[int, int, int], _Line] = field(default_factory=dict)
    _open: dict[int, dict[int, _Line]] = field(default_factory=dict)  # by channel, by identity

    def note_on(self, index: int, tick: int, place: tuple[int, int], track: int, velocity: int) -> None:
        """A note begins."""
        line = self._lines.setdefault((track, *place), _Line())
        line.marks.append((Mark.ON, index, tick, velocity))
        line.open, line.stray = line.open + 1, False
        self._open.setdefault(place[0], {})[id(line)] = line

    def note_off(self, index: int, tick: int, place: tuple[int, int], track: int) -> None:
        """A note ends; of a crowd of note-offs that no note waits for the last one is kept."""
        line = self._lines.setdefault((track, *place), _Line())
        if line.stray:
            line.marks.pop()
        line.marks.append((Mark.OFF, index, tick, 0))
        line.open, line.stray = max(0, line.open - 1), line.open == 0

    def all_off(self, index: int, channel: int) -> None:
        """Every note of a channel ends."""
        for line in self._open.pop(channel, {}).values():
            if line.open > 0:
                line.marks.append((Mark.ALL_OFF, index, 0, 0))
                line.open = 0

    def notes(self) -> list[Note]:
        """All notes by their beginnings, each with a voice."""
        found: list[Note] = []
        for (track, channel, key), line in self._lines.items():
            found += _pair(line, (channel, key), track)
        found.sort(key=lambda note: note.begin)
        _give_voices(found)
        return found


def _pair(line: _Line, place: tuple[int, int], track: int) -> list[Note]:
    """The notes of a line: first in, first out; or each up to the next where that leaves notes over."""
    for overlapping in (True, False):
        notes: list[Note] = []
        done = 0  # so many of them have ended
        for number, (mark, index, tick, velocity) in enumerate(line.marks):
            if mark is Mark.ON:
                if not overlapping and done < len(notes):
                    notes[-1].end, done = index - BETWEEN, len(notes)
                notes.append(Note(place, track, index, tick, velocity))
                if _is_over_at_once(line, number, done == len(notes) - 1):
                    notes[-1].end, done = index + BETWEEN, len(notes)
            elif done < len(notes):
                last = len(notes) if mark is Mark.ALL_OFF else done + 1
                for note in notes[done:last]:
                    note.end, note.end_tick, note.silent = index, tick, mark is Mark.ALL_OFF
                done = last
        if done >= len(notes) - 1 and (done == len(notes) or _overlaps_are_short(notes)):
            break
    return notes


def _overlaps_are_short(notes: list[Note]) -> bool:
    """Whether notes reach a little into the next at most, as notation programs write them, and none has taken the
    note-off of another."""
    return all(
        note.silent or note.end_tick - after.tick <= SHORT_OVERLAP * (note.end_tick - note.tick)
        for note, after in pairwise(notes)
    )


def _is_over_at_once(line: _Line, number: int, alone: bool) -> bool:
    """Whether a note has no length, and its note-off stands before it at the same tick."""
    before, after = line.marks[number - 1] if number else None, line.marks[number + 1 : number + 2]
    return (
        alone and before is not None and before[0] is Mark.OFF and before[2] == line.marks[number][2]
        and _is_stray(line, number - 1) and (not after or after[0][0] is Mark.ON)
    )  # fmt: skip


def _is_stray(line: _Line, number: int) -> bool:
    """Whether no note waits for the note-off of this number."""
    return number == 0 or line.marks[number - 1][0] is not Mark.ON


def _give_voices(notes: list[Note]) -> None:
    """Notes that sound at once on one key get different voices; twins of one track that begin at once share
    one, up to the later end."""
    sounding: dict[tuple[int, int], list[Note]] = {}
    ends: list[tuple[float, int, Note]] = []

    def end(note: Note) -> None:
        others = sounding[note.place]
        if note in others:
            others.remove(note)
            note.silent = note.silent or any(other.voice == note.voice for other in others)

    for number, note in enumerate(notes):
        while ends and ends[0][0] < note.begin:
            end(heapq.heappop(ends)[2])
        others = sounding.setdefault(note.place, [])
        if len(others) >= MOST_VOICES:
            others.pop(0).silent = True  # the next one has its voice, and so ends it
        twins = [other for other in others if (other.track, other.tick) == (note.track, note.tick)]
        taken = {other.voice for other in others}
        note.voice = twins[0].voice if twins else next(voice for voice in range(len(taken) + 1) if voice not in taken)
        others.append(note)
        heapq.heappush(ends, (note.end, number, note))
    while ends:
        end(heapq.heappop(ends)[2])
