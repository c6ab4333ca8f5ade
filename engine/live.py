"""The instrument as it is played: a synth, a transport and a queue of wishes, driven block by block.

Threads: the *render worker* (or whoever stands in for it) calls `render`; `LookAhead` calls `look_ahead`; every other
thread calls `send` and the methods below it, which only put things into a queue, and reads `snapshot` and `taps`.
Nobody waits for anybody.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from engine.audio.recorder import Recorder
from engine.chase import Chase
from engine.errors import InstrumentError
from engine.instrument import Instrument
from engine.midi.channel import ALL_SOUND_OFF, NOTE_MODES, PEDAL_DOWN, SOSTENUTO, SUSTAIN
from engine.midi.events import Event, Kind, knob, panic
from engine.midi.files import Score
from engine.midi.monitor import Monitor
from engine.midi.touched import everything_neutral
from engine.reports import Snapshot, Tap
from engine.sample_clock import SampleClock
from engine.score_options import ScoreOptions
from engine.spectral import Samples
from engine.synth import CHANNELS, Synth
from engine.threads import LOOK_AHEAD, prepare_thread
from engine.transport import Transport
from engine.voices.pads import PadsBank
from engine.voices.song import SongBank

log = logging.getLogger(__name__)

TAP_BLOCKS = 512
MOST_WISHES = 1024
"""That may wait for the render worker. Of events beyond, note-ons are dropped, and knobs, controllers and wheels keep
only their last value; ends of notes and pedals always get through."""
STALE_SECONDS = 1.0  # after which a key that was struck is not played any more: nobody waits for it
IDLE_SECONDS = 0.002  # between two looks for something to compute
PEAK_FALL = 0.9995  # of the meter's peak, a sample-rate independent fall per block of 64 samples


class LiveEngine:
    """Synth and transport behind a queue."""

    def __init__(self, instrument: Instrument, *, polyphony: int = 64) -> None:
        self.sample_rate = instrument.sample_rate
        self.taps: deque[Tap] = deque(maxlen=TAP_BLOCKS)
        self.tapping = False
        """Whether `taps` is filled."""
        self.event_delay = 0
        """Samples from the sample that is rendered at an event's moment until the event happens: constant, so that
        events keep their distances although blocks are rendered in bursts. A block's length is enough."""
        self.sources: list[Callable[[], Iterable[tuple[Event, float]]]] = []
        """Asked at the beginning of every block for events and their moments (time.perf_counter)."""
        self.snapshot = Snapshot(instrument=instrument.name)
        self._synth = Synth(instrument, polyphony=polyphony, live=True)
        self._transport = Transport()
        self._wishes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._overflow: dict[tuple[Kind, int, int, str], Event] = {}  # last values of what found no place there
        self._fresh_since = 0.0  # moment before which struck keys are stale
        self._faults: Counter[str] = Counter()  # errors of sources and commands
        self._monitor = Monitor()
        self._recorder: Recorder | None = None
        self._recorded_from = 0  # position of the synth
        self._played: list[Event] = []  # since the last block, where it is recorded
        self._clock = SampleClock(self.sample_rate)
        self._dropped = self._late = 0

    # --- called by any thread ---

    def send(self, event: Event) -> None:
        """Let an event happen at its sample; one in the past happens at once."""
        if self._has_place(event):
            self._wish(lambda: self._play(event))

    def play_event(self, event: Event, moment: float | None = None) -> None:
        """Let an event happen that happened at a moment (time.perf_counter), `event_delay` later; None is now."""
        moment = time.perf_counter() if moment is None else moment
        if self._has_place(event):
            self._wish(lambda: self._schedule(event, moment))

    def turn(self, name: str, value: float, channel: int | None = None) -> None:
        """Set a knob of the main instrument, or of a channel's own one."""
        self.send(knob(0, name, value, channel))

    def panic(self) -> None:
        """Silence at once; the transport pauses where it is."""
        self._wish(self._transport.pause)
        self.send(panic(0))

    def quiet(self) -> None:
        """Let go of every key, pedal and wheel, and forget the keys struck until now that have not sounded yet.

        A score that plays goes on: its notes and controllers are brought back.
        """
        self._fresh_since = time.perf_counter()

        def neutral() -> None:
            for channel in range(CHANNELS):
                for event in everything_neutral(channel):
                    self._play(event)
            if self._transport.playing:
                self._transport.seek(self._transport.position)

        self._wish(neutral)

    def load(self, instrument: Instrument) -> None:
        """Swap the main instrument, loaded and proved already. Takes the time that its first sounds need."""
        part = self._synth.new_part(instrument)
        self._wish(lambda: self._synth.set_part(part))

    def load_part(self, channel: int, instrument: Instrument | None) -> None:
        """Give a channel (0-15) an instrument of its own; None takes it away, and the main one plays it again."""
        part = None if instrument is None else self._synth.new_part(instrument)
        self._wish(lambda: self._synth.set_part(part, channel))

    def listen(self, sound: Samples, channel: int | None = None) -> dict[str, float]:
        """Let the main instrument, or a channel's own, start from a sound (2, samples): the pad that was hit last
        becomes as like it as can be, a song goes on from it. Returns the knobs that are turned for it.

        Raises InstrumentError where the instrument cannot listen, or makes nothing of this sound."""
        part = self._synth.part(channel)
        bank, values = part.bank, dict[str, float]()
        if isinstance(bank, PadsBank):
            values = {name: value for name, value in bank.sliders_of(sound).items() if name in part.knobs}
            for name, value in values.items():
                self.send(knob(0, name, value, channel))
        elif isinstance(bank, SongBank):
            state = bank.begin(sound)
            self._wish(lambda: bank.begin_from(state))
        else:
            raise InstrumentError(f"{part.instrument.title} plays notes: only pads and songs can start from a sound")
        return values

    def open_score(self, score: Score | None) -> None:
        """Give the transport a score."""
        chase = Chase(score) if score is not None else None
        self._wish(lambda: self._transport.load(score, chase))

    def set_score_options(self, options: ScoreOptions) -> None:
        """Play the score otherwise from now on."""
        self._wish(lambda: self._transport.set_options(options))

    def play(self) -> None:
        """Start the transport."""
        self._wish(self._transport.play)

    def pause(self) -> None:
        """Pause the transport."""
        self._wish(self._transport.pause)

    def stop(self) -> None:
        """Stop the transport and go to its beginning."""
        self._wish(self._transport.stop)

    def seek(self, sample: int) -> None:
        """Move the transport."""
        self._wish(lambda: self._transport.seek(sample))

    def record(self, recorder: Recorder | None) -> None:
        """Append all output and events from now on to a recorder; None ends that."""

        def begin() -> None:
            self._recorder, self._recorded_from = recorder, self._synth.position
            self._played = self._monitor.state() if recorder is not None else []

        self._wish(begin)

    # --- called by the render worker alone ---

    def render(self, samples: int) -> Samples:
        """The next samples (samples, 2), after every wish so far."""
        synth = self._synth
        self._clock.mark(time.perf_counter(), synth.position)
        heard = synth.heard() if self.tapping else ()
        for source in self.sources:
            self._listen_to(source)
        self._fulfil()
        for event in self._transport.coming(synth.position, samples):
            synth.announce(event)
        self._take(self._transport.advance(synth.position, samples))
        block = synth.render(samples)
        if self.tapping:
            self.taps.append(Tap(synth.position, block.mean(axis=1), heard))
        self._record(block)
        self._publish(block)
        return block

    def interrupted(self) -> None:
        """The sound had a gap: from now on samples come later than they did."""
        self._clock.reset()

    # --- called by another thread ---

    def look_ahead(self) -> bool:
        """Compute a piece of the future; return whether there was anything to do."""
        return self._synth.look_ahead()

    # --- below: the render worker alone ---

    def _wish(self, wish: Callable[[], None]) -> None:
        self._wishes.put(wish)

    def _has_place(self, event: Event) -> bool:
        """Whether an event may be queued: always, but in a flood that the worker does not keep up with."""
        if self._wishes.qsize() < MOST_WISHES or _lets_go(event):
            return True
        if event.kind is Kind.NOTE_ON:
            self._dropped += 1
        else:
            self._overflow[event.kind, event.channel, event.number, event.name] = event
        return False

    def _listen_to(self, source: Callable[[], Iterable[tuple[Event, float]]]) -> None:
        """Whatever a source of events raises, the sound goes on."""
        try:
            for event, moment in source():
                self._schedule(event, moment)
        except Exception:
            if self._is_new("source"):
                log.exception("a source of events failed; it is asked again, and this is logged once")

    def _is_new(self, fault: str) -> bool:
        """Count a fault; return whether it is the first of its kind: it may come back with every block."""
        self._faults[fault] += 1
        return self._faults[fault] == 1

    def _schedule(self, event: Event, moment: float) -> None:
        stale = moment < max(self._fresh_since, time.perf_counter() - STALE_SECONDS)
        if stale and event.kind is Kind.NOTE_ON:
            self._dropped += 1
            return
        sample = self._clock.sample(moment) + self.event_delay
        if sample < self._synth.position and event.kind is not Kind.KNOB:  # a window sets many at its start
            self._late += 1
        self._play(event.at(max(0, sample)))

    def _play(self, event: Event) -> None:
        """Let an event of the player's own happen."""
        self._take([*self._transport.before(event), event])

    def _take(self, events: Iterable[Event]) -> None:
        """Let events happen at their samples; whatever is played comes this way."""
        events = list(events)
        for event in events:
            self._monitor.hear(event)
        if self._recorder is not None:
            self._played += [event.at(max(event.sample, self._synth.position)) for event in events]
        self._synth.schedule(events)

    def _record(self, block: Samples) -> None:
        if self._recorder is None:
            return
        since = self._recorded_from - self._synth.delay  # the sound of an event comes that much later
        played, self._played = self._played, []
        if not self._recorder.append(block, [event.at(max(0, event.sample - since)) for event in played]):
            self._recorder = None

    def _fulfil(self) -> None:
        while True:
            try:
                wish = self._wishes.get_nowait()
            except queue.Empty:
                break
            try:
                wish()
            except Exception:
                if self._is_new("command"):
                    log.exception("a command failed; the sound goes on, and this is logged once")
        while self._overflow:
            self._take([self._overflow.popitem()[1].at(0)])

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
            knobs=synth.knobs,
            dropped=self._dropped,
            late=self._late + synth.late,
            faulty=synth.faulty,
            prepared=synth.prepared,
            pedals=self._monitor.pedals,
            bend=self._monitor.bend,
            modulation=self._monitor.modulation,
        )


class LookAhead:
    """A thread that computes what pads and songs will need while the render worker plays the present."""

    def __init__(self, engine: LiveEngine) -> None:
        self._engine = engine
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="look ahead", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the piece that is being computed."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        prepare_thread(LOOK_AHEAD)
        while not self._stop.is_set():
            if not self._engine.look_ahead():
                self._stop.wait(IDLE_SECONDS)


def _lets_go(event: Event) -> bool:
    """Whether an event ends notes, or lets them end: without it one might sound for ever."""
    if event.kind is Kind.CONTROL and event.number in (SUSTAIN, SOSTENUTO):
        return event.value < PEDAL_DOWN
    modes = event.kind is Kind.CONTROL and event.number in (ALL_SOUND_OFF, *NOTE_MODES)
    return modes or event.kind in (Kind.NOTE_OFF, Kind.PANIC)
