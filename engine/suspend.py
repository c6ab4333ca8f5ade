"""Whether the computer was suspended, or this process stopped, as the system tells it.

During a suspend, one clock runs on and another does not; a late thread or a stopped process moves neither against the
other. A process that was stopped (SIGSTOP, Ctrl+Z) gets SIGCONT.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

Clock = Callable[[], float]

LEAST_SECONDS = 0.5
"""A shorter suspend is none: the clocks of some systems tick 64 times a second."""


def system_clocks() -> tuple[Clock, Clock] | None:
    """Seconds since some moment with suspends, and without; None where the system does not tell both."""
    if sys.platform == "win32":
        return _windows_clocks()
    names = ("CLOCK_MONOTONIC_RAW", "CLOCK_UPTIME_RAW") if sys.platform == "darwin" else (
        "CLOCK_BOOTTIME", "CLOCK_MONOTONIC",
    )  # fmt: skip
    found = [getattr(time, name, None) for name in names]
    if None in found:
        return None
    clocks = [_clock(number) for number in found if number is not None]
    try:
        for clock in clocks:
            clock()
    except OSError:
        return None
    return clocks[0], clocks[1]


def watch_stops() -> None:
    """In the main thread, before there are others, which inherit it: let SIGCONT wait for `was_stopped`.

    A handler would not do: any thread may get the signal, and Python's main thread then sleeps on in a system call."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCONT})


def was_stopped() -> bool:
    """Whether this process was stopped since the last call, and goes on."""
    if not hasattr(signal, "sigpending") or signal.SIGCONT not in signal.sigpending():
        return False
    signal.sigwait({signal.SIGCONT})
    return True


class SuspendWatch:
    """Asked again and again, by one thread."""

    def __init__(self, clocks: tuple[Clock, Clock] | None = None) -> None:
        """clocks: of this system where they are not given, see `system_clocks`."""
        self._clocks = clocks or system_clocks()
        self._highest = self._asleep()[1]

    def slept(self) -> float:
        """Seconds of suspend since the last call; 0 for none, and where the system does not tell."""
        lowest, highest = self._asleep()
        slept = lowest - self._highest
        self._highest = highest
        return slept if slept >= LEAST_SECONDS else 0.0

    def _asleep(self) -> tuple[float, float]:
        """Bounds of the time asleep since the system's start: this thread may be stopped between two readings."""
        if self._clocks is None:
            return 0.0, 0.0
        always, awake = self._clocks
        before, total, after = awake(), always(), awake()
        return total - after, total - before


def _clock(number: int) -> Clock:
    return lambda: time.clock_gettime(number)


def _windows_clocks() -> tuple[Clock, Clock] | None:
    """GetTickCount64 counts suspends, the unbiased interrupt time does not."""
    library: Any = getattr(ctypes, "WinDLL", lambda name: None)("kernel32")
    if library is None:
        return None
    library.GetTickCount64.restype = ctypes.c_ulonglong

    def awake() -> float:
        ticks = ctypes.c_ulonglong()
        library.QueryUnbiasedInterruptTime(ctypes.byref(ticks))
        return ticks.value * 1e-7

    return lambda: float(library.GetTickCount64()) * 1e-3, awake
