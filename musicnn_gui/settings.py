"""What is remembered between two starts: a small JSON file in the user's configuration folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import platformdirs

from engine.midi.ports import AUTO_PORT

FILE = "settings.json"


def settings_path() -> Path:
    """The file; a test or a second profile moves it with XDG_CONFIG_HOME."""
    return Path(platformdirs.user_config_dir("musicnn", appauthor=False)) / FILE


@dataclass
class Settings:
    """device: title of the output, "" for the default one; midi_port: "" for none, AUTO_PORT for the only one."""

    instrument: str = "piano"
    device: str = ""
    block: int = 256
    midi_port: str = AUTO_PORT
    folder: str = ""
    geometry: str = ""

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read the file; what is missing, damaged or not of its kind is left at its default."""
        settings = cls()
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return settings
        if isinstance(data, dict):
            for field in fields(cls):
                value = data.get(field.name)
                if isinstance(value, type(getattr(settings, field.name))) and not isinstance(value, bool):
                    setattr(settings, field.name, value)
        return settings

    def save(self, path: Path) -> None:
        """Write the file; a folder that cannot be written must not keep the program from ending."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
            part.replace(path)
        except OSError:
            return
