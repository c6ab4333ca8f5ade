"""What a keyed instrument learns from: lists of notes, their sound from the teacher, and its analysis, kept on disk.

Each key is played a few times: once held until it dies away, and several times released, at other velocities. The
releases are spread over the codec's frames so that whole batches share the frame in which the release is first seen
(live playing starts a new window there).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from engine.grid import Grid, Strides
from engine.networks.heads import compress
from engine.noise import band_of_bin, band_sizes
from engine.outputs import write_whole
from engine.partials import PartialSynthesis
from training.analysis import ITERATIONS, EnvelopeFit, find_tuning, lay_carriers
from training.jobs import run_jobs
from training.teacher import BLOCK, Teacher, soundfont_tag

FORMAT = 5  # of the cached files: raised whenever their meaning changes
POWER = 0.4
GRID = Grid(Strides(((16, 2), (128, 4))), Strides(((8, 2), (24, 4))))
"""Knots of every keyed instrument: each frame of the first tenth of a second, every fourth of an old note."""
RISE = 128  # samples in which a note's sound rises, see `PartialSynthesis`
NOISE_POWER = 0.25  # under which noise is kept, in half precision
BORDERS = (4, 8, 16, 24, 40, 64, 96)
"""First frames that hear the release, for the short notes."""


@dataclass(frozen=True)
class NotesConfig:
    """Which notes are made, and how they are analysed."""

    program: int = 0
    first_key: int = 21
    last_key: int = 108
    carriers: int = 128
    sample_rate: int = 44_100
    length: int = 1024
    hop: int = 256
    noise: int = 32
    longest_seconds: float = 12.0
    release_seconds: float = 1.3
    seed: int = 0

    @property
    def keys(self) -> range:
        """Every key, lowest first."""
        return range(self.first_key, self.last_key + 1)

    @property
    def synthesis(self) -> PartialSynthesis:
        """The synthesis that the envelopes are made for."""
        return PartialSynthesis(self.length, self.hop, self.sample_rate, RISE)

    def digest(self) -> str:
        """Short name of exactly this data."""
        text = json.dumps([FORMAT, POWER, BORDERS, GRID.to_json(), RISE, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class TaughtNote:
    """One played note.

    key, velocity: MIDI. release: sample of the note-off since note-on; border: first frame that hears it.
    target: (knots, channels, carriers, 2) half floats: envelopes at full velocity, magnitudes under POWER.
    noise: (knots, channels, bands) half floats: power of what the carriers leave, see `noise_power`, under NOISE_POWER.
    """

    key: int
    velocity: int
    release: int
    border: int
    target: Tensor
    noise: Tensor


@dataclass(frozen=True)
class KeyData:
    """What is known of one key: carriers, the reference level and phase of each, and the notes."""

    key: int
    hz: NDArray[np.float64]
    harmonic: NDArray[np.float64]
    reference: NDArray[np.complex64]
    notes: tuple[TaughtNote, ...]
    null_db: float


def plan_key(config: NotesConfig, key: int) -> list[tuple[int, int]]:
    """(velocity, release sample) of a key's notes, the long one first; releases lie on the teacher's grid.

    Velocities are drawn one from each of as many equal ranges as there are notes.
    """
    rng = np.random.default_rng([config.seed, key])
    second = config.sample_rate
    releases = [round(config.longest_seconds * second)]
    releases += [round(config.hop * (border + rng.uniform(0.05, 0.95))) for border in BORDERS]
    releases += [round(second * math.exp(rng.uniform(math.log(a), math.log(b)))) for a, b in ((0.7, 1.6), (1.6, 4))]
    edges = np.linspace(1, 128, len(releases) + 1)
    velocities = [int(rng.integers(math.ceil(a), math.ceil(b))) for a, b in itertools.pairwise(edges)]
    velocities = [int(v) for v in rng.permutation(velocities)]
    return [(v, max(BLOCK, r // BLOCK * BLOCK)) for v, r in zip(velocities, releases, strict=True)]


def velocity_exponent(config: NotesConfig, teacher: Teacher) -> float:
    """How the teacher's level grows with velocity: the slope of log RMS over log velocity, over a few keys."""
    velocities, slopes = np.array([20, 45, 70, 95, 120]), []
    for key in config.keys[:: max(1, len(config.keys) // 8)]:
        sounds = [teacher.notes([(0, 320 * BLOCK, key, int(v))], 320 * BLOCK) for v in velocities]
        rms = np.array([np.sqrt(np.mean(sound**2)) for sound in sounds])
        slopes.append(np.polyfit(np.log(velocities), np.log(rms + 1e-9), 1)[0])
    return float(np.round(np.median(slopes), 3))


def mid_side(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """(samples, 2) left and right -> (2, samples) mid and side: half of the sum, half of the difference."""
    return np.stack([sound[:, 0] + sound[:, 1], sound[:, 0] - sound[:, 1]]) * np.float32(0.5)


def make_key(config: NotesConfig, key: int, exponent: float, path: Path) -> None:
    """Render, analyse and save one key. Runs in a process of its own."""
    torch.set_num_threads(1)
    plan = plan_key(config, key)
    tail = round(config.release_seconds * config.sample_rate) // BLOCK * BLOCK
    with Teacher(config.program, sample_rate=config.sample_rate) as teacher:
        sounds = [
            trim(mid_side(teacher.notes([(0, release, key, v)], release + tail)) / (v / 127) ** exponent)
            for v, release in plan
        ]
    hz, harmonic = _tuned_carriers(config, key, sounds[0])
    fit = EnvelopeFit(config.synthesis, hz, harmonic)
    scale = float(np.sqrt(np.mean(sounds[0][:, : config.sample_rate] ** 2))) + 1e-12
    tensors: dict[str, Tensor] = {"hz": torch.from_numpy(hz), "harmonic": torch.from_numpy(harmonic)}
    nulls = []
    for index, ((velocity, release), sound) in enumerate(zip(plan, sounds, strict=True)):
        wave = torch.from_numpy(sound / scale)
        values, dense, noise, null = at_knots(fit, wave, release, config.noise)
        nulls.append(null)
        if index == 0:
            tensors["reference"] = torch.view_as_real(_reference(dense.permute(1, 0, 2) * scale))
        tensors[f"target{index}"] = taught(values.permute(1, 0, 2) * scale)
        tensors[f"noise{index}"] = (noise * scale**2).pow(NOISE_POWER).half().contiguous()
        tensors[f"note{index}"] = torch.tensor([velocity, release])
    tensors["null_db"] = torch.tensor(float(np.mean(nulls)))
    write_whole(path, save(tensors))


def at_knots(
    fit: EnvelopeFit, wave: Tensor, release: int, bands: int, iterations: tuple[int, ...] = ITERATIONS
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Analyse a note (channels, samples) that is let go at a sample.

    Returns envelopes at GRID's knots (channels, knots, carriers) and in between (channels, frames, carriers), the power
    of what they leave (knots, channels, bands), and how far they null in dB.
    """
    border = release // fit.synthesis.hop if release < wave.shape[1] else None
    envelopes = fit.fit(wave, release if border is not None else None, iterations=iterations)
    knots = GRID.until(envelopes.shape[1] - 1, border)
    values, dense = fit.at_knots(envelopes, knots)
    error = wave - fit.synthesise(dense, wave.shape[1])
    null = float(10 * torch.log10(wave.pow(2).sum() / (error.pow(2).sum() + 1e-20)))
    return values, dense, noise_power(error, fit.synthesis, bands, knots), null


def taught(envelopes: Tensor) -> Tensor:
    """Envelopes (knots, channels, carriers) as they are kept: magnitudes under POWER, half floats (..., 2)."""
    return torch.view_as_real(compress(envelopes, POWER, 1e-12)).half().contiguous()


def noise_power(sound: Tensor, synthesis: PartialSynthesis, bands: int, knots: NDArray[np.int64]) -> Tensor:
    """Power of a sound (channels, samples) in noise bands around every knot, (knots, channels, bands).

    White noise of unit variance has 1 in every band: see `engine.noise`.
    """
    length, hop = synthesis.length, synthesis.hop
    padded = torch.nn.functional.pad(sound, (length - hop, length + hop))
    window = torch.from_numpy(synthesis.window.astype(np.float32))
    spectra = torch.fft.rfft(padded.unfold(1, length, hop) * window, dim=2)
    band = torch.from_numpy(band_of_bin(bands, synthesis.bins, synthesis.sample_rate))
    sizes = torch.from_numpy(band_sizes(bands, synthesis.bins, synthesis.sample_rate)) * float(window.pow(2).sum())
    power = torch.zeros(*spectra.shape[:2], bands).index_add_(2, band, spectra.abs().pow(2)) / sizes
    reach = np.diff(knots, append=knots[-1] + (knots[-1] - knots[-2] if len(knots) > 1 else 1))
    frames = power.shape[1]
    around = [power[:, min(k, frames - 1) : k + r].mean(1) for k, r in zip(knots.tolist(), reach.tolist(), strict=True)]
    return torch.stack(around)


def trim(sound: NDArray[np.float32], floor_db: float = -75.0, block: int = 4096) -> NDArray[np.float32]:
    """The sound (channels, samples) up to where it stays `floor_db` under its loudest block, and a little silence."""
    blocks = sound[:, : sound.shape[1] // block * block].reshape(len(sound), -1, block)
    power = (blocks**2).mean(axis=(0, 2))
    loud = np.nonzero(power > power.max() * 10 ** (floor_db / 10))[0]
    return sound[:, : min(sound.shape[1], (int(loud[-1]) + 3) * block)].copy() if len(loud) else sound


def _tuned_carriers(
    config: NotesConfig, key: int, sound: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Carriers of a key, their partials moved to where the long note's really lie (mean turning of the envelopes)."""
    treble = key >= 84
    start, seconds = (300, 0.5) if treble else (1500, 1.2)
    steady = sound[0, start : start + round(seconds * config.sample_rate)].astype(np.float64)
    tuning = find_tuning(steady, key, config.sample_rate)
    hz, harmonic = lay_carriers(tuning, config.carriers)
    wave = torch.from_numpy(sound[:, : round(2.5 * config.sample_rate)] / (sound.std() + 1e-12))
    for _ in range(3):
        fit = EnvelopeFit(config.synthesis, hz, harmonic)
        drift = fit.drift(fit.fit(wave, iterations=(20, 10)), 12, 200)
        hz = hz + np.clip(drift, -0.3 * tuning.hz, 0.3 * tuning.hz) * (harmonic > 0)
    return hz, harmonic


def _reference(envelopes: Tensor, first: int = 3, last: int = 61) -> Tensor:
    """Level (RMS) and phase (of the mean) of every carrier early in the long note, (channels, carriers) complex.

    Carriers far below the loudest one are taken as 80 dB under it: what they do there is not worth learning.
    """
    early = envelopes[first:last]
    level = early.abs().pow(2).mean(0).sqrt()
    return torch.clamp(level, min=float(level.max()) * 1e-4) * early_phase(envelopes, first, last)


def early_phase(envelopes: Tensor, first: int = 3, last: int = 61) -> Tensor:
    """Mean phase of every carrier in the early frames, as unit complex numbers; 1 where there is none."""
    mean = envelopes[first:last].mean(0)
    phase = mean / (mean.abs() + 1e-12)
    return torch.where(phase.abs() > 0.5, phase, 1.0 + 0j)


def load_key(config: NotesConfig, key: int, path: Path) -> KeyData:
    """Read what `make_key` saved."""
    tensors = load_file(path)
    notes = []
    for index in range(sum(name.startswith("note") for name in tensors)):
        velocity, release = (int(x) for x in tensors[f"note{index}"])
        target, noise = tensors[f"target{index}"], tensors[f"noise{index}"]
        notes.append(TaughtNote(key, velocity, release, release // config.hop, target, noise))
    return KeyData(
        key, tensors["hz"].numpy(), tensors["harmonic"].double().numpy(),
        torch.view_as_complex(tensors["reference"]).numpy(), tuple(notes), float(tensors["null_db"]),
    )  # fmt: skip


def make_notes(
    config: NotesConfig, cache: Path, report: Callable[[str], None], workers: int = 2
) -> tuple[Sequence[KeyData], float]:
    """All keys' data and the velocity exponent; what is not in the cache yet, or damaged, is rendered and analysed.

    About 4 MB a key. Raises TeacherError where the teacher is missing.
    """
    folder = cache / f"notes-{config.digest()}{soundfont_tag()}"
    folder.mkdir(parents=True, exist_ok=True)
    with Teacher(config.program, sample_rate=config.sample_rate) as teacher:
        exponent = velocity_exponent(config, teacher)
    paths = {key: folder / f"key{key:03d}.safetensors" for key in config.keys}
    found = {key: _cached(config, key, path) for key, path in paths.items()}
    missing = [key for key, data in found.items() if data is None]
    if missing:
        report(f"rendering and analysing {len(missing)} keys into {folder}")
        calls = [(config, key, exponent, paths[key]) for key in missing]
        run_jobs(make_key, calls, workers, lambda done: report(f"  {done} of {len(missing)} keys"))
    return [data or load_key(config, key, paths[key]) for key, data in found.items()], exponent


def _cached(config: NotesConfig, key: int, path: Path) -> KeyData | None:
    """A key's data, or None where its file is missing or damaged: it is made again."""
    try:
        return load_key(config, key, path)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):
        return None
