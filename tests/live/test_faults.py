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
from tests.live.test_program import strongest_hz

NOTE_ON, NOTE_OFF, CONTROL = 0x90, 0x80, 0xB0
PATIENCE = 60.0


class Watched(Program):
    """A program whose meters and log are read."""

    patience = PATIENCE

    def __init__(self, server, folder):
        self.folder = folder
        self.meters = folder / "meters.jsonl"
        super().__init__(server, folder, "--meters", self.meters, "--block", str(PERIOD))

    def row(self):
        lines = self.meters.read_text().splitlines() if self.meters.exists() else []
        return json.loads(lines[-1]) if lines else {}

    def wait(self, condition, what):
        end = time.monotonic() + self.patience
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
        player.record(0.1)  # a connection counts from one of the next periods on
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
    # Else the new engine may find the new server at once: then nothing was missing, and nothing is said.
    program.wait(lambda row: "No sound device" in program.said(), "the new engine looking in vain")
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


def test_a_keyboard_that_is_unplugged_leaves_nothing_and_is_heard_again(watched):
    program, server = watched
    program.wait(lambda row: row["running"], "sound")
    for _ in range(2):
        player = Player(server.name)
        # The only keyboard there is: the program finds it by itself.
        program.wait(lambda row: row["midi"].endswith("keys"), "the keyboard being found")
        player.connect(keys=False)
        sound = player.record(1.0, (NOTE_ON, 69, 110))
        assert np.abs(sound).max() > 0.01
        loud = np.flatnonzero(np.abs(sound).max(axis=1) > 1e-3)[0]
        cents = 1200 * np.log2(strongest_hz(sound[loud + RATE // 10 : loud + RATE // 2]) / 440.0)
        assert abs(cents - 1200 * np.log2(max(1, round(2 ** (cents / 1200))))) < 12  # nothing is bent
        program.wait(lambda row: row["voices"] == 1, "a held note")
        for message in ((CONTROL, 66, 127), (CONTROL, 64, 127), (CONTROL, 1, 127), (0xD0, 100), (0xE0, 0, 127)):
            player.send(*message)
        player.record(0.3, (NOTE_ON, 48, 90))
        player.close()  # unplugged with keys and pedals held down
        program.wait(lambda row: row["voices"] == 0, "the notes' end")
    assert "is unplugged" in program.said()


def test_broken_messages_and_a_flood_end_nothing_but_what_is_let_go(watched):
    program, server = watched
    program.wait(lambda row: row["running"], "sound")
    engine, player = program.engine(), Player(server.name)
    player.connect()
    for packet in ((0xE0, 1), (NOTE_ON,), (0xF0, 0x7E), (0xF4,), (NOTE_ON, 200, 100), (60, 100), (0xFE,), (0xF0, 1)):
        player.send(*packet)  # the last one, without an end, would swallow what follows
        player.record(0.05)
    player.record(0.5)
    assert np.abs(player.record(0.6, (NOTE_ON, 60, 100))).max() > 0.01
    flood = ((0xD0, 0), (0xA0, 60, 0), (0xE0, 0, 64), (CONTROL, 1, 0))
    player.flood([bytes((*flood[n % 4][:-1], n % 128)) for n in range(15_000)], seconds=3.0)
    for message in ((0xE0, 0, 64), (0xD0, 0), (CONTROL, 1, 0), (NOTE_OFF, 60, 0)):
        player.send(*message)
    program.wait(lambda row: row["voices"] == 0, "the note's end")
    player.close()
    assert sounds(server.name) > 0.01
    assert program.engine() == engine
    assert program.end() == 0
    assert "Traceback" not in program.errors.read_text() + program.said()
    assert len(program.errors.read_text().splitlines()) < 100


def test_a_stopped_engine_lets_go_of_its_notes_and_has_not_been_asleep(watched):
    program, server = watched
    program.wait(lambda row: row["running"], "sound")
    player = Player(server.name)
    player.connect()
    player.record(0.3, (NOTE_ON, 60, 110))
    program.wait(lambda row: row["voices"] == 1, "a held note")
    engine = program.engine()
    os.kill(engine, signal.SIGSTOP)
    time.sleep(1.5)
    player.send(NOTE_ON, 72, 110)  # nobody hears it now, and nobody should later
    time.sleep(2.0)
    os.kill(engine, signal.SIGCONT)
    program.wait(lambda row: row["voices"] == 0, "silence")
    player.close()
    # The server may have thrown the stopped process out.
    program.wait(lambda row: any(words in program.said() for words in ("was stopped", "has gone")), "a word about it")
    assert "asleep" not in program.said()
    program.wait(lambda row: row["running"], "sound again")
    assert sounds(server.name) > 0.01


@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
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
