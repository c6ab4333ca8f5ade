"""The window: panels, shortcuts, what is dropped on it, and the timer that moves everything that moves."""

from __future__ import annotations

import base64
import binascii
import time
from collections import deque
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from PySide6.QtCore import QByteArray, QSize, Qt, QTimer, QUrl
from PySide6.QtGui import (
    QAction,
    QCloseEvent,
    QDesktopServices,
    QDragEnterEvent,
    QDropEvent,
    QKeySequence,
    QScreen,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QMainWindow,
    QMenu,
    QScrollArea,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from engine.audio.files import READABLE
from engine.description import JSON_FILE
from musicnn_gui.crash import log_path
from musicnn_gui.keys import ACTIONS, key_groups
from musicnn_gui.panels.devices import DevicesPanel, StatusLine
from musicnn_gui.panels.dialogs import TextDialog, about_html, keys_html
from musicnn_gui.panels.header import HeaderPanel, popup_under
from musicnn_gui.panels.keyboard import KeyboardPanel
from musicnn_gui.panels.knobs import KnobsPanel
from musicnn_gui.panels.messages import Hint, MessageBar
from musicnn_gui.panels.morph import MorphPanel
from musicnn_gui.panels.spectrograms import SpectrogramsPanel
from musicnn_gui.panels.transport import MIDI_SUFFIXES, TransportPanel
from musicnn_gui.screens import first_size, keep_on_screen
from musicnn_gui.session import Session
from musicnn_gui.theme import SPACE

FRAME_MS = 16
STATUS_SECONDS = 0.2
FRAMES_KEPT = 3600
FIRST = QSize(1280, 800)
SMALLEST = QSize(880, 430)
"""Room that all panels need to be seen at once. A smaller window scrolls."""
LEAST = QSize(480, 320)
PRESET_SUFFIX = ".json"


class MainWindow(QMainWindow):
    """Shows a session."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setWindowTitle("MusicNN")
        self.setMinimumSize(LEAST)
        self.resize(first_size(FIRST, SMALLEST, self.screen().availableGeometry()))
        self.setAcceptDrops(True)
        self.header = HeaderPanel(session)
        self.spectrograms, self.knobs, self.morph = SpectrogramsPanel(session), KnobsPanel(session), MorphPanel(session)
        self.transport, self.keyboard = TransportPanel(session), KeyboardPanel(session)
        self.devices, self.status = DevicesPanel(session), StatusLine(session)
        self._lay_out()
        self.messages, self.hint = MessageBar(self), Hint(self.spectrograms.output)
        self.actions_by_name = self._actions()
        self.header.menu_button.clicked.connect(self.show_menu)
        self.keyboard.legends.changed.connect(self._show_legends)
        self._show_legends()
        session.message.connect(self.messages.show_message)
        session.score_changed.connect(self._show_title)
        self._restore()
        application = QApplication.instance()
        assert application is not None
        application.installEventFilter(self.keyboard)
        self.frame_times: deque[float] = deque(maxlen=FRAMES_KEPT)
        """Moments of the last frames, in seconds of `time.perf_counter`."""
        self._status_at = 0.0
        self._watches_screens = False
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._advance)
        self._timer.start(FRAME_MS)

    def _lay_out(self) -> None:
        upper = QSplitter(Qt.Orientation.Horizontal)
        controls = QWidget()
        line = QHBoxLayout(controls)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(SPACE)
        line.addWidget(self.knobs, 5)
        line.addWidget(self.morph, 2)
        upper.addWidget(self.spectrograms)
        upper.addWidget(controls)
        lower = QSplitter(Qt.Orientation.Vertical)
        for widget, stretch in ((upper, 5), (self.transport, 2), (self.keyboard, 1)):
            lower.addWidget(widget)
            lower.setStretchFactor(lower.count() - 1, stretch)
        self.splitters = {"upper": upper, "lower": lower}
        for splitter in self.splitters.values():
            splitter.setChildrenCollapsible(False)
            splitter.setHandleWidth(SPACE)
        upper.setSizes([520, 480])
        lower.setSizes([430, 170, 100])
        bottom = QHBoxLayout()
        bottom.addWidget(self.devices)
        bottom.addWidget(self.status, 1)
        body = QWidget()
        body.setFocusPolicy(Qt.FocusPolicy.ClickFocus)  # a click beside the controls gives the keys back to the music
        layout = QVBoxLayout(body)
        layout.setContentsMargins(SPACE + 2, SPACE, SPACE + 2, SPACE - 2)
        layout.setSpacing(SPACE)
        layout.addWidget(self.header)
        layout.addWidget(lower, 1)
        layout.addLayout(bottom)
        body.setMinimumSize(SMALLEST)
        scroll = QScrollArea()
        scroll.setWidget(body)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setCentralWidget(scroll)
        body.setFocus()

    def open(self) -> None:
        """Show the window where the screen has room for it; one that is too small for all panels is filled."""
        room = self.screen().availableGeometry().size()
        if room.width() < SMALLEST.width() or room.height() < SMALLEST.height():
            self.showMaximized()
        else:
            self.show()

    # --- events of the window ---

    def showEvent(self, event: QShowEvent) -> None:
        """Stay on the screen: the one that there is now, another one, and one that changes its size."""
        super().showEvent(event)
        QTimer.singleShot(0, self, lambda: keep_on_screen(self, SMALLEST))
        handle = self.windowHandle()
        if handle is not None and not self._watches_screens:
            self._watches_screens = True
            handle.screenChanged.connect(self._watch_screen)
            self._watch_screen(handle.screen())

    def _watch_screen(self, screen: QScreen) -> None:
        """The window has come to a screen. It is not moved, because the player may be dragging it."""
        keep_on_screen(self, SMALLEST, move=False)
        screen.availableGeometryChanged.connect(self._screen_changed, Qt.ConnectionType.UniqueConnection)

    def _screen_changed(self) -> None:
        keep_on_screen(self, SMALLEST)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the window."""
        self._timer.stop()
        self.keyboard.let_go()
        application = QApplication.instance()
        if application is not None:
            application.removeEventFilter(self.keyboard)
        self.session.remember(geometry=_packed(self.saveGeometry()), view=self._view())
        super().closeEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files may be dropped."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open a MIDI file, a preset or an instrument's folder."""
        for url in event.mimeData().urls():
            if url.isLocalFile():
                self.open_path(Path(url.toLocalFile()))
                event.acceptProposedAction()
                return

    def open_path(self, path: Path) -> None:
        """Open a MIDI file or a preset, load an instrument from its folder or a file in it, or start from a sound."""
        folder = path if path.is_dir() else path.parent
        if (folder / JSON_FILE).is_file() and path.suffix.lower() not in MIDI_SUFFIXES:
            self.session.load_instrument(str(folder))
        elif path.is_dir():
            self.messages.show_message(f"{path.name} is a folder, and holds no instrument.", True)
        elif path.suffix.lower() == PRESET_SUFFIX:
            self.session.open_preset(path)
        elif path.suffix.lower() in READABLE:
            self.session.listen(path)
        else:
            self.session.open_score(path)

    def ask_listen(self) -> None:
        """Let the player choose a sound for the instrument to start from."""
        title, kinds = "Start from a sound file", " ".join(f"*{suffix}" for suffix in READABLE)
        name, _ = QFileDialog.getOpenFileName(self, title, self.session.settings.folder, f"Sounds ({kinds})")
        if name:
            self.session.listen(Path(name))

    # --- actions ---

    def _actions(self) -> dict[str, QAction]:
        """Everything that has a shortcut: in the menu, and in the table of keys."""
        session, header, transport, spectrograms = self.session, self.header, self.transport, self.spectrograms
        work: dict[str, Callable[[], object]] = {
            "open": transport.ask_open, "listen": self.ask_listen, "export": transport.ask_export,
            "record": header.toggle_recording,
            "save take": header.ask_save_take,
            "loop": transport.mark_loop, "panic": session.panic, "mute": header.toggle_mute,
            "undo": session.undo, "redo": session.redo, "side": session.switch_side, "copy": session.copy_to_other_side,
            "instruments": header.instruments.open, "presets": header.presets.open, "save": header.ask_save,
            "next instrument": lambda: session.step_instrument(1),
            "previous instrument": lambda: session.step_instrument(-1),
            "next preset": lambda: session.step_preset(1), "previous preset": lambda: session.step_preset(-1),
            "octave up": lambda: self.keyboard.shift(1), "octave down": lambda: self.keyboard.shift(-1),
            "freeze": spectrograms.freeze.toggle, "picture": spectrograms.ask_save,
            "forget": session.clear_mapping, "keys": self.show_keys, "about": self.show_about, "log": _show_log,
            "menu": self.show_menu, "quit": self.close,
        }  # fmt: skip
        actions = {}
        for row in ACTIONS:
            action = QAction(row.text, self)
            if row.keys:
                action.setShortcut(QKeySequence(row.keys))
            action.triggered.connect(lambda _=False, run=work[row.name]: run())
            self.addAction(action)
            actions[row.name] = action
        return actions

    def show_menu(self) -> None:
        """Everything that can be done, by group."""
        menu = QMenu(self)
        group = ACTIONS[0].group
        for row in ACTIONS:
            if row.group != group:
                menu.addSeparator()
                group = row.group
            menu.addAction(self.actions_by_name[row.name])
        self.actions_by_name["undo"].setEnabled(self.session.can_undo)
        self.actions_by_name["redo"].setEnabled(self.session.can_redo)
        menu.aboutToHide.connect(self._allow_all)
        popup_under(menu, self.header.menu_button)

    def _allow_all(self) -> None:
        for action in self.actions_by_name.values():
            action.setEnabled(True)

    def show_keys(self) -> None:
        """Which key does what."""
        TextDialog("Keys", keys_html(key_groups(self.keyboard.legends.of)), self).show()

    def show_about(self) -> None:
        """What this is, and under which licences."""
        try:
            number = version("musicnn")
        except PackageNotFoundError:
            number = ""
        TextDialog("About MusicNN", about_html(number), self).show()

    # --- moving ---

    def _advance(self) -> None:
        now = time.perf_counter()
        self.frame_times.append(now)
        self.spectrograms.advance()
        snapshot = self.session.snapshot
        if snapshot is not None:
            self.header.show_snapshot(snapshot)
            self.transport.show_snapshot(snapshot)
            self.keyboard.show_snapshot(snapshot)
            if self.hint.isVisible() and snapshot.keys_down and not snapshot.playing:
                self.hint.hide()
        if now - self._status_at > STATUS_SECONDS:
            self._status_at = now
            self.header.show_state()
            self.status.show_state(snapshot, self.session.meters)

    def _show_legends(self) -> None:
        self.hint.show_keys(*self.keyboard.legends.of("AK"))

    def _show_title(self) -> None:
        path = self.session.score_path
        self.setWindowTitle(f"{path.name} - MusicNN" if path else "MusicNN")

    # --- what is remembered of the window ---

    def _view(self) -> dict[str, object]:
        options = self.spectrograms.options
        return {
            **{name: _packed(splitter.saveState()) for name, splitter in self.splitters.items()},
            "axis": options.axis, "colours": options.colours, "floor_db": options.floor_db, "top_db": options.top_db,
            "morph": self.morph.remembered(), **self.keyboard.remembered(), "hinted": not self.hint.isVisibleTo(self),
        }  # fmt: skip

    def _restore(self) -> None:
        """As it was; what is damaged stays as it is."""
        settings = self.session.settings
        if settings.geometry:
            self.restoreGeometry(_unpacked(settings.geometry))
        view = settings.view
        for name, splitter in self.splitters.items():
            if isinstance(view.get(name), str):
                splitter.restoreState(_unpacked(view[name]))
        self.spectrograms.restore(view)
        self.morph.restore(view.get("morph"))
        self.keyboard.restore(view)
        self.hint.setHidden(view.get("hinted") is True)


def _packed(state: QByteArray) -> str:
    return base64.b64encode(state.data()).decode()


def _unpacked(text: str) -> QByteArray:
    try:
        return QByteArray(base64.b64decode(text))
    except (binascii.Error, ValueError):
        return QByteArray()


def _show_log() -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(log_path())))
