"""What a morphing instrument learns from: some keys of many programs, analysed on one common layout of carriers.

The layout is the same for every timbre and key, so that a slot means the same everywhere: the first slots are partials
1, 2, 3 ..., then partials 1/2, 3/2 ... of a 16-foot stop, the others body carriers at fixed places, pushed off the
partials. Tables can then be interpolated between timbres and between keys. Vibrato is taken out, see `training.motion`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from engine.errors import MusicNNError
from engine.outputs import write_whole
from engine.partials import PartialSynthesis
from engine.units import key_to_hz, semitones_to_ratio
from training.analysis import EnvelopeFit, Tuning, find_tuning
from training.jobs import run_jobs
from training.motion import made_steady, measured, pitch_deviation
from training.notes import GRID, NOISE_POWER, POWER, RISE, TaughtNote, at_knots, early_phase, mid_side, taught, trim
from training.teacher import BLOCK, Teacher, soundfont_tag

FORMAT = 4
PROGRAMS = {
    "grand piano": 0, "electric piano": 4, "harpsichord": 6, "vibraphone": 11, "marimba": 12, "organ": 16,
    "accordion": 21, "nylon guitar": 24, "clean guitar": 27, "fretless bass": 35, "violin": 40, "cello": 42,
    "strings": 48, "choir": 52, "trumpet": 56, "horn": 60, "alto sax": 65, "oboe": 68, "clarinet": 71, "flute": 73,
    "square lead": 80, "warm pad": 89,
}  # fmt: skip
"""Names and General MIDI programs (0-127) of the timbres, of every family but drums and effects."""

BORDERS = (8, 24, 64)
HIGHEST_HZ = 16_000.0
LOWEST_BODY_HZ, HIGHEST_BODY_HZ = 60.0, 15_000.0
APART_HZ = 60.0
LEAST_APART_HZ = 8.0
ITERATIONS = (18, 14, 14)  # of the analysis, fewer than of a piano: there are eight times as many keys
WORTH = 0.8  # a vibrato is taken out where this much less or less is left of the sound
FAINTEST = 1e-4  # of the loudest carrier: what is softer is not worth learning


@dataclass(frozen=True)
class TimbresConfig:
    """Which notes are made, and how they are analysed."""

    programs: dict[str, int] = field(default_factory=lambda: dict(PROGRAMS))
    first_key: int = 36
    last_key: int = 96
    step: int = 2
    partials: int = 90
    halves: int = 6
    body: int = 32
    noise: int = 32
    sample_rate: int = 44_100
    length: int = 1024
    hop: int = 256
    longest_seconds: float = 3.0
    release_seconds: float = 0.8
    seed: int = 0

    @property
    def anchors(self) -> range:
        """The keys that are played."""
        return range(self.first_key, self.last_key + 1, self.step)

    @property
    def synthesis(self) -> PartialSynthesis:
        """The synthesis that the envelopes are made for."""
        return PartialSynthesis(self.length, self.hop, self.sample_rate, RISE)

    @property
    def carriers(self) -> int:
        """Slots of the layout."""
        return self.partials + self.halves + self.body

    @property
    def harmonic(self) -> NDArray[np.float64]:
        """Partial numbers of the slots, 0 for body carriers."""
        parts = np.arange(1.0, self.partials + 1), np.arange(self.halves) + 0.5, np.zeros(self.body)
        return np.concatenate(parts)

    def digest(self) -> str:
        """Short name of exactly this data, but for which programs are in it."""
        settings = {name: value for name, value in asdict(self).items() if name != "programs"}
        text = json.dumps([FORMAT, POWER, BORDERS, GRID.to_json(), RISE, settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class TimbreKey:
    """One key of one timbre: carriers (carriers,), their reference (channels, carriers), notes, how well they fit.

    reference: level and early phase of each carrier, complex. motion: see `engine.motion.Motion`, (NUMBERS,).
    """

    timbre: int
    key: int
    hz: NDArray[np.float64]
    reference: NDArray[np.complex64]
    notes: tuple[TaughtNote, ...]
    exponent: float
    null_db: float
    motion: NDArray[np.float64]

    @property
    def sounds(self) -> bool:
        """Whether the sampler plays this key at all."""
        return bool(np.abs(self.reference).max() > 0)


def plan(config: TimbresConfig, program: int, key: int) -> list[tuple[int, int]]:
    """(velocity, release sample) of the notes of a key, the long one first."""
    rng = np.random.default_rng([config.seed, program, key])
    second = config.sample_rate
    releases = [round(config.longest_seconds * second)]
    releases += [round(config.hop * (border + rng.uniform(0.05, 0.95))) for border in BORDERS]
    releases += [round(second * math.exp(rng.uniform(math.log(0.7), math.log(1.6))))]
    edges = np.linspace(1, 128, len(releases) + 1)
    velocities = rng.permutation([int(rng.integers(math.ceil(a), math.ceil(b))) for a, b in itertools.pairwise(edges)])
    return [(int(v), max(BLOCK, r // BLOCK * BLOCK)) for v, r in zip(velocities, releases, strict=True)]


def lay_slots(config: TimbresConfig, tuning: Tuning, key: int) -> NDArray[np.float64]:
    """Frequencies (carriers,) of the layout for one timbre's tuning of a key; 0 for partials that are too high."""
    partials = np.concatenate([tuning.partials(config.partials), (np.arange(config.halves) + 0.5) * tuning.hz])
    partials = np.where(partials < HIGHEST_HZ, partials, 0.0)
    hz = key_to_hz(key)
    apart = min(APART_HZ, hz / 4)
    body = np.geomspace(LOWEST_BODY_HZ, HIGHEST_BODY_HZ, config.body)
    nearest = np.round(body / hz) * hz
    off = body - nearest
    side = np.where(off >= 0, 1.0, -1.0)
    body = np.where((nearest > 0) & (np.abs(off) < apart), nearest + side * apart, body)
    for slot in range(1, len(body)):  # two that were pushed to one place
        body[slot] = max(body[slot], body[slot - 1] + LEAST_APART_HZ)
    return np.concatenate([partials, body])


