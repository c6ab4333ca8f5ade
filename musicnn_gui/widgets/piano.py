"""The on-screen piano: click and glide with the mouse (lower is louder); pressed keys of every source are lit."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from engine.units import key_name
from musicnn_gui.theme import LIT_KEY

BLACK = frozenset({1, 3, 6, 8, 10})
WHITE_COLOUR, BLACK_COLOUR, EDGE = QColor(236, 238, 241), QColor(20, 21, 25), QColor(90, 95, 105)
BLACK_WIDTH, BLACK_HEIGHT = 0.62, 0.62
SOFTEST, LOUDEST = 30, 120


class PianoWidget(QWidget):
    """88 keys by default. pressed(key, velocity) and released(key) tell of the mouse."""

    pressed = Signal(int, int)
    released = Signal(int)

    def __init__(self, first: int = 21, last: int = 108, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._first, self._last = first, last
        self._whites = [key for key in range(first, last + 1) if key % 12 not in BLACK]
        self._lit: frozenset[int] = frozenset()
        self._labels: dict[int, str] = {}
        self._mouse_key: int | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumSize(520, 92)
        self.setAccessibleName("Piano keyboard")
        self.setAccessibleDescription("Click to play; click nearer to a key's lower end to play louder.")

    def sizeHint(self) -> QSize:
        """Wide and low."""
        return QSize(1040, 112)

    def set_lit(self, keys: frozenset[int]) -> None:
        """Light exactly these keys."""
        if keys != self._lit:
            self._lit = keys
            self.update()

    @property
    def lit(self) -> frozenset[int]:
        """Keys that are lit now."""
        return self._lit

    def set_labels(self, labels: dict[int, str]) -> None:
        """Write on keys, such as the typing keyboard's letters."""
        self._labels = labels
        self.update()

    def key_rect(self, key: int) -> QRectF:
        """Where a key lies."""
        width = self.width() / len(self._whites)
        if key % 12 not in BLACK:
            return QRectF(self._whites.index(key) * width, 0, width, self.height())
        left = self._whites.index(key - 1) + 1 if key - 1 >= self._first else 0
        black = width * BLACK_WIDTH
        return QRectF(left * width - black / 2, 0, black, self.height() * BLACK_HEIGHT)

    def key_at(self, point: QPointF) -> int | None:
        """The key under a point; black ones lie on top."""
        if not self.rect().contains(point.toPoint()):
            return None
        blacks = (key for key in range(self._first, self._last + 1) if key % 12 in BLACK)
        for key in blacks:
            if self.key_rect(key).contains(point):
                return key
        index = min(int(point.x() / self.width() * len(self._whites)), len(self._whites) - 1)
        return self._whites[index]

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Play the key under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._go_to(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Glide from key to key."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._go_to(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let the key go."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._leave()

    def _go_to(self, point: QPointF) -> None:
        key = self.key_at(point)
        if key == self._mouse_key:
            return
        self._leave()
        if key is not None:
            depth = point.y() / self.key_rect(key).height()
            velocity = round(SOFTEST + (LOUDEST - SOFTEST) * min(max(depth, 0.0), 1.0))
            self._mouse_key = key
            self.pressed.emit(key, velocity)

    def _leave(self) -> None:
        if self._mouse_key is not None:
            key, self._mouse_key = self._mouse_key, None
            self.released.emit(key)

    def paintEvent(self, event: QPaintEvent) -> None:
        """White keys, then black ones; every C has its name."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPointSizeF(max(6.0, min(9.0, self.width() / len(self._whites) * 0.42)))
        painter.setFont(font)
        for key in self._whites:
            self._paint_key(painter, key, WHITE_COLOUR, EDGE)
        for key in range(self._first, self._last + 1):
            if key % 12 in BLACK:
                self._paint_key(painter, key, BLACK_COLOUR, QColor(200, 205, 215))

    def _paint_key(self, painter: QPainter, key: int, colour: QColor, ink: QColor) -> None:
        rect = self.key_rect(key)
        painter.setPen(QPen(EDGE, 1))
        painter.setBrush(LIT_KEY if key in self._lit else colour)
        painter.drawRoundedRect(rect.adjusted(0.5, -4, -0.5, -1), 3, 3)
        text = self._labels.get(key, "") or (key_name(key) if key % 12 == 0 else "")
        if text:
            painter.setPen(ink)
            bottom = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignBottom
            painter.drawText(rect.adjusted(0, 0, 0, -5), bottom, text)
