"""A knob: drag it vertically, Shift for fine, wheel, double click for the default, a menu, typed values, keys."""

from __future__ import annotations

from contextlib import suppress

from PySide6.QtCore import QEvent, QLocale, QPoint, QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAccessible,
    QColor,
    QContextMenuEvent,
    QDoubleValidator,
    QFocusEvent,
    QHideEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QLabel, QLineEdit, QMenu, QSizePolicy, QWidget

from engine.knobs import Knob
from musicnn_gui.theme import ACCENT, DISABLED, EDGE, FAINT, PANEL, TEXT, WARM, blend, small_font
from musicnn_gui.widgets.accessible import Adjustable, expose, tell_value
from musicnn_gui.widgets.icons import draw_icon

TURN_PIXELS = 200.0  # of dragging from one end to the other
FINE = 0.1
STEP, PAGE = 0.01, 0.1
START_ANGLE, SPAN = 225.0, 270.0  # degrees, clockwise from the low end
WIDTH, HEIGHT, DIAL = 62, 76, 40.0
COMPACT, EDITOR_WIDTH = 32, 56
BUBBLE_MS = 900
_STEPS = {
    Qt.Key.Key_Up: STEP, Qt.Key.Key_Right: STEP, Qt.Key.Key_Down: -STEP, Qt.Key.Key_Left: -STEP,
    Qt.Key.Key_PageUp: PAGE, Qt.Key.Key_PageDown: -PAGE,
}  # fmt: skip


