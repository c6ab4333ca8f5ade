"""The instrument's network: frames of the two-sine signal in, numbers for a head out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from engine.networks.recurrent import CELLS, LookaheadRecurrent, State

MAX_SIZE = 8192


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a `SpectralNetwork`.

    features: numbers in a frame of input.
    outputs: numbers in a frame of output.
    front: width of the layer before the recurrent ones; 0 for none (nnss).
    hidden, layers, cell: of the recurrent body; hidden counts cells, complex ones where the cell is complex.
    context: frames of future that live playing gives the backward direction.
    """

    features: int
    outputs: int
    front: int = 0
    hidden: int = 256
    layers: int = 2
    cell: str = "lstm"
    context: int = 8

    def __post_init__(self) -> None:
        sizes = {"features": self.features, "outputs": self.outputs, "hidden": self.hidden}
        for name, size in sizes.items():
            if not isinstance(size, int) or not 1 <= size <= MAX_SIZE:
                raise ValueError(f"network {name} {size!r} is not a whole number in 1..{MAX_SIZE}")
        if not all(isinstance(size, int) for size in (self.front, self.layers, self.context)):
            raise ValueError("network front, layers or context is not a whole number")
        if not 0 <= self.front <= MAX_SIZE or not 1 <= self.layers <= 8 or not 0 <= self.context <= 64:
            raise ValueError("network front, layers or context is out of range")
        if self.cell not in CELLS:
            raise ValueError(f"network cell {self.cell!r} is not one of {', '.join(CELLS)}")

    def to_json(self) -> dict[str, Any]:
        """As it stands in an instrument file."""
        return asdict(self)


class SpectralNetwork(nn.Module):
    """Linear and tanh, then bidirectional recurrent layers, then a linear output."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.front = nn.Linear(config.features, config.front) if config.front else None
        self.body = LookaheadRecurrent(config.front or config.features, config.hidden, config.layers, config.cell)
        self.out = nn.Linear(2 * self.body.width, config.outputs)

    @property
    def macs_per_frame(self) -> int:
        """Real multiplications for one frame, each frame computed once."""
        config = self.config
        front, out = config.features * config.front, 2 * self.body.width * config.outputs
        return front + sum(self.body.macs_of_layers) + out

    def forward(self, x: Tensor) -> Tensor:
        """Whole sequences (batch, frames, features) -> (batch, frames, outputs), with full context."""
        return cast(Tensor, self.out(self.body(self._front(x))))

    def segment(
        self, x: Tensor, context: Tensor, chunk: int, states: Sequence[State] | None = None
    ) -> tuple[Tensor, list[State]]:
        """As live playing computes it, many windows at once; see `LookaheadRecurrent.segment`."""
        body, states = self.hidden_segment(x, context, chunk, states)
        return self.out(body), states

    def hidden_segment(
        self, x: Tensor, context: Tensor, chunk: int, states: Sequence[State] | None = None
    ) -> tuple[Tensor, list[State]]:
        """What `segment` hands to the last layer, (batch, frames, 2 width), and the states after it."""
        joined, frames = self._front(torch.cat([x, context], 1)), x.shape[1]
        before = states or self.body.zero_states(len(x))
        return self.body.segment(joined[:, :frames], joined[:, frames:], chunk, before)

    def window(self, x: Tensor, commit: int, states: Sequence[State]) -> tuple[Tensor, list[State]]:
        """One window of live playing; see `LookaheadRecurrent.window`."""
        body, states = self.body.window(self._front(x), commit, states)
        return self.out(body), states

    def _front(self, x: Tensor) -> Tensor:
        return torch.tanh(self.front(x)) if self.front is not None else x
