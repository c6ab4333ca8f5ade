"""A score as bars over time: playhead, seek by click, A-B loop by drag, zoom and scroll.

The notes are drawn once into a picture of what is in view; a moving playhead repaints its own few pixels.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from engine.midi.events import Kind
from engine.midi.files import Score
from musicnn_gui.theme import ACCENT, BACKGROUND, EDGE, FAINT, PANEL, RAISED, TEXT, TRACKS, blend, small_font

RULER = 17
FIRST_SPAN, SHORTEST_SPAN = 24.0, 1.0  # seconds in view
DRAG_PIXELS = 5
STEP_SECONDS, PAGE_SECONDS = 1.0, 10.0
FOLLOW_AT = 0.85  # of the width: from there on the view turns the page
SHORTEST_LOOP = 0.05
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
BLACK = frozenset({1, 3, 6, 8, 10})


@dataclass(frozen=True, slots=True)
class RollNote:
    """A bar: seconds, MIDI key, track, velocity 1-127."""

    start: float
    end: float
    key: int
    track: int
    velocity: float


class PianoRoll(QWidget):
    """seek_asked(seconds); loop_asked((start, end) or None). Nothing moves before the setters say so."""

    seek_asked = Signal(float)
    loop_asked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._notes: list[RollNote] = []
        self._starts: list[float] = []
        self._longest = 0.0
        self._length = 0.0
        self._silent: frozenset[int] = frozenset()
        self._transpose = 0
        self._loop: tuple[float, float] | None = None
        self._position = 0.0
        self._first, self._span = 0.0, FIRST_SPAN
        self._drag: tuple[QPoint, bool] | None = None  # where it began, whether it has become a loop
        self._picture: QPixmap | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(200, 56)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAccessibleName("Piano roll")
        self.setAccessibleDescription(
            "Left and right move by a second, page keys by ten, Home and End to the ends; plus and minus zoom."
        )
        self.setToolTip(
            "Click to go there, drag for a loop, right click to end it. The wheel scrolls, with Ctrl it zooms."
        )

    def sizeHint(self) -> QSize:
        """Wide and low."""
        return QSize(800, 110)

    # --- what is shown ---

    def set_notes(self, notes: Sequence[RollNote], length: float) -> None:
        """Show a score of some seconds, from its beginning."""
        self._notes = sorted(notes, key=lambda note: note.start)
        self._starts = [note.start for note in self._notes]
        self._longest = max((note.end - note.start for note in self._notes), default=0.0)
        self._length, self._loop, self._position = length, None, 0.0
        self._first, self._span = 0.0, max(SHORTEST_SPAN, min(FIRST_SPAN, length or FIRST_SPAN))
        self._redraw()

    def set_silent(self, tracks: frozenset[int]) -> None:
        """Tracks that are not heard are drawn faint."""
        if tracks != self._silent:
            self._silent = tracks
            self._redraw()

    def set_transpose(self, semitones: int) -> None:
        """Draw notes where they sound."""
        if semitones != self._transpose:
            self._transpose = semitones
            self._redraw()

    def set_loop(self, loop: tuple[float, float] | None) -> None:
        """Show a loop in seconds."""
        if loop != self._loop:
            self._loop = loop
            self.update()

    @property
    def loop(self) -> tuple[float, float] | None:
        """As it is shown, in seconds."""
        return self._loop

    @property
    def view(self) -> tuple[float, float]:
        """First and last second in view."""
        return self._first, self._first + self._span

    def set_position(self, seconds: float) -> None:
        """Move the playhead; the view turns the page with it."""
        if seconds == self._position:
            return
        before, self._position = self._position, seconds
        if self._drag is None and not self._first <= seconds <= self._first + FOLLOW_AT * self._span:
            self._show_from(seconds - 0.1 * self._span)
        for place in (before, seconds):
            x = round(self._x(place))
            self.update(QRect(x - 5, 0, 11, self.height()))

    # --- mouse and keys ---

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click or a loop."""
        if event.button() == Qt.MouseButton.LeftButton and self._length:
            self._drag = event.position().toPoint(), False
        elif event.button() == Qt.MouseButton.RightButton and self._loop is not None:
            self.loop_asked.emit(None)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Draw a loop."""
        if self._drag is None:
            return
        begun, looping = self._drag
        here = event.position().toPoint()
        if looping or abs(here.x() - begun.x()) >= DRAG_PIXELS:
            self._drag = begun, True
            start, end = sorted((self._seconds(begun.x()), self._seconds(here.x())))
            self._loop = (start, max(end, start + SHORTEST_LOOP))
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click seeks, a drag loops."""
        if event.button() != Qt.MouseButton.LeftButton or self._drag is None:
            return
        (begun, looping), self._drag = self._drag, None
        if looping:
            self.loop_asked.emit(self._loop)
        else:
            self.seek_asked.emit(self._seconds(begun.x()))

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll, or zoom with Ctrl around the mouse."""
        delta = (event.angleDelta().y() or event.angleDelta().x()) / 120
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom(1.25**-delta, self._seconds(event.position().x()))
        else:
            self._show_from(self._first - delta * self._span / 10)
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the playhead, or zoom."""
        moves = {
            Qt.Key.Key_Left: -STEP_SECONDS, Qt.Key.Key_Right: STEP_SECONDS, Qt.Key.Key_PageUp: -PAGE_SECONDS,
            Qt.Key.Key_PageDown: PAGE_SECONDS, Qt.Key.Key_Home: -self._position,
            Qt.Key.Key_End: self._length - self._position,
        }  # fmt: skip
        key = Qt.Key(event.key())
        if key in moves:
            self.seek_asked.emit(min(max(self._position + moves[key], 0.0), self._length))
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom(1 / 1.25, self._position)
        elif key == Qt.Key.Key_Minus:
            self.zoom(1.25, self._position)
        elif key == Qt.Key.Key_Delete and self._loop is not None:
            self.loop_asked.emit(None)
        else:
            super().keyPressEvent(event)

    def zoom(self, factor: float, around: float) -> None:
        """Show `factor` times as many seconds, with one of them staying where it is."""
        span = min(max(self._span * factor, SHORTEST_SPAN), max(self._length * 1.02, SHORTEST_SPAN))
        share = (around - self._first) / self._span
        self._span = span
        self._show_from(around - share * span)

    def _show_from(self, seconds: float) -> None:
        self._first = min(max(seconds, 0.0), max(0.0, self._length * 1.02 - self._span))
        self._redraw()

    # --- drawing ---

    def _x(self, seconds: float) -> float:
        return (seconds - self._first) / self._span * self.width()

    def _seconds(self, x: float) -> float:
        return min(max(self._first + x / max(1, self.width()) * self._span, 0.0), self._length)

    def _redraw(self) -> None:
        self._picture = None
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Notes, loop, playhead."""
        ratio = self.devicePixelRatioF()
        if self._picture is None or self._picture.size() != self.size() * ratio:
            self._picture = QPixmap(self.size() * ratio)
            self._picture.setDevicePixelRatio(ratio)
            painter = QPainter(self._picture)
            painter.setFont(self.font())
            self._paint_grid(painter)
            self._paint_notes(painter)
            painter.end()
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._picture)
        if self._loop is not None:
            self._paint_loop(painter, *self._loop)
        if self._length:
            x = self._x(self._position)
            painter.setPen(QPen(TEXT, 1.2))
            painter.drawLine(QPointF(x, 2), QPointF(x, self.height()))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(TEXT)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.drawPolygon([QPointF(x - 4.5, 1), QPointF(x + 4.5, 1), QPointF(x, 8)])
        if self.hasFocus():
            painter.setPen(ACCENT)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def _keys(self) -> tuple[int, int]:
        """Lowest and highest key that is shown: two octaves at least, two semitones more than there are."""
        keys = [note.key + self._transpose for note in self._notes] or [48, 72]
        low, high = min(keys) - 2, max(keys) + 2
        missing = max(0, 24 - (high - low))
        return low - missing // 2, high + missing - missing // 2

    def _paint_grid(self, painter: QPainter) -> None:
        painter.fillRect(self.rect(), PANEL)
        low, high = self._keys()
        row = (self.height() - RULER) / (high - low + 1)
        for key in range(low, high + 1):
            if key % 12 in BLACK:
                y = self.height() - (key - low + 1) * row
                painter.fillRect(QRectF(0, y, self.width(), row), blend(PANEL, BACKGROUND, 0.55))
        painter.fillRect(QRectF(0, 0, self.width(), RULER), RAISED)
        painter.setFont(small_font(self.font(), 7.0))
        tick = next((tick for tick in TICKS if tick * self.width() / self._span >= 64), TICKS[-1])
        count = int(self._first / tick)
        while count * tick <= self._first + self._span:
            x = self._x(count * tick)
            painter.setPen(EDGE)
            painter.drawLine(QPointF(x, RULER - 5), QPointF(x, self.height()))
            painter.setPen(FAINT)
            painter.drawText(QRectF(x + 4, 0, 60, RULER), Qt.AlignmentFlag.AlignVCenter, clock(count * tick, tick))
            count += 1

    def _paint_notes(self, painter: QPainter) -> None:
        low, high = self._keys()
        row = (self.height() - RULER) / (high - low + 1)
        painter.setPen(Qt.PenStyle.NoPen)
        last = self._first + self._span
        for note in self._notes[bisect_left(self._starts, self._first - self._longest) :]:
            if note.start > last:
                break
            if note.end < self._first:
                continue
            left, right = self._x(note.start), self._x(note.end)
            y = self.height() - (note.key + self._transpose - low + 1) * row
            colour = TRACKS[note.track % len(TRACKS)]
            share = 0.8 if note.track in self._silent else 0.45 * (1 - note.velocity / 127)
            high_row = max(2.0, row - 1)
            painter.fillRect(QRectF(left, y, max(1.5, right - left - 1), high_row), blend(colour, PANEL, share))

    def _paint_loop(self, painter: QPainter, start: float, end: float) -> None:
        left, right = self._x(start), self._x(end)
        veil = QColor(BACKGROUND)
        veil.setAlpha(150)
        painter.fillRect(QRectF(0, RULER, left, self.height() - RULER), veil)
        painter.fillRect(QRectF(right, RULER, self.width() - right, self.height() - RULER), veil)
        bar = QColor(ACCENT)
        bar.setAlpha(110)
        painter.fillRect(QRectF(left, 0, right - left, RULER), bar)
        painter.setPen(QPen(ACCENT, 1))
        painter.setFont(small_font(self.font(), 7.0, bold=True))
        for x, name, flag in ((left, "A", Qt.AlignmentFlag.AlignLeft), (right, "B", Qt.AlignmentFlag.AlignRight)):
            painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
            box = QRectF(x + 3, 0, 20, RULER) if name == "A" else QRectF(x - 23, 0, 20, RULER)
            painter.drawText(box, flag | Qt.AlignmentFlag.AlignVCenter, name)


def roll_notes(score: Score) -> list[RollNote]:
    """The bars of a score: every note from its on to its off, or to the end where it has none."""
    notes: list[RollNote] = []
    open_notes: dict[tuple[int, int, int], tuple[float, int, float]] = {}
    tracks = score.track_of or (0,) * len(score.events)

    def close(place: tuple[int, int, int], end: float) -> None:
        if place in open_notes:
            start, track, velocity = open_notes.pop(place)
            notes.append(RollNote(start, end, place[1], max(0, track), velocity))

    for event, track in zip(score.events, tracks, strict=True):
        seconds, place = event.sample / score.sample_rate, (event.channel, event.number, event.voice)
        if event.kind is Kind.NOTE_ON:
            close(place, seconds)
            open_notes[place] = seconds, track, event.value
        elif event.kind is Kind.NOTE_OFF:
            close(place, seconds)
    for place in list(open_notes):
        close(place, score.seconds)
    return notes


def clock(seconds: float, tick: float = 1.0) -> str:
    """Minutes and seconds, with tenths where the ticks are finer than a second.

    >>> clock(83.0), clock(2.5, 0.5)
    ('1:23', '0:02.5')
    """
    minutes, rest = divmod(seconds + 1e-6, 60)
    return f"{int(minutes)}:{rest:04.1f}" if tick < 1 else f"{int(minutes)}:{int(rest):02d}"
