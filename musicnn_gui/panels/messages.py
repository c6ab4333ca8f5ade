"""What the player is told, over the window: messages, and the hint of the first minute."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtGui import QHideEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from musicnn_gui.theme import ACCENT, ALARM, BACKGROUND, RAISED
from musicnn_gui.widgets.button import IconButton

MOST_LINES = 3
NEWS_MS = 6000
MARGIN = 12
HINT = "Press {}-{} or play your keyboard"


class MessageBar(QWidget):
    """The last problems, a sentence each, until they are dismissed; or, for some seconds, what went well."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._problems: list[str] = []
        self._news = QTimer(self)
        self._news.setSingleShot(True)
        self._news.timeout.connect(self.hide)
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setAccessibleName("Message")
        self.close_button = IconButton("close", "Dismiss message", flat=True)
        self.close_button.clicked.connect(self.hide)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(14, 5, 6, 5)
        layout.addWidget(self.label, 1)
        layout.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        window.installEventFilter(self)
        self.hide()

    def show_message(self, text: str, problem: bool) -> None:
        """Show a sentence; a problem in red."""
        colour = ALARM if problem else ACCENT
        self.setStyleSheet(
            f"MessageBar {{ background: {RAISED.name()}; border: 1px solid {colour.name()}; border-radius: 6px; }}"
        )
        if problem:
            self._problems = [*[line for line in self._problems if line != text][1 - MOST_LINES :], text]
            self.label.setText("\n".join(self._problems))
            self._news.stop()
        else:
            self._problems.clear()
            self.label.setText(text)
            self._news.start(NEWS_MS)
        self.show()
        self.raise_()
        self._place()

    def hideEvent(self, event: QHideEvent) -> None:
        """What was taken away does not come back with the next message."""
        self._problems.clear()
        super().hideEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay in the middle of the window."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return False

    def _place(self) -> None:
        wide = min(720, self._window.width() - 4 * MARGIN)
        self.resize(wide, max(self.sizeHint().height(), self.heightForWidth(wide)))
        self.move((self._window.width() - wide) // 2, 48)


class Hint(QLabel):
    """How to make the first sound; lies over another widget until a note was played."""

    def __init__(self, over: QWidget) -> None:
        super().__init__(HINT.format(*"AK"), over)
        self._over = over
        font = self.font()
        font.setPointSizeF(font.pointSizeF() + 2)
        font.setBold(True)
        self.setFont(font)
        self.setAccessibleName("Hint")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setStyleSheet(
            f"background: {ACCENT.name()}; color: {BACKGROUND.name()}; border-radius: 15px; padding: 6px 18px;"
        )
        over.installEventFilter(self)
        self._place()

    def show_keys(self, first: str, last: str) -> None:
        """Say which keys of the computer play, as they are printed."""
        self.setText(HINT.format(first, last))
        self._place()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay in the middle."""
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Show):
            self._place()
        return False

    def _place(self) -> None:
        self.adjustSize()
        self.move((self._over.width() - self.width()) // 2, self._over.height() - self.height() - 2 * MARGIN)
        self.raise_()
