"""Measures the running program over a real sound server: JACK with its dummy driver, which keeps real time.

A JACK client beside the program plays it and records it; what the program says of itself comes from its meters file.
Every measurement is one function that returns numbers; the arithmetic on recordings is in functions of arrays alone.
"""

from __future__ import annotations

import importlib
import itertools
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
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import DeviceError, MusicNNError
from engine.threads import prepare_thread

INSTRUMENT = "piano"
START_SECONDS = 60.0
END_SECONDS = 30.0
NOTE_ON, NOTE_OFF, CONTROL = 0x90, 0x80, 0xB0
VOLUME, PEDAL = 7, 64
COUNTS = (24, 32, 40, 48, 64)
AGAIN_SECONDS = 12.0
LOWEST = 21
TAKES = 5

EARLIEST_MS, LATEST_MS = -2.0, 60.0
ATTACK_MS = 30.0
BEFORE_MS = 20.0
"""Silence before the note that belongs to the pattern: without it a note matches itself a period later as well."""
FINER = 8
"""Lags looked at in each sample."""
LEAST_LIKENESS = 0.5
LEAST_PEAK = 1e-3

ZEROS = 32
AROUND_MS = 5.0
GAIN_WINDOW_MS = 1.0
BEFORE_STEP_MS = (-150.0, -5.0)
SETTLED_MS = (150.0, 200.0)
STEP_SHARE = 0.1
SEGMENT_SECONDS = 0.05
FLOOR_DB = -60.0

Array = NDArray[np.float64]
Sound = NDArray[np.float32]
Row = dict[str, Any]
Found = TypeVar("Found")


PRIORITY = 70  # of a server in real time, below which its clients run
MOST_PORTS = 128  # of a server, which keeps 0.1 MB for each in a memory that counts as every client's own


@dataclass(frozen=True, slots=True)
class LiveBenchOptions:
    """What is measured and how.

    rate: Hz of the server; block: samples of its period and of the program's; notes: how many the latency is measured
    on; hold_seconds: how long `voices` keys are held; score: None for the demo; parts: names of PARTS.
    """

    rate: int = 48_000
    block: int = 128
    notes: int = 500
    hold_seconds: float = 60.0
    score: Path | None = None
    score_minutes: float = 10.0
    voices: int = 24
    parts: tuple[str, ...] = (
        "machine", "latency", "xruns_score", "voices_held", "load", "live_equals_offline", "memory", "knob_latency",
    )  # fmt: skip
    short: bool = False


def run_live_bench(options: LiveBenchOptions) -> Row:
    """Measure every wanted part, each on a freshly started program; a part that fails says why under "error"."""
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        raise DeviceError(f"there is no measurement {unknown[0]!r} (there are: {', '.join(PARTS)})")
    results: Row = {
        "settings": {
            "rate": options.rate, "block": options.block, "short": options.short, "instrument": INSTRUMENT,
            "period_ms": 1e3 * options.block / options.rate, "cores": os.cpu_count(),
        },
    }  # fmt: skip
    with LiveServer(options.rate, options.block) as server:
        results["settings"]["realtime_server"] = server.realtime
        for name in options.parts:
            try:
                results[name] = PARTS[name](server, options)
            except MusicNNError as error:
                results[name] = {"error": str(error)}
    return results


# The arithmetic: arrays in, numbers out.


