"""Crashes of libraries, which Python never sees, written to a file."""

from __future__ import annotations

import faulthandler
from pathlib import Path
from typing import IO


def catch_faults(path: Path) -> IO[str] | None:
    """Write the threads' stacks to the end of a file when this process crashes; keep what is returned open.

    None where the file cannot be written.
    """
    try:
        file = path.open("a", encoding="utf-8")
    except OSError:
        return None
    faulthandler.enable(file)
    return file
