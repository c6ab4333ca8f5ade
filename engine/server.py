"""The engine in a process of its own: instrument, voices, sound device and MIDI, without a window.

Two reasons. Drawing and playing share no interpreter, so a window that is busy cannot delay a block. And a sound server
that dies takes PortAudio's and its own client library with it (their assertions end the process): the process that is
lost then is this one, and the window starts another.

Threads here: the *main* thread takes commands and passes the quick ones on; *housekeeping* does what takes time, one
piece after another; the *reporter* sends the state sixty times a second and watches device and clock; beside them the
render worker and what computes ahead (see `engine.live`).

Commands come as (name, arguments), see `Server.QUICK`, `DIRECT` and `SLOW`; what goes back are (name, arguments) too.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.audio.files import read_audio
from engine.audio.limiter import LOOKAHEAD
from engine.audio.output import AudioOutput, Device, devices, rescan
from engine.audio.recorder import Recorder
from engine.audio.silent import SilentOutput
from engine.description import SAMPLE_RATE
from engine.errors import MidiPortError, MusicNNError, sentence
from engine.guard import faulty_sentence
from engine.instrument import check_part
from engine.knobs import KNOBS
from engine.library import DEFAULT, open_first
from engine.live import LiveEngine, LookAhead
from engine.memory import reserve_memory, rss_mb
from engine.midi.events import Event, Kind, knob
from engine.midi.mapping import ControllerMap, is_free
from engine.midi.ports import AUTO_PORT, MidiInput
from engine.reports import InstrumentInfo, State
from engine.suspend import SuspendWatch, was_stopped
from engine.threads import COMPANION, prepare_thread

if TYPE_CHECKING:
    from engine.instrument import Instrument

REPORT_SECONDS = 1 / 60
SEARCH_SECONDS = 2.0  # between two looks for a device that is missing
WEIGH_SECONDS = 0.5  # between two looks at the memory
STALL_SECONDS = 4.0  # without a block asked for, after which a device counts as gone
LATE_SECONDS = 1.0  # by which the reporter may be late: after more it gives the device time to be late, too
END_SECONDS = 4.0  # after which the process ends, whatever still closes
RESERVE_MB = 96  # the sound of sixty voices that is made ahead, and kept until it has been heard: asked for in any case
GARBAGE = 2000, 50, 1000
"""Objects until the youngest are looked through, and how often that is until those of the next two ages are."""
NO_DEVICE = "No sound device: you can still play, watch and export. Connect one, and it will be used."
FAILED = "Something went wrong in the engine; the log says what."
AWAKE = "The computer was asleep: all notes are off."
CONTINUED = "The sound engine was stopped for a while: all notes are off."

log = logging.getLogger(__name__)


class Server:
    """One engine, driven by a pipe."""

    QUICK = ("event", "panic", "open_score", "set_score_options", "play", "pause", "stop", "seek", "tap", "record")
    DIRECT = ("map", "learn")
    SLOW = ("load", "load_part", "listen", "open_output", "rescan", "open_midi", "connect")

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._sending = pipe, threading.Lock()
        self._engine: LiveEngine | None = None
        self._ahead: LookAhead | None = None
        self._output: AudioOutput | None = None
        self._silent: SilentOutput | None = None
        self._midi: MidiInput | None = None
        self._devices: list[Device] = []
        self._wanted, self._block, self._output_asked = "", 256, False
        self._faulty, self._faulty_said = 0, False  # voices that were no sound; one message for each instrument
        self._port, self._ports, self._connected = AUTO_PORT, [""], ""
        self._last_midi: Event | None = None
        self._rss_mb = rss_mb()
        self._midi_events = 0
        self._controllers = ControllerMap()
        self._turned: dict[str, float] = {}  # by controllers, to be told
        self._learning, self._learned = False, -1
        self._recorder: Recorder | None = None
        self._housekeeping = ThreadPoolExecutor(1, thread_name_prefix="housekeeping")
        self._searching = self._ending = False
        self._beginning = threading.Lock()
        self._waiting: list[tuple[str, tuple[Any, ...]]] = []  # commands that came before the engine was there

    def run(self) -> None:
        """Take commands."""
        logging.getLogger().handlers = [_PipeHandler(self._send)]
        logging.getLogger().setLevel(logging.INFO)
        prepare_thread(COMPANION)
        threading.Thread(target=self._report, name="reporter", daemon=True).start()
        while True:
            try:
                name, arguments = self._pipe.recv()
            except (EOFError, OSError):
                name, arguments = "close", ()
            if name == "close":
                self._end()
            if name in self.SLOW:
                self._do(getattr(self, f"_{name}"), *arguments)
            elif name in self.DIRECT:
                getattr(self, f"_{name}")(*arguments)
            elif name in self.QUICK:
                self._quick(name, arguments)

    def _quick(self, name: str, arguments: tuple[Any, ...]) -> None:
        with self._beginning:
            engine = self._engine
            if engine is None:
                self._waiting.append((name, arguments))
                return
        if name == "event":
            self._note_turn(arguments[0])
            engine.play_event(*arguments)
        elif name == "record":
            self._record(engine, *arguments)
        elif name == "tap":
            engine.tapping = arguments[0]
        else:
            getattr(engine, name)(*arguments)
            if name == "open_score":
                gc.freeze()  # it stays: nobody has to look through its events again

    def _send(self, name: str, *arguments: object) -> None:
        try:
            with self._sending:
                self._pipe.send((name, arguments))
        except (OSError, ValueError):
            return  # nobody listens any more; the main thread will notice

    def _say(self, text: str, *, problem: bool) -> None:
        self._send("message", sentence(text), problem)

    def _do(self, work: Callable[..., None], *arguments: object) -> None:
        """Queue a piece of work. Its problems become messages."""

        def run() -> None:
            try:
                work(*arguments)
            except MusicNNError as error:
                self._say(str(error), problem=True)
            except Exception:
                log.exception("in %s", work.__name__)
                self._say(FAILED, problem=True)
            self._send("busy", "")

        self._housekeeping.submit(run)

    # --- instruments ---

    def _load(self, name: str, knobs: Mapping[str, float]) -> None:
        """Load, prove and warm up; the one that plays goes on until then."""
        self._send("busy", f"loading {name}")
        prepare_thread()
        try:
            instrument = self._ready(name)
        except Exception as error:
            if self._engine is not None or name == DEFAULT:
                raise
            log.exception("%s cannot be loaded", name)
            self._say(str(error) if isinstance(error, MusicNNError) else FAILED, problem=True)
            name, instrument = DEFAULT, self._ready(DEFAULT)
        self._faulty_said = False
        if self._engine is None:
            self._begin(instrument)
            if self._output_asked:  # while there was nothing to be heard
                self._play_through()
        else:
            self._engine.load(instrument)
        assert self._engine is not None
        for key in instrument.knobs:
            self._controllers.turned(key, KNOBS[key].default)
        for key, value in knobs.items():
            self._controllers.turned(key, value)
            self._engine.send(knob(0, key, value))
        self._send("instrument", _info(name, instrument))

    def _ready(self, name: str) -> Instrument:
        """An instrument that sounds as it did when it was made."""
        opened = open_first(name, proved=True)
        if opened.notice:
            self._say(opened.notice, problem=True)
        return opened.instrument

    def _load_part(self, channel: int, name: str | None, knobs: Mapping[str, float]) -> None:
        """Give a channel an instrument of its own, or none."""
        if self._engine is None:
            return
        if name is None:
            self._engine.load_part(channel, None)
            self._send("part", channel, None)
            return
        self._send("busy", f"loading {name}")
        prepare_thread()
        instrument = self._ready(name)
        check_part(channel, instrument)
        self._engine.load_part(channel, instrument)
        for key, value in knobs.items():
            self._engine.turn(key, value, channel)
        self._send("part", channel, _info(name, instrument))

    def _listen(self, path: Path, channel: int | None) -> None:
        """Start from the player's own file: pads by their sliders, a song by its beginning."""
        if self._engine is None:
            return
        self._send("busy", f"listening to {path.name}")
        prepare_thread()
        values = self._engine.listen(read_audio(path, SAMPLE_RATE), channel)
        if channel is None:
            for key, value in values.items():
                self._controllers.turned(key, value)
            self._send("knobs", values)
        else:
            self._send("part_knobs", channel, values)
        self._say(f"{path.name} was heard: the next key starts from it", problem=False)

    def _begin(self, instrument: Instrument) -> None:
        engine = LiveEngine(instrument)
        engine.sources.append(self._hear)
        self._ahead = LookAhead(engine)
        self._ahead.start()
        # Looking through everything for what can be forgotten takes 25 ms in which nothing else runs. What is there now
        # stays; what comes and goes while playing is young, or forgotten without being looked for.
        gc.collect()
        reserve_memory(RESERVE_MB)
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        with self._beginning:
            self._engine, waiting = engine, self._waiting
        for name, arguments in waiting:
            self._quick(name, arguments)

    # --- sound ---

    def _open_output(self, wanted: str, block: int) -> None:
        self._send("busy", "opening the sound device")
        self._wanted, self._block, self._output_asked = wanted, block, True
        try:
            self._devices = devices()
        except MusicNNError as error:
            self._say(str(error), problem=True)
        self._play_through()

    def _play_through(self) -> None:
        """Open the wanted device, or the first one, or none."""
        if self._engine is None:
            return
        self._close_output()
        found = [device for device in self._devices if device.title == self._wanted] or self._devices[:1]
        self._searching = not found or bool(self._wanted and found[0].title != self._wanted)
        try:
            if not found:
                raise MusicNNError(NO_DEVICE)
            if self._searching:
                self._say(f"{self._wanted} is not there: {found[0].title} is used until it is.", problem=True)
            engine = self._engine
            output = AudioOutput(engine.render, SAMPLE_RATE, engine.interrupted)
            output.open(found[0], self._block)
        except MusicNNError as error:
            self._say(str(error), problem=True)
            self._engine.event_delay = 0
            self._silent = SilentOutput(self._engine.render, SAMPLE_RATE)
            self._silent.open()
        else:
            self._engine.event_delay = output.event_delay
            self._output = output
        self._tell_devices()

    def _tell_devices(self) -> None:
        used = self._output.meters.device if self._output is not None else ""
        self._send("devices", [device.title for device in self._devices], used)

    def _close_output(self) -> None:
        closing = self._output, self._silent
        self._output = self._silent = None  # first: the reporter takes an output that has ended for lost
        for output in closing:
            if output is not None:
                output.close()

    def _rescan(self) -> None:
        self._send("busy", "looking for devices")
        self._close_output()
        try:
            self._devices = rescan()
        finally:
            self._play_through()
            if self._midi is None:
                self._open_midi(self._port)

    def _search(self) -> None:
        """Is the missing device back? Looking closes nothing: where another one plays, PortAudio is left alone."""
        if not self._searching or self._output is not None:
            return
        try:
            found = rescan()
        except MusicNNError:
            return
        if found and (not self._wanted or any(device.title == self._wanted for device in found)):
            self._devices = found
            self._play_through()
            if self._output is not None:
                self._say(f"{self._output.meters.device} is there and plays.", problem=False)
            if self._midi is None:
                self._open_midi(self._port)

    # --- MIDI ---

    def _open_midi(self, port: str) -> None:
        self._send("busy", "opening MIDI")
        self._port = port
        midi = MidiInput(lost=self._port_lost)
        midi.start()
        self._midi = midi
        self._connect(port)

    def _connect(self, name: str) -> None:
        """Listen to a port; AUTO_PORT is the only one there is."""
        self._port = name
        if self._midi is None:
            raise MidiPortError("there is no MIDI on this machine: press Rescan once there is")
        ports = self._midi.ports()
        self._midi.connect(name if name != AUTO_PORT else ports[0] if len(ports) == 1 else "")
        self._tell_ports()

    def _tell_ports(self) -> None:
        midi = self._midi
        ports, connected = (midi.ports(), midi.connected) if midi is not None else ([], "")
        if (ports, connected) != (self._ports, self._connected):
            self._ports, self._connected = ports, connected
            self._send("ports", ports, connected)

    def _port_lost(self, name: str) -> None:
        self._say(f"{name} is unplugged: its notes are off, and it will be heard again when it is back.", problem=True)

    def _hear(self) -> list[tuple[Event, float]]:
        """On the render worker, at every block."""
        if self._midi is None:
            return []
        events = self._midi.fetch()
        left = [(event, time.perf_counter()) for event in self._midi.left_behind()]
        if not events:
            return left
        self._last_midi = events[-1][0]
        self._midi_events += len(events)
        played = [(taken, moment) for event, moment in events if (taken := self._control(event)) is not None]
        return played + left

    # --- controllers that turn knobs ---

    def _map(self, mapping: Mapping[str, int]) -> None:
        self._controllers.set_mapping(mapping)

    def _learn(self, wanted: bool) -> None:
        """Tell which controller moves next."""
        self._learned, self._learning = -1, wanted

    def _control(self, event: Event) -> Event | None:
        """On the render worker: what becomes of an event."""
        if self._learning and event.kind is Kind.CONTROL and is_free(event.number):
            self._learned, self._learning = event.number, False
        taken = self._controllers.take(event)
        if taken is not None and taken.kind is Kind.KNOB:
            self._turned[taken.name] = taken.value
        return taken

    def _note_turn(self, event: Event) -> None:
        if event.kind is Kind.KNOB:
            self._controllers.turned(event.name, event.value)
            self._turned.pop(event.name, None)  # what a controller turned before is out of date

    def _tell_controllers(self) -> None:
        """On the reporter's thread."""
        if self._turned:
            turned, self._turned = self._turned, {}
            self._send("knobs", turned)
        if self._learned >= 0:
            number, self._learned = self._learned, -1
            self._send("learned", number)

    # --- recording ---

    def _record(self, engine: LiveEngine, folder: str) -> None:
        """Record into a new folder; "" ends that."""
        before, self._recorder = self._recorder, None
        if before is not None:
            engine.record(None)
            self._housekeeping.submit(self._close_recorder, before)
        if folder:
            try:
                self._recorder = Recorder(Path(folder))
            except MusicNNError as error:
                self._say(str(error), problem=True)
                self._send("recorded", folder)
            else:
                engine.record(self._recorder)

    def _close_recorder(self, recorder: Recorder) -> None:
        take = recorder.close()
        if recorder.problem:
            self._say(recorder.problem, problem=True)
        self._send("recorded", str(take.folder))

    def _watch_recorder(self) -> None:
        """One that has ended by itself is closed."""
        recorder = self._recorder
        if recorder is not None and recorder.problem:
            self._recorder = None
            self._housekeeping.submit(self._close_recorder, recorder)

    # --- the reporter ---

    def _report(self) -> None:
        """Send the state, watch the device, the ports and the clock."""
        prepare_thread(COMPANION)
        before = searched = moved = weighed = time.monotonic()
        suspend, position, watched = SuspendWatch(), 0, None
        while not self._ending:
            time.sleep(REPORT_SECONDS)
            now = time.monotonic()
            if suspend.slept():
                self._wake(AWAKE)
            elif was_stopped():
                self._wake(CONTINUED)
            if now - before > LATE_SECONDS:
                moved = now
            before = now
            engine, output = self._engine, self._output
            if engine is None:
                continue
            if engine.snapshot.position != position or output is not watched:
                position, moved, watched = engine.snapshot.position, now, output
            if output is not None and (not output.running or now - moved > STALL_SECONDS):
                self._send("lost", output.meters.device)
                os._exit(1)
            if now - weighed > WEIGH_SECONDS:
                weighed, self._rss_mb = now, rss_mb()
            self._send_state(engine, output)
            self._tell_controllers()
            self._watch_recorder()
            self._watch_faulty(engine.snapshot.faulty)
            if now - searched > SEARCH_SECONDS:
                searched = now
                if self._searching:
                    self._housekeeping.submit(self._search)
                self._watch_ports()

    def _watch_ports(self) -> None:
        midi = self._midi
        if midi is not None and midi.ports() != self._ports and self._port == AUTO_PORT and not midi.connected:
            self._do(self._connect, AUTO_PORT)
        elif midi is not None:
            self._tell_ports()

    def _watch_faulty(self, count: int) -> None:
        """Say once for each instrument that notes are silenced."""
        new, self._faulty = count - self._faulty, count
        if new > 0 and not self._faulty_said:
            self._faulty_said = True
            log.warning("%d voices were no sound", new)
            self._say(faulty_sentence(new), problem=True)

    def _send_state(self, engine: LiveEngine, output: AudioOutput | None) -> None:
        meters = output.meters if output is not None else None
        latency = 0.0
        if meters is not None and meters.sample_rate:
            latency = meters.latency_ms + 1000 * (engine.event_delay + LOOKAHEAD) / SAMPLE_RATE
        taps = [engine.taps.popleft() for _ in range(len(engine.taps))]
        self._send(
            "state", State(engine.snapshot, meters, latency, taps, self._last_midi, self._rss_mb, self._midi_events)
        )

    def _wake(self, text: str) -> None:
        """What was let go meanwhile may not have been heard of."""
        if self._engine is not None:
            self._engine.quiet()
            self._say(text, problem=False)

    def _end(self) -> None:
        """Close everything and end the process, soon in any case: whoever is closed may wait for a dead server."""
        self._ending = True
        threading.Timer(END_SECONDS, os._exit, (0,)).start()
        try:
            self._close()
        except Exception:
            log.exception("while closing")
        os._exit(0)  # the libraries' own ends are not to be trusted where a server has died

    def _close(self) -> None:
        """What fetches and renders first, then what it uses. The take comes before all that might wait."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()
        self._housekeeping.shutdown(wait=True, cancel_futures=True)
        self._close_output()
        if self._ahead is not None:
            self._ahead.stop()
        if self._midi is not None:
            self._midi.close()


class _PipeHandler(logging.Handler):
    """Log records go to the window's process, which has the file."""

    def __init__(self, send: Callable[..., None]) -> None:
        super().__init__()
        self._send = send
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._send("log", record.levelno, record.name, self.format(record))


def _info(source: str, instrument: Instrument) -> InstrumentInfo:
    presets = {key: dict(values) for key, values in instrument.presets.items()}
    return InstrumentInfo(
        source, instrument.name, instrument.kind, instrument.title, instrument.keys, tuple(instrument.knobs), presets,
        instrument.codec, instrument.pads,
    )  # fmt: skip
