"""`musicnn train nnss`: Neural Spectral Synthesis, the heart of the project's seeds.

Two sines in, complex bins out, mean squared error on power-normalised spectra. The preset "seed" has the original's
settings: oversampling by 8 with linear interpolation, frames of 16384, a hop of one sample, power 1/8, two
bidirectional LSTM layers of 1000 with full context, Adam at 2e-4, batches of 64. The preset "live" is small enough to
be fitted here and played: hop 256, no oversampling, and windows with a bounded look-ahead, as in `keys`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.codec import NnssCodec, Note
from engine.grid import Grid
from engine.instrument import Instrument
from engine.networks.heads import BinHead
from engine.networks.spectral import NetworkConfig, SpectralNetwork
from engine.spectral import Stft
from engine.voices.models import BinKeys
from training.metrics import log_mel_l1_db, null_snr_db, spectral_convergence
from training.notes import mid_side
from training.recipes.live import finished, written
from training.teacher import BLOCK, Teacher

DURATIONS = (0.125, 0.25, 0.5, 1.0, 1.5, 2.0)
"""Seconds; as in the original's score, every pitch is played for each of them."""
HELD_OUT_DURATIONS = (0.18, 0.7, 1.3)
HELD_OUT_FRAMES = 4096
"""Longer notes are cut: at the original's hop of one sample a second takes hours."""
FRAMES_AT_ONCE = 512
CHUNKS = (4, 8, 16, 32)
GAIN_DB = 6.0


@dataclass(frozen=True)
class NnssConfig:
    """Everything that decides how an nnss instrument is fitted, but for its length.

    length, hop: of a frame, in samples at 44.1 kHz; times `oversampling` they give the transform's.
    context: frames of look-ahead; 0 for the original's full context, which cannot be played live.
    """

    program: int = 0
    first_key: int = 51
    last_key: int = 77
    velocity: int = 95
    length: int = 2048
    hop: int = 256
    window: str = "hann"
    oversampling: int = 1
    interpolation: str = "exact"
    bins: int = 1024
    power: float = 1 / 8
    hidden: int = 256
    layers: int = 2
    cell: str = "lstm"
    context: int = 8
    batch: int = 32
    crop: int = 96
    learning_rate: float = 1e-3
    release_seconds: float = 0.5

    @property
    def codec(self) -> NnssCodec:
        """The codec with these settings."""
        stft = Stft(self.length * self.oversampling, self.hop * self.oversampling, self.window)
        return NnssCodec(stft, self.oversampling, self.bins, self.power, self.interpolation)

    def to_json(self) -> dict[str, object]:
        """As it stands in the instrument's card."""
        return asdict(self)


PRESETS: Mapping[str, NnssConfig] = {
    "live": NnssConfig(),
    "seed": NnssConfig(
        hop=1, oversampling=8, interpolation="linear", hidden=1000, context=0, batch=64, crop=128, learning_rate=2e-4
    ),
}


@dataclass(frozen=True)
class _Recording:
    """One note of the teacher, mono, its loudest note at about 1, as the original's 16-bit file was."""

    note: Note
    sound: NDArray[np.float32]