def onset_lag(recorded: Array, stamp: int, note: Array, rate: int) -> float | None:
    """How much later than `stamp` a note sounds, in ms; None where it does not sound.

    recorded, note: one channel at `rate`; the note is what the instrument makes from the key's first sample on, so its
    own attack cancels out. The lag is where the first 30 ms, with the silence before them, are most alike; differences
    of neighbouring samples are compared, since an attack is brighter than the tails of notes before it.
    """
    before, attack = round(BEFORE_MS * rate / 1e3), round(ATTACK_MS * rate / 1e3)
    first, last = round(EARLIEST_MS * rate / 1e3), round(LATEST_MS * rate / 1e3)
    pattern = np.diff(np.concatenate([np.zeros(before + 1), _cut(note, 0, attack)]))
    window = _cut(recorded, stamp + first - before - 1, stamp + last + attack)
    if np.abs(window[before:]).max(initial=0.0) < LEAST_PEAK:
        return None
    window = np.diff(window)
    energy = np.concatenate([[0.0], np.cumsum(window**2)])
    energy = energy[len(pattern) :] - energy[: -len(pattern)]
    loudest = energy.max()
    if loudest == 0 or not pattern.any():
        return None
    size = 1 << (len(window) + len(pattern)).bit_length()
    cross = np.fft.rfft(window, size) * np.fft.rfft(pattern, size).conj()
    # Between samples too: at a whole sample a high note may fit better a period away than where it is.
    likeness = FINER * np.fft.irfft(cross, FINER * size)[: FINER * (len(energy) - 1) + 1]
    energy = np.interp(np.arange(len(likeness)) / FINER, np.arange(len(energy)), energy)
    # Where next to nothing sounds, rounding would decide: a floor 60 dB under the loudest place.
    likeness /= np.sqrt(np.maximum(energy, 1e-6 * loudest) * np.sum(pattern**2))
    top = int(likeness.argmax())
    if likeness[top] < LEAST_LIKENESS:
        return None
    return 1e3 * ((top + _summit(likeness, top)) / FINER + first) / rate


def _summit(values: Array, top: int) -> float:
    """Offset in -0.5..0.5 of the vertex of the parabola through a maximum and its neighbours."""
    if not 0 < top < len(values) - 1:
        return 0.0
    left, middle, right = values[top - 1 : top + 2]
    bend = left - 2 * middle + right
    return float(0.5 * (left - right) / bend) if bend < 0 else 0.0


def _cut(sound: Array, start: int, stop: int) -> Array:
    """sound[start:stop] along the first axis, zeros where the sound does not reach."""
    piece = np.zeros((stop - start, *sound.shape[1:]), sound.dtype)
    low, high = max(start, 0), min(stop, len(sound))
    if low < high:
        piece[low - start : high - start] = sound[low:high]
    return piece


def spread_ms(values: Sequence[float]) -> Row:
    """Median, 95th percentile, extremes and jitter (95th less 5th percentile) of times in ms; None without any."""
    if not values:
        return dict.fromkeys(("median_ms", "p95_ms", "worst_ms", "least_ms", "jitter_ms"))
    low, middle, high = np.percentile(values, (5, 50, 95))
    numbers = (middle, high, max(values), min(values), high - low)
    names = ("median_ms", "p95_ms", "worst_ms", "least_ms", "jitter_ms")
    return {name: round(float(number), 3) for name, number in zip(names, numbers, strict=True)}


def dropouts(sound: NDArray[Any], rate: int) -> int:
    """Runs of at least 32 exact zeros, in every channel at once, with sound right before and right after them.

    sound: (samples,) or (samples, channels). Music that falls silent fades; a block that was not delivered does not.
    """
    level = np.abs(sound) if sound.ndim == 1 else np.abs(sound).max(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], level == 0, [False]]).astype(np.int8)))
    around = round(AROUND_MS * rate / 1e3)
    count = 0
    for start, stop in edges.reshape(-1, 2):
        if stop - start >= ZEROS:
            before = level[max(0, start - around) : start].max(initial=0)
            after = level[stop : stop + around].max(initial=0)
            count += bool(before > LEAST_PEAK and after > LEAST_PEAK)
    return count


