"""Networks that write whole pictures of sounds, or sounds, from a code, those that listen, and one that continues.

Decoders turn codes (batch, code) into pictures (batch, frames, bands), see `engine.bands`, or samples (batch, samples);
encoders go the other way. All of them are built from a `GeneratorConfig`, which an instrument stores.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

BODIES = ("conv", "dense", "lstm", "raw")
LARGEST = 1 << 16
STAGES = 4  # doublings of a picture
RAW_STRIDES = (4, 4, 4, 2, 2)
NARROWEST = 8
SLOPE = 0.2


@dataclass(frozen=True)
class GeneratorConfig:
    """What decides the shape of a decoder and its encoder.

    body: conv (pictures by doublings), dense (one hidden layer; "raw" sounds where bands is 0), lstm (frame after
    frame, as `coefficients` of the bands' cosine transform), raw (samples by strided convolutions, which go round).
    code: numbers in. frames, bands: of a picture; for sounds frames is their number of samples, bands 0.
    width: channels, or cells.
    """

    body: str
    code: int
    frames: int
    bands: int
    width: int
    coefficients: int = 0

    def __post_init__(self) -> None:
        if self.body not in BODIES:
            raise ValueError(f"body {self.body!r} is not one of {', '.join(BODIES)}")
        for name in ("code", "frames", "width"):
            if not 1 <= getattr(self, name) <= LARGEST:
                raise ValueError(f"{name} is not in 1..{LARGEST}")
        if not 0 <= self.bands <= 1024:
            raise ValueError("bands are not in 0..1024")
        if self.body in ("conv", "lstm") and not self.bands:
            raise ValueError(f"a {self.body} body writes pictures: bands must not be 0")
        if self.body == "conv" and (self.frames % 2**STAGES or self.bands % 2**STAGES):
            raise ValueError(f"frames and bands of a conv body are multiples of {2**STAGES}")
        if self.body == "raw" and (self.bands or self.frames % math.prod(RAW_STRIDES)):
            raise ValueError(f"samples of a raw body are a multiple of {math.prod(RAW_STRIDES)}, its bands 0")
        if self.body == "lstm" and not 1 <= self.coefficients <= self.bands:
            raise ValueError(f"coefficients of {self.bands} bands are not in 1..{self.bands}")

    def to_json(self) -> dict[str, Any]:
        """As it stands in instrument.json."""
        return asdict(self)


def decoder(config: GeneratorConfig) -> nn.Module:
    """The network that writes, (batch, code) -> (batch, frames, bands) or (batch, samples)."""
    return {"conv": ConvDecoder, "dense": DenseDecoder, "lstm": LstmDecoder, "raw": RawDecoder}[config.body](config)


def encoder(config: GeneratorConfig, outputs: int) -> nn.Module:
    """The network that listens, (batch, frames, bands) or (batch, samples) -> (batch, outputs)."""
    if config.body == "dense":
        return DenseEncoder(config, outputs)
    return RawEncoder(config, outputs) if config.body == "raw" else ConvEncoder(config, outputs)


def _channels(width: int) -> list[int]:
    """Of the stages of a picture, the smallest picture first."""
    return [max(NARROWEST, width * share // 4) for share in (16, 12, 8, 4)]


class ConvDecoder(nn.Module):
    """A small picture that is doubled, convolved and sharpened; the last doubling is a rearrangement of channels."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        channels = _channels(config.width)
        self._shape = (channels[0], config.frames >> STAGES, config.bands >> STAGES)
        self.front = nn.Linear(config.code, math.prod(self._shape))
        pairs = list(zip(channels, [*channels[1:], channels[-1]], strict=True))
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs)
        self.norms = nn.ModuleList(nn.GroupNorm(4, a) for a, _ in pairs)
        self.out = nn.Conv2d(channels[-1], 4, 3, padding=1)

    def forward(self, code: Tensor) -> Tensor:
        """(batch, code) -> (batch, frames, bands)."""
        x = self.front(code).unflatten(1, self._shape)
        for index, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            x = stage(F.leaky_relu(norm(x), SLOPE))
            if index < STAGES - 1:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return F.pixel_shuffle(self.out(F.leaky_relu(x, SLOPE)), 2)[:, 0]


