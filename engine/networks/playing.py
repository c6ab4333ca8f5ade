"""A network as it is played: windows of several voices at once, in the numbers that this processor is fastest at.

What a voice sounds like must not depend on which other voices happen to be computed beside it: live playing and
rendering a file put together different batches. In float32 a row of a batch comes out the same (to -129 dB) whatever
the others are. In bfloat16 the matrix kernels, and so the roundings, change with the number of rows; so there every
batch is filled up to ROWS, and a row comes out the same to the last bit. Its error against float32 is about -48 dB of
the network's output, 20 dB under what the network itself is off by.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.networks.recurrent import State
from engine.networks.spectral import SpectralNetwork

ROWS = 8  # of a batch in bfloat16
SMALLEST_HALF = 128  # cells from which on half the precision pays


@dataclass(frozen=True, slots=True)
class Written:
    """One voice's window. raw: network output (commit, outputs), float32; states: after it; fed: for `replay`."""

    raw: Tensor
    states: list[State]
    fed: list[Tensor]


def fast_at_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 numbers in hardware (AVX512-BF16)."""
    able = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # the only way to ask
    return bool(able is not None and able())


class PlayingNetwork:
    """Windows and replays of voices. Has no state of its own: any number of threads may use it at once."""

    def __init__(self, network: SpectralNetwork, *, exact: bool = False) -> None:
        """exact: float32 even where bfloat16 is faster."""
        self._half = not exact and network.config.hidden >= SMALLEST_HALF and fast_at_bfloat16()
        self._network = copy.deepcopy(network).bfloat16() if self._half else network
        self.rows = ROWS if self._half else 2 * ROWS
        """The most voices that `window` takes at once."""
        self._run = self._trace()

    @property
    def precision(self) -> str:
        """ "float32" or "bfloat16"."""
        return "bfloat16" if self._half else "float32"

    @property
    def context(self) -> int:
        """Frames of future that a window needs."""
        return self._network.config.context

    def zero_states(self) -> list[State]:
        """One voice's states before its first frame."""
        return [tuple(self._numbers(part) for part in state) for state in self._network.body.zero_states(1)]

    def window(
        self, frames: Sequence[NDArray[np.float32]], commit: int, states: Sequence[Sequence[State]]
    ) -> list[Written]:
        """The next window of each voice: its input (commit + context, features), and the states before it."""
        voices = len(frames)
        x = np.zeros((self.rows if self._half else voices, *frames[0].shape), np.float32)
        for row, one in enumerate(frames):
            x[row] = one
        padding = [torch.zeros(1, len(x) - voices, self._network.config.hidden)] if len(x) > voices else []
        if self._half:
            padding = [part.bfloat16() for part in padding]
        flat = [[part for state in voice for part in state] for voice in states]
        with torch.inference_mode():
            before = [torch.cat([*parts, *padding], 1) for parts in zip(*flat, strict=True)]
            raw, *rest = self._run(torch.from_numpy(x), *before)
        after, fed = rest[: len(before)], rest[len(before) :]
        parts = len(before) // self._network.config.layers
        return [
            Written(
                raw[row],
                [tuple(p[:, row : row + 1] for p in after[i : i + parts]) for i in range(0, len(after), parts)],
                [layer[row : row + 1] for layer in fed],
            )
            for row in range(voices)
        ]

    def _trace(self) -> Callable[..., tuple[Tensor, ...]]:
        """The network's window as one call into torch, which lets the interpreter go once and for all of it.

        A window is some fifty operations. Each that is called from Python waits for the interpreter afterwards, and
        beside a thread that is busy in Python that makes 20 ms of 5. The numbers are the same to the last bit.
        """
        config, size, context = self._network.config, len(self._network.body.zero_states(1)[0]), self.context

        def run(x: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
            states = [flat[i : i + size] for i in range(0, len(flat), size)]
            raw, after, fed = self._network.window(self._numbers(x), x.shape[1] - context, states)
            return raw.float(), *(part for state in after for part in state), *fed

        example = [self._numbers(torch.zeros(1, self.rows, config.hidden)) for _ in range(size * config.layers)]
        trace: Any = torch.jit.trace
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated in favour of what needs a compiler on every machine
            try:
                traced = trace(
                    run, (torch.zeros(self.rows, 2 * context + 2, config.features), *example), check_trace=False
                )
            except (RuntimeError, AttributeError):  # a torch without it: slower beside other threads, else the same
                return run
        return cast("Callable[..., tuple[Tensor, ...]]", traced)

    def replay(self, fed: Sequence[Tensor], frames: int, states: Sequence[State]) -> list[State]:
        """One voice's states after the first frames of a window that has been computed; see `LookaheadRecurrent`."""
        with torch.inference_mode():
            return self._network.body.replay(fed, frames, states)

    def _numbers(self, tensor: Tensor) -> Tensor:
        return tensor.bfloat16() if self._half else tensor