class KnobWidget(QWidget):
    """Shows and changes one value.

    turned(value) is emitted where the player moves it, not where `set_value` does. What belongs together, such as one
    drag, lies between gesture_began and gesture_ended. The other signals are wishes: nothing is locked, learned or
    forgotten before `set_locked`, `set_learning` and `set_controller` say so.
    """

    turned = Signal(float)
    gesture_began = Signal()
    gesture_ended = Signal()
    lock_asked = Signal(bool)
    learn_asked = Signal(bool)
    forget_asked = Signal()

    def __init__(self, knob: Knob, *, compact: bool = False, parent: QWidget | None = None) -> None:
        """A compact one is a small dial without words; its bubble tells the value."""
        super().__init__(parent)
        self.knob, self._compact = knob, compact
        self._value = knob.default
        self._locked = self._learning = False
        self._controller: int | None = None
        self._drag: tuple[float, float] | None = None  # height of the mouse, position at the last move
        self._editor: _Editor | None = None
        self._bubble = ValueBubble(self)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self._describe()
        self._expose()

    # --- what is shown ---

    @property
    def value(self) -> float:
        """In the knob's unit."""
        return self._value

    @property
    def locked(self) -> bool:
        """Whether the lock is shown."""
        return self._locked

    def set_value(self, value: float) -> None:
        """Show a value without telling of it."""
        value = self.knob.clip(value)
        if value != self._value:
            self._value = value
            self._describe()
            tell_value(self)
            self.update()

    def set_locked(self, locked: bool) -> None:
        """Show that randomising, presets and morphing leave the knob alone."""
        if locked != self._locked:
            self._locked = locked
            self._describe()
            self.update()

    def set_learning(self, learning: bool) -> None:
        """Show that the knob waits for a controller."""
        if learning != self._learning:
            self._learning = learning
            self._describe()
            self.update()

    def set_controller(self, number: int | None) -> None:
        """Show which MIDI controller turns the knob."""
        if number != self._controller:
            self._controller = number
            self._describe()
            self.update()

    def sizeHint(self) -> QSize:
        """The same for every knob, so that rows are even."""
        return QSize(COMPACT, COMPACT) if self._compact else QSize(WIDTH, HEIGHT)

    # --- mouse ---

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to drag."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._drag = event.position().y(), self.knob.to_position(self._value)
            self.gesture_began.emit()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag: up is more."""
        if not event.buttons():
            self._end_drag()  # the release went elsewhere
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
        if event.button() == Qt.MouseButton.LeftButton:
            self._end_drag()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Back to the default."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._move_to(self.knob.default)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """A hundredth of the way for each step, a tenth of that with Shift."""
        fine = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        delta = event.angleDelta().y() or event.angleDelta().x()  # with Alt or Shift some systems turn the wheel
        self._step(delta / 120 * STEP * (FINE if fine else 1))
        event.accept()

    def hideEvent(self, event: QHideEvent) -> None:
        """A knob that goes away while it is dragged ends its gesture."""
        self._end_drag()
        self._bubble.hide()
        super().hideEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """The menu, by right click or the menu key."""
        self._end_drag()
        self.menu().popup(event.globalPos())

    def menu(self) -> QMenu:
        """Default, typed value, MIDI learn and forget, lock."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction(f"Set to default ({self.knob.text(self.knob.default)})\tDel", self.set_default)
        menu.addAction("Enter value …\tEnter", self.edit)
        menu.addSeparator()
        learning = self._learning
        menu.addAction("Cancel MIDI learn" if learning else "MIDI learn", lambda: self.learn_asked.emit(not learning))
        forget = menu.addAction(
            "Forget controller" if self._controller is None else f"Forget controller {self._controller}",
            self.forget_asked.emit,
        )
        forget.setEnabled(self._controller is not None)
        menu.addSeparator()
        locked = self._locked
        menu.addAction("Unlock\tCtrl+L" if locked else "Lock\tCtrl+L", lambda: self.lock_asked.emit(not locked))
        return menu

    # --- keys ---

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows, page keys, Home, End; Delete for the default; Enter or a digit to type a value; Ctrl+L locks."""
        key = Qt.Key(event.key())
        places = {Qt.Key.Key_Home: self.knob.low, Qt.Key.Key_End: self.knob.high}
        if key in _STEPS:
            fine = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self._step(_STEPS[key] * (FINE if fine else 1))
        elif key in places:
            self._move_to(places[key])
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.set_default()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_F2):
            self.edit()
        elif key == Qt.Key.Key_L and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.lock_asked.emit(not self._locked)
        elif event.text() and event.text() in "0123456789-.":
            self.edit(event.text())
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show where the keys go."""
        self.update()
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """And where no more."""
        self.update()
        super().focusOutEvent(event)

    # --- changing ---

    def set_default(self) -> None:
        """Turn to the default."""
        self._move_to(self.knob.default)

    def edit(self, text: str = "") -> None:
        """Let the player type a value over the shown one."""
        if self._editor is not None:
            return
        parent = self.window() if self._compact else self
        editor = _Editor(text or f"{self._value:.6g}", parent)
        editor.setAccessibleName(f"Value of {self.knob.title}")
        place = QPoint(self.width() // 2 - EDITOR_WIDTH // 2, self.height() if self._compact else round(DIAL) - 2)
        editor.setGeometry(QRect(self.mapTo(parent, place), QSize(EDITOR_WIDTH, 24)))
        if not text:
            editor.selectAll()
        editor.done.connect(self._take_typed)
        self._editor = editor
        editor.show()
        editor.setFocus(Qt.FocusReason.OtherFocusReason)

    def _take_typed(self, text: str) -> None:
        """A number is a value; anything else, such as nothing after Esc, changes nothing."""
        editor, self._editor = self._editor, None
        if editor is None:
            return
        if editor.hasFocus():
            self.setFocus(Qt.FocusReason.OtherFocusReason)
        editor.hide()
        editor.deleteLater()
        with suppress(ValueError):
            self._move_to(float(text.replace(",", ".")))

    def _step(self, change: float) -> None:
        self._move_to(self.knob.to_value(self.knob.to_position(self._value) + change))

    def _move_to(self, value: float) -> None:
        value = self.knob.clip(value)
        if value != self._value:
            self.set_value(value)
            self.turned.emit(value)
        self._bubble.tell(self.knob.text(self._value))

    def _end_drag(self) -> None:
        if self._drag is not None:
            self._drag = None
            self.gesture_ended.emit()

    # --- words and picture ---

    def _expose(self) -> None:
        """Screen readers meet a dial."""
        knob = self.knob
        step = knob.to_value(STEP) - knob.low
        expose(self, Adjustable(
            QAccessible.Role.Dial, knob.low, knob.high, step, lambda: self._value, lambda: knob.text(self._value),
            self._move_to,
        ))  # fmt: skip

    def _describe(self) -> None:
        state = [self.knob.text(self._value)]
        if self._locked:
            state.append("locked")
        if self._learning:
            state.append("waits for a controller")
        elif self._controller is not None:
            state.append(f"controller {self._controller}")
        self.setAccessibleName(self.knob.title)
        self.setAccessibleDescription(", ".join(state))
        knob = self.knob
        self.setToolTip(
            f"<b>{knob.title}</b> &nbsp;{', '.join(state)}<br>{knob.help}<br>"
            f"<span style='color:{FAINT.name()}'>{knob.text(knob.low)} to {knob.text(knob.high)}</span>"
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        """Arc from the default to the value, pointer, title, value."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        side = COMPACT - 2.0 if self._compact else DIAL
        self._paint_dial(painter, QRectF((self.width() - side) / 2, 1 if self._compact else 3, side, side))
        if not self._compact:
            self._paint_words(painter)
        if self._locked:
            draw_icon(painter, "lock", QRectF(self.width() - 14, 1, 13, 13), WARM)
        if self._controller is not None and not self._compact:
            painter.setFont(small_font(self.font(), 6.5))
            painter.setPen(WARM)
            painter.drawText(QRectF(2, 0, 30, 12), Qt.AlignmentFlag.AlignLeft, f"CC{self._controller}")

    def _paint_words(self, painter: QPainter) -> None:
        flags = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop
        painter.setFont(small_font(self.font()))
        metrics = painter.fontMetrics()
        painter.setPen(ACCENT if self.hasFocus() else TEXT)
        title = metrics.elidedText(self.knob.title, Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(QRectF(0, DIAL + 3, self.width(), 16), flags, title)
        painter.setPen(WARM if self._learning else FAINT)
        text = "move a CC" if self._learning else self.knob.text(self._value)
        painter.drawText(QRectF(0, DIAL + 19, self.width(), 16), flags, text)

    def _paint_dial(self, painter: QPainter, circle: QRectF) -> None:
        position = self.knob.to_position(self._value)
        origin = self.knob.to_position(self.knob.default)
        arc = circle.adjusted(2.5, 2.5, -2.5, -2.5)
        lit = DISABLED if not self.isEnabled() else WARM if self._learning else ACCENT
        painter.setPen(_round_pen(EDGE, 3.5))
        painter.drawArc(arc, round((START_ANGLE - SPAN) * 16), round(SPAN * 16))
        painter.setPen(_round_pen(lit, 3.5))
        painter.drawArc(arc, round((START_ANGLE - SPAN * origin) * 16), round(-SPAN * (position - origin) * 16))
        inset = circle.width() * 0.19
        cap = circle.adjusted(inset, inset, -inset, -inset)
        hot = self.underMouse() or self._drag is not None
        painter.setPen(QPen(ACCENT if self.hasFocus() else blend(EDGE, FAINT, 0.35), 1))
        painter.setBrush(blend(PANEL, EDGE, 0.95 if hot else 0.6))
        painter.drawEllipse(cap)
        painter.save()
        painter.translate(circle.center())
        painter.rotate(SPAN * position - 135)
        painter.setPen(_round_pen(TEXT, 2))
        painter.drawLine(QPointF(0, -cap.height() / 2 + 6), QPointF(0, -cap.height() / 2 + 2))
        painter.restore()


class _Editor(QLineEdit):
    """A line for a number. done(text) comes once, with "" after Esc; Enter goes no further than here."""

    done = Signal(str)

    def __init__(self, text: str, parent: QWidget) -> None:
        super().__init__(text, parent)
        validator = QDoubleValidator(self)
        validator.setNotation(QDoubleValidator.Notation.StandardNotation)
        validator.setLocale(QLocale.c())
        self.setValidator(validator)
        self.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.setStyleSheet("padding: 0 2px;")

    def event(self, event: QEvent) -> bool:
        """Esc is meant for this line, not for the window's shortcut."""
        escape = isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape
        if event.type() == QEvent.Type.ShortcutOverride and escape:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter takes the value, Esc leaves it."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.done.emit(self.text())
        elif event.key() == Qt.Key.Key_Escape:
            self.done.emit("")
        else:
            super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Going elsewhere takes the value."""
        super().focusOutEvent(event)
        self.done.emit(self.text())


class ValueBubble(QLabel):
    """The value over a knob while it moves; lies on the window, so that no neighbour covers it."""

    def __init__(self, knob: QWidget) -> None:
        super().__init__(knob)
        self._knob = knob
        knob.destroyed.connect(self.deleteLater)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setStyleSheet(
            f"background: {TEXT.name()}; color: {PANEL.name()}; border-radius: 5px; padding: 2px 7px; font-weight: 600;"
        )
        self.hide()

    def tell(self, text: str) -> None:
        """Show a value for a while."""
        window = self._knob.window()
        if not self._knob.isVisible():
            return
        if self.parent() is not window:
            self.setParent(window)
        self.setText(text)
        self.adjustSize()
        place = self._knob.mapTo(window, QPoint(self._knob.width() // 2 - self.width() // 2, -self.height()))
        place.setX(min(max(place.x(), 0), max(0, window.width() - self.width())))
        self.move(place.x(), max(0, place.y()))
        self.show()
        self.raise_()
        self._timer.start(BUBBLE_MS)


def _round_pen(colour: QColor, width: float) -> QPen:
    pen = QPen(colour, width)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    return pen
