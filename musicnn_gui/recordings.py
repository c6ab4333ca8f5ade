"""Where takes wait until they are saved."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import platformdirs


def recordings_folder() -> Path:
    """A folder of the user's data: unlike a temporary one it is on a disk, and survives a restart."""
    return Path(platformdirs.user_data_dir("musicnn", appauthor=False)) / "recordings"


def new_folder() -> Path:
    """Of a take that begins now; it is not made yet."""
    stamp = time.strftime("%Y-%m-%d %H-%M-%S")
    names = itertools.chain([stamp], (f"{stamp} {number}" for number in itertools.count(2)))
    return next(path for name in names if not (path := recordings_folder() / name).exists())


def spoken(seconds: float) -> str:
    """A length as people write it, 3:05."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
