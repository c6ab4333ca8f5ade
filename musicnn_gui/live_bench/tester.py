"""The JACK clients that play and record the program, in a process of their own.

JACK ends the thread that runs a client's process callback with pthread_cancel. A Python callback that waits for the
interpreter lock at that moment dies with the lock's mutex held: the process then hangs, or crashes somewhere else
later. So no Python process that goes on may deactivate or close such a client. This one never does: it ends with
os._exit, and the server removes the clients of a process that is gone.
"""

from __future__ import annotations

import functools
import importlib
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import DeviceError
from musicnn_gui.live_bench.arithmetic import Message, Sound, dropouts, on_timeline
from musicnn_gui.live_bench.started import END_SECONDS, START_SECONDS, Started, wait

log = logging.getLogger(__name__)

PLUG_SECONDS = 60.0
STILL_SECONDS = 10.0  # without progress, after which the server counts as stuck
KEYS, EARS = "musicnn-bench-keys", "musicnn-bench-ears"
"""Two clients: one that both played and recorded would close a loop through the program, and JACK opens a loop by
holding one of its connections back for a period."""


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


class JackTester(Started):
    """Plays messages at exact frames into the program and records its sound.

    Every method raises DeviceError where the server does not answer, or the clients' process has ended.
    """

    def __init__(self, server: str) -> None:
        """`server`: name of a running JACK server."""
        self._server, self.rate = server, 0

    def _begin(self, stack: ExitStack) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        stack.callback(self._pipe.close)
        self._process = context.Process(target=serve, args=(theirs, self._server), name="JACK tester", daemon=True)
        self._process.start()
        stack.callback(self._process.join, END_SECONDS)
        stack.callback(self._process.kill)
        theirs.close()
        self.rate = int(self._answer(START_SECONDS))

    def connect(self, *, keys: bool = True) -> None:
        """Wait for the program's ports and plug in; without `keys` the program must find our MIDI port by itself."""
        self._ask(PLUG_SECONDS, "connect", keys)

    def soon(self, seconds: float = 0.05) -> int:
        """An absolute frame a little ahead of now."""
        return int(self._ask(STILL_SECONDS, "now")) + round(seconds * self.rate)

    def play(self, messages: Iterable[Message]) -> NDArray[np.int64]:
        """Play messages, wait until the last is out; return the frames they had, in the order of their times."""
        ordered = sorted(messages, key=lambda message: message[0])
        if not ordered:
            return np.zeros(0, np.int64)
        seconds = max(0.0, (ordered[-1][0] - self.soon(0)) / self.rate)
        stamps: NDArray[np.int64] = self._ask(seconds + 2 * STILL_SECONDS, "play", ordered, seconds)
        return stamps

    def now(self, *messages: tuple[int, ...]) -> NDArray[np.int64]:
        """Play messages as soon as possible, in one period."""
        frame = self.soon()
        return self.play([(frame, bytes(message)) for message in messages])

    def record(self, seconds: float, channels: int = 2) -> None:
        """Begin to record, for at most `seconds`."""
        self._ask(STILL_SECONDS, "record", seconds, channels)

    def recorded(self) -> Recording:
        """End the recording and hand it out."""
        sound, stamps = self._ask(PLUG_SECONDS, "recorded")
        line, skipped = on_timeline(sound, stamps)
        return Recording(line, int(stamps[0]), dropouts(sound.T, self.rate), skipped)

    @property
    def xruns(self) -> int:
        """Xruns that the server has told the playing client of."""
        return int(self._ask(STILL_SECONDS, "xruns"))

    @property
    def trouble(self) -> int:
        """Messages for which a period had no room."""
        return int(self._ask(STILL_SECONDS, "trouble"))

    def _ask(self, seconds: float, name: str, *arguments: object) -> Any:
        try:
            self._pipe.send((name, arguments))
        except OSError as error:
            raise DeviceError("the JACK clients' process has ended") from error
        return self._answer(seconds + STILL_SECONDS)

    def _answer(self, seconds: float) -> Any:
        try:
            if not self._pipe.poll(seconds):
                raise DeviceError("the JACK clients do not answer")
            problem, value = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise DeviceError("the JACK clients' process has ended") from error
        if problem:
            raise DeviceError(problem)
        return value


# --- in the clients' process ---


def serve(pipe: Connection, server: str) -> None:
    """Open the clients and answer questions until the pipe is closed. Does not return."""
    try:
        clients = _Clients(server)
        pipe.send(("", clients.rate))
        while True:
            name, arguments = pipe.recv()
            try:
                pipe.send(("", clients.answer(name, arguments)))
            except DeviceError as error:
                pipe.send((str(error), None))
    except DeviceError as error:
        pipe.send((str(error), None))
    except (EOFError, OSError):
        pass  # nobody asks any more
    except Exception:
        log.exception("in the JACK clients' process")
    finally:
        os._exit(0)


