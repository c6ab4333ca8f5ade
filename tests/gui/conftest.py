"""The real window on the real engine with the shipped piano. No server runs here, so there is no sound device: the
engine is driven by its silent stand-in, as for a player without one."""

import multiprocessing
import os

import mido
import pytest

from engine import threads
from musicnn_gui.session import Session
from musicnn_gui.settings import Settings
from musicnn_gui.theme import apply_theme
from musicnn_gui.window import MainWindow

START_MS = 60_000
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # for the server of copies, which imports torch


@pytest.fixture(scope="session")
def themed(qapp):
    """The application in its colours, once: every change of them is told to every widget that there is."""
    apply_theme(qapp)


@pytest.fixture(autouse=True)
def quick_processes(monkeypatch):
    """Engines are copies of a process that has imported them: sixty times torch would be minutes.

    That process keeps the environment of its own beginning: nothing here gives an engine another one.
    """
    monkeypatch.setattr(threads, "START_METHOD", "forkserver")
    multiprocessing.get_context("forkserver").set_forkserver_preload(["engine.server", "engine.render"])


@pytest.fixture
def session(qtbot, themed, monkeypatch):
    """A session without devices, ready to be played."""
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "no-such-server")
    session = Session(Settings())
    yield session
    session.close()


@pytest.fixture
def window(qtbot, session):
    """The window, shown, when the first key can be played."""
    window = MainWindow(session)
    window.show()
    with qtbot.waitSignal(session.ready, timeout=START_MS):
        session.start()
    qtbot.waitUntil(
        lambda: session.instrument is not None and "…" not in window.header.instruments.title.text(), timeout=START_MS
    )
    yield window
    window.close()
    window.deleteLater()
    qtbot.wait(1)  # QTest.qWait would keep the interpreter to itself


@pytest.fixture
def score_file(tmp_path):
    """A short MIDI file: four notes of a quarter of a second."""
    return write_score(tmp_path / "four.mid", [60, 64, 67, 72])


def write_score(path, keys):
    """Write keys one after another, a quarter of a second each."""
    track = mido.MidiTrack()
    for key in keys:
        track.append(mido.Message("note_on", note=key, velocity=80, time=0))
        track.append(mido.Message("note_off", note=key, time=240))
    file = mido.MidiFile(ticks_per_beat=480)
    file.tracks.append(track)
    file.save(path)
    return path
