"""Presets: the factory's, and the player's own, one small JSON file each in the user's data folder.

presets/INSTRUMENT/TITLE.json   {"format": 1, "instrument", "title", "author", "comment", "knobs": {name: value}}
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from engine.bounded import TooLargeError, parse_json, read_bounded
from engine.errors import InputFileError, OutputFileError
from engine.knobs import KNOBS, MASTER
from engine.outputs import private_folder, write_whole
from engine.texts import clean_line, clean_text

FORMAT = 1
SUFFIX = ".json"
MAX_BYTES = 100_000
MAX_TEXT = 2000
DEFAULT_TITLE = "Default"


@dataclass(frozen=True, slots=True)
class Preset:
    """Values of an instrument's knobs; those not named stand at their defaults. path: None for the factory's."""

    title: str
    author: str = ""
    comment: str = ""
    knobs: Mapping[str, float] = field(default_factory=dict)
    path: Path | None = None
    instrument: str = ""


def presets_folder() -> Path:
    """The player's own presets, a folder for each instrument."""
    return Path(platformdirs.user_data_dir("musicnn", appauthor=False)) / "presets"


def factory_presets(instrument: str, timbres: Mapping[str, Mapping[str, float]]) -> list[Preset]:
    """The default and the timbres that an instrument has learned, by name."""
    default = Preset(DEFAULT_TITLE, comment="Every knob at its default", instrument=instrument)
    named = [Preset(name, knobs=dict(values), instrument=instrument) for name, values in sorted(timbres.items())]
    return [default, *named]


def user_presets(instrument: str) -> tuple[list[Preset], list[str]]:
    """The player's presets of an instrument, by title, and a sentence about each file that is none."""
    presets, problems = [], []
    folder = presets_folder() / _file_name(instrument)
    try:
        paths = sorted(folder.glob(f"*{SUFFIX}"))
    except OSError:
        paths = []
    for path in paths:
        try:
            presets.append(read_preset(path))
        except InputFileError as error:
            problems.append(str(error))
    return sorted(presets, key=lambda preset: preset.title.casefold()), problems


def read_preset(path: Path) -> Preset:
    """Read a file. Knobs that this MusicNN does not know are left out. Raises InputFileError, in one sentence."""
    try:
        data = parse_json(read_bounded(path, MAX_BYTES))
    except FileNotFoundError as error:
        raise InputFileError(f"there is no file {path}") from error
    except TooLargeError as error:
        raise InputFileError(f"{path.name} is over {MAX_BYTES // 1000} kB: it is no preset") from error
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputFileError(f"{path.name} is no preset: it is not JSON that can be used") from error
    return _checked(data, path)


def save_preset(preset: Preset) -> Preset:
    """Write a preset to the player's folder, over the one of the same title. Raises OutputFileError."""
    folder = presets_folder() / _file_name(preset.instrument)
    path = folder / f"{_file_name(preset.title)}{SUFFIX}"
    data = {
        "format": FORMAT, "instrument": preset.instrument, "title": preset.title, "author": clean_line(preset.author),
        "comment": clean_text(preset.comment, MAX_TEXT), "knobs": dict(preset.knobs),
    }  # fmt: skip
    try:
        private_folder(presets_folder())
        private_folder(folder)
        write_whole(path, json.dumps(data, indent=1, ensure_ascii=False), private=True)
    except UnicodeEncodeError as error:
        raise OutputFileError("the preset cannot be saved: its text holds characters that no file can") from error
    except OSError as error:
        raise OutputFileError(f"the preset cannot be saved: {error.strerror or error}") from error
    return Preset(preset.title, preset.author, preset.comment, dict(preset.knobs), path, preset.instrument)


def delete_preset(preset: Preset) -> None:
    """Remove a preset of the player's. Raises OutputFileError."""
    if preset.path is None:
        raise OutputFileError(f"{preset.title} came with the instrument and cannot be deleted")
    try:
        preset.path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputFileError(f"{preset.path} cannot be deleted: {error.strerror or error}") from error


def clean_title(text: str) -> str:
    """One line without control characters."""
    return clean_line(text)


def _checked(data: Any, path: Path) -> Preset:
    if not isinstance(data, dict) or not isinstance(data.get("knobs"), dict):
        raise InputFileError(f"{path.name} is no preset: it holds no knobs")
    form = data.get("format")
    if not isinstance(form, int) or isinstance(form, bool) or not 1 <= form <= FORMAT:
        raise InputFileError(f"{path.name} was made for a newer MusicNN, or is no preset")
    title, author = (clean_title(_text(data, name, path)) for name in ("title", "author"))
    comment, instrument = (_text(data, name, path) for name in ("comment", "instrument"))
    if not title:
        raise InputFileError(f"{path.name} is damaged: it has no title")
    knobs = {name: _value(name, value, path) for name, value in data["knobs"].items() if name in KNOBS}
    return Preset(
        title, author, comment[:MAX_TEXT],
        {name: value for name, value in knobs.items() if name not in MASTER}, path, instrument,
    )  # fmt: skip


def _text(data: Mapping[str, Any], name: str, path: Path) -> str:
    value = data.get(name, "")
    if not isinstance(value, str):
        raise InputFileError(f"{path.name} is damaged: its {name} is no text")
    return clean_text(value)


def _value(name: str, value: object, path: Path) -> float:
    number = finite(value)
    if number is None:
        raise InputFileError(f"{path.name} is damaged: its knob {name} has no number")
    return KNOBS[name].clip(number)


def finite(value: object) -> float | None:
    """A number of a JSON file; None for what is none, or is too large or not a number to count with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _file_name(text: str) -> str:
    """A name that every file system takes; different texts may share one only where they differ in odd characters."""
    name = re.sub(r"[^\w .+-]", "_", text).strip(" .")[:60]
    return name or "preset"
