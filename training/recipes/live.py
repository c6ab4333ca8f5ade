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
from engine.grid import Grid, interpolation
from engine.networks.heads import PartialHead, compress, expand
from engine.networks.spectral import NetworkConfig, SpectralNetwork
from engine.noise import band_of_bin, band_sizes
from training.analysis import EnvelopeFit
from training.losses import complex_and_magnitude, deviation_loss
from training.notes import GRID, NOISE_POWER, POWER, TaughtNote

CHUNKS, CHUNK_WEIGHTS = (8, 16, 32), (0.25, 0.5, 0.25)
PRECISIONS = ("float32", "bfloat16")
PARTS = 2
"""Of a batch, each computed by a thread of its own; always as many, so that a seed gives the same network anywhere."""
NOISE_WEIGHT = 2e-3  # the noise only follows the envelopes: it must not move them
LEAST_NOISE = 1e-6  # power, of the reference's
AUDIBLE_SHARE = 0.15
"""Of a band's power, from which on what the network misses is played as noise: less of it would only spoil a tone."""
SHARE_KNOTS = 9  # over which that share is averaged
FAR = 1200  # frames of silence after a note, for crops that reach beyond its end


@dataclass(frozen=True)
class LiveConfig:
    """Sizes of the network and of a batch.

    front, hidden: numbers and cells; a complex cell counts for two numbers. batch, crop: notes, and knots of each.
    noise_bands: see `PartialHead.noise`. precision: "bfloat16" multiplies matrices in half the precision, which is
    twice as fast where the processor can; weights and losses are float32 always.
    """

    front: int = 256
    hidden: int = 128
    layers: int = 2
    cell: str = "complex_lstm"
    context: int = 8
    batch: int = 32
    crop: int = 96
    noise_bands: int = 32
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision!r} is not one of {', '.join(PRECISIONS)}")
        if self.batch % PARTS:
            raise ValueError(f"a batch of {self.batch} cannot be divided into {PARTS} parts")

    def network(self, features: int, outputs: int) -> NetworkConfig:
        """The network of these sizes."""
        return NetworkConfig(features, outputs, self.front, self.hidden, self.layers, self.cell, self.context)


@dataclass(frozen=True)
class Example:
    """One note, ready to be cropped.

    row: of its key. target: (knots, numbers). noise: (knots, channels, bands). knots: its own and those of the silence
    after it. border: number of the first knot that hears the release.
    """

    row: int
    note: Note
    target: Tensor
    noise: Tensor
    knots: NDArray[np.int64]
    border: int


