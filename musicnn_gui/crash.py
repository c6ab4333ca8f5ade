"""What is left of a crash: a marker that only a clean end removes, the log, and what a dialog says about it."""

from __future__ import annotations

import contextlib
import os
import secrets
import traceback
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from engine.locks import FileLock
from engine.outputs import private_folder

MARKER = "running"


def log_path() -> Path:
    """The log file; it is named where something went wrong."""
    return Path(platformdirs.user_log_dir("musicnn", appauthor=False)) / "musicnn.log"


@dataclass(frozen=True, slots=True)
class CrashReport:
    """What a dialog shows of an error that nobody expected."""

    title: str
    text: str
    details: str
    log: Path

    @classmethod
    def of(cls, error: BaseException) -> CrashReport:
        """The program goes on after it, where it can."""
        text = (
            "Something went wrong that should not have. You can go on playing; save your preset and your recording, "
            f"and start the program again if it behaves oddly. The log says more: {log_path()}"
        )
        return cls("Something went wrong", text, "".join(traceback.format_exception(error)), log_path())


class CrashMarker:
    """A file of its own for each running program, locked while that runs and removed by a clean end.

    A mark without a lock is a crash's. It is told once, to the program that starts next.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: FileLock | None = None

    def set(self) -> bool:
        """Mark this program as running; return whether another one has left its mark and does not run any more."""
        try:
            private_folder(self._folder)
            left = self._clear_left()
            mark = FileLock(self._folder / f"{MARKER}-{os.getpid()}-{secrets.token_hex(4)}")
            if mark.acquire():
                self._lock = mark
        except OSError:
            return False  # without a folder to write to, or without locks, nothing is remembered
        return left

    def clear(self) -> None:
        """The program ends as it should."""
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(OSError):
                lock.release(remove=True)

    def _clear_left(self) -> bool:
        """Remove the marks of programs that do not run any more; return whether there were any."""
        left = False
        for path in self._folder.glob(f"{MARKER}*"):
            mark = FileLock(path)
            if path.is_file() and mark.acquire():
                mark.release(remove=True)
                left = True
        return left
