"""Composition root: everything is made and wired here, once."""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from engine.faults import catch_faults
from engine.memory import rss_mb
from engine.outputs import make_private
from engine.stopping import SIGNALS
from musicnn_gui.assets import DEMO
from musicnn_gui.crash import CrashMarker, CrashReport, log_path
from musicnn_gui.panels.dialogs import crash_dialog
from musicnn_gui.presets import presets_folder
from musicnn_gui.recordings import recordings_folder
from musicnn_gui.session import Session
from musicnn_gui.settings import Settings, settings_path
from musicnn_gui.theme import apply_theme
from musicnn_gui.window import MainWindow

log = logging.getLogger(__name__)

LOG_BYTES = 1_000_000
INTERRUPT_MS = 200
METERS_MS = 500
SAVE_MS = 20_000  # between two times that the settings are written, for the case of a crash
READY = "ready"


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """How the window is opened. None leaves a choice as it was remembered; meters: where to write how it goes."""

    file: Path | None = None
    instrument: str | None = None
    block: int | None = None
    play: bool = False
    meters: Path | None = None
    quit_when_ready: bool = False


def run(options: PlayOptions) -> int:
    """Open the window and play until it is closed; return the exit status.

    "ready" is printed when the first key can be played, with the seconds since the program's start.
    """
    _start_log()
    app = QApplication(sys.argv[:1])
    app.setApplicationName("MusicNN")
    app.setDesktopFileName("musicnn")
    apply_theme(app)
    faults = catch_faults(log_path())
    for folder in (settings_path().parent, log_path().parent, recordings_folder(), presets_folder()):
        make_private(folder)
    settings, marker = Settings.load(settings_path()), CrashMarker(settings_path().parent)
    if options.instrument is not None:
        settings.instrument = options.instrument
    if options.block is not None:
        settings.block = options.block
    session = Session(settings, crashed=marker.set())
    session.start(
        options.file or session.remembered_score or DEMO
    )  # first: the engine's process loads while the window is made
    window = MainWindow(session)
    sys.excepthook = _Excepthook(window)
    window.open()

    def ready() -> None:
        sys.stdout.write(f"{READY} after {_since_start():.1f} s\n")
        sys.stdout.flush()
        if options.quit_when_ready:
            QTimer.singleShot(0, window.close)
        elif options.play:
            session.engine.play()

    session.ready.connect(ready)
    session.message.connect(lambda text, problem: log.info("said: %s", text))
    meters = _MetersFile(options.meters, session) if options.meters is not None else None
    # A Python signal handler runs only when Python code does: the timer lets Ctrl+C through.
    for number in (signal.SIGINT, *SIGNALS):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: window.close())
    wake = QTimer()
    wake.timeout.connect(lambda: None)
    wake.start(INTERRUPT_MS)
    keeping = QTimer()
    keeping.timeout.connect(lambda: _keep(session))
    keeping.start(SAVE_MS)
    status = app.exec()
    if meters is not None:
        meters.close()
    session.close()
    session.settings.save(settings_path())
    marker.clear()
    if faults is not None:
        faulthandler.disable()
        faults.close()
    return status


def _keep(session: Session) -> None:
    session.remember()
    session.settings.save(settings_path())


class _MetersFile:
    """Writes how it goes, so that another program can watch."""

    def __init__(self, path: Path, session: Session) -> None:
        self._file, self._session = path.open("w", encoding="utf-8"), session
        self._timer = QTimer()
        self._timer.timeout.connect(self._write)
        self._timer.start(METERS_MS)

    def close(self) -> None:
        self._timer.stop()
        self._file.close()

    def _write(self) -> None:
        snapshot, meters = self._session.snapshot, self._session.meters
        if snapshot is None:
            return
        row = {
            "time": time.time(), "running": meters is not None,
            "load": meters.load if meters else 0.0, "worst_load": meters.worst_load if meters else 0.0,
            "xruns": meters.xruns if meters else 0, "device_xruns": meters.device_xruns if meters else 0,
            "dropped": snapshot.dropped, "late": snapshot.late,
            "prepared": snapshot.prepared, "voices": snapshot.voices,
            "latency_ms": self._session.latency_ms,
            "playing": snapshot.playing, "score_position": snapshot.score_position,
            "midi": self._session.midi_connected,
            "rss_mb": self._session.engine.rss_mb + rss_mb(), "window_rss_mb": rss_mb(),
        }  # fmt: skip
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()


class _Excepthook:
    """What nobody expected goes to the log; the window stays open, and a dialog says where the log is."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self._said = False

    def __call__(self, kind: type[BaseException], error: BaseException, trace: object) -> None:
        logging.getLogger(__name__).error("unexpected", exc_info=error)
        if self._said:  # one dialog, though the same may happen sixty times a second
            return
        self._said = True
        dialog = crash_dialog(CrashReport.of(error), self._window)
        dialog.finished.connect(self._again)
        dialog.show()

    def _again(self) -> None:
        self._said = False


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
