"""What is left of a crash: a marker that only a clean end removes, the log, and what a dialog says about it."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from pathlib import Path

import platformdirs

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
    """A file that is there while the program runs. It holds the program's process id."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / MARKER

    def set(self) -> bool:
        """Mark this program as running; return whether another one has left its mark and does not run any more."""
        left = self._left_behind()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(str(os.getpid()), encoding="ascii")
        except OSError:
            return left  # without a folder to write to, nothing is remembered either
        return left

    def clear(self) -> None:
        """The program ends as it should."""
        try:
            if self._path.read_text(encoding="ascii") == str(os.getpid()):
                self._path.unlink()
        except (OSError, ValueError):
            return

    def _left_behind(self) -> bool:
        try:
            process = int(self._path.read_text(encoding="ascii"))
        except OSError:
            return False
        except ValueError:
            return True  # cut off while it was written
        return process != os.getpid() and not _runs(process)


def _runs(process: int) -> bool:
    """Whether a process of this user is alive."""
    if process <= 0:
        return False
    if os.name == "nt":  # there, signal 0 would end it
        return False
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
