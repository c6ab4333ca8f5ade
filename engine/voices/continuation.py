"""A song that goes on: each block is drawn from what the network makes of those before it. See `SongModel`.

Blocks become numbers and numbers sound in one of two ways:

    BandBlocks       a few frames of levels in bands, as standardised principal components; phases are integrated from
                     block to block, frames overlap across borders: no seams. One frame is held back, because a
                     phase's derivative needs the frame after it.
    SpectrumBlocks   a Fourier transform of each block, real beside imaginary parts, standardised; block beside block
                     as in the first system of this kind, or with a window over neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.bands import Bands, Picture
from engine.errors import InstrumentError
from engine.inversion import PhaseStream
from engine.networks.generators import SongNetwork, State
from engine.spectral import Samples

Blocks = NDArray[np.float32]
"""(blocks, size), standardised."""

LIMIT = 8.0  # deviations, beyond which no block lies: a network that errs must not be loud
LEAST_BLOCKS = 4
HEARD_BLOCKS = 400
RAMP = 8  # first blocks that are written again before a continuation, to fill what overlaps


@dataclass(frozen=True)
class Sounding:
    """Where a stream stands: sums that later frames add to; for bands phases, the two last frames, and their number."""

    tail: NDArray[np.float32]
    phases: PhaseStream | None = None
    last: NDArray[np.float32] | None = None
    frames: int = 0


@dataclass(frozen=True)
class BandBlocks:
    """Blocks of `frames` frames. mean (width,), basis (size, width), deviations (size,); width is frames * bands."""

    bands: Bands
    frames: int
    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    deviations: NDArray[np.float32]

    def __post_init__(self) -> None:
        width = self.frames * self.bands.count
        if not 1 <= self.frames <= 256 or self.mean.shape != (width,):
            raise ValueError("the blocks' mean is not of their size")
        if self.basis.shape != (len(self.deviations), width) or not bool((self.deviations > 0).all()):
            raise ValueError("the blocks' components do not fit together")

    @property
    def size(self) -> int:
        """Numbers of a block."""
        return len(self.deviations)

    @property
    def samples(self) -> int:
        """Length of a block."""
        return self.frames * self.bands.stft.hop

    def of(self, mono: Samples) -> Blocks:
        """Whole blocks of a sound (samples,)."""
        picture = self.bands.levels(self.bands.stft.analyse(mono))
        rows = picture[: len(picture) // self.frames * self.frames].reshape(-1, self.frames * self.bands.count)
        return np.asarray(((rows - self.mean) @ self.basis.T) / self.deviations, np.float32)

    def picture(self, blocks: Blocks) -> Picture:
        """Levels (frames, bands) of blocks."""
        rows = (np.clip(blocks, -LIMIT, LIMIT) * self.deviations) @ self.basis + self.mean
        return np.asarray(rows.reshape(-1, self.bands.count), np.float32)

    def start(self, rng: np.random.Generator) -> Sounding:
        """Before the first block."""
        stft = self.bands.stft
        loudest = 10 ** (self.bands.top_db / 20)
        return Sounding(
            np.zeros(stft.length - stft.hop, np.float32), PhaseStream(stft, loudest, rng),
            np.zeros((2, stft.bins), np.float32),
        )  # fmt: skip

    def sound(self, state: Sounding, blocks: Blocks, rng: np.random.Generator) -> tuple[Samples, Sounding]:
        """The next samples (blocks * samples,) and where the stream stands then."""
        assert state.phases is not None and state.last is not None
        stft, phases = self.bands.stft, state.phases.copy(rng)
        fresh = self.bands.textured(self.bands.magnitudes(self.picture(blocks)), 0, state.frames)
        known = np.concatenate([state.last, fresh])
        now = known[1:-1]
        angles = phases.push(now, known)
        stretches = stft.inverse((now * np.exp(1j * angles)).astype(np.complex64))
        sums = np.zeros(len(now) * stft.hop + len(state.tail), np.float32)
        sums[: len(state.tail)] = state.tail
        for index, stretch in enumerate(stretches):
            sums[index * stft.hop : index * stft.hop + stft.length] += stretch
        done = len(now) * stft.hop
        return sums[:done], Sounding(sums[done:], phases, known[-2:], state.frames + len(fresh))


@dataclass(frozen=True)
class SpectrumBlocks:
    """Blocks of `samples` samples as their Fourier transforms. mean, deviations (size,), size 2 (length // 2 + 1).

    overlap: samples that a block's window shares with the next one's, 0 for none: then blocks click at their seams.
    """

    samples: int
    overlap: int
    mean: NDArray[np.float32]
    deviations: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not 16 <= self.samples <= 1 << 17 or not 0 <= self.overlap <= self.samples:
            raise ValueError("a block's samples are not in 16..131072, or its overlap is longer than it is")
        if not len(self.mean) == len(self.deviations) == 2 * (self.length // 2 + 1):
            raise ValueError("the blocks' mean and deviations are not of their size")

    @property
    def length(self) -> int:
        """Samples under the window."""
        return self.samples + self.overlap

    @property
    def size(self) -> int:
        """Numbers of a block."""
        return len(self.mean)

    @cached_property
    def window(self) -> Samples:
        """Rises and falls in its overlaps so that its squares add to 1, (length,)."""
        ramp = np.sin(np.pi / 2 * (np.arange(self.overlap) + 0.5) / max(1, self.overlap))
        return np.concatenate([ramp, np.ones(self.samples - self.overlap), ramp[::-1]]).astype(np.float32)

    def spectra(self, mono: Samples) -> NDArray[np.float32]:
        """Real beside imaginary parts (blocks, size) of a sound (samples,)."""
        if len(mono) < self.length:
            return np.zeros((0, 2 * (self.length // 2 + 1)), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(mono, self.length)[:: self.samples] * self.window
        spectra = np.fft.rfft(frames, axis=1) / self.length
        return np.concatenate([spectra.real, spectra.imag], axis=1).astype(np.float32)

    def of(self, mono: Samples) -> Blocks:
        """Whole blocks of a sound (samples,)."""
        return np.asarray((self.spectra(mono) - self.mean) / self.deviations, np.float32)

    def start(self, rng: np.random.Generator) -> Sounding:
        """Before the first block."""
        return Sounding(np.zeros(self.overlap, np.float32))

    def sound(self, state: Sounding, blocks: Blocks, rng: np.random.Generator) -> tuple[Samples, Sounding]:
        """The next samples (blocks * samples,) and where the stream stands then."""
        rows = np.clip(blocks, -LIMIT, LIMIT) * self.deviations + self.mean
        real, imaginary = np.split(rows * self.length, 2, axis=1)
        stretches = np.fft.irfft(real + 1j * imaginary, n=self.length, axis=1) * self.window
        sums = np.zeros(len(blocks) * self.samples + self.overlap, np.float32)
        sums[: self.overlap] = state.tail
        for index, stretch in enumerate(stretches):
            sums[index * self.samples : index * self.samples + self.length] += stretch
        done = len(blocks) * self.samples
        return sums[:done], Sounding(sums[done:])


@dataclass(frozen=True)
class SongState:
    """After a number of blocks: what the network remembers, what it says comes next, where the sound stands."""

    memory: State
    said: Tensor
    sounding: Sounding


@dataclass(frozen=True)
class Continuation:
    """A `SongModel`. beginnings: stored blocks (blocks, size), as many as titles."""

    network: SongNetwork
    codec: BandBlocks | SpectrumBlocks
    seeds: tuple[str, ...]
    beginnings: Sequence[Blocks]
    knobs: tuple[str, ...] = field(default=("temperature",))

    def __post_init__(self) -> None:
        if self.network.config.size != self.codec.size:
            raise ValueError("the network's blocks are not those of the codec")
        if not self.seeds or len(self.seeds) != len(self.beginnings):
            raise ValueError("a song needs beginnings, each with a title")
        if any(
            rows.ndim != 2 or len(rows) < LEAST_BLOCKS or rows.shape[1] != self.codec.size for rows in self.beginnings
        ):
            raise ValueError("a beginning is too short, or not of the network's size")

    @property
    def block(self) -> int:
        """Samples that `next` adds."""
        return self.codec.samples

    def begin(self, seed: int | Samples) -> SongState:
        """A state after a stored beginning, or a sound (2, samples); see `SongModel`.

        Raises InstrumentError where the sound is too short or no sound, IndexError for a beginning that there is not.
        """
        if isinstance(seed, int | np.integer):
            blocks = self.beginnings[int(seed)]
        else:
            mono = np.asarray(seed, np.float32).mean(axis=0)
            if not np.isfinite(mono).all():
                raise InstrumentError("there is nothing in this sound to go on from")
            blocks = self.codec.of(mono)[-HEARD_BLOCKS:]
            if len(blocks) < LEAST_BLOCKS:
                seconds = (LEAST_BLOCKS + 1) * self.block / 44_100
                raise InstrumentError(f"this sound is too short to go on from: it takes {seconds:.1f} seconds at least")
        rng = np.random.default_rng(0)
        with torch.inference_mode():
            out, memory = self.network(torch.from_numpy(np.clip(blocks, -LIMIT, LIMIT))[None])
        sounding = self.codec.sound(self.codec.start(rng), blocks[-RAMP:], rng)[1]
        return SongState(memory, out[0, -1], sounding)

    def next(self, state: SongState, temperature: float, rng: np.random.Generator) -> tuple[Samples, SongState]:
        """The next samples (2, block) and the state after them; see `SongModel`."""
        if not bool(torch.isfinite(state.said).all()):  # what is drawn from it would be no block
            return np.full((2, self.block), np.nan, np.float32), state
        block = self.drawn(state.said, temperature, rng)
        mono, sounding = self.codec.sound(state.sounding, block[None], rng)
        with torch.inference_mode():
            out, memory = self.network(torch.from_numpy(block)[None, None], state.memory)
        return np.repeat(mono[None], 2, axis=0), SongState(memory, out[0, -1], sounding)

    def drawn(self, said: Tensor, temperature: float, rng: np.random.Generator) -> NDArray[np.float32]:
        """A block (size,) of those that the network holds for likely."""
        if not self.network.config.mixture:
            return np.asarray(np.clip(said.numpy(), -LIMIT, LIMIT), np.float32)
        weights, means, deviations = (part.numpy() for part in self.network.mixture(said))
        if temperature <= 0:
            return np.asarray(np.clip(means[int(weights.argmax())], -LIMIT, LIMIT), np.float32)
        odds = np.exp((weights - weights.max()) / max(temperature, 1e-2))
        chosen = int(rng.choice(len(odds), p=odds / odds.sum()))
        noise = rng.standard_normal(self.codec.size) * np.exp(deviations[chosen]) * temperature
        return np.asarray(np.clip(means[chosen] + noise, -LIMIT, LIMIT), np.float32)
