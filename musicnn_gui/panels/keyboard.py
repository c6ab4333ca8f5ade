"""The piano at the bottom, the typing keyboard's octave, and a monitor of incoming MIDI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from musicnn_gui import typing_keys
from musicnn_gui.session import Session
from musicnn_gui.theme import FAINT
from musicnn_gui.widgets.piano import PianoWidget

if TYPE_CHECKING:
    from engine.reports import Snapshot


class KeyboardPanel(QWidget):
    """Plays what is clicked and typed; lights what sounds from any source."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.octave = 0
        self._typed: dict[int, int] = {}  # physical key -> MIDI key
        self.piano = PianoWidget()
        self.hint = QLabel("Type Z-M and Q-P to play, click the piano, or connect a MIDI keyboard")
        self.hint.setStyleSheet(f"color: {FAINT.name()};")
        self._octave_label = QLabel()
        self.down = self._button("-", "Typing keyboard an octave down (Ctrl+Down)", -1)
        self.up = self._button("+", "Typing keyboard an octave up (Ctrl+Up)", 1)
        line = QHBoxLayout()
        line.addWidget(self.hint, 1)
        for widget in (self._octave_label, self.down, self.up):
            line.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(line)
        layout.addWidget(self.piano)
        self.piano.pressed.connect(session.note_on)
        self.piano.released.connect(session.note_off)
        self.shift(0)

    def shift(self, octaves: int) -> None:
        """Move the typing keyboard."""
        self.let_go()
        self.octave = min(max(self.octave + octaves, typing_keys.OCTAVES[0]), typing_keys.OCTAVES[-1])
        self._octave_label.setText(f"octave {self.octave:+d}" if self.octave else "octave 0")
        self.piano.set_labels(typing_keys.labels(self.octave))

    def let_go(self) -> None:
        """Release every typed key, such as when the window loses the keyboard."""
        for key in self._typed.values():
            self._session.note_off(key)
        self._typed.clear()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Light the keys that are held."""
        self.piano.set_lit(snapshot.keys_down)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hear the typing keyboard before any widget of the window does."""
        kind = event.type()
        if kind not in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease) or not isinstance(event, QKeyEvent):
            return False
        if not isinstance(watched, QWidget) or watched.window() is not self.window():
            return False
        if QApplication.activePopupWidget() or isinstance(QApplication.focusWidget(), QLineEdit | QAbstractSpinBox):
            return False
        if kind == QEvent.Type.KeyPress:
            return self._press(event)
        return self._release(event)

    def _press(self, event: QKeyEvent) -> bool:
        if event.key() == Qt.Key.Key_Space and not isinstance(QApplication.focusWidget(), QAbstractButton):
            if not event.isAutoRepeat():
                self._session.play_or_pause()
            return True
        offset = typing_keys.offset_of(event)
        if offset is None or not typing_keys.plays(event.modifiers()):
            return False
        key = typing_keys.BASE_KEY + 12 * self.octave + offset
        if not event.isAutoRepeat() and 0 <= key <= 127 and typing_keys.identity(event) not in self._typed:
            self._typed[typing_keys.identity(event)] = key
            self._session.note_on(key, typing_keys.VELOCITY)
        return True

    def _release(self, event: QKeyEvent) -> bool:
        if event.isAutoRepeat():
            return typing_keys.offset_of(event) is not None
        key = self._typed.pop(typing_keys.identity(event), None)
        if key is None:
            return False
        self._session.note_off(key)
        return True

    def _button(self, text: str, tip: str, octaves: int) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(tip)
        button.setAccessibleName(tip.split(" (", maxsplit=1)[0])
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.clicked.connect(lambda: self.shift(octaves))
        return button