class ConvEncoder(nn.Module):
    """A picture that is halved until it is small, then all of it at once."""

    def __init__(self, config: GeneratorConfig, outputs: int) -> None:
        super().__init__()
        channels = _channels(config.width)[::-1]
        pairs = zip([4, *channels[:-1]], channels, strict=True)
        self.stages = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=1 if index == 0 else 2, padding=1) for index, (a, b) in enumerate(pairs)
        )
        self.out = nn.Linear(channels[-1] * (config.frames >> STAGES) * (config.bands >> STAGES), outputs)

    def forward(self, picture: Tensor) -> Tensor:
        """(batch, frames, bands) -> (batch, outputs)."""
        out: Tensor = self.out(self.features(picture)[-1].flatten(1))
        return out

    def features(self, picture: Tensor) -> list[Tensor]:
        """What every stage saw."""
        x = F.pixel_unshuffle(picture[:, None], 2)
        seen = []
        for stage in self.stages:
            x = F.leaky_relu(stage(x), SLOPE)
            seen.append(x)
        return seen


class DenseDecoder(nn.Module):
    """One hidden layer: the simplest network that writes anything."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self._shape = (config.frames, config.bands) if config.bands else (config.frames,)
        self.hidden = nn.Linear(config.code, config.width)
        self.out = nn.Linear(config.width, math.prod(self._shape))

    def forward(self, code: Tensor) -> Tensor:
        """(batch, code) -> (batch, frames, bands) or (batch, samples)."""
        out: Tensor = self.out(F.relu(self.hidden(code)))
        return out.reshape(len(code), *self._shape)


class DenseEncoder(nn.Module):
    """The mirror of `DenseDecoder`."""

    def __init__(self, config: GeneratorConfig, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.frames * max(1, config.bands), config.width)
        self.out = nn.Linear(config.width, outputs)

    def forward(self, whole: Tensor) -> Tensor:
        """(batch, frames, bands) or (batch, samples) -> (batch, outputs)."""
        out: Tensor = self.out(F.relu(self.hidden(whole.flatten(1))))
        return out


class LstmDecoder(nn.Module):
    """An LSTM that writes frame after frame the cosine transform of a picture's bands (cepstra, as MFCC).

    Coefficients are standardised one by one (`mean` and `deviation`, of the data), so that the first one, loudness,
    does not swamp the others. The LSTM hears the code and how much of the sound is over.
    """

    mean: Tensor
    deviation: Tensor
    basis: Tensor
    clock: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.start = nn.Linear(config.code, 4 * config.width)
        self.lstm = nn.LSTM(config.code + CLOCKS, config.width, 2, batch_first=True)
        self.out = nn.Linear(config.width, config.coefficients)
        self.register_buffer("mean", torch.zeros(config.coefficients))
        self.register_buffer("deviation", torch.ones(config.coefficients))
        self.register_buffer("basis", cosines(config.coefficients, config.bands), persistent=False)
        self.register_buffer("clock", _clock(config.frames), persistent=False)

    def coefficients(self, code: Tensor) -> Tensor:
        """Standardised cepstra (batch, frames, coefficients)."""
        state = torch.tanh(self.start(code)).reshape(len(code), 2, 2, -1).permute(1, 2, 0, 3).contiguous()
        heard = torch.cat(
            [code[:, None].expand(-1, len(self.clock), -1), self.clock[None].expand(len(code), -1, -1)], dim=2
        )
        out: Tensor = self.out(self.lstm(heard, (state[0], state[1]))[0])
        return out

    def forward(self, code: Tensor) -> Tensor:
        """(batch, code) -> (batch, frames, bands)."""
        return (self.coefficients(code) * self.deviation + self.mean) @ self.basis


CLOCKS = 8


def _clock(frames: int) -> Tensor:
    """How much of a sound is over, as numbers that fall at different speeds, (frames, CLOCKS)."""
    time = torch.arange(frames)[:, None] / frames
    return torch.exp(-time * 2.0 ** torch.arange(CLOCKS)[None])


def cosines(coefficients: int, bands: int) -> Tensor:
    """The first rows of the orthonormal cosine transform (DCT-II), (coefficients, bands): c = levels @ rows.T."""
    k, n = np.arange(coefficients)[:, None], np.arange(bands)[None]
    rows = np.cos(np.pi * k * (2 * n + 1) / (2 * bands)) * np.sqrt(2 / bands)
    rows[0] /= np.sqrt(2)
    return torch.from_numpy(rows.astype(np.float32))


class RawDecoder(nn.Module):
    """Samples by strided convolutions whose ends are joined, so that what they write goes round."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        channels = _raw_channels(config.width)
        self._shape = (channels[0], config.frames // math.prod(RAW_STRIDES))
        self.front = nn.Linear(config.code, math.prod(self._shape))
        self.stages = nn.ModuleList(
            nn.Conv1d(a, b * stride, 5, padding=2, padding_mode="circular")
            for a, b, stride in zip(channels, [*channels[1:], channels[-1]], RAW_STRIDES, strict=True)
        )
        self.out = nn.Conv1d(channels[-1], 1, 9, padding=4, padding_mode="circular")

    def forward(self, code: Tensor) -> Tensor:
        """(batch, code) -> (batch, samples)."""
        x = self.front(code).unflatten(1, self._shape)
        for stage, stride in zip(self.stages, RAW_STRIDES, strict=True):
            x = stage(F.leaky_relu(x, SLOPE))
            x = x.unflatten(1, (-1, stride)).transpose(2, 3).flatten(2)  # channels become time
        out: Tensor = self.out(F.leaky_relu(x, SLOPE))
        return out[:, 0]


class RawEncoder(nn.Module):
    """The mirror of `RawDecoder`."""

    def __init__(self, config: GeneratorConfig, outputs: int) -> None:
        super().__init__()
        channels = _raw_channels(config.width)[::-1]
        self.stages = nn.ModuleList(
            nn.Conv1d(a, b, 2 * stride + 1, stride, stride, padding_mode="circular")
            for a, b, stride in zip([1, *channels[:-1]], channels, RAW_STRIDES[::-1], strict=True)
        )
        self.out = nn.Linear(channels[-1] * (config.frames // math.prod(RAW_STRIDES)), outputs)

    def forward(self, sound: Tensor) -> Tensor:
        """(batch, samples) -> (batch, outputs)."""
        x = sound[:, None]
        for stage in self.stages:
            x = F.leaky_relu(stage(x), SLOPE)
        out: Tensor = self.out(x.flatten(1))
        return out


def _raw_channels(width: int) -> list[int]:
    return [max(NARROWEST, width * share // 4) for share in (8, 6, 4, 3, 2)]


@dataclass(frozen=True)
class SongConfig:
    """What decides the shape of a network that continues.

    size: numbers of a block. cells, layers: of its LSTM. mixture: Gaussians that the next block is drawn from; 0 says
    the next block itself.
    """

    size: int
    cells: int
    layers: int
    mixture: int

    def __post_init__(self) -> None:
        bounds = {"size": (1, LARGEST), "cells": (1, 4096), "layers": (1, 8), "mixture": (0, 64)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is not in {low}..{high}")

    def to_json(self) -> dict[str, Any]:
        """As it stands in instrument.json."""
        return asdict(self)


State = tuple[Tensor, Tensor]


class SongNetwork(nn.Module):
    """Dense, LSTM, dense: what comes after each block (batch, blocks, size), block by block."""

    def __init__(self, config: SongConfig) -> None:
        super().__init__()
        self.config = config
        self.front = nn.Linear(config.size, config.cells)
        self.lstm = nn.LSTM(config.cells, config.cells, config.layers, batch_first=True)
        self.out = nn.Linear(config.cells, config.mixture * (2 * config.size + 1) if config.mixture else config.size)

    def forward(self, blocks: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Outputs (batch, blocks, ...) for every next block, and the state after the last one."""
        hidden, state = self.lstm(self.front(blocks), state)
        return self.out(hidden), state

    def mixture(self, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights (..., mixture), means and log deviations (..., mixture, size) of the next block."""
        weights, rest = out[..., : self.config.mixture], out[..., self.config.mixture :]
        pairs = rest.reshape(*rest.shape[:-1], 2, self.config.mixture, self.config.size)
        means, deviations = pairs.unbind(-3)
        return weights.log_softmax(-1), means, deviations.clamp(-5.0, 2.0)
