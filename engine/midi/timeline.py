"""From ticks of tracks to samples: tempo maps of formats 0 and 1, the sequences of format 2 one after another, SMPTE.

Millions of messages are handled as arrays, and what cannot be heard of them is thinned out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputFileError
from engine.midi.chunks import Chunks
from engine.midi.tracks import BEND, CONTROL, PRESSURE, TEMPO_MARK, Track

Integers = NDArray[np.int64]
Seconds = NDArray[np.float64]

DEFAULT_TEMPO = 500_000  # microseconds a quarter note, 120 beats a minute
SMPTE_RATES = {29: 30_000 / 1001}  # frames a second; other numbers are their own rate
CELLS = (64, 256, 1024, 4096)
"""Samples: of a controller's values within so many, 1.5 ms, the last is heard; where too many are left, within more."""
MOST_EVENTS = 500_000
FURTHEST_SECONDS = 1e9
ORDERED = (0, 6, 32, 38, *range(64, 70), *range(96, 102), *range(120, 128))
"""Controllers of which every message counts: banks, data entry, pedals, modes."""
_TEMPO, _MASK = TEMPO_MARK >> 24, 0xFFFFFF


@dataclass(frozen=True, slots=True)
class Timeline:
    """The events of all tracks in playing order.

    samples, ticks, words, tracks: time, content (see `Track`) and track of every event. ends: sample at which each
    track ends. problems: what was left out, a sentence each.
    """

    samples: Integers
    ticks: Integers
    words: NDArray[np.uint32]
    tracks: NDArray[np.int32]
    ends: tuple[int, ...]
    problems: tuple[str, ...]


@dataclass(slots=True)
class _Columns:
    """Times, ticks and contents of the events of a track."""

    samples: Integers
    ticks: Integers
    words: NDArray[np.uint32]

    def thin_out(self, cell: int) -> None:
        """Leave out what cannot be heard, see `_audible`."""
        kept = _audible(self.samples, self.words, cell)
        self.samples, self.ticks, self.words = self.samples[kept], self.ticks[kept], self.words[kept]


def timeline(chunks: Chunks, sample_rate: int) -> Timeline:
    """Put the tracks of a file on the sample clock. Raises InputFileError for a division that means nothing."""
    columns: list[_Columns] = []
    ends: list[int] = []
    problems: list[str] = []
    start, start_tick = 0.0, 0
    for group in [[track] for track in chunks.tracks] if chunks.format == 2 else [chunks.tracks]:
        clock = _Clock(chunks.division, group)
        problems += ["a tempo of 0 was ignored"] if clock.ignored else []
        for track in group:
            ticks, words = np.frombuffer(track.ticks, np.int64), np.frombuffer(track.words, np.uint32)
            own = _Columns(_samples(start + clock.seconds(ticks), sample_rate), ticks + start_tick, words)
            own.thin_out(CELLS[0])
            columns.append(own)
            ends.append(int(_samples(start + clock.seconds(np.array([track.end])), sample_rate)[0]))
        if chunks.format == 2:
            start = ends[-1] / sample_rate
            start_tick += group[0].end + 1
    for cell in CELLS[1:]:
        if sum(len(own.words) for own in columns) > MOST_EVENTS:
            for own in columns:
                own.thin_out(cell)
    return _merged(columns, ends, problems)


def _merged(columns: list[_Columns], ends: list[int], problems: list[str]) -> Timeline:
    """All tracks in one order: by tick, then by track."""
    columns = columns or [_Columns(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint32))]
    tracks = np.repeat(np.arange(len(columns), dtype=np.int32), [len(own.words) for own in columns])
    ticks = np.concatenate([own.ticks for own in columns])
    order = np.argsort(ticks, kind="stable")
    if len(order) > MOST_EVENTS:
        order = order[:MOST_EVENTS]
        problems.append(f"only its first {MOST_EVENTS:,} events are played")
    samples = np.concatenate([own.samples for own in columns])[order]
    words = np.concatenate([own.words for own in columns])[order]
    return Timeline(samples, ticks[order], words, tracks[order], tuple(ends), tuple(problems))


class _Clock:
    """Seconds of ticks under the tempos of some tracks, or under SMPTE's fixed rate."""

    def __init__(self, division: int, tracks: Sequence[Track]) -> None:
        self.ignored = False
        self._starts = np.zeros(1, np.int64)
        if division < 0:
            frames, per_frame = -(division >> 8), division & 0xFF
            if per_frame == 0:
                raise InputFileError("it has an SMPTE time division that does not exist")
            self._per_tick = np.array([1 / (SMPTE_RATES.get(frames, float(frames)) * per_frame)])
        elif division == 0:
            raise InputFileError("it says that a beat has no ticks")
        else:
            self._tempos(division, tracks)
        spans = np.diff(self._starts) * self._per_tick[:-1]
        self._bases = np.concatenate([[0.0], np.cumsum(spans)])

    def _tempos(self, division: int, tracks: Sequence[Track]) -> None:
        rows = []
        for track in tracks:
            words = np.frombuffer(track.words, np.uint32)
            found = np.flatnonzero(words >> 24 == _TEMPO)
            rows.append(np.stack([np.frombuffer(track.ticks, np.int64)[found], words[found] & _MASK]))
        ticks, tempos = np.concatenate([*rows, np.zeros((2, 0), np.int64)], axis=1).astype(np.int64)
        self.ignored = bool((tempos == 0).any())
        ticks, tempos = ticks[tempos > 0], tempos[tempos > 0]
        order = np.argsort(ticks, kind="stable")
        self._starts = np.concatenate([[0], ticks[order]])
        self._per_tick = np.concatenate([[DEFAULT_TEMPO], tempos[order]]) * 1e-6 / division

    def seconds(self, ticks: Integers) -> Seconds:
        """Time of each tick."""
        span = np.searchsorted(self._starts, ticks, "right") - 1
        result: Seconds = self._bases[span] + (ticks - self._starts[span]) * self._per_tick[span]
        return result


def _samples(seconds: Seconds, sample_rate: int) -> Integers:
    rounded: Integers = np.rint(np.minimum(seconds, FURTHEST_SECONDS) * sample_rate).astype(np.int64)
    return rounded


def _audible(samples: Integers, words: NDArray[np.uint32], cell: int) -> NDArray[np.bool_]:
    """Which events of a track are kept: of a controller, bend, pressure or tempo the last value in every cell."""
    kind = words >> 20 & 0xF
    tempo = words >> 24 == _TEMPO
    channel = words >> 24 < 0x80
    steps = channel & (kind == CONTROL) & ~np.isin(words >> 8 & 0x7F, ORDERED)
    wheels = channel & ((kind == BEND) | (kind == PRESSURE))
    many = np.flatnonzero(tempo | steps | wheels)
    kept = np.ones(len(words), bool)
    if len(many):
        group = np.where(
            tempo[many], _TEMPO << 24, np.where(wheels[many], words[many] & 0xFFFF0000, words[many] & 0xFFFFFF00)
        )
        order = np.argsort(group, kind="stable")
        group, cells = group[order], samples[many][order] // cell
        kept[many[order[:-1]]] = (group[1:] != group[:-1]) | (cells[1:] != cells[:-1])
    return kept
