"""Settings of the recipes for pads: `default` is the best that was found, `seed` what the original documents say.

The seeds' known faults that make no sound at all (inversion with another window or hop, a sigmoid over raw power
without a scale) are not repeated; their networks, losses, rates and representations are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from training.recipes.generate import GenerateConfig

KL = 2e-3
_SLIDERS = GenerateConfig(length=2048, hop=384, bands=160, frames=128, kl=2e-4, width=24)
_LOOP = GenerateConfig(length=2048, hop=460, frames=192, loop=True, kl=KL, iterations=2)
_HIT = GenerateConfig(kl=KL, adversary=0.05, adversary_from=400)
_SEED_LOOP = replace(_LOOP, body="dense", width=256, high_hz=5000.0, squared=True, iterations=2)
_SEED_RAW = replace(_SEED_LOOP, bands=0, rate=10_000, frames=20_000, kl=0.0, width=128)
_ALONE: Mapping[str, Any] = {
    "listens": False,
    "reconstruction": 0.0,
    "kl": 0.0,
    "adversary": 1.0,
    "adversary_from": 0,
    "learning_rate": 2e-4,
}

PRESETS: Mapping[str, Mapping[str, Mapping[str, GenerateConfig]]] = {
    "sliders": {
        "autoencoder": {
            "default": _SLIDERS,
            "seed": replace(
                _SLIDERS, body="dense", width=256, code=120, curve="power", squared=True, kl=0.0, bands=128
            ),
        },
    },
    "loops": {
        "vae": {"default": _LOOP, "seed": _SEED_LOOP},
        "gan": {
            "default": replace(_LOOP, adversary=0.05, adversary_from=400),
            "seed": replace(_LOOP, high_hz=5000.0, **_ALONE),
        },
        "raw": {
            "default": replace(
                _LOOP, body="raw", bands=0, rate=22_050, frames=44_032, code=96, width=24, kl=0.0, batch=8
            ),
            "seed": _SEED_RAW,
        },
        "beat": {
            "default": replace(_LOOP, parts=4, code=16),
            "seed": replace(_SEED_RAW, parts=4, code=32),
        },
    },
    "oneshots": {
        "gan": {"default": _HIT, "seed": replace(_HIT, high_hz=11_025.0, iterations=16, **_ALONE)},
        "lstm-gan": {
            "default": replace(_HIT, body="lstm", coefficients=52, width=160),
            "seed": replace(
                _HIT, body="lstm", coefficients=52, width=52, length=8192, hop=128, high_hz=11_025.0, frames=376,
                adversary_body="lstm", iterations=16, batch=8, **_ALONE,
            ),
        },
    },
}  # fmt: skip
"""By recipe, model and preset."""
