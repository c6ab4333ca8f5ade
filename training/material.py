"""The project's own audio: one-shots, loops, sounds and pieces that a sampler plays from patterns written here.

`musicnn train material FOLDER --kind ...` makes a folder of FLAC files such as a user might have, so that every recipe
can be tried, tested and shipped without anybody else's recordings. The same seed makes the same files; those that
are there already are not made again. Folder names tell kinds, loops' file names tell their tempo.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.audio.files import AudioWriter
from engine.midi.events import Event, Kind
from training.teacher import BLOCK, Teacher

RATE = 44_100
DRUM_BANK = 128
KITS = (0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 14, 16, 18, 24, 25, 40, 48)
"""Programs of FluidR3's drum bank that differ from each other."""

DRUMS: Mapping[str, tuple[int, ...]] = {
    "kick": (35, 36), "snare": (38, 40), "clap": (37, 39), "hat": (42, 44), "open hat": (46,),
    "tom": (41, 43, 45, 47, 48, 50), "cymbal": (49, 51, 53, 57, 59), "percussion": (54, 56, 60, 62, 63, 69, 75, 76),
}  # fmt: skip
"""Keys of General MIDI's drum map by kind."""

KINDS = ("oneshots", "loops", "sounds", "pieces")
HIT_SECONDS, PEAK = 1.0, 0.7
VELOCITIES, TUNINGS = (64, 112), (-1.5, 0.0, 1.5)  # semitones
SOUND_PROGRAMS = (0, 4, 6, 8, 11, 12, 13, 16, 19, 24, 26, 32, 33, 38, 40, 42, 45, 46, 47, 48, 52, 56, 60, 65, 71, 73,
                  75, 80, 81, 88, 90, 104, 106, 108, 112, 114)  # fmt: skip
FAMILIES = ("piano", "mallet", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed", "pipe", "lead",
            "pad", "effect", "ethnic", "percussive", "noise")  # fmt: skip
STEPS = 16  # sixteenths of a bar

Report = Callable[[str], None]
Hit = tuple[float, int, int]
"""Place in sixteenths, key, velocity."""


@dataclass(frozen=True)
class _Style:
    """Chances of a hit on each sixteenth of a bar, 0-9 as a digit, by drum; tempi in quarter notes a minute."""

    tempi: tuple[int, int]
    lines: Mapping[int, str]


STYLES: Mapping[str, _Style] = {
    "house": _Style((118, 130), {36: "9000900090009010", 39: "0000900000009000", 42: "2050205020502050",
                                 46: "0090009000900090"}),
    "techno": _Style((125, 140), {36: "9000900090009000", 42: "7777777777777777", 46: "0080008000800080",
                                  37: "0020030200200302", 38: "0000300000003001"}),
    "rock": _Style((90, 140), {36: "9000001090200000", 38: "0000900000009001", 42: "9090909090909090",
                               46: "0000000000000020"}),
    "hip hop": _Style((78, 100), {36: "9003001090200020", 38: "0000900100009002", 42: "9191919191919191",
                                  46: "0000000000200020"}),
    "break": _Style((95, 125), {36: "9090000000990000", 38: "0000900205029002", 42: "9090909090909090"}),
    "drum and bass": _Style((160, 176), {36: "9000000000900000", 38: "0000900100009001", 42: "9070907090709070",
                                         51: "0020002000200020"}),
    "electro": _Style((110, 128), {36: "9000009000900200", 38: "0000900000009000", 42: "9494949494949494",
                                   56: "0020020002002000", 39: "0000500000005000"}),
    "latin": _Style((95, 118), {36: "9009009090090090", 75: "9009009000909000", 62: "0030302003003020",
                                63: "2090009020900090", 69: "9595959595959595"}),
}  # fmt: skip


