"""What the voices of pads and songs need of a model. The models themselves are in `engine.voices.generators`.

A *pads* instrument makes whole sounds, hits or loops, each from a latent. A *song* instrument writes block after block,
each from those before it. Latents are in sigmas of the training data along its principal axes, the strongest first:
0 is the mean, and one step is as likely on one axis as on another. Models have no state of their own, and any number of
threads may use one at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.spectral import Samples

Latent = NDArray[np.float32]
"""A place in a model's space, (axes,), in sigmas."""


@dataclass(frozen=True, slots=True)
class Pad:
    """What a key plays.

    title: for the player ("snare"). centre: its place in the space, (axes,), where sliders stand at 0. spread: standard
    deviations of its kind around it, (axes,), for variation from hit to hit. choke: pads of one group end each other; 0
    is no group. beats: length of a loop in quarter notes, 0 for a one-shot.
    """

    title: str
    centre: Latent
    spread: Latent
    choke: int = 0
    beats: float = 0.0


class PadsModel(Protocol):
    """Whole sounds from latents."""

    @property
    def pads(self) -> tuple[Pad, ...]:
        """Its kinds of sounds; the first lies on the instrument's lowest key."""

    @property
    def axes(self) -> int:
        """Numbers of a latent; the sliders show the first ones."""

    @property
    def bpm(self) -> float:
        """Tempo of its loops, quarter notes a minute; 0 where it makes one-shots."""

    def sound(self, latent: Latent, seed: int = 0) -> Samples:
        """One hit or loop (2, samples) at the engine's sample rate, level as in the data, silent ends cut. The same
        latent and seed give the same sound; the seed chooses phases and what else is not in the latent. A loop's end
        fits its beginning. At most 100 ms of one core."""

    def encode(self, sound: Samples) -> Latent:
        """The latent of a sound (2, samples) that somebody brings along, cut or padded to the model's length.

        Raises InstrumentError where the model cannot listen (a GAN has no encoder: it searches, and may fail)."""


class SongModel(Protocol):
    """A continuation, block by block."""

    @property
    def block(self) -> int:
        """Samples that `next` adds, at the engine's sample rate."""

    @property
    def seeds(self) -> tuple[str, ...]:
        """Titles of the beginnings that are stored with the instrument."""

    def begin(self, seed: int | Samples) -> Any:
        """A state after having heard one of the stored beginnings, or a sound (2, samples) of the player's own.

        Raises InstrumentError where the sound is too short."""

    def next(self, state: Any, temperature: float, rng: np.random.Generator) -> tuple[Samples, Any]:
        """The next `block` samples (2, block), windowed and overlapped already, so that they follow the last ones
        without a seam, and the state after them. temperature: 0 repeats what is most likely, 1 is as lively as the
        data. Faster than real time by 3 at least."""
