"""A network as it is played: windows of several voices at once, in native code (`engine/native/network.cpp`).

What a voice sounds like must not depend on which other voices happen to be computed beside it: live playing and
rendering a file put together different batches. A row of a batch comes out the same to the last bit whatever the others
are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine import _native
from engine.networks.complex_cells import ComplexGRU, ComplexLSTM
from engine.networks.spectral import SpectralNetwork

ROWS = 6  # voices of a batch: what the kernels compute at once
LONG = 32  # frames from which on a window takes so long that it is computed for many voices at once

Array = NDArray[np.float32]
State = Array
"""What the forward cells know before a frame of one voice, (states,): of each layer h, and of an LSTM c."""


@dataclass(frozen=True, slots=True)
class Written:
    """One voice's window. raw: network output (commit, outputs); states: before each of its frames, and after the
    last."""

    raw: Array
    states: list[State]


class PlayingNetwork:
    """Windows of voices. Has no state of its own: any number of threads may use it at once."""

    def __init__(self, network: SpectralNetwork, kernels: str = "") -> None:
        """kernels: one of `_native.kernel_names()`, by default the first."""
        config = network.config
        with torch.inference_mode():
            front = None if network.front is None else _affine(network.front.weight, network.front.bias)
            pairs = zip(network.body.ahead, network.body.back, strict=True)
            layers = [(_direction(ahead), _direction(back)) for ahead, back in pairs]
            out = _affine(network.out.weight, network.out.bias)
        self._native = _native.Network(config.cell, config.hidden, front, layers, out, kernels)
        self.context = config.context
        """Frames of future that a window needs."""

    def zero_states(self) -> State:
        """One voice's states before its first frame."""
        return np.zeros(self._native.states, np.float32)

    def window(self, frames: Sequence[Array], commit: int, states: Sequence[State]) -> list[Written]:
        """The next window of each voice: its input (commit + context, features), and the states before it."""
        raw, after = self._native.window(np.stack(frames), commit, np.stack(states))
        return [Written(raw[row], [states[row], *after[row]]) for row in range(len(frames))]


def _affine(weight: Tensor, bias: Tensor) -> _native.Affine:
    return weight.numpy(force=True), bias.numpy(force=True)


def _direction(cell: nn.Module) -> _native.Direction:
    """The input's and the state's matrices of one direction, and their biases."""
    if isinstance(cell, ComplexLSTM | ComplexGRU):
        recurrent = cell.recurrent_matrix()
        bias = torch.zeros(len(recurrent))
        if isinstance(cell, ComplexGRU):
            bias[-len(cell.recurrent_bias) :] = cell.recurrent_bias
        return _affine(cell.input_matrix(), cell.bias), _affine(recurrent, bias)
    weights = cast("list[Tensor]", cast(nn.LSTM, cell).all_weights[0])
    return _affine(weights[0], weights[2]), _affine(weights[1], weights[3])