def departure_ms(recorded: Array, expected: Array, stamp: int, rate: int) -> float | None:
    """Time after `stamp`, in ms, at which a tone that is turned down once has done a tenth of the step; None: never.

    recorded, expected: one channel each on the same clock, the second without the step. The tone's own decay, beats and
    shape within a period are in both: what is left is the gain, here the least-squares one in windows of 1 ms. A sudden
    step is timed to about half a window.
    """
    length = max(2, round(GAIN_WINDOW_MS * rate / 1e3))
    size = min(len(recorded), len(expected))
    common = _running(recorded[:size] * expected[:size], length)
    energy = _running(expected[:size] ** 2, length)
    # Element i is of samples i..i+length-1. A sudden step makes the gain fall by a tenth when it is a tenth inside.
    milliseconds = 1e3 * (np.arange(len(energy)) + (1 - STEP_SHARE) * length - stamp) / rate
    wanted = (milliseconds >= BEFORE_STEP_MS[0]) & (milliseconds < SETTLED_MS[1])
    milliseconds, common, energy = milliseconds[wanted], common[wanted], energy[wanted]
    # Where the tone passes through zero there is no gain to be seen.
    seen = energy > 0.05 * energy.mean() if len(energy) else np.zeros(0, bool)
    before, settled = milliseconds < BEFORE_STEP_MS[1], milliseconds >= SETTLED_MS[0]
    if not (seen & before).any() or not (seen & settled).any():
        return None
    gain = np.interp(milliseconds, milliseconds[seen], common[seen] / energy[seen])
    gain /= np.median(gain[before])
    step = 1 - float(np.median(gain[settled]))
    half = np.flatnonzero((gain < 1 - 0.5 * step) & ~before)
    if step < STEP_SHARE or not len(half):
        return None
    # From the half back to the tenth, so that a single disturbance before is not taken for the step.
    there = np.flatnonzero(gain[: half[0]] >= 1 - STEP_SHARE * step)
    return float(milliseconds[there[-1] + 1]) if len(there) else None


def _running(values: Array, length: int) -> Array:
    """Sums over `length` neighbours."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    running: Array = sums[length:] - sums[:-length]
    return running


def placed(note: Array, place: float, length: int) -> Array:
    """A note in silence of `length` samples, beginning at a place that may be between two samples."""
    whole = int(np.floor(place))
    size = 1 << (len(note) + 64).bit_length()
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(size) * (32 + place - whole))
    return _cut(np.fft.irfft(np.fft.rfft(note, size) * turns, size), 32 - whole, 32 - whole + length)


def difference_db(live: Array, offline: Array, rate: int) -> Row:
    """How far a recording is from what it should be, after the best common delay, that may be a part of a sample.

    live, offline: (samples, channels) at `rate`, the recording longer than what it holds. Levels are of segments of
    50 ms, relative to the segment's own level, over those above -60 dBFS.
    """
    margin = rate // 10
    wanted = np.concatenate([np.zeros((margin, offline.shape[1])), offline, np.zeros((margin, offline.shape[1]))])
    size = 1 << (len(live) + len(wanted)).bit_length()
    spectrum = np.fft.rfft(live.mean(axis=1), size) * np.fft.rfft(wanted.mean(axis=1), size).conj()
    whole = int(np.fft.irfft(spectrum, size).argmax())
    whole -= size if whole > size // 2 else 0
    heard = _cut(live, whole, whole + len(wanted))
    part = _fraction(heard.mean(axis=1), wanted.mean(axis=1))
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(len(wanted)) * part)
    wanted = np.fft.irfft(np.fft.rfft(wanted, axis=0) * turns[:, None], len(wanted), axis=0)
    length = round(SEGMENT_SECONDS * rate)
    count = len(wanted) // length
    shape = (count, length * wanted.shape[1])
    level = np.mean(wanted[: count * length].reshape(shape) ** 2, axis=1)
    error = np.mean((heard - wanted)[: count * length].reshape(shape) ** 2, axis=1)
    loud = level > 10 ** (FLOOR_DB / 10)
    if not loud.any():
        return {"worst_db": None, "median_db": None, "segments": 0, "delay_samples": None}
    decibels = 10 * np.log10(np.maximum(error[loud], 1e-20) / level[loud])
    return {
        "worst_db": round(float(decibels.max()), 1), "p95_db": round(float(np.percentile(decibels, 95)), 1),
        "median_db": round(float(np.median(decibels)), 1), "segments": int(loud.sum()),
        "worst_at_seconds": round(float(np.flatnonzero(loud)[decibels.argmax()] * SEGMENT_SECONDS - margin / rate), 2),
        "delay_samples": round(whole + margin + part, 3),
    }  # fmt: skip


def _fraction(late: Array, early: Array) -> float:
    """Delay of `late` in samples, under one: least squares on the phase of the cross spectrum, weighted by it."""
    cross = np.fft.rfft(late) * np.fft.rfft(early).conj()
    frequencies = 2 * np.pi * np.fft.rfftfreq(len(late))
    delay = 0.0
    for _ in range(3):
        phase = np.angle(cross * np.exp(1j * frequencies * delay))
        weight = np.abs(cross)
        delay -= float(np.sum(weight * frequencies * phase) / max(np.sum(weight * frequencies**2), 1e-30))
    return delay


Message = tuple[int, bytes]
"""Absolute frame of the server, and the bytes of one MIDI message."""


def separate_notes(
    seed: int, count: int, start: int, rate: int, keys: tuple[int, int] = (40, 88)
) -> tuple[list[Message], list[int]]:
    """Short notes at frames nobody could foresee: the messages in order, and which of them are the note-ons.

    About every 120 ms a key of `keys`, never the same twice in a row, at velocity 100; it comes up after 60 ms.
    """
    rng = np.random.default_rng(seed)
    messages: list[Message] = []
    frame, key = float(start), -1
    for _ in range(count):
        key = int(rng.choice([k for k in range(keys[0], keys[1] + 1) if k != key]))
        messages.append((round(frame), bytes((NOTE_ON, key, 100))))
        messages.append((round(frame + 0.06 * rate), bytes((NOTE_OFF, key, 0))))
        frame += rate * rng.uniform(0.09, 0.15)
    return messages, list(range(0, 2 * count, 2))


def on_timeline(sound: Sound, stamps: NDArray[np.int64]) -> tuple[Sound, int]:
    """Recorded periods in their places, and how many samples were never handed to the recorder.

    sound: (channels, periods * block); stamps: (periods,) absolute frame of each. Returns (samples, channels), whose
    first sample is at the first stamp, with zeros where nothing was recorded.
    """
    if not len(stamps):
        return np.zeros((0, len(sound)), np.float32), 0
    block = sound.shape[1] // len(stamps)
    places = stamps - stamps[0]
    total = int(places.max()) + block
    missing = total - block * len(stamps)
    if missing == 0:
        return sound.T, 0
    line = np.zeros((total, len(sound)), np.float32)
    for index, place in enumerate(places):
        if place >= 0:
            line[place : place + block] = sound[:, index * block : (index + 1) * block].T
    return line, max(0, missing)


# The server, the program and the client that plays and records it.


def _jack() -> Any:
    """The JACK-Client package. Raises DeviceError where it, or the library it needs, is missing."""
    try:
        import jack  # noqa: PLC0415  # only this measuring needs it
    except ImportError as error:
        raise DeviceError("the Python package JACK-Client is not installed") from error
    except OSError as error:
        raise DeviceError(f"the JACK library cannot be loaded: {error}") from error
    return jack


def _wait(look: Callable[[], Found | None], seconds: float, complaint: str) -> Found:
    """What `look` finds, as soon as it finds something. Raises DeviceError with the complaint after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise DeviceError(complaint)
        time.sleep(0.02)


