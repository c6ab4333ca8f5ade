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
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.networks.recurrent import State
from engine.networks.spectral import SpectralNetwork

ROWS = 8  # of a batch in bfloat16
LSTM = 2  # torch's number of the kind of cell
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
        self._padding = self._numbers(torch.zeros(self.rows, network.config.hidden))
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
        x = np.zeros((len(frames[0]), self.rows if self._half else voices, frames[0].shape[1]), np.float32)
        for row, one in enumerate(frames):
            x[:, row] = one
        padding = [self._padding[: x.shape[1] - voices]] if x.shape[1] > voices else []
        flat = [[part[0] for state in voice for part in state] for voice in states]
        with torch.inference_mode():
            before = [torch.cat([*parts, *padding]) for parts in zip(*flat, strict=True)]
            raw, *rest = self._run(torch.from_numpy(x), *before)
            after, fed = rest[: len(before)], rest[len(before) :]
            parts = len(before) // self._network.config.layers
            return [
                Written(
                    raw[:, row],
                    [tuple(p[None, row : row + 1] for p in after[i : i + parts]) for i in range(0, len(after), parts)],
                    [layer[None, :, row] for layer in fed],
                )
                for row in range(voices)
            ]

    def _trace(self) -> Callable[..., tuple[Tensor, ...]]:
        """The network's window as one call into torch, which lets the interpreter go once and for all of it.

        A window is some fifty operations. Each that is called from Python waits for the interpreter afterwards, and
        beside a thread that is busy in Python that makes 20 ms of 5. The numbers are the same to the last bit.
        """
        config, context = self._network.config, self.context
        layers = _packed(self._network, self.rows) if config.cell == "lstm" else None
        run = self._whole if layers is None else partial(_window, self._network, layers, context)
        x = torch.zeros(2 * context + 2, self.rows, config.features)
        states = [self._padding] * sum(len(state) for state in self._network.body.zero_states(1))
        trace: Any = torch.jit.trace
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated in favour of what needs a compiler on every machine
            try:
                traced = trace(run, (x, *states), check_trace=False)
            except (RuntimeError, AttributeError):  # a torch without it: slower beside other threads, else the same
                return run
        return cast("Callable[..., tuple[Tensor, ...]]", traced)

    def _whole(self, x: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
        """A window by the network's own modules; the same as `_window` to the last bit."""
        size = len(flat) // self._network.config.layers
        states = [tuple(part[None] for part in flat[i : i + size]) for i in range(0, len(flat), size)]
        batch_first = self._numbers(x).transpose(0, 1)
        raw, after, fed = self._network.window(batch_first, x.shape[0] - self.context, states)
        over_time = [layer.transpose(0, 1) for layer in (raw.float(), *fed)]
        return over_time[0], *(part[0] for state in after for part in state), *over_time[1:]

    def replay(self, fed: Sequence[Tensor], frames: int, states: Sequence[State]) -> list[State]:
        """One voice's states after the first frames of a window that has been computed; see `LookaheadRecurrent`."""
        with torch.inference_mode():
            return self._network.body.replay(fed, frames, states)

    def _numbers(self, tensor: Tensor) -> Tensor:
        return tensor.bfloat16() if self._half else tensor


Layer = tuple[list[Tensor], list[Tensor]]
"""Weights of a layer's forward and backward cells: input and hidden ones in the processor's own order, two biases."""


def _packed(network: SpectralNetwork, rows: int) -> list[Layer] | None:
    """Weights as oneDNN wants them, which it would make anew at every call; None where torch cannot.

    For windows of some frames that was half of their time.
    """
    body, hidden = network.body, network.config.hidden
    try:
        pack: Any = torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight
        with torch.inference_mode():
            return [
                (_cells(pack, ahead, rows, hidden, back=False), _cells(pack, back, rows, hidden, back=True))
                for ahead, back in zip(body.ahead, body.back, strict=True)
            ]
    except (RuntimeError, AttributeError):  # another processor, or a torch built without oneDNN
        return None


def _cells(pack: Any, module: nn.Module, rows: int, hidden: int, *, back: bool) -> list[Tensor]:
    weights = cast("list[Tensor]", cast(nn.LSTM, module).all_weights[0])
    size = [ROWS, rows, weights[0].shape[1]]
    return [*pack(weights[0], weights[1], hidden, back, True, False, size), weights[2], weights[3]]


def _window(
    network: SpectralNetwork, layers: list[Layer], context: int, x: Tensor, *flat: Tensor
) -> tuple[Tensor, ...]:
    """`SpectralNetwork.window` over time: x (commit + context, voices, features) and states (voices, hidden) each.

    Returns the output (commit, voices, outputs), the states after it, and what the layers were fed with.
    """
    config, commit = network.config, x.shape[0] - context
    x = x.to(flat[0].dtype)
    x = torch.tanh(network.front(x)) if network.front is not None else x
    zeros, after, fed = torch.zeros_like(flat[0]), [], []
    for index, (ahead, back) in enumerate(layers):
        fed.append(x[:commit])
        forward, *states = _lstm(x[:commit], ahead, flat[2 * index], flat[2 * index + 1], config.hidden)
        after += states
        if index < len(layers) - 1 and context:
            forward = torch.cat([forward, _lstm(x[commit:], ahead, states[0], states[1], config.hidden)[0]])
        backward = _lstm(x, back, zeros, zeros, config.hidden, back=True)[0]
        x = torch.cat([forward, backward[: forward.shape[0]]], 2)
    return network.out(x).float(), *after, *fed, x


def _lstm(
    x: Tensor, weights: list[Tensor], h: Tensor, c: Tensor, hidden: int, *, back: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """One direction of one layer: output (frames, voices, hidden), and its states after the last frame."""
    layer: Any = torch.ops.aten.mkldnn_rnn_layer
    out, h, c, _ = layer(x.contiguous(), *weights, h, c, back, [], LSTM, hidden, 1, True, False, False, False)
    return out, h, c
