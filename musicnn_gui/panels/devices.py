"""Where the sound goes and where the keys come from; a line about how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QWidget

from engine.audio.output import BLOCK_SIZES, OutputMeters
from engine.description import SAMPLE_RATE
from engine.midi.ports import AUTO_PORT, VIRTUAL_NAME
from musicnn_gui.session import SILENT, Session
from musicnn_gui.theme import FAINT, SPACE, small_font
from musicnn_gui.widgets.button import IconButton

if TYPE_CHECKING:
    from engine.reports import Snapshot


class DevicesPanel(QWidget):
    """Choices of output, block size and MIDI port."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.outputs = self._combo("Sound output", "Where the sound goes", 220)
        self.blocks = self._combo("Block size", "Samples in a block: fewer are quicker, more are safer", 66)
        self.ports = self._combo("MIDI input", f"The keyboard that plays; other programs find {VIRTUAL_NAME}", 170)
        for block in BLOCK_SIZES:
            self.blocks.addItem(str(block), block)
        self.blocks.setCurrentIndex(self.blocks.findData(session.settings.block))
        self.rescan = IconButton("refresh", "Look for sound devices and MIDI ports again", flat=True)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE // 2 + 2)
        for text, widget in (("Output", self.outputs), ("Block", self.blocks), ("MIDI in", self.ports)):
            label = QLabel(text)
            label.setBuddy(widget)
            label.setFont(small_font(label.font()))
            label.setStyleSheet(f"color: {FAINT.name()};")
            layout.addWidget(label)
            layout.addWidget(widget)
        layout.addWidget(self.rescan)
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
        combo.setFixedWidth(width)
        combo.setFont(small_font(combo.font()))
        combo.setStyleSheet("QComboBox { padding: 0 6px; min-height: 18px; }")
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
    """Rate, block, voices, and what was lost; the header has load, latency and xruns."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setAccessibleName("Status")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setFont(small_font(self.font()))
        self.setStyleSheet(f"color: {FAINT.name()};")
        self.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def show_state(self, snapshot: Snapshot | None, meters: OutputMeters | None) -> None:
        """Say how things stand."""
        self.setText("   ".join(self._words(snapshot, meters)))

    def _words(self, snapshot: Snapshot | None, meters: OutputMeters | None) -> list[str]:
        if snapshot is None:
            return ["starting"]
        rate = [f"{SAMPLE_RATE / 1000:g} kHz, silent"] if meters is None else [
            f"{meters.sample_rate / 1000:g} kHz", f"worst block {meters.worst_load:.0%}",
            *([f"device xruns {meters.device_xruns}"] if meters.device_xruns else []),
        ]  # fmt: skip
        lost = (("dropped", snapshot.dropped), ("late", snapshot.late))
        return [*rate, *(f"{name} {count}" for name, count in lost if count), f"voices {snapshot.voices}"]
