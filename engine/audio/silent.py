"""A stand-in for a sound device: renders in step with the clock and throws the sound away.

With no device the program can still be played, seen and recorded; tests drive the engine with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from engine.spectral import Samples
from engine.threads import WORKER, prepare_thread

LATE_SECONDS = 0.25  # further behind than this, the clock is set anew instead of being caught up with


class SilentOutput:
    """Calls `render` for one block after another, each at its time."""

    def __init__(self, render: Callable[[int], Samples], sample_rate: int, block: int = 512) -> None:
        self._render, self._rate, self._block = render, sample_rate, block
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None

    def open(self) -> None:
        """Start the worker."""
        self._stop.clear()
        self._worker = threading.Thread(target=self._run, name="silent render worker", daemon=True)
        self._worker.start()

    def close(self) -> None:
        """Stop the worker."""
        self._stop.set()
        if self._worker is not None:
            self._worker.join()
            self._worker = None

    def _run(self) -> None:
        prepare_thread(WORKER)
        due = time.perf_counter()
        while not self._stop.wait(max(0.0, due - time.perf_counter())):
            self._render(self._block)
            due += self._block / self._rate
            if time.perf_counter() - due > LATE_SECONDS:
                due = time.perf_counter()
