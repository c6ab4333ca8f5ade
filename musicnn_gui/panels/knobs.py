"""The knobs that the instrument declares, in their groups."""

from __future__ import annotations

from functools import partial
from itertools import groupby

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from engine.knobs import Knob
from musicnn_gui.session import Session
from musicnn_gui.theme import FAINT
from musicnn_gui.widgets.knob import KnobWidget


class KnobsPanel(QScrollArea):
    """One row of groups; it scrolls where the window is narrow."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.knobs: dict[str, KnobWidget] = {}
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        session.instrument_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Build the knobs of the loaded instrument, at their values."""
        self.knobs = {}
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(14)
        for title, knobs in groupby(self._session.shown_knobs, key=lambda knob: knob.group):
            layout.addWidget(self._group(title, list(knobs)))
        layout.addStretch(1)
        self.setWidget(row)
        self.setFixedHeight(row.sizeHint().height() + self.horizontalScrollBar().sizeHint().height())

    def _group(self, title: str, knobs: list[Knob]) -> QWidget:
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        label = QLabel(title.upper())
        label.setStyleSheet(f"color: {FAINT.name()}; font-size: 10px; letter-spacing: 1px;")
        column.addWidget(label)
        line = QHBoxLayout()
        line.setSpacing(4)
        for knob in knobs:
            widget = KnobWidget(knob)
            widget.set_value(self._session.knobs[knob.name])
            widget.turned.connect(partial(self._session.turn, knob.name))
            self.knobs[knob.name] = widget
            line.addWidget(widget)
        column.addLayout(line)
        return box
