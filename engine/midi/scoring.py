"""From a timeline of decoded messages to the events of a score: channels of ports, notes with their ends, an end."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np

from engine.errors import InputFileError
from engine.midi.channel import ALL_SOUND_OFF, NOTE_MODES
from engine.midi.chunks import CUT, Chunks
from engine.midi.endings import OPEN_SECONDS, RING_SECONDS, TAIL_SECONDS, play_through
from engine.midi.events import EVERYWHERE, Event, control, drum_part, note_off, note_on, tempo
from engine.midi.pairing import ENDLESS, Note, Pairing
from engine.midi.portmap import PortMap
from engine.midi.sysex import from_sysex, is_scale_tuning
from engine.midi.timeline import Timeline
from engine.midi.tracks import CONTROL, NOTE_OFF, NOTE_ON, SYSEX_MARK, TEMPO_MARK
from engine.midi.wire import event_of

MAX_SECONDS = 6 * 3600.0
MICROSECONDS = 60_000_000  # in a minute
ALL_OFF = (ALL_SOUND_OFF, *NOTE_MODES)
_TEMPO, _SYSEX = TEMPO_MARK >> 24, SYSEX_MARK >> 24


@dataclass(slots=True)
class ScoreParts:
    """What a score is made of. rows: events in playing order with the file's track. length: samples until the end.
    drums: channels that play drum parts. warnings: what was mended, a sentence each."""

    rows: list[tuple[Event, int]]
    length: int
    drums: frozenset[int]
    warnings: list[str]


def score_parts(chunks: Chunks, line: Timeline, sample_rate: int) -> ScoreParts:
    """Make a file's events. Raises InputFileError where none of them is a note, or most lie too far away."""
    return _Scoring(chunks, line, sample_rate).run()


