"""Pads: hits and loops on keys. What they sound like is decoded elsewhere (`engine.voices.sounds`), here it is played.

Keys from the instrument's lowest on have a pad each. Those beyond them play the pad that was hit last, at a pitch that
follows the key as far as the knob says. On the drum channel the keys are General MIDI's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.codec import Heard
from engine.description import SAMPLE_RATE
from engine.midi.events import DRUM_CHANNEL
from engine.ramp import Ramp
from engine.spectral import Samples
from engine.stretch import Loop, LoopReader, read
from engine.units import semitones_to_ratio
from engine.voices.drums import drum_pads
from engine.voices.generated import PadsModel
from engine.voices.models import UNTOUCHED, Touch
from engine.voices.sounds import Sound, Sounds

FADE = 256  # samples in which a hit ends that is silenced, choked or stolen
RELEASE = 1024  # samples in which one ends whose key is let go
GAIN_SAMPLES = 256  # in which a gain follows its controller
SILENT_DB = -90.0
SWITCHED = 0.5  # from here on a knob is on that is only on or off


@dataclass(slots=True)
class _Voice:
    number: int
    channel: int
    pad: int
    sound: Sound
    level: float  # of its velocity
    semitones: float  # of its key
    left: Ramp
    right: Ramp
    attack: float  # samples
    loop: LoopReader | None = None
    place: float = 0.0  # in the sound
    age: int = 0  # samples since the hit
    damping_db: float = 0.0  # so far, by the decay knob
    end: Ramp = field(default_factory=lambda: Ramp(1.0, FADE))
    ending: bool = False
    released: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more of it will be heard."""
        if (self.ending and not self.end.left) or self.damping_db < SILENT_DB:
            return True
        return self.loop is None and self.place >= self.sound.loop.sound.shape[1]

    def stop(self, samples: int) -> None:
        """End within so many samples; one that ends already goes on with that."""
        if not self.ending:
            self.ending = True
            self.end.go(0.0, samples)


