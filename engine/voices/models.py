"""Models of keyed instruments: what the network hears of a note, and what native code has to know to play it.

Nothing here is called while somebody plays: see `engine.voices.keys`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import _native
from engine.codec import NnssCodec, Note, ScoreCodec
from engine.grid import Frames, Grid
from engine.knobs import KNOBS, PLAIN, SPECTRAL
from engine.networks.heads import BinHead, PartialHead
from engine.networks.playing import native_network
from engine.networks.spectral import SpectralNetwork
from engine.noise import band_hz, band_of_bin, carrier_factor, noise_frames
from engine.partials import CarrierTable, PartialSynthesis
from engine.spectral import Samples
from engine.units import db_to_gain

FILTER_REACH = 255  # samples on either side of one that oversampling spreads it to


@dataclass(frozen=True, slots=True)
class Touch:
    """How a channel sounds, beyond what the network writes.

    semitones: bend, tuning and the player's vibrato.
    left, right: channel gains.
    knobs: values by name; a knob that is not there stands at its default.
    """

    semitones: float
    left: float
    right: float
    knobs: Mapping[str, float]

    def knob(self, name: str) -> float:
        """A knob's value."""
        return self.knobs.get(name, KNOBS[name].default)


UNTOUCHED = Touch(0.0, 1.0, 1.0, MappingProxyType({}))
"""How a channel sounds that nobody has touched."""


class KeysModel(Protocol):
    """What the engine needs of a keyed instrument."""

    network: SpectralNetwork

    @property
    def codec(self) -> ScoreCodec | NnssCodec:
        """The two-sine signal of this instrument."""

    @property
    def grid(self) -> Grid:
        """At which frames the network writes."""

    @property
    def rise(self) -> int:
        """Samples in which a note's sound rises, see `engine.partials.PartialSynthesis`."""

    @property
    def knobs(self) -> tuple[str, ...]:
        """Knobs that it can be played with."""

    def latent(self, touch: Touch) -> tuple[float, ...]:
        """What the network hears beside the two sines: numbers that only some knobs change."""

    def inputs(self, note: Note, knots: Frames, latent: tuple[float, ...]) -> NDArray[np.float32]:
        """Network input (knots, features) of some frames in ascending order."""

    def native(self, keys: range) -> _native.Keys:
        """The instrument as native code plays it; keys: those that the network knows."""


class PartialKeys:
    """Score codec, partial head."""

    def __init__(
        self, codec: ScoreCodec, network: SpectralNetwork, head: PartialHead, carriers: CarrierTable, reference: Tensor,
        noise: Tensor | None = None, voicing: NDArray[np.float64] | None = None, grid: Grid | None = None,
        rise: int = 0,
    ) -> None:  # fmt: skip
        """reference: level and phase of every carrier, complex (keys, channels, carriers). noise: level of every noise
        band, (keys, channels, bands). voicing: decibels that make a key as loud as those around it, (keys,). rise: see
        `PartialSynthesis`."""
        keys = len(carriers.hz)
        if reference.shape != (keys, head.channels, head.carriers) or carriers.carriers != head.carriers:
            raise ValueError("carriers, reference and head do not agree in their numbers of keys or carriers")
        if noise is None:
            noise = torch.zeros(keys, head.channels, head.noise)
        if noise.shape != (keys, head.channels, head.noise) or not bool(torch.isfinite(noise).all()):
            raise ValueError("noise levels and head do not agree in their numbers of keys or bands")
        if voicing is not None and voicing.shape != (keys,):
            raise ValueError("the voicing does not have one level for each key")
        if network.config.features != codec.features or network.config.outputs != head.outputs:
            raise ValueError("the network's input or output does not fit its codec or head")
        self._prepare(codec, network, head, grid or Grid(), rise)
        self.carriers, self.reference, self.noise, self.voicing = carriers, reference, noise, voicing

    def _prepare(self, codec: ScoreCodec, network: SpectralNetwork, head: PartialHead, grid: Grid, rise: int) -> None:
        self.codec, self.network, self.head, self.grid, self.rise = codec, network, head, grid, rise
        self.synthesis = PartialSynthesis(codec.stft.length, codec.stft.hop, codec.sample_rate, rise)
        self.native = lru_cache(maxsize=1)(self._made_native)

    @property
    def knobs(self) -> tuple[str, ...]:
        """All spectral knobs; `width` needs two channels, `breath` noise bands."""
        missing = {"width"} if self.head.channels == 1 else set()
        missing |= {"breath"} if not self.head.noise else set()
        missing |= {"voicing"} if not self.voiced else set()
        missing |= {"vibrato", "ensemble"} if not self.moves else set()
        return tuple(name for name in SPECTRAL if name not in missing)

    moves = False
    """Whether its notes have a motion of their own, see `engine.motion`."""

    @property
    def voiced(self) -> bool:
        """Whether it has a voicing."""
        return self.voicing is not None

    def latent(self, touch: Touch) -> tuple[float, ...]:
        """Nothing: this instrument has one timbre."""
        return ()

    def inputs(self, note: Note, knots: Frames, latent: tuple[float, ...]) -> NDArray[np.float32]:
        """The two sines."""
        return self.codec.at(note, knots)

    def _made_native(self, keys: range) -> _native.Keys:
        head, stft, rate = self.head, self.codec.stft, self.codec.sample_rate
        return _native.Keys(
            native_network(self.network), self._tables(), self.network.config.context, list(self.grid.held.steps),
            list(self.grid.released.steps), stft.hop, rate, stft.analysis_window, keys[0], keys[-1], head.channels,
            head.carriers, head.power, *self._noise(),
        )  # fmt: skip

    def _noise(self) -> tuple[NDArray[np.int32], NDArray[np.float64], Samples, NDArray[np.complex64] | None]:
        """Band of every bin, mean frequency and carrier's power of every band, spectra of noise."""
        bands, bins, rate = self.head.noise, self.codec.stft.bins, self.codec.sample_rate
        if not bands:
            return np.zeros(bins, np.int32), np.zeros(0), np.zeros(0, np.float32), None
        return (
            band_of_bin(bands, bins, rate).astype(np.int32), band_hz(bands, bins, rate),
            carrier_factor(bands, self.synthesis).numpy(), noise_frames(self.synthesis, self.head.channels),
        )  # fmt: skip

    def _tables(self) -> _native.Tables:
        carriers = self.carriers
        return _native.plain_tables(
            carriers.first_key, carriers.hz, carriers.harmonic.astype(np.float32), self.reference.numpy(),
            self.noise.numpy(), self.voicing, self.head.velocity_exponent,
        )  # fmt: skip


