"""Signals that end a program: SIGTERM and SIGHUP unwind it as Ctrl-C does, so that it can clean up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
INTERRUPTED = 128 + signal.SIGINT


class Stopped(KeyboardInterrupt):
    """The program was asked to end by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number
        """Exit status of the program, as a shell would report it."""


def exit_status(error: KeyboardInterrupt) -> int:
    """Exit status of a program that was interrupted."""
    return error.status if isinstance(error, Stopped) else INTERRUPTED


@contextmanager
def stopping() -> Iterator[None]:
    """Raise Stopped in the main thread at SIGTERM or SIGHUP, once; what follows must not disturb the cleaning up.

    Signals that are ignored (nohup) stay so. Does nothing in another thread than the main one.
    """
    stopped = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in _heard(SIGNALS)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C, SIGTERM and SIGHUP until the block has ended: it is done whole."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    heard = _heard((signal.SIGINT, *SIGNALS))
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _heard(numbers: tuple[int, ...]) -> list[int]:
    """The signals that are not ignored and whose handler Python knows and can restore."""
    return [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]
