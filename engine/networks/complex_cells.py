"""Recurrent cells with complex memory and real gates (Wolter and Yao, "Complex Gated Recurrent Neural Networks", 2018).

Of n cells and m inputs, x in C^m, h and c in C^n, and [v] = (re v, im v):

    LSTM    i, f, o = sigmoid(W [x] + U [h] + b)        W (3n, 2m), U (3n, 2n), b (3n) real: one real gate for each cell
            z  = A x + R h + d                          A (n, m), R (n, n), d (n) complex
            c' = f c + i phi(z)        h' = o phi(c')

    GRU     r, u = sigmoid(W [x] + U [h] + b)           W (2n, 2m), U (2n, 2n), b (2n) real
            z  = A x + d + r (R h + e)                  e (n) complex
            h' = u h + (1 - u) phi(z)

    phi(z) = z / sqrt(1 + |z|^2)

phi bounds the magnitude and keeps the angle. A frame costs 10 (m + n) n real multiplications (LSTM) or 8 (m + n) n
(GRU); a real LSTM with as many numbers of state takes 16 (m + n) n.

Sequences are real tensors. A vector of complex numbers is one or more *blocks*, each its real parts and then its
imaginary parts; a state is one block, and so is the output of one direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

Scan = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""See `lstm_scan`."""


def phi(z: Tensor) -> Tensor:
    """z / sqrt(1 + |z|^2) of one block (..., 2n)."""
    return z * _twice(torch.rsqrt(1 + _squared(z)))


def lstm_scan(inputs: Tensor, recurrent: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All frames of an LSTM.

    inputs: (frames, batch, 5n), x's share of i, f, o and z, biases included. recurrent: (5n, 2n), h's share. h, c:
    (batch, 2n). Returns the output (frames, batch, 2n) and the states after it.
    """
    cells, outputs = h.shape[1] // 2, []
    for x in inputs.unbind(0):
        total = x + h @ recurrent.T
        i, f, o = (_twice(gate) for gate in torch.sigmoid(total[:, : 3 * cells]).chunk(3, 1))
        c = f * c + i * phi(total[:, 3 * cells :])
        h = o * phi(c)
        outputs.append(h)
    return torch.stack(outputs), h, c


_scan: Scan = lstm_scan


def use_scan(scan: Scan | None) -> None:
    """Compute LSTMs with another implementation of `lstm_scan`, a faster one; None: with this one again."""
    global _scan  # noqa: PLW0603  # one for the process, as a choice of device is
    _scan = scan or lstm_scan


class _ComplexCells(nn.Module):
    """What both kinds share: `gates` real gates for each cell, and the complex matrices A and R.

    features and cells count complex numbers; blocks: into how many blocks the features are divided.
    """

    def __init__(self, features: int, cells: int, gates: int, blocks: int) -> None:
        super().__init__()
        self.features, self.cells, self.blocks = features, cells, blocks
        bound = 1 / math.sqrt(2 * cells)
        self.gates_input = nn.Parameter(torch.empty(gates * cells, 2 * features).uniform_(-bound, bound))
        self.gates_recurrent = nn.Parameter(torch.empty(gates * cells, 2 * cells).uniform_(-bound, bound))
        self.input = nn.Parameter(torch.randn(cells, features, 2) / math.sqrt(features + cells))
        self.recurrent = nn.Parameter(_unitary(cells))
        self.bias = nn.Parameter(torch.zeros((gates + 2) * cells))

    def input_matrix(self) -> Tensor:
        """Real ((gates + 2) cells, 2 features): what takes a frame to its share of the gates and of z."""
        return torch.cat([self.gates_input, _as_real(self.input, self.blocks)])

    def recurrent_matrix(self) -> Tensor:
        """Real ((gates + 2) cells, 2 cells): the same of the state."""
        return torch.cat([self.gates_recurrent, _as_real(self.recurrent, 1)])

    def _shares(self, x: Tensor) -> Tensor:
        """x (batch, frames, 2 features) to its shares (frames, batch, (gates + 2) cells)."""
        return nn.functional.linear(x.transpose(0, 1), self.input_matrix(), self.bias)


class ComplexLSTM(_ComplexCells):
    """One direction of one layer, with the interface of `nn.LSTM(2 features, 2 cells, batch_first=True)`."""

    def __init__(self, features: int, cells: int, blocks: int = 1) -> None:
        super().__init__(features, cells, 3, blocks)
        with torch.no_grad():
            self.bias[cells : 2 * cells] = 1  # remember at first (Gers, Schmidhuber and Cummins 2000)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x (batch, frames, 2 features), states (1, batch, 2 cells) each; zeros by default."""
        zeros = x.new_zeros(1, len(x), 2 * self.cells)
        h, c = state or (zeros, zeros)
        out, h, c = _scan(self._shares(x), self.recurrent_matrix(), h[0], c[0])
        return out.transpose(0, 1), (h[None], c[None])


class ComplexGRU(_ComplexCells):
    """One direction of one layer, with the interface of `nn.GRU(2 features, 2 cells, batch_first=True)`."""

    def __init__(self, features: int, cells: int, blocks: int = 1) -> None:
        super().__init__(features, cells, 2, blocks)
        self.recurrent_bias = nn.Parameter(torch.zeros(2 * cells))

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (batch, frames, 2 features), state (1, batch, 2 cells); zeros by default."""
        n, outputs = self.cells, []
        h = x.new_zeros(len(x), 2 * n) if state is None else state[0]
        recurrent = self.recurrent_matrix().T
        for frame in self._shares(x).unbind(0):
            ours = h @ recurrent
            r, u = (_twice(gate) for gate in torch.sigmoid(frame[:, : 2 * n] + ours[:, : 2 * n]).chunk(2, 1))
            z = frame[:, 2 * n :] + r * (ours[:, 2 * n :] + self.recurrent_bias)
            h = u * h + (1 - u) * phi(z)
            outputs.append(h)
        return torch.stack(outputs, 1), h[None]


def _twice(values: Tensor) -> Tensor:
    """Real numbers (..., n) beside themselves: a factor of both parts of a block."""
    return torch.cat([values, values], -1)


def _squared(z: Tensor) -> Tensor:
    re, im = z.chunk(2, -1)
    return re * re + im * im


def _unitary(size: int) -> Tensor:
    """A random unitary matrix (size, size, 2): a state that it turns keeps its length."""
    q, r = torch.linalg.qr(torch.randn(size, size, dtype=torch.complex64))
    diagonal = torch.diagonal(r)
    return torch.view_as_real(q * (diagonal / diagonal.abs())).contiguous()


def _as_real(matrix: Tensor, blocks: int) -> Tensor:
    """Complex (n, m, 2) as the real (2n, 2m) that takes blocks of numbers to one block."""
    re, im = matrix.unbind(-1)
    parts = list(zip(re.chunk(blocks, 1), im.chunk(blocks, 1), strict=True))
    upper = torch.cat([part for a, b in parts for part in (a, -b)], 1)
    lower = torch.cat([part for a, b in parts for part in (b, a)], 1)
    return torch.cat([upper, lower])
