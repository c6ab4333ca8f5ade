"""How things stand in two short lines: load, latency, xruns, and a light for incoming MIDI."""

from __future__ import annotations

import time

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from musicnn_gui.theme import ACCENT, ALARM, EDGE, FAINT, TEXT, WARM, small_font

ALARM_SECONDS = 3.0
LIGHT_SECONDS = 0.12
HIGH_LOAD = 0.8


class MonitorWidget(QWidget):
    """A dropout is shown in red for some seconds; the light is on for a moment after each MIDI event."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._load: float | None = None
        self._latency_ms = 0.0
        self._xruns = self._midi = 0
        self._alarm_until = self._light_until = 0.0
        self._lit = False
        self.setAccessibleDescription("no sound device")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Monitor")
        self.setToolTip(
            "Load of the sound engine, time from a key to its sound, dropouts (xruns) since the output was opened, "
            "and a light for incoming MIDI.<br>Dropouts? Choose a larger block at the bottom of the window."
        )

    def sizeHint(self) -> QSize:
        """Two short lines."""
        return QSize(118, 28)

    def show_state(self, load: float | None, latency_ms: float, xruns: int) -> None:
        """Load 0-1 or None for no device, milliseconds, dropouts."""
        state = (load, round(latency_ms, 1), xruns)
        if state == (self._load, self._latency_ms, self._xruns):
            return
        if xruns > self._xruns:
            self._alarm_until = time.monotonic() + ALARM_SECONDS
        self._load, self._latency_ms, self._xruns = state
        words = "no sound device" if load is None else f"load {load:.0%}, latency {latency_ms:.1f} ms, xruns {xruns}"
        self.setAccessibleDescription(words)
        self.update()

    def show_midi(self, count: int) -> None:
        """How many MIDI events there have been."""
        now = time.monotonic()
        if count != self._midi:
            self._midi, self._light_until = count, now + LIGHT_SECONDS
        lit = now < self._light_until
        if lit != self._lit:
            self._lit = lit
            self.update(0, 14, 44, 14)

    @property
    def midi_lit(self) -> bool:
        """Whether the light is on."""
        return self._lit

    def paintEvent(self, event: QPaintEvent) -> None:
        """Load and latency over MIDI and xruns."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(small_font(self.font(), 7.5))
        half = self.height() / 2
        silent = self._load is None
        high = self._load is not None and self._load > HIGH_LOAD
        load = "no output" if self._load is None else f"CPU {self._load:.0%}"
        self._say(painter, QRectF(0, 0, 58, half), load, WARM if silent or high else TEXT)
        if not silent:
            self._say(painter, QRectF(60, 0, 58, half), f"{self._latency_ms:.1f} ms", TEXT)
            late = time.monotonic() < self._alarm_until
            ink = ALARM if late else FAINT
            self._say(painter, QRectF(60, half, 58, half), f"{self._xruns} xruns", ink)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(ACCENT if self._lit else EDGE)
        painter.drawEllipse(QRectF(0, half + half / 2 - 3.5, 7, 7))
        self._say(painter, QRectF(11, half, 47, half), "MIDI", TEXT if self._lit else FAINT)

    @staticmethod
    def _say(painter: QPainter, rect: QRectF, text: str, ink: QColor) -> None:
        painter.setPen(ink)
        painter.drawText(rect, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
