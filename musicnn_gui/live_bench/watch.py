"""How long the machine keeps its most urgent thread waiting: what no program on it can be quicker than.

    python -m musicnn_gui.live_bench.watch PRIORITY LEAST_MS

A line for every time that a thread wakes up too late by more than LEAST_MS: its moment (time.perf_counter) and by how
many milliseconds. Ends when nobody listens any more.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time

SLEEP_SECONDS = 0.001


def main(priority: int, least_ms: float) -> None:
    """Sleep and look at the clock, again and again."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    gc.disable()
    print("watching", flush=True)
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        while True:
            before = time.perf_counter()
            time.sleep(SLEEP_SECONDS)
            now = time.perf_counter()
            late = 1e3 * (now - before - SLEEP_SECONDS)
            if late > least_ms:
                print(f"{now:.4f} {late:.2f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
