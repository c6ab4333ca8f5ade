"""What fitting for live playing has in common: windows, crops, and a release that is not known before it happens.

The network is trained on windows as live playing computes them: chunks of some frames and a few frames of context,
forward states carried on, "stays held" in place of the future until a release is seen. A batch is made of crops that
all see their release (if any) at the same frame, so that chunks break there, as they do when it is played.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.codec import Note, ScoreCodec
from engine.networks.heads import PartialHead
from engine.networks.spectral import NetworkConfig, SpectralNetwork
from training.losses import complex_and_magnitude, deviation_loss
from training.notes import TaughtNote

CHUNKS, CHUNK_WEIGHTS = (4, 8, 16, 32), (0.2, 0.25, 0.35, 0.2)
PRECISIONS = ("float32", "bfloat16")
NOISE_WEIGHT = 2e-3  # the deviations only follow the envelopes: they must not move them
_LEAST = 1e-8


@dataclass(frozen=True)
class LiveConfig:
    """Sizes of the network and of a batch.

    noise_bands: see `PartialHead.noise`. precision: "bfloat16" multiplies matrices in half the precision, which is
    twice as fast where the processor can; weights and losses are float32 always.
    """

    front: int = 256
    hidden: int = 256
    layers: int = 2
    cell: str = "lstm"
    context: int = 8
    batch: int = 32
    crop: int = 128
    noise_bands: int = 0
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision!r} is not one of {', '.join(PRECISIONS)}")

    def network(self, features: int, outputs: int) -> NetworkConfig:
        """The network of these sizes."""
        return NetworkConfig(features, outputs, self.front, self.hidden, self.layers, self.cell, self.context)


@dataclass(frozen=True)
class Example:
    """One note, ready to be cropped: row of its key, frames of its target, and where its release is heard."""

    row: int
    note: Note
    target: Tensor
    border: int


@dataclass(frozen=True)
class Crop:
    """tensors: inputs (crop + context frames), what is expected at the border (context), targets (crop).

    start: the first frame of the crop in its note.
    """

    tensors: tuple[Tensor, Tensor, Tensor]
    row: int
    start: int


@dataclass(frozen=True)
class HeldOut:
    """A note that is not taught, and how the teacher plays it, (2, samples) mid and side."""

    row: int
    note: Note
    sound: NDArray[np.float32]


class LiveTask:
    """Random crops of taught notes, and their loss. A subclass brings the notes and what conditions the network."""

    def __init__(
        self, config: LiveConfig, codec: ScoreCodec, head: PartialHead, network: SpectralNetwork,
        examples: Sequence[Example], unit: Tensor, scale: float, borders: Sequence[int],
    ) -> None:  # fmt: skip
        """unit: what an output of 1 means for each row, in units of the targets, (rows, channels, carriers).

        scale: of the targets. borders: first frames that hear the release, of the short notes.
        """
        self._live, self.codec, self.head, self.network = config, codec, head, network
        self.device, self._unit, self._scale, self._borders = unit.device, unit, scale, tuple(borders)
        self.half = config.precision == "bfloat16"
        self._examples = list(examples)
        self._by_border = {b: [e for e in examples if e.border == b] for b in borders}
        self._later = [e for e in examples if e.border >= max(borders)]
        self._long = [e for e in examples if e.border >= config.crop + config.context]

    def condition(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """What the network hears: the two sines' frames (batch, frames, features), and whatever belongs to the row."""
        return inputs

    def heard_key(self, example: Example, rng: np.random.Generator) -> int:
        """The key that the network hears for a note: its own."""
        return round(example.note.key)

    def distance(self, output: Tensor, wanted: Tensor, crops: Sequence[Crop], step: int) -> Tensor:
        """Loss of envelopes (batch, frames, channels, carriers, 2), compressed."""
        return complex_and_magnitude(output, wanted)

    def unforeseen(self, output: Tensor, wanted: Tensor) -> Tensor:
        """Squared errors (batch, frames, channels, carriers) that are to be played as noise."""
        return (output - wanted).pow(2).sum(-1)

    def loss(self, rng: np.random.Generator, step: int = 0) -> Tensor:
        """Loss of a random batch of crops, after so many steps of fitting."""
        chunk = int(rng.choice(CHUNKS, p=CHUNK_WEIGHTS))
        border = int(rng.choice(self._borders))
        crops = [self._crop(rng, border) for _ in range(self._live.batch)]
        inputs, context, target = (self._stack([crop.tensors[i] for crop in crops]) for i in range(3))
        rows = torch.tensor([crop.row for crop in crops], device=self.device)
        inputs, context = self.condition(inputs, rows), self.condition(context, rows)
        frames = self._live.crop
        # Only the network, by far the most of the work, may run in half the precision.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            first, states = self.network.segment(inputs[:, :border], context, chunk)
            second, _ = self.network.segment(inputs[:, border:frames], inputs[:, frames:], chunk, states)
        raw, unit = torch.cat([first, second], 1).float(), self._unit[rows][:, None]
        output = torch.view_as_real(self.head.relative(raw) * unit)
        wanted = target.reshape(*target.shape[:2], self.head.channels, self.head.carriers, 2) / self._scale
        loss = self.distance(output, wanted, crops, step)
        if self.head.noise:
            error = self._in_bands(self.unforeseen(output.detach(), wanted))
            power = self._in_bands(unit.abs().pow(2)) + _LEAST
            loss = loss + NOISE_WEIGHT * deviation_loss(self.head.deviation(raw), error / power)
        return loss

    def _in_bands(self, values: Tensor) -> Tensor:
        """Sums over the carriers of each noise band, (..., carriers) -> (..., bands): the loud ones decide."""
        band = torch.from_numpy(self.head.band).to(self.device)
        sums = torch.zeros((*values.shape[:-1], self.head.noise), device=self.device)
        return sums.index_add_(values.ndim - 1, band, values)

    def heard(self, row: int, note: Note, first: int, count: int) -> Tensor:
        """Network input (1, count, features) of one note of a row's timbre."""
        return self.condition(self._frames(note, first, count)[None].to(self.device), torch.tensor([row]))

    def written(self, row: int, note: Note, frames: int, chunk: int = 16) -> Tensor:
        """Network output (frames, outputs) of one note, its release unknown until it happens."""
        border = frames if note.release is None else min(self.codec.first_frame_of(note.release), frames)
        return written(self.network, partial(self.heard, row), note, border, frames, chunk)

    def _stack(self, rows: list[Tensor]) -> Tensor:
        return torch.stack(rows).to(self.device, torch.float32)

    def _crop(self, rng: np.random.Generator, border: int) -> Crop:
        """A random crop of a random note.

        A third are attacks, of long notes or of short ones that are released at the border; the rest begin anywhere:
        so that a later release falls on the border, or without a release, at a time whose logarithm is even.
        """
        crop, kind = self._live.crop, rng.random()
        if kind < 0.2:
            example, start = self._pick(rng, self._by_border[border]), 0
        elif kind < 0.4:
            example, start = self._pick(rng, self._long), 0
        elif kind < 0.6:
            example = self._pick(rng, self._later)
            start = example.border - border
        else:
            example, start = self._steady(rng)
        end, context = start + crop, self._live.context
        note = replace(example.note, key=self.heard_key(example, rng))
        inputs = self._frames(note, start, crop + context)
        split = inputs[border : border + context]
        if start + border == example.border:
            split = self._frames(note.held(), example.border, context)
        return Crop((inputs, split, padded(example.target[start:end], crop)), example.row, start)

    def _frames(self, note: Note, first: int, count: int) -> Tensor:
        return torch.from_numpy(self.codec.frames(note, first, count))

    def _steady(self, rng: np.random.Generator) -> tuple[Example, int]:
        """A crop that is held throughout or released throughout."""
        needed = self._live.crop + self._live.context
        if rng.random() < 0.8:
            example = self._pick(rng, self._long)
            latest = min(len(example.target), example.border) - needed
            return example, int(np.exp(rng.uniform(0, np.log(max(latest, 1) + 1)))) - 1 if latest > 0 else 0
        example = self._pick(rng, self._examples)
        latest = max(example.border + 1, len(example.target) - self._live.crop)
        return example, min(int(rng.integers(example.border, latest + 1)), len(example.target) - 1)

    @staticmethod
    def _pick(rng: np.random.Generator, examples: list[Example]) -> Example:
        return examples[int(rng.integers(len(examples)))]


