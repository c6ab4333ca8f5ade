"""`musicnn train keys`: a keyed instrument with a partial head, fitted to a sampler's notes for live playing.

The network is trained on windows as live playing computes them: chunks of some frames and a few frames of context,
forward states carried on, "stays held" in place of the future until a release is seen. A batch is made of crops that
all see their release (if any) at the same frame, so that chunks break there, as they do when it is played.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor

from engine.codec import Note, ScoreCodec
from engine.instrument import Instrument
from engine.networks.heads import PartialHead, compress
from engine.networks.spectral import NetworkConfig, SpectralNetwork
from engine.partials import CarrierTable
from engine.spectral import Stft
from engine.voices.models import PartialKeys
from training.analysis import EnvelopeFit
from training.losses import complex_and_magnitude
from training.metrics import log_mel_l1_db, null_snr_db, spectral_convergence
from training.notes import BORDERS, POWER, KeyData, NotesConfig, TaughtNote, mid_side
from training.teacher import BLOCK, Teacher

CHUNKS, CHUNK_WEIGHTS = (4, 8, 16, 32), (0.2, 0.25, 0.35, 0.2)
VALIDATION_NOTES = 24
GAIN_DB = 6.0  # FluidSynth plays at a level that leaves room for an orchestra


@dataclass(frozen=True)
class KeysConfig:
    """Everything that decides how a keyed instrument is fitted, but for its length."""

    notes: NotesConfig = field(default_factory=NotesConfig)
    front: int = 256
    hidden: int = 256
    layers: int = 2
    cell: str = "lstm"
    context: int = 8
    batch: int = 32
    crop: int = 128

    def to_json(self) -> dict[str, object]:
        """As it stands in the instrument's card."""
        return asdict(self)


@dataclass(frozen=True)
class _Example:
    """One note, ready to be cropped: row of its key, frames of input and target, and where its release is heard.

    held: input of the frames from the border on, as if the key stayed down.
    """

    row: int
    inputs: Tensor
    held: Tensor
    target: Tensor
    border: int


@dataclass(frozen=True)
class _Crop:
    """tensors: inputs (crop + context frames), what is expected at the border (context), targets (crop)."""

    tensors: tuple[Tensor, Tensor, Tensor]
    row: int


