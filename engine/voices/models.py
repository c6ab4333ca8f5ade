"""Models of keyed instruments: from a note to frames of network input, from network output to stretches of sound.

A model has no state: `engine.voices.keys` keeps it for every voice.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.codec import NnssCodec, Note, ScoreCodec
from engine.grid import Frames as KnotFrames
from engine.grid import Grid, interpolation
from engine.knobs import KNOBS, PLAIN, SPECTRAL
from engine.motion import Motion
from engine.networks.heads import BinHead, PartialHead
from engine.networks.playing import PlayingNetwork
from engine.networks.spectral import SpectralNetwork
from engine.noise import band_of_bin, carrier_bands, carrier_factor, noise_frames, noise_rows, power_in_bands
from engine.partials import CarrierTable, PartialSynthesis
from engine.sounding import BandedLobes, Tone, sounds
from engine.spectral import Samples
from engine.units import db_to_gain, semitones_to_ratio
from engine.voices.piece import Phase, Piece

Content = NDArray[np.complex64]
"""What the network wrote for some frames of one note: envelopes (with their noise, see `PartialKeys`) or spectra."""
Turning = NDArray[np.complex64]
"""See `PartialKeys._turning`."""

STRETCH_INHARMONICITY = 2e-3  # at the knob's ends, added to the partials' own
MUTED_DB = -48.0  # of odd or even partials at the knob's ends
KEPT_LOBES = 128  # 0.1 megabytes each
TURNED_FRAMES = 16  # that are made to sound at once at most, mostly
HIGHEST_TILT = 30.0  # dB that the brightness knob may add to any carrier
SWUNG_FRAMES = 2  # 12 ms, in which a vibrato's pitch may stand still
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
class Raw:
    """The network's output (knots, outputs), and of what.

    note: at its own velocity. latent: see `KeysModel.latent`. knots: the frames that it is of. before: the content of
    the frame `begin` - 1, where there is one, from which lines are drawn to the first knot.
    """

    output: NDArray[np.float32]
    note: Note
    latent: tuple[float, ...]
    knots: KnotFrames
    before: Content | None = None
    begin: int = 0

    @property
    def first(self) -> int:
        """The first frame of its content."""
        return int(self.knots[0]) if self.before is None else self.begin

    def between(self, values: Content) -> Content:
        """Values at the knots (knots, ...) as content of all frames from the first on."""
        knots: KnotFrames = self.knots
        if self.before is not None:
            values = np.concatenate([self.before, values])
            knots = np.concatenate([[self.begin - 1], knots])
        first, last = self.first, int(knots[-1])
        if last - first + 1 == len(self.knots):
            return values[len(values) - len(self.knots) :]
        lines = interpolation(knots, first, last)
        return (lines @ values.reshape(len(values), -1)).reshape(len(lines), *values.shape[1:])


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
    def grid(self) -> Grid:
        """At which frames the network writes."""

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

    def inputs(self, note: Note, knots: KnotFrames, latent: tuple[float, ...]) -> NDArray[np.float32]:
        """Network input (knots, features) of some frames in ascending order."""

    def decode(self, raw: Raw) -> Content:
        """What the network's output says of a note, at every frame from `raw.first` up to its last knot."""

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

    def _prepare(
        self, codec: ScoreCodec, network: SpectralNetwork, head: PartialHead, grid: Grid, rise: int
    ) -> None:  # fmt: skip
        self.codec, self.network, self.head, self.grid = codec, network, head, grid
        self.synthesis = PartialSynthesis(codec.stft.length, codec.stft.hop, codec.sample_rate, rise)
        self._rest: dict[tuple[int, tuple[float, ...]], tuple[BandedLobes, Turning]] = {}
        self._making = threading.Lock()
        if head.noise:
            self._band = band_of_bin(head.noise, codec.stft.bins, codec.sample_rate)

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
        missing |= {"voicing"} if not self.voiced else set()
        missing |= {"vibrato", "ensemble"} if not self.moves else set()
        return tuple(name for name in SPECTRAL if name not in missing)

    def latent(self, touch: Touch) -> tuple[float, ...]:
        """Nothing: this instrument has one timbre."""
        return ()

    def inputs(self, note: Note, knots: KnotFrames, latent: tuple[float, ...]) -> NDArray[np.float32]:
        """The two sines."""
        return self.codec.at(note, knots)

    def decode(self, raw: Raw) -> Content:
        """Envelopes and after them levels of noise, complex (frames, channels, carriers + bands), at the note's own
        velocity."""
        gain, key = self._gain(raw.note, raw.latent), round(raw.note.key)
        with torch.inference_mode():
            reference, noise = self._references(key, raw.latent)
            output = torch.from_numpy(raw.output)
            values = self.head.envelopes(output, reference * gain)
            if self.head.noise:
                bands = carrier_bands(self._carriers(key, raw.latent)[0], self.head.noise, self.synthesis)
                power = power_in_bands(values.abs().pow(2), bands, self._carrier_factor)
                base = self.head.noise_base(values, reference * gain, power, noise * gain)
                levels = self.head.log_noise(output).exp() * base.sqrt()
                values = torch.cat([values, torch.complex(levels, torch.zeros_like(levels))], -1)
        return raw.between(values.numpy())

    def _gain(self, note: Note, latent: tuple[float, ...]) -> float:
        """Amplitude factor of a note's velocity."""
        return float(self.head.gain(note.velocity))

    def _references(self, key: int, latent: tuple[float, ...]) -> tuple[Tensor, Tensor]:
        """Level and phase of a key's carriers, complex (channels, carriers), and level of its noise bands."""
        row = self.carriers.row(key)
        return self.reference[row], self.noise[row]

    def guess(self, content: Content, count: int) -> Content:
        """Every carrier, which turns by itself, fades as it did: in 8 frames of a piano's held note 18 to 23 dB."""
        return _faded(content, count, turning=False)

    def prepare(self, note: Note, latent: tuple[float, ...]) -> None:
        """The lobes of an untouched key: the dearest part of a note that has not been played before."""
        key = round(note.key)
        self._at_rest(key, latent, self._carriers(key, latent)[0])

    def level(self, content: Content) -> float:
        """All carriers in phase, and noise at four times its standard deviation."""
        carriers = self.head.carriers
        level = np.abs(content[..., :carriers]).sum(axis=(1, 2))
        if self.head.noise:
            power = np.square(content[..., carriers:].real) @ self._band_shares
            level = level + 4 * np.sqrt(power).sum(axis=1)
        return float(level.max())

    @cached_property
    def _carrier_factor(self) -> Tensor:
        """See `engine.noise.carrier_factor`."""
        return carrier_factor(self.head.noise, self.synthesis)

    @cached_property
    def _band_shares(self) -> NDArray[np.float32]:
        """Of all bins those of each noise band, (bands,): by which its level's square makes the noise's variance."""
        return np.asarray(np.bincount(self._band, minlength=self.head.noise) / len(self._band), np.float32)

    def pieces(self, frames: Sequence[Frames]) -> list[Piece]:
        """See `KeysModel`: envelopes are shaped by the knobs, turned by their carriers, and transformed."""
        if not frames:
            return []
        tones, phases, counts = list[Tone](), list[list[NDArray[np.float64]]](), list[int]()
        for one in frames:
            phase, turned = one.phase, list[NDArray[np.float64]]()
            for part in self._at_pitches(one):
                tone, after = self._tone(replace(part, phase=phase))
                tones.append(tone)
                turned.append(after if not turned else after[1:])
                phase = after[-1]
            phases.append(turned)
            counts.append(len(turned))
        made, pieces = sounds(tones, self.length), []
        for one, turned, end in zip(frames, phases, np.cumsum(counts), strict=True):
            parts = made[end - len(turned) : end]
            stretches, sound = parts[0] if len(parts) == 1 else (np.concatenate([part for part, _ in parts]), None)
            pieces.append(self._risen(Piece.of(one.first, stretches, np.concatenate(turned), self.hop, sound)))
        return pieces

    moves = False
    """Whether its notes have a motion of their own, see `engine.motion`."""

    def _motion(self, key: int, latent: tuple[float, ...]) -> Motion | None:
        return None

    def _at_pitches(self, frames: Frames) -> list[Frames]:
        """Frames in parts that are short beside a vibrato, each at its own pitch and with the ensemble's envelopes."""
        touch, key = frames.touch, round(frames.note.key)
        motion = self._motion(key, self.latent(touch)) if self.moves else None
        if motion is None:
            return [frames]
        seed, rate, content = key * 128 + round(frames.note.velocity), self.codec.sample_rate, frames.content
        centres = self.synthesis.centre(frames.first) + self.hop * np.arange(len(content))
        seconds = np.maximum(centres / rate, 0)
        if ensemble := touch.knob("ensemble") * (motion.ensemble > 0):
            carriers = self.head.carriers
            content = content.copy()
            louder = replace(motion, ensemble=motion.ensemble * ensemble)
            content[..., :carriers] *= louder.envelopes(seed, seconds, carriers)[:, None]
            frames = replace(frames, content=content)
        swing = touch.knob("vibrato")
        if not swing or not motion.swings:
            return [frames]
        parts = []
        for start in range(0, len(content), SWUNG_FRAMES):
            end = min(start + SWUNG_FRAMES, len(content))
            cents = swing * float(motion.cents(seed, seconds[start:end]).mean())
            bent = replace(touch, semitones=touch.semitones + cents / 100)
            parts.append(replace(frames, content=content[start:end], first=frames.first + start, touch=bent))
        return parts

    def _risen(self, piece: Piece) -> Piece:
        """A piece under the onset's gain, if it holds the onset."""
        if piece.start >= self.synthesis.rise:
            return piece
        gain = self.synthesis.onset_gain(piece.start, piece.sound.shape[1])
        view = np.lib.stride_tricks.sliding_window_view(gain, self.length)[:: self.hop]
        return replace(piece, stretches=piece.stretches * view[:, None], sound=piece.sound * gain)

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
        if voiced := self._voicing(key, latent) * touch.knob("voicing"):
            turns *= np.float32(db_to_gain(voiced))
        if (fade := self._fade(frames.first, count, touch)) is not None:
            turns *= fade[:, None]
        wide = touch.knob("width") if self.head.channels > 1 else 0.0
        sides = touch.left, touch.left * wide, touch.right, -touch.right * wide
        envelopes = np.ascontiguousarray(frames.content[..., : self.head.carriers])
        tone = Tone(envelopes, turns, sides, lobes, self._noise_of(frames, fade, sides))
        return tone, phase + np.arange(count + 1)[:, None] * steps

    def _noise_of(
        self, frames: Frames, fade: NDArray[np.float32] | None, sides: tuple[float, float, float, float]
    ) -> NDArray[np.complex64] | None:
        """Spectra (frames, left and right, bins) of the noise."""
        touch, note, carriers = frames.touch, frames.note, self.head.carriers
        breath = np.float32(touch.knob("breath")) if self.head.noise else 0
        if not breath:
            return None
        levels = frames.content[..., carriers:].real * breath
        if voiced := self._voicing(round(note.key), self.latent(touch)) * touch.knob("voicing"):
            levels = levels * np.float32(db_to_gain(voiced))
        if brightness := touch.knob("brightness"):
            levels = levels * _tilt(self._band_hz, brightness)
        if fade is not None:
            levels = levels * fade[:, None, None]
        rows = noise_rows(round(note.key), round(note.velocity), frames.first, len(levels))
        spectra = noise_frames(self.synthesis, self.head.channels)[rows] * levels[..., self._band]
        mix = np.array(sides, np.float32).reshape(2, 2)[:, : self.head.channels]
        return np.asarray(np.einsum("sc,fcb->fsb", mix, spectra), np.complex64)

    @cached_property
    def _band_hz(self) -> NDArray[np.float64]:
        """Mean frequency of every noise band, (bands,)."""
        hz = np.arange(len(self._band)) * self.codec.sample_rate / self.codec.stft.length
        return np.asarray(np.bincount(self._band, hz) / np.bincount(self._band))

    @property
    def voiced(self) -> bool:
        """Whether it has a voicing."""
        return self.voicing is not None

    def _voicing(self, key: int, latent: tuple[float, ...]) -> float:
        """Decibels that make a key as loud as those around it."""
        return 0.0 if self.voicing is None else float(self.voicing[self.carriers.row(key)])

    def _carriers(self, key: int, latent: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
        self.codec, self.network, self.head, self.grid = codec, network, head, Grid()

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

    def inputs(self, note: Note, knots: KnotFrames, latent: tuple[float, ...]) -> NDArray[np.float32]:
        """The two sines."""
        return self.codec.frames(note, int(knots[0]), len(knots))

    def decode(self, raw: Raw) -> Content:
        """Spectra (frames, bins); every velocity sounds the same."""
        with torch.inference_mode():
            return raw.between(np.asarray(self.head.spectrum(torch.from_numpy(raw.output)).numpy(), np.complex64))

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


def _stretched(hz: NDArray[np.float64], harmonic: NDArray[np.float64], stretch: float) -> NDArray[np.float64]:
    """Partials spread by the knob; the same array where it stands at 0."""
    if stretch == 0:
        return hz
    k = np.minimum(harmonic, 64)
    return np.asarray(hz * np.sqrt(np.maximum(1 + stretch * STRETCH_INHARMONICITY * np.maximum(k**2 - 1, 0), 0.1)))


def _gains(hz: NDArray[np.float64], harmonic: NDArray[np.float64], touch: Touch) -> NDArray[np.float32] | None:
    """What brightness, odd/even and body make of each carrier, (carriers,); None where that is nothing."""
    brightness, balance, body = touch.knob("brightness"), touch.knob("odd_even"), touch.knob("body")
    if not brightness and not balance and not body:
        return None
    db = _tilt_db(hz, brightness)
    muted = (harmonic % 2 == 0) & (harmonic > 0) if balance > 0 else harmonic % 2 == 1
    db = db + np.where(muted, MUTED_DB * abs(balance), 0.0)
    db = db + np.where(harmonic == 0, body, 0.0)
    return np.asarray(np.power(10.0, db / 20), np.float32)


def _tilt_db(hz: NDArray[np.float64], brightness: float) -> NDArray[np.float64]:
    return np.minimum(brightness * np.log2(np.maximum(hz, 20) / 1000), HIGHEST_TILT)


def _tilt(hz: NDArray[np.float64], brightness: float) -> NDArray[np.float32]:
    """Gain of the brightness knob at frequencies."""
    return np.asarray(np.power(10.0, _tilt_db(hz, brightness) / 20), np.float32)


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
