"""Every widget alone, with something to show and without an engine: `python -m musicnn_gui.gallery`.

Tests and pictures use the same widgets: `python -m musicnn_gui.gallery FOLDER` writes a picture of each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QApplication, QHBoxLayout, QListWidget, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from engine.description import SAMPLE_RATE
from engine.knobs import KNOBS, LATENT, SLIDERS, SPECTRAL
from engine.midi.files import read_score
from musicnn_gui.assets import DEMO
from musicnn_gui.panels.dialogs import SavePresetDialog
from musicnn_gui.theme import WARM, apply_theme
from musicnn_gui.widgets.browser import Browser, BrowserItem, BrowserPopup
from musicnn_gui.widgets.button import IconButton
from musicnn_gui.widgets.icons import ICONS
from musicnn_gui.widgets.knob import KnobWidget
from musicnn_gui.widgets.knob_group import KnobGroup
from musicnn_gui.widgets.meter import MeterWidget
from musicnn_gui.widgets.monitor import MonitorWidget
from musicnn_gui.widgets.piano import PianoWidget
from musicnn_gui.widgets.pianoroll import PianoRoll, roll_notes
from musicnn_gui.widgets.spectrogram import SpectrogramView
from musicnn_gui.widgets.tracks import TrackList
from musicnn_gui.widgets.wheels import PedalWidget, WheelWidget
from musicnn_gui.widgets.xypad import XYPad


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    line = QHBoxLayout(row)
    for widget in widgets:
        line.addWidget(widget)
    line.addStretch(1)
    return row


def _knobs() -> QWidget:
    plain, turned, locked = (KnobWidget(KNOBS[name]) for name in ("brightness", "attack", "width"))
    learning, mapped = KnobWidget(KNOBS["body"]), KnobWidget(KNOBS["tune"])
    turned.set_value(180)
    locked.set_locked(True)
    learning.set_learning(True)
    mapped.set_controller(74)
    return _row(plain, turned, locked, learning, mapped, KnobWidget(KNOBS["volume"], compact=True))


def _group() -> QWidget:
    group = KnobGroup("Timbre", [KNOBS[name] for name in LATENT])
    group.knobs["latent1"].set_value(1.4)
    return group


def _sliders() -> QWidget:
    group = KnobGroup("Sound", [KNOBS[name] for name in SLIDERS])
    group.set_columns(10)
    return group


def _spectral() -> QWidget:
    return KnobGroup("Spectrum", [KNOBS[name] for name in SPECTRAL if KNOBS[name].group == "Spectrum"])


def chirp(seconds: float) -> NDArray[np.float32]:
    """A tone that rises from 100 Hz by an octave a second, with its octave, (samples,)."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * 100 * (2**time - 1) / np.log(2)
    return np.asarray(0.5 * np.sin(phase) + 0.1 * np.sin(2 * phase), np.float32)


def _spectrogram() -> QWidget:
    view = SpectrogramView("A tone that rises", SAMPLE_RATE)
    view.push(chirp(7.0))
    view.set_cursor(1.0, 440.0)
    return view


def _roll() -> QWidget:
    roll, score = PianoRoll(), read_score(DEMO, SAMPLE_RATE)
    roll.set_notes(roll_notes(score), score.seconds)
    roll.set_loop((4.0, 12.0))
    roll.set_position(6.5)
    return roll


def _tracks() -> QWidget:
    tracks = TrackList()
    tracks.set_tracks(["Violin", "Viola", "Cello", "Continuo, channel 9"], [("piano", "Grand Piano")])
    tracks.show_state(frozenset({1}), frozenset({2}))
    return tracks


def _piano() -> QWidget:
    piano = PianoWidget()
    piano.set_lit(frozenset({60, 63, 67, 70}))
    return piano


def _pads() -> QWidget:
    piano = PianoWidget()
    names = ("Kick", "Kick soft", "Snare", "Snare rim", "Clap", "Closed hat", "Open hat", "Tom low", "Tom high", "Ride")
    piano.set_span(36, 71)
    piano.set_playable(range(36, 46))
    piano.set_names(dict(zip(range(36, 46), names, strict=True)))
    return piano


