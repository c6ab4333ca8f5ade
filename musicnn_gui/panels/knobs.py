"""The knobs that the instrument declares, in their groups."""

from __future__ import annotations

from functools import partial
from itertools import groupby

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from engine.knobs import Knob
from musicnn_gui.session import Session
from musicnn_gui.theme import FAINT
from musicnn_gui.widgets.knob import KnobWidget


class KnobsPanel(QScrollArea):
    """A row of groups, or two for an instrument of many timbres; it scrolls where the window is narrow."""

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
        rows: list[list[QWidget]] = [[]]
        if self._session.instrument is not None and self._session.instrument.presets:
            rows[0].append(self._presets(list(self._session.instrument.presets)))
        for title, knobs in groupby(self._session.shown_knobs, key=lambda knob: knob.group):
            rows[-1].append(self._group(title, list(knobs)))
            if title == "Timbre":
                rows.append([])
        groups = QWidget()
        column = QVBoxLayout(groups)
        column.setContentsMargins(0, 0, 0, 0)
        for row in rows:
            line = QHBoxLayout()
            line.setSpacing(14)
            for group in row:
                line.addWidget(group)
            line.addStretch(1)
            column.addLayout(line)
        self.setWidget(groups)
        self.setFixedHeight(groups.sizeHint().height() + self.horizontalScrollBar().sizeHint().height())

    def _presets(self, names: list[str]) -> QWidget:
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(_title("Start from"))
        combo = QComboBox()
        combo.setAccessibleName("Timbre")
        combo.setToolTip("Turn the latent knobs to a timbre that was learned")
        combo.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        combo.addItem("…", "")
        for name in sorted(names):
            combo.addItem(name, name)
        combo.activated.connect(lambda index: self.choose_preset(combo.itemData(index)))
        column.addWidget(combo)
        column.addStretch(1)
        return box

    def choose_preset(self, name: str) -> None:
        """Turn the latent knobs to a named timbre."""
        instrument = self._session.instrument
        for knob, value in (instrument.presets.get(name, {}) if instrument else {}).items():
            self._session.turn(knob, value)
            self.knobs[knob].set_value(value)

    def _group(self, title: str, knobs: list[Knob]) -> QWidget:
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(_title(title))
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


def _title(text: str) -> QLabel:
    label = QLabel(text.upper())
    label.setStyleSheet(f"color: {FAINT.name()}; font-size: 10px; letter-spacing: 1px;")
    return label
