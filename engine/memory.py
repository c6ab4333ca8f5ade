"""The memory of this process: how much it has, and that it keeps what it will need again."""

from __future__ import annotations

import contextlib
import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of glibc's mallopt
BLOCK = 1 << 20  # of what is reserved: more than is handed back by itself would be


def rss_mb() -> float:
    """Resident memory of this process in MB; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


def keep_memory() -> None:
    """Before there are threads: let this process keep what it has once had, and all of them share it (glibc only).

    Sound comes and goes in arrays of 100 KB. They would be given back to the system and asked for anew, each page for
    some microseconds (12 in a virtual machine): in a rush of notes that was half of the time.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        for parameter, value in ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, 1 << 25), (M_TRIM_THRESHOLD, 1 << 29)):
            library.mallopt(parameter, value)


def reserve_memory(megabytes: int) -> None:
    """Have so much memory at hand that need not be asked for while playing, see `keep_memory`."""
    blocks = [ctypes.create_string_buffer(BLOCK) for _ in range(megabytes)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)  # a page is there from when it is first written to
