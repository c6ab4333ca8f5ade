"""What the recipes of `musicnn train` have in common: options, and a prepared fitting."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import platformdirs

from engine.instrument import Instrument
from training.fit import Task
from training.teacher import find_soundfont, soundfont_tag

LICENCE = "Apache-2.0"


class Fittable(Task, Protocol):
    """A task that ends in an instrument."""

    def instrument(self, name: str, title: str, metadata: Mapping[str, object]) -> Instrument:
        """The instrument as it is fitted so far."""


@dataclass(frozen=True)
class Job:
    """A prepared fitting: the task, what its card says of it, and what it learns from.

    source: the teacher and its program, or the folder of audio. tag: what tells this source from others of the same
    settings, so that a run is only gone on with on its own data.
    """

    task: Fittable
    description: str
    config: dict[str, Any]
    learning_rate: float
    source: dict[str, Any]
    tag: dict[str, Any]
    betas: tuple[float, float] = (0.9, 0.999)
    optimiser: str = "adam"


def sampled(program: int) -> dict[str, Any]:
    """Source and tag of what a sampler teaches."""
    source = {"teacher": f"FluidSynth, {find_soundfont().name}, dry", "program": program}
    return {"source": source, "tag": {"teacher": soundfont_tag()}}


def say(text: str) -> None:
    """Progress, to standard error: standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """Where rendered and analysed notes are kept between runs."""
    return Path(platformdirs.user_cache_dir("musicnn", appauthor=False))


def add_common(parser: argparse.ArgumentParser, name: str) -> None:
    """Options of every recipe: names, length, folders, seed."""
    parser.add_argument("--name", default=name, help=f"folder name of the instrument (default {name})")
    parser.add_argument("--title", help="how it is shown (default: the name)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="time to fit (default 60)")
    length.add_argument("--steps", type=int, help="steps to fit, instead of a time")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the instrument goes (default: your own)")
    parser.add_argument("--run", type=Path, dest="run_folder", metavar="FOLDER",
                        help="checkpoints and loss curve; an interrupted run goes on there")  # fmt: skip
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="rendered notes (default: your cache folder)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    parser.add_argument("--learning-rate", type=float, help="at its highest")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    parser.add_argument("--licence", default=LICENCE, help=f"of the instrument (default {LICENCE})")
    parser.add_argument("--author", default="MusicNN", help="whose instrument it is")


def add_program(parser: argparse.ArgumentParser) -> None:
    """--program, for what a sampler teaches."""
    parser.add_argument("--program", type=int, default=0, help="General MIDI program, 0-127 (default 0, piano)")


def add_precision(parser: argparse.ArgumentParser) -> None:
    """--precision."""
    parser.add_argument("--precision", default="auto", metavar="TYPE",
                        help="float32, bfloat16 (faster where the processor can), or auto (default)")  # fmt: skip


def cache_of(arguments: argparse.Namespace) -> Path:
    """Where this command keeps its data."""
    folder: Path = arguments.cache or cache_folder()
    return folder


def reason_of(error: Exception) -> str:
    """Why something could not be read or written."""
    return getattr(error, "strerror", None) or str(error)
