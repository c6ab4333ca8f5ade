"""A knob: drag it vertically, Shift for fine, wheel, double click for the default, arrow keys, Home, End, Delete."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from engine.knobs import Knob
from musicnn_gui.theme import ACCENT, FAINT, RAISED, TEXT

TURN_PIXELS = 200.0  # of dragging from one end to the other
FINE = 0.1
STEP, PAGE = 0.01, 0.1
START_ANGLE, SPAN = 225.0, 270.0  # degrees, clockwise from the low end


class KnobWidget(QWidget):
    """Shows and changes one value.

    turned(value) is emitted where the player moves it, not where `set_value` does.
    """

    turned = Signal(float)

    def __init__(self, knob: Knob, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.knob = knob
        self._value = knob.default
        self._drag: tuple[float, float] | None = None  # height of the mouse, position at the last move
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(knob.title)
        self.setToolTip(f"<b>{knob.title}</b><br>{knob.help}<br>{knob.text(knob.low)} to {knob.text(knob.high)}")
        self._describe()

    @property
    def value(self) -> float:
        """In the knob's unit."""
        return self._value

    def set_value(self, value: float) -> None:
        """Show a value without telling of it."""
        self._value = self.knob.clip(value)
        self._describe()
        self.update()

    def sizeHint(self) -> QSize:
        """As wide as its title."""
        return QSize(max(72, self.fontMetrics().horizontalAdvance(self.knob.title) + 12), 84)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to drag."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._drag = event.position().y(), self.knob.to_position(self._value)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag: up is more."""
        if self._drag is None:
            return
        before, position = self._drag
        speed = FINE if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1.0
        position += (before - event.position().y()) / TURN_PIXELS * speed
        position = min(max(position, 0.0), 1.0)
        self._drag = event.position().y(), position
        self._move_to(self.knob.to_value(position))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End dragging."""
        self._drag = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Back to the default."""
        self._move_to(self.knob.default)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """A hundredth of the way for each step, a tenth of that with Shift."""
        fine = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        delta = event.angleDelta().y() or event.angleDelta().x()  # with Alt or Shift some systems turn the wheel
        self._step(delta / 120 * STEP * (FINE if fine else 1))
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows, page keys, Home, End; Delete for the default."""
        steps = {
            Qt.Key.Key_Up: STEP, Qt.Key.Key_Right: STEP, Qt.Key.Key_Down: -STEP, Qt.Key.Key_Left: -STEP,
            Qt.Key.Key_PageUp: PAGE, Qt.Key.Key_PageDown: -PAGE,
        }  # fmt: skip
        places = {
            Qt.Key.Key_Home: self.knob.low, Qt.Key.Key_End: self.knob.high, Qt.Key.Key_Delete: self.knob.default,
        }  # fmt: skip
        key = Qt.Key(event.key())
        if key in steps:
            fine = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self._step(steps[key] * (FINE if fine else 1))
        elif key in places:
            self._move_to(places[key])
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """An arc from the default to the value, the value below, the title under it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        side = 42.0
        circle = QRectF((self.width() - side) / 2, 4, side, side)
        position = self.knob.to_position(self._value)
        origin = self.knob.to_position(self.knob.default)
        painter.setPen(_round_pen(RAISED, 5))
        painter.drawArc(circle, round((START_ANGLE - SPAN) * 16), round(SPAN * 16))
        painter.setPen(_round_pen(ACCENT, 5))
        painter.drawArc(circle, round((START_ANGLE - SPAN * origin) * 16), round(-SPAN * (position - origin) * 16))
        painter.save()
        painter.translate(circle.center())
        painter.rotate(SPAN * position - 135)
        painter.setPen(_round_pen(TEXT, 2.5))
        painter.drawLine(QPointF(0, -side * 0.16), QPointF(0, -side * 0.34))
        painter.restore()
        rows = QRectF(0, side + 6, self.width(), self.height() - side - 6)
        painter.setPen(TEXT)
        top = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop
        painter.drawText(rows, top, self.knob.text(self._value))
        painter.setPen(ACCENT if self.hasFocus() else FAINT)
        bottom = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignBottom
        painter.drawText(rows, bottom, self.knob.title)

    def _step(self, change: float) -> None:
        self._move_to(self.knob.to_value(self.knob.to_position(self._value) + change))

    def _move_to(self, value: float) -> None:
        value = self.knob.clip(value)
        if value != self._value:
            self.set_value(value)
            self.turned.emit(value)

    def _describe(self) -> None:
        self.setAccessibleDescription(self.knob.text(self._value))


def _round_pen(colour: QColor, width: float) -> QPen:
    pen = QPen(colour, width)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    return pen
