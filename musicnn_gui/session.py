"""What the window shows and changes, as signals: engine, devices, score, instrument, export. No widgets.

The engine runs in a process of its own (`engine.client`); what it tells comes back as signals. Reading a file happens
in a thread, so that a slow disk does not stop the window.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal, Slot

from engine.client import EngineClient
from engine.description import SAMPLE_RATE
from engine.errors import MusicNNError, sentence
from engine.exporting import Export
from engine.knobs import KNOBS, MASTER, Knob
from engine.midi.events import Event, note_off, note_on
from engine.midi.files import Score, read_score
from musicnn_gui.assets import DEMO
from musicnn_gui.settings import Settings

if TYPE_CHECKING:
    from engine.audio.output import OutputMeters
    from engine.reports import InstrumentInfo, Snapshot, Tap

log = logging.getLogger(__name__)

SILENT = "no sound device"
CLOSE_SECONDS = 5.0


class Session(QObject):
    """The state of the program. Everything public is called by the window's thread."""

    ready = Signal()
    """The instrument can be played."""
    busy = Signal(str)
    """What is being done, for the status line; empty when it is done."""
    message = Signal(str, bool)
    """A sentence for the player; True for a problem."""
    instrument_changed = Signal()
    score_changed = Signal()
    devices_changed = Signal()
    ports_changed = Signal()
    export_progress = Signal(float)
    """Share that is done, 0-1."""
    export_ended = Signal(str)
    """Name of the finished file; empty where it was cancelled or failed."""

    _on_window_thread = Signal(object)

    def __init__(self, settings: Settings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.settings = settings
        self.engine = EngineClient(self._hear)
        self.instrument: InstrumentInfo | None = None
        self.score: Score | None = None
        self.score_path: Path | None = None
        self.devices: list[str] = []
        self.device = SILENT
        """Title of the device in use, or that there is none."""
        self.ports: list[str] = []
        self.midi_connected = ""
        """Name of the MIDI port that is listened to, or nothing."""
        self.knobs: dict[str, float] = {name: KNOBS[name].default for name in MASTER}
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="reading")
        self._export: Export | None = None
        self._export_path = Path()
        self._closing = self._ready = False
        self._on_window_thread.connect(self._call)

    # --- starting and ending ---

    def start(self, score: Path | None = None) -> None:
        """Load the instrument, open the devices, then the score."""
        if score is not None:
            self.open_score(score)
        settings = self.settings
        self.engine.start(settings.instrument, self.knobs, settings.device, settings.block, settings.midi_port)

    def close(self) -> None:
        """Silence everything and let the devices go."""
        self._closing = True
        if self._export is not None:
            self._export.cancel()
            self._export.wait(CLOSE_SECONDS)
        self._reading.shutdown(wait=True, cancel_futures=True)
        self.engine.close()

    # --- playing ---

    def note_on(self, key: int, velocity: int) -> None:
        """Play a key now."""
        self.play(note_on(0, key, velocity))

    def note_off(self, key: int) -> None:
        """Let a key go now."""
        self.play(note_off(0, key))

    def play(self, event: Event) -> None:
        """Let an event happen now."""
        self.engine.play_event(event)

    def turn(self, name: str, value: float) -> None:
        """Set a knob."""
        self.knobs[name] = value
        self.engine.turn(name, value)

    def panic(self) -> None:
        """Silence at once."""
        self.engine.panic()

    # --- instruments ---

    @property
    def shown_knobs(self) -> list[Knob]:
        """Knobs of the loaded instrument, the master ones first."""
        names = (*MASTER, *(self.instrument.knobs if self.instrument else ()))
        return [KNOBS[name] for name in names]

    def load_instrument(self, name: str) -> None:
        """Load an instrument by name or path; the one that plays goes on until the new one is ready."""
        self.engine.load(name, {knob: self.knobs[knob] for knob in MASTER})

    # --- score ---

    def open_score(self, path: Path) -> None:
        """Read a MIDI file and stand at its beginning."""
        self._do(f"reading {path.name}", self._read, path)

    def play_or_pause(self) -> None:
        """Start the score, or pause it."""
        snapshot = self.snapshot
        if snapshot is not None and self.score is not None:
            (self.engine.pause if snapshot.playing else self.engine.play)()

    def stop(self) -> None:
        """Stop the score and go to its beginning."""
        self.engine.stop()

    def seek(self, seconds: float) -> None:
        """Go to a time of the score."""
        self.engine.seek(round(seconds * SAMPLE_RATE))

    # --- export ---

    @property
    def exporting(self) -> bool:
        """Whether an export runs."""
        return self._export is not None and self._export.running

    def export(self, path: Path) -> None:
        """Render the score with the knobs as they are into a .wav or .flac file, beside the playing."""
        if self.exporting:
            self.message.emit("An export is running already.", True)
            return
        if self.score is None or self.instrument is None:
            self.message.emit("There is nothing to export: open a MIDI file first.", True)
            return
        self._export_path = path
        source, knobs = self.instrument.source, dict(self.knobs)
        self._export = Export(self.score, source, path, knobs, self.export_progress.emit, self._exported)

    def cancel_export(self) -> None:
        """End a running export; nothing is left of it."""
        if self._export is not None:
            self._export.cancel()

    # --- devices ---

    @property
    def snapshot(self) -> Snapshot | None:
        """How the engine stands."""
        return self.engine.snapshot

    @property
    def meters(self) -> OutputMeters | None:
        """How the stream does; None without a sound device."""
        return self.engine.meters

    @property
    def latency_ms(self) -> float:
        """From a key to its sound: the block that keeps events' distances, limiter, ring and device."""
        return self.engine.latency_ms

    def taps(self) -> list[Tap]:
        """What was heard since the last call."""
        return [self.engine.taps.popleft() for _ in range(len(self.engine.taps))]

    def choose_device(self, title: str) -> None:
        """Play through another device."""
        self.settings.device = title
        self.engine.open_output(title, self.settings.block)

    def choose_block(self, block: int) -> None:
        """Play with another block size."""
        self.settings.block = block
        self.engine.open_output(self.settings.device, block)

    def choose_port(self, name: str) -> None:
        """Listen to a MIDI port; "" to none, AUTO_PORT to the only one."""
        self.settings.midi_port = name
        self.engine.connect(name)

    def rescan(self) -> None:
        """Look for sound devices and MIDI ports again; the stream is closed for that."""
        self.engine.rescan()

    def remember(self, **changes: object) -> None:
        """Change settings that belong to the window."""
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]

    # --- below: the reading thread ---

    def _do(self, what: str, work: Callable[..., None], *arguments: object) -> None:
        """Queue a piece of work. Its problems become messages."""

        def run() -> None:
            if self._closing:
                return
            self.busy.emit(what)
            try:
                work(*arguments)
            except MusicNNError as error:
                self.message.emit(sentence(str(error)), True)
            except Exception:
                log.exception("while %s", what or work.__name__)
                self.message.emit(f"Something went wrong while {what or 'working'}; the log says what.", True)
            self.busy.emit("")

        self._reading.submit(run)

    def _read(self, path: Path) -> None:
        score = read_score(path, SAMPLE_RATE)
        self.engine.open_score(score)
        self._on_window_thread.emit(lambda: self._take_score(score, path))

    # --- what is told by other threads, on the window's ---

    def _hear(self, name: str, arguments: tuple[Any, ...]) -> None:
        if not self._closing:
            self._on_window_thread.emit(lambda: self._told(name, *arguments))

    def _exported(self, problem: str | None) -> None:
        path = self._export_path
        if problem is None:
            self.message.emit(f"{path.name} is written.", False)
        elif problem:
            self.message.emit(sentence(problem), True)
        else:
            self.message.emit("The export was cancelled.", False)
        self.export_ended.emit("" if problem is not None else path.name)

    @Slot(object)
    def _call(self, function: Callable[[], None]) -> None:
        function()

    def _told(self, name: str, *arguments: Any) -> None:
        """The engine has something to say."""
        match name:
            case "message":
                self.message.emit(*arguments)
            case "busy":
                self.busy.emit(*arguments)
            case "instrument":
                self._take_instrument(*arguments)
            case "devices":
                self.devices, used = arguments
                self.device = used or SILENT
                self.devices_changed.emit()
                if not self._ready:
                    self._ready = True
                    self.ready.emit()
            case "ports":
                self.ports, self.midi_connected = arguments
                self.ports_changed.emit()

    def _take_instrument(self, instrument: InstrumentInfo) -> None:
        again = self.instrument is not None and self.instrument.source == instrument.source
        self.instrument = instrument
        self.settings.instrument = instrument.source
        if not again:  # an engine that was lost and started again knows its knobs
            kept = {name: self.knobs[name] for name in MASTER}
            self.knobs = {name: KNOBS[name].default for name in instrument.knobs} | kept
            self.instrument_changed.emit()

    def _take_score(self, score: Score, path: Path) -> None:
        self.score, self.score_path = score, path
        if path != DEMO:
            self.settings.folder = str(path.parent)
        self.score_changed.emit()
        if score.warnings:
            self.message.emit(f"{path.name}: {'; '.join(score.warnings)}.", False)
