"""A song: an endless continuation, written block by block ahead of what is heard.

Keys from the instrument's lowest on begin the song anew, each from its own seed: those that are stored, then the one
that the player has brought along. Every other key goes on where the song was left. One key is heard at a time; letting
it go fades the song out.

Block k is written with the temperature at which block k - LEAD began to be heard, live and offline alike: the lead is
what there is for writing it. Chance is drawn anew for each block, from the seed, how often it was begun, and k.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.codec import Heard
from engine.description import SAMPLE_RATE
from engine.guard import is_sound
from engine.knobs import KNOBS
from engine.ramp import Ramp
from engine.spectral import Samples
from engine.voices.generated import SongModel
from engine.voices.models import UNTOUCHED, Touch

LEAD_SECONDS, LEAST_LEAD = 0.6, 2
"""How far a song is written ahead, in time and in blocks at least."""
FADE = 512  # samples in which a song begins, or ends that is silenced
RELEASE = 13_230  # samples in which it ends when its key is let go, 0.3 s
GAIN_SAMPLES = 256  # in which a gain follows its controller
LOUDEST = 4.0


@dataclass(slots=True, eq=False)
class _Take:
    """One continuation of one seed.

    begun: how often the seed had been begun before. asked: temperatures of the blocks that are to be written next.
    blocks: written and not yet heard to their end, the first one heard up to sample `heard`.
    """

    seed: int
    begun: int
    asked: list[float]
    temperature: float = field(init=False)  # that it begins with
    state: Any = None  # of the model; None before it has heard the seed
    written: int = 0
    blocks: list[Samples] = field(default_factory=list)
    heard: int = 0
    busy: bool = False  # another thread writes its next block
    faulty: bool = False  # what the model wrote is no sound, see `engine.guard`: it ends here

    def __post_init__(self) -> None:
        self.temperature = self.asked[0]

    @property
    def ready(self) -> int:
        """Samples that are written and not yet heard."""
        return sum(len(block[0]) for block in self.blocks) - self.heard


@dataclass(slots=True)
class _Voice:
    number: int
    channel: int
    take: _Take
    level: float  # of its velocity
    left: Ramp
    right: Ramp
    flow: Ramp = field(default_factory=lambda: Ramp(0.0, FADE))  # shut where the next block is missing
    end: Ramp = field(default_factory=lambda: Ramp(1.0, FADE))
    ending: bool = False
    starved: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more of it will be heard."""
        return self.ending and not self.end.left

    def stop(self, samples: int) -> None:
        """End within so many samples; one that ends already goes on with that."""
        if not self.ending:
            self.ending = True
            self.end.go(0.0, samples)


