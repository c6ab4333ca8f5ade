"""What recordings say: arrays in, numbers out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NOTE_ON, NOTE_OFF, CONTROL = 0x90, 0x80, 0xB0

EARLIEST_MS, LATEST_MS = -2.0, 60.0
ATTACK_MS = 30.0
BEFORE_MS = 20.0
"""Silence before the note that belongs to the pattern: without it a note matches itself a period later as well."""
FINER = 8
"""Lags looked at in each sample."""
LEAST_LIKENESS = 0.5
LEAST_PEAK = 1e-3

ZEROS = 32
AROUND_MS = 5.0
GAIN_WINDOW_MS = 1.0
BEFORE_STEP_MS = (-150.0, -5.0)
SETTLED_MS = (150.0, 200.0)
STEP_SHARE = 0.1
SEGMENT_SECONDS = 0.05
FLOOR_DB = -60.0

Array = NDArray[np.float64]
Sound = NDArray[np.float32]
Row = dict[str, Any]
Message = tuple[int, bytes]
"""An absolute frame and what is sent at it."""


def onset_lag(recorded: Array, stamp: int, note: Array, rate: int) -> float | None:
    """How much later than `stamp` a note sounds, in ms; None where it does not sound.

    recorded, note: one channel at `rate`; the note is what the instrument makes from the key's first sample on, so its
    own attack cancels out. The lag is where the first 30 ms, with the silence before them, are most alike; differences
    of neighbouring samples are compared, since an attack is brighter than the tails of notes before it.
    """
    before, attack = round(BEFORE_MS * rate / 1e3), round(ATTACK_MS * rate / 1e3)
    first, last = round(EARLIEST_MS * rate / 1e3), round(LATEST_MS * rate / 1e3)
    pattern = np.diff(np.concatenate([np.zeros(before + 1), _cut(note, 0, attack)]))
    window = _cut(recorded, stamp + first - before - 1, stamp + last + attack)
    if np.abs(window[before:]).max(initial=0.0) < LEAST_PEAK:
        return None
    window = np.diff(window)
    energy = np.concatenate([[0.0], np.cumsum(window**2)])
    energy = energy[len(pattern) :] - energy[: -len(pattern)]
    loudest = energy.max()
    if loudest == 0 or not pattern.any():
        return None
    size = 1 << (len(window) + len(pattern)).bit_length()
    cross = np.fft.rfft(window, size) * np.fft.rfft(pattern, size).conj()
    # Between samples too: at a whole sample a high note may fit better a period away than where it is.
    likeness = FINER * np.fft.irfft(cross, FINER * size)[: FINER * (len(energy) - 1) + 1]
    energy = np.interp(np.arange(len(likeness)) / FINER, np.arange(len(energy)), energy)
    # Where next to nothing sounds, rounding would decide: a floor 60 dB under the loudest place.
    likeness /= np.sqrt(np.maximum(energy, 1e-6 * loudest) * np.sum(pattern**2))
    top = int(likeness.argmax())
    if likeness[top] < LEAST_LIKENESS:
        return None
    return 1e3 * ((top + _summit(likeness, top)) / FINER + first) / rate


def _summit(values: Array, top: int) -> float:
    """Offset in -0.5..0.5 of the vertex of the parabola through a maximum and its neighbours."""
    if not 0 < top < len(values) - 1:
        return 0.0
    left, middle, right = values[top - 1 : top + 2]
    bend = left - 2 * middle + right
    return float(0.5 * (left - right) / bend) if bend < 0 else 0.0


def _cut(sound: Array, start: int, stop: int) -> Array:
    """sound[start:stop] along the first axis, zeros where the sound does not reach."""
    piece = np.zeros((stop - start, *sound.shape[1:]), sound.dtype)
    low, high = max(start, 0), min(stop, len(sound))
    if low < high:
        piece[low - start : high - start] = sound[low:high]
    return piece


def spread_ms(values: Sequence[float]) -> Row:
    """Median, 95th percentile, extremes and jitter (95th less 5th percentile) of times in ms; None without any."""
    if not values:
        return dict.fromkeys(("median_ms", "p95_ms", "worst_ms", "least_ms", "jitter_ms"))
    low, middle, high = np.percentile(values, (5, 50, 95))
    numbers = (middle, high, max(values), min(values), high - low)
    names = ("median_ms", "p95_ms", "worst_ms", "least_ms", "jitter_ms")
    return {name: round(float(number), 3) for name, number in zip(names, numbers, strict=True)}


def dropouts(sound: NDArray[Any], rate: int) -> int:
    """Runs of at least 32 exact zeros, in every channel at once, with sound right before and right after them.

    sound: (samples,) or (samples, channels). Music that falls silent fades; a block that was not delivered does not.
    """
    level = np.abs(sound) if sound.ndim == 1 else np.abs(sound).max(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], level == 0, [False]]).astype(np.int8)))
    around = round(AROUND_MS * rate / 1e3)
    count = 0
    for start, stop in edges.reshape(-1, 2):
        if stop - start >= ZEROS:
            before = level[max(0, start - around) : start].max(initial=0)
            after = level[stop : stop + around].max(initial=0)
            count += bool(before > LEAST_PEAK and after > LEAST_PEAK)
    return count


def grown(rows: Sequence[Row], name: str) -> list[Row]:
    """The rows in which a count is higher than in the row before; what a row lacks is 0."""
    return [late for early, late in itertools.pairwise(rows) if late.get(name, 0) > early.get(name, 0)]


def likeness(recorded: Array, expected: Array) -> float:
    """Cosine between two sounds of one channel and length: 1 where one is the other at any gain, 0 in silence."""
    scale = float(np.linalg.norm(recorded) * np.linalg.norm(expected))
    return float(recorded @ expected) / scale if scale else 0.0


def departure_ms(recorded: Array, expected: Array, stamp: int, rate: int) -> float | None:
    """Time after `stamp`, in ms, at which a tone that is turned down once has done a tenth of the step; None: never.

    recorded, expected: one channel each on the same clock, the second without the step. The tone's own decay, beats and
    shape within a period are in both: what is left is the gain, here the least-squares one in windows of 1 ms. A sudden
    step is timed to about half a window.
    """
    length = max(2, round(GAIN_WINDOW_MS * rate / 1e3))
    size = min(len(recorded), len(expected))
    common = _running(recorded[:size] * expected[:size], length)
    energy = _running(expected[:size] ** 2, length)
    # Element i is of samples i..i+length-1. A sudden step makes the gain fall by a tenth when it is a tenth inside.
    milliseconds = 1e3 * (np.arange(len(energy)) + (1 - STEP_SHARE) * length - stamp) / rate
    wanted = (milliseconds >= BEFORE_STEP_MS[0]) & (milliseconds < SETTLED_MS[1])
    milliseconds, common, energy = milliseconds[wanted], common[wanted], energy[wanted]
    # Where the tone passes through zero there is no gain to be seen.
    seen = energy > 0.05 * energy.mean() if len(energy) else np.zeros(0, bool)
    before, settled = milliseconds < BEFORE_STEP_MS[1], milliseconds >= SETTLED_MS[0]
    if not (seen & before).any() or not (seen & settled).any():
        return None
    gain = np.interp(milliseconds, milliseconds[seen], common[seen] / energy[seen])
    gain /= np.median(gain[before])
    step = 1 - float(np.median(gain[settled]))
    half = np.flatnonzero((gain < 1 - 0.5 * step) & ~before)
    if step < STEP_SHARE or not len(half):
        return None
    # From the half back to the tenth, so that a single disturbance before is not taken for the step.
    there = np.flatnonzero(gain[: half[0]] >= 1 - STEP_SHARE * step)
    return float(milliseconds[there[-1] + 1]) if len(there) else None


def _running(values: Array, length: int) -> Array:
    """Sums over `length` neighbours."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    running: Array = sums[length:] - sums[:-length]
    return running