def make_material(folder: Path, kind: str, count: int, seed: int, report: Report) -> int:
    """Write the files of one kind that `folder` lacks; return how many there are then.

    count: of loops or pieces; one-shots and sounds are as many as the sampler has.
    Raises ValueError for another kind, TeacherError without a sampler, OutputFileError where nothing can be written.
    """
    makers = {
        "oneshots": lambda: _oneshots(folder), "loops": lambda: _loops(folder, count, seed),
        "sounds": lambda: _sounds(folder), "pieces": lambda: _pieces(folder, count, seed),
    }  # fmt: skip
    if kind not in makers:
        raise ValueError(f"material {kind!r} is not one of {', '.join(KINDS)}")
    done = 0
    for done, path in enumerate(makers[kind](), 1):  # the number of all is wanted
        if done % 50 == 0:
            report(f"{done} files, the last one {path.name}")
    return done


def read_tempo(name: str) -> float | None:
    """The tempo that a file's name tells, quarter notes a minute: "house_124bpm_3.flac" -> 124."""
    found = re.search(r"(\d{2,3}(?:\.\d+)?) ?bpm", name, re.IGNORECASE)
    return float(found.group(1)) if found else None


def _oneshots(folder: Path) -> Iterator[Path]:
    samples = round(HIT_SECONDS * RATE)
    for program in KITS:
        with Teacher(program, bank=DRUM_BANK) as kit:
            for kind, keys in DRUMS.items():
                for key in keys:
                    for velocity in VELOCITIES:
                        for tuning in TUNINGS:
                            path = folder / kind / f"kit{program}_{key}_{velocity}_{tuning:+g}.flac"
                            if not path.exists():
                                events = [_bend(tuning), Event(0, Kind.NOTE_ON, 0, key, velocity)]
                                _write(path, kit.render(events, samples) * (velocity / 127))
                            yield path


