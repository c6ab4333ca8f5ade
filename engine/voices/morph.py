"""A keyed instrument of many timbres: the network hears the two sines and a point in the space between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine import _native
from engine.codec import Note, ScoreCodec
from engine.grid import Frames, Grid
from engine.knobs import LATENT
from engine.networks.heads import PartialHead
from engine.networks.spectral import SpectralNetwork
from engine.partials import CarrierTable
from engine.timbres import TimbreSpace
from engine.voices.models import PartialKeys, Touch


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
        self.moves = bool(space.motion.any())
        middle = space.point(())
        anchors = range(int(space.anchors[0]), int(space.anchors[-1]) + 1)
        rows = np.stack([space.frequencies(middle, key) for key in anchors])
        self.carriers = CarrierTable(anchors[0], rows, np.repeat(space.harmonic[None], len(rows), axis=0))

    @property
    def knobs(self) -> tuple[str, ...]:
        """As many latent knobs as the space has axes, then the spectral ones."""
        return (*self._latent_knobs, *super().knobs)

    @property
    def voiced(self) -> bool:
        """Whether it has a voicing."""
        return bool(self.space.voicing.any())

    def latent(self, touch: Touch) -> tuple[float, ...]:
        """Positions on the axes, in standard deviations."""
        return tuple(touch.knob(name) for name in self._latent_knobs)

    def inputs(self, note: Note, knots: Frames, latent: tuple[float, ...]) -> NDArray[np.float32]:
        """The two sines, and the same point beside every frame."""
        frames = self.codec.at(note, knots)
        point = np.broadcast_to(self.space.point(latent).astype(np.float32), (len(knots), self.space.dims))
        return np.concatenate([frames, point], axis=1)

    def _tables(self) -> _native.Tables:
        space = self.space
        return _native.space_tables(
            space.points, space.centre, space.axes, space.anchors.astype(np.float64), space.hz,
            space.harmonic.astype(np.float32), space.level, space.phase, space.exponents, space.noise, space.motion,
            space.voicing,
        )  # fmt: skip
