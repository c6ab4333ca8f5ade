"""The synthesiser: timed events in, blocks of audio out. Live playing and file rendering call the same `render`."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.audio.limiter import LOOKAHEAD, Limiter
from engine.codec import Heard, Note
from engine.instrument import Instrument
from engine.knobs import KNOBS, MASTER
from engine.midi.channel import DRUM_CHANNEL, ChannelState, Release, Silence, Start
from engine.midi.events import Event, Kind
from engine.spectral import Samples
from engine.units import db_to_gain
from engine.voices.keys import AHEAD_FRAMES, KeysBank
from engine.voices.models import Touch, channel_gains, soft_gain

CHANNELS = 16
SHORT_BLOCK = 300  # samples; there is no time to wait for anything in one
MIN_NOTE_SECONDS = 0.01  # FluidSynth's: a shorter note is held that long
VOLUME_RAMP_SECONDS = 0.01
VIBRATO_HZ = 5.5
VIBRATO_STEP = 64  # samples between two values of the vibrato


class Synth:
    """One instrument on sixteen channels. Not thread-safe: one thread calls everything.

    position: samples rendered so far; events are scheduled on this clock.
    """

    def __init__(
        self, instrument: Instrument, *, polyphony: int = 64, limiter: bool = True, live: bool = False
    ) -> None:
        """live: `look_ahead` is called between blocks, or by another thread."""
        self._live = live
        self.instrument = instrument
        self.sample_rate = instrument.sample_rate
        self.position = 0
        self._polyphony = polyphony
        self._bank = self._new_bank(instrument)
        self._leaving: list[KeysBank] = []
        self._limiter = Limiter(self.sample_rate) if limiter else None
        self._order = itertools.count()
        self._queue: list[tuple[int, int, Event]] = []
        self._releases: list[tuple[int, int]] = []
        self._earliest: dict[int, int] = {}
        self._foreseen: list[Event] = []
        numbers: itertools.count[int] = itertools.count()
        self._channels = [ChannelState(numbers) for _ in range(CHANNELS)]
        self._where: dict[int, int] = {}
        self._knobs = {name: KNOBS[name].default for name in (*MASTER, *instrument.knobs)}
        self._gain = _Ramp(instrument.gain, round(VOLUME_RAMP_SECONDS * self.sample_rate))
        self._touch_all()

    @property
    def delay(self) -> int:
        """Samples by which the output comes after its events."""
        return LOOKAHEAD if self._limiter else 0

    @property
    def sounding(self) -> int:
        """How many voices sound."""
        return self._bank.sounding + sum(bank.sounding for bank in self._leaving)

    @property
    def keys_down(self) -> frozenset[int]:
        """Keys that are held by a finger (or a score) on any channel."""
        return frozenset(key for channel in self._channels for key in channel.keys_down)

    @property
    def knobs(self) -> Mapping[str, float]:
        """Values of all knobs as the synth plays them now."""
        return self._knobs

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
        if event.kind is Kind.NOTE_ON and event.channel != DRUM_CHANNEL:
            self._bank.announce(event.number, max(1.0, event.value * self._softened(event.channel)), event.channel)

    def foresee(self, events: Sequence[Event]) -> None:
        """These events, timed on this clock and in order, will probably be scheduled when their time has come.

        Notes are announced, and releases too: what a pedal lets go of is found by playing the events to a copy of the
        channel. What was foreseen from the first of these events on is forgotten.
        """
        if not events:
            return
        for event in events:
            self.announce(event)
        kept = [event for event in self._foreseen if self.position <= event.sample < events[0].sample]
        self._foreseen = [*kept, *events]
        for index in {event.channel for event in events if event.kind in (Kind.NOTE_OFF, Kind.NOTE_ON, Kind.CONTROL)}:
            self._foresee_releases(index)

    def _foresee_releases(self, index: int) -> None:
        channel = self._channels[index].copy()
        ends: dict[int, list[int]] = {}
        for event in self._foreseen:
            if event.channel == index:
                for command in channel.apply(event):
                    if isinstance(command, Release) and command.note in self._where:
                        sample = max(event.sample, self._earliest.get(command.note, 0))
                        ends.setdefault(sample, []).append(command.note)
        for sample, notes in ends.items():
            self._bank.expect(notes, sample - self.position)

    def clear_schedule(self) -> None:
        """Forget every event that has not happened yet."""
        self._queue.clear()

    def set_instrument(self, instrument: Instrument) -> None:
        """Play another instrument of the same sample rate from now on; what sounds ends within a short fade."""
        if instrument.sample_rate != self.sample_rate:
            raise ValueError(f"the instrument runs at {instrument.sample_rate} Hz, the synth at {self.sample_rate}")
        for number in list(self._where):
            self._bank.silence(number)
            self._forget(number)
        self._leaving.append(self._bank)
        self.instrument, self._bank = instrument, self._new_bank(instrument)
        kept = {name: self._knobs[name] for name in MASTER}
        self._knobs = {name: KNOBS[name].default for name in instrument.knobs} | kept
        self._gain.go(instrument.gain * db_to_gain(self._knobs["volume"]))
        self._touch_all()

    def render(self, samples: int) -> Samples:
        """The next samples, (samples, 2)."""
        out = np.zeros((2, samples), np.float32)
        self._bank.patient = samples > SHORT_BLOCK
        done = 0
        while done < samples:
            self._happen()
            count = min(samples - done, self._until_next())
            part, ended = self._bank.render(count, samples - done)
            for number in ended:
                self._forget(number)
            part += self._render_leaving(count)
            out[:, done : done + count] = part * self._gain.next(count)
            done += count
            self.position += count
        if self._limiter:
            out = self._limiter.process(out)
        return np.ascontiguousarray(out.T)

    def look_ahead(self, frames: int = AHEAD_FRAMES, *, short: bool = False) -> bool:
        """Compute a piece of the future, see `KeysBank.look_ahead`; the one method that any thread may call."""
        return self._bank.look_ahead(frames, short=short)

    def wait_for_events(self, seconds: float) -> None:
        """Until there may be a new piece of the future to compute, but not longer than so long."""
        self._bank.wait_for_events(seconds)

    def prepare(self, key: int) -> None:
        """Make the tables that a key needs, which the first note on it would wait for."""
        model = self.instrument.model
        model.prepare(Note(key, 64), model.latent(Touch(np.zeros(1), 1.0, 1.0, dict(self._knobs))))

    @property
    def late(self) -> int:
        """Changes of voices that were put off because they were not ready."""
        return self._bank.late

    def shed(self) -> bool:
        """End the oldest released note early; return whether there was one."""
        number = self._bank.shed()
        if number is not None:
            self._forget(number)
        return number is not None

    def heard(self) -> tuple[Heard, ...]:
        """What the network hears from now on, for display; see `engine.codec.two_sines`."""
        return self._bank.heard()

    def _render_leaving(self, count: int) -> Samples | float:
        if not self._leaving:
            return 0.0
        total = np.sum([bank.render(count)[0] for bank in self._leaving], axis=0)
        self._leaving = [bank for bank in self._leaving if bank.sounding]
        return np.asarray(total, np.float32)

    def _new_bank(self, instrument: Instrument) -> KeysBank:
        return KeysBank(instrument.model, instrument.keys, self._polyphony, live=self._live)

    def _happen(self) -> None:
        """Everything that is due now."""
        while self._queue and self._queue[0][0] <= self.position:
            self._apply(heapq.heappop(self._queue)[2])
        while self._releases and self._releases[0][0] <= self.position:
            number = heapq.heappop(self._releases)[1]
            self._bank.release(number)
        self._vibrate()

    def _until_next(self) -> int:
        """Samples until something happens."""
        times = [queue[0][0] for queue in (self._queue, self._releases) if queue]
        if self._vibrating():
            times.append((self.position // VIBRATO_STEP + 1) * VIBRATO_STEP)
        return max(1, min(times, default=1 << 62) - self.position)

    def _apply(self, event: Event) -> None:
        if event.kind is Kind.KNOB:
            self._turn(event.name, event.value)
            return
        if event.kind is Kind.PANIC:
            for index in range(CHANNELS):
                self._apply_to(index, event)
            return
        if event.channel != DRUM_CHANNEL:  # a keyed instrument is no drum kit
            self._apply_to(event.channel, event)

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
                    self._bank.silence(number)
                    self._forget(number)

    def _start(self, number: int, key: int, velocity: float, index: int) -> None:
        velocity = max(1.0, velocity * self._softened(index))
        self._where[number] = index
        self._earliest[number] = self.position + round(MIN_NOTE_SECONDS * self.sample_rate)
        for stolen in self._bank.start(number, key, velocity, index):
            self._forget(stolen)

    def _softened(self, index: int) -> float:
        """Factor of a velocity under the soft pedal."""
        gain = soft_gain(self._channels[index].soft, self._knobs)
        return gain if gain == 1 else float(gain**0.5)  # level grows with about the square of the velocity

    def _release(self, number: int) -> None:
        earliest = self._earliest.get(number, 0)
        if earliest > self.position:
            heapq.heappush(self._releases, (earliest, number))
        else:
            self._bank.release(number)

    def _forget(self, number: int) -> None:
        index = self._where.pop(number, None)
        self._earliest.pop(number, None)
        if index is not None:
            self._channels[index].forget(number)

    def _turn(self, name: str, value: float) -> None:
        """A knob has moved; one that this instrument does not have is left alone."""
        if name not in self._knobs:
            return
        self._knobs[name] = KNOBS[name].clip(value)
        if name == "volume":
            self._gain.go(self.instrument.gain * db_to_gain(self._knobs[name]))
        else:
            self._touch_all()

    def _touch_all(self) -> None:
        for index in range(CHANNELS):
            self._touch(index)

    def _touch(self, index: int) -> None:
        channel = self._channels[index]
        left, right = channel_gains(channel.gain, channel.pan)
        semitones = channel.bend_semitones + self._vibrato(channel)
        self._bank.touch(index, left, right, semitones, dict(self._knobs))

    def _vibrating(self) -> bool:
        return self._bank.sounding > 0 and any(channel.vibrato_cents for channel in self._channels)

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
    return channel.gain, channel.pan, channel.bend_semitones, channel.vibrato_cents


class _Ramp:
    """A gain that reaches its target in a straight line within a fixed number of samples."""

    def __init__(self, value: float, samples: int) -> None:
        self._value, self._target, self._step, self._samples = value, value, 0.0, samples

    def go(self, target: float) -> None:
        self._target = target
        self._step = (target - self._value) / self._samples

    def next(self, count: int) -> NDArray[np.float32] | float:
        """Gain over the next samples."""
        if self._value == self._target:
            return self._value
        path = self._value + self._step * np.arange(1, count + 1)
        low, high = sorted((self._value, self._target))
        path = np.clip(path, low, high)
        self._value = self._target if path[-1] == self._target else float(path[-1])
        return np.asarray(path, np.float32)