def _sounds(folder: Path) -> Iterator[Path]:
    for program in SOUND_PROGRAMS:
        low, high = (28, 52) if program // 8 == 4 else (40, 80)
        with Teacher(program) as teacher:
            for key in range(low, high, 4):
                for velocity in (70, 115):
                    path = folder / FAMILIES[program // 8] / f"program{program}_{key}_{velocity}.flac"
                    if not path.exists():
                        off = round(0.6 * RATE) // BLOCK * BLOCK
                        _write(path, teacher.notes([(0, off, key, velocity)], round(HIT_SECONDS * RATE)))
                    yield path


def _loops(folder: Path, count: int, seed: int) -> Iterator[Path]:
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        style = list(STYLES)[index % len(STYLES)]
        low, high = STYLES[style].tempi
        tempo, kit = int(rng.integers(low, high + 1)), int(rng.choice(KITS))
        path = folder / style / f"kit{kit}_{tempo}bpm_{index}.flac"
        if not path.exists():
            bar = round(4 * 60 / tempo * RATE)
            hits, swing = drum_bar(STYLES[style].lines, rng), float(rng.choice([0.0, 0.0, 0.15, 0.3]))
            with Teacher(kit, bank=DRUM_BANK) as teacher:  # the second bar, so that it begins with the first's tails
                sound = teacher.notes(
                    _on_grid([*hits, *((at + STEPS, key, force) for at, key, force in hits)], bar, swing), 2 * bar
                )
            _write(path, sound[bar:])
        yield path


def drum_bar(lines: Mapping[int, str], rng: np.random.Generator) -> list[Hit]:
    """One bar of a pattern: every digit is a chance of ten, strong places are struck harder."""
    hits: list[Hit] = []
    for key, chances in lines.items():
        if key not in (36, 38) and rng.random() < 0.2:
            continue  # not every bar has every drum
        for step, chance in enumerate(chances):
            if rng.random() < (int(chance) / 9) ** 0.8:
                accent = 112 if step % 4 == 0 else 92 if step % 2 == 0 else 70
                hits.append((step, key, int(np.clip(accent + rng.normal(0, 8), 25, 127))))
    return hits


def _pieces(folder: Path, count: int, seed: int) -> Iterator[Path]:
    """Songs of a minute: a loop of four chords for bass, chords, melody and drums, each varied from bar to bar."""
    for index in range(count):
        rng = np.random.default_rng([seed, 7, index])
        tempo = int(rng.integers(96, 126))
        path = folder / f"piece{index}_{tempo}bpm.flac"
        if not path.exists():
            _write(path, _piece(rng, round(4 * 60 / tempo * RATE), bars=round(tempo / 4)))
        yield path


def _piece(rng: np.random.Generator, bar: int, bars: int) -> NDArray[np.float32]:
    tonic, minor = int(rng.integers(45, 57)), bool(rng.random() < 0.6)
    scale = np.array([0, 2, 3, 5, 7, 8, 10] if minor else [0, 2, 4, 5, 7, 9, 11])
    degrees = [list(row) for row in ((0, 5, 2, 6), (0, 3, 4, 4), (0, 5, 3, 4), (0, 2, 5, 4))][int(rng.integers(4))]
    style = STYLES[str(rng.choice(["house", "rock", "break", "hip hop"]))]
    drums = drum_bar(style.lines, rng)
    rhythm = [step for step in range(0, STEPS, 2) if step == 0 or rng.random() < 0.45]
    motif = [(step, int(rng.integers(0, 8))) for step in range(0, STEPS, 2) if rng.random() < 0.5]
    parts: dict[str, list[Hit]] = {"drums": [], "bass": [], "chords": [], "lead": []}

    def tone(degree: int) -> int:
        return tonic + int(scale[degree % 7]) + 12 * (degree // 7)

    for number in range(bars):
        start, degree = number * STEPS, degrees[number % 4]
        parts["drums"] += [(start + at, key, v) for at, key, v in (drums if rng.random() < 0.8
                                                                   else drum_bar(style.lines, rng))]  # fmt: skip
        parts["bass"] += [(start + step, tone(degree) - 12, 100) for step in rhythm]
        parts["chords"] += [(start + at, tone(degree + third), 70) for at in (0, 8) for third in (0, 2, 4)]
        if number % 8 >= 2:  # the melody rests now and then, and repeats itself with little changes
            parts["lead"] += [(start + at, tone(degree + up + 7), 88) for at, up in motif if rng.random() < 0.85]
    programs = {"bass": int(rng.choice([33, 38, 39])), "chords": int(rng.choice([4, 0, 88, 16])),
                "lead": int(rng.choice([80, 11, 73, 4]))}  # fmt: skip
    sound = np.zeros((bars * bar, 2), np.float32)
    for name, hits in parts.items():
        program, bank = (int(rng.choice([0, 8, 24, 25])), DRUM_BANK) if name == "drums" else (programs[name], 0)
        with Teacher(program, bank=bank) as teacher:
            length = {"chords": 7.5, "bass": 1.8}.get(name, 1.5)
            sound += teacher.notes(_on_grid(hits, bar, 0.0, length), len(sound))
    return sound


def _on_grid(hits: Sequence[Hit], bar: int, swing: float, length: float = 1.0) -> list[tuple[int, int, int, int]]:
    """Notes of the teacher: times in samples on its grid. swing: how far odd sixteenths come late, in sixteenths."""

    def place(at: float) -> int:
        return round(at * bar / STEPS) // BLOCK * BLOCK

    return [(place(at + swing * (at % 2)), place(at + length + swing * (at % 2)), key, velocity)
            for at, key, velocity in hits]  # fmt: skip


def _bend(semitones: float) -> Event:
    """As far as a wheel goes that reaches two semitones."""
    return Event(0, Kind.BEND, 0, 0, round(semitones / 2 * 8191))


def _write(path: Path, sound: NDArray[np.float32]) -> None:
    """Loud enough to work with, but never clipped; silent keys of a kit are left out."""
    peak = float(np.abs(sound).max())
    if peak < 1e-4:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with AudioWriter(path, RATE) as writer:
        writer.write((sound * min(2.5, PEAK / peak)).astype(np.float32))
