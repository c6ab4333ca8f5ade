"""`musicnn study griffin-lim FILE`: what frame length and how many rounds a sound needs to come back from magnitudes.

The question of the first of these systems, for windows of 2^6 to 2^14 samples and a hop of a quarter: the length of the
spectrogram, the error, the time. Its error was that of the waveform, which is blind to nothing so much as to a
harmless phase; it stands beside two that hear:

    convergence   20 log10 of ||A - M|| / ||M||, A being the magnitudes of what came back, M those that were asked for
    log-mel       mean |difference| in dB of 128 mel bands (`training.metrics`)

Methods: Griffin-Lim from random phases, as librosa does by default; with momentum; from phase-gradient integration;
integration alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from engine.audio.files import sound_name
from engine.bounded import not_a_file
from engine.errors import InputFileError
from engine.inversion import MOMENTUM, griffin_lim, integrate
from engine.spectral import Samples, Stft
from training.metrics import log_mel_l1_db

RATE = 44_100
LENGTHS = tuple(2**power for power in range(6, 15))
ITERATIONS = (0, 2, 4, 8, 16)
METHODS = ("griffin-lim", "fast", "pghi+fast")
SECONDS = 3.0


@dataclass(frozen=True)
class Row:
    """One inversion. frames, bins: of the spectrogram. waveform_mse: relative to the sound's power."""

    length: int
    method: str
    iterations: int
    frames: int
    bins: int
    convergence_db: float
    logmel_db: float
    waveform_mse: float
    seconds: float


def study(
    path: Path, report: Callable[[str], None], *, lengths: Sequence[int] = LENGTHS,
    iterations: Sequence[int] = ITERATIONS,
) -> list[Row]:  # fmt: skip
    """Invert the first seconds of a file in every way. Raises InputFileError where it is no sound."""
    sound = _read(path)
    rows = []
    for length in lengths:
        rows += list(_rows(sound, Stft(length, length // 4), iterations))
        best = min(rows[-len(METHODS) * len(iterations) :], key=lambda row: row.convergence_db)
        report(f"{length:6d}: best {best.convergence_db:.1f} dB by {best.method}, {best.iterations} rounds")
    return rows


def _read(path: Path) -> Samples:
    problem = not_a_file(path)
    if problem:
        raise InputFileError(f"{path} cannot be heard: {problem}")
    try:
        with soundfile.SoundFile(sound_name(path)) as file:
            sound = file.read(round(SECONDS * file.samplerate), dtype="float32", always_2d=True).mean(axis=1)
            mono = np.asarray(soxr.resample(sound, file.samplerate, RATE), np.float32)
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputFileError(f"{path} is no audio file that can be read") from error
    if len(mono) < RATE // 20 or not np.abs(mono).max() > 1e-4 or not np.isfinite(mono).all():
        raise InputFileError(f"{path} holds too little sound to study")
    return mono


def _rows(sound: Samples, stft: Stft, iterations: Sequence[int]) -> Iterator[Row]:
    magnitudes = np.abs(stft.analyse(sound))
    random = np.random.default_rng(0).uniform(0, 2 * np.pi, magnitudes.shape).astype(np.float32)
    for method in METHODS:
        for count in iterations:
            began = time.perf_counter()
            phases = integrate(magnitudes, stft) if method.startswith("pghi") else random
            momentum = 0.0 if method == "griffin-lim" else MOMENTUM
            back = griffin_lim(magnitudes, stft, len(sound), phases, count, momentum=momentum)
            took = time.perf_counter() - began
            yield Row(
                stft.length, method, count, len(magnitudes), stft.bins, convergence_db(back, magnitudes, stft),
                log_mel_l1_db(back, sound), float(np.square(back - sound).sum() / np.square(sound).sum()), took,
            )  # fmt: skip


def convergence_db(sound: Samples, magnitudes: NDArray[np.float32], stft: Stft) -> float:
    """How far a sound's magnitudes are from those that were asked for: 20 log10 ||A - M|| / ||M||."""
    error = np.linalg.norm(np.abs(stft.analyse(sound))[: len(magnitudes)] - magnitudes)
    return float(20 * np.log10(error / np.linalg.norm(magnitudes) + 1e-12))


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of a Markdown table."""
    names = list(asdict(rows[0]))
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    return lines + ["| " + " | ".join(_text(value) for value in asdict(row).values()) + " |" for row in rows]


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw error and time over the frame length, a line for every method at its most rounds and at none, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  # slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(12, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    rounds = sorted({row.iterations for row in rows})
    for method in METHODS:
        for count, style in zip((rounds[0], rounds[len(rounds) // 2], rounds[-1]), (":", "--", "-"), strict=True):
            own = [row for row in rows if row.method == method and row.iterations == count]
            for axes, name in zip(panels, ("convergence_db", "logmel_db", "seconds"), strict=True):
                axes.plot([row.length for row in own], [getattr(row, name) for row in own], style,
                          color=f"C{METHODS.index(method)}", marker=".", label=f"{method}, {count} rounds")  # fmt: skip
    for axes, name in zip(panels, ("convergence in dB", "log-mel L1 in dB", "seconds"), strict=True):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("samples in a frame, hop a quarter")
        axes.set_title(name, fontsize=10)
        axes.grid(visible=True, alpha=0.3)
    panels[2].set_yscale("log")
    panels[0].legend(fontsize=7)
    figure.savefig(path, dpi=90)