class KeysTask:
    """A `Task`: see `training.fit`."""

    def __init__(self, config: KeysConfig, data: Sequence[KeyData], exponent: float, device: torch.device) -> None:
        self.config, self.device, self._data = config, device, data
        notes = config.notes
        self.codec = ScoreCodec(Stft(notes.length, notes.hop), notes.sample_rate)
        self.head = PartialHead(POWER, exponent, 2, notes.carriers)
        network = NetworkConfig(
            self.codec.features, self.head.outputs, config.front, config.hidden, config.layers, config.cell,
            config.context,
        )  # fmt: skip
        self.model: SpectralNetwork = SpectralNetwork(network).to(device)
        self.carriers = CarrierTable(
            notes.first_key, np.stack([key.hz for key in data]), np.stack([key.harmonic for key in data])
        )
        self.reference = torch.from_numpy(np.stack([key.reference for key in data])).to(device)
        self._examples = [self._example(row, note) for row, key in enumerate(data) for note in key.notes]
        scale = torch.stack([e.target[:200].float().pow(2).mean() for e in self._examples]).mean().sqrt()
        self._scale = float(scale)
        # What a network output of 1 means in units of the targets, for every key: the compressed reference.
        self._unit = compress(self.reference, POWER) / self._scale
        self._by_border = {b: [e for e in self._examples if e.border == b] for b in BORDERS}
        self._later = [e for e in self._examples if e.border >= max(BORDERS)]
        self._long = [e for e in self._examples if e.border >= config.crop + config.context]
        self._held_out: list[_HeldOut] | None = None

    def _example(self, row: int, note: TaughtNote) -> _Example:
        frames, context = len(note.target), self.config.context
        played = Note(note.key, note.velocity, note.release)
        inputs = torch.from_numpy(self.codec.frames(played, 0, frames + context)).half()
        held = torch.from_numpy(self.codec.frames(played.held(), note.border, context)).half()
        return _Example(row, inputs, held, note.target.flatten(1), note.border)

    def loss(self, rng: np.random.Generator) -> Tensor:
        """Loss of a random batch of crops."""
        chunk = int(rng.choice(CHUNKS, p=CHUNK_WEIGHTS))
        border = int(rng.choice(BORDERS))
        crops = [self._crop(rng, border) for _ in range(self.config.batch)]
        inputs, context, target = (self._stack([crop.tensors[i] for crop in crops]) for i in range(3))
        rows = torch.tensor([crop.row for crop in crops], device=self.device)
        frames = self.config.crop
        first, states = self.model.segment(inputs[:, :border], context, chunk)
        second, _ = self.model.segment(inputs[:, border:frames], inputs[:, frames:], chunk, states)
        relative = self.head.relative(torch.cat([first, second], 1))
        output = torch.view_as_real(relative * self._unit[rows][:, None])
        wanted = target.reshape(*target.shape[:2], self.head.channels, self.head.carriers, 2) / self._scale
        return complex_and_magnitude(output, wanted)

    def _stack(self, rows: list[Tensor]) -> Tensor:
        return torch.stack(rows).to(self.device, torch.float32)

    def _crop(self, rng: np.random.Generator, border: int) -> _Crop:
        """A random crop of a random note.

        A third are attacks, of long notes or of short ones that are released at the border; the rest begin anywhere:
        so that a later release falls on the border, or without a release, at a time whose logarithm is even.
        """
        crop, kind = self.config.crop, rng.random()
        if kind < 0.2:
            example, start = self._pick(rng, self._by_border[border]), 0
        elif kind < 0.4:
            example, start = self._pick(rng, self._long), 0
        elif kind < 0.6:
            example = self._pick(rng, self._later)
            start = example.border - border
        else:
            example, start = self._steady(rng)
        end = start + crop
        inputs = _padded(example.inputs[start:], crop + self.config.context)
        split = inputs[border : border + self.config.context]
        if start + border == example.border:
            split = example.held
        return _Crop((inputs, split, _padded(example.target[start:end], crop)), example.row)

    def _steady(self, rng: np.random.Generator) -> tuple[_Example, int]:
        """A crop that is held throughout or released throughout."""
        needed = self.config.crop + self.config.context
        if rng.random() < 0.8:
            example = self._pick(rng, self._long)
            latest = min(len(example.target), example.border) - needed
            return example, int(np.exp(rng.uniform(0, np.log(max(latest, 1) + 1)))) - 1 if latest > 0 else 0
        example = self._pick(rng, self._examples)
        latest = max(example.border + 1, len(example.target) - self.config.crop)
        return example, min(int(rng.integers(example.border, latest + 1)), len(example.target) - 1)

    @staticmethod
    def _pick(rng: np.random.Generator, examples: list[_Example]) -> _Example:
        return examples[int(rng.integers(len(examples)))]

    def validate(self) -> dict[str, float]:
        """Mean figures over held-out notes (other velocities and durations), rendered as live playing does."""
        if self._held_out is None:
            self._held_out = self._make_held_out()
        figures = []
        for note in self._held_out:
            sound = self.play(note.row, note.note, note.sound.shape[1])
            figures.append(
                (
                    null_snr_db(sound[0], note.sound[0]), log_mel_l1_db(sound[0], note.sound[0]),
                    spectral_convergence(sound[0], note.sound[0]), null_snr_db(sound[1], note.sound[1]),
                )
            )  # fmt: skip
        null, log_mel, convergence, side = np.mean(figures, axis=0)
        return {
            "null_snr_db": float(null), "logmel_l1_db": float(log_mel), "convergence": float(convergence),
            "side_null_snr_db": float(side),
        }  # fmt: skip

    def play(self, row: int, note: Note, samples: int, chunk: int = 16) -> np.ndarray:
        """One note as (2, samples) mid and side, its release unknown until it happens."""
        data, notes, context = self._data[row], self.config.notes, self.config.context
        fit = EnvelopeFit(notes.synthesis, data.hz, data.harmonic, self.device)
        frames = fit.frame_count(samples)
        border = frames if note.release is None else min(self.codec.first_frame_of(note.release), frames)
        held = self._input(note.held(), 0, border + context)
        parts, states = [], None
        if border:
            part, states = self.model.segment(held[:, :border], held[:, border:], chunk)
            parts.append(part)
        if border < frames:
            released = self._input(note, border, frames - border + context)
            parts.append(self.model.segment(released[:, :-context], released[:, -context:], chunk, states)[0])
        raw = torch.cat(parts, 1)[0]
        envelopes = self.head.envelopes(raw, self.reference[row]).permute(1, 0, 2)
        sound = fit.synthesise(envelopes, samples) * self.head.gain(note.velocity)
        return sound.cpu().numpy()

    def instrument(self, name: str, title: str, metadata: Mapping[str, object]) -> Instrument:
        """The instrument as it is fitted so far."""
        network = SpectralNetwork(self.model.config)
        network.load_state_dict({key: tensor.cpu() for key, tensor in self.model.state_dict().items()})
        network.eval().requires_grad_(requires_grad=False)
        model = PartialKeys(self.codec, network, self.head, self.carriers, self.reference.cpu())
        keys, rate = self.config.notes.keys, self.config.notes.sample_rate
        return Instrument(name, "keys", title, rate, GAIN_DB, keys, model.knobs, model, metadata)

    def _input(self, note: Note, first: int, count: int) -> Tensor:
        return torch.from_numpy(self.codec.frames(note, first, count))[None].to(self.device)

    def _make_held_out(self) -> list[_HeldOut]:
        notes, rng = self.config.notes, np.random.default_rng([self.config.notes.seed, 1])
        held_out = []
        rows = np.unique(np.linspace(0, len(self._data) - 1, VALIDATION_NOTES).astype(int))
        with Teacher(notes.program, sample_rate=notes.sample_rate) as teacher:
            for row in rows:
                velocity = int(rng.integers(20, 128))
                release = int(np.exp(rng.uniform(np.log(0.15), np.log(3))) * notes.sample_rate) // BLOCK * BLOCK
                key = self._data[row].key
                sound = teacher.notes([(0, release, key, velocity)], release + notes.sample_rate)
                held_out.append(_HeldOut(int(row), Note(key, velocity, release), mid_side(sound)))
        return held_out


@dataclass(frozen=True)
class _HeldOut:
    row: int
    note: Note
    sound: np.ndarray


def _padded(rows: Tensor, count: int) -> Tensor:
    """The first `count` rows, with rows of zeros where there are fewer."""
    return rows[:count] if len(rows) >= count else torch.nn.functional.pad(rows, (0, 0, 0, count - len(rows)))
