"""A network as it is played: windows of several voices at once, in the numbers that this processor is fastest at.

What a voice sounds like must not depend on which other voices happen to be computed beside it: live playing and
rendering a file put together different batches. In float32 a row of a batch comes out the same (to -129 dB) whatever
the others are. In bfloat16 the matrix kernels, and so the roundings, change with the number of rows; so there a window
of a size is always computed with the same number of rows: short ones, which somebody waits for, alone (a third of the
time of eight), long ones in batches that are filled up to ROWS. A row then comes out the same to the last bit. The
error against float32 is about -48 dB of the network's output, 20 dB under what the network itself is off by.
"""

from __future__ import annotations

import copy
import logging
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Tuple, cast  # noqa: UP035  # `Tuple` is what TorchScript reads

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.networks.complex_cells import ComplexGRU, ComplexLSTM
from engine.networks.spectral import SpectralNetwork
from engine.scripting import Scripted

log = logging.getLogger(__name__)

ROWS = 8  # of a batch in bfloat16
LONG = 32  # frames from which on a window is computed in full batches
CHUNK = 8  # frames between two states that are kept, so that a voice can go back there
LSTM = 2  # torch's number of the kind of cell
SETTLING = 3  # first calls of a trace, in which torch still works on it
SMALLEST_HALF = 128  # cells from which on half the precision pays

Flat = list[Tensor]
"""One voice's states: of each layer h and c of an LSTM, h of a GRU, each (1, hidden)."""


@dataclass(frozen=True, slots=True)
class Written:
    """One voice's window. raw: network output (commit, outputs), float32; states: before it, after CHUNK frames of it,
    after 2 CHUNK frames ... and after it."""

    raw: Tensor
    states: list[Flat]


