"""Window, engine and sound server killed while a take is recorded, on a real JACK server with the real program.

    pytest -s --override-ini addopts= tests/bench/test_kills.py

MUSICNN_ROUNDS (20): how often each is killed. At most a second of a take is lost, sound comes back by itself, no
process stays behind, and the next window offers the take.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.audio.recorder import Take, takes
from engine.client import STEADY_SECONDS
from musicnn_gui.live_bench.stage import LiveServer
from tests.live.conftest import PERIOD, RATE
from tests.live.test_faults import Watched, sounds

ROUNDS = int(os.environ.get("MUSICNN_ROUNDS", "20"))
LOST_SECONDS, END_SECONDS = 1.0, 8.0
RECORDING = """
import sys
from pathlib import Path
from PySide6.QtCore import QTimer
import musicnn_gui.app
from musicnn_gui.session import Session
begin = Session.start
def start(self, score=None):
    begin(self, score)
    self.hand = QTimer(self)
    def press():
        if self.snapshot is not None and self.meters is not None and self.recording is None:
            self.start_recording()
    self.hand.timeout.connect(press)
    self.hand.start(200)
Session.start = start
sys.exit(musicnn_gui.app.run(musicnn_gui.app.PlayOptions(meters=Path(sys.argv[1]), block=256)))
"""


class Recording(Watched):
    """A program with somebody who presses "record" whenever there is sound and no take is recorded."""

    patience = 240.0

    def __init__(self, server, folder):
        self.folder, self.meters, self.errors = folder, folder / "meters.jsonl", folder / "errors.txt"
        self.meters.unlink(missing_ok=True)
        environment = os.environ | {"JACK_DEFAULT_SERVER": server, "JACK_NO_START_SERVER": "1"}
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RECORDING, str(self.meters)],
                env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8",
            )  # fmt: skip
        self.ready = self.process.stdout.readline()
        assert self.ready.startswith("ready"), self.errors.read_text()

    def take(self, seconds, after=None):
        """The take that is recorded, as soon as it is so long and another one than that."""
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            found = takes(Path(os.environ["XDG_DATA_HOME"]) / "musicnn" / "recordings")
            if found and (after is None or found[-1].folder != after.folder) and found[-1].seconds > seconds:
                return found[-1]
            time.sleep(0.1)
        raise AssertionError("no take grows")


def newest_write(take):
    return (take.folder / "audio.f32").stat().st_mtime


def kill(process, sign=signal.SIGKILL):
    """Kill a process; return when."""
    moment = time.time()
    os.kill(process, sign)
    return moment


def lost(take, moment):
    """Seconds of a take that were played before a moment and are not on the disk, at most."""
    time.sleep(0.5)
    return moment - newest_write(take)


def runs(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def report(what, losses, returns):
    print(
        f"\n{what} killed {len(losses)} times: a take lost at most {max(losses):.2f} s; "
        f"sound was back after {min(returns):.1f} to {max(returns):.1f} s"
    )


@pytest.fixture
def recording(tmp_path):
    """Starts programs, which do not outlive the test."""
    programs = []

    def start(name):
        programs.append(Recording(name, tmp_path))
        return programs[-1]

    yield start
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait(10)
        program.process.stdout.close()


@pytest.fixture
def start_server():
    """Starts servers that may be killed."""
    with contextlib.ExitStack() as stack:
        yield lambda name="": stack.enter_context(LiveServer(RATE, PERIOD, name))


def test_an_engine_killed_while_recording_keeps_the_take_and_comes_back(start_server, recording):
    name = start_server().name
    program, take, losses, returns = recording(name), None, [], []
    take = program.take(0.2)
    for _ in range(ROUNDS):
        time.sleep(STEADY_SECONDS + 1)  # falls that come sooner are counted, and five in a minute are too many
        engine = program.engine()
        moment = kill(engine)
        losses.append(lost(take, moment))
        before, take = take, program.take(0.2, take)  # recorded only where there is sound
        returns.append(time.time() - moment)
        assert not runs(engine)
        assert Take(before.folder).frames
    assert sounds(name) > 0.01
    assert program.end() == 0
    report("engine", losses, returns)
    assert max(losses) < LOST_SECONDS


def test_a_sound_server_killed_while_recording_keeps_the_take_and_is_used_again(start_server, recording):
    server = start_server()
    name = server.name
    program, take, losses, returns = recording(name), None, [], []
    take = program.take(0.2)
    for _ in range(ROUNDS):
        time.sleep(1.5)
        moment = kill(server.process.pid)
        server.process.wait(10)
        losses.append(lost(take, moment))
        program.wait(lambda row: not row["running"], "noticing")
        server = start_server(name)
        back = time.time()
        take = program.take(0.2, take)
        returns.append(time.time() - back)
    assert sounds(name) > 0.01
    assert program.end() == 0
    report("sound server", losses, returns)
    assert max(losses) < LOST_SECONDS


def test_a_window_killed_while_recording_leaves_no_engine_and_the_next_one_offers_the_take(start_server, recording):
    name = start_server().name
    losses, returns, take = [], [], None
    for _ in range(ROUNDS):
        began = time.time()
        program = recording(name)
        if take is not None:
            assert "was not saved; it can still be" in program.said()
            assert take.frames
        program.wait(lambda row: row["running"], "sound")
        returns.append(time.time() - began)
        take = program.take(1.5, take)
        engine = program.engine()
        moment = kill(program.process.pid)
        program.process.wait(10)
        losses.append(lost(take, moment))
        end = time.monotonic() + END_SECONDS
        while runs(engine):
            assert time.monotonic() < end, "the engine outlives its window"
            time.sleep(0.05)
    report("window", losses, returns)
    assert max(losses) < LOST_SECONDS
