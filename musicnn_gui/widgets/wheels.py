"""Wheels and pedals: they show what comes in over MIDI, and can be moved with the mouse and the keys."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QAccessible, QHideEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from musicnn_gui.theme import ACCENT, EDGE, FAINT, PANEL, RADIUS, RAISED, TEXT, small_font
from musicnn_gui.widgets.accessible import Adjustable, expose, tell_value

STEP, HALF = 0.05, 0.5
LABEL = 13


class WheelWidget(QWidget):
    """A wheel from `low` to 1; one that springs goes back to 0 when it is let go. moved(value) tells of the player."""

    moved = Signal(float)

    def __init__(self, name: str, short: str, low: float, springs: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._short, self._low, self._springs = short, low, springs
        self._value, self._held = 0.0, False
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName(name)
        expose(self, Adjustable(
            QAccessible.Role.Slider, low, 1.0, STEP, lambda: self._value, lambda: f"{self._value:.0%}", self._move_to
        ))  # fmt: skip
        self.setToolTip(f"<b>{name}</b><br>Drag, or use the arrow keys{'; it springs back' if springs else ''}.")

    def sizeHint(self) -> QSize:
        """Narrow and high."""
        return QSize(26, 80)

    @property
    def value(self) -> float:
        """Where it stands."""
        return self._value

    def set_value(self, value: float) -> None:
        """Show a value, unless the player holds the wheel."""
        if not self._held and value != self._value:
            self._show(value)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the wheel."""
        self._held = True
        self._go_to(event.position().y())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move it."""
        if not event.buttons():
            self.let_go()  # the release went elsewhere
        elif self._held:
            self._go_to(event.position().y())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let it go."""
        self.let_go()

    def hideEvent(self, event: QHideEvent) -> None:
        """A wheel that goes away is not held."""
        self.let_go()
        super().hideEvent(event)

    def let_go(self) -> None:
        """The mouse holds it no longer."""
        if self._held:
            self._held = False
            if self._springs:
                self._move_to(0.0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """A step up or down, for a wheel that stays."""
        if not self._springs:
            self._move_to(self._value + STEP * event.angleDelta().y() / 120)
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and down; Delete for the middle or the low end."""
        steps = {Qt.Key.Key_Up: STEP, Qt.Key.Key_Down: -STEP}
        key = Qt.Key(event.key())
        if key in steps:
            self._move_to(self._value + steps[key])
        elif key == Qt.Key.Key_Delete:
            self._move_to(0.0)
        else:
            super().keyPressEvent(event)

    def _slot(self) -> QRectF:
        return QRectF(5, 1, self.width() - 10, self.height() - LABEL - 3)

    def _go_to(self, y: float) -> None:
        slot = self._slot()
        share = 1 - (y - slot.top()) / slot.height()
        self._move_to(self._low + (1 - self._low) * share)

    def _move_to(self, value: float) -> None:
        value = min(max(value, self._low), 1.0)
        if value != self._value:
            self._show(value)
            self.moved.emit(value)

    def _show(self, value: float) -> None:
        self._value = value
        self.setAccessibleDescription(f"{value:.0%}")
        tell_value(self)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The slot, what is between rest and value, the thumb, the name."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        slot = self._slot()
        painter.setPen(QPen(ACCENT if self.hasFocus() else EDGE, 1))
        painter.setBrush(PANEL)
        painter.drawRoundedRect(slot, RADIUS, RADIUS)
        travel = slot.height() - 8
        place = slot.bottom() - 4 - travel * (self._value - self._low) / (1 - self._low)
        rest = slot.bottom() - 4 - travel * -self._low / (1 - self._low)
        if abs(place - rest) > 1:
            painter.fillRect(QRectF(slot.left() + 2, min(place, rest), slot.width() - 4, abs(place - rest)), ACCENT)
        painter.fillRect(QRectF(slot.left() + 1, place - 2, slot.width() - 2, 4), TEXT)
        painter.setFont(small_font(self.font(), 6.5))
        painter.setPen(FAINT)
        painter.drawText(
            QRectF(-4, self.height() - LABEL, self.width() + 8, LABEL), Qt.AlignmentFlag.AlignCenter, self._short
        )


class PedalWidget(QWidget):
    """A pedal's depth as a bar; a click or Enter holds it down and lets it go. toggled(down) tells of the player."""

    toggled = Signal(bool)

    def __init__(self, name: str, short: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._short, self._depth = short, 0.0
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName(name)
        self.setToolTip(f"<b>{name}</b><br>Shows the pedal's depth; click or press Enter to hold it or let it go.")
        self.setAccessibleDescription("up")
        expose(self, Adjustable(
            QAccessible.Role.Slider, 0.0, 1.0, 1.0, lambda: self._depth, self.accessibleDescription, self._move_to
        ))  # fmt: skip

    def sizeHint(self) -> QSize:
        """A short word wide."""
        return QSize(38, 24)

    def set_depth(self, depth: float) -> None:
        """Show how far it is down, 0-1."""
        if depth != self._depth:
            self._depth = depth
            self.setAccessibleDescription(f"{depth:.0%} down" if depth else "up")
            tell_value(self)
            self.update()

    def _move_to(self, depth: float) -> None:
        if (depth >= HALF) != (self._depth > 0):
            self.toggled.emit(depth >= HALF)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Down or up."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.toggled.emit(self._depth == 0)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter: down or up."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.toggled.emit(self._depth == 0)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Filled from the left by depth."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(0.5, 1.5, -0.5, -1.5)
        painter.setPen(QPen(ACCENT if self.hasFocus() else EDGE, 1))
        painter.setBrush(RAISED if self.underMouse() else PANEL)
        painter.drawRoundedRect(frame, 4, 4)
        if self._depth > 0:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ACCENT)
            missing = (frame.width() - 2) * (1 - self._depth)
            painter.drawRoundedRect(frame.adjusted(1, frame.height() - 4, -1 - missing, -1), 2, 2)
        painter.setFont(small_font(self.font(), 7.0))
        painter.setPen(TEXT if self._depth > 0 else FAINT)
        painter.drawText(frame, Qt.AlignmentFlag.AlignCenter, self._short)