class SongBank:
    """The song of one instrument. One thread calls everything but `look_ahead`, which any may call."""

    def __init__(self, model: SongModel, keys: range, *, live: bool = False) -> None:
        """live: `look_ahead` is called in idle moments. Takes the time that the first seed's beginning needs then."""
        self._model, self._first, self._live = model, keys[0], live
        self._lead = max(LEAST_LEAD, -(-round(LEAD_SECONDS * SAMPLE_RATE) // model.block))
        self._begins: list[Any] = [None] * len(model.seeds)  # states after the seeds, once they have been heard
        self._counts = [0] * (len(model.seeds) + 1)  # how often each seed was begun
        self._seed = 0  # the last one
        self._left: _Take | None = None  # what other keys go on with
        self._onsets: dict[int, _Take] = {}  # what each seed will begin with
        self._voices: list[_Voice] = []
        self._touches: dict[int, Touch] = {}
        self._temperature = KNOBS["temperature"].default
        self._lock = threading.Lock()
        self.late = 0
        """How often the song paused because its next block was not written."""
        self.faulty = 0
        """Songs that were ended because what the model wrote was no sound."""
        while live and self._begins and self._onset(0).asked:
            self._write(self._onset(0))

    @property
    def sounding(self) -> int:
        """How many voices sound."""
        return len(self._voices)

    def begin(self, sound: Samples) -> Any:
        """The model's state after a sound (2, samples), for `begin_from`. May be called by any thread.

        Raises InstrumentError where the model makes nothing of it."""
        return self._model.begin(sound)

    def begin_from(self, state: Any) -> None:
        """Take the player's own beginning, a state of the model: the key after the seeds' and those beyond begin it."""
        own = len(self._model.seeds)
        with self._lock:
            self._begins[own:] = [state]
            self._onsets.pop(own, None)
            self._seed, self._left = own, None

    @property
    def prepared(self) -> float:
        """All beginnings are kept ready."""
        return 1.0

    def announce(self, key: int, velocity: float, channel: int = 0, samples: int = 0) -> None:
        """A key will probably be pressed soon; all beginnings are kept ready anyway."""

    def start(self, number: int, key: int, velocity: float, channel: int = 0) -> list[int]:
        """Begin or go on; return the numbers of keys whose song ends for it."""
        if not self._begins:
            return [number]
        touch = self._touch_of(channel)
        with self._lock:
            take = self._left = self._take_of(key)
        if take.faulty:
            self.faulty += 1
            return [number]
        left, right = Ramp(touch.left, GAIN_SAMPLES), Ramp(touch.right, GAIN_SAMPLES)
        voice = _Voice(number, channel, take, velocity / 127, left, right)
        stolen = [other.number for other in self._voices]
        for other in self._voices:
            if other.take is take:  # it goes on under another key
                voice.flow, voice.end, voice.starved = other.flow, other.end, other.starved
                voice.end.go(1.0, FADE)
            other.stop(FADE)
        self._voices = [*(other for other in self._voices if other.take is not take), voice]
        return stolen

    def release(self, number: int) -> None:
        """Let the song fade out."""
        self._stop(number, RELEASE)

    def silence(self, number: int) -> None:
        """End it within FADE samples."""
        self._stop(number, FADE)

    def touch(self, channel: int, left: float, right: float, semitones: float, knobs: Mapping[str, float]) -> None:
        """From now on a channel's song sounds so; the temperature is heard one lead later."""
        touch = Touch(semitones, left, right, knobs)
        self._touches[channel] = touch
        self._temperature = touch.knob("temperature")
        for voice in self._voices:
            if voice.channel == channel:
                voice.left.go(left)
                voice.right.go(right)

    def render(self, samples: int, left_in_block: int | None = None) -> tuple[Samples, list[int]]:
        """The next samples (2, samples), and the numbers of the keys whose song has ended in them."""
        mix = np.zeros((2, samples), np.float32)
        for voice in self._voices:
            done = 0
            while done < samples and not voice.over:
                done += self._play(voice, mix[:, done:])
        ended = [voice.number for voice in self._voices if voice.over]
        if ended:
            self._voices = [voice for voice in self._voices if not voice.over]
        return mix, ended

    def look_ahead(self) -> bool:
        """Write a block that will be heard; return whether there was one."""
        with self._lock:
            take = next((take for take in self._unwritten() if not take.busy), None)
            if take is None:
                return False
            take.busy = True
        try:
            self._write(take)
        finally:
            take.busy = False
        return True

    def heard(self) -> tuple[Heard, ...]:
        """Nothing: a song hears no two sines."""
        return ()

    # --- takes; called with the lock held, where there are threads ---

    def _take_of(self, key: int) -> _Take:
        """What a key plays: a beginning, or what was left."""
        place = key - self._first
        if 0 <= place < len(self._begins):
            self._seed = place
        elif self._left is not None and not self._left.faulty:
            return self._left
        take = self._onset(self._seed)
        del self._onsets[self._seed]
        self._counts[self._seed] += 1
        return take

    def _onset(self, seed: int) -> _Take:
        """What a seed will begin with, under the present temperature."""
        take = self._onsets.get(seed)
        if take is None or take.temperature != self._temperature:
            take = self._onsets[seed] = _Take(seed, self._counts[seed], [self._temperature] * self._lead)
        return take

    def _unwritten(self) -> list[_Take]:
        """Takes with blocks to be written, the most urgent first."""
        playing = sorted((voice.take for voice in self._voices), key=lambda take: take.ready)
        seeds = sorted(range(len(self._begins)), key=lambda seed: seed != self._seed)
        takes = (*playing, *(self._onset(seed) for seed in seeds))
        return [take for take in takes if take.asked and not take.faulty]

    def _write(self, take: _Take) -> None:
        """The next block of a take. Called without the lock."""
        with np.errstate(all="ignore"):  # of numbers that are no sound
            state = take.state if take.written else self._begun(take.seed)
            chance = np.random.default_rng((take.seed, take.begun, take.written))
            written, state = self._model.next(state, take.asked[0], chance)
            block = np.asarray(written, np.float32)
        with self._lock:
            if is_sound(block):
                take.state = state
                take.blocks = [*take.blocks, np.clip(block, -LOUDEST, LOUDEST)]
            else:
                take.faulty = True
            take.asked = [] if take.faulty else take.asked[1:]
            take.written += 1

    def _begun(self, seed: int) -> Any:
        """The model's state after a seed."""
        if self._begins[seed] is None:
            self._begins[seed] = self._model.begin(seed)
        return self._begins[seed]

    # --- what is heard ---

    def _play(self, voice: _Voice, mix: Samples) -> int:
        """Add the next samples of a voice to the beginning of a mix (2, n); return how many."""
        take = voice.take
        if take.faulty and not voice.ending and take.ready <= FADE:  # what was written before it is played
            self.faulty += 1
            voice.stop(FADE)
        if voice.ending:  # what is not heard is heard when the song goes on
            mix = mix[:, : voice.end.left]
        while not self._live and take.ready <= FADE and not take.faulty:
            self._write(take)
        with self._lock:
            ready, block = take.ready, take.blocks[0] if take.blocks else None
        if block is None:
            self.late += not voice.starved
            voice.starved = True
            voice.end.next(len(mix[0]))
            return len(mix[0])
        if ready > FADE:
            voice.flow.go(1.0)
            voice.starved = False
            count = min(len(mix[0]), len(block[0]) - take.heard, ready - FADE)
        else:  # what is left is faded out, unless more comes meanwhile
            voice.flow.go(0.0, ready)
            count = min(len(mix[0]), len(block[0]) - take.heard)
        gain = voice.level * voice.flow.next(count) * voice.end.next(count)
        part = block[:, take.heard : take.heard + count]
        mix[0, :count] += part[0] * (gain * voice.left.next(count))
        mix[1, :count] += part[1] * (gain * voice.right.next(count))
        self._move(take, count)
        return count

    def _move(self, take: _Take, count: int) -> None:
        """So much more of a take has been heard; a block that begins asks for the one that is a lead later."""
        with self._lock:
            if not take.heard:
                take.asked = [*take.asked, self._temperature]
            take.heard += count
            if take.heard >= take.blocks[0].shape[1]:
                take.blocks, take.heard = take.blocks[1:], 0

    def _stop(self, number: int, samples: int) -> None:
        for voice in self._voices:
            if voice.number == number:
                voice.stop(samples)

    def _touch_of(self, channel: int) -> Touch:
        return self._touches.get(channel, UNTOUCHED)
