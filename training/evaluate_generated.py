"""How good pads and songs are, measured on what they play against the audio that they learned from.

All comparisons are between sounds, not between what networks write, so that recipes with different pictures can stand
in one table: `_BANDS` are 64 bands up to 16 kHz, frame 2048, hop 512, in dB, floored 60 dB under the loudest band
of the data. A distance is the root mean square difference of two of them, a reconstruction the mean |difference|.

Hits and loops are drawn as a player with `vary` at 1 hears them: around the pads, as far as sounds of a kind differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.bands import Bands
from engine.instrument import Instrument
from engine.spectral import Samples, Stft
from engine.voices.continuation import Continuation
from engine.voices.generators import GeneratedPads, fitted, onset
from training.corpus import RATE, Corpus, CorpusError, Item
from training.pictures import BEATS, MOST_ITEMS, bars, held_out_rows, hits

COUNT = 200
FLOOR_DB = 60.0
MOST_DATA = 4000
ENVELOPE = 64  # samples of an envelope's step
SONG_SECONDS, SONG_SEEDS = 60.0, 4
COMPARED_SECONDS = 6 * 3600.0  # of the data, for copies
TWIN_DB = 0.25
NEAR = 88  # samples
COPY_DB = 4.0  # blocks nearer than this are taken for the same
MISSES = 2  # compared frames in a row that may differ within a copy: an attack that comes a little late
STRIDE = 4  # frames between those of a song that are compared
TIMED = 20
PICTURED, PICTURE_SECONDS = 10, 12.0

Report = Callable[[str], None]
Table = NDArray[np.float32]
_BANDS = Bands(Stft(2048, 512), 64, 16_000.0, range_db=140.0)


def evaluate_generated(instrument: Instrument, corpus: Corpus, report: Report, count: int = COUNT) -> dict[str, Any]:
    """All figures that an instrument's kind has. Raises CorpusError where the corpus is no use for it."""
    torch.set_num_threads(1)
    model = instrument.model
    if isinstance(model, Continuation):
        return evaluate_song(model, corpus, instrument.gain)
    assert isinstance(model, GeneratedPads)
    return evaluate_pads(model, corpus, report, count)