class BinKeys:
    """nnss: its codec, a network that writes bins. Mono; the bend wheel has no carrier to move and is ignored."""

    knobs, rise = PLAIN, 0
    """Only the knobs that every instrument has."""

    def __init__(self, codec: NnssCodec, network: SpectralNetwork, head: BinHead) -> None:
        if network.config.features != codec.features or network.config.outputs != head.outputs:
            raise ValueError("the network's input or output does not fit its codec or head")
        if head.bins > codec.length // 2 + 1:
            raise ValueError(f"{head.bins} bins reach beyond half of the sample rate")
        self.codec, self.network, self.head, self.grid = codec, network, head, Grid()
        self.native = lru_cache(maxsize=1)(self._made_native)

    def latent(self, touch: Touch) -> tuple[float, ...]:
        """Nothing: this instrument has one timbre."""
        return ()

    def inputs(self, note: Note, knots: Frames, latent: tuple[float, ...]) -> NDArray[np.float32]:
        """The two sines."""
        return self.codec.frames(note, int(knots[0]), len(knots))

    def _made_native(self, keys: range) -> _native.Keys:
        codec, stft = self.codec, self.codec.stft
        return _native.Keys(
            native_network(self.network), self.network.config.context, stft.hop, codec.sample_rate, codec.oversampling,
            stft.analysis_window, _interpolator(codec), keys[0], keys[-1], self.head.bins, codec.power, self.head.power,
            codec.stretch_window,
        )  # fmt: skip


def _interpolator(codec: NnssCodec) -> Samples:
    """Impulse response by which a codec oversamples, its middle in the middle."""
    impulse = np.zeros(2 * FILTER_REACH + 3)
    impulse[FILTER_REACH + 1] = 1
    middle, reach = (FILTER_REACH + 1) * codec.oversampling, FILTER_REACH * codec.oversampling
    return np.ascontiguousarray(codec.oversample(impulse)[middle - reach : middle + reach + 1])


def channel_gains(gain: float, pan: float) -> tuple[float, float]:
    """Left and right gain of a balance control: the far side fades, the near one stays.

    At the centre both are `gain`; a balance keeps the instrument's own stereo picture, as a pan would not.
    """
    return gain * min(1.0, 1.0 - pan), gain * min(1.0, 1.0 + pan)


def soft_gain(depth: float, knobs: Mapping[str, float]) -> float:
    """Gain of a note struck while the soft pedal is down to `depth` (0-1)."""
    return db_to_gain(-depth * knobs.get("soft", KNOBS["soft"].default))
