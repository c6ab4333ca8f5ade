"""Models of keyed instruments: from a note to frames of network input, from network output to stretches of sound.

A model has no state: `engine.voices.keys` keeps it for every voice.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.codec import NnssCodec, Note, ScoreCodec
from engine.knobs import KNOBS, PLAIN, SPECTRAL
from engine.networks.heads import BinHead, PartialHead
from engine.networks.playing import PlayingNetwork
from engine.networks.spectral import SpectralNetwork
from engine.partials import CarrierTable, PartialSynthesis
from engine.sounding import BandedLobes, Tone, sounds
from engine.spectral import Samples
from engine.units import db_to_gain, semitones_to_ratio
from engine.voices.piece import Phase, Piece

Content = NDArray[np.complex64]
"""What the network wrote for some frames of one note: envelopes (with their noise, see `PartialKeys`) or spectra."""
Raw = tuple[Tensor, Note, tuple[float, ...]]
"""The network's output (frames, outputs), and of what: a note at its own velocity, and the latent numbers."""
Turning = NDArray[np.complex64]
"""See `PartialKeys._turning`."""

STRETCH_INHARMONICITY = 2e-3  # at the knob's ends, added to the partials' own
MUTED_DB = -48.0  # of odd or even partials at the knob's ends
KEPT_LOBES = 128  # 0.1 megabytes each
TURNED_FRAMES = 16  # that are made to sound at once at most, mostly
HIGHEST_TILT = 30.0  # dB that the brightness knob may add to any carrier
NOISE_FRAMES = 4096  # 24 s, before the noise comes again
NOISE_MEMORY = 0.6  # what an envelope's error keeps from frame to frame
FADE_FRAMES, FADE_LIMITS = 4, (0.5, 1.0)  # frames from which is learnt how a carrier fades, and how it may in that time


@dataclass(frozen=True, slots=True)
class Touch:
    """How some frames of a voice are to sound, beyond what the network wrote.

    semitones: bend and vibrato.
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


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames first, first + 1, ... of a note, to be made to sound under a touch.

    phase: carriers' phases at the first of them in turns, (carriers,); None for those of a note that was never bent.
    """

    content: Content
    first: int
    note: Note
    phase: Phase
    touch: Touch


class KeysModel(Protocol):
    """What the voices need of a keyed instrument."""

    network: SpectralNetwork

    @property
    def playing(self) -> PlayingNetwork:
        """The network as it is played, one for all voices of the instrument."""

    @property
    def codec(self) -> ScoreCodec | NnssCodec:
        """The two-sine signal of this instrument."""

    @property
    def hop(self) -> int:
        """Samples between frames."""

    @property
    def length(self) -> int:
        """Samples of a stretch."""

    @property
    def knobs(self) -> tuple[str, ...]:
        """Knobs that it can be played with."""

    def latent(self, touch: Touch) -> tuple[float, ...]:
        """What the network hears beside the two sines: numbers that only some knobs change."""

    def inputs(self, note: Note, first: int, count: int, latent: tuple[float, ...]) -> NDArray[np.float32]:
        """Network input (count, features) of frames first, first + 1, ..."""

    def decode(self, written: Sequence[Raw]) -> list[Content]:
        """What the network's output says of some notes, each for itself."""

    def guess(self, content: Content, count: int) -> Content:
        """What probably follows frames of content (one at least): `count` more."""

    def prepare(self, note: Note, latent: tuple[float, ...]) -> None:
        """Make the tables that a note's sound needs; may be called by another thread than `stretches`."""

    def level(self, content: Content) -> float:
        """Upper bound of the amplitude in a stretch of frames."""

    def pieces(self, frames: Sequence[Frames]) -> list[Piece]:
        """What frames of several voices sound like, each for itself."""


