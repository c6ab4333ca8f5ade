"""Things of a measurement that are begun and ended together."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self, TypeVar

from engine.errors import DeviceError

START_SECONDS = 60.0
END_SECONDS = 30.0

Found = TypeVar("Found")


def wait(look: Callable[[], Found | None], seconds: float, complaint: str) -> Found:
    """What `look` finds, as soon as it finds something. Raises DeviceError with the complaint after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise DeviceError(complaint)
        time.sleep(0.02)


class Started:
    """Something that is begun and ended by `with`; what has begun is ended too where the rest cannot begin."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._begin(stack)
            self._ending = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    def _begin(self, stack: ExitStack) -> None:
        """Begin; `stack` gets what is to be done at the end, in the opposite order."""
        raise NotImplementedError
