"""The tracks of a score: what they are called, mute, solo, and the instrument of each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from musicnn_gui.theme import ALARM, TRACKS, WARM, small_font
from musicnn_gui.widgets.button import IconButton

MAIN = "as loaded"


class TrackList(QScrollArea):
    """mute_asked(track, on), solo_asked(track, on) and instrument_asked(track, source or None) tell of the player."""

    mute_asked = Signal(int, bool)
    solo_asked = Signal(int, bool)
    instrument_asked = Signal(int, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[TrackRow] = []
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("Tracks")
        self.set_tracks([], [])

    def set_tracks(self, titles: Sequence[str], instruments: Sequence[tuple[str, str]]) -> None:
        """Show tracks by title; each may play one of the instruments, given as (source, title), if there are any."""
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(3)
        self.rows = [TrackRow(index, title, instruments) for index, title in enumerate(titles)]
        for index, row in enumerate(self.rows):
            row.mute.toggled.connect(partial(self.mute_asked.emit, index))
            row.solo.toggled.connect(partial(self.solo_asked.emit, index))
            row.instrument.activated.connect(partial(self._choose, index))
            column.addWidget(row)
        column.addStretch(1)
        self.setWidget(body)

    def show_state(self, muted: frozenset[int], solo: frozenset[int]) -> None:
        """Press the buttons of these tracks without telling of it."""
        for index, row in enumerate(self.rows):
            for button, tracks in ((row.mute, muted), (row.solo, solo)):
                button.blockSignals(True)
                button.setChecked(index in tracks)
                button.blockSignals(False)

    def show_instrument(self, track: int, source: str | None) -> None:
        """Show which instrument plays a track."""
        combo = self.rows[track].instrument
        combo.setCurrentIndex(max(0, combo.findData(source)))

    def _choose(self, track: int, index: int) -> None:
        self.instrument_asked.emit(track, self.rows[track].instrument.itemData(index))


class TrackRow(QWidget):
    """Colour, title, M, S, instrument."""

    def __init__(self, index: int, title: str, instruments: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        name = QLabel(title)
        name.setFont(small_font(name.font()))
        name.setToolTip(title)
        name.setTextFormat(Qt.TextFormat.PlainText)
        name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.mute = _Letter("M", f"Mute {title}", ALARM)
        self.solo = _Letter("S", f"Solo {title}", WARM)
        self.instrument = QComboBox()
        self.instrument.setFont(small_font(self.instrument.font()))
        self.instrument.setStyleSheet("padding: 0 4px; min-height: 16px;")
        self.instrument.setAccessibleName(f"Instrument of {title}")
        self.instrument.setToolTip("What plays this track")
        self.instrument.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.instrument.setFixedWidth(92)
        self.instrument.addItem(MAIN, None)
        for source, text in instruments:
            self.instrument.addItem(text, source)
        self.instrument.setVisible(bool(instruments))
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(3)
        for widget in (_Stripe(TRACKS[index % len(TRACKS)]), name, self.mute, self.solo, self.instrument):
            line.addWidget(widget, 1 if widget is name else 0)


class _Letter(IconButton):
    """A small button with one letter."""

    def __init__(self, letter: str, tip: str, colour: QColor) -> None:
        super().__init__("", tip, text=letter, checkable=True, colour=colour)
        self.setFont(small_font(self.font(), bold=True))

    def sizeHint(self) -> QSize:
        """A small square."""
        return QSize(20, 20)


class _Stripe(QWidget):
    """The track's colour in the roll."""

    def __init__(self, colour: QColor) -> None:
        super().__init__()
        self._colour = colour
        self.setFixedSize(4, 18)

    def paintEvent(self, event: QPaintEvent) -> None:
        """A rounded bar."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._colour)
        painter.drawRoundedRect(QRectF(self.rect()), 2, 2)
