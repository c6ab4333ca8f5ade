"""What the pads of an instrument sound like, decoded ahead of their hits.

Every hit of a pad has a number, which is the seed of its variation: what hit 5 sounds like is known before it is
played, and a rendering repeats it. A decode takes up to 100 ms, so it is never done by the thread that renders live: a
hit plays its own sound where that is ready, else the pad's latest one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.description import SAMPLE_RATE
from engine.guard import is_sound
from engine.knobs import KNOBS, SLIDERS
from engine.spectral import Samples
from engine.stretch import Loop, onsets
from engine.voices.generated import Latent, Pad, PadsModel
from engine.voices.models import Touch

READY_HITS = 2
"""Hits of a pad that are decoded ahead, where each sounds different."""
END_FADE = 64  # samples at the end of a hit, whatever the model wrote there
LOUDEST = 4.0


class Setting(NamedTuple):
    """What all pads follow: sliders in sigmas, one for each of the first axes, and how much hits vary."""

    sliders: tuple[float, ...]
    vary: float


@dataclass(frozen=True, slots=True)
class Sound:
    """A hit, or a loop with its onsets, whose own tempo is `bpm` (0 for a hit); decoded under a setting."""

    loop: Loop
    bpm: float
    setting: Setting
    faulty: bool = False  # what the model wrote is no sound, see `engine.guard`: it is silent


_Wanted = tuple[int, int, Setting]
"""Pad, number of the hit (0 where all are the same), setting."""


class Sounds:
    """The sounds of all pads. `turn`, `prefer` and `hit` are called by the thread that renders, `decode` by any."""

    def __init__(self, model: PadsModel, *, live: bool) -> None:
        """live: `decode` is called in idle moments, and `hit` never waits. One sound of each pad is decoded now."""
        self._model, self._live = model, live
        self._names = SLIDERS[: min(len(SLIDERS), model.axes)]
        self.setting = Setting((0.0,) * len(self._names), KNOBS["vary"].default)
        self.late = 0
        """Hits whose own sound was not ready."""
        self._hits = [0] * len(model.pads)
        self._order = list(range(len(model.pads)))  # the last one hit or announced first
        self._ready: dict[_Wanted, Sound] = {}
        self._busy: set[_Wanted] = set()
        self._lock = threading.Lock()
        self._latest = [self._make(self._wanted(pad, 0)) for pad in self._order] if live else []

    def turn(self, touch: Touch) -> None:
        """Follow the knobs from the next hit on."""
        setting = Setting(tuple(touch.knob(name) for name in self._names), touch.knob("vary"))
        if setting != self.setting:
            self.setting = setting

    def prefer(self, pad: int) -> None:
        """This pad will be needed soon."""
        with self._lock:
            if self._order[0] != pad:
                self._order.remove(pad)
                self._order.insert(0, pad)

    def hit(self, pad: int) -> Sound:
        """What the pad's next hit sounds like."""
        sound = self.now(pad)
        with self._lock:
            self._hits[pad] += 1
        self.prefer(pad)
        return sound

    def now(self, pad: int) -> Sound:
        """What its next hit would sound like; nothing is used up."""
        wanted = self._wanted(pad, 0)
        with self._lock:
            found = self._ready.get(wanted)
        if found is not None:
            return found
        if self._live:
            self.late += 1
            return self._latest[pad]
        return self._keep(wanted, self._make(wanted))

    def decode(self) -> bool:
        """Decode one sound that is missing; return whether there was one."""
        with self._lock:
            wanted = next((w for w in self._missing() if w not in self._ready and w not in self._busy), None)
            if wanted is None:
                return False
            self._busy.add(wanted)
        try:
            self._keep(wanted, self._make(wanted))
        finally:
            with self._lock:
                self._busy.discard(wanted)
        return True

    def sliders_of(self, pad: int, sound: Samples) -> Mapping[str, float]:
        """Where the sliders stand, by name, when a pad is as like a sound (2, samples) as can be."""
        moved = np.asarray(self._model.encode(sound), np.float64) - self._model.pads[pad].centre
        return {name: KNOBS[name].clip(float(x)) for name, x in zip(self._names, moved, strict=False)}

    def _missing(self) -> list[_Wanted]:
        """What should be ready, the most urgent first."""
        ahead = range(READY_HITS if self.setting.vary else 1)
        return [self._wanted(pad, later) for later in ahead for pad in self._order]

    def _wanted(self, pad: int, later: int) -> _Wanted:
        setting = self.setting
        return pad, (self._hits[pad] + later if setting.vary else 0), setting

    def _make(self, wanted: _Wanted) -> Sound:
        pad, hit, setting = wanted
        what = self._model.pads[pad]
        with np.errstate(all="ignore"):  # of numbers that are no sound
            written = np.asarray(self._model.sound(_latent(what, pad, hit, setting), hit), np.float32)
        faulty = not is_sound(written)
        loop = _tidied(np.zeros_like(written) if faulty else written, what)
        length = loop.sound.shape[1]
        return Sound(loop, 60 * SAMPLE_RATE * what.beats / length if length else 0.0, setting, faulty)

    def _keep(self, wanted: _Wanted, sound: Sound) -> Sound:
        with self._lock:
            self._ready = {
                key: kept for key, kept in self._ready.items() if key[2] == self.setting and self._is_ahead(key)
            }
            self._ready[wanted] = sound
            if self._live:
                self._latest[wanted[0]] = sound
        return sound

    def _is_ahead(self, wanted: _Wanted) -> bool:
        return wanted[1] >= self._hits[wanted[0]] or not wanted[2].vary


def _latent(pad: Pad, index: int, hit: int, setting: Setting) -> Latent:
    """The pad's centre, moved by the sliders and by chance."""
    latent = np.array(pad.centre, np.float32)
    latent[: len(setting.sliders)] += np.asarray(setting.sliders, np.float32)
    if setting.vary:
        chance = np.random.default_rng((index, hit)).standard_normal(len(latent))
        latent += (setting.vary * chance * pad.spread).astype(np.float32)
    return latent


def _tidied(sound: Samples, pad: Pad) -> Loop:
    """Not absurdly loud, and with an end that is no step."""
    sound = np.clip(sound, -LOUDEST, LOUDEST)
    if pad.beats:
        return Loop(sound, onsets(sound, SAMPLE_RATE))
    fade = min(END_FADE, sound.shape[1])
    sound[:, sound.shape[1] - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return Loop(sound, (0,))
