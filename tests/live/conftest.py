"""A real JACK server with its dummy driver, and a client beside the program that plays it and records it."""

import os
import shutil
import subprocess
import sys
import time
import uuid

import numpy as np
import pytest

from musicnn_gui.live_bench.stage import server_priority

RATE = 48_000
PERIOD = 256
START_SECONDS = 60.0


def start_jackd(name="", rate=RATE):
    """Start a server; return its process and its name."""
    if shutil.which("jackd") is None:
        pytest.skip("jackd is not installed: no sound server to play through")
    name = name or f"musicnn-{uuid.uuid4().hex[:8]}"
    environment = os.environ | {"JACK_NO_AUDIO_RESERVATION": "1"}
    command = ["jackd", "-n", name, *server_priority(), "-d", "dummy", "-r", str(rate), "-p", str(PERIOD)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), name


@pytest.fixture(scope="module")
def jack_server():
    """Name of a server of our own; whatever else runs on the machine is left alone."""
    server, name = start_jackd()
    yield name
    server.terminate()
    server.wait(10)


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
    """A JACK client: plays notes into the program's MIDI port and records its sound."""

    def __init__(self, server):
        import jack

        self.client = jack.Client("musicnn-test", servername=server, no_start_server=True)
        self.midi = self.client.midi_outports.register("keys")
        self.ears = [self.client.inports.register(f"ear{side}") for side in range(2)]
        self.blocks, self.recording, self.waiting = [], False, []
        self.sent = 0  # in which recorded sample the last message was played
        self.client.set_process_callback(self._process)
        self.client.activate()

    def _process(self, frames):
        self.midi.clear_buffer()
        if self.waiting and self.client.frames_since_cycle_start < PERIOD // 2:
            self.sent = len(self.blocks) * PERIOD
            while self.waiting:  # where the server no longer waits for this period, nobody would read it
                self.midi.write_midi_event(0, self.waiting.pop(0))
        if self.recording:
            self.blocks.append(np.stack([ear.get_array().copy() for ear in self.ears], axis=1))

    def connect(self, keys=True):
        """Wait for the program's ports and plug in; without `keys` the program listens to ours by itself."""
        own = {port.name for port in (self.midi, *self.ears)}
        if keys:
            found = self._find(lambda p: p.is_midi and p.is_input and p.name.endswith(":MusicNN"), own, 1)
            self.client.connect(self.midi, found[0])
        # The program plugs itself into the speakers; whoever feeds those is the program.
        speakers = self.client.get_ports(is_audio=True, is_input=True, is_physical=True)
        for ear, speaker in zip(self.ears, speakers, strict=False):
            sources = self._wait(lambda speaker=speaker: self.client.get_all_connections(speaker))
            self.client.connect(sources[0], ear)

    def _find(self, wanted, own, count):
        def look():
            found = [port for port in self.client.get_ports() if port.name not in own and wanted(port)]
            return found if len(found) >= count else None

        return self._wait(look)

    @staticmethod
    def _wait(look):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            found = look()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError("the program's ports did not appear")

    def send(self, *message):
        """Play a MIDI message in the next period."""
        self.waiting.append(bytes(message))

    def record(self, seconds, *messages):
        """Play messages and record from the same period on; (samples, 2)."""
        self.blocks = []
        self.recording = True
        for message in messages:
            self.send(*message)
        wanted = seconds * RATE / PERIOD
        while len(self.blocks) < wanted:
            time.sleep(0.02)
        self.recording = False
        return np.concatenate(self.blocks)

    def close(self):
        self.client.deactivate()
        self.client.close()


@pytest.fixture
def player(jack_server, program):
    """Plugged in, after the program is ready."""
    player = Player(jack_server)
    player.connect()
    yield player
    player.close()
