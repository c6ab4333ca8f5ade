"""The sounding notes of one keyed instrument, in native code: see engine/native/bank.h."""

from __future__ import annotations

import os
from collections.abc import Mapping

from engine import _native
from engine.codec import Heard, Note
from engine.knobs import KNOBS
from engine.spectral import Samples
from engine.voices.models import KeysModel, Touch

SHAPING = (
    "brightness", "odd_even", "stretch", "body", "breath", "vibrato", "ensemble", "voicing", "attack", "decay", "width",
    "tune",
)  # fmt: skip
"""Knobs of the synthesis, in the order in which native code takes them."""


class KeysBank:
    """See `engine.voices.bank.Bank`."""

    def __init__(self, model: KeysModel, keys: range, polyphony: int = 64, *, live: bool = False) -> None:
        """keys: those that the network knows; others borrow the nearest one's spectrum. live: threads write ahead, and
        `render` waits for none of them."""
        workers = max(1, (os.cpu_count() or 1) - 1) if live else 0
        self._model = model
        self._voices = _native.Voices(model.native(keys), model.rise, polyphony, workers)
        for channel in range(16):
            self.touch(channel, 1.0, 1.0, 0.0, {})

    @property
    def sounding(self) -> int:
        """How many voices sound."""
        return self._voices.sounding

    @property
    def late(self) -> int:
        """How often something was heard later, or otherwise, than it should because it was not written."""
        return self._voices.late

    @property
    def faulty(self) -> int:
        """How many voices were ended because what they wrote was no sound."""
        return self._voices.faulty

    @property
    def prepared(self) -> float:
        """Share of the notes whose beginnings are written, 0-1."""
        return self._voices.prepared

    def allow(self, loudest: float) -> None:
        """End voices that are louder; see `engine.guard`."""
        self._voices.set_loudest(loudest)

    def announce(self, key: int, velocity: float, channel: int = 0, samples: int = 0) -> None:
        """A note will probably begin in so many samples."""
        self._voices.announce(key, velocity, channel, samples)

    def start(self, number: int, key: int, velocity: float, channel: int = 0) -> list[int]:
        """Begin a note now; return the numbers of notes that had to give way."""
        return self._voices.start(number, key, velocity, channel)

    def release(self, number: int) -> None:
        """Let a note go now."""
        self._voices.release(number)

    def silence(self, number: int) -> None:
        """End a note within a short fade."""
        self._voices.silence(number)

    def touch(self, channel: int, left: float, right: float, semitones: float, knobs: Mapping[str, float]) -> None:
        """From now on a channel's notes sound so; notes that sound already follow from their next frame on."""
        latent = self._model.latent(Touch(semitones, left, right, knobs))
        shaping = [knobs.get(name, KNOBS[name].default) for name in SHAPING]
        self._voices.touch(channel, left, right, semitones, shaping, list(latent))

    def render(self, samples: int, left_in_block: int | None = None) -> tuple[Samples, list[int]]:
        """The next samples (2, samples), and the numbers of the notes that have ended in them."""
        return self._voices.render(samples, left_in_block or 0)

    def look_ahead(self) -> bool:
        """Nothing: live, threads of its own do."""
        return False

    def heard(self) -> tuple[Heard, ...]:
        """What the network hears from now on: of every voice its number, its note, and the samples since its onset."""
        return tuple(
            (number, Note(key, velocity, release), position)
            for number, key, velocity, release, position in self._voices.heard()
        )