class _Started:
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


class LiveServer(_Started):
    """A JACK server of our own with the dummy driver; whatever else runs on the machine is left alone."""

    def __init__(self, rate: int, block: int) -> None:
        self.rate, self.block = rate, block
        self.name = f"musicnn-{uuid.uuid4().hex[:8]}"

    def _begin(self, stack: ExitStack) -> None:
        if shutil.which("jackd") is None:
            raise DeviceError("jackd is not installed, so there is no sound server to measure on")
        jack = _jack()
        jack.set_error_function(lambda text: None)
        jack.set_info_function(lambda text: None)
        self.log = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="musicnn-jack-"))) / "jackd.log"
        environment = os.environ | {"JACK_NO_AUDIO_RESERVATION": "1"}
        self.realtime = _may_be_realtime()
        priority = ["--realtime", "-P", str(PRIORITY)] if self.realtime else ["--no-realtime"]
        driver = ["-d", "dummy", "-r", str(self.rate), "-p", str(self.block)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["jackd", "-n", self.name, "--port-max", str(MOST_PORTS), *priority, *driver],
                env=environment,
                stdout=log,
                stderr=log,
            )
        stack.callback(_terminate, self._process, 10.0)
        _wait(lambda: self._answers(jack), 20.0, "the JACK server did not start")

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


