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
from engine.networks.heads import LOG_NOISE, PartialHead, compress, expand
from engine.networks.spectral import NetworkConfig, SpectralNetwork
from engine.noise import carrier_bands, carrier_factor, power_in_bands
from engine.partials import PartialSynthesis
from training.analysis import EnvelopeFit
from training.losses import complex_and_magnitude
from training.notes import GRID, NOISE_POWER, POWER, TaughtNote

CHUNKS, CHUNK_WEIGHTS = (8, 16, 32), (0.25, 0.5, 0.25)
PRECISIONS = ("float32", "bfloat16")
PARTS = 2
"""Of a batch, each computed by a thread of its own; always as many, so that a seed gives the same network anywhere."""
NOISE_STEPS, NOISE_RATE, FIRST_NOISE = 300, 0.01, -4.0
"""Steps in which the noise is fitted, how fast, and the logarithm of its level before."""
NOISE_EMPHASIS = 0.2  # power of the level with which it counts how well noise is fitted: 60 dB softer, a sixteenth
LEAST_NOISE = 1e-6  # power, of what noise is measured by
AUDIBLE_SHARE = 0.5
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
        longest = max(e.border for e in examples)
        self._long = [e for e in examples if e.border >= min(config.crop + config.context, longest)]
        if head.noise:
            synthesis = PartialSynthesis(codec.stft.length, codec.stft.hop, codec.sample_rate)
            self._bands = Bands(head.noise, synthesis, hz, self.device)
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
        inputs, context, target, _, rows = self._batch(crops, border)
        # Only the network, by far the most of the work, may run in half the precision.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            raw = self.network.out(self._hidden(inputs, context, border, chunk))
        output = self._written(raw.float(), rows)
        return self.distance(torch.view_as_real(output), target, crops, step)

    def _hidden(self, inputs: Tensor, context: Tensor, border: int, chunk: int) -> Tensor:
        """What the last layer hears of a batch, (batch, knots, 2 width): a new window begins at the border."""
        knots = self._live.crop
        first, states = self.network.hidden_segment(inputs[:, :border], context, chunk)
        second, _ = self.network.hidden_segment(inputs[:, border:knots], inputs[:, knots:], chunk, states)
        return torch.cat([first, second], 1)

    def _batch(self, crops: Sequence[Crop], border: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Inputs, what is expected at the border, targets (batch, knots, channels, carriers, 2), noise, rows."""
        tensors = [self._tensors(crop, border) for crop in crops]
        inputs, context, target, noise = (self._stack([one[index] for one in tensors]) for index in range(4))
        rows = torch.tensor([crop.example.row for crop in crops], device=self.device)
        wanted = target.reshape(*target.shape[:2], self.head.channels, self.head.carriers, 2) / self._scale
        return self.condition(inputs, rows), self.condition(context, rows), wanted, noise, rows

    def _written(self, raw: Tensor, rows: Tensor) -> Tensor:
        """Network output as envelopes (batch, knots, channels, carriers), compressed, in units of the targets."""
        return self.head.relative(raw) * self._unit[rows][:, None]

    def finish(self, rng: np.random.Generator, report: Callable[[str], None]) -> None:
        """Fit the noise, last of all and with all else as it is: it is what the finished network misses."""
        if not self.head.noise:
            return
        out, count = self.network.out, self.head.channels * self.head.noise
        weight = out.weight.detach()[-count:].clone().zero_().requires_grad_()
        bias = torch.full_like(out.bias.detach()[-count:], FIRST_NOISE).requires_grad_()
        optimiser, losses = torch.optim.Adam([weight, bias], NOISE_RATE), list[float]()
        for step in range(NOISE_STEPS):
            for group in optimiser.param_groups:
                group["lr"] = NOISE_RATE * max(0.02, 1 - step / NOISE_STEPS)
            chunk, border = int(rng.choice(CHUNKS, p=CHUNK_WEIGHTS)), int(rng.choice(self._borders))
            crops = [self._crop(rng, border) for _ in range(self._live.batch)]
            with torch.no_grad():
                hidden, wanted, share = self._noise_batch(crops, border, chunk)
            said = torch.unflatten(torch.nn.functional.linear(hidden, weight, bias), -1, (self.head.channels, -1))
            error = torch.nn.functional.smooth_l1_loss(said, wanted, reduction="none")
            loss = (error * share).sum() / share.sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(float(loss.detach()))
        with torch.no_grad():
            out.weight[-count:] = weight
            out.bias[-count:] = bias
        report(f"noise fitted in {NOISE_STEPS} steps: loss {np.mean(losses[:20]):.3f} to {np.mean(losses[-20:]):.3f}")

    def _noise_batch(self, crops: Sequence[Crop], border: int, chunk: int) -> tuple[Tensor, Tensor, Tensor]:
        """What the last layer hears (batch, knots, 2 width), the logarithm of the level that noise should have in bands
        (batch, knots, channels, bands), relative to `PartialHead.noise_base`, and how much that counts."""
        inputs, context, wanted, noise, rows = self._batch(crops, border)
        hidden = self._hidden(inputs, context, border, chunk)
        ours = expand(self._written(self.network.out(hidden), rows) * self._scale, POWER)
        theirs = expand(torch.view_as_complex(wanted.contiguous()) * self._scale, POWER)
        left = noise.pow(1 / NOISE_POWER)
        missed = _averaged(self._bands.power((ours - theirs).abs().pow(2), rows) + left)
        whole = _averaged(self._bands.power(theirs.abs().pow(2), rows) + left)
        share = (missed / (whole + 1e-20)).clamp(max=1.0)
        audible = missed.minimum(whole) * share.pow(2) / (share.pow(2) + AUDIBLE_SHARE**2)
        written = self._bands.power(ours.abs().pow(2), rows)
        reference, levels = self.reference[rows][:, None], self.noise_reference[rows][:, None]
        base = _averaged(self.head.noise_base(ours, reference, written, levels))
        loudest = whole.amax((1, 2, 3), keepdim=True) + 1e-20
        level = 0.5 * torch.log(audible / (base + 1e-9 * loudest) + LEAST_NOISE)
        return hidden, level.clamp(*LOG_NOISE), (whole / loudest + 1e-9).pow(NOISE_EMPHASIS)

    def _noise_reference(self) -> Tensor:
        """Level of noise (rows, channels, bands) for bands without carriers: of the long note's residual early on, and
        not less than 50 dB under its loudest band."""
        levels = torch.zeros(len(self.reference), self.head.channels, self.head.noise, device=self.device)
        for example in {e.row: e for e in reversed(self._examples)}.values():
            left = example.noise[:72].float().to(self.device).pow(1 / NOISE_POWER).mean(0)
            carriers = self.reference[example.row].abs().pow(2)[None]
            whole = self._bands.power(carriers, torch.tensor([example.row]))[0]
            levels[example.row] = (left + 1e-5 * whole.max()).sqrt()
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

    def __init__(self, bands: int, synthesis: PartialSynthesis, hz: NDArray[np.float64], device: torch.device) -> None:
        """hz: (rows, carriers)."""
        self._band = carrier_bands(hz, bands, synthesis).to(device)
        self._factor = carrier_factor(bands, synthesis).to(device)

    def power(self, squared: Tensor, rows: Tensor) -> Tensor:
        """Squared amplitudes (batch, ..., carriers) of rows (batch,) as power in bands (batch, ..., bands)."""
        band = self._band[rows].reshape(len(rows), *[1] * (squared.ndim - 2), -1)
        return power_in_bands(squared, band, self._factor)


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


def well_begun(network: SpectralNetwork) -> SpectralNetwork:
    """The network, with recurrent weights of real LSTM cells orthogonal and their forget biases 1, as complex ones
    begin: the loss falls faster."""
    hidden = network.config.hidden
    for module in (*network.body.ahead, *network.body.back):
        if isinstance(module, torch.nn.LSTM):
            weights = dict(module.named_parameters())
            with torch.no_grad():
                for gate in torch.split(weights["weight_hh_l0"], hidden):
                    torch.nn.init.orthogonal_(gate)
                weights["bias_ih_l0"].zero_()
                weights["bias_hh_l0"].zero_()
                weights["bias_ih_l0"][hidden : 2 * hidden] = 1
    return network


def finished(network: SpectralNetwork) -> SpectralNetwork:
    """A copy of a network as it is fitted so far, on the processor, ready to be played."""
    copy = SpectralNetwork(network.config)
    copy.load_state_dict({key: tensor.cpu() for key, tensor in network.state_dict().items()})
    return copy.eval().requires_grad_(requires_grad=False)