class NnssTask:
    """A `Task`: see `training.fit`."""

    def __init__(self, config: NnssConfig, device: torch.device) -> None:
        self.config, self.device, self.codec = config, device, config.codec
        self.head = BinHead(config.bins, config.power)
        network = NetworkConfig(
            self.codec.features, self.head.outputs, 0, config.hidden, config.layers, config.cell, config.context
        )
        self.model: SpectralNetwork = SpectralNetwork(network).to(device)
        with Teacher(config.program, sample_rate=self.codec.sample_rate) as teacher:
            self._train = [self._record(teacher, key, d) for key in self._keys for d in DURATIONS]
            self._held_out = [self._record(teacher, key, d) for key in self._keys[::9] for d in HELD_OUT_DURATIONS]
        self._spectra: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    @property
    def _keys(self) -> range:
        return range(self.config.first_key, self.config.last_key + 1)

    def _record(self, teacher: Teacher, key: int, seconds: float) -> _Recording:
        rate = self.codec.sample_rate
        release = round(seconds * rate / BLOCK) * BLOCK
        tail = round(self.config.release_seconds * rate / BLOCK) * BLOCK
        sound = teacher.notes([(0, release, key, self.config.velocity)], release + tail)
        return _Recording(Note(key, self.config.velocity, release), mid_side(sound)[0] * np.float32(4))

    def loss(self, rng: np.random.Generator, step: int = 0) -> Tensor:
        """Mean squared error of a batch of crops, over the target's mean power."""
        crops = [self._crop(rng, int(rng.integers(len(self._train)))) for _ in range(self.config.batch)]
        inputs, context, target = (torch.stack(parts).to(self.device) for parts in zip(*crops, strict=True))
        if self.config.context:
            chunk = int(rng.choice(CHUNKS))
            output, _ = self.model.segment(inputs, context, chunk)
        else:
            output = self.model(inputs)
        return (output - target).pow(2).mean() / target.pow(2).mean()

    def _crop(self, rng: np.random.Generator, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs (crop, features), look-ahead (context, features), targets (crop, features) of one recording.

        Half of the crops begin with the note. Spectra of a hop of many samples are kept; those of a hop of one would
        not fit into memory and are computed as they are drawn.
        """
        crop, context = self.config.crop, self.config.context
        recording = self._train[index]
        frames = self.codec.stft.frame_count(len(recording.sound) * self.config.oversampling)
        latest = max(0, frames - crop)
        first = 0 if rng.random() < 0.5 else int(rng.integers(latest + 1))
        border = self.codec.first_frame_of(recording.note.release or 0)
        if first < border < first + crop + context:  # a release is heard at once: crops stay on one side of it
            first = border if border + crop <= frames else max(0, border - crop - context)
        if self.config.hop >= 32:
            inputs, held, target = self._kept(index)
            ahead = held if first + crop <= border else inputs
            rows = [inputs[first : first + crop], ahead[first + crop :][:context], target[first : first + crop]]
        else:
            rows = [
                torch.from_numpy(self.codec.frames(recording.note, first, crop)),
                torch.from_numpy(self.codec.frames(recording.note.held(), first + crop, context)),
                self._target(recording, first, crop),
            ]
        sizes = (crop, context, crop)
        padded = [torch.nn.functional.pad(r, (0, 0, 0, n - len(r))) for r, n in zip(rows, sizes, strict=True)]
        return padded[0], padded[1], padded[2]

    def _kept(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        if index not in self._spectra:
            recording = self._train[index]
            frames = self.codec.stft.frame_count(len(recording.sound) * self.config.oversampling)
            count = frames + self.config.context
            self._spectra[index] = (
                torch.from_numpy(self.codec.frames(recording.note, 0, count)),
                torch.from_numpy(self.codec.frames(recording.note.held(), 0, count)),
                self._target(recording, 0, frames),
            )
        return self._spectra[index]

    def _target(self, recording: _Recording, first: int, count: int) -> Tensor:
        """Power-normalised spectra (count, features) of the teacher's sound."""
        codec, start = self.codec, self.codec.frame_start(first)
        samples = np.zeros((count - 1) * codec.hop + codec.length + 1)
        end = min(len(recording.sound), start + len(samples))
        samples[max(0, -start) : end - start] = recording.sound[max(0, start) : end]
        signal = codec.oversample(samples)[: (count - 1) * codec.stft.hop + codec.stft.length]
        return torch.from_numpy(codec.split(codec.analyse(signal)))

    def validate(self) -> dict[str, float]:
        """Mean figures over held-out durations."""
        rows = []
        for recording in self._held_out:
            wanted = recording.sound[: HELD_OUT_FRAMES * self.codec.hop]
            sound = self.play(recording.note, len(wanted))
            scale = np.float32(0.1 / (float(np.sqrt(np.mean(wanted**2))) + 1e-9))
            a, b = sound * scale, wanted * scale
            rows.append((null_snr_db(a, b), log_mel_l1_db(a, b), spectral_convergence(a, b)))
        null, log_mel, convergence = np.mean(rows, axis=0)
        return {"null_snr_db": float(null), "logmel_l1_db": float(log_mel), "convergence": float(convergence)}

    def play(self, note: Note, samples: int) -> NDArray[np.float32]:
        """One note (samples,), with the context that the network was fitted with."""
        codec = self.codec
        frames = codec.stft.frame_count(samples * self.config.oversampling)
        if self.config.context:
            border = min(codec.first_frame_of(note.release or samples), frames)
            raw = written(self.model, self._input, note, border, np.arange(frames), 16, Grid())
        else:
            raw = self.model(self._input(note, np.arange(frames)))[0]
        sound = np.zeros((frames - 1) * codec.hop + codec.length, np.float32)
        for start in range(0, frames, FRAMES_AT_ONCE):
            spectra = self.head.spectrum(raw[start : start + FRAMES_AT_ONCE]).cpu().numpy()
            for index, stretch in enumerate(codec.stretches(spectra), start):
                sound[index * codec.hop : index * codec.hop + codec.length] += stretch
        return sound[codec.length - codec.hop :][:samples]

    def _input(self, note: Note, knots: NDArray[np.int64]) -> Tensor:
        first, count = int(knots[0]), len(knots)
        pieces = [
            (start, min(FRAMES_AT_ONCE, first + count - start)) for start in range(first, first + count, FRAMES_AT_ONCE)
        ]
        frames = [self.codec.frames(note, start, size) for start, size in pieces]
        return torch.from_numpy(np.concatenate(frames))[None].to(self.device)

    def instrument(self, name: str, title: str, metadata: Mapping[str, object]) -> Instrument:
        """The instrument as it is fitted so far."""
        model = BinKeys(self.codec, finished(self.model), self.head)
        gain_db = GAIN_DB - 20 * math.log10(4)  # the recordings were amplified for fitting
        return Instrument(
            name, "keys", title, self.codec.sample_rate, gain_db, self._keys, model.knobs, model, metadata
        )
