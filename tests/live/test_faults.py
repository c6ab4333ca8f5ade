"""What goes wrong on a stage, done for real: the sound server is killed and comes back, a keyboard is unplugged, the
engine crashes, the computer sleeps. The program itself stays, says it, lets go of every note and plays again."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.live.conftest import PERIOD, RATE, Player, Program, start_jackd

NOTE_ON, NOTE_OFF = 0x90, 0x80
PATIENCE = 60.0


class Watched(Program):
    """A program whose meters and log are read."""

    def __init__(self, server, folder):
        self.folder = folder
        self.meters = folder / "meters.jsonl"
        super().__init__(server, folder, "--meters", self.meters, "--block", str(PERIOD))

    def row(self):
        lines = self.meters.read_text().splitlines() if self.meters.exists() else []
        return json.loads(lines[-1]) if lines else {}

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert self.process.poll() is None, self.errors.read_text()
            row = self.row()
            if row and condition(row):
                return row
            time.sleep(0.1)
        raise AssertionError(f"{what} did not happen: {self.row()}")

    def engine(self):
        """The engine's process: the child that has threads of torch."""
        out = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=True).stdout
        return max(map(int, out.split()))

    def said(self):
        """What the message bar has shown: the log has it too."""
        logs = Path(os.environ["XDG_STATE_HOME"]).rglob("musicnn.log")
        return "".join(path.read_text(encoding="utf-8") for path in logs)


@pytest.fixture
def own_server():
    """A server that may be killed."""
    servers = []

    def start(name=""):
        server, name = start_jackd(name)
        servers.append(server)
        return server, name

    yield start
    for server in servers:
        if server.poll() is None:
            server.terminate()
        server.wait(10)


@pytest.fixture
def watched(own_server, tmp_path):
    server, name = own_server()
    program = Watched(name, tmp_path)
    assert program.ready.startswith("ready"), program.errors.read_text()
    yield program, server, name
    program.end()


def sounds(server, key=64):
    player = Player(server)
    try:
        player.connect()
        sound = player.record(0.6, (NOTE_ON, key, 110))
        player.record(0.2, (NOTE_OFF, key, 0))
        return float(np.abs(sound).max())
    finally:
        player.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_sound_server_that_dies_and_comes_back_is_used_again(watched, own_server, how):
    program, server, name = watched
    program.wait(lambda row: row["running"], "sound")
    assert sounds(name) > 0.01
    server.send_signal(how)
    server.wait(10)
    program.wait(lambda row: not row["running"], "noticing that the server is gone")
    assert "has gone" in program.said()
    program.wait(lambda row: row["voices"] == 0, "silence")
    own_server(name)
    program.wait(lambda row: row["running"], "sound on the new server")
    assert "is there and plays" in program.said()
    assert sounds(name) > 0.01
    assert program.end() == 0
    assert "Traceback" not in program.errors.read_text()


def test_an_engine_that_crashes_is_started_again_as_it_was(watched):
    program, _, name = watched
    program.wait(lambda row: row["running"], "sound")
    os.kill(program.engine(), signal.SIGSEGV)
    program.wait(lambda row: not row["running"], "noticing the crash")
    program.wait(lambda row: row["running"], "a new engine")
    assert "started again" in program.said()
    assert sounds(name) > 0.01
    assert program.end() == 0


def test_a_keyboard_that_is_unplugged_leaves_no_note_and_is_heard_again(watched):
    program, _, name = watched
    program.wait(lambda row: row["running"], "sound")
    for _ in range(2):
        player = Player(name)
        # The only keyboard there is: the program finds it by itself.
        program.wait(lambda row: row["midi"].endswith("keys"), "the keyboard being found")
        player.connect(keys=False)
        sound = player.record(0.6, (NOTE_ON, 60, 110))
        assert np.abs(sound).max() > 0.01
        program.wait(lambda row: row["voices"] == 1, "a held note")
        player.close()  # unplugged with a key held down
        program.wait(lambda row: row["voices"] == 0, "the note's end")
    assert "is unplugged" in program.said()


def test_after_a_sleep_all_notes_are_off_and_it_plays_again(watched):
    """A process that is stopped is as one that sleeps: the clock jumps, nothing of it runs meanwhile."""
    program, _, name = watched
    program.wait(lambda row: row["running"], "sound")
    player = Player(name)
    player.connect()
    player.record(0.3, (NOTE_ON, 60, 110))
    program.wait(lambda row: row["voices"] == 1, "a held note")
    engine = program.engine()
    os.kill(engine, signal.SIGSTOP)
    time.sleep(3.5)
    os.kill(engine, signal.SIGCONT)
    player.close()
    program.wait(lambda row: row["voices"] == 0, "silence")
    said = program.said()
    assert "asleep" in said or "has gone" in said  # the server may have thrown the sleeper out
    program.wait(lambda row: row["running"], "sound again")
    assert sounds(name) > 0.01


def test_the_rate_of_the_server_is_followed(own_server, tmp_path):
    assert RATE == 48_000  # which is not the engine's own
    for rate in (44_100, 96_000):
        server, name = start_jackd("", rate)
        try:
            program = Watched(name, tmp_path)
            program.wait(lambda row: row["running"], f"sound at {rate} Hz")
            assert sounds(name) > 0.01
            assert program.end() == 0
        finally:
            server.terminate()
            server.wait(10)
