"""Silence for C libraries that write their complaints straight to the terminal: what matters is raised and said."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """While this lasts, nothing that is written to file descriptor 2 is seen."""
    with _lock:
        try:
            kept = os.dup(2)
        except OSError:  # there is no terminal, and nothing to silence
            yield
            return
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 2)
        os.close(sink)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
