"""Functions of many small torch operations that run as one, without the interpreter.

Called from Python, each of forty operations may have to wait for the interpreter, which other threads of an instrument
that is played want too: then they take five times as long as they need. Scripted, they let it go once for all.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch

log = logging.getLogger(__name__)


class Scripted:
    """A function written in the part of Python that TorchScript knows; compiled when it is first called (0.1 s)."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function, self._lock = function, threading.Lock()
        self._compiled: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """As the function itself, but never with gradients."""
        if self._compiled is None:
            self._compile()
        with torch.inference_mode():
            return self._compiled(*arguments)

    def _compile(self) -> None:
        script: Any = torch.jit.script
        with self._lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated in favour of what needs a compiler on every machine
            try:
                self._compiled = self._compiled or script(self._function)
            except (RuntimeError, OSError) as error:  # slower beside other threads, else the same
                log.warning("%s cannot be scripted: %s", self._function.__name__, str(error).partition("\n")[0])
                self._compiled = self._function