@dataclass(frozen=True)
class Crop:
    """A part of an example: knots start ... start + crop; the key that the network hears."""

    example: Example
    start: int
    key: int


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
        examples: Sequence[Example], reference: Tensor, hz: NDArray[np.float64], borders: Sequence[int],
    ) -> None:  # fmt: skip
        """reference: (rows, channels, carriers); hz: of every row's carriers. borders: frames of the short notes'."""
        self._live, self.codec, self.head, self.network = config, codec, head, network
        self.device, self._scale = reference.device, target_scale(examples)
        self.reference, self._unit = reference, compress(reference, POWER) / self._scale
        self.half = config.precision == "bfloat16"
        self._examples = list(examples)
        self._borders = tuple(border_knot(border) for border in borders)
        self._by_border = {b: [e for e in examples if e.border == b] for b in self._borders}
        self._later = [e for e in examples if e.border >= max(self._borders)]
        self._long = [e for e in examples if e.border >= config.crop + config.context]
        if head.noise:
            self._bands = Bands(head.noise, codec, hz, self.device)
            self.noise_reference = self._noise_reference()

    def condition(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """What the network hears: the two sines' frames (batch, knots, features), and whatever belongs to the row."""
        return inputs

    def heard_key(self, example: Example, rng: np.random.Generator) -> int:
        """The key that the network hears for a note: its own."""
        return round(example.note.key)

    def distance(self, output: Tensor, wanted: Tensor, crops: Sequence[Crop], step: int) -> Tensor:
        """Loss of envelopes (batch, knots, channels, carriers, 2), compressed."""
        return complex_and_magnitude(output, wanted)

    def loss(self, rng: np.random.Generator, step: int = 0) -> Tensor:
        """Loss of a random batch of crops, after so many steps of fitting."""
        return torch.stack([part() for part in self.parts(rng, step)]).mean()

    def parts(self, rng: np.random.Generator, step: int = 0) -> list[Callable[[], Tensor]]:
        """The same as functions that may run at the same time; the loss is their mean."""
        chunk = int(rng.choice(CHUNKS, p=CHUNK_WEIGHTS))
        border = int(rng.choice(self._borders))
        crops = [self._crop(rng, border) for _ in range(self._live.batch)]
        size = len(crops) // PARTS
        return [
            partial(self._loss_of, crops[part * size : (part + 1) * size], border, chunk, step) for part in range(PARTS)
        ]

    def _loss_of(self, crops: Sequence[Crop], border: int, chunk: int, step: int) -> Tensor:
        tensors = [self._tensors(crop, border) for crop in crops]
        inputs, context, target, noise = (self._stack([one[index] for one in tensors]) for index in range(4))
        rows = torch.tensor([crop.example.row for crop in crops], device=self.device)
        inputs, context = self.condition(inputs, rows), self.condition(context, rows)
        knots = self._live.crop
        # Only the network, by far the most of the work, may run in half the precision.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            first, states = self.network.segment(inputs[:, :border], context, chunk)
            second, _ = self.network.segment(inputs[:, border:knots], inputs[:, knots:], chunk, states)
        raw, unit = torch.cat([first, second], 1).float(), self._unit[rows][:, None]
        output = torch.view_as_real(self.head.relative(raw) * unit)
        wanted = target.reshape(*target.shape[:2], self.head.channels, self.head.carriers, 2) / self._scale
        loss = self.distance(output, wanted, crops, step)
        if self.head.noise:
            power = self._missed(output.detach(), wanted, noise, rows) / self.noise_reference[rows][:, None].pow(2)
            loss = loss + NOISE_WEIGHT * deviation_loss(self.head.log_noise(raw), power + LEAST_NOISE)
        return loss

    def _missed(self, output: Tensor, wanted: Tensor, noise: Tensor, rows: Tensor) -> Tensor:
        """Power (batch, knots, channels, bands) of what is to be played as noise: what the analysis leaves and what the
        network misses, in bands of which it is more than AUDIBLE_SHARE or so."""
        numbers = (torch.view_as_complex(one.contiguous()) * self._scale for one in (output, wanted))
        ours, theirs = (expand(one, POWER) for one in numbers)
        left = noise.pow(1 / NOISE_POWER)
        missed = self._bands.power((ours - theirs).abs().pow(2), rows) + left
        whole = self._bands.power(theirs.abs().pow(2), rows) + left
        share = (_averaged(missed) / (_averaged(whole) + 1e-20)).clamp(max=10.0)
        return missed * share.pow(2) / (share.pow(2) + AUDIBLE_SHARE**2)

    def _noise_reference(self) -> Tensor:
        """Level of noise (rows, channels, bands) that an output of 0 means: of the long note's residual early on, and
        not less than 14 dB under its carriers or 50 dB under its loudest band."""
        levels = torch.zeros(len(self.reference), self.head.channels, self.head.noise, device=self.device)
        for example in {e.row: e for e in reversed(self._examples)}.values():
            left = example.noise[:72].float().to(self.device).pow(1 / NOISE_POWER).mean(0)
            carriers = self.reference[example.row].abs().pow(2)[None]
            whole = self._bands.power(carriers, torch.tensor([example.row]))[0]
            levels[example.row] = (left + 0.04 * whole + 1e-5 * whole.max()).sqrt()
        return levels

    def heard(self, row: int, note: Note, knots: NDArray[np.int64]) -> Tensor:
        """Network input (1, knots, features) of one note of a row's timbre."""
        return self.condition(self._frames(note, knots)[None].to(self.device), torch.tensor([row]))

    def written(self, row: int, note: Note, frames: int, chunk: int = 16) -> tuple[Tensor, NDArray[np.int64]]:
        """Network output (knots, outputs) of one note, its release unknown until it happens, and its knots."""
        border = None if note.release is None else self.codec.first_frame_of(note.release)
        knots = GRID.until(frames - 1, border)
        return written(self.network, partial(self.heard, row), note, border, knots, chunk), knots

    def sounded(self, row: int, note: Note, fit: EnvelopeFit, samples: int, chunk: int = 16) -> Tensor:
        """One note as (2, samples) mid and side at full velocity, without noise."""
        frames = fit.frame_count(samples)
        raw, knots = self.written(row, note, frames, chunk)
        lines = torch.from_numpy(interpolation(knots, 0, frames - 1)).to(self.device)
        envelopes = self.head.envelopes(raw, self.reference[row])
        dense = (lines.to(envelopes.dtype) @ envelopes.flatten(1)).reshape(frames, *envelopes.shape[1:])
        return fit.synthesise(dense.permute(1, 0, 2), samples)

    def _stack(self, rows: list[Tensor]) -> Tensor:
        return torch.stack(rows).to(self.device, torch.float32)

    def _crop(self, rng: np.random.Generator, border: int) -> Crop:
        """A random crop of a random note.

        Four in ten are attacks, of long notes or of short ones that are released at the border; the rest begin
        anywhere: so that a later release falls on the border, or without a release, at a time whose logarithm is even.
        """
        kind = rng.random()
        if kind < 0.2:
            example, start = self._pick(rng, self._by_border[border]), 0
        elif kind < 0.4:
            example, start = self._pick(rng, self._long), 0
        elif kind < 0.6:
            example = self._pick(rng, self._later)
            start = example.border - border
        else:
            example, start = self._steady(rng)
        return Crop(example, start, self.heard_key(example, rng))

    def _tensors(self, crop: Crop, border: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Inputs (crop + context knots), what is expected at the border (context), targets and noise (crop)."""
        example, start = crop.example, crop.start
        size, context = self._live.crop, self._live.context
        note = replace(example.note, key=crop.key)
        inputs = self._frames(note, example.knots[start : start + size + context])
        split = inputs[border : border + context]
        if start + border == example.border:
            split = self._frames(note.held(), GRID.after(int(example.knots[example.border]), context))
        end = start + size
        return inputs, split, padded(example.target[start:end], size), padded(example.noise[start:end], size)

    def _frames(self, note: Note, knots: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self.codec.at(note, knots))

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


class Bands:
    """Noise bands of the rows' carriers."""

    def __init__(self, bands: int, codec: ScoreCodec, hz: NDArray[np.float64], device: torch.device) -> None:
        """hz: (rows, carriers)."""
        bins, length = codec.stft.bins, codec.stft.length
        nearest = np.clip(np.round(hz * length / codec.sample_rate).astype(np.int64), 0, bins - 1)
        self._band = torch.from_numpy(band_of_bin(bands, bins, codec.sample_rate)[nearest]).to(device)
        # A carrier of amplitude 1 has as much power as noise of this in its band.
        self._factor = torch.from_numpy(length / (4 * band_sizes(bands, bins, codec.sample_rate))).to(device)

    def power(self, squared: Tensor, rows: Tensor) -> Tensor:
        """Squared amplitudes (batch, ..., carriers) of rows (batch,) as power in bands (batch, ..., bands)."""
        total = squared.new_zeros((*squared.shape[:-1], len(self._factor)))
        band = self._band[rows].reshape(len(rows), *[1] * (squared.ndim - 2), -1).expand(squared.shape)
        return total.scatter_add_(squared.ndim - 1, band, squared) * self._factor


def _averaged(power: Tensor) -> Tensor:
    """Moving average over the knots of (batch, knots, channels, bands)."""
    flat = power.flatten(2).transpose(1, 2)
    mean = torch.nn.functional.avg_pool1d(flat, SHARE_KNOTS, 1, SHARE_KNOTS // 2, count_include_pad=False)
    return mean.transpose(1, 2).reshape(power.shape)


def border_knot(border: int) -> int:
    """Number of the knot at a frame from which on a release is heard."""
    return int(np.searchsorted(GRID.until(border + 1, border), border))


def example(row: int, note: TaughtNote) -> Example:
    """A taught note, ready to be cropped."""
    frames = note.border + FAR + 4 * len(note.target)
    knots = GRID.until(frames, note.border)
    border = int(np.searchsorted(knots, note.border))
    heard = Note(note.key, note.velocity, note.release)
    return Example(row, heard, note.target.flatten(1), note.noise, knots, border)


def target_scale(examples: Sequence[Example]) -> float:
    """Root mean square of the targets' early knots."""
    return float(torch.stack([e.target[:72].float().pow(2).mean() for e in examples]).mean().sqrt())


def padded(rows: Tensor, count: int) -> Tensor:
    """The first `count` rows, with rows of zeros where there are fewer."""
    missing = count - len(rows)
    return rows[:count] if missing <= 0 else torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])


def written(
    network: SpectralNetwork,
    heard: Callable[[Note, NDArray[np.int64]], Tensor],
    note: Note,
    border: int | None,
    knots: NDArray[np.int64],
    chunk: int,
    grid: Grid = GRID,
) -> Tensor:
    """Network output (knots, outputs) of one note as live playing computes it.

    heard: network input (1, knots, features) of a note at some knots. border: the first frame that hears the release.
    """
    context, parts, states = network.config.context, [], None
    count = len(knots) if border is None else int(np.searchsorted(knots, border))
    if count:
        following = grid.after(int(knots[count - 1]) + 1, context)
        held = heard(note.held(), np.concatenate([knots[:count], following]))
        part, states = network.segment(held[:, :count], held[:, count:], chunk)
        parts.append(part)
    if count < len(knots):
        following = grid.after(int(knots[-1]) + 1, context, border)
        released = heard(note, np.concatenate([knots[count:], following]))
        parts.append(network.segment(released[:, :-context], released[:, -context:], chunk, states)[0])
    return torch.cat(parts, 1)[0]


def finished(network: SpectralNetwork) -> SpectralNetwork:
    """A copy of a network as it is fitted so far, on the processor, ready to be played."""
    copy = SpectralNetwork(network.config)
    copy.load_state_dict({key: tensor.cpu() for key, tensor in network.state_dict().items()})
    return copy.eval().requires_grad_(requires_grad=False)
