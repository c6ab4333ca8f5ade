"""Sound that is made ahead: the stretches of neighbouring frames of one voice, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.spectral import Samples

Phase = NDArray[np.float64] | None
"""Carriers' phases at a frame in turns, see `engine.voices.models.Frames`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Frames first, first + 1, ... of a voice as they sound. Never changed: voices may share one.

    stretches: (frames, 2, length). phases: (frames + 1, carriers) at each frame and after the last, None where there
    are no carriers. sound: (2, samples), the stretches overlapped and added, from sample `start` of the voice on (which
    is before the note where it is negative).
    """

    first: int
    stretches: Samples
    phases: Phase
    hop: int
    start: int
    sound: Samples

    @classmethod
    def of(cls, first: int, stretches: Samples, phases: Phase, hop: int, sound: Samples | None = None) -> Piece:
        """Frames first, first + 1, ... with their stretches and phases; `sound` where they are added up already."""
        start = (first + 1) * hop - stretches.shape[2]
        return cls(first, stretches, phases, hop, start, overlapped(stretches, hop) if sound is None else sound)

    @property
    def end(self) -> int:
        """The first frame after it."""
        return self.first + len(self.stretches)

    @property
    def over(self) -> int:
        """The first sample of the voice after its sound."""
        return self.start + int(self.sound.shape[1])

    def phase(self, frame: int) -> Phase:
        """Carriers' phases (carriers,) at one of its frames or after the last."""
        return None if self.phases is None else self.phases[frame - self.first]

    def before(self, frame: int) -> Piece:
        """Its frames before one, for a moment at which they have begun: those that are over by then are silent."""
        count, hop = frame - self.first, self.hop
        phases = None if self.phases is None else self.phases[: count + 1]
        lasting = max(0, count - -(-self.stretches.shape[2] // hop))
        sound = overlapped(self.stretches[lasting:count], hop)
        return Piece(self.first, self.stretches[:count], phases, hop, self.start + lasting * hop, sound)

    def add_frames_to(self, mix: Samples, position: int, frame: int) -> None:
        """As `add_to`, but of frames before one only."""
        past = position - self.start
        for index in range(max(0, (past - self.stretches.shape[2]) // self.hop), frame - self.first):
            _add(mix, self.stretches[index], past - index * self.hop)

    def add_to(self, mix: Samples, position: int) -> None:
        """Add what it sounds like from a sample of the voice on to (2, samples)."""
        _add(mix, self.sound, position - self.start)


def _add(mix: Samples, sound: Samples, at: int) -> None:
    """Add what a sound (2, samples) is from its sample `at` on, which is before it begins where that is negative."""
    samples = mix.shape[1]
    if at >= 0:
        part = sound[:, at : at + samples]
        mix[:, : part.shape[1]] += part
    elif at > -samples:
        part = sound[:, : samples + at]
        mix[:, -at : part.shape[1] - at] += part


def overlapped(stretches: Samples, hop: int) -> Samples:
    """Stretches (frames, 2, length), one every hop, added up: (2, (frames - 1) * hop + length)."""
    frames, channels, length = stretches.shape
    out = np.zeros((channels, frames - 1 + -(-length // hop), hop), np.float32)
    for row, start in enumerate(range(0, length, hop)):
        part = stretches[:, :, start : start + hop]
        out[:, row : row + frames, : part.shape[2]] += part.transpose(1, 0, 2)
    return out.reshape(channels, -1)[:, : (frames - 1) * hop + length]
