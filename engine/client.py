"""The window's end of the engine's process: starts it, talks to it, and starts it again where it is lost.

Nothing here waits for the engine: one thread writes the commands into a pipe, another hands on what comes back.
"""

from __future__ import annotations

import logging
import multiprocessing
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import threads
from engine.faults import catch_faults
from engine.midi.events import Event, knob
from engine.midi.ports import AUTO_PORT
from engine.threads import prepare_process

if TYPE_CHECKING:
    from pathlib import Path

    from engine.audio.output import OutputMeters
    from engine.midi.files import Score
    from engine.reports import Snapshot, State, Tap
    from engine.score_options import ScoreOptions

log = logging.getLogger(__name__)

TAPS = 1024
CLOSE_SECONDS = 5.0
MOST_FALLS, FALL_SECONDS, STEADY_SECONDS = 4, 60.0, 3.0
"""So many falls within so many seconds are too many. One that has played for a while does not count."""
LOOK_SECONDS, MOST_SILENT = 1.0, 15
"""An engine that has played sends its state 60 times a second. After so many looks without a word it hangs: the library
of a sound server that died may wait for it for ever, and hold the interpreter lock meanwhile."""
RESTARTED = "The sound engine had stopped and was started again; the log says more."
GIVEN_UP = "The sound engine stops again and again; the log says why. Restart the program."


def serve(pipe: Connection, faults: Path | None = None) -> None:
    """Run the engine, in its own process, until the other end of the pipe says so or is gone.

    faults: file that a crash of a library is written to.
    """
    prepare_process()
    kept_open = catch_faults(faults) if faults is not None else None  # noqa: F841  # as long as the process runs
    from engine.server import Server  # noqa: PLC0415  # imports torch, which the window's process does without

    Server(pipe).run()