def _wheels() -> QWidget:
    bend, modulation = WheelWidget("Pitch bend", "bend", -1, True), WheelWidget("Modulation", "mod", 0, False)
    sustain, soft = PedalWidget("Sustain pedal", "Sus"), PedalWidget("Soft pedal", "Soft")
    bend.set_value(0.3)
    modulation.set_value(0.6)
    sustain.set_depth(0.5)
    return _row(bend, modulation, sustain, soft)


def _meter() -> QWidget:
    meter = MeterWidget()
    meter.show_levels(0.3, 0.12, 0.9)
    return _row(meter)


def _monitor() -> QWidget:
    monitor = MonitorWidget()
    monitor.show_state(0.23, 9.3, 0)
    monitor.show_midi(1)
    return _row(monitor)


def _buttons() -> QWidget:
    body = QWidget()
    column = QVBoxLayout(body)
    names = sorted(ICONS)
    for start in range(0, len(names), 10):
        column.addWidget(_row(*(IconButton(name, name.capitalize()) for name in names[start : start + 10])))
    on, off = IconButton("loop", "Loop", text="A-B", checkable=True), IconButton("panic", "Panic", text="Panic")
    warm = IconButton("lock", "Lock", checkable=True, colour=WARM)
    on.setChecked(True)
    warm.setChecked(True)
    off.setEnabled(False)
    column.addWidget(_row(on, warm, off))
    return body


_ITEMS = (
    BrowserItem("piano", "Grand Piano", "keys: fitted to FluidR3's Yamaha", True),
    BrowserItem("morph", "Morph", "keys: many timbres in one network", False),
    BrowserItem("kit", "A kit", "pads: made of nothing", False),
)


def _browser() -> QWidget:
    browser = Browser("instrument")
    browser.set_items(_ITEMS)
    browser.set_title("Grand Piano")
    return browser


def _popup() -> QWidget:
    popup = BrowserPopup("instrument")
    popup.setWindowFlags(Qt.WindowType.Widget)
    popup.set_items(_ITEMS, "Morph")
    return popup


def _pad() -> QWidget:
    pad = XYPad()
    pad.set_corners(("flute", "choir", "marimba", "organ"))
    pad.set_place(0.3, 0.6)
    return pad


WIDGETS: Mapping[str, Callable[[], QWidget]] = {
    "knobs": _knobs, "knob group": _group, "spectral knobs": _spectral, "forty sliders": _sliders,
    "spectrogram": _spectrogram, "piano roll": _roll, "tracks": _tracks, "piano": _piano, "pads": _pads,
    "wheels and pedals": _wheels, "meter": _meter, "monitor": _monitor, "buttons": _buttons, "browser": _browser,
    "browser list": _popup, "morph pad": _pad, "save preset": lambda: SavePresetDialog("Soft", "", ""),
}  # fmt: skip
"""What makes each widget."""

WIDE = 760


class Gallery(QWidget):
    """A list of widgets at the left, the chosen one at the right."""

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("MusicNN: widgets")
        names, pages = QListWidget(), QStackedWidget()
        for name, make in WIDGETS.items():
            names.addItem(name)
            page = QWidget()
            column = QVBoxLayout(page)
            column.addWidget(make())
            column.addStretch(1)
            pages.addWidget(page)
        names.setFixedWidth(160)
        names.setAccessibleName("Widgets")
        names.currentRowChanged.connect(pages.setCurrentIndex)
        line = QHBoxLayout(self)
        line.addWidget(names)
        line.addWidget(pages, 1)
        names.setCurrentRow(0)
        self.resize(1000, 420)


def write_pictures(folder: Path) -> None:
    """A PNG of each widget."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in WIDGETS.items():
        widget = make()
        wide = WIDE if widget.sizePolicy().horizontalPolicy() == QSizePolicy.Policy.Expanding else 0
        widget.resize(widget.sizeHint().expandedTo(widget.minimumSize()).expandedTo(QSize(wide, 0)))
        widget.grab().save(str(folder / f"{name.replace(' ', '_')}.png"))


def main() -> int:
    """Show the gallery, or write pictures into the folder that is named."""
    app = QApplication(sys.argv[:1])
    apply_theme(app)
    if len(sys.argv) > 1:
        write_pictures(Path(sys.argv[1]))
        return 0
    gallery = Gallery()
    gallery.show()
    return app.exec()


if __name__ == "__main__":
    sys.exit(main())
