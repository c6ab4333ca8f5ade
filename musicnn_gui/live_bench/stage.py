"""The server, the program, the client that plays and records it, and the watch over the machine that they run on."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.audio.output import METER_SECONDS
from engine.errors import DeviceError
from musicnn_gui.live_bench.arithmetic import CONTROL, Message, Row, Sound, dropouts, grown, on_timeline

INSTRUMENT = "piano"
START_SECONDS = 60.0
END_SECONDS = 30.0
PEDAL = 64
PRIORITY = 70  # of a server in real time, below which its clients run
MOST_PORTS = 128  # of a server, which keeps 0.1 MB for each in a memory that counts as every client's own
XRUN_SECONDS = METER_SECONDS + 1.0  # after which an xrun stands in a row of the meters at the latest
STALL_MS = 3.0  # for which the most urgent thread has to wait to be counted

Found = TypeVar("Found")


def jack_library() -> Any:
    """The JACK-Client package. Raises DeviceError where it, or the library it needs, is missing."""
    try:
        import jack  # noqa: PLC0415  # only this measuring needs it
    except ImportError as error:
        raise DeviceError("the Python package JACK-Client is not installed") from error
    except OSError as error:
        raise DeviceError(f"the JACK library cannot be loaded: {error}") from error
    return jack


def wait(look: Callable[[], Found | None], seconds: float, complaint: str) -> Found:
    """What `look` finds, as soon as it finds something. Raises DeviceError with the complaint after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise DeviceError(complaint)
        time.sleep(0.02)


class Started:
    """Something that is begun and ended by `with`; what has begun is ended too where the rest cannot begin."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._begin(stack)
            self._ending = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    def _begin(self, stack: ExitStack) -> None:
        """Begin; `stack` gets what is to be done at the end, in the opposite order."""
        raise NotImplementedError


class LiveServer(Started):
    """A JACK server of our own with the dummy driver; whatever else runs on the machine is left alone."""

    def __init__(self, rate: int, block: int) -> None:
        self.rate, self.block = rate, block
        self.name = f"musicnn-{uuid.uuid4().hex[:8]}"

    def _begin(self, stack: ExitStack) -> None:
        if shutil.which("jackd") is None:
            raise DeviceError("jackd is not installed, so there is no sound server to measure on")
        jack = jack_library()
        jack.set_error_function(lambda text: None)
        jack.set_info_function(lambda text: None)
        self.log = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="musicnn-jack-"))) / "jackd.log"
        environment = os.environ | {"JACK_NO_AUDIO_RESERVATION": "1"}
        priority = server_priority()
        self.realtime = "--realtime" in priority
        driver = ["-d", "dummy", "-r", str(self.rate), "-p", str(self.block)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["jackd", "-n", self.name, "--port-max", str(MOST_PORTS), *priority, *driver],
                env=environment,
                stdout=log,
                stderr=log,
            )
        stack.callback(_terminate, self._process, 10.0)
        wait(lambda: self._answers(jack), 20.0, "the JACK server did not start")

    def xruns(self) -> dict[str, int]:
        """How many xruns the server has logged: all, and whose they were.

        of_timer: the dummy driver woke too late, which is the machine's doing and nobody's sound; of_program: the
        program, or its MIDI port, was not done with its period; of_tester: the clients beside it were not. A client
        that was not even called, because another was late, is nobody's.
        """
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if "XRun" in line]
        called = [line for line in lines if "client = " in line and "NotTriggered" not in line]
        tester = sum("client = musicnn-bench" in line for line in called)
        timer = sum("JackTimedDriver" in line for line in lines)
        return {
            "xruns_jackd_log": len(lines), "xruns_of_timer": timer, "xruns_of_program": len(called) - tester,
            "xruns_of_tester": tester,
        }  # fmt: skip

    def _answers(self, jack: Any) -> bool:
        if self._process.poll() is not None:
            raise DeviceError("the JACK server ended by itself")
        try:
            jack.Client("musicnn-knock", servername=self.name, no_start_server=True).close()
        except jack.JackError:
            return False
        return True


def server_priority() -> list[str]:
    """Arguments for jackd: real time where it is allowed."""
    return ["--realtime", "-P", str(PRIORITY)] if _may_be_realtime() else ["--no-realtime"]


def _may_be_realtime() -> bool:
    """Whether this process may ask for real-time scheduling, as a sound server does where it is allowed to."""
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        os.sched_setscheduler(0, *before)
    except (AttributeError, OSError):
        return False
    return True


def _terminate(process: subprocess.Popen[Any], seconds: float) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class RunningProgram(Started):
    """`musicnn play` in a process of its own, without a screen, with no settings of the user's."""

    def __init__(self, server: LiveServer, score: Path | None = None, *, play: bool = False) -> None:
        self._server = server
        self._arguments = ["--instrument", INSTRUMENT, "--block", str(server.block)]
        if score is not None:
            self._arguments.append(str(score.absolute()))
        if play:
            self._arguments.append("--play")
        self._rows: list[Row] = []
        self._read = 0

    def _begin(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="musicnn-bench-")))
        self._meters, self._errors = folder / "meters.jsonl", folder / "errors.txt"
        environment = os.environ | {
            "JACK_DEFAULT_SERVER": self._server.name, "JACK_NO_START_SERVER": "1", "QT_QPA_PLATFORM": "offscreen",
        }  # fmt: skip
        for name in ("CONFIG", "STATE", "DATA", "CACHE"):
            (folder / name).mkdir()
            environment[f"XDG_{name}_HOME"] = str(folder / name)
        settings = folder / "CONFIG" / "musicnn" / "settings.json"
        settings.parent.mkdir()
        settings.write_text(json.dumps({"midi_port": ""}))  # the tester plugs itself into the program's own port
        command = [sys.executable, "-m", "musicnn_gui.cli", "play", "--meters", str(self._meters), *self._arguments]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        lines: queue.Queue[str] = queue.Queue()
        _listen(self._process, lines.put, stack)
        self._wait_ready(lines)

    def rows(self) -> list[Row]:
        """Every line of the meters so far."""
        if self._meters.exists():
            with self._meters.open("rb") as file:
                file.seek(self._read)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._read += len(whole)
            self._rows += [json.loads(line) for line in whole.splitlines() if line.strip()]
        return self._rows

    def row(self) -> Row:
        """The next line the meters write. Raises DeviceError where none comes."""
        count = len(self.rows())

        def look() -> list[Row]:
            self._check_alive()
            return self.rows()[count:]

        return wait(look, 10.0, "the program's meters stand still")[0]

    def _check_alive(self) -> None:
        if self._process.poll() is not None:
            raise DeviceError(f"the program ended by itself: {self._last_words()}")

    def _wait_ready(self, lines: queue.Queue[str]) -> None:
        end = time.monotonic() + START_SECONDS
        line = ""
        while not line.startswith("ready"):
            self._check_alive()
            if time.monotonic() > end:
                raise DeviceError(f"the program was not ready after {START_SECONDS:.0f} seconds")
            try:
                line = lines.get(timeout=0.2)
            except queue.Empty:
                continue

    def _last_words(self) -> str:
        said = self._errors.read_text(errors="replace").strip().splitlines()
        return said[-1] if said else "it said nothing"