def make_key(config: TimbresConfig, program: int, key: int, path: Path) -> None:
    """Render, analyse and save one key of one program. Runs in a process of its own."""
    torch.set_num_threads(1)
    notes = plan(config, program, key)
    tail = round(config.release_seconds * config.sample_rate) // BLOCK * BLOCK
    with Teacher(program, sample_rate=config.sample_rate) as teacher:
        exponent = _exponent(teacher, key)
        sounds = [
            trim(mid_side(teacher.notes([(0, release, key, v)], release + tail)) / (v / 127) ** exponent)
            for v, release in notes
        ]
    hz = _tuned(config, key, sounds[0])
    deviation, motion = _motion(config, hz, sounds[0], round(config.longest_seconds * config.sample_rate))
    if deviation is not None:
        sounds = [made_steady(sound, deviation, config.synthesis) for sound in sounds]
    fit = EnvelopeFit(config.synthesis, hz, config.harmonic)
    scale = float(np.sqrt(np.mean(sounds[0][:, : config.sample_rate] ** 2))) + 1e-12
    tensors: dict[str, Tensor] = {"hz": torch.from_numpy(hz), "exponent": torch.tensor(exponent)}
    nulls = []
    for index, ((velocity, release), sound) in enumerate(zip(notes, sounds, strict=True)):
        wave = torch.from_numpy(sound / scale)
        values, dense, noise, null = at_knots(fit, wave, release, config.noise, ITERATIONS)
        nulls.append(null)
        if index == 0:
            early = dense.permute(1, 0, 2)[3:173] * scale  # the first second
            level = early.abs().pow(2).mean(0).sqrt()
            level = torch.clamp(level, min=float(level.max()) * FAINTEST)
            tensors["reference"] = torch.view_as_real(level * early_phase(early, 0, 58))
        tensors[f"target{index}"] = taught(values.permute(1, 0, 2) * scale)
        tensors[f"noise{index}"] = (noise * scale**2).pow(NOISE_POWER).half().contiguous()
        tensors[f"note{index}"] = torch.tensor([velocity, release])
    tensors["null_db"] = torch.tensor(float(np.mean(nulls)))
    tensors["motion"] = torch.from_numpy(motion)
    write_whole(path, save(tensors))


