"""Top of the window: instrument and preset, undo, A/B, panic, record, how things stand, level and volume."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QMessageBox, QWidget

from engine.knobs import KNOBS, MASTER
from musicnn_gui.panels.dialogs import SavePresetDialog
from musicnn_gui.panels.knobs import connect_knob
from musicnn_gui.panels.transport import ask_audio_file
from musicnn_gui.session import Session
from musicnn_gui.theme import ACCENT, ALARM, SPACE, WARM
from musicnn_gui.widgets.browser import Browser, BrowserItem
from musicnn_gui.widgets.button import IconButton
from musicnn_gui.widgets.knob import KnobWidget
from musicnn_gui.widgets.meter import MeterWidget
from musicnn_gui.widgets.monitor import MonitorWidget
from musicnn_gui.widgets.pianoroll import clock

if TYPE_CHECKING:
    from engine.reports import Snapshot
    from musicnn_gui.presets import Preset

ROOM_FOR_NAME = 1180  # pixels of the window from which its name is shown
ROOM_FOR_METER = 1000  # from which the meter has its full width
VOLUME = MASTER[0]


class HeaderPanel(QWidget):
    """Which instrument plays, from which preset, how loud it is and how it goes."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._ask_when_done = False
        self.menu_button = IconButton("menu", "Menu (F10)", flat=True)
        self.name = QLabel("<b>MusicNN</b>")
        self.name.setMinimumWidth(1)  # hidden, not in the way, where there is no room for it
        self.name.setStyleSheet(f"color: {ACCENT.name()}; font-size: 15px;")
        self.instruments, self.presets = Browser("instrument"), Browser("preset")
        self.favourite = IconButton("star", "Favourite instrument", checkable=True, flat=True, colour=WARM)
        self.save = IconButton("save", "Save preset (Ctrl+S)", flat=True)
        self.undo, self.redo = IconButton("undo", "Undo (Ctrl+Z)"), IconButton("redo", "Redo (Ctrl+Shift+Z)")
        self.side_a = IconButton("", "Compare: side A (Ctrl+B)", text="A")
        self.side_b = IconButton("", "Compare: side B (Ctrl+B)", text="B")
        self.copy = IconButton("copy", "Copy this side to the other (Ctrl+Shift+B)")
        self.panic = IconButton("panic", "Panic: silence everything at once (Esc)")
        self.record = IconButton("record", "Record audio and MIDI (Ctrl+R)", colour=ALARM)
        self.monitor, self.meter = MonitorWidget(), MeterWidget()
        self.volume = KnobWidget(KNOBS[VOLUME], compact=True)
        self.mute = IconButton("sound", "Mute (Ctrl+M)", checkable=True, colour=ALARM)
        self._lay_out()
        self._connect()
        self.refresh()

    def _lay_out(self) -> None:
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(SPACE)
        groups: tuple[tuple[QWidget, ...], ...] = (
            (self.menu_button, self.name), (self.instruments, self.favourite), (self.presets, self.save),
            (self.undo, self.redo), (self.side_a, self.side_b, self.copy), (self.panic, self.record),
            (self.monitor,), (self.meter,), (self.volume, self.mute),
        )  # fmt: skip
        for group in groups:
            box = QHBoxLayout()
            box.setSpacing(2)
            for widget in group:
                box.addWidget(widget)
            line.addLayout(box, 1 if isinstance(group[0], Browser) else 0)

    def _connect(self) -> None:
        session = self._session
        self.instruments.chosen.connect(session.load_instrument)
        self.instruments.stepped.connect(session.step_instrument)
        self.instruments.favourite_asked.connect(session.set_favourite)
        self.favourite.clicked.connect(self._favourite)
        self.presets.chosen.connect(session.load_preset)
        self.presets.stepped.connect(session.step_preset)
        self.presets.delete_asked.connect(self._ask_delete)
        self.save.clicked.connect(self.ask_save)
        self.undo.clicked.connect(session.undo)
        self.redo.clicked.connect(session.redo)
        self.side_a.clicked.connect(partial(self._side, "A"))
        self.side_b.clicked.connect(partial(self._side, "B"))
        self.copy.clicked.connect(session.copy_to_other_side)
        self.panic.clicked.connect(session.panic)
        self.record.clicked.connect(self.toggle_recording)
        self.mute.toggled.connect(self._mute)
        connect_knob(self.volume, VOLUME, session)
        self.volume.turned.connect(lambda _: self.mute.setChecked(False))
        for changed in (
            session.instrument_changed, session.instruments_changed, session.preset_changed, session.history_changed,
            session.side_changed, session.recording_changed, session.mapping_changed, session.locks_changed,
        ):  # fmt: skip
            changed.connect(self.refresh)
        session.recording_changed.connect(self._recorded)
        session.knobs_changed.connect(self._show_volume)
        session.busy.connect(self._show_busy)

    # --- what the player asks for ---

    def toggle_recording(self) -> None:
        """Begin to record, or end; where to is asked when all of it is on the disk."""
        if self._session.recording is None:
            self._session.start_recording()
        else:
            self._ask_when_done = True
            self._session.stop_recording()

    def ask_save_take(self) -> None:
        """Let the player choose where the last recording goes."""
        session = self._session
        if session.take is None:
            session.message.emit("There is nothing to save: record something first.", True)
            return
        suggested = Path(session.settings.recording_folder) / "recording.wav"
        target = ask_audio_file(self, "Save the recording, and its MIDI beside it", suggested)
        if target is not None:
            session.save_recording(target)

    def ask_save(self) -> None:
        """Let the player name the preset."""
        session = self._session
        preset = session.preset
        if preset is not None and preset.path is not None:
            dialog = SavePresetDialog(preset.title, preset.author, preset.comment, self)
        else:
            dialog = SavePresetDialog("", session.settings.author, "", self)
        if dialog.exec():
            title, author, comment = dialog.words
            session.settings.author = author
            session.save_preset(title, author, comment)

    def toggle_mute(self) -> None:
        """Silence the output, or let it be heard again."""
        self.mute.toggle()

    # --- what is shown ---

    def refresh(self) -> None:
        """Show what is loaded and what can be done."""
        session = self._session
        self._show_instruments()
        self._show_presets()
        self.undo.setEnabled(session.can_undo)
        self.redo.setEnabled(session.can_redo)
        self.side_a.set_lit(session.side == "A")
        self.side_b.set_lit(session.side == "B")
        self.volume.set_locked(VOLUME in session.locks)
        self.volume.set_controller(session.mapping.get(VOLUME))
        self.volume.set_learning(session.learning == VOLUME)
        self.volume.set_value(session.knobs[VOLUME])
        self.record.set_lit(session.recording is not None)
        if session.recording is None:
            self.record.setText("")

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Move the meter and the light; count the recording's seconds."""
        self.meter.show_levels(snapshot.peak_left, snapshot.peak_right, snapshot.limiting)
        self.monitor.show_midi(self._session.midi_activity)
        if self._session.recording is not None:
            text = clock(self._session.recording)
            if text != self.record.text():
                self.record.setText(text)
                self.record.updateGeometry()

    def show_state(self) -> None:
        """Load, latency and dropouts, now and then."""
        meters = self._session.meters
        load, xruns = (None, 0) if meters is None else (meters.load, meters.xruns)
        self.monitor.show_state(load, self._session.latency_ms, xruns)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The program's name is shown where there is room."""
        self.name.setVisible(self.width() >= ROOM_FOR_NAME)
        self.meter.setMaximumWidth(self.meter.sizeHint().width() if self.width() >= ROOM_FOR_METER else 0)
        super().resizeEvent(event)

    def _recorded(self) -> None:
        if self._ask_when_done and self._session.recording is None:
            self._ask_when_done = False
            if self._session.take is not None:
                self.ask_save_take()

    def _show_busy(self, what: str) -> None:
        if what:
            self.instruments.set_title(f"{what} …")
        else:
            self._show_instruments()

    def _show_instruments(self) -> None:
        session = self._session
        items = [
            BrowserItem(entry.source, entry.title, f"{entry.kind}: {entry.description}", entry.favourite)
            for entry in session.instruments
        ]
        self.instruments.set_items(items)
        loaded = session.instrument
        favourite = any(item.favourite for item in items if loaded is not None and item.key == loaded.source)
        self.instruments.set_title(loaded.title if loaded is not None else "no instrument")
        self.favourite.setEnabled(loaded is not None)
        self.favourite.setChecked(favourite)
        self.favourite.set_icon("starred" if favourite else "star")

    def _show_presets(self) -> None:
        session = self._session
        self.presets.set_items([BrowserItem(preset, preset.title, _detail(preset)) for preset in session.presets])
        title = session.preset.title if session.preset is not None else "Init"
        self.presets.set_title(title + ("*" if session.changed else ""), _detail(session.preset))

    def _show_volume(self, names: list[str]) -> None:
        if VOLUME in names:
            self.volume.set_value(self._session.knobs[VOLUME])
            self.mute.setChecked(False)

    def _mute(self, on: bool) -> None:
        """Straight to the engine: the knob stays where it is, and muting is nothing to undo."""
        self.mute.set_icon("mute" if on else "sound")
        self._session.engine.turn(VOLUME, KNOBS[VOLUME].low if on else self._session.knobs[VOLUME])

    def _favourite(self, on: bool) -> None:
        if self._session.instrument is not None:
            self._session.set_favourite(self._session.instrument.source, on)

    def _side(self, side: str) -> None:
        if self._session.side != side:
            self._session.switch_side()

    def _ask_delete(self, preset: Preset) -> None:
        if preset.path is None:
            self._session.message.emit(f"{preset.title} belongs to the instrument and cannot be deleted.", True)
            return
        question = QMessageBox.question(self, "Delete preset", f"Delete the preset {preset.title}?")
        if question == QMessageBox.StandardButton.Yes:
            self._session.delete_preset(preset)


def _detail(preset: Preset | None) -> str:
    if preset is None:
        return ""
    words = [preset.author or ("" if preset.path is not None else "of the instrument"), preset.comment]
    return " - ".join(word for word in words if word)


def popup_under(menu: QMenu, button: QWidget) -> None:
    """Open a menu under its button."""
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    menu.popup(button.mapToGlobal(button.rect().bottomLeft()))
