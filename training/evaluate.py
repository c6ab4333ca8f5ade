"""An instrument beside its teacher: whole files, and every key for itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputFileError, InstrumentError
from engine.instrument import Instrument
from engine.midi.events import DRUM_CHANNEL, Kind, note_off, note_on
from engine.midi.files import Score, read_score
from engine.render import RenderOptions, render_array, render_blocks
from training.metrics import (
    attack_seconds,
    compare,
    envelope_lag,
    log_mel_l1_db,
    null_snr_db,
    onset_step_db,
    pitch_cents,
    spectral_convergence,
)
from training.teacher import BLOCK, Teacher

SECOND = 690 * BLOCK  # the grid's whole number of blocks nearest to a second at 44.1 kHz
TAIL = 345 * BLOCK


@dataclass(frozen=True)
class KeyFigures:
    """One key, one second: how it differs from the teacher. onset: positive where ours is later. onset_step_db: ours
    alone, see `training.metrics.onset_step_db`."""

    key: int
    pitch_cents: float
    onset_ms: float
    attack_ms: float
    null_snr_db: float
    logmel_l1_db: float
    convergence: float
    onset_step_db: float


def open_teacher(instrument: Instrument) -> Teacher:
    """The sampler program that an instrument learned from. Raises InstrumentError where its file names none."""
    training = instrument.metadata.get("training")
    program = training.get("program") if isinstance(training, Mapping) else None
    if not isinstance(program, int) or not 0 <= program <= 127:
        raise InstrumentError(f"{instrument.name} does not say which General MIDI program it learned from")
    return Teacher(program, sample_rate=instrument.sample_rate)


def evaluate_file(
    instrument: Instrument, path: Path, teacher: Teacher, knobs: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """All metrics of one MIDI file; both sides play it on the teacher's grid of 64 samples, without drums.

    pitch_cents: the largest interval, up or down, between one-second notes of the keys that the file uses; not a
    number where one of them has no partial in common with its teacher. Raises InputFileError where there is silence.
    """
    score = _gridded(path, instrument)
    try:
        figures = compare(*both_renderings(instrument, path, teacher, knobs))
    except ValueError as error:
        raise InputFileError(f"{path.name} cannot be compared: instrument or teacher is silent in it") from error
    keys = sorted({event.number for event in score.events if event.kind is Kind.NOTE_ON})
    cents = [abs(figure.pitch_cents) for figure in evaluate_keys(instrument, teacher, keys)]
    worst = math.nan if any(map(math.isnan, cents)) else max(cents, default=math.nan)
    return {
        "file": path.name, "instrument": instrument.name, "seconds": round(score.seconds, 2),
        "logmel_l1_db": figures.logmel_l1_db, "mss_db": figures.mss_db, "convergence": figures.convergence,
        "null_snr_db": figures.null_snr_db, "bands_db": dict(figures.bands_db), "pitch_cents": worst,
        "lag_samples": figures.lag_samples,
    }  # fmt: skip


def both_renderings(
    instrument: Instrument, path: Path, teacher: Teacher, knobs: Mapping[str, float] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The instrument's and the teacher's rendering of a MIDI file, (samples, 2) each."""
    score = _gridded(path, instrument)
    sound = render_array(score, instrument, RenderOptions(as_taught(instrument, knobs), limiter=False))
    return sound, teacher.render(score.events, len(sound))


def as_taught(instrument: Instrument, knobs: Mapping[str, float] | None) -> Mapping[str, float]:
    """Knobs with which an instrument is compared: the teacher's keys are as uneven as they are."""
    return {**({"voicing": 0.0} if "voicing" in instrument.knobs else {}), **(knobs or {})}


def _gridded(path: Path, instrument: Instrument) -> Score:
    return read_score(path, instrument.sample_rate).without_channel(DRUM_CHANNEL).on_grid(BLOCK)


