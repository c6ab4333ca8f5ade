"""Files that anybody may have made: regular ones only, read up to a limit, and JSON that is no trap.

Opening a FIFO waits for its writer, a device may never end, and a file may grow while it is read. So a file's kind and
size are looked at twice, before it is opened and after, and no more than the limit is ever read.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

DEPTH, VALUES = 32, 50_000
"""Of a JSON file: nesting, and numbers, texts, lists and objects altogether."""
LARGEST_WHOLE = 1 << 63


class NotRegularError(OSError):
    """A folder, FIFO, socket or device where a file is wanted."""


class TooLargeError(OSError):
    """A file that is larger than any of its kind."""


def read_bounded(path: Path, most: int) -> bytes:
    """A regular file's bytes. Raises OSError, NotRegularError or TooLargeError where it has more than `most`."""
    try:
        _check(os.stat(path), most)
        # Without O_NONBLOCK a FIFO that took the file's place since would be waited for.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as file:
            _check(os.fstat(file.fileno()), most)
            data = file.read(most + 1)
    except ValueError as error:  # a null character in the name
        raise FileNotFoundError(2, "there is no such file") from error
    if len(data) > most:
        raise TooLargeError(27, f"it is over {most} bytes")
    return data


def _check(status: os.stat_result, most: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError(22, "it is no regular file")
    if status.st_size > most:
        raise TooLargeError(27, f"it is over {most} bytes")


def not_a_file(path: Path) -> str:
    """Why a path is no file to read from, or nothing. A pipe or a device would be waited for."""
    try:
        if path.is_file():
            return ""
        if path.is_dir():
            return "it is a folder"
        return "it is a pipe or a device" if path.exists() else "there is no such file"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or "its name cannot be a file's"


def is_regular(path: Path) -> bool:
    """Whether a path leads to a regular file."""
    return not not_a_file(path)


def parse_json(raw: bytes) -> Any:
    """JSON in UTF-8 whose numbers are finite and whose nesting is bounded. Raises ValueError."""
    try:
        data = json.loads(raw.decode("utf-8"), parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    left = [(data, 0)]
    seen = 0
    while left:
        value, depth = left.pop()
        seen += 1
        if depth > DEPTH or seen > VALUES:
            raise ValueError("it is nested too deeply, or holds too many values")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("a number in it is not finite")
        if isinstance(value, int) and abs(value) >= LARGEST_WHOLE:
            raise ValueError("a number in it is too large")
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            left += [(part, depth + 1) for part in inner]
    return data


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")
