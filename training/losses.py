"""Losses on compressed complex envelopes and spectra."""

from __future__ import annotations

import torch
from torch import Tensor

_FAINT = 1e-8  # power, 80 dB under a level of 1
_FLOOR = 1e-4  # of a mean power of 1: keeps the gradient of a magnitude finite at 0


def complex_and_magnitude(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of complex values plus that of their magnitudes, over the target's mean power.

    output, target: (..., 2), re and im, of about unit power. Squared error alone prefers silence to a wrong phase;
    the second term pays for the missing magnitude.
    """
    power = target.pow(2).mean()
    difference = (output - target).pow(2).mean()
    return (difference + (_magnitude(output) - _magnitude(target)).pow(2).mean()) / power


def magnitude_and_turn(output: Tensor, target: Tensor, phase: float = 0.1) -> Tensor:
    """Mean squared error of magnitudes and of turns (see `turns`), and a little of complex values, over the power.

    output, target: (batch, frames, ..., 2), re and im, of about unit power. For sounds whose phases wander (vibrato,
    beating, ensembles): a phase that is wrong but turns as the teacher's does costs almost nothing, so it takes
    nothing from the magnitude. phase: weight of the complex values, which keeps an attack's phases where they belong.
    """
    power = target.pow(2).mean()
    difference = (output - target).pow(2).mean()
    magnitude = (_magnitude(output) - _magnitude(target)).pow(2).mean()
    return (phase * difference + magnitude + (turns(output) - turns(target)).pow(2).mean()) / power


def spectral_magnitudes(spectrum: Tensor, target: Tensor, power: float) -> Tensor:
    """Mean squared error of magnitudes under a power, over the target's: complex spectra (..., bins)."""
    a, b = ((torch.view_as_real(x).pow(2).sum(-1) + _FAINT).pow(power / 2) for x in (spectrum, target))
    return (a - b).pow(2).mean() / b.pow(2).mean()


def turns(values: Tensor) -> Tensor:
    """Products of each frame and the conjugate of the one before it, over the root of their magnitudes.

    (batch, frames, ..., 2) -> (batch, frames - 1, ..., 2). They keep magnitudes and frequencies, not phases.
    """
    numbers, magnitude = torch.view_as_complex(values), _magnitude(values)
    products = numbers[:, 1:] * numbers[:, :-1].conj()
    return torch.view_as_real(products) / torch.sqrt(magnitude[:, 1:] * magnitude[:, :-1])[..., None]


def _magnitude(value: Tensor) -> Tensor:
    return torch.sqrt(value.pow(2).sum(-1) + _FLOOR)