def evaluate_keys(
    instrument: Instrument, teacher: Teacher, keys: Iterable[int], velocity: int = 80
) -> list[KeyFigures]:
    """Every key for a second and its release, alone."""
    results = []
    for key in keys:
        sound, wanted = play_both(instrument, teacher, key, velocity, SECOND)
        results.append(key_figures(key, sound.mean(axis=1), wanted.mean(axis=1)))
    return results


def uneven_db(instrument: Instrument, velocity: int = 80) -> float:
    """The largest difference in level between neighbouring keys, as the instrument is played: its voicing as it is."""
    levels = []
    for key in instrument.keys:
        score = Score((note_on(0, key, velocity), note_off(SECOND, key)), SECOND, instrument.sample_rate)
        sound = render_start(score, instrument, {}, SECOND).astype(np.float64)
        levels.append(10 * math.log10(float(np.mean(sound**2)) + 1e-20))
    return float(np.abs(np.diff(levels)).max()) if len(levels) > 1 else 0.0


def evaluate_notes(
    instrument: Instrument, teacher: Teacher, count: int, knobs: Mapping[str, float] | None = None, seed: int = 20_260
) -> dict[str, float]:
    """Means over random single notes: keys spread evenly, velocities 1-127 and durations 0.1-4 s drawn."""
    rng = np.random.default_rng(seed)
    rows = []
    for key in np.resize(np.array(instrument.keys), count):
        velocity = int(rng.integers(1, 128))
        release = round(math.exp(rng.uniform(math.log(0.1), math.log(4))) * instrument.sample_rate / BLOCK) * BLOCK
        sound, wanted = play_both(instrument, teacher, int(key), velocity, release, knobs)
        rows.append(key_figures(int(key), sound.mean(axis=1), wanted.mean(axis=1)))
    names = ("logmel_l1_db", "convergence", "null_snr_db")
    return {name: float(np.mean([getattr(row, name) for row in rows])) for name in names}


def play_both(
    instrument: Instrument,
    teacher: Teacher,
    key: int,
    velocity: int,
    release: int,
    knobs: Mapping[str, float] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One note of the instrument and of its teacher, (samples, 2) each, with TAIL samples after the release."""
    length = release + TAIL
    score = Score((note_on(0, key, velocity), note_off(release, key)), length, instrument.sample_rate)
    sound = render_start(score, instrument, as_taught(instrument, knobs), length) / np.float32(instrument.gain)
    return sound, teacher.notes([(0, release, key, velocity)], length)


def render_start(score: Score, instrument: Instrument, knobs: Mapping[str, float], samples: int) -> NDArray[np.float32]:
    """The first samples of a rendering, (samples, 2), with silence after its end; what comes later is not computed."""
    blocks: list[NDArray[np.float32]] = []

    def receive(block: NDArray[np.float32], done: float) -> bool:
        blocks.append(block)
        return sum(map(len, blocks)) < samples

    render_blocks(score, instrument, RenderOptions(knobs, limiter=False), receive)
    sound = np.concatenate(blocks)[:samples]
    return np.pad(sound, ((0, samples - len(sound)), (0, 0)))


def key_figures(key: int, sound: NDArray[np.float32], wanted: NDArray[np.float32]) -> KeyFigures:
    """One note, mono, beside its teacher's; both at one level but for pitch and times."""
    attack = SECOND // 10
    lag = envelope_lag(sound[:attack], wanted[:attack])
    level = np.float32(0.1 / (np.sqrt(np.mean(wanted.astype(np.float64) ** 2)) + 1e-12))
    own_level = np.float32(0.1 / (np.sqrt(np.mean(sound.astype(np.float64) ** 2)) + 1e-12))
    a, b = sound * own_level, wanted * level
    return KeyFigures(
        key, pitch_cents(sound, wanted), 1000 * lag / 44_100, 1000 * (attack_seconds(sound) - attack_seconds(wanted)),
        null_snr_db(a, b), log_mel_l1_db(a, b), spectral_convergence(a, b), onset_step_db(sound),
    )  # fmt: skip
