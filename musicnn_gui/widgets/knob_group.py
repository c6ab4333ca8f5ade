"""A card of knobs: its title, a lock for all of them, and a die that turns them by an amount."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QSpinBox, QVBoxLayout, QWidget

from engine.knobs import Knob
from musicnn_gui.theme import EDGE, FAINT, PANEL, RADIUS, WARM, small_font
from musicnn_gui.widgets.button import IconButton
from musicnn_gui.widgets.knob import HEIGHT, WIDTH, KnobWidget

AMOUNT = 30  # per cent, before the player chooses another
MARGIN, HEAD = 6, 24
ROOM = 34  # pixels for the unit and the edges of a number


class KnobGroup(QWidget):
    """randomise_asked(names, amount 0-1) and lock_asked(names, on) tell of the player; `knobs` by name."""

    randomise_asked = Signal(list, float)
    lock_asked = Signal(list, bool)

    def __init__(self, title: str, knobs: Sequence[Knob], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = title
        self.knobs = {knob.name: KnobWidget(knob) for knob in knobs}
        self.lock = IconButton("unlock", f"Lock {title}", checkable=True, flat=True, colour=WARM)
        self.lock.setToolTip("Lock these knobs: randomising, presets and the morph pad leave them alone")
        self.amount = Spin(0, 100, AMOUNT, f"Amount for {title}", "How far the die turns these knobs")
        self.amount.setSuffix(" %")
        self.dice = IconButton("dice", f"Randomise {title}", flat=True)
        self.dice.setToolTip("Turn these knobs this much of the way to a random place; one step to undo")
        name = QLabel(title)
        name.setFont(small_font(name.font(), bold=True))
        name.setStyleSheet(f"color: {FAINT.name()};")
        name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        head = QHBoxLayout()
        head.setSpacing(0)
        head.addWidget(name, 1)
        for widget in (self.amount, self.dice, self.lock):
            head.addWidget(widget)
        self._grid = QGridLayout()
        self._grid.setSpacing(0)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, 2, MARGIN, MARGIN - 2)
        column.setSpacing(0)
        column.addLayout(head)
        column.addLayout(self._grid)
        self._columns = 0
        self.set_columns(len(knobs))
        self.dice.clicked.connect(lambda: self.randomise_asked.emit(list(self.knobs), self.amount.value() / 100))
        self.lock.clicked.connect(lambda on: self.lock_asked.emit(list(self.knobs), on))

    @staticmethod
    def width_of(columns: int) -> int:
        """Pixels that a card with so many knobs in a row needs at least."""
        return columns * WIDTH + 2 * MARGIN

    def set_columns(self, columns: int) -> None:
        """Put so many knobs in a row."""
        if columns == self._columns:
            return
        for column in range(self._columns):
            self._grid.setColumnStretch(column, 0)
        self._columns = columns
        for index, knob in enumerate(self.knobs.values()):
            self._grid.addWidget(knob, index // columns, index % columns, Qt.AlignmentFlag.AlignHCenter)
        for column in range(columns):
            self._grid.setColumnStretch(column, 1)
        rows = -(-len(self.knobs) // columns)
        self.setMinimumSize(self.width_of(columns), rows * HEIGHT + HEAD + MARGIN)

    def show_locks(self) -> None:
        """The card's lock says whether all of its knobs are locked."""
        locked = all(knob.locked for knob in self.knobs.values())
        self.lock.setChecked(locked)
        self.lock.set_icon("lock" if locked else "unlock")

    def paintEvent(self, event: QPaintEvent) -> None:
        """The card."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(EDGE.darker(125), 1))
        painter.setBrush(PANEL)
        painter.drawRoundedRect(self.rect().adjusted(0, 0, -1, -1), RADIUS + 1, RADIUS + 1)


class Spin(QSpinBox):
    """A number without buttons: wheel, arrows, or typed; Enter and Esc give the keys back to the music."""

    def __init__(self, low: int, high: int, value: int, name: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setRange(low, high)
        self.setValue(value)
        self.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.setFont(small_font(self.font()))
        self.setAccessibleName(name)
        self.setToolTip(tip)
        self.setKeyboardTracking(False)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setStyleSheet("QSpinBox { min-height: 16px; padding: 1px 0; }")
        widest = max(self.fontMetrics().horizontalAdvance(f"{value}") for value in (low, high))
        self.setFixedWidth(widest + ROOM)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Done with typing."""
        super().keyPressEvent(event)
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape):
            self.clearFocus()
