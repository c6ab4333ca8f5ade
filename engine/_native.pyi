"""What has a deadline, in C++: see engine/native."""

from typing import overload

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
Complex = NDArray[np.complex64]
Affine = tuple[Array, Array]
"""A matrix (outputs, inputs) and what is added to its product, (outputs,)."""
Direction = tuple[Affine, Affine]
"""The input's and the state's share of one direction of a recurrent layer."""

def kernel_names() -> list[str]:
    """Kinds of arithmetic that this processor has, the fastest first."""

class Network:
    """The network of a keyed instrument, see `engine.networks.spectral`."""

    def __init__(
        self,
        cell: str,
        cells: int,
        front: Affine | None,
        layers: list[tuple[Direction, Direction]],
        out: Affine,
        kernels: str = "",
    ) -> None:
        """layers: forward and backward direction of each; its blocks in the order of the cell's definition.

        Raises ValueError where the cell or the kernels are unknown, or sizes do not fit each other.
        """

    @property
    def states(self) -> int:
        """Numbers in a voice's state: of each layer h, and of an LSTM c."""

    def window(self, input: Array, commit: int, before: Array) -> tuple[Array, Array]:
        """The next window of some voices, see `LookaheadRecurrent.window`. Lets the interpreter go.

        input: (voices, commit + context, features). before: (voices, states). Returns the output (voices, commit,
        outputs) and the states after each frame (voices, commit, states). What a voice gets does not depend on the
        others, to the last bit. Raises ValueError where sizes do not fit.
        """

class Tables:
    """What an instrument knows of its keys beside the network."""

def plain_tables(
    first_key: int,
    hz: Doubles,
    harmonic: Array,
    reference: Complex,
    noise: Array,
    voicing: Doubles | None,
    exponent: float,
) -> Tables:
    """Of one timbre: see `engine.voices.models.PartialKeys`. exponent: of the velocity."""

def space_tables(
    points: Doubles,
    centre: Doubles,
    axes: Doubles,
    keys: Doubles,
    hz: Doubles,
    harmonic: Array,
    level: Doubles,
    phase: Doubles,
    exponents: Doubles,
    noise: Doubles,
    motion: Doubles,
    voicing: Doubles,
) -> Tables:
    """Of a space of timbres: see `engine.timbres.TimbreSpace`. keys: its anchors."""

class Keys:
    """A keyed instrument as it is played. Never changed: any number of voices may share it."""

    @overload
    def __init__(
        self,
        network: Network,
        tables: Tables,
        context: int,
        held: list[tuple[int, int]],
        released: list[tuple[int, int]],
        hop: int,
        sample_rate: int,
        window: Array,
        first_key: int,
        last_key: int,
        channels: int,
        carriers: int,
        power: float,
        band_of_bin: NDArray[np.int32],
        band_hz: Doubles,
        carrier_factor: Array,
        noise: Complex | None,
    ) -> None:
        """With a partial head, see `engine.voices.models.PartialKeys`.

        held, released: steps of the grid. window: of the codec's analysis. power: of the head. noise: spectra (frames,
        channels, bins).
        """

    @overload
    def __init__(
        self,
        network: Network,
        context: int,
        hop: int,
        sample_rate: int,
        oversampling: int,
        window: Array,
        filter: Array,
        first_key: int,
        last_key: int,
        bins: int,
        codec_power: float,
        head_power: float,
        stretch_window: Array,
    ) -> None:
        """With a bin head, see `engine.voices.models.BinKeys`. hop, window: at the oversampled rate."""

    def inputs(self, key: int, velocity: float, release: int | None, frames: list[int], latent: list[float]) -> Array:
        """What the network hears of a note at some frames, (frames, features)."""

    def tables(
        self, key: int, latent: list[float]
    ) -> tuple[list[float], list[float], list[float], list[float], float, float, list[float]]:
        """What it knows of a key: hz of the carriers, reference re and im (channels, carriers), noise (channels,
        bands), the velocity's exponent, voicing in decibels, and numbers of its motion."""

class Voices:
    """The sounding notes of a keyed instrument: see engine/native/bank.h. One thread calls it."""

    def __init__(self, instrument: Keys, rise: int, polyphony: int, workers: int) -> None:
        """workers: threads that write ahead, so that `render` waits for nothing; 0: `render` writes what it needs."""

    def start(self, number: int, key: int, velocity: float, channel: int) -> list[int]:
        """Begin a note; returns the numbers of notes that had to give way."""

    def release(self, number: int) -> None:
        """Let a note go."""

    def silence(self, number: int) -> None:
        """End a note within a short fade."""

    def touch(
        self, channel: int, left: float, right: float, semitones: float, knobs: list[float], latent: list[float]
    ) -> None:
        """How a channel sounds from now on; knobs: those of `engine.voices.keys.SHAPING`."""

    def announce(self, key: int, velocity: float, channel: int, samples: int) -> None:
        """A note will probably begin in so many samples."""

    def render(self, samples: int, left_in_block: int = 0) -> tuple[Array, list[int]]:
        """The next samples (2, samples), and the numbers of the notes that have ended. Lets the interpreter go.

        left_in_block: samples from here to the end of the block that these are a part of, if it goes on.
        """

    def heard(self) -> list[tuple[int, int, float, int | None, int]]:
        """Of every voice its number, the key and velocity that the network hears, its release and its age."""

    def set_loudest(self, loudest: float) -> None:
        """Amplitude beyond which a voice is ended."""

    @property
    def sounding(self) -> int:
        """How many voices sound."""

    @property
    def late(self) -> int:
        """How often something was heard later, or otherwise, than it should."""

    @property
    def faulty(self) -> int:
        """How many voices were ended because what they wrote was no sound."""

    @property
    def prepared(self) -> float:
        """Share of the notes whose beginnings are written, 0-1."""

def stretch(length: int, sample_rate: int, hz: Doubles, values: Array) -> Array:
    """One frame of partial synthesis, (2, length). values: (4, carriers), re and im on the left, then on the right."""

def motion_cents(numbers: list[float], seed: int, seconds: list[float]) -> list[float]:
    """See `engine.motion.Motion.cents`."""

def motion_crowd(numbers: list[float], seed: int, seconds: list[float], carriers: int) -> Array:
    """See `engine.motion.Motion.envelopes`: re and im, (seconds, 2, carriers)."""
