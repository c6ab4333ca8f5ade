"""The output's level: two bars in dB with peak hold, a light for the limiter and one for clipping that stays."""

from __future__ import annotations

import time

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QLinearGradient, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from engine.units import gain_to_db
from musicnn_gui.theme import ACCENT, ALARM, EDGE, FAINT, PANEL, TEXT, WARM, small_font

FLOOR_DB, WARM_DB = -60.0, -9.0
HOLD_SECONDS, FALL_DB_PER_SECOND = 1.5, 24.0
LIMIT_SHOWN = 0.97
"""Gain of the limiter under which its light is on."""
CLIP_SHOWN = 0.999
"""Amplitude from which the clip light is on; it stays until it is clicked."""
LIGHT = 9
TICKS_DB = (-48, -36, -24, -12, 0)


class MeterWidget(QWidget):
    """Levels in dB of full scale; a click takes the clip light away."""

    cleared = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._levels = (FLOOR_DB, FLOOR_DB)
        self._peaks = [FLOOR_DB, FLOOR_DB]
        self._peak_times = [0.0, 0.0]
        self._limiting = self._clipped = False
        self._shown_at = time.monotonic()
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(72)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName("Output level")
        self.setToolTip(
            "Output level, -60 to 0 dB, with the peak of the last seconds.<br>Orange light: the limiter is at work. "
            "Red light: the output was clipped; click or press Enter to clear it."
        )

    def sizeHint(self) -> QSize:
        """Wide and low."""
        return QSize(132, 26)

    @property
    def clipped(self) -> bool:
        """Whether the clip light is on."""
        return self._clipped

    def show_levels(self, left: float, right: float, limiter_gain: float) -> None:
        """Take amplitudes and the limiter's smallest gain."""
        now = time.monotonic()
        passed, self._shown_at = now - self._shown_at, now
        levels = gain_to_db(left, FLOOR_DB), gain_to_db(right, FLOOR_DB)
        before = (self._levels, tuple(self._peaks), self._limiting, self._clipped)
        for channel, level in enumerate(levels):
            if level >= self._peaks[channel]:
                self._peaks[channel], self._peak_times[channel] = level, now
            elif now - self._peak_times[channel] > HOLD_SECONDS:
                self._peaks[channel] = max(level, FLOOR_DB, self._peaks[channel] - FALL_DB_PER_SECOND * passed)
        self._levels, self._limiting = levels, limiter_gain < LIMIT_SHOWN
        self._clipped = self._clipped or max(left, right) >= CLIP_SHOWN
        if before != (self._levels, tuple(self._peaks), self._limiting, self._clipped):
            self.setAccessibleDescription(f"{max(self._peaks):.0f} dB{', clipped' if self._clipped else ''}")
            self.update()

    def clear(self) -> None:
        """Take the held peaks and the clip light away."""
        self._clipped, self._peaks = False, [FLOOR_DB, FLOOR_DB]
        self.cleared.emit()
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Clear."""
        self.clear()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter clears."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.clear()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Two bars, the held peaks, a scale, the light."""
        painter = QPainter(self)
        wide, bar = self.width() - LIGHT - 4, 6.0
        ink = QLinearGradient(0, 0, wide, 0)
        for share, colour in ((0, ACCENT), (_share(WARM_DB), ACCENT), (_share(-3), WARM), (1, ALARM)):
            ink.setColorAt(share, colour)
        for row, level in enumerate(self._levels):
            rect = QRectF(0, 1 + row * (bar + 1), wide, bar)
            painter.fillRect(rect, EDGE)
            rect.setWidth(wide * _share(level))
            painter.fillRect(rect, ink)
            if self._peaks[row] > FLOOR_DB:
                painter.fillRect(QRectF(wide * _share(self._peaks[row]) - 2, rect.top(), 2, bar), TEXT)
        painter.setFont(small_font(self.font(), 6.0))
        painter.setPen(FAINT)
        for db in TICKS_DB:
            x = min(max(wide * _share(db), 8.0), wide - 4.0)
            painter.drawText(QRectF(x - 12, 14, 24, 11), Qt.AlignmentFlag.AlignCenter, f"{db}")
        light = ALARM if self._clipped else WARM if self._limiting else PANEL
        box = QRectF(wide + 3, 1, LIGHT, 2 * bar + 1)
        painter.fillRect(box, light)
        painter.setPen(ACCENT if self.hasFocus() else EDGE)
        painter.drawRect(box.adjusted(0.5, 0.5, -0.5, -0.5))


def _share(level: float) -> float:
    return min(max(1 - level / FLOOR_DB, 0.0), 1.0)
