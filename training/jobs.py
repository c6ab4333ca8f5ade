"""Independent pieces of work, each in a process of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from typing import Any

from engine.errors import MusicNNError


def run_jobs(
    function: Callable[..., None], calls: Sequence[tuple[Any, ...]], workers: int, report: Callable[[int], None]
) -> None:
    """Call `function` with each row of arguments, `workers` at a time; report how many are done after each.

    Raises what a call raises, and MusicNNError where a process is killed. Ctrl-C and SIGTERM end all of it at once.
    """
    # Not forked from here: a copy of a process that has threads (torch's, a window's) may hang. A server that has
    # done nothing but import the function's module is copied instead.
    context = get_context("forkserver")
    context.set_forkserver_preload([function.__module__])
    before = active_children()
    pool = ProcessPoolExecutor(min(workers, len(calls)), context, initializer=_end_at_interrupt)
    try:
        for done, job in enumerate([pool.submit(function, *call) for call in calls], 1):
            job.result()
            report(done)
    except BrokenProcessPool as error:
        raise MusicNNError("a process that was making data has been killed: is there enough memory?") from error
    except KeyboardInterrupt:
        for process in active_children():  # a terminal interrupts them too, who asks this process alone does not
            if process not in before:
                process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _end_at_interrupt() -> None:
    """Otherwise an interrupted job is reported as failed, and the next one begins."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
