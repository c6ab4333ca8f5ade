"""What the network hears beside what it says."""

from __future__ import annotations

import numpy as np
from PySide6.QtWidgets import QHBoxLayout, QWidget

from engine.codec import two_sines
from engine.description import SAMPLE_RATE
from musicnn_gui.session import Session
from musicnn_gui.widgets.spectrogram import SpectrogramView

SINES_GAIN_DB = -20.0


class SpectrogramsPanel(QWidget):
    """Two scrolling spectrograms of the same time."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.sines = SpectrogramView("What the network hears: two sines a note", SAMPLE_RATE, SINES_GAIN_DB)
        self.output = SpectrogramView("What it says: the output", SAMPLE_RATE, 6.0)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.sines)
        layout.addWidget(self.output)

    def advance(self) -> None:
        """Take what was heard since the last call; the engine sends it only while it is seen."""
        self._session.engine.tapping = self.isVisible()
        instrument = self._session.instrument
        self.sines.setVisible(instrument is None or instrument.codec is not None)
        taps = self._session.taps()
        if taps:
            self.output.push(np.concatenate([tap.output for tap in taps]))
            if instrument is not None and instrument.codec is not None:
                self.sines.push(two_sines(instrument.codec, [(len(tap.output), tap.voices) for tap in taps]))
