"""The instrument as it is played: a synth, a transport and a queue of wishes, driven block by block.

Threads: the *render worker* (or whoever stands in for it) calls `render`; every other thread calls `send`, `do` and
the methods below them, which only put things into a queue, and reads `snapshot` and `taps`. Nobody waits for anybody.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.audio.recorder import Recorder
from engine.instrument import Instrument
from engine.midi.events import Event, knob, note_off, note_on, panic
from engine.midi.files import Score
from engine.spectral import Samples
from engine.synth import Synth
from engine.transport import Transport

TAP_BLOCKS = 512
PEAK_FALL = 0.9995  # of the meter's peak, a sample-rate independent fall per block of 64 samples


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


@dataclass(frozen=True, slots=True)
class Tap:
    """A block as it was heard: the output (samples,), mono, and the two-sine signal (samples,) behind it."""

    position: int
    output: NDArray[np.float32]
    two_sines: NDArray[np.float32]


class LiveEngine:
    """Synth and transport behind a queue."""

    def __init__(self, instrument: Instrument, *, polyphony: int = 64) -> None:
        self.sample_rate = instrument.sample_rate
        self.taps: deque[Tap] = deque(maxlen=TAP_BLOCKS)
        self.tapping = False
        """Whether `taps` is filled: the two-sine signal costs time to make."""
        self.snapshot = Snapshot(instrument=instrument.name)
        self._synth = Synth(instrument, polyphony=polyphony, live=True)
        self._transport = Transport()
        self._wishes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._recorder: Recorder | None = None
        self._clock = 0.0, 0  # (time.perf_counter(), sample) of one moment

    # --- called by any thread ---

    def send(self, event: Event) -> None:
        """Let an event happen at its sample; one in the past happens at once."""
        self._wishes.put(lambda: self._synth.schedule([event]))

    def play_event(self, event: Event, delay_samples: int = 0) -> None:
        """Let an event happen now: `delay_samples` after the sample that is rendered at this moment of time.

        The delay hides that blocks are rendered in bursts: with one of a block's length, events keep their distances.
        """
        moment, sample = self._clock
        now = sample + round((time.perf_counter() - moment) * self.sample_rate) if moment else 0
        self.send(event.at(max(0, now + delay_samples)))

    def turn(self, name: str, value: float) -> None:
        """Set a knob."""
        self.send(knob(0, name, value))

    def panic(self) -> None:
        """Silence at once; the transport stops."""
        self._wishes.put(self._transport.stop)
        self.send(panic(0))

    def load(self, instrument: Instrument) -> None:
        """Swap the instrument, loaded and proved already."""
        self._wishes.put(lambda: self._synth.set_instrument(instrument))

    def open_score(self, score: Score | None) -> None:
        """Give the transport a score."""
        self._wishes.put(lambda: self._transport.load(score))

    def play(self) -> None:
        """Start the transport."""
        self._wishes.put(self._transport.play)

    def pause(self) -> None:
        """Pause the transport."""
        self._wishes.put(self._transport.pause)

    def stop(self) -> None:
        """Stop the transport and go to its beginning."""
        self._wishes.put(self._transport.stop)

    def seek(self, sample: int) -> None:
        """Move the transport."""
        self._wishes.put(lambda: self._transport.seek(sample))

    def record(self, recorder: Recorder | None) -> None:
        """Append all output from now on to a recorder; None ends that."""

        def begin() -> None:
            self._recorder = recorder

        self._wishes.put(begin)

    # --- called by the render worker alone ---

    def render(self, samples: int) -> Samples:
        """The next samples (samples, 2), after every wish so far."""
        self._clock = time.perf_counter(), self._synth.position
        self._fulfil()
        synth = self._synth
        synth.schedule(self._transport.advance(synth.position, samples))
        sines = synth.two_sines(samples) if self.tapping else None
        block = synth.render(samples)
        if sines is not None:
            self.taps.append(Tap(synth.position, block.mean(axis=1), sines))
        if self._recorder and not self._recorder.append(block):
            self._recorder = None
        self._publish(block)
        return block

    def look_ahead(self) -> bool:
        """Use an idle moment; return whether there was anything to do."""
        return self._synth.look_ahead()

    def relaxed(self) -> bool:
        """Whether a score plays: its notes may be late by any time, as long as it is always the same."""
        return self._transport.playing

    def _fulfil(self) -> None:
        while True:
            try:
                self._wishes.get_nowait()()
            except queue.Empty:
                return

    def _publish(self, block: Samples) -> None:
        before, transport, synth = self.snapshot, self._transport, self._synth
        fall = PEAK_FALL ** (len(block) / 64)
        left, right = (float(x) for x in np.abs(block).max(axis=0)) if len(block) else (0.0, 0.0)
        self.snapshot = replace(
            before,
            position=synth.position,
            voices=synth.sounding,
            peak_left=max(left, before.peak_left * fall),
            peak_right=max(right, before.peak_right * fall),
            limiting=synth.limiting,
            playing=transport.playing,
            score_position=transport.position,
            score_length=transport.score.length if transport.score else 0,
            recording=self._recorder.seconds if self._recorder else None,
            instrument=synth.instrument.name,
            keys_down=synth.keys_down,
        )


def warm_up(instrument: Instrument) -> None:
    """Play a chord unheard, so that the first note does not wait for memory and code to be fetched."""
    synth = Synth(instrument)
    synth.schedule(note_on(0, key, 64) for key in list(instrument.keys)[:: max(1, len(instrument.keys) // 8)])
    synth.schedule(note_off(4096, key) for key in instrument.keys)
    for _ in range(24):
        synth.render(512)