class EngineClient:
    """One engine in a process of its own. All methods may be called by any thread.

    snapshot, meters, latency_ms, last_midi, midi_events, rss_mb: as last reported; None or 0 before that.
    """

    def __init__(self, tell: Callable[[str, tuple[Any, ...]], None], faults: Path | None = None) -> None:
        """`tell(name, arguments)` is called by the reading thread with "instrument" (InstrumentInfo), "part" (channel,
        InstrumentInfo or None), "knobs" (values that controllers or a sound set), "part_knobs" (channel, values),
        "devices" (titles, used), "ports" (names, connected), "busy" (what), "message" (text, problem), "learned"
        (controller), "recorded" (folder of a take), "restarted" (). faults: see `serve`."""
        self._tell, self._faults = tell, faults
        self.snapshot: Snapshot | None = None
        self.meters: OutputMeters | None = None
        self.latency_ms = self.rss_mb = 0.0
        self.last_midi: Event | None = None
        self.midi_events = 0
        self.taps: deque[Tap] = deque(maxlen=TAPS)
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()  # of the process that runs now
        self._writer: threading.Thread | None = None
        self._reader: threading.Thread | None = None
        self._process: Any = None
        self._playing_since = 0.0  # 0: it does not play yet
        self._closing = False
        self._falls: list[float] = []
        # What a new process has to know to be as the lost one was.
        self._instrument, self._knobs, self._next_knobs = "", dict[str, float](), dict[str, float]()
        self._parts, self._next_parts = dict[int, tuple[str, dict[str, float]]](), dict[int, dict[str, float]]()
        self._score: Score | None = None
        self._score_options: ScoreOptions | None = None
        self._mapping: dict[str, int] = {}
        self._output, self._port, self._tapping = ("", 256), AUTO_PORT, False

    def start(self, instrument: str, knobs: Mapping[str, float], device: str, block: int, port: str) -> None:
        """Start the process; everything is loaded and opened there one after another."""
        self._instrument, self._knobs = instrument, dict(knobs)
        self._output, self._port = (device, block), port
        self._launch()

    def close(self) -> None:
        """Let the sound end and the process with it."""
        self._closing = True
        self._command("close")
        process = self._process
        if process is not None:
            process.join(CLOSE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join(CLOSE_SECONDS)
        self._outbox.put(None)
        for thread in (self._writer, self._reader):
            if thread is not None and thread is not threading.current_thread():
                thread.join(CLOSE_SECONDS)

    # --- playing ---

    def play_event(self, event: Event) -> None:
        """Let an event happen now."""
        self._command("event", event, time.perf_counter())

    def turn(self, name: str, value: float, channel: int | None = None) -> None:
        """Set a knob of the main instrument, or of a channel's own one."""
        if channel is None:
            self._knobs[name] = value
        elif channel in self._parts:
            self._parts[channel][1][name] = value
        self._command("event", knob(0, name, value, channel), time.perf_counter())

    def panic(self) -> None:
        """Silence at once; the transport stops."""
        self._command("panic")

    def load(self, instrument: str, knobs: Mapping[str, float]) -> None:
        """Load an instrument by name or path; the one that plays goes on until the new one is ready."""
        self._next_knobs = dict(knobs)
        self._command("load", instrument, self._next_knobs)

    def load_part(self, channel: int, instrument: str | None, knobs: Mapping[str, float] | None = None) -> None:
        """Give a channel (0-15) an instrument of its own, by name or path; None lets the main one play it again.

        "part" (channel, InstrumentInfo or None) tells when it is done.
        """
        self._next_parts[channel] = dict(knobs or {})
        self._command("load_part", channel, instrument, self._next_parts[channel])

    def listen(self, path: Path, channel: int | None = None) -> None:
        """Let pads or a song start from a sound file. Knobs that move come back as "knobs" (values by name), those of
        a channel's own instrument as "part_knobs" (channel, values)."""
        self._command("listen", path, channel)

    def open_score(self, score: Score | None) -> None:
        """Give the transport a score."""
        self._score = score
        self._command("open_score", score)

    def set_score_options(self, options: ScoreOptions) -> None:
        """Play the score otherwise from now on."""
        self._score_options = options
        self._command("set_score_options", options)

    def play(self) -> None:
        """Start the transport."""
        self._command("play")

    def pause(self) -> None:
        """Pause the transport."""
        self._command("pause")

    def stop(self) -> None:
        """Stop the transport and go to its beginning."""
        self._command("stop")

    def seek(self, sample: int) -> None:
        """Move the transport."""
        self._command("seek", sample)

    @property
    def tapping(self) -> bool:
        """Whether `taps` is filled."""
        return self._tapping

    @tapping.setter
    def tapping(self, wanted: bool) -> None:
        if wanted != self._tapping:
            self._tapping = wanted
            self._command("tap", wanted)

    # --- controllers, recording ---

    def map(self, mapping: Mapping[str, int]) -> None:
        """Let controllers turn knobs; the numbers of the controllers by the names of the knobs."""
        self._mapping = dict(mapping)
        self._command("map", self._mapping)

    def learn(self, wanted: bool) -> None:
        """Be told ("learned") which controller moves next."""
        self._command("learn", wanted)

    def record(self, folder: str) -> None:
        """Record into a new folder; "" ends that. "recorded" is told when all is written."""
        self._command("record", folder)

    # --- devices ---

    def open_output(self, device: str, block: int) -> None:
        """Play through a device with a block size; "" is the system's default."""
        self._output = device, block
        self._command("open_output", device, block)

    def rescan(self) -> None:
        """Look for devices again; the stream is closed for that."""
        self._command("rescan")

    def connect(self, port: str) -> None:
        """Listen to a MIDI port; "" to none, AUTO_PORT to the only one."""
        self._port = port
        self._command("connect", port)

    # --- the process ---

    def _launch(self) -> None:
        context: Any = multiprocessing.get_context(threads.START_METHOD)
        pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self._faults), name="musicnn engine", daemon=True)
        self._process.start()
        theirs.close()
        self._outbox, self._playing_since = queue.SimpleQueue(), 0.0
        self._next_knobs = dict(self._knobs)
        self._command("load", self._instrument, self._next_knobs)
        for channel, (source, knobs) in self._parts.items():
            self.load_part(channel, source, knobs)
        self._command("open_score", self._score)
        if self._score_options is not None:
            self._command("set_score_options", self._score_options)
        self._command("map", self._mapping)
        self._command("tap", self._tapping)
        self._command("open_midi", self._port)  # before the sound: rtmidi holds the interpreter while it opens
        self._command("open_output", *self._output)
        outbox, finished = self._outbox, threading.Event()
        self._writer = threading.Thread(target=_write, args=(pipe, outbox, finished), name="engine writer", daemon=True)
        self._reader = threading.Thread(
            target=self._read, args=(pipe, outbox, finished), name="engine reader", daemon=True
        )
        self._writer.start()
        self._reader.start()

    def _command(self, name: str, *arguments: object) -> None:
        # Pickled here: what is passed may change before it is written.
        self._outbox.put(bytes(ForkingPickler.dumps((name, arguments))))

    def _read(self, pipe: Connection, outbox: queue.SimpleQueue[bytes | None], finished: threading.Event) -> None:
        lost, silent, process = "", 0, self._process
        while True:
            try:
                if not pipe.poll(LOOK_SECONDS):  # counted, not timed: this process may have been stopped, too
                    silent += self._playing_since > 0
                    if silent == MOST_SILENT:
                        log.error("the engine's process has said nothing for a long time and was ended")
                        process.kill()
                    continue
                silent = 0
                name, arguments = pipe.recv()
            except (EOFError, OSError):
                break
            if name == "state":
                self._keep(arguments[0])
            elif name == "log":
                logging.getLogger(arguments[1]).log(arguments[0], "%s", arguments[2])
            elif name == "lost":
                lost = arguments[0]
            else:
                if name == "instrument":
                    self._instrument, self._knobs = arguments[0].source, self._next_knobs
                elif name in ("part", "knobs", "part_knobs"):
                    self._remember(name, arguments)
                self._tell(name, arguments)
        outbox.put(None)
        finished.wait(CLOSE_SECONDS)  # until the writer has let go of the pipe
        pipe.close()
        if not self._closing:
            self._fallen(lost)

    def _remember(self, name: str, arguments: tuple[Any, ...]) -> None:
        """What a new process would have to know of parts and of knobs that the engine has turned."""
        if name == "knobs":
            self._knobs |= arguments[0]
            return
        channel, news = arguments
        if name == "part_knobs" and channel in self._parts:
            self._parts[channel][1].update(news)
        elif name == "part" and news is not None:
            self._parts[channel] = news.source, self._next_parts.pop(channel, {})
        elif name == "part":
            self._parts.pop(channel, None)

    def _keep(self, state: State) -> None:
        self.snapshot, self.meters, self.latency_ms = state.snapshot, state.meters, state.latency_ms
        self.last_midi, self.midi_events, self.rss_mb = state.last_midi, state.midi_events, state.rss_mb
        self.taps.extend(state.taps)
        if not self._playing_since and (state.meters is not None or state.snapshot.position):
            self._playing_since = time.monotonic()

    def _fallen(self, lost: str) -> None:
        """The process has ended without having been asked to: begin again, silently where the device is gone."""
        process, now = self._process, time.monotonic()
        process.join(CLOSE_SECONDS)
        if process.is_alive():  # its pipe is gone: nobody can talk to it any more
            process.kill()
            process.join(CLOSE_SECONDS)
        self._falls = [t for t in self._falls if now - t < FALL_SECONDS]
        if not self._playing_since or now - self._playing_since < STEADY_SECONDS:
            self._falls.append(now)
        if not lost:
            log.error("the engine's process ended with status %s", process.exitcode)
        if len(self._falls) > MOST_FALLS:
            self._tell("message", (GIVEN_UP, True))
            return
        text = f"{lost} has gone: all notes are off, and it will be used again when it is back." if lost else RESTARTED
        self._tell("message", (text, True))
        self.meters = None
        self._tell("restarted", ())
        self._launch()
        if self.snapshot is not None:
            self.seek(self.snapshot.score_position)


def _write(pipe: Connection, outbox: queue.SimpleQueue[bytes | None], finished: threading.Event) -> None:
    """Write commands until None comes; those for a process that is gone are dropped."""
    gone = False
    while (command := outbox.get()) is not None:
        if not gone:
            try:
                pipe.send_bytes(command)
            except (OSError, ValueError):  # its reader notices that it is gone
                gone = True
    finished.set()