@dataclass(slots=True)
class _Scoring:
    chunks: Chunks
    line: Timeline
    sample_rate: int
    warnings: list[str] = field(default_factory=list)
    pairing: Pairing = field(default_factory=Pairing)
    rows: list[tuple[int, float, Event, int]] = field(default_factory=list)  # sample, order in the file, event, track
    samples: list[int] = field(default_factory=list)
    last: int = 0  # sample of the last beginning or end of a note

    def run(self) -> ScoreParts:
        self.warnings += dict.fromkeys(self.line.problems)
        ports = PortMap(self.line.words)
        self.warnings += ports.notices
        self.rows += [(0, -1, event, -1) for event in ports.drum_parts()]
        near = self.line.samples <= round(MAX_SECONDS * self.sample_rate)
        self.samples = self.line.samples[near].tolist()
        self._take_messages(ports, near)
        notes = self.pairing.notes()
        self._check(notes, near)
        endless = self._take_notes(notes)
        end = self._end_of_tracks({note.track for note in notes})
        self._close(endless, end)
        self.rows.sort(key=itemgetter(0, 1))
        return self._finish(end)

    def _take_messages(self, ports: PortMap, near: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        """Everything but notes becomes an event, notes are collected."""
        columns = (self.line.words, self.line.ticks, self.line.tracks)
        for index, (word, tick, track) in enumerate(zip(*(column[near].tolist() for column in columns), strict=True)):
            mark, kind, first, second = word >> 24, word >> 20 & 0xF, word >> 8 & 0x7F, word & 0x7F
            if mark == _TEMPO:
                if word & 0xFFFFFF:
                    self._add(index, tempo(self.samples[index], MICROSECONDS / (word & 0xFFFFFF)), track)
                continue
            if mark == _SYSEX:
                self._take_sysex(index, ports, track, *self.chunks.tracks[track].sysex[word & 0xFFFFFF])
                continue
            channel, folded = ports.channel(mark, word >> 16 & 0xF)
            if channel is None:
                continue
            if kind == NOTE_ON and second:
                self.pairing.note_on(index, tick, (channel, first), track, second)
            elif kind in (NOTE_ON, NOTE_OFF):
                self.pairing.note_off(index, tick, (channel, first), track)
            elif not folded:
                self._take_control(index, kind, channel, first, second, track)

    def _take_control(self, index: int, kind: int, channel: int, first: int, second: int, track: int) -> None:
        if kind == CONTROL and first in ALL_OFF:
            self.pairing.all_off(index, channel)
        event = event_of((kind << 4 | channel, first, second), self.samples[index])
        if event is not None:
            self._add(index, event, track)

    def _take_sysex(self, index: int, ports: PortMap, track: int, port: int, data: bytes) -> None:
        if is_scale_tuning(data):
            text = "the tuning of single notes is not followed"
            self.warnings += [text] if text not in self.warnings else []
        for event in from_sysex(data, self.samples[index]):
            channel, folded = ports.channel(port, event.channel)
            if event.kind in EVERYWHERE:
                self._add(index, event, track)
            elif channel is not None and not folded:
                self._add(index, drum_part(event.sample, channel, event.value > 0), track)

    def _add(self, index: int, event: Event, track: int) -> None:
        self.rows.append((event.sample, index, event, track))

    def _check(self, notes: list[Note], near: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        """Refuse a file without notes, and one most of whose notes are hours away."""
        far = self.line.words[~near]
        kinds = far[far >> 24 < _SYSEX] >> 20 & 0xF
        beyond = int(((kinds == NOTE_ON) | (kinds == NOTE_OFF)).sum())
        whole = sum(note.end != ENDLESS for note in notes)
        if beyond and whole <= (len(notes) + beyond) / 3:
            raise InputFileError(f"it lasts longer than {MAX_SECONDS / 3600:g} hours")
        if beyond:
            self.warnings.append(f"what comes after {MAX_SECONDS / 3600:g} hours is left out")
        if not notes:
            raise InputFileError("it holds no notes")

    def _take_notes(self, notes: list[Note]) -> list[Note]:
        """Add note-ons and note-offs; return the notes that nothing ends."""
        endless = []
        for note in notes:
            (channel, key), begin = note.place, self.samples[note.begin]
            event = note_on(begin, key, note.velocity, channel)
            self.rows.append((begin, note.begin, event.with_voice(note.voice), note.track))
            self.last = max(self.last, begin)
            if note.end == ENDLESS:
                endless.append(note)
                continue
            end = self.samples[round(note.end)]
            self.last = max(self.last, end)
            if not note.silent:
                event = note_off(end, key, channel)
                self.rows.append((end, note.end, event.with_voice(note.voice), note.track))
        return endless

    def _end_of_tracks(self, tracks: set[int]) -> int:
        """Where the tracks that hold notes end, unless that is long after the music."""
        end = max(self.line.ends[track] for track in tracks)
        if end - self.last > round(TAIL_SECONDS * self.sample_rate):
            return self.last
        return end

    def _close(self, endless: list[Note], end: int) -> None:
        """Notes that nothing ends sound to the end of the file, together, but the last of them is no click."""
        if not endless:
            return
        begin = max(self.samples[note.begin] for note in endless)
        self.last = max(end, self.last, begin + round(OPEN_SECONDS * self.sample_rate))
        for note in endless:
            event = note_off(self.last, note.place[1], note.place[0]).with_voice(note.voice)
            self.rows.append((self.last, ENDLESS, event, note.track))
        if CUT not in self.chunks.repairs:
            many = f" ({len(endless)} of them)" if len(endless) > 1 else ""
            self.warnings.append(f"a note that never ends was closed at the end{many}")

    def _finish(self, end: int) -> ScoreParts:
        """Lift the pedals that stay down, and leave out what comes after the music."""
        latest = self.last + round(TAIL_SECONDS * self.sample_rate)
        rows = [(event, track) for sample, _, event, track in self.rows if sample <= latest]
        ending = play_through(event for event, _ in rows)
        length = max(end, self.last, ending.released)
        if ending.held:
            length = max(length, self.last + round(RING_SECONDS * self.sample_rate))
            self.warnings.append("a pedal that never comes up is lifted after the last note")
        rows = [row for row in rows if row[0].sample <= length]
        rows += [(control(length, pedal, 0, channel), -1) for channel, pedal in ending.held]
        silence = (max(self.line.ends) - length) / self.sample_rate
        if TAIL_SECONDS < silence < MAX_SECONDS:
            self.warnings.append(f"{silence / 60:.1f} minutes of silence at its end are left out")
        return ScoreParts(rows, length, frozenset(ending.drums), self.warnings)
