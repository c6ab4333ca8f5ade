"""A rendering beside the playing: in a process of its own, at low priority, with progress and a way to stop it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from engine import threads
from engine.errors import MusicNNError
from engine.stopping import Stopped, stopping
from engine.threads import prepare_process, prepare_thread

if TYPE_CHECKING:
    from engine.midi.files import Score

NICENESS = 10
STEP = 0.005  # of the whole, between two reports
Parts = Mapping[int, tuple[str, Mapping[str, float]]]
"""Channel (0-15) -> name or folder of its own instrument, and values of its knobs."""
ENDED = "the export's process ended before its time"


class Export:
    """One rendering. `progress(share)` and `ended(problem)` are called by a thread of this process.

    problem: None where the file is finished, "" where it was cancelled, else a sentence.
    """

    def __init__(
        self, score: Score, instrument: str, path: Path, knobs: Mapping[str, float],
        progress: Callable[[float], None], ended: Callable[[str | None], None],
        parts: Parts = MappingProxyType({}),
    ) -> None:  # fmt: skip
        """`instrument`: name or folder. parts: those of channels with one of their own, and their knobs."""
        context: Any = multiprocessing.get_context(threads.START_METHOD)
        self._pipe, theirs = context.Pipe()
        work = theirs, score, instrument, path, dict(knobs), dict(parts)
        self._process = context.Process(target=_render, args=work, name="musicnn export", daemon=True)
        self._process.start()
        theirs.close()
        self._progress, self._ended = progress, ended
        self._reader = threading.Thread(target=self._read, name="export reader", daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        """Whether it is not finished yet."""
        return self._reader.is_alive()

    def cancel(self) -> None:
        """End soon; nothing is left of the file."""
        with contextlib.suppress(OSError, ValueError):
            self._pipe.send("cancel")

    def wait(self, seconds: float) -> None:
        """Until it has ended, but not longer."""
        self._reader.join(seconds)

    def _read(self) -> None:
        problem: str | None = ENDED
        try:
            while True:
                kind, value = self._pipe.recv()
                if kind == "progress":
                    self._progress(value)
                else:
                    problem = value
        except (EOFError, OSError):
            self._ended(problem)


def _render(
    pipe: Connection, score: Score, instrument: str, path: Path, knobs: Mapping[str, float], parts: Parts
) -> None:
    """In the other process."""
    prepare_process()
    if sys.platform != "win32":
        os.nice(NICENESS)
    from engine.library import open_instrument  # noqa: PLC0415  # imports torch, of no use in the window's process
    from engine.render import RenderOptions, render_file  # noqa: PLC0415

    prepare_thread()
    shown = 0.0
    problem: str | None = ""

    def progress(done: float) -> bool:
        nonlocal shown
        if done - shown >= STEP or done >= 1:
            shown = done
            with contextlib.suppress(OSError):
                pipe.send(("progress", done))
        return not pipe.poll()  # the only message there is, or the window is gone

    try:
        with stopping():
            opened = {channel: (open_instrument(name), turned) for channel, (name, turned) in parts.items()}
            options = RenderOptions(knobs, parts=opened)
            if render_file(score, open_instrument(instrument), path, options, progress):
                problem = None
    except MusicNNError as error:
        problem = str(error)
    except Stopped:
        problem = ENDED
    with contextlib.suppress(OSError):
        pipe.send(("ended", problem))