class PartialKeys:
    """Score codec, partial head."""

    def __init__(
        self, codec: ScoreCodec, network: SpectralNetwork, head: PartialHead, carriers: CarrierTable, reference: Tensor
    ) -> None:
        """`reference`: level and phase of every carrier, complex (keys, channels, carriers)."""
        if reference.shape != (len(carriers.hz), head.channels, head.carriers) or carriers.carriers != head.carriers:
            raise ValueError("carriers, reference and head do not agree in their numbers of keys or carriers")
        if network.config.features != codec.features or network.config.outputs != head.outputs:
            raise ValueError("the network's input or output does not fit its codec or head")
        self._prepare(codec, network, head)
        self.carriers, self.reference = carriers, reference

    def _prepare(self, codec: ScoreCodec, network: SpectralNetwork, head: PartialHead) -> None:
        self.codec, self.network, self.head = codec, network, head
        self.synthesis = PartialSynthesis(codec.stft.length, codec.stft.hop, codec.sample_rate)
        self._rest: dict[tuple[int, tuple[float, ...]], tuple[BandedLobes, Turning]] = {}
        self._making = threading.Lock()
        if head.noise:
            self._noise = _noise(head.channels, head.carriers)

    @cached_property
    def playing(self) -> PlayingNetwork:
        """See `KeysModel`."""
        return PlayingNetwork(self.network)

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return self.codec.stft.hop

    @property
    def length(self) -> int:
        """Samples of a stretch."""
        return self.codec.stft.length

    @property
    def knobs(self) -> tuple[str, ...]:
        """All spectral knobs; `width` needs two channels, `breath` noise bands."""
        missing = {"width"} if self.head.channels == 1 else set()
        missing |= {"breath"} if not self.head.noise else set()
        return tuple(name for name in SPECTRAL if name not in missing)

    def latent(self, touch: Touch) -> tuple[float, ...]:
        """Nothing: this instrument has one timbre."""
        return ()

    def inputs(self, note: Note, first: int, count: int, latent: tuple[float, ...]) -> NDArray[np.float32]:
        """The two sines."""
        return self.codec.frames(note, first, count)

    def decode(self, written: Sequence[Raw]) -> list[Content]:
        """See `PartialHead.contents`, at the notes' velocities."""
        raws = [raw for raw, _, _ in written]
        references = [self._scaled_reference(note, latent) for _, note, latent in written]
        return [content.numpy() for content in self.head.contents(raws, references)]

    def _scaled_reference(self, note: Note, latent: tuple[float, ...]) -> Tensor:
        """Level and phase of a note's carriers, complex (channels, carriers)."""
        return self.reference[self.carriers.row(round(note.key))] * self.head.gain(note.velocity)

    def guess(self, content: Content, count: int) -> Content:
        """Every carrier, which turns by itself, fades as it did: in 8 frames of a piano's held note 18 to 23 dB."""
        return _faded(content, count, turning=False)

    def prepare(self, note: Note, latent: tuple[float, ...]) -> None:
        """The lobes of an untouched key: the dearest part of a note that has not been played before."""
        key = round(note.key)
        self._at_rest(key, latent, self._carriers(key, latent)[0])

    def level(self, content: Content) -> float:
        """All carriers in phase, their noise at twice its standard deviation."""
        if not self.head.noise:
            return float(np.abs(content).sum(axis=(1, 2)).max())
        carriers = self.head.carriers
        compressed = np.abs(content[..., :carriers]) + 2 * content[..., carriers:].real
        return float((compressed ** (1 / self.head.power)).sum(axis=(1, 2)).max())

    def envelopes_of(self, content: Content, first: int, note: Note, breath: float) -> Content:
        """Envelopes (frames, channels, carriers) of frames first, first + 1, ..., with their noise.

        The noise is the note's own, the same whenever the same frame is made: what is played live is what is rendered.
        """
        if not self.head.noise:
            return content
        carriers = self.head.carriers
        envelopes, deviation = content[..., :carriers], content[..., carriers:].real
        if breath:
            start = first + (round(note.key) * 128 + round(note.velocity)) * 257
            rows = np.arange(start, start + len(content)) % NOISE_FRAMES
            envelopes = envelopes + self._noise[rows] * (np.float32(breath) * deviation)
        magnitude = np.abs(envelopes) + np.float32(1e-9)
        return np.asarray(envelopes * magnitude ** np.float32(1 / self.head.power - 1), np.complex64)

    def pieces(self, frames: Sequence[Frames]) -> list[Piece]:
        """See `KeysModel`: envelopes are shaped by the knobs, turned by their carriers, and transformed."""
        if not frames:
            return []
        tones, phases = zip(*map(self._tone, frames), strict=True)
        return [
            Piece.of(one.first, stretches, phase, self.hop, sound)
            for one, phase, (stretches, sound) in zip(frames, phases, sounds(tones, self.length), strict=True)
        ]

    def _tone(self, frames: Frames) -> tuple[Tone, NDArray[np.float64]]:
        """Frames as they are to be transformed, and the phases (frames + 1, carriers) at each and after the last."""
        note, touch, count = frames.note, frames.touch, len(frames.content)
        key, latent = round(note.key), self.latent(touch)
        still, harmonic = self._carriers(key, latent)
        hz = _stretched(still, harmonic, touch.knob("stretch"))
        ratio = semitones_to_ratio(touch.semitones + touch.knob("tune") / 100 + (note.key - key))
        if ratio == 1 and hz is still and count <= TURNED_FRAMES:
            lobes, turning = self._at_rest(key, latent, hz)
        else:
            hz = hz * ratio
            lobes, turning = self.synthesis.banded(hz), self._turning(hz, count)
        steps = hz * (self.hop / self.codec.sample_rate)
        phase = steps * (self.synthesis.centre(frames.first) / self.hop) if frames.phase is None else frames.phase
        turns = turning[:count] * np.exp(2j * np.pi * (phase % 1)).astype(np.complex64)
        if (gains := _gains(still, harmonic, touch)) is not None:
            turns *= gains
        if (fade := self._fade(frames.first, count, touch)) is not None:
            turns *= fade[:, None]
        wide = touch.knob("width") if self.head.channels > 1 else 0.0
        sides = touch.left, touch.left * wide, touch.right, -touch.right * wide
        envelopes = self.envelopes_of(frames.content, frames.first, note, touch.knob("breath"))
        return Tone(envelopes, turns, sides, lobes), phase + np.arange(count + 1)[:, None] * steps

    def _carriers(self, key: int, latent: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Frequencies and partial numbers of a key's carriers; beyond the table's ends the last key's, transposed."""
        row = self.carriers.row(key)
        outside = key - (row + self.carriers.first_key)
        hz = self.carriers.hz[row]
        return hz * semitones_to_ratio(outside) if outside else hz, self.carriers.harmonic[row]

    def _at_rest(self, key: int, latent: tuple[float, ...], hz: NDArray[np.float64]) -> tuple[BandedLobes, Turning]:
        """Lobes of an untouched key and how its carriers turn, kept."""
        with self._making:
            if (key, latent) not in self._rest:
                if len(self._rest) >= KEPT_LOBES:
                    self._rest.pop(next(iter(self._rest)))
                self._rest[key, latent] = self.synthesis.banded(hz), self._turning(hz, TURNED_FRAMES)
            return self._rest[key, latent]

    def _turning(self, hz: NDArray[np.float64], frames: int) -> Turning:
        """By how much carriers have turned since the first of some frames, as unit numbers (frames, carriers)."""
        turns = np.outer(np.arange(frames), hz * (self.hop / self.codec.sample_rate))
        return np.asarray(np.exp(2j * np.pi * (turns % 1)), np.complex64)

    def _fade(self, first: int, frames: int, touch: Touch) -> NDArray[np.float32] | None:
        """What attack and decay make of each frame, (frames,); None where that is nothing."""
        attack, decay = touch.knob("attack") / 1000, touch.knob("decay")
        if not attack and not decay:
            return None
        centres = self.synthesis.centre(first) + self.hop * np.arange(frames)
        seconds = np.maximum(centres, 0) / self.codec.sample_rate
        rise = np.minimum(seconds, attack) / attack if attack else np.ones(frames)
        return np.asarray(rise * np.power(10.0, -decay * seconds / 20), np.float32)


class BinKeys:
    """nnss: its codec, a network that writes bins. Mono; the bend wheel has no carrier to move and is ignored."""

    def __init__(self, codec: NnssCodec, network: SpectralNetwork, head: BinHead) -> None:
        if network.config.features != codec.features or network.config.outputs != head.outputs:
            raise ValueError("the network's input or output does not fit its codec or head")
        self.codec, self.network, self.head = codec, network, head

    @cached_property
    def playing(self) -> PlayingNetwork:
        """See `KeysModel`."""
        return PlayingNetwork(self.network)

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return self.codec.hop

    @property
    def length(self) -> int:
        """Samples of a stretch."""
        return self.codec.length

    @property
    def knobs(self) -> tuple[str, ...]:
        """Only what every instrument has."""
        return PLAIN

    def latent(self, touch: Touch) -> tuple[float, ...]:
        """Nothing: this instrument has one timbre."""
        return ()

    def inputs(self, note: Note, first: int, count: int, latent: tuple[float, ...]) -> NDArray[np.float32]:
        """The two sines."""
        return self.codec.frames(note, first, count)

    def decode(self, written: Sequence[Raw]) -> list[Content]:
        """Spectra (frames, bins); every velocity sounds the same."""
        with torch.inference_mode():
            return [np.asarray(self.head.spectrum(raw).numpy(), np.complex64) for raw, _, _ in written]

    def guess(self, content: Content, count: int) -> Content:
        """Every bin fades and turns as it did."""
        return _faded(content, count, turning=True)

    def prepare(self, note: Note, latent: tuple[float, ...]) -> None:
        """Nothing is kept for a note."""

    def level(self, content: Content) -> float:
        """All bins in phase."""
        return float(np.abs(content).sum(axis=1).max())

    def pieces(self, frames: Sequence[Frames]) -> list[Piece]:
        """See `KeysModel`."""
        return [
            Piece.of(one.first, _left_right(self.codec.stretches(one.content), one.touch), None, self.hop)
            for one in frames
        ]


@cache
def _noise(channels: int, carriers: int) -> NDArray[np.complex64]:
    """Complex Gaussian noise of unit power (NOISE_FRAMES, channels, carriers), the same for ever.

    Neighbouring frames are alike, as the errors of envelopes are; the end joins the beginning.
    """
    rng = np.random.default_rng(0)
    shape = (NOISE_FRAMES, channels, carriers)
    white = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)  # in frequency: it is as white there
    turn = np.exp(-2j * np.pi * np.arange(NOISE_FRAMES) / NOISE_FRAMES)
    smooth = np.fft.ifft(white / (1 - NOISE_MEMORY * turn)[:, None, None], axis=0)
    return np.asarray(smooth / np.sqrt((np.abs(smooth) ** 2).mean()), np.complex64)


