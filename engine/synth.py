"""The synthesiser: timed events in, blocks of audio out. Live playing and file rendering call the same `render`."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from engine.audio.limiter import LOOKAHEAD, Limiter
from engine.codec import Heard
from engine.guard import LOUDEST, is_sound
from engine.instrument import Instrument
from engine.knobs import KNOBS, MASTER
from engine.midi.channel import ALL_SOUND_OFF, ChannelState, Release, Silence, Start
from engine.midi.events import DRUM_CHANNEL, EVERYWHERE, Event, Kind
from engine.ramp import Ramp
from engine.spectral import Samples
from engine.units import db_to_gain
from engine.voices.bank import Bank, new_bank
from engine.voices.models import channel_gains, soft_gain
from engine.voices.pads import PadsBank

CHANNELS = 16
MIN_NOTE_SECONDS = 0.01  # FluidSynth's: a shorter note is held that long
VOLUME_RAMP_SECONDS = 0.01
VIBRATO_HZ = 5.5
VIBRATO_STEP = 64  # samples between two values of the vibrato


@dataclass(slots=True, eq=False)
class Part:
    """An instrument as it is played: its voices, its knobs, its loudness."""

    instrument: Instrument
    bank: Bank
    knobs: dict[str, float]
    gain: Ramp


class Synth:
    """A main instrument on sixteen channels, and others on channels of their own. Not thread-safe: one thread calls
    everything but `look_ahead` and `new_part`.

    position: samples rendered so far; events are scheduled on this clock.
    """

    def __init__(
        self, instrument: Instrument, *, polyphony: int = 64, limiter: bool = True, live: bool = False
    ) -> None:
        """live: `look_ahead` is called between blocks, or by another thread."""
        self._live = live
        self.sample_rate = instrument.sample_rate
        self.position = 0
        self._polyphony = polyphony
        self._main = self.new_part(instrument)
        self._own: dict[int, Part] = {}  # parts of channels
        self._parts: tuple[Part, ...] = (self._main,)  # all of them; other threads read it
        self._leaving: list[Part] = []
        self._limiter = Limiter(self.sample_rate) if limiter else None
        self._order = itertools.count()
        self._queue: list[tuple[int, int, Event]] = []
        self._releases: list[tuple[int, int]] = []
        self._earliest: dict[int, int] = {}
        numbers: itertools.count[int] = itertools.count()
        self._channels = [ChannelState.of_channel(index, numbers) for index in range(CHANNELS)]
        self._where: dict[int, tuple[int, Part]] = {}  # channel and part of every note that sounds
        self._volume = Ramp(1.0, round(VOLUME_RAMP_SECONDS * self.sample_rate))
        self._silenced = 0  # blocks of parts, or of all, that were no sound; and voices of parts that are gone
        self._touch_all()

    @property
    def delay(self) -> int:
        """Samples by which the output comes after its events."""
        return LOOKAHEAD if self._limiter else 0

    @property
    def sounding(self) -> int:
        """How many voices sound."""
        return sum(part.bank.sounding for part in (*self._parts, *self._leaving))

    @property
    def keys_down(self) -> frozenset[int]:
        """Keys that are held by a finger (or a score) on any channel."""
        return frozenset(key for channel in self._channels for key in channel.keys_down)

    @property
    def instrument(self) -> Instrument:
        """The main one."""
        return self._main.instrument

    @property
    def knobs(self) -> Mapping[str, float]:
        """Values of all knobs of the main instrument as the synth plays them now."""
        return self._main.knobs

    def part(self, channel: int | None = None) -> Part:
        """What plays a channel; the main part for None. A drum part without one of its own is played by that of the
        drum channel."""
        if channel is None:
            return self._main
        if channel not in self._own and self._channels[channel].drums:
            channel = DRUM_CHANNEL
        return self._own.get(channel, self._main)

    @property
    def limiting(self) -> float:
        """Smallest gain of the limiter in the last block; 1 where it did nothing."""
        return self._limiter.reduction if self._limiter else 1.0

    def schedule(self, events: Iterable[Event]) -> None:
        """Take events; those whose time has passed happen at the start of the next block."""
        for event in events:
            heapq.heappush(self._queue, (event.sample, next(self._order), event))
            if self._live:
                self.announce(event)

    def announce(self, event: Event) -> None:
        """An event will probably be scheduled soon: what a note begins with may be computed before it does."""
        if event.kind is Kind.NOTE_ON and self._plays(event.channel):
            velocity = max(1.0, event.value * self._softened(event.channel))
            wait = max(0, event.sample - self.position)
            self.part(event.channel).bank.announce(event.number, velocity, event.channel, wait)

    def clear_schedule(self) -> None:
        """Forget every event that has not happened yet."""
        self._queue.clear()

    def set_instrument(self, instrument: Instrument | None, channel: int | None = None) -> None:
        """Play another instrument from now on: on a channel of its own, or on all that have none. None takes a
        channel's own one away. See `set_part`."""
        self.set_part(None if instrument is None else self.new_part(instrument), channel)

    def new_part(self, instrument: Instrument) -> Part:
        """Make an instrument ready for `set_part`, which may take long and be done by any thread.

        Raises ValueError where it has another sample rate."""
        if instrument.sample_rate != self.sample_rate:
            raise ValueError(f"the instrument runs at {instrument.sample_rate} Hz, the synth at {self.sample_rate}")
        knobs = {name: KNOBS[name].default for name in (*MASTER, *instrument.knobs)}
        gain = Ramp(instrument.gain, round(VOLUME_RAMP_SECONDS * self.sample_rate))
        return Part(instrument, new_bank(instrument, self._polyphony, live=self._live), knobs, gain)

    def set_part(self, part: Part | None, channel: int | None = None) -> None:
        """Play a part from now on; what sounds there ends within a short fade.

        channel: where it is the only one; None is for all channels without one of their own. part: None takes a
        channel's own part away, and the main one plays it again."""
        leaving = self._main if channel is None else self._own.pop(channel, None)
        for number, (index, playing) in list(self._where.items()):
            if playing is leaving or index == channel:
                playing.bank.silence(number)
                self._forget(number)
        if leaving is not None:
            self._leaving.append(leaving)
        if part is not None and channel is None:
            part.knobs |= {name: self._main.knobs[name] for name in MASTER}
            self._main = part
        elif part is not None and channel is not None:
            self._own[channel] = part
        self._parts = (self._main, *self._own.values())
        self._touch_all()

    def render(self, samples: int) -> Samples:
        """The next samples, (samples, 2): always finite, see `engine.guard`."""
        with np.errstate(all="ignore"):  # of numbers that are no sound
            return self._rendered(samples)

    def _rendered(self, samples: int) -> Samples:
        out = np.zeros((2, samples), np.float32)
        done = 0
        while done < samples:
            self._happen()
            count = min(samples - done, self._until_next())
            mix = self._render_leaving(count)
            for part in self._parts:
                sound, ended = part.bank.render(count, samples - done)
                mix += self._guarded(part, sound) * part.gain.next(count)
                for number in ended:
                    self._forget(number)
            out[:, done : done + count] = mix * self._volume.next(count)
            done += count
            self.position += count
        if not np.isfinite(np.vdot(out, out)):
            self._silenced += 1
            out[:] = 0
        if self._limiter:
            out = self._limiter.process(out)
        return np.ascontiguousarray(out.T)

    def _guarded(self, part: Part, sound: Samples) -> Samples:
        """What a part has rendered; silence where it is no sound, and its notes end."""
        if is_sound(sound, LOUDEST / part.instrument.gain):
            return sound
        self._silenced += 1
        for number, (_, playing) in list(self._where.items()):
            if playing is part:
                self._silence(number)
        return np.zeros_like(sound)

    def look_ahead(self) -> bool:
        """Compute a piece of every part's future, see `Bank.look_ahead`; return whether there was anything to do."""
        with np.errstate(all="ignore"):
            busy = [part.bank.look_ahead() for part in self._parts]  # none waits for another
        return any(busy)

    @property
    def prepared(self) -> float:
        """Share of the main part's notes whose beginnings are computed, 0-1."""
        return self._main.bank.prepared

    @property
    def late(self) -> int:
        """Changes of voices that were put off, or made otherwise, because they were not ready."""
        return sum(part.bank.late for part in self._parts)

    @property
    def faulty(self) -> int:
        """Voices and blocks that were silenced because they were no sound, see `engine.guard`."""
        return self._silenced + sum(part.bank.faulty for part in (*self._parts, *self._leaving))

    def heard(self) -> tuple[Heard, ...]:
        """What the main part's network hears from now on, for display; see `engine.codec.two_sines`."""
        return self._main.bank.heard()

    def _render_leaving(self, count: int) -> Samples:
        """What still sounds of parts that were taken away."""
        mix = np.zeros((2, count), np.float32)
        for part in self._leaving:
            mix += self._guarded(part, part.bank.render(count)[0]) * part.gain.next(count)
        for part in self._leaving:
            if not part.bank.sounding:
                self._silenced += part.bank.faulty
        self._leaving = [part for part in self._leaving if part.bank.sounding]
        return mix

    def _happen(self) -> None:
        """Everything that is due now."""
        while self._queue and self._queue[0][0] <= self.position:
            self._apply(heapq.heappop(self._queue)[2])
        while self._releases and self._releases[0][0] <= self.position:
            self._let_go(heapq.heappop(self._releases)[1])
        self._vibrate()

    def _until_next(self) -> int:
        """Samples until something happens."""
        times = [queue[0][0] for queue in (self._queue, self._releases) if queue]
        if self._vibrating():
            times.append((self.position // VIBRATO_STEP + 1) * VIBRATO_STEP)
        return max(1, min(times, default=1 << 62) - self.position)

    def _apply(self, event: Event) -> None:
        if event.kind is Kind.KNOB:
            self._turn(self.part(event.channel if event.number else None), event.name, event.value)
            return
        if event.kind is Kind.TEMPO:
            for part in self._parts:
                self._turn(part, "tempo", event.value)
            return
        if event.kind in EVERYWHERE:
            for index in range(CHANNELS):
                self._apply_to(index, event)
            return
        if self._plays(event.channel):
            self._apply_to(event.channel, event)

    def _plays(self, channel: int) -> bool:
        """Whether anything plays a channel: a keyed instrument or a song is no drum kit."""
        return not self._channels[channel].drums or self.part(channel).instrument.kind == "pads"

    def _apply_to(self, index: int, event: Event) -> None:
        channel = self._channels[index]
        before = _how_it_sounds(channel)
        commands = channel.apply(event)
        if _how_it_sounds(channel) != before:
            self._touch(index)
        for command in commands:
            match command:
                case Start(number, key, velocity):
                    self._start(number, key, velocity, index)
                case Release(number):
                    self._release(number)
                case Silence(number):
                    self._silence(number)
        if event.kind is Kind.PANIC or (event.kind is Kind.CONTROL and event.number == ALL_SOUND_OFF):
            for number, (place, _) in list(self._where.items()):
                if place == index:  # the channel says nothing of notes that have been let go and ring on
                    self._silence(number)

    def _start(self, number: int, key: int, velocity: float, index: int) -> None:
        velocity = max(1.0, velocity * self._softened(index))
        part = self.part(index)
        self._where[number] = index, part
        self._earliest[number] = self.position + round(MIN_NOTE_SECONDS * self.sample_rate)
        for stolen in part.bank.start(number, key, velocity, index):
            self._forget(stolen)

    def _softened(self, index: int) -> float:
        """Factor of a velocity under the soft pedal."""
        gain = soft_gain(self._channels[index].soft, self.part(index).knobs)
        return gain if gain == 1 else float(gain**0.5)  # level grows with about the square of the velocity

    def _release(self, number: int) -> None:
        earliest = self._earliest.get(number, 0)
        if earliest > self.position:
            heapq.heappush(self._releases, (earliest, number))
        else:
            self._let_go(number)

    def _let_go(self, number: int) -> None:
        if number in self._where:
            self._where[number][1].bank.release(number)

    def _silence(self, number: int) -> None:
        if number in self._where:
            self._where[number][1].bank.silence(number)
        self._forget(number)

    def _forget(self, number: int) -> None:
        place = self._where.pop(number, None)
        self._earliest.pop(number, None)
        if place is not None:
            self._channels[place[0]].forget(number)

    def _turn(self, part: Part, name: str, value: float) -> None:
        """A knob has moved; one that this instrument does not have is left alone."""
        if name not in part.knobs:
            return
        part.knobs[name] = KNOBS[name].clip(value)
        if name != "volume":
            self._touch_all()
        elif part is self._main:
            self._volume.go(db_to_gain(part.knobs[name]))
        else:
            part.gain.go(part.instrument.gain * db_to_gain(part.knobs[name]))

    def _touch_all(self) -> None:
        for index in range(CHANNELS):
            self._touch(index)

    def _touch(self, index: int) -> None:
        channel = self._channels[index]
        left, right = channel_gains(channel.gain, channel.pan)
        semitones = channel.bend_semitones + channel.tuning_semitones + self._vibrato(channel)
        part = self.part(index)
        if isinstance(part.bank, PadsBank):
            part.bank.play_drums(index, channel.drums)
        part.bank.touch(index, left, right, semitones, dict(part.knobs))

    def _vibrating(self) -> bool:
        return self.sounding > 0 and any(channel.vibrato_cents for channel in self._channels)

    def _vibrato(self, channel: ChannelState) -> float:
        if not channel.vibrato_cents:
            return 0.0
        turns = VIBRATO_HZ * (self.position // VIBRATO_STEP * VIBRATO_STEP) / self.sample_rate
        return float(channel.vibrato_cents / 100 * np.sin(2 * np.pi * turns))

    def _vibrate(self) -> None:
        if self.position % VIBRATO_STEP == 0 and self._vibrating():
            for index, channel in enumerate(self._channels):
                if channel.vibrato_cents:
                    self._touch(index)


def _how_it_sounds(channel: ChannelState) -> tuple[float, ...]:
    pitch = channel.bend_semitones + channel.tuning_semitones
    return channel.gain, channel.pan, pitch, channel.vibrato_cents, float(channel.drums)
