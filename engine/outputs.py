"""Files that are written whole or not at all, and files that only their owner may read."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import sys
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.locks import is_at, lock_handle

PREFIX, SUFFIX = ".musicnn-", ".part"
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
NO_FILE = "it is a pipe, a device or a socket, not a file"


class OutputFile:
    """A part file that replaces the file at `path` when it is committed.

    A context manager: leaving it normally commits, leaving it by an exception discards. A part file that is neither
    is removed when the process ends; one that a killed process has left is removed by the next that writes there. A
    link is followed: its target is replaced. The permissions of a file that is replaced are kept; a new one gets
    those of the umask or, where it is private, 0600.

    `part` has a short name in the same folder. Raises OSError.
    """

    def __init__(self, path: Path | str, *, private: bool = False) -> None:
        self.path = Path(path)
        self.target, before = resolve_output(self.path)
        remove_leftovers(self.target.parent)
        self.part, self._handle = _open_part(self.target.parent, PRIVATE_FILE if private else 0o666)
        self._finalizer = weakref.finalize(self, _discard, self.part, self._handle)
        if before is not None and not private:
            _keep_permissions(self._handle, before)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()

    def write(self, data: bytes) -> None:
        """Append bytes."""
        while data:
            data = data[os.write(self._handle, data) :]

    def commit(self, *, durable: bool = False) -> None:
        """Put the file in place; `durable` waits until it is on the disk. What fails discards it."""
        try:
            if durable:
                os.fsync(self._handle)
            if sys.platform == "win32":
                os.close(self._handle)
                self._finalizer.detach()
            _replace(self.part, self.target)
        except BaseException:
            self.discard()
            self.part.unlink(missing_ok=True)
            raise
        if durable:
            _sync_folder(self.target.parent)
        if self._finalizer.detach():
            os.close(self._handle)

    def discard(self) -> None:
        """Remove what was written."""
        self._finalizer()


def write_whole(path: Path | str, data: bytes | str, *, private: bool = False) -> None:
    """Replace a file's content at once; text as UTF-8. Raises OSError, and ValueError for text that has no UTF-8."""
    content = data.encode() if isinstance(data, str) else data
    with OutputFile(path, private=private) as file:
        file.write(content)


def resolve_output(path: Path) -> tuple[Path, os.stat_result | None]:
    """The file that a path leads to, links followed, and its status where it exists. Raises OSError where it cannot be
    replaced: a folder, a device, a write-protected file, a name that is too long."""
    try:
        target = Path(os.path.realpath(path))
        status = os.stat(target)
    except FileNotFoundError:
        return target, None
    except ValueError as error:
        raise OSError(errno.EINVAL, "its name cannot be a file's") from error
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, NO_FILE)
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "it is write-protected")
    return target, status


def remove_leftovers(folder: Path) -> None:
    """Remove part files of processes that were killed: those that nobody has locked."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX):
                _remove_unlocked(Path(entry.path))


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter; an existing one is closed to others. Raises OSError."""
    path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    _close(path, PRIVATE_FOLDER)
    return path


def make_private(folder: Path) -> None:
    """Close a folder and all that is in it to other users, as far as it is ours."""
    if not os.path.isdir(folder):
        return
    _close(folder, PRIVATE_FOLDER)
    for parent, folders, files in os.walk(folder):
        for name in folders:
            _close(Path(parent, name), PRIVATE_FOLDER)
        for name in files:
            _close(Path(parent, name), PRIVATE_FILE)


def _close(path: Path, mode: int) -> None:
    if sys.platform == "win32":  # folders of a user's profile are private there
        return
    with contextlib.suppress(OSError):
        status = path.stat() if mode == PRIVATE_FOLDER else path.lstat()
        if stat.S_ISLNK(status.st_mode) or status.st_uid != os.geteuid():
            return
        if status.st_mode & 0o077:
            path.chmod(stat.S_IMODE(status.st_mode) & mode)


def _open_part(folder: Path, mode: int) -> tuple[Path, int]:
    while True:
        part = folder / f"{PREFIX}{secrets.token_hex(4)}{SUFFIX}"
        try:
            handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        except FileExistsError:
            continue
        if sys.platform == "win32":  # a lock would keep libsndfile from writing
            return part, handle
        with contextlib.suppress(OSError):  # on file systems without locks, leftovers stay
            if not lock_handle(handle) or not is_at(handle, part):  # another process has just taken it for a leftover
                os.close(handle)
                continue
        return part, handle


def _remove_unlocked(part: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(part, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            if lock_handle(handle) and is_at(handle, part):
                part.unlink()
        finally:
            os.close(handle)


def _keep_permissions(handle: int, before: os.stat_result) -> None:
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # only root may give files away
        os.fchown(handle, before.st_uid, before.st_gid)
    with contextlib.suppress(OSError):
        os.fchmod(handle, stat.S_IMODE(before.st_mode))


def _replace(part: Path, target: Path) -> None:
    try:
        part.replace(target)
    except OSError:
        if not os.path.isfile(target):
            raise
        # Mounted by itself, or another user's in a sticky folder: it can be written, but not replaced.
        shutil.copyfile(part, target)
        part.unlink()


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _discard(part: Path, handle: int) -> None:
    if sys.platform == "win32":  # an open file cannot be removed there
        os.close(handle)
        part.unlink(missing_ok=True)
    else:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        os.close(handle)
