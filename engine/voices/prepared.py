"""How notes begin: first windows of all keys, written before anybody plays them.

A note that is played has to sound within some milliseconds, in which no window can be written and made to sound. But
what the network hears of its beginning is little: the key, the velocity, the knobs. The key is one of 88; the velocity
is heard in sixteen steps (its level, which the network does not write, is always exact). So all beginnings are written
in idle moments, and a key that is pressed waits for no network.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from engine.codec import Note
from engine.networks.playing import Array, PlayingNetwork, Written
from engine.voices.voice import HeardNote

VELOCITY_STEP = 8
MOST = 1536  # beginnings that are kept, of up to 70 kilobytes each


def heard_velocity(velocity: float) -> float:
    """The velocity that the network hears, the middle of its step."""
    return float(min(int(velocity) // VELOCITY_STEP, 127 // VELOCITY_STEP) * VELOCITY_STEP + VELOCITY_STEP // 2)


class Prepared:
    """First windows by what the network hears. Not thread-safe."""

    def __init__(self, keys: range, network: PlayingNetwork) -> None:
        self._kept: OrderedDict[HeardNote, tuple[Array, NDArray[np.float16], Array]] = OrderedDict()
        self._zeros = network.zero_states()
        velocities = [heard_velocity(step) for step in range(0, 128, VELOCITY_STEP)]
        notes = [Note(key, velocity) for key in keys for velocity in velocities]
        # What is played most comes first.
        self._order = sorted(notes, key=lambda note: abs(note.key - 60) / 44 + abs(note.velocity - 68) / 64)
        self._latent: tuple[float, ...] | None = None
        self._looked = 0  # of them, for these knobs

    def __contains__(self, heard: HeardNote) -> bool:
        return heard in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, heard: HeardNote) -> Written | None:
        """A note's first window, if it is written."""
        if heard not in self._kept:
            return None
        self._kept.move_to_end(heard)
        raw, states, last = self._kept[heard]
        return Written(raw, [self._zeros, *states.astype(np.float32), last])

    def keep(self, heard: HeardNote, written: Written) -> None:
        """Take a first window."""
        if heard in self._kept:
            return
        # States amid it are gone back to after an early release only: -66 dB of rounding is softer than the network's
        # own error by 40.
        states = np.stack(written.states[1:-1]).astype(np.float16)
        self._kept[heard] = written.raw.copy(), states, written.states[-1].copy()
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def missing(self, latent: tuple[float, ...]) -> HeardNote | None:
        """A note that is to be written, where the knobs stand so; None where all are."""
        if latent != self._latent:
            self._latent, self._looked = latent, 0
        while self._looked < len(self._order):
            heard = self._order[self._looked], latent
            if heard not in self._kept:
                return heard
            self._looked += 1
        return None

    @property
    def share(self) -> float:
        """Of all notes where the knobs stand, those that are written, 0-1."""
        return self._looked / len(self._order)