class _Sequence:
    """Messages to be played and the frames at which they were."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.stamps = np.zeros(len(messages), np.int64)
        self.next = 0
        self.done = threading.Event()


class _Tape:
    """Room for a recording: (channels, samples), and each period's absolute frame."""

    def __init__(self, channels: int, periods: int, block: int) -> None:
        self.sound = np.empty((channels, periods * block), np.float32)
        self.sound.fill(0)  # touches every page, so that none is fetched in the callback
        self.stamps = np.zeros(periods, np.int64)
        self.filled = 0


class _Clients:
    """Both clients. Methods `do_...` answer the questions of the same name."""

    def __init__(self, server: str) -> None:
        self._jack = _jack_library()
        self._tape: _Tape | None = None
        self._sequence = _Sequence([])
        self._xruns = self._trouble = 0
        self._keys, self._ears = (self._client(name, server) for name in (KEYS, EARS))
        self.rate = int(self._keys.samplerate)
        self._midi = self._keys.midi_outports.register("keys")
        self._inputs = [self._ears.inports.register(f"ear{side}") for side in range(2)]
        self._keys.set_process_callback(self._write)
        self._keys.set_xrun_callback(self._count_xrun)
        self._ears.set_process_callback(self._hear)
        for client in (self._keys, self._ears):
            client.activate()

    def answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """What a method `do_NAME` returns. Raises DeviceError."""
        try:
            return getattr(self, f"do_{name}")(*arguments)
        except self._jack.JackError as error:
            raise DeviceError(f"the JACK server refuses: {error}") from error

    def _client(self, name: str, server: str) -> Any:
        try:
            return self._jack.Client(name, servername=server, no_start_server=True)
        except self._jack.JackError as error:
            raise DeviceError(f"the JACK server does not answer: {error}") from error

    def _count_xrun(self, microseconds: float) -> None:
        self._xruns += 1

    def _write(self, frames: int) -> None:
        """Write the messages that are due; runs in the server's cycle, nothing here waits."""
        now = self._keys.last_frame_time
        self._midi.clear_buffer()
        if self._keys.frames_since_cycle_start > frames // 2:
            return  # the server may have gone on without us: nobody would read what is written now
        sequence = self._sequence
        while sequence.next < len(sequence.messages):
            frame, message = sequence.messages[sequence.next]
            if frame >= now + frames:
                return
            offset = max(0, frame - now)
            try:
                self._midi.write_midi_event(offset, message)
            except self._jack.JackError:
                self._trouble += 1
            sequence.stamps[sequence.next] = now + offset
            sequence.next += 1
        sequence.done.set()

    def _hear(self, frames: int) -> None:
        """Copy a period; runs in the server's cycle, nothing here waits."""
        tape = self._tape
        if tape is not None and tape.filled < len(tape.stamps):
            place = tape.filled * frames
            for channel in range(len(tape.sound)):
                tape.sound[channel, place : place + frames] = self._inputs[channel].get_array()
            tape.stamps[tape.filled] = self._ears.last_frame_time
            tape.filled += 1

    def do_connect(self, keys: bool) -> None:
        complaint = "the program's ports did not appear at the JACK server"
        if keys:
            self._keys.connect(self._midi, wait(self._programs_midi, PLUG_SECONDS, complaint)[0])
        # The program plugs itself into the speakers; whoever feeds those is the program.
        speakers = self._keys.get_ports(is_audio=True, is_input=True, is_physical=True)
        for ear, speaker in zip(self._inputs, speakers, strict=False):
            look = functools.partial(self._keys.get_all_connections, speaker)
            self._ears.connect(wait(look, PLUG_SECONDS, complaint)[0], ear)

    def _programs_midi(self) -> list[Any]:
        ports = self._keys.get_ports(is_midi=True, is_input=True)
        return [port for port in ports if port.name.endswith(":MusicNN")]

    def do_now(self) -> int:
        return int(self._keys.frame_time)

    def do_play(self, messages: list[Message], seconds: float) -> NDArray[np.int64]:
        sequence = self._sequence = _Sequence(messages)
        if not sequence.done.wait(seconds + STILL_SECONDS):
            raise DeviceError("the JACK server stands still")
        return sequence.stamps

    def do_record(self, seconds: float, channels: int) -> None:
        block = int(self._ears.blocksize)
        self._tape = _Tape(channels, int(seconds * self.rate / block) + 1, block)

    def do_recorded(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        tape, self._tape = self._tape, None
        if tape is None or not tape.filled:
            raise DeviceError("the JACK server handed over no sound")
        time.sleep(0.05)  # the callback may be in its last period
        block = int(self._ears.blocksize)
        return tape.sound[:, : tape.filled * block], tape.stamps[: tape.filled]

    def do_xruns(self) -> int:
        return self._xruns

    def do_trouble(self) -> int:
        return self._trouble


def _jack_library() -> Any:
    """The JACK-Client package. Raises DeviceError where it, or the library it needs, is missing."""
    try:
        jack: Any = importlib.import_module("jack")  # only this measuring needs it
    except ImportError as error:
        raise DeviceError("the Python package JACK-Client is not installed") from error
    except OSError as error:
        raise DeviceError(f"the JACK library cannot be loaded: {error}") from error
    jack.set_error_function(lambda text: None)
    jack.set_info_function(lambda text: None)
    return jack
