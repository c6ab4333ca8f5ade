"""Where instruments are kept: those that ship with the program, and the player's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from engine.description import JSON_FILE, WEIGHTS_FILE, read_description
from engine.errors import InstrumentError
from engine.texts import shown

if TYPE_CHECKING:
    from engine.instrument import Instrument

FOLDERS_VARIABLE = "MUSICNN_INSTRUMENTS"
DEFAULT = "piano"


@dataclass(frozen=True)
class Entry:
    """An instrument folder: its description, or what is wrong with it."""

    name: str
    folder: Path
    description: dict[str, Any] | None
    problem: str = ""


def folders() -> list[Path]:
    """Where to look, in order: folders that MUSICNN_INSTRUMENTS names, the player's, the shipped ones."""
    named = [Path(part) for part in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if part]
    return [*named, user_folder(), Path(__file__).resolve().parent.parent / "trained"]


def user_folder() -> Path:
    """The player's own instruments."""
    return Path(platformdirs.user_data_dir("musicnn", appauthor=False)) / "instruments"


def instruments() -> list[Entry]:
    """Every instrument folder, by name. Of those with the same name the first sound one counts; a broken one that was
    found before it is listed with its problem."""
    found: list[Entry] = []
    sound: set[str] = set()
    for folder in folders():
        for path in _inside(folder):
            if path.name in sound or not os.path.lexists(path / JSON_FILE):
                continue
            try:
                found.append(Entry(path.name, path, read_description(path)))
                sound.add(path.name)
            except InstrumentError as error:
                found.append(Entry(path.name, path, None, str(error)))
    return sorted(found, key=lambda entry: entry.name)


@dataclass(frozen=True)
class Opened:
    """A loaded instrument and where it was found. notice: what is wrong with those of its name before it, if any."""

    instrument: Instrument
    folder: Path
    notice: str = ""


def open_first(name_or_path: str, *, proved: bool = False) -> Opened:
    """Load an instrument by the name of a folder in the library, or by a path: the first one of that name that can be
    played. proved: and sounds as it did when it was made.

    Raises InstrumentError, in one sentence: what is wrong with the first one.
    """
    from engine.instrument import load_instrument, prove  # noqa: PLC0415  # imports torch; a list needs none

    problems: list[InstrumentError] = []
    for folder in _candidates(name_or_path):
        try:
            instrument = load_instrument(folder)
            if proved:
                prove(instrument, folder)
        except InstrumentError as error:
            problems.append(error)
        else:
            notice = f"{problems[0]}; the {instrument.title} of {folder} is played instead" if problems else ""
            return Opened(instrument, folder, notice)
    raise problems[0]


def open_instrument(name_or_path: str) -> Instrument:
    """`open_first`, the instrument alone."""
    return open_first(name_or_path).instrument


def folder_of(name_or_path: str) -> Path:
    """The folder of an instrument in the library, the first of that name, or the folder that a path names. Raises
    InstrumentError."""
    return _candidates(name_or_path)[0]


def _candidates(name_or_path: str) -> list[Path]:
    """Folders that may be meant, at least one. Raises InstrumentError."""
    # A name is compared, never joined to a folder: it may hold "..".
    found = [path for folder in folders() for path in _inside(folder) if path.name == name_or_path]
    found = [path for path in found if any(os.path.lexists(path / name) for name in (JSON_FILE, WEIGHTS_FILE))] or found
    if not found and os.path.isdir(name_or_path):
        found = [Path(name_or_path)]
    if not found:
        names = ", ".join(sorted({entry.name for entry in instruments()})) or "none"
        raise InstrumentError(f"there is no instrument {shown(name_or_path)} (there are: {names})")
    return found


def _inside(folder: Path) -> list[Path]:
    """The folders in a folder, by name; none where it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if os.path.isdir(path))
    except (OSError, ValueError):
        return []
