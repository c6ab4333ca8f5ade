"""The window driven from outside, as a player does it: an X server, a window manager, a sound server, mouse and keys.

Where Xvfb, openbox, xdotool, scrot and jackd are installed:

    pytest --override-ini addopts= tests/bench/test_window_for_real.py

MUSICNN_SHOTS names a folder for screenshots.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import mido
import pytest
import soundfile

DISPLAY, SIZE = ":23", (1440, 900)
TOOLS = ("Xvfb", "openbox", "xdotool", "jackd", "scrot")
DRAGGED = """
import sys
from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QDrag
from PySide6.QtWidgets import QApplication, QLabel
class Source(QLabel):
    def mouseMoveEvent(self, event):
        drag, data = QDrag(self), QMimeData()
        data.setUrls([QUrl.fromLocalFile(sys.argv[1])])
        drag.setMimeData(data)
        drag.exec(Qt.DropAction.CopyAction)
app = QApplication([])
source = Source("drag me")
source.setWindowFlags(Qt.WindowType.FramelessWindowHint | Qt.WindowType.WindowStaysOnTopHint)
source.setGeometry(1300, 860, 100, 30)
source.show()
app.exec()
"""

pytestmark = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")


class Desk:
    """An X server with a window manager, a sound server, and a folder for everything that is remembered."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.jack = f"musicnn-desk-{uuid.uuid4().hex[:6]}"
        self.environment = os.environ | {
            "DISPLAY": DISPLAY, "JACK_DEFAULT_SERVER": self.jack, "JACK_NO_START_SERVER": "1", "QT_QPA_PLATFORM": "xcb",
        }  # fmt: skip
        for name in ("CONFIG", "STATE", "DATA", "CACHE"):
            (folder / name).mkdir()
            self.environment[f"XDG_{name}_HOME"] = str(folder / name)
        self.processes = []
        self.begin("Xvfb", DISPLAY, "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24")
        time.sleep(1)
        self.begin("openbox")
        self.begin("jackd", "-n", self.jack, "--no-realtime", "-d", "dummy", "-r", "48000", "-p", "1024")
        time.sleep(2)

    def begin(self, *command):
        process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(20)

    def do(self, *words):
        command = ["xdotool", *map(str, words)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        time.sleep(0.15)
        return done.stdout.strip()

    def drag(self, start, end):
        self.do("mousemove", *start)
        self.do("mousedown", 1)
        for step in range(1, 9):
            self.do("mousemove", *(round(a + (b - a) * step / 8) for a, b in zip(start, end, strict=True)))
        self.do("mouseup", 1)

    def picture(self, name):
        if "MUSICNN_SHOTS" in os.environ:
            path = Path(os.environ["MUSICNN_SHOTS"]) / f"{name}.png"
            subprocess.run(["scrot", "-o", str(path)], env=self.environment, check=True)


class Program:
    """The program in its window, which fills the screen."""

    def __init__(self, desk, *arguments):
        self.desk, self.meters = desk, desk.folder / f"meters-{uuid.uuid4().hex}.jsonl"
        command = [sys.executable, "-m", "musicnn_gui.cli", "play", "--meters", str(self.meters), *arguments]
        self.process = subprocess.Popen(command, env=desk.environment, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("ready"), line
        desk.do("search", "--sync", "--onlyvisible", "--name", "MusicNN", "windowsize", *SIZE)
        self.window = desk.do("search", "--onlyvisible", "--name", "MusicNN").split()[-1]
        desk.do("windowmove", self.window, 0, 0)
        desk.do("windowfocus", "--sync", self.window)
        time.sleep(1)

    @property
    def title(self):
        return self.desk.do("getwindowname", self.window)

    def row(self):
        lines = self.meters.read_text().splitlines()
        return json.loads(lines[-1]) if lines else {}

    def keys(self, *names):
        for name in names:
            self.desk.do("key", "--window", 0, name)

    def quit(self):
        self.keys("ctrl+q")
        assert self.process.wait(30) == 0
        self.process.stdout.close()
        return json.loads(next(self.desk.folder.glob("CONFIG/**/settings.json")).read_text())


def wait(look, seconds=60.0):
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.2)


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def tune(tmp_path):
    track = mido.MidiTrack([mido.MetaMessage("track_name", name="Tune")])
    for key in (60, 64, 67, 72, 67, 64, 60):
        track.append(mido.Message("note_on", note=key, velocity=80, time=40))
        track.append(mido.Message("note_off", note=key, time=400))
    path = tmp_path / "tune.mid"
    mido.MidiFile(tracks=[track]).save(path)
    return path


def test_drop_play_turn_morph_record_export_quit_and_find_it_again(desk, tune, tmp_path):
    program = Program(desk, "--instrument", "morph")
    desk.begin(sys.executable, "-c", DRAGGED, str(tune))
    time.sleep(2)
    desk.drag((1350, 875), (500, 300))
    wait(lambda: program.title.startswith("tune.mid"))
    desk.do("windowfocus", "--sync", program.window)

    program.keys("space")
    wait(lambda: program.row().get("playing"))
    desk.picture("playing")
    wait(lambda: not program.row().get("playing"))

    desk.drag((815, 102), (815, 60))  # the first latent knob
    desk.drag((1333, 180), (1380, 120))  # the pad between four presets
    desk.picture("morphed")

    program.keys("ctrl+r", "a", "d", "g")
    time.sleep(1)
    take = tmp_path / "take.wav"
    program.keys("ctrl+r")
    time.sleep(1.5)
    desk.picture("save take")
    desk.do("type", str(take))
    program.keys("Return")
    wait(take.exists)
    assert soundfile.info(take).duration > 1
    assert len([m for m in mido.MidiFile(take.with_suffix(".mid")) if m.type == "note_on" and m.velocity]) == 3

    desk.do("windowfocus", "--sync", program.window)
    export = tmp_path / "tune.flac"
    program.keys("ctrl+e")
    time.sleep(1.5)
    program.keys("ctrl+a")
    desk.do("type", str(export))
    program.keys("Return")
    wait(export.exists)
    wait(lambda: soundfile.info(export).duration > 3)

    desk.do("windowfocus", "--sync", program.window)
    before = program.quit()
    assert before["instrument"] == "morph" and before["score"].endswith("tune.mid")
    moved = {name: value for name, value in before["knobs"].items() if name.startswith("latent") and value}
    assert moved

    again = Program(desk)
    wait(lambda: again.title.startswith("tune.mid"))
    desk.picture("again")
    after = again.quit()
    names = ("instrument", "score", "knobs", "preset")
    assert {name: after[name] for name in names} == {name: before[name] for name in names}
    assert after["view"]["morph"] == before["view"]["morph"]
    assert before["view"]["morph"]["place"] != [0.5, 0.5]
