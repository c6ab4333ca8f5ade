"""A network as it is played: windows of several voices at once, in the numbers that this processor is fastest at.

What a voice sounds like must not depend on which other voices happen to be computed beside it: live playing and
rendering a file put together different batches. In float32 a row of a batch comes out the same (to -129 dB) whatever
the others are. In bfloat16 the matrix kernels, and so the roundings, change with the number of rows; so there every
batch is filled up to ROWS, and a row comes out the same to the last bit. Its error against float32 is about -48 dB of
the network's output, 20 dB under what the network itself is off by.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

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
        padding = self.rows - voices if self._half else 0
        x = self._numbers(torch.from_numpy(np.stack(frames)))
        if padding:
            x = torch.cat([x, x.new_zeros(padding, *x.shape[1:])])
        with torch.inference_mode():
            before = [
                tuple(
                    torch.cat([*parts, *[torch.zeros_like(parts[0])] * padding], 1) for parts in zip(*one, strict=True)
                )
                for one in zip(*states, strict=True)
            ]
            raw, after, fed = self._network.window(x, commit, before)
            raw = raw.float()
        return [
            Written(
                raw[row],
                [tuple(part[:, row : row + 1] for part in state) for state in after],
                [layer[row : row + 1] for layer in fed],
            )
            for row in range(voices)
        ]

    def replay(self, fed: Sequence[Tensor], frames: int, states: Sequence[State]) -> list[State]:
        """One voice's states after the first frames of a window that has been computed; see `LookaheadRecurrent`."""
        with torch.inference_mode():
            return self._network.body.replay(fed, frames, states)

    def _numbers(self, tensor: Tensor) -> Tensor:
        return tensor.bfloat16() if self._half else tensor