class PadsBank:
    """The hits and loops of one instrument. One thread calls everything but `look_ahead`, which any may call."""

    def __init__(self, model: PadsModel, keys: range, polyphony: int = 64, *, live: bool = False) -> None:
        """live: `look_ahead` is called in idle moments. Takes the time of one decode for each pad then."""
        self._pads, self._first, self.polyphony = model.pads, keys[0], polyphony
        self._drums = drum_pads([pad.title for pad in model.pads])
        self._sounds = Sounds(model, live=live)
        self._voices: list[_Voice] = []
        self._touches: dict[int, Touch] = {}
        self.drum_channels = {DRUM_CHANNEL}
        """Channels on which the keys are General MIDI's."""
        self.selected = 0
        """The pad that was hit last."""
        self.faulty = 0
        """Hits that were not played because what the model wrote for them was no sound."""

    @property
    def sounding(self) -> int:
        """How many voices sound."""
        return len(self._voices)

    @property
    def late(self) -> int:
        """Hits that played the pad's latest sound because their own was not ready."""
        return self._sounds.late

    @property
    def prepared(self) -> float:
        """All beginnings are kept ready."""
        return 1.0

    def announce(self, key: int, velocity: float, channel: int = 0, samples: int = 0) -> None:
        """A hit will probably come soon: its sound is decoded before others."""
        pad, _ = self._pad_of(key, channel)
        if pad is not None:
            self._sounds.prefer(pad)

    def start(self, number: int, key: int, velocity: float, channel: int = 0) -> list[int]:
        """Hit a pad now; return the numbers of hits that had to give way, or its own where the key has no pad."""
        pad, semitones = self._pad_of(key, channel)
        if pad is None:
            return [number]
        if self._is_pad(key, channel):
            self.selected = pad
        choke, touch = self._pads[pad].choke, self._touch_of(channel)
        for voice in self._voices:
            if choke and self._pads[voice.pad].choke == choke:
                voice.stop(FADE)
        sound = self._sounds.hit(pad)
        if sound.faulty:
            self.faulty += 1
            return [number]
        stolen = self._make_room()
        voice = _Voice(
            number, channel, pad, sound, (velocity / 127) ** 2, semitones,
            Ramp(touch.left, GAIN_SAMPLES), Ramp(touch.right, GAIN_SAMPLES), touch.knob("attack") * SAMPLE_RATE / 1000,
        )  # fmt: skip
        if voice.sound.bpm:
            voice.loop = LoopReader(voice.sound.loop, lambda: self._next_pass(voice))
        self._voices.append(voice)
        return stolen

    def release(self, number: int) -> None:
        """Let a key go now: a loop ends, a hit only where the gate is on."""
        for voice in self._voices:
            if voice.number == number:
                voice.released = True
                if voice.loop or self._touch_of(voice.channel).knob("gate") >= SWITCHED:
                    voice.stop(RELEASE)

    def silence(self, number: int) -> None:
        """End a hit within FADE samples."""
        for voice in self._voices:
            if voice.number == number:
                voice.stop(FADE)

    def play_drums(self, channel: int, on: bool) -> None:
        """Whether the keys of a channel are General MIDI's from now on."""
        (self.drum_channels.add if on else self.drum_channels.discard)(channel)

    def touch(self, channel: int, left: float, right: float, semitones: float, knobs: Mapping[str, float]) -> None:
        """From now on a channel's hits sound so; those that sound already follow, but for what was decoded."""
        touch = Touch(semitones, left, right, knobs)
        self._touches[channel] = touch
        self._sounds.turn(touch)
        for voice in self._voices:
            if voice.channel == channel:
                voice.left.go(left)
                voice.right.go(right)

    def render(self, samples: int, left_in_block: int | None = None) -> tuple[Samples, list[int]]:
        """The next samples (2, samples), and the numbers of the hits that have ended in them."""
        mix = np.zeros((2, samples), np.float32)
        for voice in self._voices:
            self._add(voice, mix)
        ended = [voice.number for voice in self._voices if voice.over]
        if ended:
            self._voices = [voice for voice in self._voices if not voice.over]
        return mix, ended

    def look_ahead(self) -> bool:
        """Decode a sound that will be needed; return whether there was one."""
        return self._sounds.decode()

    def heard(self) -> tuple[Heard, ...]:
        """Nothing: pads hear no two sines."""
        return ()

    def sliders_of(self, sound: Samples) -> Mapping[str, float]:
        """Where the sliders stand, by name, when the pad that was hit last is as like a sound (2, samples) as can be.

        May be called by any thread. Raises InstrumentError where the model cannot listen."""
        return self._sounds.sliders_of(self.selected, sound)

    def _is_pad(self, key: int, channel: int) -> bool:
        return channel in self.drum_channels or 0 <= key - self._first < len(self._pads)

    def _pad_of(self, key: int, channel: int) -> tuple[int | None, float]:
        """The pad that a key plays, and by how many semitones higher."""
        if channel in self.drum_channels:
            return self._drums.get(key, (None, 0))
        place = key - self._first
        if 0 <= place < len(self._pads):
            return place, 0.0
        beyond = place if place < 0 else place - (len(self._pads) - 1)
        return self.selected, beyond * self._touch_of(channel).knob("follow")

    def _make_room(self) -> list[int]:
        """End the hits that are too many: released ones first, the oldest of them."""
        going = [voice for voice in self._voices if not voice.ending]
        going.sort(key=lambda voice: (not voice.released, -voice.age))
        stolen = going[: max(0, len(going) - self.polyphony + 1)]
        for voice in stolen:
            voice.stop(FADE)
        return [voice.number for voice in stolen]

    def _add(self, voice: _Voice, mix: Samples) -> None:
        touch, samples = self._touch_of(voice.channel), mix.shape[1]
        pitch = semitones_to_ratio(voice.semitones + touch.semitones + touch.knob("tune") / 100)
        if voice.loop is not None:
            part = self._read_loop(voice, voice.loop, touch, samples, pitch)
        else:
            part = read(voice.sound.loop.sound, voice.place, pitch, samples)
            voice.place += samples * pitch
        gain = voice.level * _shape(voice, touch.knob("decay"), samples) * voice.end.next(samples)
        mix[0] += part[0] * (gain * voice.left.next(samples))
        mix[1] += part[1] * (gain * voice.right.next(samples))
        voice.age += samples

    def _read_loop(self, voice: _Voice, loop: LoopReader, touch: Touch, samples: int, pitch: float) -> Samples:
        synced = touch.knob("sync") >= SWITCHED
        return loop.read(samples, touch.knob("tempo") / voice.sound.bpm if synced else 1.0, pitch)

    def _next_pass(self, voice: _Voice) -> Loop:
        """What a loop goes on with: sliders that have been moved are heard from its next pass on."""
        if voice.sound.setting != self._sounds.setting:
            voice.sound = self._sounds.now(voice.pad)
            if voice.sound.faulty:
                self.faulty += 1
                voice.stop(FADE)
        return voice.sound.loop

    def _touch_of(self, channel: int) -> Touch:
        return self._touches.get(channel, UNTOUCHED)


def _shape(voice: _Voice, decay: float, samples: int) -> NDArray[np.float32] | float:
    """What attack and decay make of the next samples; the damping goes on from where it is."""
    if voice.age >= voice.attack and not decay and not voice.damping_db:
        return 1.0
    count = np.arange(samples)
    rise = np.minimum((voice.age + count + 1) / max(voice.attack, 1.0), 1.0)
    path = voice.damping_db - decay / SAMPLE_RATE * count
    voice.damping_db -= decay / SAMPLE_RATE * samples
    return np.asarray(rise * 10 ** (path / 20), np.float32)
