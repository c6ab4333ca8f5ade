"""Where the sound goes and where the keys come from; the line that says how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QWidget

from engine.audio.output import BLOCK_SIZES, OutputMeters
from engine.description import SAMPLE_RATE
from engine.midi.ports import AUTO_PORT, VIRTUAL_NAME
from musicnn_gui.session import SILENT, Session
from musicnn_gui.theme import ALARM, FAINT

if TYPE_CHECKING:
    from engine.reports import Snapshot

ALARM_STEPS = 15  # updates for which a dropout is shown in red, 3 s


class DevicesPanel(QWidget):
    """Choices of output, block size and MIDI port."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.outputs = self._combo("Sound output", "Where the sound goes", 230)
        self.blocks = self._combo("Block size", "Samples in a block: fewer are quicker, more are safer", 90)
        self.ports = self._combo("MIDI input", f"The keyboard that plays; other programs find {VIRTUAL_NAME}", 200)
        for block in BLOCK_SIZES:
            self.blocks.addItem(str(block), block)
        self.blocks.setCurrentIndex(self.blocks.findData(session.settings.block))
        self.rescan = QPushButton("Rescan")
        self.rescan.setToolTip("Look for sound devices and MIDI ports again")
        self.rescan.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for text, widget in (("Output", self.outputs), ("Block", self.blocks), ("MIDI in", self.ports)):
            label = QLabel(text)
            label.setBuddy(widget)
            label.setStyleSheet(f"color: {FAINT.name()};")
            layout.addWidget(label)
            layout.addWidget(widget)
        layout.addWidget(self.rescan)
        layout.addStretch(1)
        self.outputs.activated.connect(lambda index: session.choose_device(self.outputs.itemData(index)))
        self.blocks.activated.connect(lambda index: session.choose_block(self.blocks.itemData(index)))
        self.ports.activated.connect(lambda index: session.choose_port(self.ports.itemData(index)))
        self.rescan.clicked.connect(session.rescan)
        session.devices_changed.connect(self._show_devices)
        session.ports_changed.connect(self._show_ports)
        self._show_devices()
        self._show_ports()

    def _combo(self, name: str, tip: str, width: int) -> QComboBox:
        combo = QComboBox()
        combo.setAccessibleName(name)
        combo.setToolTip(tip)
        combo.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        combo.setMinimumWidth(width)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        return combo

    def _show_devices(self) -> None:
        self.outputs.clear()
        for title in self._session.devices:
            self.outputs.addItem(title, title)
        if self._session.device == SILENT:
            self.outputs.insertItem(0, SILENT, "")
            self.outputs.setCurrentIndex(0)
        else:
            self.outputs.setCurrentIndex(self.outputs.findData(self._session.device))

    def _show_ports(self) -> None:
        self.ports.clear()
        self.ports.addItem("the only keyboard", AUTO_PORT)
        self.ports.addItem("none", "")
        for name in self._session.ports:
            self.ports.addItem(name, name)
        shown = self._session.midi_connected or self._session.settings.midi_port
        self.ports.setCurrentIndex(max(0, self.ports.findData(shown)))


class StatusLine(QLabel):
    """Rate, block, latency, load, xruns, voices."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._xruns = self._alarm = 0
        self.setAccessibleName("Status")
        self.setTextFormat(Qt.TextFormat.PlainText)

    def show_state(self, snapshot: Snapshot | None, meters: OutputMeters | None) -> None:
        """Say how things stand."""
        self.setText("   ".join(self._words(snapshot, meters)))
        xruns = meters.xruns if meters is not None else 0
        self._alarm = ALARM_STEPS if xruns > self._xruns else max(0, self._alarm - 1)
        self._xruns = xruns
        self.setStyleSheet(f"color: {(ALARM if self._alarm else FAINT).name()};")

    def _words(self, snapshot: Snapshot | None, meters: OutputMeters | None) -> list[str]:
        if snapshot is None:
            return ["starting"]
        voices = f"voices {snapshot.voices}"
        if meters is None:
            return [f"{SAMPLE_RATE / 1000:g} kHz, silent", voices]
        return [
            f"{meters.sample_rate / 1000:g} kHz", f"{meters.block} frames",
            f"latency {self._session.latency_ms:.1f} ms",
            f"load {meters.load:.0%}, worst {meters.worst_load:.0%}", _dropouts(meters), voices,
            *(f"{name} {count}" for name, count in (("dropped", snapshot.dropped), ("shed", snapshot.shed)) if count),
        ]  # fmt: skip


def _dropouts(meters: OutputMeters) -> str:
    return f"xruns {meters.xruns}" + (f" (device {meters.device_xruns})" if meters.device_xruns else "")