class RunningProgram(_Started):
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
        assert self._process.stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        stack.callback(self._process.stdout.close)
        reader = threading.Thread(target=_pour, args=(self._process.stdout, lines), daemon=True)
        reader.start()
        stack.callback(reader.join, END_SECONDS)
        stack.callback(_terminate, self._process, END_SECONDS)
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

        return _wait(look, 10.0, "the program's meters stand still")[0]

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


def _pour(pipe: IO[str], lines: queue.Queue[str]) -> None:
    for line in pipe:
        lines.put(line)


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


class Tester(_Started):
    """Plays messages at exact frames into the program and records its sound.

    Two JACK clients: one that both played and recorded would close a loop through the program, and JACK opens a loop
    by holding one of its connections back for a period.
    """

    def __init__(self, server: LiveServer) -> None:
        self._server, self._jack, self.rate = server, _jack(), server.rate
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
        keys = _wait(self._keys, START_SECONDS, complaint)
        self.client.connect(self._midi, keys[0])
        # The program plugs itself into the speakers; whoever feeds those is the program.
        speakers = self.client.get_ports(is_audio=True, is_input=True, is_physical=True)
        for ear, speaker in zip(self._ears, speakers, strict=False):
            sources = _wait(partial(self.client.get_all_connections, speaker), START_SECONDS, complaint)
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
        _wait(lambda: sequence.next == len(sequence.messages), 10.0, "the JACK server stands still")
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


class _Stage(_Started):
    """Program and tester together, plugged in; and the troubles since then."""

    def __init__(self, server: LiveServer, score: Path | None = None, *, play: bool = False) -> None:
        self._server, self._score, self._play = server, score, play

    def _begin(self, stack: ExitStack) -> None:
        self.program = stack.enter_context(RunningProgram(self._server, self._score, play=self._play))
        self.tester = stack.enter_context(Tester(self._server))
        self.tester.connect()
        if not self._play:
            _wait(lambda: self.program.row()["prepared"] >= 1, START_SECONDS, "the instrument does not get ready")
        self._first: Row = {}
        self.begin()

    def begin(self) -> Row:
        """Count troubles from here on; returns the meters' row this begins with."""
        self._first = (self.program.rows() or [{}])[-1] if self._play else self.program.row()
        self._rows_before = len(self.program.rows())
        self._xruns_before, self._lines_before = self.tester.xruns, self._server.xruns()
        return self._first

    def troubles(self) -> Row:
        """What went wrong since `begin`, by the program's count, the server's notices and its log."""
        last = self.program.row()
        since = self.since()
        names = ("xruns", "device_xruns", "dropped", "late", "shed")
        counted = {name: last[name] - self._first.get(name, 0) for name in names}
        lines = {name: count - self._lines_before[name] for name, count in self._server.xruns().items()}
        return counted | {
            "xruns_tester": self.tester.xruns - self._xruns_before,
            **lines,
            "worst_load": max(row["worst_load"] for row in since),
            "max_voices": max(row["voices"] for row in since),
        }

    def since(self) -> list[Row]:
        """The meters' rows since `begin`."""
        return self.program.rows()[self._rows_before :]

    def silence(self) -> None:
        """Let go of everything and wait until nothing sounds."""
        self.tester.now((CONTROL, PEDAL, 0), (CONTROL, 123, 0))
        _wait(lambda: self.program.row()["voices"] == 0, 20.0, "the program's voices do not end")


# The measurements.


def machine(server: LiveServer, options: LiveBenchOptions) -> Row:
    """The server and the testers alone: xruns that are there before the program is, in a minute."""
    with Tester(server) as tester:
        before, seconds = server.xruns(), 3.0 if options.short else 60.0
        time.sleep(seconds)
        return {"seconds": seconds, **{name: count - before[name] for name, count in server.xruns().items()},
                "xruns_tester": tester.xruns, "block": server.block}  # fmt: skip


