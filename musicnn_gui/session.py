"""What the window shows and changes, as signals: engine, devices, score, instrument, export. No widgets.

Work that may take time (loading, opening devices, reading files) happens one piece after another in a housekeeping
thread; its results come back as signals. The sound itself is made by the engine's render worker.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from engine.errors import MidiPortError, MusicNNError
from engine.knobs import KNOBS, MASTER, Knob
from engine.midi.events import Event, note_off, note_on
from engine.midi.files import Score, read_score
from musicnn_gui.assets import DEMO
from musicnn_gui.settings import Settings

if TYPE_CHECKING:  # torch takes a second to import: the window is shown before
    from engine.audio.output import AudioOutput, Device, OutputMeters
    from engine.audio.silent import SilentOutput
    from engine.instrument import Instrument
    from engine.live import LiveEngine, Snapshot, Tap
    from engine.midi.ports import MidiInput

log = logging.getLogger(__name__)

SAMPLE_RATE = 44_100
WATCH_MS = 500
NO_DEVICE = "No sound device: you can still play, watch and export. Connect one and press Rescan."
AUTO_PORT = "auto"
SILENT = "no sound device"
EXPORT_NICENESS = 10


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
        self.engine: LiveEngine | None = None
        self.instrument: Instrument | None = None
        self.score: Score | None = None
        self.score_path: Path | None = None
        self.devices: list[Device] = []
        self.ports: list[str] = []
        self.knobs: dict[str, float] = {name: KNOBS[name].default for name in MASTER}
        self.last_midi: Event | None = None
        self._output: AudioOutput | None = None
        self._silent: SilentOutput | None = None
        self._midi: MidiInput | None = None
        self._housekeeping = ThreadPoolExecutor(1, thread_name_prefix="housekeeping")
        self._exporter: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._closing = False
        self._on_window_thread.connect(self._call)
        self._watch = QTimer(self)
        self._watch.timeout.connect(self._look)

    # --- starting and ending ---

    def start(self, score: Path | None = None) -> None:
        """Load the instrument, open the devices, then the score."""
        if score is not None:
            self.open_score(score)
        self._do("loading the instrument", self._load, self.settings.instrument)
        self._do("opening the sound device", self._open_devices)
        self._do("", self._announce)
        self._do("opening MIDI", self._open_midi)
        self._watch.start(WATCH_MS)

    def close(self) -> None:
        """Silence everything and let the devices go."""
        self._closing = True
        self._watch.stop()
        self.cancel_export()
        if self._exporter is not None:
            self._exporter.join(5)
        self._housekeeping.submit(self._shut)
        self._housekeeping.shutdown(wait=True, cancel_futures=False)

    # --- playing ---

    def note_on(self, key: int, velocity: int) -> None:
        """Play a key now."""
        self.play(note_on(0, key, velocity))

    def note_off(self, key: int) -> None:
        """Let a key go now."""
        self.play(note_off(0, key))

    def play(self, event: Event) -> None:
        """Let an event happen now; called by the MIDI thread too."""
        if self.engine is not None:
            # One block later than rendered now: blocks come in bursts, and events keep their distances so.
            self.engine.play_event(event, self.settings.block)

    def turn(self, name: str, value: float) -> None:
        """Set a knob."""
        self.knobs[name] = value
        if self.engine is not None:
            self.engine.turn(name, value)

    def panic(self) -> None:
        """Silence at once."""
        if self.engine is not None:
            self.engine.panic()

    # --- instruments ---

    @property
    def shown_knobs(self) -> list[Knob]:
        """Knobs of the loaded instrument, the master ones first."""
        names = (*MASTER, *(self.instrument.knobs if self.instrument else ()))
        return [KNOBS[name] for name in names]

    def load_instrument(self, name: str) -> None:
        """Load an instrument by name or path; the one that plays goes on until the new one is ready."""
        self._do(f"loading {name}", self._load, name)

    # --- score ---

    def open_score(self, path: Path) -> None:
        """Read a MIDI file and stand at its beginning."""
        self._do(f"reading {path.name}", self._read, path)

    def play_or_pause(self) -> None:
        """Start the score, or pause it."""
        if self.engine is not None and self.score is not None:
            (self.engine.pause if self.engine.snapshot.playing else self.engine.play)()

    def stop(self) -> None:
        """Stop the score and go to its beginning."""
        if self.engine is not None:
            self.engine.stop()

    def seek(self, seconds: float) -> None:
        """Go to a time of the score."""
        if self.engine is not None:
            self.engine.seek(round(seconds * SAMPLE_RATE))

    # --- export ---

    @property
    def exporting(self) -> bool:
        """Whether an export runs."""
        return self._exporter is not None and self._exporter.is_alive()

    def export(self, path: Path) -> None:
        """Render the score with the knobs as they are into a .wav or .flac file, beside the playing."""
        if self.exporting:
            self.message.emit("An export is running already.", True)
            return
        if self.score is None or self.instrument is None:
            self.message.emit("There is nothing to export: open a MIDI file first.", True)
            return
        self._cancelled.clear()
        work = (self.score, self.instrument, path, dict(self.knobs))
        self._exporter = threading.Thread(target=self._export, args=work, name="export", daemon=True)
        self._exporter.start()

    def cancel_export(self) -> None:
        """End a running export; nothing is left of it."""
        self._cancelled.set()

    # --- devices ---

    @property
    def snapshot(self) -> Snapshot | None:
        """How the engine stands."""
        return self.engine.snapshot if self.engine else None

    @property
    def meters(self) -> OutputMeters | None:
        """How the stream does; None without a sound device."""
        return self._output.meters if self._output is not None and self._output.running else None

    @property
    def latency_ms(self) -> float:
        """From a key to its sound: one block that keeps events' distances, the limiter, ring and device."""
        from engine.audio.limiter import LOOKAHEAD  # noqa: PLC0415

        meters = self.meters
        if meters is None or not meters.sample_rate:
            return 0.0
        return meters.latency_ms + 1000 * (self.settings.block + LOOKAHEAD) / SAMPLE_RATE

    @property
    def device(self) -> str:
        """Title of the device in use, or that there is none."""
        return self._output.meters.device if self.meters and self._output else SILENT

    @property
    def midi_connected(self) -> str:
        """Name of the MIDI port that is listened to, or nothing."""
        return self._midi.connected if self._midi else ""

    def taps(self) -> list[Tap]:
        """What was heard since the last call."""
        if self.engine is None:
            return []
        return [self.engine.taps.popleft() for _ in range(len(self.engine.taps))]

    def choose_device(self, title: str) -> None:
        """Play through another device."""
        self.settings.device = title
        self._do("opening the sound device", self._open_output)

    def choose_block(self, block: int) -> None:
        """Play with another block size."""
        self.settings.block = block
        self._do("opening the sound device", self._open_output)

    def choose_port(self, name: str) -> None:
        """Listen to a MIDI port; "" to none, "auto" to the only one."""
        self.settings.midi_port = name
        self._do("", self._connect_midi)

    def rescan(self) -> None:
        """Look for sound devices and MIDI ports again; the stream is closed for that."""
        self._do("looking for devices", self._rescan)

    # --- below: the housekeeping thread ---

    def _do(self, what: str, work: Callable[..., None], *arguments: object) -> None:
        """Queue a piece of work. Its problems become messages."""

        def run() -> None:
            if self._closing:
                return
            self.busy.emit(what)
            try:
                work(*arguments)
            except MusicNNError as error:
                self.message.emit(_sentence(str(error)), True)
            except Exception:
                log.exception("while %s", what or work.__name__)
                self.message.emit(f"Something went wrong while {what or 'working'}; the log says what.", True)
            self.busy.emit("")

        self._housekeeping.submit(run)

    @Slot(object)
    def _call(self, function: Callable[[], None]) -> None:
        function()

    def _load(self, name: str) -> None:
        import torch  # noqa: PLC0415

        from engine.library import DEFAULT  # noqa: PLC0415
        from engine.live import LiveEngine, warm_up  # noqa: PLC0415

        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        try:
            instrument = _proved(name)
        except MusicNNError as error:
            if self.engine is not None or name == DEFAULT:
                raise
            self.message.emit(_sentence(str(error)), True)
            instrument = _proved(DEFAULT)
        warm_up(instrument)
        if self.engine is None:
            engine = LiveEngine(instrument)
            for knob, value in self.knobs.items():
                engine.turn(knob, value)
            engine.open_score(self.score)
            gc.freeze()
            self.engine = engine
        else:
            self.engine.load(instrument)
        self._on_window_thread.emit(lambda: self._take(instrument))

    def _take(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.settings.instrument = instrument.name
        kept = {name: self.knobs[name] for name in MASTER}
        self.knobs = {name: KNOBS[name].default for name in instrument.knobs} | kept
        self.instrument_changed.emit()

    def _announce(self) -> None:
        if self.engine is not None:
            self.ready.emit()

    def _read(self, path: Path) -> None:
        score = read_score(path, SAMPLE_RATE)
        if self.engine is not None:
            self.engine.open_score(score)
        self._on_window_thread.emit(lambda: self._take_score(score, path))

    def _take_score(self, score: Score, path: Path) -> None:
        self.score, self.score_path = score, path
        if path != DEMO:
            self.settings.folder = str(path.parent)
        self.score_changed.emit()
        if score.warnings:
            self.message.emit(f"{path.name}: {'; '.join(score.warnings)}.", False)

    def _open_devices(self) -> None:
        from engine.audio.output import devices  # noqa: PLC0415

        if self.engine is None:
            return
        try:
            self.devices = devices()
        except MusicNNError as error:
            self.message.emit(_sentence(str(error)), True)
        self.devices_changed.emit()
        self._open_output()

    def _open_output(self) -> None:
        from engine.audio.output import AudioOutput  # noqa: PLC0415

        if self.engine is None:
            return
        self._close_output()
        wanted = [device for device in self.devices if device.title == self.settings.device] or self.devices[:1]
        if not wanted:
            self._go_silent()
            self.message.emit(NO_DEVICE, True)
            return
        if self.settings.device and wanted[0].title != self.settings.device:
            self.message.emit(f"{self.settings.device} is not there: {wanted[0].title} is used.", True)
        output = AudioOutput(self.engine.render, SAMPLE_RATE, self.engine.look_ahead, self.engine.relaxed)
        try:
            output.open(wanted[0], self.settings.block)
        except MusicNNError:
            self._go_silent()
            raise
        self._output = output
        self.devices_changed.emit()

    def _go_silent(self) -> None:
        from engine.audio.silent import SilentOutput  # noqa: PLC0415

        assert self.engine is not None
        self._silent = SilentOutput(self.engine.render, SAMPLE_RATE)
        self._silent.open()
        self.devices_changed.emit()

    def _close_output(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None
        if self._silent is not None:
            self._silent.close()
            self._silent = None

    def _rescan(self) -> None:
        from engine.audio.output import rescan  # noqa: PLC0415

        self._close_output()
        try:
            self.devices = rescan()
        finally:
            self._open_output()
        if self._midi is None:
            self._open_midi()
        else:
            self._list_ports()

    def _lost(self) -> None:
        """The device has gone while it played."""
        if self._output is None or self._output.running:
            return
        gone = self._output.meters.device
        self._close_output()
        if self.engine is not None:
            self.engine.panic()
            self._go_silent()
        self.message.emit(f"{gone or 'The sound device'} has gone: connect it and press Rescan.", True)

    def _open_midi(self) -> None:
        from engine.midi.ports import MidiInput  # noqa: PLC0415

        midi = MidiInput(self._heard)
        midi.start()
        self._midi = midi
        self._list_ports()
        self._connect_midi()

    def _list_ports(self) -> None:
        self.ports = self._midi.ports() if self._midi else []
        self.ports_changed.emit()

    def _connect_midi(self) -> None:
        if self._midi is None:
            raise MidiPortError("there is no MIDI on this machine: press Rescan once there is")
        wanted = self.settings.midi_port
        if wanted == AUTO_PORT:
            wanted = self.ports[0] if len(self.ports) == 1 else ""
        self._midi.connect(wanted)
        self.ports_changed.emit()

    def _heard(self, event: Event) -> None:
        """On MIDI's own thread."""
        self.last_midi = event
        self.play(event)

    def _shut(self) -> None:
        if self._midi is not None:
            self._midi.close()
        self._close_output()

    def _look(self) -> None:
        """Twice a second: has the device gone, have ports come or gone?"""
        if self._output is not None and not self._output.running:
            self._do("", self._lost)
        if self._midi is not None and (ports := self._midi.ports()) != self.ports:
            self.ports = ports
            self.ports_changed.emit()
            if self.settings.midi_port == AUTO_PORT and not self._midi.connected:
                self._do("", self._connect_midi)

    # --- the export thread ---

    def _export(self, score: Score, instrument: Instrument, path: Path, knobs: dict[str, float]) -> None:
        import torch  # noqa: PLC0415

        from engine.render import RenderOptions, render_file  # noqa: PLC0415

        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        _step_back()

        def progress(done: float) -> bool:
            self.export_progress.emit(done)
            return not self._cancelled.is_set()

        finished = False
        try:
            finished = render_file(score, instrument, path, RenderOptions(knobs), progress)
            text = f"{path.name} is written." if finished else "The export was cancelled."
            self.message.emit(text, False)
        except MusicNNError as error:
            self.message.emit(_sentence(str(error)), True)
        except Exception:
            log.exception("while exporting")
            self.message.emit("The export failed; the log says why.", True)
        self.export_ended.emit(path.name if finished else "")

    def remember(self, **changes: object) -> None:
        """Change settings that belong to the window."""
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]


def _proved(name: str) -> Instrument:
    """An instrument that sounds as it did when it was made: whatever its numbers are, they are no surprise."""
    from engine.instrument import prove  # noqa: PLC0415
    from engine.library import folder_of, open_instrument  # noqa: PLC0415

    instrument = open_instrument(name)
    prove(instrument, folder_of(name))
    return instrument


def _sentence(text: str) -> str:
    if text.partition(" ")[0].isalpha():  # a file's name stays as it is written
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def _step_back() -> None:
    """Let the sound go first: on Linux a thread has a niceness of its own."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), EXPORT_NICENESS)
    except (AttributeError, OSError):
        return
