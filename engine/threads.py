"""What every thread that makes sound does first."""

from __future__ import annotations

import os
import sys
import threading

WORKER, FORESIGHT = -15, -11
"""Niceness, where the system allows it: before the window's threads, and the sound before its future."""


def prepare_thread(niceness: int = FORESIGHT) -> None:
    """One thread for torch (a second gains little and stumbles over others), no denormals, a little ahead of others."""
    import torch  # noqa: PLC0415  # slow to import: only who plays needs it

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if sys.platform == "linux":  # where a thread has a niceness of its own
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
        except OSError:
            return
