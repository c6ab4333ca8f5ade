"""A real JACK server with its dummy driver, and a client beside the program that plays it and records it."""

import contextlib
import os
import shutil
import subprocess
import sys
import time

import pytest

from musicnn_gui.live_bench.stage import LiveServer
from musicnn_gui.live_bench.tester import JackTester

RATE = 48_000
PERIOD = 256
PATIENCE = 30.0
MARGIN = 0.1  # seconds that are recorded beyond the wanted ones


@pytest.fixture(scope="module")
def jack_server():
    """Name of a server of our own; whatever else runs on the machine is left alone."""
    if shutil.which("jackd") is None:
        pytest.skip("jackd is not installed: no sound server to play through")
    with LiveServer(RATE, PERIOD) as server:
        yield server.name


@pytest.fixture
def program(jack_server, tmp_path):
    """The program itself, started as a user does, without a screen; its window is open when this is handed out."""
    running = Program(jack_server, tmp_path)
    yield running
    running.end()


class Program:
    """`musicnn` in a process of its own."""

    def __init__(self, server, folder, *arguments):
        environment = os.environ | {
            "JACK_DEFAULT_SERVER": server, "JACK_NO_START_SERVER": "1", "QT_QPA_PLATFORM": "offscreen",
        }  # fmt: skip
        self.errors = folder / "errors.txt"
        with self.errors.open("wb") as errors:
            command = [sys.executable, "-m", "musicnn_gui.cli", "play", *map(str, arguments)]
            self.process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
            )
        self.ready = self.process.stdout.readline()

    def end(self):
        """Close the window as the desktop would; return the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(30)
        self.process.stdout.close()
        return status


class Player:
    """Plays notes into the program's MIDI port and records its sound, from a process of its own."""

    def __init__(self, server):
        self._ending = contextlib.ExitStack()
        self.tester = self._ending.enter_context(JackTester(server))

    def connect(self, keys=True):
        """Wait for the program's ports and plug in; without `keys` the program listens to ours by itself."""
        self.tester.connect(keys=keys)

    def send(self, *message):
        """Play a MIDI message as soon as possible."""
        self.tester.now(message)

    def flood(self, messages, seconds):
        """Play many messages, evenly spread over a time."""
        frame, step = self.tester.soon(), seconds * self.tester.rate / len(messages)
        self.tester.play([(frame + int(index * step), message) for index, message in enumerate(messages)])

    def record(self, seconds, *messages):
        """Play messages in one period and record from there on; (samples, 2)."""
        self.tester.record(seconds + PATIENCE)
        start = int(self.tester.now(*messages)[-1]) if messages else self.tester.soon(0)
        time.sleep(seconds)
        deadline = time.monotonic() + PATIENCE
        while self.tester.soon(0) < start + (seconds + MARGIN) * self.tester.rate and time.monotonic() < deadline:
            time.sleep(0.02)
        recording = self.tester.recorded()
        first = max(0, start - recording.start)
        return recording.sound[first : first + round(seconds * self.tester.rate)]

    def close(self):
        self._ending.close()


@pytest.fixture
def player(jack_server, program):
    """Plugged in, after the program is ready."""
    player = Player(jack_server)
    try:
        player.connect()
        yield player
    finally:
        player.close()
