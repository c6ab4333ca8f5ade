"""Models of pads: a place in a space of sounds becomes a sound. See `engine.voices.generated` for what voices need.

    sigmas s -> code m + (s e) V -> decoder -> picture of levels -> magnitudes -> phases -> sound

m, V and e are mean, principal axes and standard deviations of the training data's codes, so that every slider matters
as much as it says, the first one most. A raw decoder writes the sound itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import nn

from engine.bands import Bands, Picture
from engine.errors import InstrumentError
from engine.inversion import invert
from engine.networks.generators import GeneratorConfig
from engine.spectral import Samples
from engine.voices.generated import Latent, Pad

SILENT_DB = -60.0
FADE = 0.01  # seconds that a hit's end fades out in
LATENT_LIMIT = 8.0  # sigmas: a knob's reach and some variation


@dataclass(frozen=True)
class LatentSpace:
    """Principal axes of the data's codes. mean (code,), axes (sigmas, code), deviations (sigmas,), strongest first."""

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    deviations: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.axes.shape != (len(self.deviations), len(self.mean)) or not len(self.deviations):
            raise ValueError("the axes of the space do not fit its mean and deviations")
        if not bool((self.deviations > 0).all()):
            raise ValueError("a deviation of the space is not over 0")

    @classmethod
    def of(cls, codes: NDArray[np.float32], least: float = 1e-3) -> LatentSpace:
        """The space of codes (items, code); axes under `least` of the first one's deviation are left out."""
        mean = codes.mean(axis=0)
        _, values, axes = np.linalg.svd(codes - mean, full_matrices=False)
        deviations = values / np.sqrt(max(1, len(codes) - 1))
        kept = deviations > max(least * float(deviations[0]), 1e-9)
        if not kept.any():
            raise ValueError("all codes are the same: there is nothing to move between")
        signs = np.sign(axes[kept].sum(axis=1, keepdims=True) + 1e-9)
        rows = (mean, axes[kept] * signs, deviations[kept])
        return cls(*(np.ascontiguousarray(row, np.float32) for row in rows))

    def code(self, latent: Latent) -> NDArray[np.float32]:
        """Code (..., code) of a place (..., sigmas): m + (s e) V."""
        return np.asarray(self.mean + (latent * self.deviations) @ self.axes, np.float32)

    def latent(self, code: NDArray[np.float32]) -> Latent:
        """Place (..., sigmas) of a code (..., code): (x - m) V^T / e."""
        return np.asarray(((code - self.mean) @ self.axes.T) / self.deviations, np.float32)


@dataclass(frozen=True)
class Voicing:
    """How pictures become sounds. iterations: of Griffin-Lim, after phase-gradient integration. parts: pictures that
    one sound is made of, one after the other. raw_rate: of samples that a decoder writes by itself, 0 for pictures.
    """

    loop: bool
    iterations: int = 4
    parts: int = 1
    raw_rate: int = 0
    bpm: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.iterations <= 200 or not 1 <= self.parts <= 64:
            raise ValueError("iterations are not in 0..200, or parts not in 1..64")
        if self.raw_rate and not 1000 <= self.raw_rate <= 192_000:
            raise ValueError(f"a rate of {self.raw_rate} Hz is not in 1000..192000")
        if not 0 <= self.bpm <= 1000:
            raise ValueError(f"a tempo of {self.bpm} is not in 0..1000")


@dataclass(frozen=True)
class GeneratedPads:
    """A `PadsModel`. encoder: None where the model cannot listen. bands: None for a raw decoder."""

    config: GeneratorConfig
    decoder: nn.Module
    encoder: nn.Module | None
    space: LatentSpace
    pads: tuple[Pad, ...]
    voicing: Voicing
    bands: Bands | None
    sample_rate: int = 44_100
    knobs: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if len(self.space.mean) != self.config.code * self.voicing.parts:
            raise ValueError("the space's codes are not those of the decoder")
        if (self.bands is None) != bool(self.voicing.raw_rate) or (self.bands is None) != (not self.config.bands):
            raise ValueError("a decoder of pictures needs bands, and a decoder of samples a rate")
        if self.bands is not None and self.bands.count != self.config.bands:
            raise ValueError("the decoder has another number of bands")
        if not self.pads or any(
            pad.centre.shape != (self.axes,) or pad.spread.shape != (self.axes,) for pad in self.pads
        ):
            raise ValueError("the pads do not lie in the space")
        if self.bands is not None and self.samples <= 0:
            raise ValueError("its sounds are shorter than a frame")

    @property
    def axes(self) -> int:
        """Numbers of a latent."""
        return len(self.space.deviations)

    @property
    def bpm(self) -> float:
        """Tempo of its loops; 0 for one-shots."""
        return self.voicing.bpm

    @property
    def samples(self) -> int:
        """Length of its sounds before their silent ends are cut, at `sample_rate`."""
        frames = self.config.frames * self.voicing.parts
        if self.bands is None:
            return round(frames * self.sample_rate / self.voicing.raw_rate)
        stft = self.bands.stft
        return frames * stft.hop if self.voicing.loop else (frames + 1) * stft.hop - stft.length

    def written(self, latent: Latent) -> NDArray[np.float32]:
        """What the decoder writes for a place: a picture (frames, bands), or samples (samples,) at its own rate.

        Raises ValueError for a latent of another length or with numbers that are not finite.
        """
        if latent.shape != (self.axes,) or not np.isfinite(latent).all():
            raise ValueError(f"a latent of shape {latent.shape} is not {self.axes} finite numbers")
        code = self.space.code(np.clip(latent, -LATENT_LIMIT, LATENT_LIMIT).astype(np.float32))
        with torch.inference_mode():
            out = self.decoder(torch.from_numpy(code).float().reshape(self.voicing.parts, -1)).numpy()
        return np.asarray(out.reshape(-1, *out.shape[2:]))

    def sounding(self, written: NDArray[np.float32], seed: int) -> Samples:
        """The sound (2, samples) of what the decoder wrote."""
        voicing = self.voicing
        if self.bands is None:
            mono = _resampled(written, voicing.raw_rate, self.sample_rate, self.samples, loop=voicing.loop)
        else:
            magnitudes = self.bands.textured(self.bands.magnitudes(written), seed)
            mono = invert(
                magnitudes, self.bands.stft, self.samples, seed=seed, iterations=voicing.iterations, loop=voicing.loop
            )
        if not voicing.loop:
            mono = cut_end(mono, self.sample_rate)
        return np.repeat(mono[None], 2, axis=0)

    def sound(self, latent: Latent, seed: int = 0) -> Samples:
        """One hit or loop (2, samples); see `engine.voices.generated.PadsModel`."""
        return self.sounding(self.written(latent), seed)

    def encode(self, sound: Samples) -> Latent:
        """The latent of a sound (2, samples). Raises InstrumentError where the model cannot listen."""
        if self.encoder is None:
            raise InstrumentError("this instrument cannot listen: its network was only taught to make sounds")
        mono = np.asarray(sound, np.float32).mean(axis=0)
        if not mono.size or not np.isfinite(mono).all() or not mono.any():
            raise InstrumentError("there is nothing in this sound to listen to")
        heard = self.heard(mono)
        with torch.inference_mode():
            parts = torch.from_numpy(heard.reshape(self.voicing.parts, -1, *heard.shape[1:]))
            code = self.encoder(parts)[:, : self.config.code].numpy()
        return np.clip(self.space.latent(code.reshape(-1)), -LATENT_LIMIT, LATENT_LIMIT)

    def heard(self, mono: Samples) -> NDArray[np.float32]:
        """What the encoder hears of a sound (samples,): as `written`."""
        if self.bands is None:
            frames = self.config.frames * self.voicing.parts
            return fitted(_resampled(mono, len(mono), frames, frames, loop=True), frames)
        if self.voicing.loop:
            return loop_picture(mono, self.bands, self.config.frames * self.voicing.parts)
        return hit_picture(mono, self.bands, self.config.frames * self.voicing.parts)


