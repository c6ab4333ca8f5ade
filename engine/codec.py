"""The two-sine signal: a score becomes a sound, and the sound's spectrum is all that the network hears.

`nnss_signal` is the encoding of the original (Neural Spectral Synthesis), kept to the letter. `ScoreCodec` is its
repaired successor: velocity and release are in it, and its clock never folds.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.pickling import quickly_pickled
from engine.spectral import Samples, Stft, normalise_power

NNSS_RATE = 44_100
NNSS_AMPLITUDE = 1.21
NNSS_NOTE_PERIOD = 190.5
NNSS_CLOCK_SECONDS = 5.0


@quickly_pickled
@dataclass(frozen=True, slots=True)
class Note:
    """One note as a codec sees it. Times are samples since its own note-on.

    key: MIDI key, fractional where it is bent or microtuned.
    velocity: 1-127.
    release: sample of the note-off, None as long as the note is held (or its end is not known yet).
    """

    key: float
    velocity: float
    release: int | None = None

    def held(self) -> Note:
        """The same note, never released."""
        return replace(self, release=None)


Heard = tuple[int, Note, int]
"""A voice at some moment: its number, its note, and how many samples it is old."""


def nnss_note(key: float, samples: int) -> NDArray[np.float64]:
    """nnss's two sines of one note, (samples,), n being the samples since note-on at 44.1 kHz.

    1.21 sin(pi n (1 - n / (5 SR))) is the clock, a chirp 22050 - 8820 t Hz that reaches 0 at 2.5 s and then folds;
    1.21 sin(pi n key / 190.5) is the note, key * 115.75 Hz, which is linear in the key and not its pitch.
    """
    n = np.arange(samples, dtype=np.float64)
    clock = np.sin(np.pi * n * (1 - n / (NNSS_CLOCK_SECONDS * NNSS_RATE)))
    return np.asarray(NNSS_AMPLITUDE * clock + NNSS_AMPLITUDE * np.sin(np.pi * n * key / NNSS_NOTE_PERIOD))


def nnss_signal(notes: Sequence[tuple[int, int, float]], samples: int) -> Samples:
    """nnss's signal of a score, (samples,): notes (on, off, key) are summed, then the positive side is cut at 1."""
    total = np.zeros(samples)
    for on, off, key in notes:
        start, end = max(on, 0), min(off, samples)
        if end > start:
            total[start:end] += nnss_note(key, end - on)[start - on :]
    return np.minimum(total, 1.0).astype(np.float32)


