"""What every process and every thread that makes sound does first."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading

from engine.memory import keep_memory
from engine.suspend import watch_stops

WORKER, LOOK_AHEAD, COMPANION, ORDINARY = 10, 5, 4, 0
"""How urgent a thread is: its real-time priority, always under a sound server's.

The worker takes a fifth of a core, but must not wait: a scheduler that is fair lets a thread that wakes up wait for
3 ms, which is more than a block of 128 samples. Nor must a thread that holds the interpreter, which the worker needs
too: that which computes for pads and songs (LOOK_AHEAD), and those that run Python now and then (COMPANION).
Where the system does not allow it, a higher niceness has to do.
"""
NICENESS = -11

OWN_PROCESSOR = {WORKER: 1, LOOK_AHEAD: 0}
"""Which of two processors, where there are no more, is whose. Left to itself, the system lets the worker wake up where
the other is busy, which is pushed aside with the interpreter in its hands and takes milliseconds to be moved."""

START_METHOD = "spawn"
"""How processes of ours begin: with nothing of the one that asks for them, whose threads and libraries are not to be
copied. Tests, which begin many, let a process that has imported everything be copied."""


def prepare_process() -> None:
    """In a new process, before torch is imported: one thread for it, and no end by the keyboard.

    torch.set_num_threads() is not enough: OpenMP would keep a second thread that waits in a busy loop.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl+C ends the window, and the window ends this
    watch_stops()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    keep_memory()


def prepare_thread(urgency: int = ORDINARY) -> None:
    """One thread for torch (a second gains little and stumbles over others), no denormals, and its urgency."""
    import torch  # noqa: PLC0415  # slow to import: only who plays needs it

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if sys.platform != "linux" or urgency == ORDINARY:  # only there a thread's urgency is its own
        return
    thread = threading.get_native_id()
    with contextlib.suppress(OSError):
        # Threads that this one begins are ordinary again.
        os.sched_setscheduler(thread, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(urgency))
        processors = sorted(os.sched_getaffinity(thread))
        if len(processors) == 2 and urgency in OWN_PROCESSOR:
            os.sched_setaffinity(thread, {processors[OWN_PROCESSOR[urgency]]})
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, NICENESS)
