"""A pad between four corners: where the point is says how much of each corner there is."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QAccessible,
    QColor,
    QHideEvent,
    QKeyEvent,
    QLinearGradient,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from musicnn_gui.theme import ACCENT, EDGE, PANEL, RADIUS, TEXT, blend
from musicnn_gui.widgets.accessible import Adjustable, expose, tell_value

STEP = 0.02
FINE = 0.1
POINT = 7.0
MARGIN = 10.0
HIGHEST = 1.15  # times the width
_MOVES = {
    Qt.Key.Key_Left: (-STEP, 0.0), Qt.Key.Key_Right: (STEP, 0.0), Qt.Key.Key_Up: (0.0, -STEP),
    Qt.Key.Key_Down: (0.0, STEP),
}  # fmt: skip


class XYPad(QWidget):
    """moved(x, y) is emitted where the player moves the point, 0-1 from the left and from the top.

    What belongs together, such as one drag, lies between gesture_began and gesture_ended.
    """

    moved = Signal(float, float)
    gesture_began = Signal()
    gesture_ended = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._place = (0.5, 0.5)
        self._corners = ("", "", "", "")
        self._dragging = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setMinimumSize(110, 80)
        self.setAccessibleName("Morph pad")
        self.setToolTip("<b>Morph pad</b><br>Drag the point between four presets; arrow keys move it, Home centres it.")
        self._describe()
        expose(self, Adjustable(
            QAccessible.Role.Slider, 0.0, 1.0, STEP, lambda: self._place[0], self.accessibleDescription,
            lambda x: self._step_to(x, self._place[1]),
        ))  # fmt: skip

    def sizeHint(self) -> QSize:
        """A square."""
        return QSize(170, 170)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Not much higher than wide."""
        self.setMaximumHeight(round(self.width() * HIGHEST))
        super().resizeEvent(event)

    @property
    def place(self) -> tuple[float, float]:
        """From the left and from the top, 0-1."""
        return self._place

    def set_place(self, x: float, y: float) -> None:
        """Show the point somewhere without telling of it."""
        self._place = min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)
        self._describe()
        tell_value(self)
        self.update()

    def set_corners(self, names: tuple[str, str, str, str]) -> None:
        """Names at the upper left, upper right, lower left and lower right corner."""
        self._corners = names
        self._describe()
        self.update()

    @property
    def weights(self) -> tuple[float, float, float, float]:
        """How much of each corner there is, in the order of `set_corners`; their sum is 1."""
        x, y = self._place
        return (1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the point."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._dragging = True
            self.gesture_began.emit()
            self._go_to(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move it."""
        if not event.buttons():
            self._let_go()  # the release went elsewhere
        elif self._dragging:
            self._go_to(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let it go."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._let_go()

    def hideEvent(self, event: QHideEvent) -> None:
        """A pad that goes away is not held."""
        self._let_go()
        super().hideEvent(event)

    def _let_go(self) -> None:
        if self._dragging:
            self._dragging = False
            self.gesture_ended.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the point, fine with Shift; Home centres it."""
        key = Qt.Key(event.key())
        if key in _MOVES:
            speed = FINE if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1.0
            self._step_to(self._place[0] + speed * _MOVES[key][0], self._place[1] + speed * _MOVES[key][1])
        elif key == Qt.Key.Key_Home:
            self._step_to(0.5, 0.5)
        else:
            super().keyPressEvent(event)

    def _field(self) -> QRectF:
        return QRectF(self.rect()).adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)

    def _go_to(self, point: QPointF) -> None:
        field = self._field()
        self._move_to((point.x() - field.left()) / field.width(), (point.y() - field.top()) / field.height())

    def _step_to(self, x: float, y: float) -> None:
        self.gesture_began.emit()
        self._move_to(x, y)
        self.gesture_ended.emit()

    def _move_to(self, x: float, y: float) -> None:
        before = self._place
        self.set_place(x, y)
        if self._place != before:
            self.moved.emit(*self._place)

    def _describe(self) -> None:
        shares = zip(self._corners, self.weights, strict=True)
        self.setAccessibleDescription(", ".join(f"{name} {share:.0%}" for name, share in shares if name))

    def paintEvent(self, event: QPaintEvent) -> None:
        """A field, a cross, the point."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        shade = QLinearGradient(frame.topLeft(), frame.bottomRight())
        shade.setColorAt(0, blend(PANEL, ACCENT, 0.10))
        shade.setColorAt(1, PANEL)
        painter.setPen(QPen(ACCENT if self.hasFocus() else EDGE, 1))
        painter.setBrush(shade)
        painter.drawRoundedRect(frame, RADIUS, RADIUS)
        field = self._field()
        painter.setPen(QPen(EDGE, 1, Qt.PenStyle.DotLine))
        for share in (0.25, 0.5, 0.75):
            x, y = field.left() + share * field.width(), field.top() + share * field.height()
            painter.drawLine(QPointF(x, field.top()), QPointF(x, field.bottom()))
            painter.drawLine(QPointF(field.left(), y), QPointF(field.right(), y))
        point = QPointF(field.left() + self._place[0] * field.width(), field.top() + self._place[1] * field.height())
        painter.setPen(QPen(QColor(ACCENT.red(), ACCENT.green(), ACCENT.blue(), 90), 1))
        painter.drawLine(QPointF(point.x(), frame.top()), QPointF(point.x(), frame.bottom()))
        painter.drawLine(QPointF(frame.left(), point.y()), QPointF(frame.right(), point.y()))
        painter.setPen(QPen(TEXT, 2))
        painter.setBrush(ACCENT if self.isEnabled() else EDGE)
        painter.drawEllipse(point, POINT, POINT)
