"""What is remembered between two starts: a small JSON file in the user's configuration folder.

Several windows may share it: each writes what it has changed since it began and keeps what the others wrote.
"""

from __future__ import annotations

import contextlib
import json
import time
from copy import deepcopy
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from engine.locks import FileLock
from engine.midi.ports import AUTO_PORT
from engine.outputs import private_folder, write_whole
from musicnn_gui.checking import CHECKS

FILE = "settings.json"
MOST_BYTES = 1_000_000
WAIT_SECONDS = 0.3  # for another window that writes


def settings_path() -> Path:
    """The file; a test or a second profile moves it with XDG_CONFIG_HOME."""
    return Path(platformdirs.user_config_dir("musicnn", appauthor=False)) / FILE


@dataclass
class Settings:
    """Every value that is loaded is one that the program can work with (`musicnn_gui.checking`).

    device: title of the output, "" for the default one. midi_port: "" for none, AUTO_PORT for the only one.
    folder, export_folder, recording_folder: where files were chosen last. geometry: of the window.
    score, score_options: the file that was open, and how it was played. knobs, other_knobs, side: of A/B.
    preset: its file, or its title where it came with the instrument. mapping: controllers by knobs.
    favourites: sources of instruments. author: of presets. view: what widgets want to remember.
    """

    instrument: str = "piano"
    device: str = ""
    block: int = 256
    midi_port: str = AUTO_PORT
    folder: str = ""
    export_folder: str = ""
    recording_folder: str = ""
    geometry: str = ""
    score: str = ""
    score_options: dict[str, Any] = field(default_factory=dict)
    knobs: dict[str, Any] = field(default_factory=dict)
    other_knobs: dict[str, Any] = field(default_factory=dict)
    side: str = "A"
    locks: list[Any] = field(default_factory=list)
    preset: str = ""
    mapping: dict[str, Any] = field(default_factory=dict)
    favourites: list[Any] = field(default_factory=list)
    author: str = ""
    view: dict[str, Any] = field(default_factory=dict)
    loaded: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The file's values when this window began; not written."""

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read the file; each value that is missing or makes no sense is left at its default."""
        settings = cls()
        for name, value in _read(path).items():
            setattr(settings, name, value)
        settings.loaded = deepcopy(settings.values())
        return settings

    def values(self) -> dict[str, Any]:
        """What is written, by name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "loaded"}

    def save(self, path: Path) -> None:
        """Write what has changed since `load` into the file; a folder that cannot be written must not keep the program
        from ending."""
        lock = FileLock(path.with_suffix(".lock"))
        try:
            private_folder(path.parent)
            _wait_for(lock)
            mine = self.values()
            unchanged = {name for name, value in mine.items() if self.loaded.get(name) == value}
            others = {name: value for name, value in _read(path).items() if name in unchanged}
            write_whole(path, json.dumps(mine | others, indent=1), private=True)
        except (OSError, ValueError):  # the latter for text that no file can hold
            return
        finally:
            lock.release()


def _read(path: Path) -> dict[str, Any]:
    """The values in the file that make sense, by name."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return {}
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        data = json.loads(content) if len(content) <= MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    values: dict[str, Any] = {}
    for name, check in CHECKS.items():
        with contextlib.suppress(ValueError):
            if name in data:
                values[name] = check(data[name])
    return values


def _wait_for(lock: FileLock) -> None:
    """Take a lock; a window that holds it for long, or a file system without locks, is not waited for."""
    end = time.monotonic() + WAIT_SECONDS
    with contextlib.suppress(OSError):
        while not lock.acquire() and time.monotonic() < end:
            time.sleep(0.01)
