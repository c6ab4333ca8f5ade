"""The output's level: two bars with peak hold, and a light for clipping and limiting."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from engine.units import gain_to_db
from musicnn_gui.theme import ACCENT, ALARM, PANEL, TEXT, WARM

FLOOR_DB, WARM_DB = -60.0, -6.0
HOLD_STEPS = 30  # of the window's timer
LIMIT_SHOWN = 0.97  # gain of the limiter under which its light is on


class MeterWidget(QWidget):
    """Levels in dB of full scale."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._levels = (FLOOR_DB, FLOOR_DB)
        self._peak, self._held = FLOOR_DB, 0
        self._limiting = False
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Output level")
        self.setToolTip("Output level, -60 to 0 dB; the light at the right end says that the limiter is at work.")

    def sizeHint(self) -> QSize:
        """Wide and low."""
        return QSize(150, 18)

    def show_levels(self, left: float, right: float, limiter_gain: float) -> None:
        """Take amplitudes and the limiter's smallest gain."""
        levels = gain_to_db(left, FLOOR_DB), gain_to_db(right, FLOOR_DB)
        peak = max(levels)
        if peak >= self._peak or self._held <= 0:
            self._peak, self._held = peak, HOLD_STEPS
        self._held -= 1
        limiting = limiter_gain < LIMIT_SHOWN
        if levels != self._levels or limiting != self._limiting:
            self._levels, self._limiting = levels, limiting
            self.setAccessibleDescription(f"{peak:.0f} dB")
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Two bars, the held peak, the light."""
        painter = QPainter(self)
        wide, high = self.width() - 14, (self.height() - 2) / 2
        for row, level in enumerate(self._levels):
            rect = QRectF(0, row * (high + 2), wide, high)
            painter.fillRect(rect, PANEL)
            rect.setWidth(wide * _share(level))
            painter.fillRect(rect, WARM if level > WARM_DB else ACCENT)
        if self._peak > FLOOR_DB:
            painter.fillRect(QRectF(wide * _share(self._peak) - 1, 0, 2, self.height()), TEXT)
        painter.fillRect(QRectF(wide + 4, 0, 10, self.height()), ALARM if self._limiting else PANEL)


def _share(level: float) -> float:
    return min(max(1 - level / FLOOR_DB, 0.0), 1.0)
