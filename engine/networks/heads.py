"""Heads: what a network's numbers mean. The partial head writes envelopes, the bin head writes spectrum bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, List  # noqa: UP035  # `List` is what TorchScript reads

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.scripting import Scripted

FULL_VELOCITY = 127.0
LOG_DEVIATION = (-8.0, 2.0)  # of the noise, to either side of what any teacher has


def compress(values: Tensor, power: float, tiny: float = 1e-9) -> Tensor:
    """z |z|^(power - 1) of complex values: magnitudes under a power, angles kept."""
    return values * (values.abs() + tiny) ** (power - 1.0)


def expand(values: Tensor, power: float, tiny: float = 1e-9) -> Tensor:
    """Undo `compress`."""
    return values * (values.abs() + tiny) ** (1.0 / power - 1.0)


@dataclass(frozen=True)
class PartialHead:
    """Envelopes of the carriers of every key, on `channels` channels (mid, then side).

    The network writes an envelope relative to the reference: the carrier's own level and phase on this key, measured
    in the teacher, as its tuning is. What is left to learn is how each carrier moves. Magnitudes are under `power`;
    the velocity's effect on the level, measured as an exponent, is taken out too.

    power: of the magnitudes, 0-1.
    velocity_exponent: amplitude is proportional to (velocity / 127) ** velocity_exponent.
    channels: 1 (mono) or 2 (mid, side).
    carriers: of each key.
    noise: bands of each channel, neighbouring carriers, for which the network also writes how far its envelopes are
        off, as a standard deviation; 0 for none. What it cannot foretell (breath, bow, a choir's beating) is noise of
        that strength.
    """

    power: float
    velocity_exponent: float
    channels: int
    carriers: int
    noise: int = 0

    def __post_init__(self) -> None:
        if not 0.05 <= self.power <= 1:
            raise ValueError(f"head power {self.power} is not in 0.05..1")
        if not isinstance(self.channels, int) or not isinstance(self.carriers, int):
            raise ValueError("a partial head's channels or carriers is not a whole number")
        if self.channels not in (1, 2) or not 1 <= self.carriers <= 1024:
            raise ValueError("a partial head has 1 or 2 channels and 1..1024 carriers")
        if not isinstance(self.noise, int) or not 0 <= self.noise <= self.carriers:
            raise ValueError("a partial head's noise bands are a whole number, at most one for each carrier")
        if not 0 <= self.velocity_exponent <= 8:
            raise ValueError(f"velocity exponent {self.velocity_exponent} is not in 0..8")

    @property
    def outputs(self) -> int:
        """Numbers that the network writes for a frame."""
        return 2 * self.channels * self.carriers + self.channels * self.noise

    @cached_property
    def band(self) -> NDArray[np.int64]:
        """Noise band of every carrier, (carriers,)."""
        return np.arange(self.carriers) * self.noise // self.carriers

    def to_json(self) -> dict[str, Any]:
        """As it stands in an instrument file."""
        return asdict(self)

    def relative(self, raw: Tensor) -> Tensor:
        """Network output (..., outputs) as complex numbers (..., channels, carriers), still compressed."""
        return _relative(raw, self.channels, self.carriers)

    def deviation(self, raw: Tensor) -> Tensor:
        """Logarithms of standard deviations (..., channels, noise), relative to the reference and compressed."""
        return _deviation(raw, self.channels, self.noise, *LOG_DEVIATION)

    def gain(self, velocity: float | Tensor) -> float | Tensor:
        """Amplitude factor of a velocity."""
        return (velocity / FULL_VELOCITY) ** self.velocity_exponent

    def envelopes(self, raw: Tensor, reference: Tensor) -> Tensor:
        """Envelopes (..., channels, carriers) at full velocity; `reference` is the key's row (channels, carriers)."""
        return expand(self.relative(raw), self.power) * reference

    def contents(self, raws: Sequence[Tensor], references: Sequence[Tensor]) -> list[Tensor]:
        """What the network's output (frames, outputs) says of several notes, whose references are complex
        (channels, carriers): envelopes (frames, channels, carriers). With noise bands (frames, channels, 2 carriers):
        compressed envelopes and then their standard deviations, for noise is added before they are expanded.
        """
        band, shape = torch.from_numpy(self.band), [self.channels, self.carriers, self.noise]
        made: list[Tensor] = _scripted(list(raws), list(references), shape, band, self.power, list(LOG_DEVIATION))
        return made


def _relative(raw: Tensor, channels: int, carriers: int) -> Tensor:
    envelopes = raw[..., : 2 * channels * carriers]
    return torch.view_as_complex(torch.unflatten(envelopes, -1, [channels, carriers, 2]).contiguous())


def _deviation(raw: Tensor, channels: int, noise: int, low: float, high: float) -> Tensor:
    bands = raw[..., raw.size(-1) - channels * noise :]
    return torch.unflatten(bands, -1, [channels, noise]).clamp(low, high)


def _contents(
    raws: List[Tensor],  # noqa: UP006
    references: List[Tensor],  # noqa: UP006
    shape: List[int],  # noqa: UP006
    band: Tensor,
    power: float,
    limits: List[float],  # noqa: UP006
) -> List[Tensor]:  # noqa: UP006
    """See `PartialHead.contents`."""
    out: List[Tensor] = []  # noqa: UP006
    channels, carriers, noise = shape[0], shape[1], shape[2]
    for index in range(len(raws)):
        raw, reference = raws[index], references[index]
        relative = _relative(raw, channels, carriers)
        if noise == 0:
            out.append(expand(relative, power) * reference)
        else:
            unit = compress(reference, power)
            deviation = _deviation(raw, channels, noise, limits[0], limits[1]).exp()
            spread = deviation.index_select(2, band) * unit.abs()
            out.append(torch.cat([relative * unit, torch.complex(spread, torch.zeros_like(spread))], -1))
    return out


_scripted = Scripted(_contents)


@dataclass(frozen=True)
class BinHead:
    """Complex bins of the spectrum itself, as nnss predicts them: re of all bins, then im.

    bins: how many, from 0 Hz up; those above are silent.
    power: of the normalisation, 1/8 in nnss.
    """

    bins: int
    power: float

    def __post_init__(self) -> None:
        if not isinstance(self.bins, int) or not 1 <= self.bins <= 1 << 16 or not 0.01 <= self.power <= 1:
            raise ValueError("a bin head has 1..65536 bins and a power in 0.01..1")

    @property
    def outputs(self) -> int:
        """Numbers that the network writes for a frame."""
        return 2 * self.bins

    def to_json(self) -> dict[str, Any]:
        """As it stands in an instrument file."""
        return asdict(self)

    def spectrum(self, raw: Tensor) -> Tensor:
        """Network output (..., outputs) as a denormalised spectrum (..., bins), complex."""
        return expand(torch.complex(raw[..., : self.bins], raw[..., self.bins :]), self.power)
