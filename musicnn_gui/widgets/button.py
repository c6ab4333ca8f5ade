"""Flat buttons with a vector icon, a word or both; keyboard focus is seen."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolButton, QWidget

from musicnn_gui.theme import ACCENT, CONTROL_HEIGHT, DISABLED, EDGE, FAINT, PANEL, RADIUS, RAISED, TEXT, blend
from musicnn_gui.widgets.icons import draw_icon

ICON_SIDE = 16.0


class IconButton(QToolButton):
    """Its tip is its accessible name as far as the shortcut in brackets; `set_icon` changes the picture."""

    def __init__(
        self, icon: str, tip: str, *, text: str = "", checkable: bool = False, flat: bool = False,
        colour: QColor = ACCENT, parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        """`colour` is the one of a checked button; a flat one has no frame while it rests."""
        super().__init__(parent)
        self._icon, self._flat, self._colour, self._lit = icon, flat, colour, False
        self.setText(text)
        self.setCheckable(checkable)
        self.set_tip(tip)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def set_tip(self, tip: str) -> None:
        """What it does, and its shortcut in brackets."""
        self.setToolTip(tip)
        self.setAccessibleName(tip.split(" (", maxsplit=1)[0])

    def set_icon(self, icon: str) -> None:
        """Show another picture."""
        if icon != self._icon:
            self._icon = icon
            self.update()

    def set_lit(self, lit: bool) -> None:
        """Look as if checked, for a state that a press alone does not make."""
        if lit != self._lit:
            self._lit = lit
            self.setAccessibleDescription("on" if lit else "off")
            self.update()

    @property
    def icon_name(self) -> str:
        """Name of the picture that is shown."""
        return self._icon

    def sizeHint(self) -> QSize:
        """Square, or as wide as its word."""
        if not self.text():
            return QSize(CONTROL_HEIGHT, CONTROL_HEIGHT)
        icon = ICON_SIDE + 5 if self._icon else 0
        return QSize(round(self.fontMetrics().horizontalAdvance(self.text()) + icon + 16), CONTROL_HEIGHT)

    def minimumSizeHint(self) -> QSize:
        """No smaller."""
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Frame, picture, word."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        fill, edge, ink = self._colours()
        painter.setPen(QPen(edge, 1) if edge is not None else Qt.PenStyle.NoPen)
        painter.setBrush(fill if fill is not None else Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(frame, RADIUS, RADIUS)
        text_wide = self.fontMetrics().horizontalAdvance(self.text()) if self.text() else 0
        icon_wide = ICON_SIDE if self._icon else 0
        gap = 5 if text_wide and icon_wide else 0
        left = (self.width() - text_wide - icon_wide - gap) / 2
        if self._icon:
            draw_icon(painter, self._icon, QRectF(left, (self.height() - ICON_SIDE) / 2, ICON_SIDE, ICON_SIDE), ink)
        if self.text():
            painter.setPen(ink)
            place = QRectF(left + icon_wide + gap, 0, text_wide + 2, self.height())
            painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, self.text())

    def _colours(self) -> tuple[QColor | None, QColor | None, QColor]:
        """Fill, edge and ink."""
        edge = None if self._flat else EDGE
        if not self.isEnabled():
            return None if self._flat else PANEL, edge, DISABLED
        if self.hasFocus():
            edge = ACCENT
        fill = None if self._flat else RAISED
        if self.isDown():
            fill = EDGE
        elif self.underMouse():
            fill = blend(RAISED, EDGE, 0.5)
        if self.isChecked() or self._lit:
            return blend(PANEL, self._colour, 0.25), self._colour if edge is not None else None, self._colour
        return fill, edge, TEXT if not self._flat or self.underMouse() else FAINT
