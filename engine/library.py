"""Where instruments are kept: those that ship with the program, and the player's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from engine.description import JSON_FILE, read_description
from engine.errors import InstrumentError

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
    """Every instrument folder, by name; of two with the same name the one found first."""
    found: dict[str, Entry] = {}
    for folder in folders():
        for path in sorted(folder.glob(f"*/{JSON_FILE}")) if folder.is_dir() else []:
            name = path.parent.name
            if name in found:
                continue
            try:
                found[name] = Entry(name, path.parent, read_description(path.parent))
            except InstrumentError as error:
                found[name] = Entry(name, path.parent, None, str(error))
    return [found[name] for name in sorted(found)]


def open_instrument(name_or_path: str) -> Instrument:
    """Load an instrument by the name of a folder in the library, or by a path.

    Raises InstrumentError, in one sentence.
    """
    from engine.instrument import load_instrument  # noqa: PLC0415  # imports torch; a list needs none

    return load_instrument(folder_of(name_or_path))


def folder_of(name_or_path: str) -> Path:
    """The folder of an instrument in the library, or the folder that a path names. Raises InstrumentError."""
    for entry in instruments():
        if entry.name == name_or_path:
            return entry.folder
    path = Path(name_or_path)
    if path.is_dir():
        return path
    names = ", ".join(entry.name for entry in instruments()) or "none"
    raise InstrumentError(f"there is no instrument {name_or_path!r} (there are: {names})")
