"""Ways to move many knobs at once: by chance, and between presets."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from engine.knobs import KNOBS

DEVIATION = "σ"
"""Unit of knobs that count standard deviations."""


def randomised(
    knobs: Mapping[str, float], names: Iterable[str], amount: float, chance: random.Random
) -> dict[str, float]:
    """The named knobs, moved by a share of 0-1 of the way to a random place.

    Places are uniform over a knob's way; those of knobs in standard deviations are Gaussian with one of them.
    """
    moved = {}
    for name in names:
        knob = KNOBS[name]
        place = chance.gauss(0, 1) if knob.unit == DEVIATION else chance.uniform(knob.low, knob.high)
        moved[name] = knob.clip(knobs[name] + amount * (knob.clip(place) - knobs[name]))
    return moved


def between(corners: Sequence[Mapping[str, float]], x: float, y: float) -> dict[str, float]:
    """Knobs at a place of a square with four settings in its corners, bilinear.

    corners: at (0, 0), (1, 0), (0, 1), (1, 1). Knobs that only some of them have stand at their default in the others.
    """
    weights = ((1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y)
    names = dict.fromkeys(name for corner in corners for name in corner)
    return {
        name: sum(w * corner.get(name, KNOBS[name].default) for w, corner in zip(weights, corners, strict=True))
        for name in names
    }
