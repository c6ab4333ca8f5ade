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
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from engine.audio.output import METER_SECONDS
from engine.errors import DeviceError
from musicnn_gui.live_bench.arithmetic import CONTROL, Row, grown
from musicnn_gui.live_bench.started import END_SECONDS, START_SECONDS, Started, wait
from musicnn_gui.live_bench.tester import JackTester

INSTRUMENT = "piano"
PEDAL = 64
NAMES = tuple(f"musicnn-{number}" for number in range(1, 7))
"""Of servers. JACK keeps eight places for names on a machine, and a server that was killed leaves its place taken until
another of the same name is started: names that are used again cannot use them up."""
STARTING = "JACK server starting"  # what jackd says once the name is its own
PRIORITY = 70  # of a server in real time, below which its clients run
MOST_PORTS = 128  # of a server, which keeps 0.1 MB for each in a memory that counts as every client's own
XRUN_SECONDS = METER_SECONDS + 1.0  # after which an xrun stands in a row of the meters at the latest
STALL_MS = 3.0  # for which the most urgent thread has to wait to be counted


class LiveServer(Started):
    """A JACK server of our own with the dummy driver; whatever else runs on the machine is left alone.

    process: jackd. It may be killed and another server started with the same name.
    """

    process: subprocess.Popen[bytes]

    def __init__(self, rate: int, block: int, name: str = "") -> None:
        """`name`: of a server that has died, to start another in its place."""
        self.rate, self.block, self.name = rate, block, name

    def _begin(self, stack: ExitStack) -> None:
        if shutil.which("jackd") is None:
            raise DeviceError("jackd is not installed, so there is no sound server to measure on")
        self.log = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="musicnn-jack-"))) / "jackd.log"
        priority = server_priority()
        self.realtime = "--realtime" in priority
        for name in (self.name,) if self.name else NAMES:
            self.name, self.process = name, self._start(name, priority)
            try:
                wait(self._answers, START_SECONDS, "the JACK server did not start")
            except DeviceError:
                _terminate(self.process, END_SECONDS)
            else:
                stack.callback(_terminate, self.process, END_SECONDS)
                return
        raise DeviceError(
            "the JACK server did not start: " + " ".join(self.log.read_text(errors="replace").split()[-8:])
        )

    def _start(self, name: str, priority: list[str]) -> subprocess.Popen[bytes]:
        environment = os.environ | {"JACK_NO_AUDIO_RESERVATION": "1"}
        driver = ["-d", "dummy", "-r", str(self.rate), "-p", str(self.block)]
        command = ["jackd", "-n", name, "--port-max", str(MOST_PORTS), *priority, *driver]
        with self.log.open("wb") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

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

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise DeviceError("the JACK server ended by itself")
        if STARTING not in self.log.read_text(errors="replace"):
            return False  # whoever answers is another server of that name
        look, environment = ["jack_lsp", "-s", self.name], os.environ | {"JACK_NO_START_SERVER": "1"}
        return subprocess.run(look, env=environment, capture_output=True, check=False).returncode == 0


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


class Stage(Started):
    """Program and tester together, plugged in; and the troubles since then."""

    def __init__(
        self, server: LiveServer, score: Path | None = None, *, play: bool = False, prepared: bool = True
    ) -> None:
        """prepared: wait until the beginnings of all notes are written; while a score is played nobody waits."""
        self._server, self._score, self._play = server, score, play
        self._prepared = prepared and not play

    def _begin(self, stack: ExitStack) -> None:
        self._watch = stack.enter_context(MachineWatch())
        self.program = stack.enter_context(RunningProgram(self._server, self._score, play=self._play))
        self.tester = stack.enter_context(JackTester(self._server.name))
        self.tester.connect()
        if self._prepared:
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
        names = ("xruns", "device_xruns", "dropped", "late")
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
