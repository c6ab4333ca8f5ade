"""The morph pad: four presets at its corners, and every knob between them at the point's place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QGridLayout, QSizePolicy, QWidget

from engine.knobs import KNOBS
from musicnn_gui.session import Session
from musicnn_gui.theme import SPACE, small_font
from musicnn_gui.widgets.xypad import XYPad

PLACES = ("upper left", "upper right", "lower left", "lower right")
NARROWEST, WIDEST = 168, 280
NOW = "As it is now"


@dataclass(frozen=True)
class Corner:
    """What stands at a corner: a name, and values of knobs."""

    title: str
    knobs: Mapping[str, float]


def mix(corners: list[Corner], weights: tuple[float, ...]) -> dict[str, float]:
    """Values between corners, of the knobs that any of them sets.

    What a corner does not set stands at its default there, as in a preset.
    """
    names = dict.fromkeys(name for corner in corners for name in corner.knobs)
    return {
        name: sum(
            share * corner.knobs.get(name, KNOBS[name].default) for share, corner in zip(weights, corners, strict=True)
        )
        for name in names
    }


class MorphPanel(QWidget):
    """Choices at the corners, the pad between them."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._choices: list[Corner] = []
        self._kept: Mapping[str, Any] = {}  # of the last time, until its instrument is there
        self.pad = XYPad()
        self.combos = [self._combo(place) for place in PLACES]
        self.corners: list[Corner] = []
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(SPACE // 2)
        for index, combo in enumerate(self.combos):
            grid.addWidget(combo, 0 if index < 2 else 2, index % 2)
            combo.activated.connect(lambda choice, index=index: self.choose(index, choice))
        grid.addWidget(self.pad, 1, 0, 1, 2)
        grid.setRowStretch(1, 1000)
        grid.setRowStretch(3, 1)  # takes what the pad does not
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setMinimumWidth(NARROWEST)
        self.setMaximumWidth(WIDEST)
        self.pad.moved.connect(self._morph)
        self.pad.gesture_began.connect(session.begin_gesture)
        self.pad.gesture_ended.connect(session.end_gesture)
        session.instrument_changed.connect(self._start)
        session.preset_changed.connect(self._offer)
        self._start()

    def remembered(self) -> dict[str, object]:
        """Corners and place, to be given to `restore` the next time."""
        corners = [{"title": corner.title, "knobs": dict(corner.knobs)} for corner in self.corners]
        source = self._session.instrument.source if self._session.instrument is not None else ""
        return {"instrument": source, "corners": corners, "place": list(self.pad.place)}

    def restore(self, kept: object) -> None:
        """As it was, once the same instrument is loaded; what is damaged is left out."""
        self._kept = kept if isinstance(kept, Mapping) else {}
        self._start()

    def choose(self, corner: int, choice: int) -> None:
        """Put a preset at a corner, or the knobs as they are now."""
        chosen = self._choices[choice]
        if chosen.title == NOW:
            chosen = Corner(NOW, {name: self._session.knobs[name] for name in self._names()})
        self.corners[corner] = chosen
        self._show()

    def _names(self) -> tuple[str, ...]:
        return self._session.instrument.knobs if self._session.instrument is not None else ()

    def _start(self) -> None:
        """Four presets of the loaded instrument, far apart in its list."""
        self._offer()
        real = self._choices[:-1]
        self.corners = [real[round(i * (len(real) - 1) / 3)] for i in range(4)] if real else []
        self.pad.set_place(0.5, 0.5)
        instrument = self._session.instrument
        if instrument is not None and self._kept.get("instrument") == instrument.source:
            self._put_back(self._kept)
            self._kept = {}
        self._show()

    def _put_back(self, kept: Mapping[str, Any]) -> None:
        names = set(self._names())
        try:
            corners = [
                Corner(
                    str(corner["title"]), {name: float(corner["knobs"][name]) for name in names & {*corner["knobs"]}}
                )
                for corner in kept["corners"]
            ]
            x, y = map(float, kept["place"])
        except (TypeError, ValueError, LookupError, AttributeError):
            return
        if len(corners) == len(self.corners):
            self.corners = corners
            self.pad.set_place(x, y)

    def _offer(self) -> None:
        """List what may stand at a corner."""
        self._choices = [*(Corner(preset.title, preset.knobs) for preset in self._session.presets), Corner(NOW, {})]
        for combo in self.combos:
            combo.clear()
            combo.addItems([corner.title for corner in self._choices])
        self._show()

    def _show(self) -> None:
        for combo, corner in zip(self.combos, self.corners, strict=False):
            combo.setCurrentIndex(combo.findText(corner.title))
        self.setEnabled(bool(self.corners))
        if self.corners:
            first, second, third, last = (corner.title for corner in self.corners)
            self.pad.set_corners((first, second, third, last))

    def _morph(self) -> None:
        self._session.move(mix(self.corners, self.pad.weights))

    @staticmethod
    def _combo(place: str) -> QComboBox:
        combo = QComboBox()
        combo.setAccessibleName(f"Preset at the {place} corner")
        combo.setToolTip(f"Preset at the {place} corner")
        combo.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        combo.setFont(small_font(combo.font()))
        combo.setStyleSheet("QComboBox { padding: 1px 5px; min-height: 16px; }")
        combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        return combo
