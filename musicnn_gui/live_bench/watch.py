"""How long the machine keeps its most urgent threads waiting: what no program on it can be quicker than.

    python -m musicnn_gui.live_bench.watch PRIORITY LEAST_MS

One thread on each processor: a host may take away one of them alone. A line for every time that one wakes up too late
by more than LEAST_MS: its moment (time.perf_counter) and by how many milliseconds. Ends when nobody listens any more.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time

SLEEP_SECONDS = 0.002


def main(priority: int, least_ms: float) -> None:
    """Watch every processor that this process may use."""
    gc.disable()
    processors = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else [None]
    lock = threading.Lock()
    watches = [threading.Thread(target=_watch, args=(one, priority, least_ms, lock)) for one in processors]
    print("watching", flush=True)
    for watch in watches:
        watch.start()
    with contextlib.suppress(KeyboardInterrupt):
        for watch in watches:
            watch.join()


def _watch(processor: int | None, priority: int, least_ms: float, lock: threading.Lock) -> None:
    """Sleep and look at the clock, again and again."""
    with contextlib.suppress(OSError, AttributeError):
        if processor is not None:
            os.sched_setaffinity(0, {processor})
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    with contextlib.suppress(BrokenPipeError):
        while True:
            before = time.perf_counter()
            time.sleep(SLEEP_SECONDS)
            now = time.perf_counter()
            late = 1e3 * (now - before - SLEEP_SECONDS)
            if late > least_ms:
                with lock:
                    print(f"{now:.4f} {late:.2f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
