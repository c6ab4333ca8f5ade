"""Heads: what a network's numbers mean. The partial head writes envelopes, the bin head writes spectrum bins."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any  # `List` is what TorchScript reads

import torch
from torch import Tensor

FULL_VELOCITY = 127.0
LOG_NOISE = (-7.0, 2.0)  # relative to what it is measured by, to either side of what any teacher has


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
    noise: bands of each channel for which the network also writes the level of noise, see `engine.noise`; 0 for none.
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

    def to_json(self) -> dict[str, Any]:
        """As it stands in an instrument file."""
        return asdict(self)

    def relative(self, raw: Tensor) -> Tensor:
        """Network output (..., outputs) as complex numbers (..., channels, carriers), still compressed."""
        envelopes = raw[..., : 2 * self.channels * self.carriers]
        return torch.view_as_complex(torch.unflatten(envelopes, -1, [self.channels, self.carriers, 2]).contiguous())

    def log_noise(self, raw: Tensor) -> Tensor:
        """Logarithms of noise levels (..., channels, noise), relative to `noise_base`."""
        bands = raw[..., raw.size(-1) - self.channels * self.noise :]
        return torch.unflatten(bands, -1, [self.channels, self.noise]).clamp(*LOG_NOISE)

    def noise_base(self, envelopes: Tensor, reference: Tensor, power: Tensor, noise: Tensor) -> Tensor:
        """Power (..., channels, noise) by which noise is measured: that of the carriers in each band, and, for bands
        that have none, the band's reference, faded as the whole note has.

        envelopes: (..., channels, carriers). reference: level of the carriers, that broadcasts with them. power: of the
        envelopes in bands, see `engine.noise.power_in_bands`. noise: reference levels (..., channels, noise).
        """
        now = envelopes.abs().pow(2).sum((-2, -1), keepdim=True)
        whole = reference.abs().pow(2).sum((-2, -1), keepdim=True)
        return power + noise.pow(2) * (now / (whole + 1e-20))

    def gain(self, velocity: float | Tensor) -> float | Tensor:
        """Amplitude factor of a velocity."""
        return (velocity / FULL_VELOCITY) ** self.velocity_exponent

    def envelopes(self, raw: Tensor, reference: Tensor) -> Tensor:
        """Envelopes (..., channels, carriers) at full velocity; `reference` is the key's row (channels, carriers)."""
        return expand(self.relative(raw), self.power) * reference


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
