"""What goes wrong on a stage, done for real: the sound server is killed and comes back, a keyboard is unplugged, the
engine crashes, the computer sleeps. The program itself stays, says it, lets go of every note and plays again."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from musicnn_gui.live_bench.stage import LiveServer
from tests.live.conftest import PERIOD, RATE, Player, Program

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
def start_server():
    """Starts servers that may be killed."""
    if shutil.which("jackd") is None:
        pytest.skip("jackd is not installed: no sound server to play through")
    with contextlib.ExitStack() as stack:
        yield lambda name="", rate=RATE: stack.enter_context(LiveServer(rate, PERIOD, name))


@pytest.fixture
def watched(start_server, tmp_path):
    server = start_server()
    program = Watched(server.name, tmp_path)
    assert program.ready.startswith("ready"), program.errors.read_text()
    yield program, server
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
def test_a_sound_server_that_dies_and_comes_back_is_used_again(watched, start_server, how):
    program, server = watched
    program.wait(lambda row: row["running"], "sound")
    assert sounds(server.name) > 0.01
    server.process.send_signal(how)
    server.process.wait(10)
    program.wait(lambda row: not row["running"], "noticing that the server is gone")
    assert "has gone" in program.said()
    program.wait(lambda row: row["voices"] == 0, "silence")
    start_server(server.name)
    program.wait(lambda row: row["running"], "sound on the new server")
    assert "is there and plays" in program.said()
    assert sounds(server.name) > 0.01
    assert program.end() == 0
    assert "Traceback" not in program.errors.read_text()


def test_an_engine_that_crashes_is_started_again_as_it_was(watched):
    program, server = watched
    program.wait(lambda row: row["running"], "sound")
    os.kill(program.engine(), signal.SIGSEGV)
    program.wait(lambda row: not row["running"], "noticing the crash")
    program.wait(lambda row: row["running"], "a new engine")
    assert "started again" in program.said()
    assert sounds(server.name) > 0.01
    assert program.end() == 0


def test_a_keyboard_that_is_unplugged_leaves_no_note_and_is_heard_again(watched):
    program, server = watched
    program.wait(lambda row: row["running"], "sound")
    for _ in range(2):
        player = Player(server.name)
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
    program, server = watched
    program.wait(lambda row: row["running"], "sound")
    player = Player(server.name)
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
    assert sounds(server.name) > 0.01


@pytest.mark.parametrize("rate", [44_100, 96_000])
def test_the_rate_of_the_server_is_followed(start_server, tmp_path, rate):
    assert rate != RATE
    server = start_server(rate=rate)
    program = Watched(server.name, tmp_path)
    try:
        program.wait(lambda row: row["running"], f"sound at {rate} Hz")
        assert sounds(server.name) > 0.01
        assert program.end() == 0
    finally:
        program.end()
