"""Locks between processes. The system releases a lock when its process ends, however that happens."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class FileLock:
    """An exclusive lock on a file, held from `acquire` to `release` or to the end of the process.

    The file stays when the lock is released, unless it is removed: a file without a lock tells that its process
    ended unexpectedly.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._handle is not None

    def acquire(self) -> bool:
        """Take the lock without waiting; False where another process, or another object of this one, holds it.

        Raises OSError where the file cannot be opened, or on a file system without locks.
        """
        while self._handle is None:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if not lock_handle(handle):
                    return False
                if is_at(handle, self.path):  # else its last holder has just removed it
                    self._handle, handle = handle, -1
            finally:
                if handle >= 0:
                    os.close(handle)
        return True

    def release(self, *, remove: bool = False) -> None:
        """Let another process take the lock; `remove` deletes the file first."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if remove and sys.platform != "win32":  # while it is still held: nobody takes the lock of a deleted file
            self.path.unlink(missing_ok=True)
        os.close(handle)
        if remove and sys.platform == "win32":  # an open file cannot be removed there
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)


def lock_handle(handle: int) -> bool:
    """Lock an open file without waiting; False where it is locked already. Raises OSError where there are no locks."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_at(handle: int, path: Path) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except OSError:
        return False
