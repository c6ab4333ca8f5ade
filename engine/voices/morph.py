"""A keyed instrument of many timbres: the network hears the two sines and a point in the space between them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.codec import Note, ScoreCodec
from engine.grid import Frames, Grid
from engine.knobs import LATENT
from engine.motion import Motion
from engine.networks.heads import PartialHead
from engine.networks.spectral import SpectralNetwork
from engine.partials import CarrierTable
from engine.timbres import TimbreSpace
from engine.voices.models import PartialKeys, Touch

KEPT_POINTS = 512


class MorphKeys(PartialKeys):
    """Score codec and partial head as in `PartialKeys`; tables and network input depend on the latent knobs too."""

    def __init__(
        self, codec: ScoreCodec, network: SpectralNetwork, head: PartialHead, space: TimbreSpace,
        grid: Grid | None = None, rise: int = 0,
    ) -> None:  # fmt: skip
        if space.level.shape[2] != head.channels or len(space.harmonic) != head.carriers:
            raise ValueError("timbre space and head do not agree in their numbers of channels or carriers")
        if network.config.features != codec.features + space.dims or network.config.outputs != head.outputs:
            raise ValueError("the network's input or output does not fit its codec, timbre space or head")
        self._prepare(codec, network, head, grid or Grid(), rise)
        self.space = space
        self._latent_knobs = LATENT[: min(len(LATENT), len(space.axes))]
        self._reference = lru_cache(maxsize=KEPT_POINTS)(self._reference_of)
        self._voicings = lru_cache(maxsize=KEPT_POINTS)(lambda key, latent: space.voicing_of(space.point(latent), key))
        self._motions = lru_cache(maxsize=KEPT_POINTS)(lambda key, latent: space.motion_of(space.point(latent), key))
        self._tables = lru_cache(maxsize=KEPT_POINTS)(self._table_of)
        self.moves = bool(space.motion.any())
        middle = space.point(())
        anchors = range(int(space.anchors[0]), int(space.anchors[-1]) + 1)
        rows = np.stack([space.frequencies(middle, key) for key in anchors])
        self.carriers = CarrierTable(anchors[0], rows, np.repeat(space.harmonic[None], len(rows), axis=0))

    @property
    def knobs(self) -> tuple[str, ...]:
        """As many latent knobs as the space has axes, then the spectral ones."""
        return (*self._latent_knobs, *super().knobs)

    def latent(self, touch: Touch) -> tuple[float, ...]:
        """Positions on the axes, in standard deviations."""
        return tuple(touch.knob(name) for name in self._latent_knobs)

    def inputs(self, note: Note, knots: Frames, latent: tuple[float, ...]) -> NDArray[np.float32]:
        """The two sines, and the same point beside every frame."""
        frames = self.codec.at(note, knots)
        point = np.broadcast_to(self.space.point(latent).astype(np.float32), (len(knots), self.space.dims))
        return np.concatenate([frames, point], axis=1)

    def _gain(self, note: Note, latent: tuple[float, ...]) -> float:
        return self.space.gain(self.space.point(latent), note.velocity)

    def _references(self, key: int, latent: tuple[float, ...]) -> tuple[Tensor, Tensor]:
        return self._reference(key, latent)

    @property
    def voiced(self) -> bool:
        """Whether it has a voicing."""
        return bool(self.space.voicing.any())

    def _voicing(self, key: int, latent: tuple[float, ...]) -> float:
        return self._voicings(key, latent)

    def _motion(self, key: int, latent: tuple[float, ...]) -> Motion | None:
        return self._motions(key, latent)

    def _carriers(self, key: int, latent: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self._tables(key, latent), self.space.harmonic

    def _reference_of(self, key: int, latent: tuple[float, ...]) -> tuple[Tensor, Tensor]:
        point = self.space.point(latent)
        noise = self.space.noise_level(point, key).astype(np.float32)
        return torch.from_numpy(self.space.reference(point, key).astype(np.complex64)), torch.from_numpy(noise)

    def _table_of(self, key: int, latent: tuple[float, ...]) -> NDArray[np.float64]:
        return self.space.frequencies(self.space.point(latent), key)
