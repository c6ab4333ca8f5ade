"""Where the log file is."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def log_path() -> Path:
    """The log file; it is named where something went wrong."""
    return Path(platformdirs.user_log_dir("musicnn", appauthor=False)) / "musicnn.log"
