"""A scrolling spectrogram: a ring of columns in one picture, drawn in two pieces, so that scrolling costs nothing.

Levels of all bins are kept beside the picture: another size, axis, range or colour map draws what was heard anew.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from engine.units import hz_to_key, key_name
from musicnn_gui.theme import ACCENT, BACKGROUND, EDGE, FAINT, TEXT, small_font
from musicnn_gui.widgets.spectrum import (
    BINS,
    HOP,
    LENGTH,
    TICKS_HZ,
    Levels,
    RowMap,
    SpectrogramOptions,
    Spectrum,
    colour_table,
    hz_at,
    level_db,
    share_of,
)

HISTORY = 2560
"""Columns that are kept, 30 s: more than a window is wide."""
LEFT, BOTTOM = 34, 15  # pixels for the frequencies and the times
TICK_PIXELS = 13.0


class SpectrogramView(QWidget):
    """Title, axes and the scrolling picture; the newest column is at the right edge, a column is a pixel wide.

    hovered(seconds ago, hz) tells where the mouse or the keyboard's cursor is, NaN and NaN where it left.
    """

    hovered = Signal(float, float)

    def __init__(
        self, title: str, sample_rate: int, gain_db: float = 0.0, *, times: bool = True, parent: QWidget | None = None
    ) -> None:
        """`times`: whether the axis of time is written under the picture."""
        super().__init__(parent)
        self._title, self._rate, self._times = title, sample_rate, times
        self._spectrum = Spectrum(gain_db)
        self._options = SpectrogramOptions()
        self._history = np.zeros((HISTORY, BINS), np.uint8)
        self._newest = 0  # place in the history after the newest column
        self._pixels = np.zeros((1, 1), np.uint32)
        self._image = QImage()
        self._next = 0  # place in the picture after the newest column
        self._map: RowMap | None = None
        self._cursor: tuple[float, float] | None = None  # seconds ago, Hz
        self.frozen = False
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(160, 60)
        self.setAccessibleName(title)
        self.setAccessibleDescription("Arrow keys move a cursor that reads time, frequency, note and level.")

    def sizeHint(self) -> QSize:
        """As large as there is room for."""
        return QSize(640, 200)

    # --- what is shown ---

    @property
    def options(self) -> SpectrogramOptions:
        """Axis, range and colours."""
        return self._options

    def set_options(self, options: SpectrogramOptions) -> None:
        """Draw all that was heard with another axis, range or colour map."""
        if options != self._options:
            self._options = options
            self._rebuild()

    def push(self, samples: NDArray[np.float32]) -> None:
        """Take samples (n,) and scroll; a frozen view lets them pass."""
        columns = self._spectrum.push(samples)
        if not len(columns) or self.frozen:
            return
        columns = columns[-HISTORY:]
        self._history[(self._newest + np.arange(len(columns))) % HISTORY] = columns
        self._newest = (self._newest + len(columns)) % HISTORY
        if self._map is not None:
            self._append(columns[-self._pixels.shape[1] :])
            self.update(self.picture)

    def _append(self, columns: Levels) -> None:
        assert self._map is not None
        options, wide = self._options, self._pixels.shape[1]
        table = colour_table(options.colours, options.floor_db, options.top_db)
        places = (self._next + np.arange(len(columns))) % wide
        self._pixels[:, places] = table[self._map.rows(columns)].T[::-1]
        self._next = (self._next + len(columns)) % wide

    def _rebuild(self) -> None:
        """Draw the history into a picture of the view's size in the screen's own pixels."""
        picture = self.picture
        wide = min(max(1, picture.width()), HISTORY)
        high = max(1, round(picture.height() * self.devicePixelRatioF()))
        self._map = RowMap(self._options.axis, high, self._rate)
        self._pixels = np.empty((high, wide), np.uint32)
        self._image = QImage(self._pixels.data, wide, high, 4 * wide, QImage.Format.Format_RGB32)
        self._next = 0
        self._append(self._history[(self._newest - wide + np.arange(wide)) % HISTORY])
        self.update()

    # --- reading ---

    @property
    def picture(self) -> QRect:
        """Where the picture lies."""
        bottom = BOTTOM if self._times else 0
        return QRect(LEFT, 0, max(1, self.width() - LEFT), max(1, self.height() - bottom))

    def set_cursor(self, seconds: float, hz: float) -> None:
        """Show a cross at a time and a frequency, such as where the mouse is in a linked view; NaN for none."""
        cursor = None if math.isnan(seconds) else (seconds, hz)
        if cursor != self._cursor:
            self._cursor = cursor
            self.update()

    def level_at(self, seconds: float, hz: float) -> float:
        """Level in dB at a time before now and a frequency: the loudest of the bins around it."""
        column = (self._newest - 1 - round(seconds * self._rate / HOP)) % HISTORY
        line = round(hz * LENGTH / self._rate)
        return level_db(float(self._history[column, max(0, line - 1) : line + 2].max()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell where the mouse is."""
        picture, point = self.picture, event.position()
        if picture.contains(point.toPoint()):
            seconds = (picture.right() - point.x()) * HOP / self._rate
            share = 1 - (point.y() - picture.top()) / picture.height()
            self.hovered.emit(max(0.0, seconds), hz_at(share, self._options.axis))
        else:
            self.hovered.emit(math.nan, math.nan)

    def leaveEvent(self, event: QEvent) -> None:
        """The mouse has left."""
        self.hovered.emit(math.nan, math.nan)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the cursor by 0.1 s or a semitone; Home goes to now, Delete takes it away."""
        seconds, hz = self._cursor or (1.0, 440.0)
        semitone = 2 ** (1 / 12)
        match event.key():
            case Qt.Key.Key_Left:
                seconds += 0.1
            case Qt.Key.Key_Right:
                seconds -= 0.1
            case Qt.Key.Key_Up:
                hz *= semitone
            case Qt.Key.Key_Down:
                hz /= semitone
            case Qt.Key.Key_Home:
                seconds = 0.0
            case Qt.Key.Key_Delete:
                self.hovered.emit(math.nan, math.nan)
                return
            case _:
                super().keyPressEvent(event)
                return
        longest = self.picture.width() * HOP / self._rate
        self.hovered.emit(min(max(seconds, 0.0), longest), min(max(hz, 30.0), 20_000.0))

    # --- drawing ---

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another size is another picture."""
        self._rebuild()
        super().resizeEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The older piece, then the newer one; axes only where they are asked for."""
        painter = QPainter(self)
        picture = self.picture
        if round(picture.height() * self.devicePixelRatioF()) != self._pixels.shape[0]:
            self._rebuild()  # moved to a screen of another scale
        if not picture.contains(event.rect()):
            painter.fillRect(self.rect(), BACKGROUND)
            self._paint_axes(painter, picture)
        wide, high = self._pixels.shape[1], self._pixels.shape[0]
        old = wide - self._next
        left = picture.right() + 1 - wide
        for place, start, count in ((left, self._next, old), (left + old, 0, self._next)):
            if count:
                painter.drawImage(QRect(place, 0, count, picture.height()), self._image, QRect(start, 0, count, high))
        self._paint_title(painter, picture)
        if self._cursor is not None:
            self._paint_cursor(painter, picture)
        if self.hasFocus():
            painter.setPen(ACCENT)
            painter.drawRect(picture.adjusted(0, 0, -1, -1))

    def _paint_title(self, painter: QPainter, picture: QRect) -> None:
        painter.setFont(small_font(self.font()))
        text = self._title + ("   frozen" if self.frozen else "")
        wide = painter.fontMetrics().horizontalAdvance(text)
        box = QRect(picture.left() + 4, 4, wide + 10, painter.fontMetrics().height() + 2)
        painter.fillRect(box, QColor(10, 11, 14, 165))
        painter.setPen(ACCENT if self.frozen else TEXT)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_axes(self, painter: QPainter, picture: QRect) -> None:
        painter.setFont(small_font(self.font(), 7.0))
        flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        last = picture.bottom() + TICK_PIXELS
        for hz in TICKS_HZ[self._options.axis]:
            y = picture.bottom() - share_of(hz, self._options.axis) * picture.height()
            if last - y < TICK_PIXELS or y < 6 or y > picture.bottom() - 4:
                continue
            last = y
            painter.setPen(EDGE)
            painter.drawLine(QPointF(LEFT - 4, y), QPointF(LEFT - 1, y))
            painter.setPen(FAINT)
            painter.drawText(QRectF(0, y - 7, LEFT - 6, 14), flags, f"{hz / 1000:g}k" if hz >= 1000 else str(hz))
        if not self._times:
            return
        per_second = self._rate / HOP
        for second in range(int(picture.width() / per_second) + 1):
            x = picture.right() - second * per_second
            painter.setPen(EDGE)
            painter.drawLine(QPointF(x, picture.bottom() + 1), QPointF(x, picture.bottom() + 4))
            if second == 0 or x - 16 < LEFT:
                continue
            painter.setPen(FAINT)
            painter.drawText(QRectF(x - 20, picture.bottom() + 3, 40, 12), Qt.AlignmentFlag.AlignCenter, f"-{second} s")

    def _paint_cursor(self, painter: QPainter, picture: QRect) -> None:
        assert self._cursor is not None
        seconds, hz = self._cursor
        x = picture.right() - seconds * self._rate / HOP
        y = picture.bottom() - share_of(hz, self._options.axis) * picture.height()
        painter.setPen(QPen(QColor(255, 255, 255, 120), 1))
        painter.drawLine(QPointF(x, picture.top()), QPointF(x, picture.bottom()))
        painter.drawLine(QPointF(picture.left(), y), QPointF(picture.right(), y))


def reading(seconds: float, hz: float) -> str:
    """Time, frequency and note in words.

    >>> reading(1.5, 442.0)
    '-1.50 s   442 Hz   A4 +8 ct'
    """
    key = hz_to_key(hz)
    nearest = round(key)
    return f"-{seconds:.2f} s   {hz:.0f} Hz   {key_name(nearest)} {100 * (key - nearest):+.0f} ct"
