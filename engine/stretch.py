"""Reading a sound at another pitch, and a loop at another tempo too.

A loop is stretched as drummers' tools do it: every onset is played at its own time and untouched, and what lies between
two onsets is left early (faster) or filled by going back in it (slower), with crossfades where the sound resembles
itself (the similarity search of WSOLA, Verhelst and Roelands 1993). At its own tempo a loop is read as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.audio.resampler import phases
from engine.spectral import Samples, Stft

PHASES, TAPS, MOST_TAPS = 1024, 16, 64
STEPS_PER_OCTAVE = 4
"""Lowpass filters of faster reading: one for each quarter of an octave."""

PIECE = 1024  # samples at most that are read without another look
CROSSFADE = 512  # between two similar places
ONSET_FADE = 96  # before an onset that is jumped to
SEARCH = 512  # samples on either side in which a similar place is looked for
SIMILAR_STEP = 2  # every so many samples are compared
DRIFT = 1536  # samples by which what is read may be away from its time
ATTACK = 512  # samples of an onset that are played once only

ONSET_STFT = Stft(512, 128)
ONSET_SHARE = 0.15  # of the strongest rise of the spectrum, that an onset must reach
ONSET_SECONDS = 0.04  # between two onsets
FINE = 32  # samples, to which an onset is placed
FLOOR = 1e-5


def read(sound: Samples, first: float, step: float, count: int, *, circular: bool = False) -> Samples:
    """Samples first, first + step ... of a sound (2, n) as (2, count); beyond its ends it is silent, or goes round."""
    whole = int(first)
    if step == 1 and whole == first:
        return _slice(sound, whole, count, circular=circular)
    level = max(0, math.ceil(STEPS_PER_OCTAVE * math.log2(step) - 1e-9))
    table = _filters(level)
    places = np.rint((first + step * np.arange(count)) * PHASES).astype(np.int64)
    taps = places[:, None] // PHASES + np.arange(table.shape[1]) - (table.shape[1] // 2 - 1)
    filters = table[places % PHASES]
    length = sound.shape[1]
    if circular:
        taps %= length
    else:
        filters = np.where((taps >= 0) & (taps < length), filters, 0)
        np.clip(taps, 0, length - 1, out=taps)
    return np.asarray(np.einsum("cnt,nt->cn", sound[:, taps], filters), np.float32)


def _slice(sound: Samples, first: int, count: int, *, circular: bool) -> Samples:
    length = sound.shape[1]
    if circular:
        return sound[:, np.arange(first, first + count) % length]
    part = sound[:, max(0, first) : max(0, first + count)]
    return np.pad(part, ((0, 0), (max(0, -first), count - max(0, -first) - part.shape[1])))


@lru_cache(maxsize=32)
def _filters(level: int) -> NDArray[np.float32]:
    edge = 2.0 ** (-level / STEPS_PER_OCTAVE)
    return phases(PHASES, min(2 * round(TAPS / 2 / edge), MOST_TAPS), edge)


def onsets(sound: Samples, sample_rate: int) -> tuple[int, ...]:
    """Samples at which something is struck in a loop (2, n), in order; the first is always 0.

    Peaks of the spectral flux (the rises of the compressed magnitudes), placed by the steepest rise of the energy.
    """
    mono, length = sound.mean(axis=0), sound.shape[1]
    lead = np.concatenate([mono[-ONSET_STFT.length :], mono])  # the loop before it, so that its ring-over is no onset
    magnitude = np.log1p(1000 * np.abs(ONSET_STFT.analyse(lead)))[ONSET_STFT.length // ONSET_STFT.hop :]
    flux = np.maximum(np.diff(magnitude, axis=0), 0).sum(axis=1)
    peaks = np.flatnonzero(flux[1:-1] >= np.maximum(flux[:-2], flux[2:])) + 1
    peaks = peaks[flux[peaks] > max(FLOOR, ONSET_SHARE * float(flux.max(initial=0)))]
    found = [0]
    for frame in peaks[np.argsort(-flux[peaks], kind="stable")]:  # the strongest first: it hides its neighbours
        place = _steepest(mono, int(frame + 2) * ONSET_STFT.hop - ONSET_STFT.length // 2)
        near = min(abs(place - other) for other in (*found, length))
        if near >= ONSET_SECONDS * sample_rate:
            found.append(place)
    return tuple(sorted(found))


def _steepest(mono: Samples, about: int) -> int:
    """Where the energy rises most within a few milliseconds of a sample."""
    begin = max(0, about - ONSET_STFT.length // 2)
    part = mono[begin : about + ONSET_STFT.length // 2]
    blocks = len(part) // FINE
    if blocks < 2:
        return max(0, about)
    energy = (part[: blocks * FINE].reshape(blocks, FINE) ** 2).sum(axis=1) + FLOOR
    return begin + FINE * (1 + int(np.diff(np.log(energy)).argmax()))


@dataclass(frozen=True, slots=True)
class Loop:
    """A sound whose end fits its beginning. sound: (2, n). onsets: see the function."""

    sound: Samples
    onsets: tuple[int, ...]


class LoopReader:
    """Reads a loop from its beginning on, round and round, at a tempo and a pitch that may change at any time."""

    def __init__(self, loop: Loop, following: Callable[[], Loop] | None = None) -> None:
        """`following` is asked at the end of every pass which loop comes next, of as many beats."""
        self.loop = loop
        """What is read now."""
        self._following = following or (lambda: loop)
        self._place = 0.0  # in the loop, of the next sample that is read
        self._target = 0.0  # where that should be
        self._struck = 0  # how many onsets of this pass have been played
        self._ready = np.zeros((2, 0), np.float32)
        self._advance()

    def read(self, count: int, tempo: float, pitch: float) -> Samples:
        """The next samples (2, count). tempo: 1 is the loop's own, 2 twice as fast. pitch: as a ratio."""
        parts = [np.zeros((2, 0), np.float32)]
        while count:
            if not self._ready.shape[1]:
                self._ready = self._piece(tempo, pitch)
            part = self._ready[:, :count]
            self._ready = self._ready[:, part.shape[1] :]
            self._target += part.shape[1] * tempo
            count -= part.shape[1]
            parts.append(part)
        return np.concatenate(parts, axis=1)

    def _advance(self) -> None:
        """From one onset to the next, which after the last is the end of the pass."""
        onsets, end = self.loop.onsets, self.loop.sound.shape[1]
        self._begin = onsets[self._struck]
        self._struck += 1
        self._end = onsets[self._struck] if self._struck < len(onsets) else end

    def _piece(self, tempo: float, pitch: float) -> Samples:
        """The next few samples; they end at the latest where the crossing to the next onset begins."""
        left = (self._end - self._target) / tempo - ONSET_FADE
        if left < 1:
            return self._strike(tempo, pitch)
        low, high = self._begin + ATTACK, self._end - ONSET_FADE * pitch
        count = min(PIECE, math.ceil(left - 1e-6))
        if self._place + count * pitch > high + 1:  # it would run into the onset before its time
            count = max(FINE, min(count, int((high - low) / pitch)))
        elif abs(self._place - self._target) < DRIFT:
            return self._go_on(count, pitch)
        return self._jump(low, max(low, high - count * pitch), count, pitch)

    def _go_on(self, count: int, pitch: float) -> Samples:
        part = read(self.loop.sound, self._place, pitch, count, circular=True)
        self._place += count * pitch
        return part

    def _jump(self, low: float, high: float, count: int, pitch: float) -> Samples:
        """Cross over to a place near the target where the sound is similar to what would have come."""
        fade = min(CROSSFADE, count)
        before = read(self.loop.sound, self._place, pitch, fade, circular=True)
        first = min(max(self._target - SEARCH * pitch, low), high)
        last = min(max(self._target + SEARCH * pitch, first), max(high, first))
        tried = int((last - first) / pitch) + 1
        heard = read(self.loop.sound, first, pitch, fade + tried - 1, circular=True)
        self._place = first + pitch * _most_similar(before, heard)
        after = self._go_on(count, pitch)
        return np.concatenate([_crossed(before, after[:, :fade]), after[:, fade:]], axis=1)

    def _strike(self, tempo: float, pitch: float) -> Samples:
        """The last samples before an onset, crossing over to those that lead to it."""
        count = max(1, math.ceil((self._end - self._target) / tempo - 1e-6))
        place, loop, end = self._place, self.loop, self.loop.sound.shape[1]
        if self._end == end:
            self._target -= end
            self.loop, self._struck = self._following(), 0
            place -= end
        self._advance()
        if self.loop is loop and abs(place + count * pitch - self._begin) < 0.5:  # it leads there by itself
            part = read(loop.sound, place, pitch, count, circular=True)
            self._place = place + count * pitch
            return part
        before = read(loop.sound, place, pitch, count, circular=True)
        after = read(self.loop.sound, self._begin - count * pitch, pitch, count, circular=True)
        self._place = float(self._begin)
        return _crossed(before, after)


def _crossed(before: Samples, after: Samples) -> Samples:
    """From one to the other, both (2, n)."""
    count = before.shape[1]
    share = (0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 1) / (count + 1))).astype(np.float32)
    return np.asarray(before * (1 - share) + after * share, np.float32)


def _most_similar(wanted: Samples, heard: Samples) -> int:
    """Where in `heard` (2, m) a stretch begins that is most like `wanted` (2, n), by normalised correlation."""
    a, b = wanted.mean(axis=0)[::SIMILAR_STEP], heard.mean(axis=0)[::SIMILAR_STEP]
    if len(b) <= len(a):
        return 0
    energy = np.convolve(b**2, np.ones(len(a), np.float32), "valid")
    return SIMILAR_STEP * int((np.correlate(b, a, "valid") / np.sqrt(energy + FLOOR)).argmax())
