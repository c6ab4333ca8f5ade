"""Composition root: everything is made and wired here, once."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

import platformdirs
import pyqtgraph as pg
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from musicnn_gui.assets import DEMO
from musicnn_gui.session import Session
from musicnn_gui.settings import Settings, settings_path
from musicnn_gui.theme import apply_theme
from musicnn_gui.window import MainWindow

LOG_BYTES = 1_000_000
INTERRUPT_MS = 200
READY = "ready"


def log_path() -> Path:
    """The log file; it is named where something went wrong."""
    return Path(platformdirs.user_log_dir("musicnn", appauthor=False)) / "musicnn.log"


def run(file: Path | None, instrument: str | None, *, quit_when_ready: bool = False) -> int:
    """Open the window and play until it is closed; return the exit status.

    "ready" is printed when the first key can be played, with the seconds since the program's start.
    """
    _start_log()
    # Antialiased lines are not needed, and row-major pictures are not copied.
    pg.setConfigOptions(imageAxisOrder="row-major", antialias=False)
    app = QApplication(sys.argv[:1])
    app.setApplicationName("MusicNN")
    app.setDesktopFileName("musicnn")
    apply_theme(app)
    settings = Settings.load(settings_path())
    if instrument is not None:
        settings.instrument = instrument
    session = Session(settings)
    window = MainWindow(session)
    sys.excepthook = _Excepthook(window)
    window.show()

    def ready() -> None:
        sys.stdout.write(f"{READY} after {_since_start():.1f} s\n")
        sys.stdout.flush()
        if quit_when_ready:
            QTimer.singleShot(0, window.close)

    session.ready.connect(ready)
    session.start(file or DEMO)
    # A Python signal handler runs only when Python code does: the timer lets Ctrl+C through.
    signal.signal(signal.SIGINT, lambda *_: window.close())
    signal.signal(signal.SIGTERM, lambda *_: window.close())
    wake = QTimer()
    wake.timeout.connect(lambda: None)
    wake.start(INTERRUPT_MS)
    status = app.exec()
    session.close()
    session.settings.save(settings_path())
    return status


class _Excepthook:
    """What nobody expected goes to the log; the window stays open and says so."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window

    def __call__(self, kind: type[BaseException], error: BaseException, trace: object) -> None:
        logging.getLogger(__name__).error("unexpected", exc_info=error)
        self._window.messages.show_message(f"Something went wrong; {log_path()} says what.", True)


def _start_log() -> None:
    path = log_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", delay=True)
    except OSError:
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)


def _since_start() -> float:
    """Seconds since the process began, imports included; on other systems than Linux, since Python began to count."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        return time.process_time()