class MachineWatch(Started):
    """A thread in real time for each processor, above the sound server, in a process of its own; see
    `musicnn_gui.live_bench.watch`."""

    def __init__(self) -> None:
        self._stalls: list[tuple[float, float]] = []
        self._watching = threading.Event()

    def _begin(self, stack: ExitStack) -> None:
        command = [sys.executable, "-m", "musicnn_gui.live_bench.watch", str(PRIORITY + 10), str(STALL_MS)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        _listen(self.process, self._hear, stack)
        wait(self._watching.is_set, START_SECONDS, "the watch over the machine did not start")

    def _hear(self, line: str) -> None:
        if not self._watching.is_set():
            self._watching.set()
            return
        moment, late = line.split()
        self._stalls.append((float(moment), float(late)))

    def since(self, moment: float) -> Row:
        """How often since a moment (time.perf_counter) the machine kept its most urgent thread waiting for over
        STALL_MS, and the longest time of them in ms."""
        late = [late for when, late in list(self._stalls) if when >= moment]
        return {"machine_stalls": len(late), "machine_worst_ms": round(max(late, default=0.0), 1)}

    def worst_between(self, begin: float, end: float) -> float:
        """The longest such time in ms that ended between two moments (time.perf_counter), 0 where there was none."""
        return round(max((late for when, late in list(self._stalls) if begin <= when <= end), default=0.0), 1)


def _listen(process: subprocess.Popen[str], take: Callable[[str], object], stack: ExitStack) -> None:
    """Hand every line that a process says to `take`, in a thread, until it is ended with the stack."""
    pipe = process.stdout
    assert pipe is not None

    def pour() -> None:
        for line in pipe:
            take(line)

    stack.callback(pipe.close)
    reader = threading.Thread(target=pour, daemon=True)
    reader.start()
    stack.callback(reader.join, END_SECONDS)
    stack.callback(_terminate, process, END_SECONDS)


class _Sequence:
    """Messages to be played and the frames at which they were."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self.messages = sorted(messages, key=lambda message: message[0])
        self.stamps = np.zeros(len(self.messages), np.int64)
        self.next = 0


class _Tape:
    """Room for a recording: (channels, samples), and each period's absolute frame."""

    def __init__(self, channels: int, periods: int, block: int) -> None:
        self.sound = np.empty((channels, periods * block), np.float32)
        self.sound.fill(0)  # touches every page, so that none is fetched in the callback
        self.stamps = np.zeros(periods, np.int64)
        self.filled = 0


@dataclass(frozen=True, slots=True)
class Recording:
    """What was heard.

    sound: (samples, channels) on the server's clock; start: absolute frame of the first sample.
    gaps: digital dropouts; skipped: samples the server never handed over, which is what an xrun leaves.
    """

    sound: Sound
    start: int
    gaps: int
    skipped: int


class Tester(Started):
    """Plays messages at exact frames into the program and records its sound.

    Two JACK clients: one that both played and recorded would close a loop through the program, and JACK opens a loop
    by holding one of its connections back for a period.
    """

    def __init__(self, server: LiveServer) -> None:
        self._server, self._jack, self.rate = server, jack_library(), server.rate
        self._tape: _Tape | None = None
        self._sequence = _Sequence(())
        self.xruns = self.trouble = 0

    def _begin(self, stack: ExitStack) -> None:
        self.client, self._ear_client = (self._client(role, stack) for role in ("keys", "ears"))
        self._midi = self.client.midi_outports.register("keys")
        self._ears = [self._ear_client.inports.register(f"ear{side}") for side in range(2)]
        self.client.set_process_callback(self._write)
        self.client.set_xrun_callback(self._count_xrun)
        self._ear_client.set_process_callback(self._hear)
        for client in (self.client, self._ear_client):
            client.activate()
            stack.callback(client.deactivate)

    def _client(self, role: str, stack: ExitStack) -> Any:
        try:
            client = self._jack.Client(f"musicnn-bench-{role}", servername=self._server.name, no_start_server=True)
        except self._jack.JackError as error:
            raise DeviceError(f"the JACK server does not answer: {error}") from error
        stack.callback(client.close)
        return client

    def _count_xrun(self, microseconds: float) -> None:
        self.xruns += 1

    def _write(self, frames: int) -> None:
        """Write the messages that are due; runs in the server's cycle, nothing here waits."""
        now = self.client.last_frame_time
        self._midi.clear_buffer()
        sequence = self._sequence
        while sequence.next < len(sequence.messages):
            frame, message = sequence.messages[sequence.next]
            if frame >= now + frames:
                break
            offset = max(0, frame - now)
            try:
                self._midi.write_midi_event(offset, message)
            except self._jack.JackError:
                self.trouble += 1
            sequence.stamps[sequence.next] = now + offset
            sequence.next += 1

    def _hear(self, frames: int) -> None:
        """Copy a period; runs in the server's cycle, nothing here waits."""
        tape = self._tape
        if tape is not None and tape.filled < len(tape.stamps):
            place = tape.filled * frames
            for channel in range(len(tape.sound)):
                tape.sound[channel, place : place + frames] = self._ears[channel].get_array()
            tape.stamps[tape.filled] = self._ear_client.last_frame_time
            tape.filled += 1

    def connect(self) -> None:
        """Wait for the program's ports and plug in."""
        complaint = "the program's ports did not appear at the JACK server"
        keys = wait(self._keys, START_SECONDS, complaint)
        self.client.connect(self._midi, keys[0])
        # The program plugs itself into the speakers; whoever feeds those is the program.
        speakers = self.client.get_ports(is_audio=True, is_input=True, is_physical=True)
        for ear, speaker in zip(self._ears, speakers, strict=False):
            sources = wait(partial(self.client.get_all_connections, speaker), START_SECONDS, complaint)
            self._ear_client.connect(sources[0], ear)

    def _keys(self) -> list[Any]:
        ports = self.client.get_ports(is_midi=True, is_input=True)
        return [port for port in ports if "MusicNN" in port.name]

    def soon(self, seconds: float = 0.05) -> int:
        """An absolute frame a little ahead of now."""
        return int(self.client.frame_time) + round(seconds * self.rate)

    def play(self, messages: Iterable[Message]) -> NDArray[np.int64]:
        """Play messages, wait until the last is out; return the frames they had, in the order of their times."""
        sequence = _Sequence(messages)
        if not sequence.messages:
            return sequence.stamps
        seconds = (sequence.messages[-1][0] - int(self.client.frame_time)) / self.rate
        self._sequence = sequence
        if seconds > 0:
            time.sleep(seconds)
        wait(lambda: sequence.next == len(sequence.messages), 10.0, "the JACK server stands still")
        return sequence.stamps

    def now(self, *messages: tuple[int, int, int]) -> NDArray[np.int64]:
        """Play messages as soon as possible, in one period."""
        frame = self.soon()
        return self.play([(frame, bytes(message)) for message in messages])

    def record(self, seconds: float, channels: int = 2) -> None:
        """Begin to record, for at most `seconds`."""
        block = int(self.client.blocksize)
        self._tape = _Tape(channels, int(seconds * self.rate / block) + 1, block)

    def recorded(self) -> Recording:
        """End the recording and hand it out."""
        tape, self._tape = self._tape, None
        if tape is None or not tape.filled:
            raise DeviceError("the JACK server handed over no sound")
        time.sleep(0.05)  # the callback may be in its last period
        block = int(self.client.blocksize)
        sound, stamps = tape.sound[:, : tape.filled * block], tape.stamps[: tape.filled]
        line, skipped = on_timeline(sound, stamps)
        return Recording(line, int(stamps[0]), dropouts(sound.T, self.rate), skipped)


class Stage(Started):
    """Program and tester together, plugged in; and the troubles since then."""

    def __init__(self, server: LiveServer, score: Path | None = None, *, play: bool = False) -> None:
        self._server, self._score, self._play = server, score, play

    def _begin(self, stack: ExitStack) -> None:
        self._watch = stack.enter_context(MachineWatch())
        self.program = stack.enter_context(RunningProgram(self._server, self._score, play=self._play))
        self.tester = stack.enter_context(Tester(self._server))
        self.tester.connect()
        if not self._play:
            wait(lambda: self.program.row()["prepared"] >= 1, START_SECONDS, "the instrument does not get ready")
        self._first: Row = {}
        self.begin()

    def begin(self) -> Row:
        """Count troubles from here on; returns the meters' row this begins with."""
        self._first = (self.program.rows() or [{}])[-1] if self._play else self.program.row()
        self._rows_before = len(self.program.rows())
        self._xruns_before, self._lines_before = self.tester.xruns, self._server.xruns()
        self._begun = time.perf_counter()
        return self._first

    def troubles(self) -> Row:
        """What went wrong since `begin`, by the program's count, the server's notices and its log, and the watch."""
        last = self.program.row()
        since = self.since()
        names = ("xruns", "device_xruns", "dropped", "late", "shed")
        counted = {name: last[name] - self._first.get(name, 0) for name in names}
        lines = {name: count - self._lines_before[name] for name, count in self._server.xruns().items()}
        return counted | {
            "xruns_tester": self.tester.xruns - self._xruns_before,
            **lines,
            **self._watch.since(self._begun),
            "stalls_at_xruns_ms": [stall for _, stall in self.xruns()],
            "worst_load": max(row["worst_load"] for row in since),
            "max_voices": max(row["voices"] for row in since),
        }

    def since(self) -> list[Row]:
        """The meters' rows since `begin`."""
        return self.program.rows()[self._rows_before :]

    def xruns(self) -> list[tuple[Row, float]]:
        """The meters' rows in which the program's own count of xruns had grown, each with the longest time in ms that
        the machine stood still shortly before: whether it can have been the reason."""
        clock = time.time() - time.perf_counter()
        moments = [(row, row["time"] - clock) for row in grown([self._first, *self.since()], "xruns")]
        return [(row, self._watch.worst_between(moment - XRUN_SECONDS, moment)) for row, moment in moments]

    def silence(self) -> None:
        """Let go of everything and wait until nothing sounds."""
        self.tester.now((CONTROL, PEDAL, 0), (CONTROL, 123, 0))
        wait(lambda: self.program.row()["voices"] == 0, 20.0, "the program's voices do not end")