def hit_picture(mono: Samples, bands: Bands, frames: int) -> Picture:
    """Picture (frames, bands) of a hit (samples,), from its onset on, cut or followed by silence."""
    samples = (frames + 1) * bands.stft.hop - bands.stft.length
    hit = fitted(mono[onset(mono) :], samples)
    fade = min(samples, samples // 10)
    hit[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return bands.levels(bands.stft.analyse(hit))[:frames]


def loop_picture(mono: Samples, bands: Bands, frames: int) -> Picture:
    """Picture (frames, bands) of a loop (samples,) of any length, which goes round: so loops of all tempi have the
    same number of frames, without being stretched first."""
    length = bands.stft.length
    ends = np.round((np.arange(frames) + 1) * len(mono) / frames).astype(int)
    places = (ends[:, None] - length + np.arange(length)[None]) % len(mono)
    return bands.levels(bands.stft.transform(mono[places]))


def onset(mono: Samples, share: float = 0.02) -> int:
    """The first sample over that share of the peak, or 0 in silence."""
    loud = np.abs(mono) > share * np.abs(mono).max(initial=0.0)
    return int(loud.argmax()) if loud.any() else 0


def fitted(mono: Samples, samples: int) -> Samples:
    """Exactly so many samples, the rest being silence."""
    return np.pad(mono[:samples], (0, max(0, samples - len(mono)))).astype(np.float32)


def cut_end(mono: Samples, sample_rate: int) -> Samples:
    """Without the end that lies SILENT_DB under the peak; the last FADE seconds fade out."""
    level = np.abs(mono)
    heard = np.flatnonzero(level > level.max(initial=0.0) * 10 ** (SILENT_DB / 20))
    fade = round(FADE * sample_rate)
    end = min(len(mono), (int(heard[-1]) if len(heard) else 0) + fade)
    out = mono[:end].copy()
    out[-fade:] *= np.linspace(1, 0, min(fade, end), dtype=np.float32)
    return out


def _resampled(mono: Samples, rate: int, new_rate: int, samples: int, *, loop: bool) -> Samples:
    """Samples (samples,) at another rate; a loop's ends know of each other."""
    edge = min(len(mono), 1024) if loop else 0
    around = np.concatenate([mono[len(mono) - edge :], mono, mono[:edge]]) if edge else mono
    out = soxr.resample(around.astype(np.float32), rate, new_rate)
    return fitted(out[round(edge * new_rate / rate) :], samples)


def named_pads(
    titles: Sequence[str], latents: NDArray[np.float32], labels: NDArray[np.intp], *, beats: float = 0.0,
    chokes: Sequence[Sequence[str]] = (("hat", "open hat"),), typical: bool = False,
) -> tuple[Pad, ...]:  # fmt: skip
    """A pad for each title that has any: mean and deviation of the latents (items, axes) with its number as label.

    typical: its centre is the latent nearest to the mean instead, where the mean would sound like all at once.
    """
    pads = []
    for number, title in enumerate(titles):
        own = latents[labels == number]
        if not len(own):
            continue
        spread = own.std(axis=0) if len(own) > 1 else np.zeros(latents.shape[1])
        centre = own.mean(axis=0)
        if typical:
            centre = own[np.square(own - centre).sum(axis=1).argmin()]
        choke = next((group for group, names in enumerate(chokes, 1) if title in names), 0)
        pads.append(Pad(title, centre.astype(np.float32), spread.astype(np.float32), choke, beats))
    return tuple(pads)