def placed(note: Array, place: float, length: int) -> Array:
    """A note in silence of `length` samples, beginning at a place that may be between two samples."""
    whole = int(np.floor(place))
    size = 1 << (len(note) + 64).bit_length()
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(size) * (32 + place - whole))
    return _cut(np.fft.irfft(np.fft.rfft(note, size) * turns, size), 32 - whole, 32 - whole + length)


def difference_db(live: Array, offline: Array, rate: int) -> Row:
    """How far a recording is from what it should be, after the best common delay, that may be a part of a sample.

    live, offline: (samples, channels) at `rate`, the recording longer than what it holds. Levels are of segments of
    50 ms, relative to the segment's own level, over those above -60 dBFS.
    """
    margin = rate // 10
    wanted = np.concatenate([np.zeros((margin, offline.shape[1])), offline, np.zeros((margin, offline.shape[1]))])
    size = 1 << (len(live) + len(wanted)).bit_length()
    spectrum = np.fft.rfft(live.mean(axis=1), size) * np.fft.rfft(wanted.mean(axis=1), size).conj()
    whole = int(np.fft.irfft(spectrum, size).argmax())
    whole -= size if whole > size // 2 else 0
    heard = _cut(live, whole, whole + len(wanted))
    part = _fraction(heard.mean(axis=1), wanted.mean(axis=1))
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(len(wanted)) * part)
    wanted = np.fft.irfft(np.fft.rfft(wanted, axis=0) * turns[:, None], len(wanted), axis=0)
    length = round(SEGMENT_SECONDS * rate)
    count = len(wanted) // length
    shape = (count, length * wanted.shape[1])
    level = np.mean(wanted[: count * length].reshape(shape) ** 2, axis=1)
    error = np.mean((heard - wanted)[: count * length].reshape(shape) ** 2, axis=1)
    loud = level > 10 ** (FLOOR_DB / 10)
    if not loud.any():
        return {"worst_db": None, "median_db": None, "segments": 0, "delay_samples": None}
    decibels = 10 * np.log10(np.maximum(error[loud], 1e-20) / level[loud])
    return {
        "worst_db": round(float(decibels.max()), 1), "p95_db": round(float(np.percentile(decibels, 95)), 1),
        "median_db": round(float(np.median(decibels)), 1), "segments": int(loud.sum()),
        "worst_at_seconds": round(float(np.flatnonzero(loud)[decibels.argmax()] * SEGMENT_SECONDS - margin / rate), 2),
        "delay_samples": round(whole + margin + part, 3),
    }  # fmt: skip


