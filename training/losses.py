"""Losses on compressed complex envelopes and spectra."""

from __future__ import annotations

import torch
from torch import Tensor

_FLOOR = 1e-4  # of a mean power of 1: keeps the gradient of a magnitude finite at 0


def complex_and_magnitude(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of complex values plus that of their magnitudes, over the target's mean power.

    output, target: (..., 2), re and im, of about unit power. Squared error alone prefers silence to a wrong phase;
    the second term pays for the missing magnitude.
    """
    power = target.pow(2).mean()
    difference = (output - target).pow(2).mean()
    return (difference + (_magnitude(output) - _magnitude(target)).pow(2).mean()) / power


def _magnitude(value: Tensor) -> Tensor:
    return torch.sqrt(value.pow(2).sum(-1) + _FLOOR)
