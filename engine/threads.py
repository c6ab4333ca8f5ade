"""What every process and every thread that makes sound does first."""

from __future__ import annotations

import os
import signal
import sys
import threading

WORKER, FORESIGHT, ORDINARY = 10, -11, 0
"""How urgent a thread is: real-time priority of the render worker (under a sound server's), niceness of the others.

The worker takes a fifth of a core, but must not wait: a scheduler that is fair lets a thread that wakes up wait for
3 ms, which is more than a block of 128 samples. Where the system does not allow it, it is as it is without.
"""


def prepare_process() -> None:
    """In a new process, before torch is imported: one thread for it, and no end by the keyboard.

    torch.set_num_threads() is not enough: OpenMP would keep a second thread that waits in a busy loop.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl+C ends the window, and the window ends this
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def prepare_thread(urgency: int = ORDINARY) -> None:
    """One thread for torch (a second gains little and stumbles over others), no denormals, and its urgency."""
    import torch  # noqa: PLC0415  # slow to import: only who plays needs it

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if sys.platform != "linux" or urgency == ORDINARY:  # only there a thread's urgency is its own
        return
    thread = threading.get_native_id()
    try:
        if urgency > 0:
            os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(urgency))
        else:
            os.setpriority(os.PRIO_PROCESS, thread, urgency)
    except OSError:
        return
