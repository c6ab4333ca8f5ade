"""The window: panels, shortcuts, what is dropped on it, and the timer that moves everything that moves."""

from __future__ import annotations

import base64
from pathlib import Path

from PySide6.QtCore import QEvent, QTimer
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication, QMainWindow, QVBoxLayout, QWidget

from engine.description import JSON_FILE
from musicnn_gui.panels.devices import DevicesPanel, StatusLine
from musicnn_gui.panels.header import HeaderPanel, MessageBar
from musicnn_gui.panels.keyboard import KeyboardPanel
from musicnn_gui.panels.knobs import KnobsPanel
from musicnn_gui.panels.spectrograms import SpectrogramsPanel
from musicnn_gui.panels.transport import MIDI_SUFFIXES, TransportPanel
from musicnn_gui.session import Session

FRAME_MS = 33  # drawing shares the interpreter with the render worker
STATUS_FRAMES = 6


class MainWindow(QMainWindow):
    """Shows a session."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setWindowTitle("MusicNN")
        self.setMinimumSize(960, 600)
        self.resize(1240, 760)
        self.setAcceptDrops(True)
        self.header, self.messages = HeaderPanel(session), MessageBar()
        self.spectrograms, self.knobs = SpectrogramsPanel(session), KnobsPanel(session)
        self.transport, self.keyboard = TransportPanel(session), KeyboardPanel(session)
        self.devices, self.status = DevicesPanel(session), StatusLine(session)
        body = QWidget()
        layout = QVBoxLayout(body)
        layout.setContentsMargins(12, 10, 12, 8)
        layout.setSpacing(8)
        layout.addWidget(self.header)
        layout.addWidget(self.messages)
        layout.addWidget(self.spectrograms, 1)
        for panel in (self.knobs, self.transport, self.keyboard, self.devices, self.status):
            layout.addWidget(panel)
        self.setCentralWidget(body)
        self._shortcuts()
        session.message.connect(self.messages.show_message)
        session.score_changed.connect(self._show_title)
        if session.settings.geometry:
            self.restoreGeometry(base64.b64decode(session.settings.geometry))
        application = QApplication.instance()
        assert application is not None
        application.installEventFilter(self.keyboard)
        self._frames = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._advance)
        self._timer.start(FRAME_MS)

    def changeEvent(self, event: QEvent) -> None:
        """Without the keyboard's attention no release would be heard: let every typed key go."""
        if event.type() == QEvent.Type.ActivationChange and not self.isActiveWindow():
            self.keyboard.let_go()
        super().changeEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the window."""
        self._timer.stop()
        application = QApplication.instance()
        if application is not None:
            application.removeEventFilter(self.keyboard)
        geometry = base64.b64encode(self.saveGeometry().data()).decode()
        self.session.remember(geometry=geometry)
        super().closeEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files may be dropped."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open a MIDI file or an instrument's folder."""
        for url in event.mimeData().urls():
            if url.isLocalFile():
                self.open_path(Path(url.toLocalFile()))
                event.acceptProposedAction()
                return

    def open_path(self, path: Path) -> None:
        """Open a MIDI file, or load an instrument from its folder or a file in it."""
        folder = path if path.is_dir() else path.parent
        if (folder / JSON_FILE).is_file() and path.suffix.lower() not in MIDI_SUFFIXES:
            self.session.load_instrument(str(folder))
        elif path.is_dir():
            self.messages.show_message(f"{path.name} is a folder, and holds no instrument.", True)
        else:
            self.session.open_score(path)

    def _shortcuts(self) -> None:
        actions = {
            "Ctrl+O": self.transport.ask_open, "Ctrl+E": self.transport.ask_export, "Esc": self.session.panic,
            "Ctrl+Up": lambda: self.keyboard.shift(1), "Ctrl+Down": lambda: self.keyboard.shift(-1),
            "Ctrl+Q": self.close,
        }  # fmt: skip
        for keys, action in actions.items():
            QShortcut(QKeySequence(keys), self).activated.connect(action)

    def _advance(self) -> None:
        self.spectrograms.advance()
        snapshot = self.session.snapshot
        if snapshot is not None:
            self.header.show_snapshot(snapshot)
            self.transport.show_snapshot(snapshot)
            self.keyboard.show_snapshot(snapshot)
        self._frames += 1
        if self._frames % STATUS_FRAMES == 1:
            self.status.show_state(snapshot, self.session.meters)

    def _show_title(self) -> None:
        path = self.session.score_path
        self.setWindowTitle(f"{path.name} - MusicNN" if path else "MusicNN")