def _motion(
    config: TimbresConfig, hz: NDArray[np.float64], sound: NDArray[np.float32], release: int
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """How the pitch of a long note deviates, where it is worth taking out, and the numbers of its `Motion`."""
    synthesis = config.synthesis
    fit = EnvelopeFit(synthesis, hz, config.harmonic)
    scale = float(sound.std()) + 1e-12
    held = sound[:, :release]

    def analysed(part: NDArray[np.float32]) -> tuple[Tensor, float]:
        """Dense envelopes, and how much of the sound an envelope that hardly moves within 50 ms leaves."""
        wave = torch.from_numpy(part / scale)
        envelopes = fit.fit(wave, iterations=ITERATIONS[:2])
        _, slow = fit.at_knots(envelopes, np.arange(0, envelopes.shape[1] + 8, 8))
        error = wave - fit.synthesise(slow, wave.shape[1])
        return envelopes, float(error.pow(2).sum())

    still, without = analysed(held)
    total, envelopes, least = np.zeros(still.shape[1] - 1), still, without
    for _ in range(2):
        total = total + pitch_deviation(envelopes, hz, config.harmonic, synthesis)[: len(total)]
        envelopes, left = analysed(made_steady(held, total, synthesis))
        least = min(least, left)
    if least < WORTH * without:
        return total, measured(total, envelopes, config.harmonic, synthesis).numbers()
    return None, measured(np.zeros_like(total), still, config.harmonic, synthesis).numbers()


def _exponent(teacher: Teacher, key: int) -> float:
    """How the level grows with velocity: the slope of log RMS over log velocity."""
    velocities = np.array([25, 50, 75, 100, 125])
    sounds = [teacher.notes([(0, 320 * BLOCK, key, int(v))], 320 * BLOCK) for v in velocities]
    rms = np.array([np.sqrt(np.mean(sound**2)) for sound in sounds])
    return float(np.round(np.polyfit(np.log(velocities), np.log(rms + 1e-9), 1)[0], 3))


def _tuned(config: TimbresConfig, key: int, sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """The layout, its partials moved to where they really lie in the long note."""
    start, seconds = (1500, 1.2) if key < 84 else (300, 0.5)
    steady = sound[0, start : start + round(seconds * config.sample_rate)].astype(np.float64)
    tuning = find_tuning(steady, key, config.sample_rate)
    hz = lay_slots(config, tuning, key)
    wave = torch.from_numpy(sound[:, : round(1.5 * config.sample_rate)] / (sound.std() + 1e-12))
    moving = (config.harmonic > 0) & (hz > 0)
    for _ in range(2):
        fit = EnvelopeFit(config.synthesis, hz, config.harmonic)
        drift = fit.drift(fit.fit(wave, iterations=(20, 10)), 12, 200)
        hz = hz + np.clip(drift, -0.02 * hz, 0.02 * hz) * moving
    return hz


def load_key(config: TimbresConfig, timbre: int, key: int, path: Path) -> TimbreKey:
    """Read what `make_key` saved."""
    tensors = load_file(path)
    notes = []
    for index in range(sum(name.startswith("note") for name in tensors)):
        velocity, release = (int(x) for x in tensors[f"note{index}"])
        target, noise = tensors[f"target{index}"], tensors[f"noise{index}"]
        notes.append(TaughtNote(key, velocity, release, release // config.hop, target, noise))
    return TimbreKey(
        timbre, key, tensors["hz"].numpy(), torch.view_as_complex(tensors["reference"]).numpy(), tuple(notes),
        float(tensors["exponent"]), float(tensors["null_db"]), tensors["motion"].numpy(),
    )  # fmt: skip


def make_timbres(
    config: TimbresConfig, cache: Path, report: Callable[[str], None], workers: int = 2
) -> Sequence[TimbreKey]:
    """All timbres' data; what is not in the cache yet, or damaged, is rendered and analysed."""
    folder = cache / f"timbres-{config.digest()}{soundfont_tag()}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        (timbre, program, key): folder / f"program{program:03d}-key{key:03d}.safetensors"
        for timbre, program in enumerate(config.programs.values())
        for key in config.anchors
    }
    found = {place: _cached(config, place[0], place[2], path) for place, path in paths.items()}
    missing = [place for place, data in found.items() if data is None]
    if missing:
        report(f"rendering and analysing {len(missing)} keys into {folder}")

        def tell(done: int) -> None:
            if done % 10 == 0 or done == len(missing):
                report(f"  {done} of {len(missing)} keys")

        calls = [(config, program, key, paths[timbre, program, key]) for timbre, program, key in missing]
        run_jobs(make_key, calls, workers, tell)
    keys = [
        data or load_key(config, timbre, key, paths[timbre, program, key])
        for (timbre, program, key), data in found.items()
    ]
    return fill_silent(config, keys)


def fill_silent(config: TimbresConfig, keys: Sequence[TimbreKey]) -> list[TimbreKey]:
    """Keys that the sampler does not play take carriers and levels from the nearest one that it does, and no notes.

    So a timbre stays itself beyond its teacher's range. Raises MusicNNError for a timbre without a sound.
    """
    filled = []
    for one in keys:
        sounding = [other for other in keys if other.timbre == one.timbre and other.sounds]
        if not sounding:
            raise MusicNNError(f"{list(config.programs)[one.timbre]} is silent on every key that would be taught")
        near = min(sounding, key=lambda other: abs(other.key - one.key))
        if near is not one:
            partials = config.harmonic > 0
            hz = np.where(partials, near.hz * semitones_to_ratio(one.key - near.key), near.hz)
            hz = np.where(partials & (hz >= HIGHEST_HZ), 0.0, hz)
            filled.append(replace(near, key=one.key, hz=hz, notes=()))
        else:
            filled.append(one)
    return filled


def _cached(config: TimbresConfig, timbre: int, key: int, path: Path) -> TimbreKey | None:
    """A key's data, or None where its file is missing or damaged: it is made again."""
    try:
        return load_key(config, timbre, key, path)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):
        return None
