"""Where takes wait until they are saved."""

from __future__ import annotations

import contextlib
import itertools
import time
from pathlib import Path

import platformdirs

from engine.audio.recorder import Take, takes
from engine.errors import OutputFileError
from engine.outputs import PRIVATE_FOLDER, private_folder


def recordings_folder() -> Path:
    """A folder of the user's data: unlike a temporary one it is on a disk, and survives a restart."""
    return Path(platformdirs.user_data_dir("musicnn", appauthor=False)) / "recordings"


def new_take() -> Take:
    """The folder of a take that begins now, this process's own. Raises OutputFileError."""
    stamp = time.strftime("%Y-%m-%d %H-%M-%S")
    try:
        parent = private_folder(recordings_folder())
        for name in itertools.chain([stamp], (f"{stamp} {number}" for number in itertools.count(2))):
            with contextlib.suppress(FileExistsError):
                (parent / name).mkdir(mode=PRIVATE_FOLDER)
                take = Take(parent / name)
                take.hold()
                return take
        raise AssertionError  # there is always another number
    except OSError as error:
        raise OutputFileError(f"nothing can be recorded in {recordings_folder()}: {error.strerror or error}") from error


def left_take() -> Take | None:
    """The newest take that was not saved and belongs to no running program; from now on it is this process's."""
    return next((take for take in reversed(takes(recordings_folder())) if take.hold()), None)


def spoken(seconds: float) -> str:
    """A length as people write it, 3:05."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
