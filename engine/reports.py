"""What the engine tells of itself. Light to import: a window reads it without the engine's own modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.audio.output import OutputMeters
from engine.codec import Heard, NnssCodec, ScoreCodec
from engine.midi.events import Event
from engine.pickling import quickly_pickled


@quickly_pickled
@dataclass(frozen=True, slots=True)
class Snapshot:
    """How things stand, for the window. Times in samples of the synth, levels as amplitudes."""

    position: int = 0
    voices: int = 0
    peak_left: float = 0.0
    peak_right: float = 0.0
    limiting: float = 1.0
    playing: bool = False
    score_position: int = 0
    score_length: int = 0
    recording: float | None = None  # seconds
    instrument: str = ""
    keys_down: frozenset[int] = frozenset()
    knobs: Mapping[str, float] = field(default_factory=dict)
    dropped: int = 0  # events that were lost
    late: int = 0  # events that came, or changes of voices that were ready, after their sample
    faulty: int = 0  # voices that were ended because what they wrote was no sound
    prepared: float = 1.0  # share of the notes whose beginnings are computed
    pedals: Mapping[str, float] = field(default_factory=dict)  # sustain, sostenuto, soft: how far down, 0-1
    bend: float = 0.0  # of the wheel, -1 to 1
    modulation: float = 0.0  # 0-1


@quickly_pickled
@dataclass(frozen=True, slots=True)
class Tap:
    """A block as it was heard: the output (samples,), mono, and the voices behind it, for `engine.codec.two_sines`."""

    position: int
    output: NDArray[np.float32]
    voices: tuple[Heard, ...]


@dataclass(frozen=True, slots=True)
class InstrumentInfo:
    """What a window needs to know of a loaded instrument.

    source: the name or folder it was asked for by. codec: None where its network hears no two sines. pads: titles of
    the keys from the first on, of pads and of a song's seeds.
    """

    source: str
    name: str
    kind: str
    title: str
    keys: range
    knobs: tuple[str, ...]
    presets: Mapping[str, Mapping[str, float]]
    codec: NnssCodec | ScoreCodec | None
    pads: tuple[str, ...] = ()


@quickly_pickled
@dataclass(frozen=True, slots=True)
class State:
    """How things stand, sent again and again. meters: None without a device; latency_ms: from a key to its sound."""

    snapshot: Snapshot
    meters: OutputMeters | None
    latency_ms: float
    taps: list[Tap]
    last_midi: Event | None
    rss_mb: float
    midi_events: int = 0  # received since the process began