@dataclass(frozen=True)
class NnssCodec:
    """Spectrum frames of nnss's two sines of one note, anchored at its onset; velocity is not heard.

    stft: at the oversampled rate (the original: 16384 samples at 352.8 kHz, Hann).
    oversampling: how many times the engine's rate; the original's 8.
    bins: how many are kept, from 0 Hz up (the original: 1024 of 8193).
    power: of the magnitudes (the original: 1/8).
    interpolation: "linear" as in the original (droops 3.5 dB at 15 kHz) or "exact".
    """

    stft: Stft
    oversampling: int = 1
    bins: int = 1024
    power: float = 1 / 8
    interpolation: str = "exact"

    sample_rate = NNSS_RATE

    MARGIN = 256  # samples on either side of a stretch that the exact interpolation is heard to reach

    def __post_init__(self) -> None:
        if not isinstance(self.oversampling, int) or not isinstance(self.bins, int):
            raise ValueError("oversampling or bins is not a whole number")
        if self.oversampling < 1 or self.stft.hop % self.oversampling or self.stft.length % (2 * self.oversampling):
            raise ValueError("an oversampled frame and its hop are whole numbers of samples")
        if not 1 <= self.bins <= self.stft.bins:
            raise ValueError(f"{self.bins} bins are not in 1..{self.stft.bins}")
        if not 0.01 <= self.power <= 8:
            raise ValueError(f"power {self.power} is not in 0.01..8")
        if self.interpolation not in ("linear", "exact"):
            raise ValueError(f"interpolation {self.interpolation!r} is not linear or exact")

    @property
    def features(self) -> int:
        """Numbers in a frame of the network's input: re of all bins, then im."""
        return 2 * self.bins

    @property
    def hop(self) -> int:
        """Samples between frames at the engine's rate."""
        return self.stft.hop // self.oversampling

    @property
    def length(self) -> int:
        """Samples of a frame at the engine's rate."""
        return self.stft.length // self.oversampling

    def signal(self, note: Note, start: int, count: int) -> NDArray[np.float64]:
        """The two sines from sample `start` on, (count,): silent before the onset and from the release on."""
        end = start + count if note.release is None else min(note.release, start + count)
        out = np.zeros(count)
        if end > max(start, 0):
            out[max(-start, 0) : end - start] = np.minimum(nnss_note(note.key, end), 1.0)[max(start, 0) :]
        return out

    def frames(self, note: Note, first: int, count: int) -> NDArray[np.float32]:
        """Network input (count, features) of frames first, first + 1, ..."""
        if count <= 0:
            return np.zeros((0, self.features), np.float32)
        start = self.frame_start(first) - self.MARGIN
        samples = self.signal(note, start, (count - 1) * self.hop + self.length + 2 * self.MARGIN)
        inner = self.oversample(samples)[self.MARGIN * self.oversampling :]
        return self.split(self.analyse(inner[: (count - 1) * self.stft.hop + self.stft.length]))

    def first_frame_of(self, sample: int) -> int:
        """The first frame whose window holds the sample."""
        return max(0, sample // self.hop)

    def frame_start(self, frame: int) -> int:
        """First sample of a frame's window."""
        return (frame + 1) * self.hop - self.length

    def oversample(self, samples: NDArray[np.float64]) -> Samples:
        """Samples (n,) at `oversampling` times their rate, (n oversampling,)."""
        if self.oversampling == 1:
            return samples.astype(np.float32)
        if self.interpolation == "linear":
            n = np.arange(len(samples) * self.oversampling) / self.oversampling
            return np.interp(n, np.arange(len(samples)), samples).astype(np.float32)
        from soxr import resample  # noqa: PLC0415

        return np.asarray(resample(samples, 1, self.oversampling, quality="VHQ"), np.float32)

    def analyse(self, samples: Samples) -> NDArray[np.complex64]:
        """Power-normalised spectra (frames, bins) of oversampled signal that holds whole frames."""
        view = np.lib.stride_tricks.sliding_window_view(samples, self.stft.length)[:: self.stft.hop]
        return normalise_power(self.stft.transform(view)[:, : self.bins], self.power)

    def split(self, spectra: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Spectra (frames, bins) as (frames, features)."""
        return np.concatenate([spectra.real, spectra.imag], axis=1)

    @property
    def stretch_window(self) -> Samples:
        """What an inverse transform (length,) at the engine's rate is multiplied by before it is added to the sound.

        Bins that are not kept are silent, so every `oversampling`-th sample is all there is to compute.
        """
        gain = 1 / (self.oversampling * self.stft.scale)
        return np.ascontiguousarray(self.stft.synthesis_window[:: self.oversampling]) * np.float32(gain)

    def stretches(self, spectra: NDArray[np.complex64]) -> Samples:
        """Windowed stretches (frames, length) at the engine's rate of denormalised spectra (frames, bins)."""
        return (np.fft.irfft(spectra, self.length, axis=1) * self.stretch_window).astype(np.float32)


@dataclass(frozen=True)
class ScoreCodec:
    """Two sines for one note, and the spectrum frames of their sum, anchored at the note's own onset.

    The *note sine* turns `key` times a hop, so that every (integer) key has the same phase in every frame: a held key
    is a steady input. Its amplitude tells the velocity. The *clock sine* tells the time since note-on by a frequency
    that falls with the logarithm of the time, from CLOCK_HZ at the onset to almost 0 at CLOCK_SECONDS, where it stays;
    its amplitude drops at the note-off and goes on falling with the logarithm of the time since then. So every
    single frame tells key, velocity, age and release, and a player may begin at any of them.

    Frame m covers samples (m + 1) hop - length up to (m + 1) hop, counted from note-on, as in `Stft`; with a hop of a
    quarter of the length it is centred at (m - 1) hop. The network's input is re and im of the spectrum, side by side,
    shape (frames, 2 bins), its magnitudes under a power of 1/2.
    """

    stft: Stft
    sample_rate: int

    CLOCK_HZ = 3000.0
    CLOCK_HZ_PER_OCTAVE = 215.0
    CLOCK_TAU = 0.005
    CLOCK_SECONDS = 60.0
    HELD_AMPLITUDE, RELEASED_AMPLITUDE = 0.7, 0.35
    FLOOR = 1e-4  # keeps rounding noise out of the power normalisation

    @property
    def features(self) -> int:
        """Numbers in a frame of the network's input."""
        return 2 * self.stft.bins

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return self.stft.hop

    def signal(self, note: Note, start: int, count: int) -> NDArray[np.float64]:
        """The two sines from sample `start` (since note-on) on, (count,); silence before the onset."""
        n = np.arange(start, start + count)
        seconds = np.maximum(n, 0) / self.sample_rate
        note_sine = (0.25 + 0.75 * note.velocity / 127) * np.sin(2 * np.pi * ((note.key * n / self.stft.hop) % 1))
        clock = self._clock_gain(note, n) * np.sin(self._clock_phase(seconds))
        return np.asarray(np.where(n >= 0, note_sine + clock, 0.0))

    def frames(self, note: Note, first: int, count: int) -> NDArray[np.float32]:
        """Network input (count, features) of frames first, first + 1, ... (first >= 0)."""
        return self.at(note, np.arange(first, first + count))

    def at(self, note: Note, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        """Network input (frames, features) of some frames in ascending order, the first 0 or later."""
        steady_to = self.first_frame_of(note.release) if note.release is not None else math.inf
        start, end = np.searchsorted(frames, (self.onset_frames, steady_to))
        if end <= start or note.key != int(note.key):
            return self._normalise(self._direct(note, frames))
        parts = (
            self._direct(note, frames[:start]),
            self._steady(note, frames[start:end]),
            self._direct(note, frames[end:]),
        )
        return self._normalise(np.concatenate(parts))

    @property
    def onset_frames(self) -> int:
        """How many frames hold the onset: their windows begin before it."""
        return -(-self.stft.length // self.stft.hop) - 1

    def first_frame_of(self, sample: int) -> int:
        """The first frame whose window holds the sample."""
        return max(0, sample // self.stft.hop)

    def frame_start(self, frame: int) -> int:
        """First sample of a frame's window."""
        return (frame + 1) * self.stft.hop - self.stft.length

    def _direct(self, note: Note, frames: NDArray[np.int64]) -> NDArray[np.complex64]:
        """Spectra (frames, bins) by the definition."""
        if not len(frames):
            return np.zeros((0, self.stft.bins), np.complex64)
        start, length = self.frame_start(int(frames[0])), int(frames[-1] - frames[0]) * self.stft.hop + self.stft.length
        samples = self._quick_signal(note, start, length)
        if samples is None:
            samples = self.signal(note, start, length).astype(np.float32)
        view = np.lib.stride_tricks.sliding_window_view(samples, self.stft.length)
        return self.stft.transform(view[(frames - frames[0]) * self.stft.hop])

    def _quick_signal(self, note: Note, start: int, count: int) -> Samples | None:
        """`signal` from tables, five times as fast: a release is waited for. None where they end."""
        end = start + count
        if end > TABLE_SAMPLES or note.key != int(note.key):
            return None
        begin = max(start, 0)
        clock = self.HELD_AMPLITUDE * _clock_sine(self)[begin:end]
        if note.release is not None and note.release < end:
            held = max(note.release, begin)
            fading = _fading(self)[held - note.release : end - note.release]
            clock[held - begin :] *= fading / np.float32(self.HELD_AMPLITUDE)
        hop = self.stft.hop
        period = np.float32(0.25 + 0.75 * note.velocity / 127) * _note_period(self, int(note.key))
        clock += np.resize(np.roll(period, -(begin % hop)), len(clock))
        return clock if start >= 0 else np.concatenate([np.zeros(-start, np.float32), clock])

    def _steady(self, note: Note, frames: NDArray[np.int64]) -> NDArray[np.complex64]:
        """The same for held frames, from tables: a constant for the key, a row for each age."""
        key = _key_spectrum(self, int(note.key)) * np.float32(0.25 + 0.75 * note.velocity / 127)
        rows = _clock_table(self).rows(int(frames[0]), int(frames[-1] - frames[0]) + 1)
        return np.asarray(key + rows[frames - frames[0]])

    def _normalise(self, spectra: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Under a square root (the floor keeps rounding noise out of it), re of all bins, then im: (count, features).

        In real numbers, which are four times as fast: every window of every voice comes by here."""
        out = np.empty((len(spectra), 2, spectra.shape[1]), np.float32)
        out[:, 0], out[:, 1] = spectra.real, spectra.imag
        scale = np.square(out[:, 0])
        scale += np.square(out[:, 1])
        np.sqrt(scale, out=scale)
        scale += np.float32(self.FLOOR)
        np.sqrt(scale, out=scale)
        out /= scale[:, None]
        return out.reshape(len(spectra), self.features)

    def _clock_phase(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """2 pi times the integral of CLOCK_HZ - CLOCK_HZ_PER_OCTAVE log2(1 + t / tau), in closed form."""
        tau, t = self.CLOCK_TAU, np.minimum(seconds, self.CLOCK_SECONDS)
        octaves = ((t + tau) * np.log1p(t / tau) - t) / math.log(2)
        last = self.CLOCK_HZ - self.CLOCK_HZ_PER_OCTAVE * math.log2(1 + self.CLOCK_SECONDS / tau)
        turns = self.CLOCK_HZ * t - self.CLOCK_HZ_PER_OCTAVE * octaves + last * (seconds - t)
        return np.asarray(2 * np.pi * (turns % 1))

    def _clock_gain(self, note: Note, n: NDArray[np.int64]) -> NDArray[np.float64] | float:
        if note.release is None:
            return self.HELD_AMPLITUDE
        since = np.maximum(n - note.release, 0) / self.sample_rate
        fading = self.RELEASED_AMPLITUDE / (1 + np.log2(1 + since / self.CLOCK_TAU) / 3)
        return np.where(n < note.release, self.HELD_AMPLITUDE, fading)


def two_sines(codec: NnssCodec | ScoreCodec, blocks: Sequence[tuple[int, Sequence[Heard]]]) -> Samples:
    """The signal of successive blocks of (samples, voices that sound), one array: what the network hears, to be shown.

    A voice is computed once for as long as it goes on unchanged, which is cheaper than block by block.
    """
    total = np.zeros(sum(samples for samples, _ in blocks), np.float32)
    going: dict[int, tuple[Note, int, int, int]] = {}  # number -> note, its age at the start, start, length

    def end(number: int) -> None:
        note, age, start, length = going.pop(number)
        total[start : start + length] += codec.signal(note, age, length).astype(np.float32)

    begin = 0
    for samples, voices in blocks:
        sounding = {voice[0] for voice in voices}
        for number in [number for number in going if number not in sounding]:
            end(number)
        for number, note, age in voices:
            if number in going:
                was, first, start, length = going[number]
                if was == note and first + length == age:
                    going[number] = note, first, start, length + samples
                    continue
                end(number)
            going[number] = note, age, begin, samples
        begin += samples
    for number in list(going):
        end(number)
    return total


TABLE_SAMPLES = 1 << 20  # 24 s at 44.1 kHz


@lru_cache(maxsize=4)
def _clock_sine(codec: ScoreCodec) -> Samples:
    """The clock sine at amplitude 1 from the onset on, (TABLE_SAMPLES,)."""
    return np.sin(codec._clock_phase(np.arange(TABLE_SAMPLES) / codec.sample_rate)).astype(np.float32)


@lru_cache(maxsize=4)
def _fading(codec: ScoreCodec) -> Samples:
    """The clock sine's amplitude from the release on, (TABLE_SAMPLES,)."""
    gain = codec._clock_gain(Note(0, 1, 0), np.arange(TABLE_SAMPLES))
    return np.asarray(gain, np.float32)


@lru_cache(maxsize=256)
def _note_period(codec: ScoreCodec, key: int) -> Samples:
    """One hop of a note sine of amplitude 1, (hop,): it comes again in every hop."""
    n = np.arange(codec.stft.hop)
    return np.sin(2 * np.pi * ((key * n / codec.stft.hop) % 1)).astype(np.float32)


@lru_cache(maxsize=256)
def _key_spectrum(codec: ScoreCodec, key: int) -> NDArray[np.complex64]:
    """Spectrum (bins,) of a note sine of amplitude 1 in any frame after the onset."""
    n = np.arange(codec.stft.length, dtype=np.float64) - codec.stft.length
    return codec.stft.transform(np.sin(2 * np.pi * ((key * n / codec.stft.hop) % 1)).astype(np.float32))


class _ClockTable:
    """Spectra of a held note's clock sine, computed in pages as notes grow old and kept while they are used."""

    PAGE, PAGES = 64, 64

    def __init__(self, codec: ScoreCodec) -> None:
        self._codec = codec
        self._pages: OrderedDict[int, NDArray[np.complex64]] = OrderedDict()
        self._lock = threading.Lock()  # a batch is fitted in two threads

    def rows(self, first: int, count: int) -> NDArray[np.complex64]:
        """Spectra (count, bins) of frames first, first + 1, ..."""
        pages = range(first // self.PAGE, (first + count - 1) // self.PAGE + 1)
        with self._lock:
            parts = [self._page(page) for page in pages]
        block = np.concatenate(parts) if len(parts) > 1 else parts[0]
        start = first - pages[0] * self.PAGE
        return block[start : start + count]

    def _page(self, page: int) -> NDArray[np.complex64]:
        if page in self._pages:
            self._pages.move_to_end(page)
            return self._pages[page]
        codec, stft = self._codec, self._codec.stft
        start = codec.frame_start(page * self.PAGE)
        n = np.arange(start, start + (self.PAGE - 1) * stft.hop + stft.length)
        sine = np.where(n >= 0, np.sin(codec._clock_phase(np.maximum(n, 0) / codec.sample_rate)), 0.0)
        view = np.lib.stride_tricks.sliding_window_view(sine.astype(np.float32), stft.length)[:: stft.hop]
        self._pages[page] = stft.transform(view) * np.float32(codec.HELD_AMPLITUDE)
        if len(self._pages) > self.PAGES:
            self._pages.popitem(last=False)
        return self._pages[page]


@lru_cache(maxsize=4)
def _clock_table(codec: ScoreCodec) -> _ClockTable:
    return _ClockTable(codec)
