"""The score: open, play, stop, move, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStyle,
    QWidget,
)

from engine.audio.files import SUFFIXES
from engine.description import SAMPLE_RATE
from musicnn_gui.session import Session

if TYPE_CHECKING:
    from engine.reports import Snapshot

MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi", ".smf")
MIDI_FILTER = "MIDI files (" + " ".join(f"*{suffix}" for suffix in MIDI_SUFFIXES) + ");;All files (*)"
AUDIO_FILTER = "WAV, 24 bit (*.wav);;FLAC (*.flac)"
TICKS = 1000  # of the slider in a second


class TransportPanel(QWidget):
    """Buttons, a slider that is the playhead, the export's progress."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._playing = False
        self.open = self._button("Open …", "Open a MIDI file (Ctrl+O), or drop one on the window")
        self.play = self._button("Play", "Play or pause (Space)", QStyle.StandardPixmap.SP_MediaPlay)
        self.stop = self._button("Stop", "Stop and go to the beginning", QStyle.StandardPixmap.SP_MediaStop)
        self.export = self._button("Export …", "Render the score with these knobs into a file (Ctrl+E)")
        self.cancel = self._button("Cancel", "Cancel the export")
        self.name = QLabel("no score")
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Position in the score")
        self.slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.time = QLabel("0:00 / 0:00")
        self.progress = QProgressBar()
        self.progress.setRange(0, 100)
        self.progress.setFixedWidth(140)
        self.progress.setAccessibleName("Progress of the export")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for button in (self.open, self.play, self.stop):
            layout.addWidget(button)
        layout.addWidget(self.name, 1)
        layout.addWidget(self.slider, 2)
        for widget in (self.time, self.export, self.progress, self.cancel):
            layout.addWidget(widget)
        self.open.clicked.connect(self.ask_open)
        self.play.clicked.connect(session.play_or_pause)
        self.stop.clicked.connect(session.stop)
        self.export.clicked.connect(self.ask_export)
        self.cancel.clicked.connect(session.cancel_export)
        self.slider.valueChanged.connect(lambda value: session.seek(value / TICKS))
        session.score_changed.connect(self._show_score)
        session.instrument_changed.connect(self._enable)
        session.export_progress.connect(self._show_progress)
        session.export_ended.connect(lambda name: self._show_exporting(False))
        self._show_exporting(False)
        self._enable()

    def ask_open(self) -> None:
        """Let the player choose a MIDI file."""
        name, _ = QFileDialog.getOpenFileName(self, "Open a MIDI file", self._session.settings.folder, MIDI_FILTER)
        if name:
            self._session.open_score(Path(name))

    def ask_export(self) -> None:
        """Let the player choose where to render to."""
        path = self._session.score_path
        if path is None or self._session.exporting:
            return
        suggested = str(Path(self._session.settings.folder or ".") / f"{path.stem}.wav")
        name, chosen = QFileDialog.getSaveFileName(self, "Export", suggested, AUDIO_FILTER)
        if name:
            target = Path(name)
            if target.suffix.lower() not in SUFFIXES:
                target = target.with_name(target.name + (".flac" if "flac" in chosen else ".wav"))
            self.start_export(target)

    def start_export(self, path: Path) -> None:
        """Render the score to a file."""
        self._show_exporting(True)
        self._session.export(path)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Move the playhead, unless it is being dragged."""
        seconds = snapshot.score_position / SAMPLE_RATE
        if not self.slider.isSliderDown():
            with QSignalBlocker(self.slider):
                self.slider.setValue(round(seconds * TICKS))
        total = snapshot.score_length / SAMPLE_RATE
        self.time.setText(f"{_clock(seconds)} / {_clock(total)}")
        if snapshot.playing != self._playing:
            self._playing = snapshot.playing
            icon = QStyle.StandardPixmap.SP_MediaPause if self._playing else QStyle.StandardPixmap.SP_MediaPlay
            self.play.setIcon(self.style().standardIcon(icon))
            self.play.setText("Pause" if self._playing else "Play")

    def _button(self, text: str, tip: str, icon: QStyle.StandardPixmap | None = None) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        if icon is not None:
            button.setIcon(self.style().standardIcon(icon))
        return button

    def _show_score(self) -> None:
        score, path = self._session.score, self._session.score_path
        if score is not None and path is not None:
            with QSignalBlocker(self.slider):
                self.slider.setRange(0, round(score.seconds * TICKS))
                self.slider.setPageStep(5 * TICKS)
                self.slider.setSingleStep(TICKS)
            self.name.setText(score.title or path.stem)
            self.name.setToolTip(f"{path}\n{score.notes} notes")
        self._enable()

    def _enable(self) -> None:
        playable = self._session.score is not None and self._session.instrument is not None
        for widget in (self.play, self.stop, self.slider, self.export):
            widget.setEnabled(playable)

    def _show_exporting(self, exporting: bool) -> None:
        self.export.setVisible(not exporting)
        self.progress.setVisible(exporting)
        self.cancel.setVisible(exporting)
        self.progress.setValue(0)

    def _show_progress(self, done: float) -> None:
        self.progress.setValue(round(100 * done))


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