def example(row: int, note: TaughtNote) -> Example:
    """A taught note, ready to be cropped."""
    return Example(row, Note(note.key, note.velocity, note.release), note.target.flatten(1), note.border)


def target_scale(examples: Sequence[Example]) -> float:
    """Root mean square of the targets' early frames."""
    return float(torch.stack([e.target[:200].float().pow(2).mean() for e in examples]).mean().sqrt())


def padded(rows: Tensor, count: int) -> Tensor:
    """The first `count` rows, with rows of zeros where there are fewer."""
    return rows[:count] if len(rows) >= count else torch.nn.functional.pad(rows, (0, 0, 0, count - len(rows)))


def written(
    network: SpectralNetwork,
    heard: Callable[[Note, int, int], Tensor],
    note: Note,
    border: int,
    frames: int,
    chunk: int,
) -> Tensor:
    """Network output (frames, outputs) of one note as live playing computes it.

    heard: network input (1, count, features) of a note from a frame on. border: the first frame that hears the release.
    """
    context, parts, states = network.config.context, [], None
    if border:
        held = heard(note.held(), 0, border + context)
        part, states = network.segment(held[:, :border], held[:, border:], chunk)
        parts.append(part)
    if border < frames:
        released = heard(note, border, frames - border + context)
        parts.append(network.segment(released[:, :-context], released[:, -context:], chunk, states)[0])
    return torch.cat(parts, 1)[0]


def finished(network: SpectralNetwork) -> SpectralNetwork:
    """A copy of a network as it is fitted so far, on the processor, ready to be played."""
    copy = SpectralNetwork(network.config)
    copy.load_state_dict({key: tensor.cpu() for key, tensor in network.state_dict().items()})
    return copy.eval().requires_grad_(requires_grad=False)
