"""What the network hears over what it says: two spectrograms of the same time, read together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from engine.codec import two_sines
from engine.description import SAMPLE_RATE
from musicnn_gui.session import Session
from musicnn_gui.theme import FAINT, SPACE, small_font
from musicnn_gui.widgets.button import IconButton
from musicnn_gui.widgets.knob_group import Spin
from musicnn_gui.widgets.spectrogram import SpectrogramView, reading
from musicnn_gui.widgets.spectrum import AXES, COLOUR_MAPS, SpectrogramOptions

SINES_GAIN_DB = -26.0
"""The two sines are far louder than what is made of them."""
NARROWEST_DB = 10


class SpectrogramsPanel(QWidget):
    """Two views, their choices over them, and one cursor for both."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.sines = SpectrogramView(
            "What the network hears: two sines a note", SAMPLE_RATE, SINES_GAIN_DB, times=False
        )
        self.output = SpectrogramView("What it says: the output", SAMPLE_RATE)
        self.views = (self.sines, self.output)
        self._cursor = (math.nan, math.nan)
        self.axis = self._combo("Frequency axis", AXES)
        self.colours = self._combo("Colour map", COLOUR_MAPS)
        options = self.sines.options
        self.floor = Spin(-125, -20, options.floor_db, "Darkest level", "Level that is darkest, in dB")
        self.top = Spin(-60, 0, options.top_db, "Brightest level", "Level that is brightest, in dB")
        for spin in (self.floor, self.top):
            spin.setSuffix(" dB")
        self.freeze = IconButton("freeze", "Freeze the picture (Ctrl+F)", checkable=True)
        self.save = IconButton("camera", "Save both as a picture (Ctrl+Shift+P)")
        self.readout = QLabel()
        self.readout.setAccessibleName("Reading at the cursor")
        self.readout.setFont(small_font(self.readout.font()))
        self.readout.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.readout.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        line = QHBoxLayout()
        line.setSpacing(SPACE // 2)
        to = QLabel("to")
        to.setStyleSheet(f"color: {FAINT.name()};")
        for widget in (self.axis, self.floor, to, self.top, self.colours):
            line.addWidget(widget)
        line.addWidget(self.readout, 1)
        line.addWidget(self.freeze)
        line.addWidget(self.save)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE // 2)
        layout.addLayout(line)
        layout.addWidget(self.sines, 1)
        layout.addWidget(self.output, 1)
        self.setMinimumWidth(300)
        for view in self.views:
            view.hovered.connect(self._hover)
        for combo in (self.axis, self.colours):
            combo.currentIndexChanged.connect(lambda _: self._choose())
        for spin in (self.floor, self.top):
            spin.valueChanged.connect(lambda _: self._choose())
        self.freeze.toggled.connect(self._freeze)
        self.save.clicked.connect(self.ask_save)

    @property
    def options(self) -> SpectrogramOptions:
        """How both are shown."""
        return self.sines.options

    def restore(self, view: Mapping[str, object]) -> None:
        """Show both as it was remembered; what is damaged stays as it is."""
        for name, combo in (("axis", self.axis), ("colours", self.colours)):
            combo.setCurrentIndex(max(0, combo.findText(str(view.get(name)))))
        for name, spin in (("floor_db", self.floor), ("top_db", self.top)):
            value = view.get(name)
            if isinstance(value, int):
                spin.setValue(value)

    def advance(self) -> None:
        """Take what was heard since the last call; the engine sends it only while it is seen."""
        self._session.engine.tapping = self.isVisible()
        instrument = self._session.instrument
        self.sines.setVisible(instrument is None or instrument.codec is not None)
        taps = self._session.taps()
        if not taps:
            return
        self.output.push(np.concatenate([tap.output for tap in taps]))
        instrument = self._session.instrument
        if instrument is not None and instrument.codec is not None:
            self.sines.push(two_sines(instrument.codec, [(len(tap.output), tap.voices) for tap in taps]))
        if not math.isnan(self._cursor[0]):
            self._read()

    def ask_save(self) -> None:
        """Let the player choose where the picture goes."""
        folder = Path(self._session.settings.folder or ".")
        name, _ = QFileDialog.getSaveFileName(self, "Save the picture", str(folder / "spectrogram.png"), "PNG (*.png)")
        if name:
            self.save_picture(Path(name).with_suffix(".png"))

    def save_picture(self, path: Path) -> None:
        """Write both spectrograms with their axes as PNG."""
        area = self.sines.geometry().united(self.output.geometry())
        saved = self.grab(area).save(str(path), "PNG")
        self._session.message.emit(
            f"{path.name} is written." if saved else f"{path} cannot be written: is there room, and may you?", not saved
        )

    def _freeze(self, on: bool) -> None:
        for view in self.views:
            view.frozen = on
            view.update()

    def _choose(self) -> None:
        top = max(self.top.value(), self.floor.value() + NARROWEST_DB)
        if top != self.top.value():
            self.top.setValue(top)
            return
        options = replace(
            self.options, axis=self.axis.currentText(), floor_db=self.floor.value(), top_db=top,
            colours=self.colours.currentText(),
        )  # fmt: skip
        for view in self.views:
            view.set_options(options)

    def _hover(self, seconds: float, hz: float) -> None:
        self._cursor = seconds, hz
        for view in self.views:
            view.set_cursor(seconds, hz)
        self._read()

    def _read(self) -> None:
        seconds, hz = self._cursor
        if math.isnan(seconds):
            self.readout.clear()
            return
        level = self.output.level_at(seconds, hz)
        self.readout.setText(f"{reading(seconds, hz)}   {level:.0f} dB")

    @staticmethod
    def _combo(name: str, choices: tuple[str, ...]) -> QComboBox:
        combo = QComboBox()
        combo.setAccessibleName(name)
        combo.setToolTip(name)
        combo.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        combo.addItems(list(choices))
        combo.setFont(small_font(combo.font()))
        combo.setStyleSheet("QComboBox { padding: 1px 6px; min-height: 16px; }")
        return combo