def _fraction(late: Array, early: Array) -> float:
    """Delay of `late` in samples, under one: least squares on the phase of the cross spectrum, weighted by it."""
    cross = np.fft.rfft(late) * np.fft.rfft(early).conj()
    frequencies = 2 * np.pi * np.fft.rfftfreq(len(late))
    delay = 0.0
    for _ in range(3):
        phase = np.angle(cross * np.exp(1j * frequencies * delay))
        weight = np.abs(cross)
        delay -= float(np.sum(weight * frequencies * phase) / max(np.sum(weight * frequencies**2), 1e-30))
    return delay


"""Absolute frame of the server, and the bytes of one MIDI message."""


def separate_notes(
    seed: int, count: int, start: int, rate: int, keys: tuple[int, int] = (40, 88)
) -> tuple[list[Message], list[int]]:
    """Short notes at frames nobody could foresee: the messages in order, and which of them are the note-ons.

    About every 120 ms a key of `keys`, never the same twice in a row, at velocity 100; it comes up after 60 ms.
    """
    rng = np.random.default_rng(seed)
    messages: list[Message] = []
    frame, key = float(start), -1
    for _ in range(count):
        key = int(rng.choice([k for k in range(keys[0], keys[1] + 1) if k != key]))
        messages.append((round(frame), bytes((NOTE_ON, key, 100))))
        messages.append((round(frame + 0.06 * rate), bytes((NOTE_OFF, key, 0))))
        frame += rate * rng.uniform(0.09, 0.15)
    return messages, list(range(0, 2 * count, 2))


def on_timeline(sound: Sound, stamps: NDArray[np.int64]) -> tuple[Sound, int]:
    """Recorded periods in their places, and how many samples were never handed to the recorder.

    sound: (channels, periods * block); stamps: (periods,) absolute frame of each. Returns (samples, channels), whose
    first sample is at the first stamp, with zeros where nothing was recorded.
    """
    if not len(stamps):
        return np.zeros((0, len(sound)), np.float32), 0
    block = sound.shape[1] // len(stamps)
    places = stamps - stamps[0]
    total = int(places.max()) + block
    missing = total - block * len(stamps)
    if missing == 0:
        return sound.T, 0
    line = np.zeros((total, len(sound)), np.float32)
    for index, place in enumerate(places):
        if place >= 0:
            line[place : place + block] = sound[:, index * block : (index + 1) * block].T
    return line, max(0, missing)