def _faded(content: Content, count: int, *, turning: bool) -> Content:
    """Frames that go on as the last ones did: (count, ...); turning: in phase too."""
    last = content[-1]
    before = content[-1 - min(FADE_FRAMES, len(content) - 1)]
    magnitude, tiny = np.abs(last), np.float32(1e-12)
    ratio = np.clip(magnitude / (np.abs(before) + tiny), *FADE_LIMITS) ** (1 / FADE_FRAMES)
    if turning:
        step = last * content[-min(2, len(content))].conj()
        ratio = ratio * step / (np.abs(step) + tiny)
    powers = np.arange(1, count + 1).reshape(-1, *[1] * last.ndim)
    return np.asarray(last * np.power(ratio, powers), np.complex64)


def _stretched(hz: NDArray[np.float64], harmonic: NDArray[np.int64], stretch: float) -> NDArray[np.float64]:
    """Partials spread by the knob; the same array where it stands at 0."""
    if stretch == 0:
        return hz
    k = np.minimum(harmonic, 64)
    return np.asarray(hz * np.sqrt(np.maximum(1 + stretch * STRETCH_INHARMONICITY * (k**2 - (k > 0)), 0.1)))


def _gains(hz: NDArray[np.float64], harmonic: NDArray[np.int64], touch: Touch) -> NDArray[np.float32] | None:
    """What brightness, odd/even and body make of each carrier, (carriers,); None where that is nothing."""
    brightness, balance, body = touch.knob("brightness"), touch.knob("odd_even"), touch.knob("body")
    if not brightness and not balance and not body:
        return None
    db = np.minimum(brightness * np.log2(np.maximum(hz, 20) / 1000), HIGHEST_TILT)
    muted = (harmonic % 2 == 0) & (harmonic > 0) if balance > 0 else harmonic % 2 == 1
    db = db + np.where(muted, MUTED_DB * abs(balance), 0.0)
    db = db + np.where(harmonic == 0, body, 0.0)
    return np.asarray(np.power(10.0, db / 20), np.float32)


def _left_right(sound: Samples, touch: Touch) -> Samples:
    """Mono (frames, n) to left and right (frames, 2, n) with the channel's gains."""
    return sound[:, None] * np.array([[touch.left], [touch.right]], np.float32)


def channel_gains(gain: float, pan: float) -> tuple[float, float]:
    """Left and right gain of a balance control: the far side fades, the near one stays.

    At the centre both are `gain`; a balance keeps the instrument's own stereo picture, as a pan would not.
    """
    return gain * min(1.0, 1.0 - pan), gain * min(1.0, 1.0 + pan)


def soft_gain(depth: float, knobs: Mapping[str, float]) -> float:
    """Gain of a note struck while the soft pedal is down to `depth` (0-1)."""
    return db_to_gain(-depth * knobs.get("soft", KNOBS["soft"].default))


def no_gradients() -> torch.inference_mode:
    """The mode in which networks are played."""
    return torch.inference_mode()