def fast_at_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 numbers in hardware (AVX512-BF16)."""
    able = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # the only way to ask
    return bool(able is not None and able())


class PlayingNetwork:
    """Windows of voices. Has no state of its own: any number of threads may use it at once."""

    def __init__(self, network: SpectralNetwork, *, exact: bool = False) -> None:
        """exact: float32 even where bfloat16 is faster."""
        config = network.config
        real = not config.cell.startswith("complex")
        self._half = not exact and real and config.hidden >= SMALLEST_HALF and fast_at_bfloat16()
        self._network = copy.deepcopy(network).bfloat16() if self._half else network
        self._padding = self._numbers(torch.zeros(ROWS, network.body.width))
        self._cells = {rows: self._make_cells(rows) for rows in ((1, ROWS) if self._half else (ROWS,))}
        self._runs: dict[tuple[int, int], Callable[..., tuple[Tensor, ...]]] = {}
        self._tracing = threading.Lock()

    @property
    def precision(self) -> str:
        """ "float32" or "bfloat16"."""
        return "bfloat16" if self._half else "float32"

    @property
    def context(self) -> int:
        """Frames of future that a window needs."""
        return self._network.config.context

    def rows(self, commit: int, *, together: bool = False) -> int:
        """How many voices `window` takes at once: short windows are waited for, and one voice is done soonest.

        together: of voices that change at the same moment.
        """
        return 1 if self._half and commit < LONG and not together else ROWS

    def _make_cells(self, rows: int) -> list[Layer]:
        if self._network.config.cell.startswith("complex"):
            return _complex(self._network)
        packed = _packed(self._network, rows) if self._network.config.cell == "lstm" else None
        return packed or _plain(self._network)

    def zero_states(self) -> Flat:
        """One voice's states before its first frame."""
        return [self._padding[:1]] * sum(len(state) for state in self._network.body.zero_states(1))

    def window(
        self, frames: Sequence[NDArray[np.float32]], commit: int, states: Sequence[Flat], *, together: bool = False
    ) -> list[Written]:
        """The next window of each voice: its input (commit + context, features), and the states before it."""
        voices = len(frames)
        rows = self.rows(commit, together=together) if self._half else voices
        x = np.zeros((len(frames[0]), rows, frames[0].shape[1]), np.float32)
        for row, one in enumerate(frames):
            x[:, row] = one
        padding = [self._padding[: rows - voices]] if rows > voices else []
        with torch.inference_mode():
            before = [torch.cat([*parts, *padding]) for parts in zip(*states, strict=True)]
            raw, *rest = self._run(commit, self.rows(commit, together=together))(torch.from_numpy(x), *before)
            borders = [rest[i : i + len(before)] for i in range(0, len(rest), len(before))]
            return [
                Written(raw[:, row], [states[row], *([part[row : row + 1] for part in border] for border in borders)])
                for row in range(voices)
            ]

    def _run(self, commit: int, rows: int) -> Callable[..., tuple[Tensor, ...]]:
        """Windows of a size as one call into torch, which lets the interpreter go once and for all of it.

        A window is some fifty operations. Each that is called from Python waits for the interpreter afterwards, and
        beside a thread that is busy in Python that makes 20 ms of 5. The numbers are the same to the last bit.
        """
        with self._tracing:
            if (commit, rows) not in self._runs:
                self._runs[commit, rows] = self._traced(commit, rows)
            return self._runs[commit, rows]

    def _traced(self, commit: int, rows: int) -> Callable[..., tuple[Tensor, ...]]:
        network, layers = self._network, self._cells[rows]
        count, shape = len(self.zero_states()), (commit + self.context, rows, network.config.features)
        # oneDNN's own arrangements of weights cannot be constants of a trace: they are handed in.
        weights = [tensor for layer in layers for cell in layer for tensor in cell.weights]

        def run(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
            return _window(network, _with(layers, tensors[count:]), commit, x, *tensors[:count])

        trace: Any = torch.jit.trace
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated in favour of what needs a compiler on every machine
            example = torch.zeros(shape), *[self._padding[:rows]] * count, *weights
            try:
                traced = trace(run, example, check_trace=False)
                for _ in range(SETTLING):
                    traced(*example)
            except (RuntimeError, AttributeError) as error:  # slower beside other threads, else the same
                log.warning("windows of %d frames cannot be traced: %s", commit, str(error).partition("\n")[0])
                traced = run
        return lambda x, *states: cast("tuple[Tensor, ...]", traced(x, *states, *weights))

    def _numbers(self, tensor: Tensor) -> Tensor:
        return tensor.bfloat16() if self._half else tensor


@dataclass(frozen=True, slots=True)
class Cell:
    """One direction of one layer.

    run: of weights, frames (frames, voices, numbers) and states (voices, hidden) each, the output (frames, voices,
    hidden) and the states after them. weights: to be handed to it, where it does not know them itself.
    """

    run: Callable[..., list[Tensor]]
    weights: tuple[Tensor, ...] = ()

    def __call__(self, x: Tensor, *states: Tensor) -> list[Tensor]:
        """See `run`."""
        return self.run(self.weights, x, *states)


Layer = tuple[Cell, Cell]
"""Forward and backward."""


def _with(layers: Sequence[Layer], weights: Sequence[Tensor]) -> list[Layer]:
    """The same layers with other tensors for weights, in order."""
    left = iter(weights)
    return [
        (replace(ahead, weights=tuple(islice(left, len(ahead.weights)))),
         replace(back, weights=tuple(islice(left, len(back.weights)))))
        for ahead, back in layers
    ]  # fmt: skip


def _window(
    network: SpectralNetwork, layers: Sequence[Layer], commit: int, x: Tensor, *flat: Tensor
) -> tuple[Tensor, ...]:
    """`SpectralNetwork.window` over time: x (commit + context, voices, features) and states (voices, hidden) each.

    Returns the output (commit, voices, outputs), then all states after CHUNK frames, after 2 CHUNK frames ...
    """
    size = len(flat) // len(layers)
    x = x.to(flat[0].dtype)
    x = torch.tanh(network.front(x)) if network.front is not None else x
    zeros = [torch.zeros_like(flat[0])] * size
    borders: list[list[Tensor]] = [[] for _ in range(0, commit, CHUNK)]
    for index, (ahead, back) in enumerate(layers):
        states, parts = list(flat[size * index : size * (index + 1)]), []
        for border, start in zip(borders, range(0, commit, CHUNK), strict=True):
            part, *states = ahead(x[start : min(start + CHUNK, commit)], *states)
            parts.append(part)
            border.extend(states)
        if index < len(layers) - 1 and x.shape[0] > commit:
            parts.append(ahead(x[commit:], *states)[0])
        forward = torch.cat(parts)
        x = torch.cat([forward, back(x, *zeros)[0][: forward.shape[0]]], 2)
    return network.out(x).float(), *(state for border in borders for state in border)


def _packed(network: SpectralNetwork, rows: int) -> list[Layer] | None:
    """Cells whose weights are as oneDNN wants them, which it would make anew at every call: half of a window's time.

    None where torch cannot. The numbers are those of the plain ones, to the last bit.
    """
    hidden = network.config.hidden
    try:
        pack: Any = torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight
        layer: Any = torch.ops.aten.mkldnn_rnn_layer

        def cell(module: nn.Module, *, back: bool) -> Cell:
            weights = cast("list[Tensor]", cast(nn.LSTM, module).all_weights[0])
            size = [CHUNK, rows, weights[0].shape[1]]
            packed = (*pack(weights[0], weights[1], hidden, back, True, False, size), weights[2], weights[3])

            def run(packed: Sequence[Tensor], x: Tensor, h: Tensor, c: Tensor) -> list[Tensor]:
                return list(
                    layer(x.contiguous(), *packed, h, c, back, [], LSTM, hidden, 1, True, False, False, False)[:3]
                )

            return Cell(run, packed)

        with torch.inference_mode():
            pairs = zip(network.body.ahead, network.body.back, strict=True)
            return [(cell(ahead, back=False), cell(back, back=True)) for ahead, back in pairs]
    except (RuntimeError, AttributeError):  # another processor, or a torch built without oneDNN
        return None


def _complex(network: SpectralNetwork) -> list[Layer]:
    """Complex cells, whose weights are real matrices and whose frames are a loop inside torch."""
    scan = _scanned_lstm if network.config.cell == "complex_lstm" else _scanned_gru

    def cell(module: nn.Module, *, back: bool) -> Cell:
        own = cast("ComplexLSTM | ComplexGRU", module)
        weights = [own.input_matrix(), own.bias, own.recurrent_matrix().T.contiguous()]
        if isinstance(own, ComplexGRU):
            weights.append(own.recurrent_bias)

        def run(weights: Sequence[Tensor], x: Tensor, *states: Tensor) -> list[Tensor]:
            shares = nn.functional.linear(x.flip(0) if back else x, weights[0], weights[1])
            out, *after = scan(shares, *weights[2:], *states)
            return [out.flip(0) if back else out, *after]

        return Cell(run, tuple(weight.detach() for weight in weights))

    with torch.inference_mode():
        pairs = zip(network.body.ahead, network.body.back, strict=True)
        return [(cell(ahead, back=False), cell(back, back=True)) for ahead, back in pairs]


def _lstm_frames(shares: Tensor, recurrent: Tensor, h: Tensor, c: Tensor) -> Tuple[Tensor, Tensor, Tensor]:  # noqa: UP006
    """See `engine.networks.complex_cells.lstm_scan`; recurrent is transposed."""
    cells = h.size(1) // 2
    out = torch.empty([shares.size(0), h.size(0), h.size(1)], dtype=h.dtype)
    for frame in range(shares.size(0)):
        total = torch.addmm(shares[frame], h, recurrent)
        gates = torch.sigmoid(total[:, : 3 * cells])
        z = total[:, 3 * cells :].view(-1, 2, cells)
        enters = gates[:, :cells] * torch.rsqrt(1 + z.square().sum(1))
        m = c.view(-1, 2, cells) * gates[:, cells : 2 * cells].unsqueeze(1) + z * enters.unsqueeze(1)
        leaves = gates[:, 2 * cells :] * torch.rsqrt(1 + m.square().sum(1))
        h = (m * leaves.unsqueeze(1)).view(-1, 2 * cells)
        c = m.view(-1, 2 * cells)
        out[frame] = h
    return out, h, c


def _gru_frames(shares: Tensor, recurrent: Tensor, bias: Tensor, h: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: UP006
    """See `engine.networks.complex_cells.ComplexGRU`; recurrent is transposed."""
    cells = h.size(1) // 2
    out = torch.empty([shares.size(0), h.size(0), h.size(1)], dtype=h.dtype)
    for frame in range(shares.size(0)):
        own, ours = shares[frame], torch.mm(h, recurrent)
        gates = torch.sigmoid(own[:, : 2 * cells] + ours[:, : 2 * cells])
        r, u = gates[:, :cells].unsqueeze(1), gates[:, cells:].unsqueeze(1)
        z = own[:, 2 * cells :].view(-1, 2, cells) + r * (ours[:, 2 * cells :] + bias).view(-1, 2, cells)
        bounded = z * torch.rsqrt(1 + z.square().sum(1, keepdim=True))
        h = (u * h.view(-1, 2, cells) + (1 - u) * bounded).view(-1, 2 * cells)
        out[frame] = h
    return out, h


_scanned_lstm, _scanned_gru = Scripted(_lstm_frames), Scripted(_gru_frames)


def _plain(network: SpectralNetwork) -> list[Layer]:
    """Cells of the network's own modules."""

    def cell(module: nn.Module, *, back: bool) -> Cell:
        def run(weights: Sequence[Tensor], x: Tensor, *states: Tensor) -> list[Tensor]:
            before = tuple(state[None] for state in states)
            out, after = module((x.flip(0) if back else x).transpose(0, 1), before if len(before) > 1 else before[0])
            out = out.transpose(0, 1)
            return [out.flip(0) if back else out, *(part[0] for part in (after if len(before) > 1 else (after,)))]

        return Cell(run)

    pairs = zip(network.body.ahead, network.body.back, strict=True)
    return [(cell(ahead, back=False), cell(back, back=True)) for ahead, back in pairs]
