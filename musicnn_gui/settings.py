"""What is remembered between two starts: a small JSON file in the user's configuration folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from engine.midi.ports import AUTO_PORT

FILE = "settings.json"


def settings_path() -> Path:
    """The file; a test or a second profile moves it with XDG_CONFIG_HOME."""
    return Path(platformdirs.user_config_dir("musicnn", appauthor=False)) / FILE


@dataclass
class Settings:
    """What of it is no more than text and numbers is checked by who uses it.

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

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read the file; what is missing, damaged or not of its kind is left at its default."""
        settings = cls()
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return settings
        if isinstance(data, dict):
            for entry in fields(cls):
                value = data.get(entry.name)
                if isinstance(value, type(getattr(settings, entry.name))) and not isinstance(value, bool):
                    setattr(settings, entry.name, value)
        return settings

    def save(self, path: Path) -> None:
        """Write the file; a folder that cannot be written must not keep the program from ending."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
            part.replace(path)
        except (OSError, ValueError):  # the latter for text that no file can hold
            return