def evaluate_pads(model: GeneratedPads, corpus: Corpus, report: Report, count: int) -> dict[str, Any]:
    """Envelopes, rhythm, novelty, reconstruction and time of pads."""
    samples, data = model.samples, _data(model, corpus, report)
    real = data.sounds
    made = generated(model, count)
    made_table, real_table = _tables([fitted(sound, samples) for sound in made], real)
    figures: dict[str, Any] = {"sounds": count, "data": len(real), "ms_per_sound": timed(model)}
    if model.voicing.loop:
        own = np.mean([beat_correlation(sound, samples) for sound in made])
        wanted = np.mean([beat_correlation(sound, samples) for sound in real[:: max(1, len(real) // 200)]])
        figures |= {"beat": float(own), "data_beat": float(wanted), "beat_ratio": float(own / wanted)}
    else:
        figures |= envelope_shares(made, real)
    figures |= novelty(made_table, real_table)
    if model.encoder is not None:
        figures |= reconstruction(model, data, real_table)
    return figures


@dataclass(frozen=True)
class _Data:
    """Sounds of the data as `_framed` makes them, their kinds, and which of them no recipe is fitted to."""

    sounds: list[Samples]
    kinds: list[str]
    held_out: NDArray[np.intp]


def _data(model: GeneratedPads, corpus: Corpus, report: Report) -> _Data:
    """What the recipe learned from, thinned out evenly where it is more than MOST_DATA: it is held in memory."""
    kept: list[tuple[int, str, Samples]] = []
    step, count = 1, 0
    for number, (item, mono) in enumerate(islice(_sources(model, corpus, report), MOST_ITEMS)):
        count = number + 1
        if number % step == 0:
            kept.append((number, item.kind, _framed(mono, model.samples, loop=model.voicing.loop)))
        if len(kept) > MOST_DATA:
            kept, step = kept[::2], 2 * step
    if not kept:
        raise CorpusError(f"{corpus.folder} holds nothing that this instrument could have learned from")
    held_out = np.isin([number for number, _, _ in kept], held_out_rows(count))
    return _Data([sound for _, _, sound in kept], [kind for _, kind, _ in kept], np.flatnonzero(held_out))


def generated(model: GeneratedPads, count: int, seed: int = 0, vary: float = 1.0) -> list[Samples]:
    """Mono sounds, from each pad in turn."""
    rng = np.random.default_rng(seed)
    sounds = []
    for number in range(count):
        pad = model.pads[number % len(model.pads)]
        latent = pad.centre + vary * pad.spread * rng.standard_normal(model.axes).astype(np.float32)
        sounds.append(model.sound(latent.astype(np.float32), seed=number)[0])
    return sounds


def examples(instrument: Instrument, corpus: Corpus, report: Report) -> tuple[Samples, Samples]:
    """Sounds in a row for a picture: every pad or a continuation, and something of the data."""
    model = instrument.model
    if isinstance(model, Continuation):
        return continued(model, 0, PICTURE_SECONDS), corpus.items[0].read(0, round(PICTURE_SECONDS * RATE))
    assert isinstance(model, GeneratedPads)
    data = _data(model, corpus, report)
    made = [fitted(model.sound(pad.centre)[0], model.samples) for pad in model.pads[:PICTURED]]
    wanted = []
    for pad in model.pads[:PICTURED]:
        own = [sound for sound, kind in zip(data.sounds, data.kinds, strict=True) if kind == pad.title] or data.sounds
        wanted.append(own[len(own) // 2])
    return np.concatenate(made), np.concatenate(wanted)


def envelope_shares(made: Sequence[Samples], real: Sequence[Samples]) -> dict[str, Any]:
    """How many generated hits have an attack, a decay and a length within the data's 5-95 % range."""
    own, data = (np.array([envelope_figures(sound) for sound in sounds]) for sounds in (made, real))
    low, high = np.percentile(data, [5, 95], axis=0)
    inside = ((own >= low) & (own <= high)).mean(axis=0)
    names = ("attack", "decay", "length")
    ranges = {f"data_{name}_s": [float(a), float(b)] for name, a, b in zip(names, low, high, strict=True)}
    return {**{f"{name}_share": float(x) for name, x in zip(names, inside, strict=True)},
            "envelope_share": float(inside.mean()), **ranges}  # fmt: skip


def envelope_figures(sound: Samples) -> tuple[float, float, float]:
    """Seconds from the onset to the peak, from there to 20 dB under it, and from the onset to 40 dB under it."""
    steps = fitted(sound, -(-len(sound) // ENVELOPE) * ENVELOPE).reshape(-1, ENVELOPE)
    level = np.sqrt(np.square(steps).mean(axis=1) + 1e-12)
    smooth = np.convolve(level, np.ones(3) / 3, mode="same")
    peak = int(smooth.argmax())
    begin = onset(smooth.astype(np.float32), share=0.1)
    below = np.flatnonzero(smooth[peak:] < 0.1 * smooth[peak])
    decay = int(below[0]) if len(below) else len(smooth) - peak
    end = int(np.flatnonzero(smooth > 0.01 * smooth[peak])[-1])
    step = ENVELOPE / RATE
    return (peak - begin) * step, decay * step, (end - begin) * step


def beat_correlation(bar: Samples, samples: int) -> float:
    """Autocorrelation of a bar's onset strength at one beat, relative to lag 0; the bar goes round."""
    import librosa  # noqa: PLC0415  # slow to import

    round_and_round = np.tile(fitted(bar, samples), 4)
    strength = librosa.onset.onset_strength(y=round_and_round, sr=RATE, hop_length=256)
    strength = strength - strength.mean()
    lag = samples / BEATS / 256
    whole = float(strength @ strength)
    near = [float(strength[:-k] @ strength[k:]) for k in (int(lag), int(lag) + 1)]
    share = lag - int(lag)
    return ((1 - share) * near[0] + share * near[1]) / (whole + 1e-9)


def novelty(made: Table, real: Table) -> dict[str, float]:
    """How many generated sounds lie farther from their nearest training item than 5 % of these from each other.

    Items of the data nearer than TWIN_DB to each other are taken for one: kits share samples, libraries hold copies.
    """
    own, data = nearest(made, real), nearest(real, real, itself=True)
    limit = float(np.percentile(data, 5))
    return {"novelty_share": float((own > limit).mean()), "nearest_db": float(np.median(own)),
            "data_nearest_db": float(np.median(data)), "data_nearest_p5_db": limit}  # fmt: skip


def nearest(rows: Table, others: Table, *, itself: bool = False) -> NDArray[np.float64]:
    """Distance (rows,) to the nearest of the others. itself: rows and others are the same; not to itself or a twin."""
    squares = np.einsum("ij,ij->i", others, others, dtype=np.float64)
    best = np.empty(len(rows))
    for start in range(0, len(rows), 256):
        part = rows[start : start + 256]
        distance = np.einsum("ij,ij->i", part, part, dtype=np.float64)[:, None] + squares - 2 * (part @ others.T)
        if itself:
            distance[distance < TWIN_DB**2 * rows.shape[1]] = np.inf
        best[start : start + 256] = distance.min(axis=1)
    return np.asarray(np.sqrt(np.maximum(best, 0) / rows.shape[1]))


def reconstruction(model: GeneratedPads, data: _Data, table: Table) -> dict[str, float]:
    """Mean |difference| in dB of held-out sounds to what the model makes of them, and to the mean sound."""
    real, held_out = data.sounds, data.held_out
    taught = np.setdiff1d(np.arange(len(real)), held_out)
    chosen = held_out[:100] if len(held_out) else taught[:100]
    again = [fitted(model.sound(model.encode(np.stack([real[row]] * 2)))[0], model.samples) for row in chosen]
    own, _ = _tables(again, real)
    error = float(np.abs(own - table[chosen]).mean())
    means = float(np.abs(table[taught].mean(axis=0) - table[chosen]).mean())
    return {"reconstruction_db": error, "mean_sound_db": means, "reconstruction_ratio": error / means}


def timed(model: GeneratedPads) -> float:
    """Median milliseconds for one sound on one core."""
    took = []
    for number in range(TIMED):
        began = time.perf_counter()
        model.sound(model.pads[number % len(model.pads)].centre, seed=number)
        took.append(1000 * (time.perf_counter() - began))
    return float(np.median(took))


def evaluate_song(model: Continuation, corpus: Corpus, gain: float = 1.0) -> dict[str, Any]:
    """Level, seams, copies and speed of continuations of a minute from several beginnings, the worst of each.

    gain: the instrument's own, which is part of what is heard.
    """
    power = sum(item.power * item.samples for item in corpus.items) / sum(item.samples for item in corpus.items)
    data = [_frames(part) for part in _pieces(corpus)]
    rows = []
    for seed in range(min(SONG_SEEDS, len(model.seeds))):
        began = time.perf_counter()
        song = gain * continued(model, seed, SONG_SECONDS)
        took = time.perf_counter() - began
        rows.append({
            "level_db": 10 * float(np.log10(np.square(song).mean() / power + 1e-12)),
            "quietest_5s_db": 10 * float(np.log10(_loudness(song).min() / power + 1e-12)),
            "seam_ratio": seam_ratio(song, model.block), "copied_s": longest_copy(_frames(song), data),
            "times_real_time": SONG_SECONDS / took,
        })  # fmt: skip
    other = [longest_copy(data[row], data[:row] + data[row + 1 :]) for row in range(min(4, len(data) - 1))]
    return {
        "songs": len(rows), "level_db": max((row["level_db"] for row in rows), key=abs),
        "each_level_db": [row["level_db"] for row in rows],
        "quietest_5s_db": min(row["quietest_5s_db"] for row in rows),
        "seam_ratio": max(row["seam_ratio"] for row in rows), "copied_s": max(row["copied_s"] for row in rows),
        "data_copied_s": max(other, default=float("nan")), "each_copied_s": [row["copied_s"] for row in rows],
        "times_real_time": min(row["times_real_time"] for row in rows),
    }  # fmt: skip


def _pieces(corpus: Corpus) -> Iterator[Samples]:
    """The files in parts, as far as a recipe hears them at most."""
    left, part = COMPARED_SECONDS * RATE, round(SONG_SECONDS * RATE)
    for item in corpus.items:
        for start in range(0, item.samples, part):
            if left <= 0:
                return
            mono = item.read(start, part)
            left -= len(mono)
            yield mono


def continued(model: Continuation, seed: int, seconds: float, temperature: float = 1.0) -> Samples:
    """A continuation (samples,) of a stored beginning."""
    rng, state, parts = np.random.default_rng(seed), model.begin(seed), []
    for _ in range(-(-round(seconds * RATE) // model.block)):
        part, state = model.next(state, temperature, rng)
        parts.append(part[0])
    return np.concatenate(parts)


def seam_ratio(sound: Samples, block: int) -> float:
    """Mean |bend| (second difference) of a sound at the borders of its blocks over that within 2 ms around them."""
    bend = np.abs(np.diff(sound.astype(np.float64), n=2))
    seams = np.arange(block, len(sound) - 1, block)
    at = np.concatenate([seams - 2, seams - 1])  # the two bends that span a border
    around = (seams[:-1, None] + np.setdiff1d(np.arange(-NEAR, NEAR), [-2, -1])).ravel()
    elsewhere = bend[around]
    return float(bend[at].mean() / (elsewhere.mean() + 1e-12))


def longest_copy(song: Table, data: Sequence[Table]) -> float:
    """Seconds of the longest stretch of a song's frames (frames, bands) that runs along some piece of the data."""
    longest, own = 0, song[::STRIDE]
    for piece in data:
        for shift in range(STRIDE):
            other = piece[shift::STRIDE]
            squares = np.square(own).sum(1)[:, None] + np.square(other).sum(1) - 2 * own @ other.T
            longest = max(longest, _longest_diagonal(squares < COPY_DB**2 * own.shape[1]))
    return longest * STRIDE * _BANDS.stft.hop / RATE


def _longest_diagonal(same: NDArray[np.bool_]) -> int:
    """Of the hits along any diagonal (rows, columns); up to MISSES rows without one do not end it."""
    run, missed = (np.zeros(same.shape[1] + 1, int) for _ in range(2))
    longest = 0
    for row in same:
        missed[1:] = np.where(row, 0, missed[:-1] + 1)
        run[1:] = np.where(row | ((run[:-1] > 0) & (missed[1:] <= MISSES)), run[:-1] + 1, 0)
        longest = max(longest, int((run[1:] * row).max(initial=0)))
    return longest


def _loudness(sound: Samples, seconds: float = 5.0) -> NDArray[np.float64]:
    """Power of every five seconds."""
    length = round(seconds * RATE)
    return np.asarray(np.square(sound[: len(sound) // length * length]).reshape(-1, length).mean(axis=1), np.float64)


def _sources(model: GeneratedPads, corpus: Corpus, report: Report) -> Iterator[tuple[Item, Samples]]:
    return bars(corpus, report) if model.voicing.loop else hits(corpus, model.samples)


def _framed(mono: Samples, samples: int, *, loop: bool) -> Samples:
    """A sound of the data as the model could make it at best: its length, its end, its tempo."""
    if loop:
        import soxr  # noqa: PLC0415

        return fitted(soxr.resample(mono, len(mono), samples), samples)
    hit = fitted(mono[onset(mono) :], samples)
    fade = samples // 10
    hit[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return hit


def _tables(sounds: Sequence[Samples], data: Sequence[Samples]) -> tuple[Table, Table]:
    """Spectra of both in rows, in dB over a common floor."""
    rows = [np.stack([_decibels(sound) for sound in group]) for group in (sounds, data)]
    floor = rows[1].max() - FLOOR_DB
    first, second = (np.maximum(group, floor).reshape(len(group), -1) - floor for group in rows)
    return first, second


def _decibels(sound: Samples) -> NDArray[np.float32]:
    return np.asarray(_BANDS.decibels(_BANDS.levels(_BANDS.stft.analyse(sound))), np.float32)


def _frames(sound: Samples) -> Table:
    """Frames (frames, bands) in dB, floored under the loudest band."""
    levels = _decibels(sound)
    return np.asarray(np.maximum(levels, levels.max() - FLOOR_DB), np.float32)
