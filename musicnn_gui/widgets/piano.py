"""The on-screen piano: click and glide with the mouse (lower is louder); pressed keys of every source are lit."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHideEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from engine.units import key_name
from musicnn_gui.held_keys import HeldKeys
from musicnn_gui.theme import ACCENT, BACKGROUND, LIT_KEY, blend, small_font

BLACK = frozenset({1, 3, 6, 8, 10})
WHITE_COLOUR, BLACK_COLOUR, EDGE = QColor(232, 234, 238), QColor(26, 28, 33), QColor(110, 116, 128)
WHITE_INK, BLACK_INK = QColor(84, 90, 102), QColor(196, 201, 211)
OUTSIDE = 0.55
"""How much of the background keys show that the instrument does not have."""
BLACK_WIDTH, BLACK_HEIGHT = 0.62, 0.62
SOFTEST, LOUDEST = 30, 120
NAME_HEIGHT = 12
FIRST, LAST = 21, 108
MOUSE, ENTER = "mouse", "enter"
ENTER_KEYS = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class PianoWidget(QWidget):
    """88 keys, or those of `set_span`.

    pressed(key, velocity) and released(key) tell of the mouse, and of Enter on the chosen key.
    """

    pressed = Signal(int, int)
    released = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._first, self._last = FIRST, LAST
        self._whites = [key for key in range(FIRST, LAST + 1) if key % 12 not in BLACK]
        self._lit: frozenset[int] = frozenset()
        self._labels: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._playable = range(128)
        self._held = HeldKeys(self.pressed.emit, self.released.emit)
        self._chosen = 60
        self._resting: QPixmap | None = None
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(480, 64)
        self.setMaximumHeight(150)
        self.setAccessibleName("Piano keyboard")
        self.setAccessibleDescription(
            "Click to play; nearer to a key's lower end is louder. Left and right choose a key, Enter plays it."
        )

    def sizeHint(self) -> QSize:
        """Wide and low."""
        return QSize(1040, 96)

    # --- what is shown ---

    def set_lit(self, keys: frozenset[int]) -> None:
        """Light exactly these keys."""
        if keys != self._lit:
            self._lit = keys
            self.update()

    @property
    def lit(self) -> frozenset[int]:
        """Keys that are lit now."""
        return self._lit

    def set_labels(self, labels: Mapping[int, str]) -> None:
        """Write on keys' ends, such as the typing keyboard's letters."""
        self._labels = dict(labels)
        self._changed()

    def set_names(self, names: Mapping[int, str]) -> None:
        """Write along keys what they sound, such as the pads of a drum kit."""
        self._names = dict(names)
        self._changed()

    @property
    def names(self) -> dict[int, str]:
        """What is written along keys."""
        return dict(self._names)

    def set_playable(self, keys: range) -> None:
        """Keys that the instrument has; the others are darker."""
        self._playable = keys
        self._changed()

    def set_span(self, first: int = FIRST, last: int = LAST) -> None:
        """Show these keys; both ends have to be white."""
        self.let_go()
        self._first, self._last = first, last
        self._whites = [key for key in range(first, last + 1) if key % 12 not in BLACK]
        self._chosen = min(max(self._chosen, first), last)
        self._changed()

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
        for key in self._blacks():
            if self.key_rect(key).contains(point):
                return key
        index = min(int(point.x() / self.width() * len(self._whites)), len(self._whites) - 1)
        return self._whites[index]

    # --- mouse and keys ---

    def let_go(self, *sources: str) -> None:
        """Release what these sources hold, or everything."""
        for source in sources or (MOUSE, ENTER):
            self._held.release(source)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Play the key under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.let_go(MOUSE)
            self._go_to(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Glide from key to key."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._go_to(event.position())
        else:
            self.let_go(MOUSE)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let the key go."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.let_go(MOUSE)

    def hideEvent(self, event: QHideEvent) -> None:
        """What is not seen holds no key."""
        self.let_go()
        super().hideEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Nor does what is disabled."""
        if event.type() == QEvent.Type.EnabledChange and not self.isEnabled():
            self.let_go()
        super().changeEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Choose a key and play it."""
        moves = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Down: -12, Qt.Key.Key_Up: 12}
        key = Qt.Key(event.key())
        if key in moves:
            self.let_go(ENTER)
            self._chosen = min(max(self._chosen + moves[key], self._first), self._last)
            self.update()
        elif key in ENTER_KEYS:
            if not event.isAutoRepeat():
                self._held.press(ENTER, self._chosen, (SOFTEST + LOUDEST) // 2)
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """Let the key go."""
        if event.key() in ENTER_KEYS and not event.isAutoRepeat():
            self.let_go(ENTER)
        super().keyReleaseEvent(event)

    def _go_to(self, point: QPointF) -> None:
        key = self.key_at(point)
        if key is None:
            self.let_go(MOUSE)
        elif key != self._held.key_of(MOUSE):
            depth = point.y() / self.key_rect(key).height()
            self._held.press(MOUSE, key, round(SOFTEST + (LOUDEST - SOFTEST) * min(max(depth, 0.0), 1.0)))

    # --- drawing ---

    def _blacks(self) -> list[int]:
        return [key for key in range(self._first, self._last + 1) if key % 12 in BLACK]

    def _changed(self) -> None:
        self._resting = None
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The resting keyboard from a picture; lit keys, and the black ones that lie on them, over it."""
        ratio = self.devicePixelRatioF()
        if self._resting is None or self._resting.size() != self.size() * ratio:
            self._resting = QPixmap(self.size() * ratio)
            self._resting.setDevicePixelRatio(ratio)
            self._resting.fill(BACKGROUND)
            resting = QPainter(self._resting)
            self._paint_keys(resting, [*self._whites, *self._blacks()])
            resting.end()
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._resting)
        whites = [key for key in self._whites if key in self._lit]
        near = {key + step for key in whites for step in (-1, 1)} | self._lit
        self._paint_keys(painter, [*whites, *(key for key in self._blacks() if key in near)])
        if self.hasFocus():
            painter.setPen(QPen(ACCENT, 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(self.key_rect(self._chosen).adjusted(1, 1, -1, -1), 3, 3)

    def _paint_keys(self, painter: QPainter, keys: list[int]) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(small_font(self.font(), max(6.0, min(8.5, self.width() / len(self._whites) * 0.4))))
        for key in keys:
            self._paint_key(painter, key)

    def _paint_key(self, painter: QPainter, key: int) -> None:
        black = key % 12 in BLACK
        rect = self.key_rect(key)
        colour = BLACK_COLOUR if black else WHITE_COLOUR
        if key not in self._playable:
            colour = blend(colour, BACKGROUND, OUTSIDE)
        painter.setPen(QPen(BACKGROUND if black else EDGE, 1))
        painter.setBrush(LIT_KEY if key in self._lit else colour)
        painter.drawRoundedRect(rect.adjusted(0.5, -4, -0.5, -1), 3, 3)
        painter.setPen(BACKGROUND if key in self._lit else BLACK_INK if black else WHITE_INK)
        text = self._labels.get(key, "") or (key_name(key) if key % 12 == 0 else "")
        if key in self._names:
            self._paint_name(painter, rect.adjusted(0, 2, 0, -18 if text else -5), self._names[key])
        if text:
            bottom = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignBottom
            painter.drawText(rect.adjusted(-4, 0, 4, -4), bottom, text)

    @staticmethod
    def _paint_name(painter: QPainter, rect: QRectF, name: str) -> None:
        """Along the key, read from below."""
        painter.save()
        painter.translate(rect.center().x() + NAME_HEIGHT / 2, rect.bottom())
        painter.rotate(-90)
        room = round(rect.height())
        text = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, room)
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(0, -NAME_HEIGHT, room, NAME_HEIGHT), flags, text)
        painter.restore()
