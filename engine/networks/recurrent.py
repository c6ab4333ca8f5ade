"""Bidirectional recurrent layers that can be played live.

The backward direction needs the future of the input. A held note's future is known until an event changes it, so a
*window* of frames is computed at a time: `commit` frames that will be heard, then some frames of context, as they will
be if nothing happens. The forward states run on from window to window; the backward pass starts from zero at the end
of each window. Trained on such windows the network needs no more than a few frames of context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from engine.networks.complex_cells import ComplexGRU, ComplexLSTM

State = tuple[Tensor, ...]
"""Forward state of one layer: (h, c) of an LSTM, (h,) of a GRU; each (1, batch, width)."""

CELLS = ("lstm", "gru", "complex_lstm", "complex_gru")


def width_of(cell: str, hidden: int) -> int:
    """Numbers in the state, and in the output of one direction, of so many cells of a kind."""
    return 2 * hidden if cell.startswith("complex") else hidden


class LookaheadRecurrent(nn.Module):
    """Layers of forward and backward cells over sequences (batch, frames, features).

    Each layer's input is the one before it's forward and backward output side by side; so is the result, (batch,
    frames, 2 width). hidden counts cells; a complex one has two numbers of state, see `width_of`.
    """

    def __init__(self, features: int, hidden: int, layers: int, cell: str = "lstm") -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"cell {cell!r} is not one of {', '.join(CELLS)}")
        if min(features, hidden, layers) < 1:
            raise ValueError("features, hidden and layers are at least 1")
        self.features = features
        self.hidden, self.layers, self.cell, self.width = hidden, layers, cell, width_of(cell, hidden)
        self.ahead = nn.ModuleList(self._direction(features, layer) for layer in range(layers))
        self.back = nn.ModuleList(self._direction(features, layer) for layer in range(layers))

    def _direction(self, features: int, layer: int) -> nn.Module:
        """One direction of a layer; `features` are the first layer's."""
        if self.cell.startswith("complex"):
            if features % 2:
                raise ValueError(f"{features} features are no whole number of complex ones")
            kind: type[ComplexLSTM | ComplexGRU] = ComplexLSTM if self.cell == "complex_lstm" else ComplexGRU
            return kind(2 * self.hidden if layer else features // 2, self.hidden, 2 if layer else 1)
        size = 2 * self.hidden if layer else features
        if self.cell == "gru":
            return nn.GRU(size, self.hidden, batch_first=True)
        return nn.LSTM(size, self.hidden, batch_first=True)

    @property
    def macs_of_layers(self) -> list[int]:
        """Real multiplications of every layer, both directions, for one frame."""
        gates = {"lstm": 4, "gru": 3, "complex_lstm": 2.5, "complex_gru": 2}[self.cell]
        sizes = [self.features] + [2 * self.width] * (self.layers - 1)
        return [round(2 * gates * self.width * (size + self.width)) for size in sizes]

    def zero_states(self, batch: int) -> list[State]:
        """The states before the first frame."""
        zeros = torch.zeros(1, batch, self.width, device=next(self.parameters()).device)
        return [(zeros, zeros) if self.cell.endswith("lstm") else (zeros,) for _ in range(self.layers)]

    def forward(self, x: Tensor) -> Tensor:
        """The whole sequence at once, each frame knowing all of the past and the future."""
        return self.window(x, x.shape[1], self.zero_states(len(x)))[0]

    def window(self, x: Tensor, commit: int, states: Sequence[State]) -> tuple[Tensor, list[State]]:
        """One window: x (batch, commit + context, features).

        Returns the first `commit` frames of output and the states after them. Playing does the same in another order
        of memory, see `engine.networks.playing`.
        """
        after = []
        for layer, state in enumerate(states):
            forward, new = self._ahead(layer, x[:, :commit], state)
            after.append(new)
            last = layer == self.layers - 1
            if not last and x.shape[1] > commit:
                forward = torch.cat([forward, self._ahead(layer, x[:, commit:], new)[0]], 1)
            backward = self._back(layer, x)
            x = torch.cat([forward, backward[:, : forward.shape[1]]], 2)
        return x, after

    def segment(self, x: Tensor, context: Tensor, chunk: int, states: Sequence[State]) -> tuple[Tensor, list[State]]:
        """A stretch of frames in windows of `chunk` frames and the context's length, as live playing does it.

        x (batch, frames, features), followed by `context` as it would be heard if nothing happened. The same as
        calling `window` again and again; one and two layers are done for all windows at once, which training needs.
        """
        if self.layers > 2:
            return self._one_by_one(x, context, chunk, states)
        frames, ahead_of = x.shape[1], context.shape[1]
        whole, rest = divmod(frames, chunk)
        joined = torch.cat([x, context], 1)

        def cut(y: Tensor) -> list[Tensor]:
            """Windows of a sequence (batch, frames + context, ...): whole ones as one batch, then the short one."""
            parts = []
            if whole:
                windows = y[:, : whole * chunk + ahead_of].unfold(1, chunk + ahead_of, chunk)
                parts.append(windows.permute(0, 1, 3, 2).flatten(0, 1))
            if rest:
                parts.append(y[:, whole * chunk :])
            return parts

        def committed(parts: list[Tensor]) -> Tensor:
            """The windows' first frames, put together again: (batch, frames, ...)."""
            pieces = []
            if whole:
                pieces.append(parts[0][:, :chunk].reshape(len(x), whole * chunk, -1))
            if rest:
                pieces.append(parts[-1][:, :rest])
            return torch.cat(pieces, 1)

        forward, state = self._ahead(0, x, states[0])
        backward = [self._back(0, part) for part in cut(joined)]
        after, result = [state], torch.cat([forward, committed(backward)], 2)
        if self.layers == 2:
            forward = torch.cat([forward, self._ahead(0, context, state)[0]], 1)
            windows = [torch.cat(pair, 2) for pair in zip(cut(forward), backward, strict=True)]
            forward, state = self._ahead(1, result, states[1])
            after.append(state)
            result = torch.cat([forward, committed([self._back(1, part) for part in windows])], 2)
        return result, after

    def _one_by_one(
        self, x: Tensor, context: Tensor, chunk: int, states: Sequence[State]
    ) -> tuple[Tensor, list[State]]:
        joined, out = torch.cat([x, context], 1), []
        for start in range(0, x.shape[1], chunk):
            commit = min(chunk, x.shape[1] - start)
            piece, states = self.window(joined[:, start : start + commit + context.shape[1]], commit, states)
            out.append(piece)
        return torch.cat(out, 1), list(states)

    def _ahead(self, layer: int, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.cell.endswith("lstm"):
            out, new = self.ahead[layer](x, state)
            return out, cast(State, new)
        out, hidden = self.ahead[layer](x, state[0])
        return out, (hidden,)

    def _back(self, layer: int, x: Tensor) -> Tensor:
        return cast(Tensor, self.back[layer](x.flip(1))[0]).flip(1)
