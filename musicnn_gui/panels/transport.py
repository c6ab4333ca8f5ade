"""The score: open, play, stop, loop, tempo, transpose, tracks, piano roll, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from engine.audio.files import SUFFIXES
from engine.description import SAMPLE_RATE
from musicnn_gui.session import Session
from musicnn_gui.theme import FAINT, SPACE, small_font
from musicnn_gui.widgets.button import IconButton
from musicnn_gui.widgets.knob_group import Spin
from musicnn_gui.widgets.pianoroll import SHORTEST_LOOP, PianoRoll, clock, roll_notes
from musicnn_gui.widgets.tracks import TrackList

if TYPE_CHECKING:
    from engine.reports import Snapshot

MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi", ".smf")
MIDI_FILTER = "MIDI files (" + " ".join(f"*{suffix}" for suffix in MIDI_SUFFIXES) + ");;All files (*)"
AUDIO_FILTER = "WAV, 24 bit (*.wav);;FLAC (*.flac)"
TRACKS_WIDTH = 236


class TransportPanel(QWidget):
    """Buttons and numbers in a line; under it the tracks and the roll."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._playing = False
        self._loop_start: float | None = None  # after the first press of A-B
        self.open = IconButton("folder", "Open a MIDI file (Ctrl+O), or drop one on the window")
        self.play = IconButton("play", "Play or pause (Space)")
        self.stop = IconButton("stop", "Stop and go to the beginning (Shift+Space)")
        self.loop = IconButton("loop", "Loop from here, to here, and no more (Ctrl+T)", text="A-B")
        self.tempo = Spin(50, 200, 100, "Tempo", "Tempo, 50 to 200 % of the score's own")
        self.tempo.setSuffix(" %")
        self.transpose = Spin(-12, 12, 0, "Transpose", "Transpose the score, -12 to 12 semitones")
        self.transpose.setSuffix(" st")
        self.export = IconButton("export", "Export the score with these knobs to a file (Ctrl+E)", text="Export")
        self.cancel = IconButton("close", "Cancel the export", text="Cancel")
        self.name = QLabel("no score")
        self.name.setTextFormat(Qt.TextFormat.PlainText)
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.time = QLabel("0:00 / 0:00")
        self.time.setMinimumWidth(self.time.fontMetrics().horizontalAdvance("00:00 / 00:00"))
        self.progress = QProgressBar()
        self.progress.setRange(0, 100)
        self.progress.setFixedWidth(110)
        self.progress.setAccessibleName("Progress of the export")
        self.roll, self.tracks = PianoRoll(), TrackList()
        self.tracks.setFixedWidth(TRACKS_WIDTH)
        self._lay_out()
        self._connect()
        self._show_exporting(False)
        self._show_options()
        self._enable()

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(SPACE // 2)
        left: tuple[QWidget, ...] = (self.play, self.stop, self.loop, self.open, self.time)
        right: tuple[QWidget, ...] = (self.export, self.progress, self.cancel)
        for widget in left:
            line.addWidget(widget)
        line.addWidget(self.name, 1)
        for text, spin in (("Tempo", self.tempo), ("Transpose", self.transpose)):
            label = QLabel(text)
            label.setBuddy(spin)
            label.setFont(small_font(label.font()))
            label.setStyleSheet(f"color: {FAINT.name()};")
            line.addWidget(label)
            line.addWidget(spin)
        for widget in right:
            line.addWidget(widget)
        below = QHBoxLayout()
        below.setSpacing(SPACE)
        below.addWidget(self.tracks)
        below.addWidget(self.roll, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE // 2 + 2)
        column.addLayout(line)
        column.addLayout(below, 1)

    def _connect(self) -> None:
        session = self._session
        self.open.clicked.connect(self.ask_open)
        self.play.clicked.connect(session.play_or_pause)
        self.stop.clicked.connect(session.stop)
        self.loop.clicked.connect(self.mark_loop)
        self.tempo.valueChanged.connect(lambda value: session.set_tempo(value / 100))
        self.transpose.valueChanged.connect(session.set_transpose)
        self.export.clicked.connect(self.ask_export)
        self.cancel.clicked.connect(session.cancel_export)
        self.roll.seek_asked.connect(session.seek)
        self.roll.loop_asked.connect(self._loop)
        self.tracks.mute_asked.connect(session.set_muted)
        self.tracks.solo_asked.connect(session.set_solo)
        self.tracks.instrument_asked.connect(session.set_part)
        session.score_changed.connect(self._show_score)
        session.score_options_changed.connect(self._show_options)
        session.instruments_changed.connect(self._show_tracks)
        session.instrument_changed.connect(self._enable)
        # Methods, not lambdas: an export may end after this panel, and Qt disconnects methods of what is gone.
        session.export_progress.connect(self._show_progress)
        session.export_ended.connect(self._end_exporting)

    # --- what the player asks for ---

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
        target = ask_audio_file(self, "Export", Path(self._session.settings.export_folder) / f"{path.stem}.wav")
        if target is not None:
            self.start_export(target)

    def start_export(self, path: Path) -> None:
        """Render the score to a file."""
        self._show_exporting(True)
        self._session.export(path)

    def mark_loop(self) -> None:
        """The first press is A, the second B, the third ends the loop."""
        snapshot = self._session.snapshot
        here = snapshot.score_position / SAMPLE_RATE if snapshot is not None else 0.0
        if self._session.score_options.loop is not None:
            self._loop(None)
        elif self._loop_start is None:
            self._loop_start = here
            self.loop.setText("A …")
        elif here != self._loop_start:
            start, end = sorted((self._loop_start, here))
            self._loop((start, max(end, start + SHORTEST_LOOP)))

    # --- what is shown ---

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Move the playhead."""
        seconds = snapshot.score_position / SAMPLE_RATE
        self.roll.set_position(seconds)
        self.time.setText(f"{clock(seconds)} / {clock(snapshot.score_length / SAMPLE_RATE)}")
        if snapshot.playing != self._playing:
            self._playing = snapshot.playing
            self.play.set_icon("pause" if self._playing else "play")

    def _loop(self, loop: tuple[float, float] | None) -> None:
        self._loop_start = None
        if loop is None:
            self._session.set_loop(None)
        else:
            self._session.set_loop(*loop)
        self._show_options()

    def _show_score(self) -> None:
        score, path = self._session.score, self._session.score_path
        if score is not None and path is not None:
            self.roll.set_notes(roll_notes(score), score.seconds)
            self.name.setText(score.title or path.stem)
            self.name.setToolTip(f"{path}\n{score.notes} notes")
        self._show_tracks()
        self._enable()

    def _show_tracks(self) -> None:
        instruments = [(entry.source, entry.title) for entry in self._session.instruments]
        self.tracks.set_tracks([track.title for track in self._session.tracks], instruments)
        self._show_options()

    def _show_options(self) -> None:
        options = self._session.score_options
        for spin, value in ((self.tempo, round(100 * options.tempo)), (self.transpose, options.transpose)):
            with QSignalBlocker(spin):
                spin.setValue(value)
        self.roll.set_loop(options.loop)
        self.roll.set_transpose(options.transpose)
        heard = [options.hears(track.index) for track in self._session.tracks]
        self.roll.set_silent(frozenset(index for index, on in enumerate(heard) if not on))
        self.tracks.show_state(options.muted, options.solo)
        for index in range(len(self.tracks.rows)):
            self.tracks.show_instrument(index, self._session.parts.get(index))
        self.loop.setText("A-B" if self._loop_start is None else "A …")
        self.loop.set_lit(options.loop is not None)

    def _enable(self) -> None:
        playable = self._session.score is not None and self._session.instrument is not None
        for widget in (self.play, self.stop, self.loop, self.roll, self.export):
            widget.setEnabled(playable)

    def _show_progress(self, done: float) -> None:
        self.progress.setValue(round(100 * done))

    def _end_exporting(self, name: str) -> None:
        self._show_exporting(False)

    def _show_exporting(self, exporting: bool) -> None:
        self.export.setVisible(not exporting)
        self.progress.setVisible(exporting)
        self.cancel.setVisible(exporting)
        self.progress.setValue(0)


def ask_audio_file(parent: QWidget, title: str, suggested: Path) -> Path | None:
    """Let the player choose a .wav or .flac file to write; None where nothing was chosen."""
    name, chosen = QFileDialog.getSaveFileName(parent, title, str(suggested), AUDIO_FILTER)
    if not name:
        return None
    target = Path(name)
    if target.suffix.lower() not in SUFFIXES:
        target = target.with_name(target.name + (".flac" if "flac" in chosen else ".wav"))
    return target