def latency(server: LiveServer, options: LiveBenchOptions) -> Row:
    """Time from a key's message at the MIDI port to its sound at the speakers, less the instrument's own attack."""
    count = min(options.notes, 40) if options.short else options.notes
    with _Stage(server) as stage:
        tester = stage.tester
        messages, ons = separate_notes(0, count, tester.soon(1.0), server.rate)
        # A first note wakes whatever sleeps; it is not counted.
        tester.now((NOTE_ON, 60, 100))
        tester.now((NOTE_OFF, 60, 0))
        tester.record((messages[-1][0] - messages[0][0]) / server.rate + 3.0)
        time.sleep(0.1)
        order = sorted(range(len(messages)), key=lambda index: messages[index][0])
        stamps = np.zeros(len(messages), np.int64)
        stamps[order] = tester.play(messages)
        time.sleep(0.3)
        recording = tester.recorded()
        troubles = stage.troubles()
        claimed = stage.since()[-1]["latency_ms"]
    mono = recording.sound.astype(np.float64).mean(axis=1)
    keys = [messages[index][1][1] for index in ons]
    notes = _offline_notes(sorted(set(keys)), 100, server.rate)
    lags = [
        onset_lag(mono, int(stamps[index]) - recording.start, notes[key], server.rate)
        for index, key in zip(ons, keys, strict=True)
    ]
    heard = [lag for lag in lags if lag is not None]
    offsets = np.array([stamps[index] for index in ons]) % server.block
    return {
        "n": len(lags), "missing": len(lags) - len(heard), **spread_ms(heard), "program_says_ms": claimed,
        "rate": server.rate, "block": server.block, "period_ms": round(1e3 * server.block / server.rate, 3),
        "different_offsets": len(set(offsets.tolist())), "gaps": recording.gaps, "skipped": recording.skipped,
        "unsent": tester.trouble, **troubles,
    }  # fmt: skip


def xruns_score(server: LiveServer, options: LiveBenchOptions) -> Row:
    """Play a score and count every kind of interruption."""
    from musicnn_gui.assets import DEMO  # noqa: PLC0415

    limit = 8.0 if options.short else 60 * options.score_minutes
    with _Stage(server, options.score or Path(str(DEMO)), play=True) as stage:
        _wait(lambda: stage.program.row()["playing"], 10.0, "the program does not play the score")
        begun = time.monotonic()
        stage.tester.record(limit + 5.0, channels=1)  # one side is enough to see that nothing was delivered
        while time.monotonic() - begun < limit and stage.program.row()["playing"]:
            pass
        seconds = time.monotonic() - begun
        recording = stage.tester.recorded()
        troubles = stage.troubles()
        rows = stage.since()
        sample_rate = _open_instrument().sample_rate
        places = [  # of the score
            round(late["score_position"] / sample_rate, 1)
            for early, late in itertools.pairwise(rows) if late["xruns"] > early["xruns"]
        ]  # fmt: skip
        peak = float(np.abs(recording.sound).max(initial=0.0))
    return {
        "seconds": round(seconds, 1), **troubles, "xruns_at_s": places,
        "mean_load": round(float(np.mean([row["load"] for row in rows])), 3), "gaps": recording.gaps,
        "skipped": recording.skipped, "peak": round(peak, 3), "block": server.block,
    }  # fmt: skip


def voices_held(server: LiveServer, options: LiveBenchOptions) -> Row:
    """Hold many keys: the wanted number for long, then more and more until an xrun.

    An xrun is one of the program's: its ring ran dry. A shed voice counts as one.
    """
    with _Stage(server) as stage:
        first = _hold(stage, options.voices, 5.0 if options.short else options.hold_seconds)
        if options.short:
            return first
        results = [first]
        for count in COUNTS:
            if count > options.voices or not _clean(first):
                stage.silence()
                results.append(_hold(stage, count, 20.0))
                if not _clean(results[-1]):
                    break
    most = max((result["held"] for result in results if _clean(result)), default=0)
    return first | {"most": most, "counts": results[1:]}


def _clean(result: Row) -> bool:
    quiet = not any(result[name] for name in ("xruns", "shed"))
    return quiet and result["least_voices"] >= result["held"]


