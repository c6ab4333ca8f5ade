"""A space of timbres beside its teachers: every timbre, every axis, and random points between them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InstrumentError
from engine.instrument import Instrument
from engine.knobs import LATENT
from engine.midi.events import note_off, note_on
from engine.midi.files import Score
from engine.units import key_to_hz
from training.evaluate import KeyFigures, key_figures, play_both, render_start
from training.metrics import level_above_db, log_mel_l1_db, onset_step_db, pitch_cents, vibrato
from training.teacher import BLOCK, Teacher

SEED = 20_261
TEST_KEYS = (43, 55, 67, 79)
SHORTEST, LONGEST = 0.15, 2.0  # seconds
POINT_SECONDS = 0.8
IN_TUNE_CENTS = 5.0
PITCHED_SECONDS = 0.5  # shorter notes do not say their pitch to a few cents
CLIPPED, SILENT = 1.0, 1e-3
UNHEARD = 1e-6
HELD_KEYS, HELD_SECONDS, HIGH_HZ = (55, 62, 69, 76), 2.5, 7000.0
LEAST_DEPTH = 3.0  # cents; less is no vibrato
TOUR_KEYS, TOUR_SECONDS = (48, 60, 72), 0.5
CLICK_DB = -30.0  # a step of the envelope's second difference, against the note's peak


def evaluate_timbres(instrument: Instrument, count: int, knobs: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Means over `count` random held-out notes of every learned timbre, and over all timbres.

    Keys of the whole range, velocities 20-127 and durations are drawn; they are other ones than those of the fitting.
    Keys on which the teacher is silent are drawn again. knobs: beside those of the timbre.
    """
    rng = np.random.default_rng(SEED)
    rows: dict[str, dict[str, float]] = {}
    for name, program in _programs(instrument).items():
        settings, figures = {**instrument.presets[name], **(knobs or {})}, list[KeyFigures]()
        long: list[KeyFigures] = []
        with Teacher(program, sample_rate=instrument.sample_rate) as teacher:
            while len(figures) < count:
                key, velocity = (
                    int(rng.integers(instrument.keys[0], instrument.keys[-1] + 1)),
                    int(rng.integers(20, 128)),
                )
                seconds = math.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST)))
                release = round(seconds * instrument.sample_rate / BLOCK) * BLOCK
                sound, wanted = play_both(instrument, teacher, key, velocity, release, settings)
                if not np.abs(wanted).max() > UNHEARD:
                    continue
                figures.append(key_figures(key, sound.mean(axis=1), wanted.mean(axis=1)))
                if seconds > PITCHED_SECONDS:
                    long.append(figures[-1])
        rows[name] = {
            figure: float(np.mean([getattr(row, figure) for row in figures]))
            for figure in ("logmel_l1_db", "convergence", "null_snr_db")
        }
        rows[name] |= _held(instrument, program, settings)
        rows[name]["worst_cents"] = max(
            (math.inf if math.isnan(row.pitch_cents) else abs(row.pitch_cents) for row in long), default=math.nan
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a figure that no timbre has
        mean = {
            figure: float(np.nanmean([row[figure] for row in rows.values()])) for figure in next(iter(rows.values()))
        }
    return {"timbres": rows, "mean": mean}


def _held(instrument: Instrument, program: int, settings: Mapping[str, float]) -> dict[str, float]:
    """Of some long notes of a timbre: vibrato beside the teacher's (depth and rate as ratios, not numbers where the
    teacher has none), level above HIGH_HZ, and the worst onset step."""
    release = round(HELD_SECONDS * instrument.sample_rate / BLOCK) * BLOCK
    depths, rates, highs, steps = list[float](), list[float](), list[float](), list[float]()
    with Teacher(program, sample_rate=instrument.sample_rate) as teacher:
        for key in HELD_KEYS:
            pair = play_both(instrument, teacher, key, 90, release, settings)
            sound, wanted = (_levelled(part[:release].mean(axis=1)) for part in pair)
            if not np.abs(pair[1]).max() > UNHEARD:
                continue
            steps.append(onset_step_db(sound))
            highs.append(level_above_db(sound, wanted, HIGH_HZ))
            late = slice(instrument.sample_rate // 2, None)
            (depth, rate), (true_depth, true_rate) = (vibrato(x[late], key_to_hz(key)) for x in (sound, wanted))
            if true_depth > LEAST_DEPTH:
                depths.append(depth / true_depth)
                rates.append(rate / true_rate)

    def mean(values: list[float]) -> float:
        known = [value for value in values if not math.isnan(value)]
        return float(np.mean(known)) if known else math.nan

    return {
        "vibrato_depth": mean(depths), "vibrato_rate": mean(rates), "above_7k_db": mean(highs),
        "onset_step_db": max(steps, default=math.nan),
    }  # fmt: skip


def evaluate_axes(instrument: Instrument) -> dict[str, float]:
    """Log-mel change in dB from -2 to +2 standard deviations of every latent knob, mean over some keys."""
    changes = {}
    for name in (knob for knob in instrument.knobs if knob in LATENT):
        pairs = [[_note(instrument, key, {name: value}).mean(axis=1) for value in (-2.0, 2.0)] for key in TEST_KEYS]
        changes[name] = float(np.mean([log_mel_l1_db(*(_levelled(sound) for sound in pair)) for pair in pairs]))
    return changes


def evaluate_points(instrument: Instrument, count: int) -> dict[str, Any]:
    """Share of random points (normal, one standard deviation, clipped at the knobs' ends) that are sound.

    Sound: a note of a random key is within IN_TUNE_CENTS of the key's place in the tables, not clipped, not silent,
    without a step in its samples that is larger than its spectrum explains.
    """
    rng = np.random.default_rng(SEED)
    latent = [knob for knob in instrument.knobs if knob in LATENT]
    counts = dict.fromkeys(("in_tune", "not_clipped", "not_silent", "no_click", "all"), 0)
    for _ in range(count):
        knobs = {name: float(np.clip(rng.normal(), -3, 3)) for name in latent}
        key = int(rng.integers(instrument.keys[0], instrument.keys[-1] + 1))
        sound = _note(instrument, key, knobs)
        mono = sound.mean(axis=1)
        passed = {
            "in_tune": abs(pitch_cents(mono, _ideal(key, len(mono), instrument.sample_rate))) <= IN_TUNE_CENTS,
            "not_clipped": float(np.abs(sound).max()) <= CLIPPED,
            "not_silent": float(np.abs(sound).max()) >= SILENT,
            "no_click": not _clicks(mono),
        }
        passed["all"] = all(passed.values())
        for name, good in passed.items():
            counts[name] += good
    return {"points": count, **{name: good / count for name, good in counts.items()}}


def tour(instrument: Instrument) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Some keys of every timbre one after the other, the instrument's and its teachers' sound, (samples, 2) each."""
    release = round(TOUR_SECONDS * instrument.sample_rate / BLOCK) * BLOCK
    pairs = []
    for name, program in _programs(instrument).items():
        with Teacher(program, sample_rate=instrument.sample_rate) as teacher:
            for key in TOUR_KEYS:
                both = play_both(instrument, teacher, key, 90, release, instrument.presets[name])
                pairs.append([sound[: release + release // 4] for sound in both])
    sound, wanted = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return sound, wanted


def _programs(instrument: Instrument) -> Mapping[str, int]:
    try:
        programs = instrument.metadata["training"]["config"]["timbres"]["programs"]
    except (KeyError, TypeError) as error:
        raise InstrumentError(f"{instrument.name} has no space of timbres, or does not say what it learned") from error
    return {str(name): int(program) for name, program in programs.items()}


def _note(instrument: Instrument, key: int, knobs: Mapping[str, float]) -> NDArray[np.float32]:
    """One forte note, held, (samples, 2)."""
    length = round(POINT_SECONDS * instrument.sample_rate)
    score = Score((note_on(0, key, 90), note_off(length, key)), length, instrument.sample_rate)
    return render_start(score, instrument, knobs, length)


def _ideal(key: int, samples: int, sample_rate: int) -> NDArray[np.float32]:
    """Partials of equal temperament."""
    n = np.arange(samples) / sample_rate
    hz = 440 * 2 ** ((key - 69) / 12)
    partials = [np.sin(2 * np.pi * k * hz * n) / k for k in range(1, 20) if k * hz < sample_rate / 2.5]
    return np.asarray(np.sum(partials, axis=0) * 0.1, np.float32)


def _clicks(mono: NDArray[np.float32]) -> bool:
    """Whether a step stands out of the note's own: broadband energy for a moment, after the attack."""
    high = np.diff(mono.astype(np.float64), 3)
    blocks = np.abs(high[: len(high) // 64 * 64]).reshape(-1, 64).max(axis=1)[40:]
    around = np.convolve(blocks, np.ones(9) / 9, "same")
    return bool(np.any(blocks[5:-5] > 12 * np.maximum(around[5:-5] - blocks[5:-5] / 9, 1e-7) * 9 / 8))


def _levelled(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(sound * np.float32(0.1 / (np.sqrt(np.mean(sound.astype(np.float64) ** 2)) + 1e-12)))
