"""Top of the window: instrument, level, panic; under it a line for messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QHideEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QWidget

from engine.library import instruments
from musicnn_gui.session import Session
from musicnn_gui.theme import ACCENT, ALARM, PANEL
from musicnn_gui.widgets.meter import MeterWidget

if TYPE_CHECKING:
    from engine.reports import Snapshot


class HeaderPanel(QWidget):
    """Which instrument plays, and how loud it is."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        name = QLabel("<b>MusicNN</b>")
        name.setStyleSheet(f"color: {ACCENT.name()}; font-size: 15px;")
        self.instruments = QComboBox()
        self.instruments.setAccessibleName("Instrument")
        self.instruments.setToolTip("The instrument that plays")
        self.instruments.setMinimumWidth(180)
        self.instruments.activated.connect(self._choose)
        self.busy = QLabel()
        self.busy.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.meter = MeterWidget()
        self.panic = QPushButton("Panic")
        self.panic.setToolTip("Silence everything at once (Esc)")
        self.panic.clicked.connect(session.panic)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (name, self.instruments, self.busy, self.meter, self.panic):
            layout.addWidget(widget)
        session.instrument_changed.connect(self.refresh)
        session.busy.connect(lambda what: self.busy.setText(f"{what} …" if what else ""))

    def refresh(self) -> None:
        """List the instruments anew."""
        self.instruments.clear()
        for entry in instruments():
            if entry.description is not None:
                self.instruments.addItem(entry.description["title"], entry.name)
        if self._session.instrument is not None:
            self.instruments.setCurrentIndex(self.instruments.findData(self._session.instrument.name))

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Move the meter."""
        self.meter.show_levels(snapshot.peak_left, snapshot.peak_right, snapshot.limiting)

    def _choose(self, index: int) -> None:
        self._session.load_instrument(self.instruments.itemData(index))


MOST_LINES = 3


class MessageBar(QWidget):
    """The last problems, a sentence each, or what went well; and a button that takes them away."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._problems: list[str] = []
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setAccessibleName("Message")
        close = QToolButton()
        close.setText("✕")
        close.setAccessibleName("Dismiss message")
        close.setAutoRaise(True)
        close.clicked.connect(self.hide)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(10, 2, 4, 2)
        layout.addWidget(self.label, 1)
        layout.addWidget(close)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.hide()

    def show_message(self, text: str, problem: bool) -> None:
        """Show a sentence; a problem in red."""
        colour = ALARM if problem else ACCENT
        self.setStyleSheet(f"MessageBar {{ background: {PANEL.name()}; border-left: 4px solid {colour.name()}; }}")
        if not problem:
            self._problems.clear()
        others = [line for line in self._problems if line != text]
        self._problems = [*others[1 - MOST_LINES :], text]
        self.label.setText("\n".join(self._problems))
        if not problem:
            self._problems.clear()
        self.show()

    def hideEvent(self, event: QHideEvent) -> None:
        """What was taken away does not come back with the next message."""
        self._problems.clear()
        super().hideEvent(event)