def _hold(stage: _Stage, count: int, seconds: float) -> Row:
    """Strike `count` keys 50 ms apart and hold them for `seconds` after the last.

    A piano's notes die away: each key is struck again every AGAIN_SECONDS, in turn, so that none has ended before.
    """
    lowest, tester = max(LOWEST, 48 - count // 2), stage.tester  # low notes sound longest
    stage.begin()  # takes its time
    frame = tester.soon()
    tester.play((frame + round(0.05 * i * tester.rate), bytes((NOTE_ON, lowest + i, 90))) for i in range(count))
    struck = len(stage.program.rows())
    frame = tester.soon()
    again = [(frame + round(AGAIN_SECONDS * (i + 1) / count * tester.rate), lowest + i % count)
             for i in range(int(count * seconds / AGAIN_SECONDS))]  # fmt: skip
    tester.play((at, bytes((kind, key, 90))) for at, key in again for kind in (NOTE_OFF, NOTE_ON))
    time.sleep(max(0.0, seconds - (tester.soon() - frame) / tester.rate))
    troubles = stage.troubles()
    rows = stage.program.rows()[struck:]
    tester.now(*((NOTE_OFF, lowest + i, 0) for i in range(count)))
    return {
        "held": count, "seconds": seconds, **troubles, "mean_load": round(float(np.mean([r["load"] for r in rows])), 3),
        "least_voices": min(row["voices"] for row in rows),
    }  # fmt: skip


def load(server: LiveServer, options: LiveBenchOptions) -> Row:
    """The meters' load while 16 keys are held, after they have settled."""
    count, seconds = 16, 3.0 if options.short else 10.0
    with _Stage(server) as stage:
        stage.tester.now(*((NOTE_ON, 44 + 2 * i, 90) for i in range(count)))
        time.sleep(3.0)
        stage.begin()
        time.sleep(seconds)
        troubles = stage.troubles()
        rows = stage.since()
    values = [row["load"] for row in rows]
    return {
        "voices": min(row["voices"] for row in rows), "seconds": seconds, "load": round(float(np.mean(values)), 4),
        "highest": round(max(values), 4), "block": server.block, **troubles,
    }  # fmt: skip


def live_equals_offline(server: LiveServer, options: LiveBenchOptions) -> Row:
    """A score played by the program against the same score rendered into an array."""
    from engine.midi.files import read_score  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="musicnn-score-") as folder:
        path = Path(folder) / "chords.mid"
        seconds = write_chords(path)
        takes, recording = 0, None
        while takes < TAKES and (recording is None or recording.skipped):
            takes += 1  # where the server left something out, what was played is not known
            with _Stage(server, path, play=True) as stage:
                stage.tester.record(seconds + 4.0)
                time.sleep(seconds + 2.0)
                recording = stage.tester.recorded()
                troubles = stage.troubles()
        assert recording is not None
        instrument = _open_instrument()
        offline = _render(read_score(path, instrument.sample_rate), instrument)
    result = difference_db(recording.sound.astype(np.float64), _at_rate(offline, instrument.sample_rate, server.rate),
                           server.rate)  # fmt: skip
    return {**result, "takes": takes, "gaps": recording.gaps, "skipped": recording.skipped, **troubles}


def write_chords(path: Path) -> float:
    """Write a short score of chords with a pedal, after two seconds of rest; returns its length in seconds."""
    mido: Any = importlib.import_module("mido")  # it has no types
    track = mido.MidiTrack()
    track.append(mido.MetaMessage("set_tempo", tempo=500_000))
    track.append(mido.Message("control_change", control=PEDAL, value=0, time=0))
    wait = 4 * 480  # two seconds of rest: nobody has to be quick to hear the beginning
    chords = ((48, 64, 67, 72), (45, 60, 64, 69), (53, 60, 65, 69), (43, 59, 62, 67, 74))
    for round_, velocity in ((0, 80), (1, 100)):
        for index, chord in enumerate(chords):
            pedal = (round_ + index) % 2
            track.append(mido.Message("control_change", control=PEDAL, value=127 * pedal, time=wait))
            wait = 0
            for i, key in enumerate(chord):
                track.append(mido.Message("note_on", note=key, velocity=velocity - 7 * i, time=13 * i))
            for i, key in enumerate(chord):
                track.append(mido.Message("note_off", note=key, velocity=0, time=0 if i else 700))
            wait = 300
    track.append(mido.Message("control_change", control=PEDAL, value=0, time=480))
    score = mido.MidiFile(type=0, ticks_per_beat=480)
    score.tracks.append(track)
    score.save(path)
    return float(score.length)


