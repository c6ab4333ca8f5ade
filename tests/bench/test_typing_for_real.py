"""Keys that are really held down, on an X server: into menus and fields, over Esc and other windows, on other layouts.

Where Xvfb, xdotool and setxkbmap are installed:

    pytest --override-ini addopts= tests/bench/test_typing_for_real.py

There is no window manager: the focus is moved by xdotool. The engine does not run: what is played is printed.
"""

import os
import shutil
import subprocess
import sys
import time

import pytest

TOOLS = ("Xvfb", "xdotool", "setxkbmap")
DISPLAY = ":37"
A, S = 38, 39  # keycodes: places, whatever is printed there
pytestmark = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")

PROGRAM = """
import sys
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from musicnn_gui.session import Session
from musicnn_gui.settings import Settings
from musicnn_gui.window import MainWindow

def say(text):
    print(text, flush=True)

class Heard(Session):
    def play(self, event):
        say(f"{event.kind.name} {event.number}")

if __name__ == "__main__":
    app = QApplication(sys.argv)
    session = Heard(Settings())
    window = MainWindow(session)
    window.open()
    knob = window.header.volume
    place = knob.mapToGlobal(knob.rect().center())
    tempo = window.transport.tempo
    field = tempo.mapToGlobal(tempo.rect().center())
    say(f"places {place.x()} {place.y()} {field.x()} {field.y()} {window.keyboard.legends.of('ASDF;ZX')}")
    app.exec()
    session.close()
"""


class Desk:
    def __init__(self, folder, *layout):
        self.environment = os.environ | {
            "DISPLAY": DISPLAY, "QT_QPA_PLATFORM": "xcb", "JACK_DEFAULT_SERVER": "none", "JACK_NO_START_SERVER": "1",
            **{f"XDG_{name}_HOME": str(folder) for name in ("CONFIG", "STATE", "DATA", "CACHE")},
        }  # fmt: skip
        self.server = subprocess.Popen(["Xvfb", DISPLAY, "-screen", "0", "1366x768x24", "-noreset"], stderr=-3)
        time.sleep(2)
        if layout:
            subprocess.run(["setxkbmap", *layout], env=self.environment, check=True)
        script = folder / "program.py"
        script.write_text(PROGRAM)
        self.environment["PYTHONPATH"] = os.getcwd()
        self.program = subprocess.Popen([sys.executable, str(script)], env=self.environment, stdout=-1, text=True)
        self.lines = []

    def open(self):
        """Until the window has the keyboard."""
        os.set_blocking(self.program.stdout.fileno(), False)
        self.wait_for("places")
        words = next(line for line in self.lines if line.startswith("places")).split()
        self.knob, self.field, self.legends = words[1:3], words[3:5], words[5]
        self.do("mousemove", 600, 760)
        window = self.do("search", "--onlyvisible", "--name", "MusicNN").split()[-1]
        self.do("windowfocus", "--sync", window)
        self.window = window
        return self

    def read(self):
        line = self.program.stdout.readline()
        while line:
            self.lines.append(line.strip())
            line = self.program.stdout.readline()
        return self.lines

    def wait_for(self, text, seconds=90):
        end = time.monotonic() + seconds
        while not any(line.startswith(text) for line in self.read()):
            assert time.monotonic() < end, (text, self.lines)
            time.sleep(0.05)

    def do(self, *words):
        done = subprocess.run(
            ["xdotool", *map(str, words)], env=self.environment, capture_output=True, text=True, check=False
        )
        time.sleep(0.25)
        return done.stdout.strip()

    def notes(self):
        time.sleep(0.5)
        return [line for line in self.read() if line.startswith("NOTE")]

    def close(self):
        self.program.terminate()
        self.program.wait(30)
        self.program.stdout.close()
        self.server.terminate()
        self.server.wait(10)


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    try:
        yield desk.open()
    finally:
        desk.close()


ONE = ["NOTE_ON 60", "NOTE_OFF 60"]


def test_held_keys_end_and_the_next_press_sounds(desk):
    def menu_key(name):
        desk.do("key", name)

    ways = {
        "F10": lambda: menu_key("F10"), "Ctrl+I": lambda: menu_key("ctrl+i"), "Ctrl+P": lambda: menu_key("ctrl+p"),
        "Ctrl+S": lambda: menu_key("ctrl+s"), "F1": lambda: menu_key("F1"), "Ctrl+O": lambda: menu_key("ctrl+o"),
        "right click": lambda: (desk.do("mousemove", *desk.knob), desk.do("click", 3)),
        "tempo": lambda: (desk.do("mousemove", *desk.field), desk.do("click", 1)),
        "Esc": lambda: menu_key("Escape"),
    }  # fmt: skip
    for name, way in ways.items():
        desk.lines.clear()
        desk.do("keydown", A)
        way()
        desk.do("keyup", A)
        assert desk.notes() == ONE, name
        desk.do("key", "Escape")
        desk.do("windowfocus", "--sync", desk.window)
        desk.do("mousemove", 600, 3)
        desk.do("click", 1)
        desk.lines.clear()
        desk.do("key", A)
        assert desk.notes() == ONE, f"after {name}"


@pytest.mark.parametrize(
    ("layout", "legends"),
    [(("fr",), "QSDFMWX"), (("de",), "ASDFÖYX"), (("us", "-variant", "dvorak"), "AOEUS;Q")],
)
def test_places_play_the_same_notes_on_every_layout(tmp_path, layout, legends):
    desk = Desk(tmp_path, *layout)
    try:
        desk.open()
        assert desk.legends == legends
        desk.lines.clear()
        for code in (A, S, 52, 53, A):  # the last two but one are octave down and up
            desk.do("key", code)
        assert desk.notes() == [*ONE, "NOTE_ON 62", "NOTE_OFF 62", *ONE]
    finally:
        desk.close()
