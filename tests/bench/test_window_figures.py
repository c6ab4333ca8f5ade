"""The window at 60 frames a second beside 16 voices, on a JACK server with its dummy driver:

    QT_QPA_PLATFORM=offscreen pytest -s --override-ini addopts= tests/bench/test_window_figures.py

MUSICNN_WINDOW_SECONDS: how long, 60 by default.
"""

import os
import time

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication

from engine.description import SAMPLE_RATE
from musicnn_gui.live_bench.stage import LiveServer
from musicnn_gui.session import Session
from musicnn_gui.settings import Settings
from musicnn_gui.theme import apply_theme
from musicnn_gui.widgets.spectrogram import SpectrogramView
from musicnn_gui.window import MainWindow
from tests.live.conftest import PERIOD, RATE

SECONDS = float(os.environ.get("MUSICNN_WINDOW_SECONDS", "60"))
VOICES = range(40, 72, 2)
START_MS = 60_000


@pytest.fixture
def server():
    with LiveServer(RATE, PERIOD) as server:
        yield server.name


def test_frames_beside_sixteen_voices(qtbot, qapp, monkeypatch, server):
    monkeypatch.setenv("JACK_DEFAULT_SERVER", server)
    apply_theme(qapp)
    session = Session(Settings(block=256))
    window = MainWindow(session)
    work = []
    advance = window._advance

    def timed():
        begin = time.thread_time()
        advance()
        work.append(time.thread_time() - begin)

    window._timer.timeout.disconnect()
    window._timer.timeout.connect(timed)
    try:
        window.resize(1440, 900)
        window.show()
        with qtbot.waitSignal(session.ready, timeout=START_MS):
            session.start()
        for key in VOICES:
            session.note_on(key, 80)
        qtbot.waitUntil(lambda: session.snapshot.voices == len(VOICES), timeout=START_MS)
        qtbot.wait(2000)
        xruns = session.meters.xruns
        window.frame_times.clear()
        work.clear()
        busy, begin = time.process_time(), time.perf_counter()
        qtbot.wait(round(1000 * SECONDS))
        busy = (time.process_time() - busy) / (time.perf_counter() - begin)
        frames = 1000 * np.diff(window.frame_times)
        print(
            f"\n{QApplication.platformName()}: {len(frames)} frames in {SECONDS:g} s, mean {frames.mean():.1f} ms, "
            f"95 % {np.percentile(frames, 95):.1f}, worst {frames.max():.1f}; work before painting "
            f"{1000 * np.mean(work):.2f} ms; the window's process takes {busy:.0%} of a core; "
            f"xruns {session.meters.xruns - xruns}, voices {session.snapshot.voices}"
        )
    finally:
        window.close()
        session.close()
    assert np.percentile(frames, 95) < 20


@pytest.mark.parametrize("size", [(720, 235), (1416, 235)])
def test_both_spectrograms_take_less_than_four_milliseconds(qtbot, qapp, size):
    apply_theme(qapp)
    views = [SpectrogramView("noise", SAMPLE_RATE) for _ in range(2)]
    for view in views:
        qtbot.addWidget(view)
        view.resize(*size)
        view.show()
    random = np.random.default_rng(0)
    frames = [0.1 * random.standard_normal(735).astype(np.float32) for _ in range(300)]
    times = []
    for frame in frames:
        begin = time.thread_time()
        for view in views:
            view.push(frame)
            view.repaint()
        times.append(1000 * (time.thread_time() - begin))
    print(f"\n{size}: mean {np.mean(times):.2f} ms, 95 % {np.percentile(times, 95):.2f}")
    assert np.percentile(times, 95) < 4