def memory(server: LiveServer, options: LiveBenchOptions) -> Row:
    """Megabytes of the program after its start and after half a minute of playing."""
    seconds = 5.0 if options.short else 30.0
    with _Stage(server) as stage:
        ready = stage.program.row()["rss_mb"]
        messages, _ = separate_notes(1, round(seconds / 0.12), stage.tester.soon(), server.rate)
        stage.tester.play(messages)
        played = stage.program.row()["rss_mb"]
    return {"ready_mb": ready, "played_mb": played, "grown_mb": round(played - ready, 1), "seconds": seconds}


def knob_latency(server: LiveServer, options: LiveBenchOptions) -> Row:
    """Time from a volume message at the MIDI port to a tenth of its effect on the sound."""
    times: list[float | None] = []
    disturbed = 0  # by the server itself, which left periods out
    count = 5 if options.short else 20
    rng = np.random.default_rng(2)
    note = _offline_notes([60], 100, server.rate, seconds=2.0)[60]
    with _Stage(server) as stage:
        tester = stage.tester
        for _ in range(count):
            tester.now((CONTROL, VOLUME, 100), (CONTROL, PEDAL, 127))
            tester.record(2.0)
            frame = tester.soon(0.1) + int(rng.integers(server.block))
            turn = frame + round(0.5 * server.rate) + int(rng.integers(server.block))
            stamps = tester.play([(frame, bytes((NOTE_ON, 60, 100))), (turn, bytes((CONTROL, VOLUME, 20)))])
            time.sleep(0.35)
            recording = tester.recorded()
            tester.now((NOTE_OFF, 60, 0), (CONTROL, PEDAL, 0))
            time.sleep(0.5)
            if recording.skipped:
                disturbed += 1
                continue
            mono = recording.sound.astype(np.float64).mean(axis=1)
            struck, turned = (int(stamp) - recording.start for stamp in stamps)
            lag = onset_lag(mono, struck, note, server.rate)
            if lag is None:
                times.append(None)
                continue
            expected = placed(note, struck + lag * server.rate / 1e3, len(mono))
            times.append(departure_ms(mono, expected, turned, server.rate))
        troubles = stage.troubles()
    heard = [value for value in times if value is not None]
    return {
        "n": len(times), "missing": len(times) - len(heard), "disturbed": disturbed, **spread_ms(heard),
        "block": server.block, **troubles,
    }  # fmt: skip


PARTS: dict[str, Callable[[LiveServer, LiveBenchOptions], Row]] = {
    "machine": machine, "latency": latency, "xruns_score": xruns_score, "voices_held": voices_held, "load": load,
    "live_equals_offline": live_equals_offline, "memory": memory, "knob_latency": knob_latency,
}  # fmt: skip


def _open_instrument() -> Any:
    from engine.library import open_instrument  # noqa: PLC0415  # slow to import

    prepare_thread()
    return open_instrument(INSTRUMENT)


def _render(score: Any, instrument: Any) -> Array:
    from engine.render import RenderOptions, render_array  # noqa: PLC0415

    return render_array(score, instrument, RenderOptions({})).astype(np.float64)


def _at_rate(sound: Array, source: int, rate: int) -> Array:
    import soxr  # noqa: PLC0415

    resampled: Array = soxr.resample(sound, source, rate, quality="VHQ")
    return resampled


def _offline_notes(keys: Iterable[int], velocity: int, rate: int, seconds: float = 0.06) -> dict[int, Array]:
    """Each key's note as the instrument makes it from the message on, one channel at `rate`, `seconds` held."""
    from engine.midi.events import note_off, note_on  # noqa: PLC0415
    from engine.midi.files import Score  # noqa: PLC0415

    instrument = _open_instrument()
    source = instrument.sample_rate
    length = round(seconds * source)
    notes = {}
    for key in keys:
        score = Score((note_on(0, key, velocity), note_off(length, key)), length, source)
        notes[key] = _at_rate(_render(score, instrument), source, rate).mean(axis=1)
    return notes
