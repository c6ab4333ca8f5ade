"""What no voice may write: numbers that are not finite, and levels that are no sound.

Every bank of voices checks what it renders and ends the voices that wrote it; the synth checks every part and its sum
once more, so that no filter, limiter or file ever holds a NaN. What was ended or silenced is counted as *faulty*.
"""

from __future__ import annotations

import numpy as np

from engine.spectral import Samples

LOUDEST = 1000.0
"""Amplitude of a voice or part, +60 dB over full scale. Knobs, velocity and gain of a sound instrument stay 20 dB
below it at their very ends."""


def is_sound(block: Samples, loudest: float = LOUDEST) -> bool:
    """Whether all samples are finite and no larger than `loudest`.

    One dot product in nearly all cases: NaN and infinity go through it, and a block whose energy is under the square
    of `loudest` holds no sample over it.
    """
    energy = float(np.vdot(block, block))
    if energy <= loudest * loudest:
        return True
    return bool(np.isfinite(energy)) and float(np.abs(block).max()) <= loudest


def faulty_sentence(count: int) -> str:
    """What a player is told once."""
    notes, they = ("a note was", "it") if count == 1 else (f"{count} notes were", "them")
    return f"{notes} silenced: what the instrument's network wrote for {they} is no sound"
