"""What the window shows and changes, as signals: engine, devices, score, instrument, export, recording. No widgets.

What can be undone is in `musicnn_gui.editing`. The engine runs in a process of its own (`engine.client`); what it tells
comes back as signals. Reading and writing files happens in a thread, so that a slow disk does not stop the window.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from engine.audio.recorder import Take
from engine.description import SAMPLE_RATE
from engine.errors import InputFileError, MusicNNError, sentence
from engine.exporting import Export
from engine.knobs import KNOBS, MASTER, Knob
from engine.library import DEFAULT
from engine.midi.content import not_followed
from engine.midi.events import Event, note_off, note_on
from engine.midi.files import Score, TrackInfo, read_score
from engine.midi.monitor import PEDALS
from engine.score_options import ScoreOptions
from engine.transport import arranged
from musicnn_gui.assets import DEMO
from musicnn_gui.editing import Editing, neighbour
from musicnn_gui.instruments import InstrumentEntry, listed
from musicnn_gui.memory import first_state, remembered, same_preset
from musicnn_gui.presets import Preset
from musicnn_gui.recordings import left_take, new_take, spoken
from musicnn_gui.settings import Settings

if TYPE_CHECKING:
    from engine.audio.output import OutputMeters
    from engine.reports import InstrumentInfo, Snapshot, Tap

log = logging.getLogger(__name__)

SILENT = "no sound device"
CLOSE_SECONDS = 5.0
CUT = "The sound engine stopped, and the recording with it: what there is of it is kept and can be saved."


class Session(Editing):
    """The state of the program. Everything public is called by the window's thread."""

    ready = Signal()
    """The instrument can be played."""
    busy = Signal(str)
    """What is being done, for the status line; empty when it is done."""
    instrument_changed = Signal()
    instruments_changed = Signal()
    score_changed = Signal()
    devices_changed = Signal()
    ports_changed = Signal()
    export_progress = Signal(float)
    """Share that is done, 0-1."""
    export_ended = Signal(str)
    """Name of the finished file; empty where it was cancelled or failed."""
    recording_changed = Signal()
    """It has begun, ended, or been saved."""

    _on_window_thread = Signal(object)

    def __init__(self, settings: Settings, parent: QObject | None = None, *, crashed: bool = False) -> None:
        """crashed: the program has not ended by itself the last time."""
        super().__init__(parent)
        self.settings = settings
        self.crashed_last_time = crashed
        self.score: Score | None = None
        self.score_path: Path | None = None
        self.devices: list[str] = []
        self.device = SILENT
        """Title of the device in use, or that there is none."""
        self.ports: list[str] = []
        self.midi_connected = ""
        """Name of the MIDI port that is listened to, or nothing."""
        self.instruments: list[InstrumentEntry] = []
        self.parts: dict[int, str] = {}
        """Sources of instruments by the tracks that have one of their own."""
        self.take: Take | None = None
        """What was recorded last, saved or not."""
        self._recording: Take | None = None
        self._saving: Path | None = None
        self._saved = False
        self._pending_preset: Preset | None = None
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="reading")
        self._export: Export | None = None
        self._export_path = Path()
        self._closing = self._ready = False
        self._on_window_thread.connect(self._call)
        self.refresh_instruments()

    # --- starting and ending ---

    def start(self, score: Path | None = None) -> None:
        """Load the instrument, open the devices, then the score."""
        settings = self.settings
        if self.crashed_last_time:
            self._say_later(f"MusicNN ended unexpectedly the last time, with {settings.instrument} loaded.", True)
            settings.instrument = DEFAULT
        if score is not None:
            self.open_score(score)
        self.take = left_take()
        if self.take is not None:
            self._say_later(f"A recording of {spoken(self.take.seconds)} was not saved; it can still be.", False)
        self.engine.start(settings.instrument, self.knobs, settings.device, settings.block, settings.midi_port)

    def close(self) -> None:
        """Silence everything and let the devices go; a recording that was not saved waits for the next start."""
        self.remember()
        self._closing = True
        if self._export is not None:
            self._export.cancel()
            self._export.wait(CLOSE_SECONDS)
        self._reading.shutdown(wait=True, cancel_futures=True)
        self.engine.close()
        if self._saved and self.take is not None:
            self.take.discard()
        if self._recording is not None and not self._recording.frames:
            self._recording.discard()
        for take in (self.take, self._recording):
            if take is not None:
                take.release()

    @property
    def remembered_score(self) -> Path | None:
        """The file that was open when the program was ended, if it is still there."""
        path = Path(self.settings.score)
        return path if self.settings.score and path.is_file() else None

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

    def step_instrument(self, step: int) -> None:
        """Load the next instrument (1) or the one before (-1), round and round."""
        sources = [entry.source for entry in self.instruments]
        if sources:
            self.load_instrument(neighbour(sources, self.instrument.source if self.instrument else None, step))

    def set_favourite(self, source: str, on: bool) -> None:
        """Mark an instrument, or no longer."""
        others = [name for name in self.settings.favourites if name != source]
        self.settings.favourites = [*others, source] if on else others
        self.refresh_instruments()

    def refresh_instruments(self) -> None:
        """Look for instruments again."""
        self.instruments = listed(self.settings.favourites, self.instrument)
        self.instruments_changed.emit()

    def _open_preset(self, preset: Preset) -> None:
        """A preset of another instrument loads that one first."""
        here = self.instrument.name if self.instrument else ""
        others = [entry for entry in self.instruments if Path(entry.source).name == preset.instrument]
        if preset.instrument in ("", here):
            self.load_preset(preset)
        elif others:
            self._pending_preset = preset
            self.load_instrument(others[0].source)
        else:
            self.message.emit(f"{preset.title} is for {preset.instrument}, which is not installed here.", True)

    # --- score ---

    @property
    def tracks(self) -> list[TrackInfo]:
        """Parts of the score."""
        return list(self.score.tracks) if self.score is not None else []

    def open_score(self, path: Path) -> None:
        """Read a MIDI file and stand at its beginning."""
        self._do(f"reading {path.name}", self._read, path)

    def listen(self, path: Path) -> None:
        """Let pads or a song start from a sound file; the sliders that it moves come as `knobs_changed`."""
        self.engine.listen(path)

    def set_part(self, track: int, source: str | None) -> None:
        """Give a track, and all others on its channel, an instrument of its own; None lets the main one play it."""
        channel = self.tracks[track].channel
        for other in self.tracks:
            if other.channel == channel:
                self.parts.pop(other.index, None)
                if source is not None:
                    self.parts[other.index] = source
        self.engine.load_part(channel, source)
        self.score_options_changed.emit()

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
        """Render the score as it is played, knobs and all, into a .wav or .flac file, beside the playing.

        Of a loop, its section is rendered, once.
        """
        if self.exporting:
            self.message.emit("An export is running already.", True)
            return
        if self.score is None or self.instrument is None:
            self.message.emit("There is nothing to export: open a MIDI file first.", True)
            return
        self._export_path = path
        self.settings.export_folder = str(path.parent)
        score, source = arranged(self.score, self.score_options), self.instrument.source
        parts = {self.tracks[track].channel: (part, dict[str, float]()) for track, part in self.parts.items()}
        self._export = Export(score, source, path, self.knobs, self.export_progress.emit, self._exported, parts)

    def cancel_export(self) -> None:
        """End a running export; nothing is left of it."""
        if self._export is not None:
            self._export.cancel()

    # --- recording ---

    @property
    def recording(self) -> float | None:
        """Seconds that have been recorded; None where nothing is."""
        if self._recording is None:
            return None
        snapshot = self.snapshot
        return (snapshot.recording if snapshot is not None else None) or 0.0

    def start_recording(self) -> None:
        """Record sound and events until that is stopped. What was recorded before and not saved stays on the disk."""
        if self._recording is None:
            if self._saved and self.take is not None:
                self.take.discard()
                self.take, self._saved = None, False
            try:
                self._recording = new_take()
            except MusicNNError as error:
                self.message.emit(sentence(str(error)), True)
                return
            self.engine.record(str(self._recording.folder))
            self.recording_changed.emit()

    def stop_recording(self) -> None:
        """End the recording; `take` is there when `recording_changed` says so."""
        if self._recording is not None:
            self.engine.record("")

    def save_recording(self, path: Path) -> None:
        """Write the last take as .wav (24 bit) or .flac, and beside it a .mid; a recording that runs is ended first."""
        if self._recording is not None:
            self._saving = path
            self.stop_recording()
        elif self.take is None:
            self.message.emit("There is nothing to save: record something first.", True)
        else:
            self.settings.recording_folder = str(path.parent)
            self._do(f"writing {path.name}", self._write_take, self.take, path)

    def discard_recording(self) -> None:
        """Throw the last take away."""
        if self.take is not None and self._recording is None:
            self.take.discard()
            self.take, self._saved = None, False
            self.recording_changed.emit()

    def _recorded(self, folder: str) -> None:
        """The engine has written all of a take, or has ended before it could."""
        take = self._recording
        if take is None or str(take.folder) != folder:
            return
        self._recording = None
        if take.frames:
            if self.take is not None:
                self.take.release()
            self.take, self._saved = take, False
        else:
            take.discard()
        self.recording_changed.emit()
        path, self._saving = self._saving, None
        if path is not None:
            self.save_recording(path)

    # --- what is played ---

    @property
    def midi_activity(self) -> int:
        """How many MIDI events have been received; it grows while somebody plays."""
        return self.engine.midi_events

    @property
    def pedals(self) -> Mapping[str, float]:
        """How far sustain, sostenuto and soft pedal are down, 0-1."""
        return dict.fromkeys(PEDALS, 0.0) | dict(self.snapshot.pedals if self.snapshot is not None else {})

    @property
    def bend(self) -> float:
        """Where the bend wheel is, -1 to 1."""
        return self.snapshot.bend if self.snapshot is not None else 0.0

    @property
    def modulation(self) -> float:
        """How far the modulation wheel is up, 0-1."""
        return self.snapshot.modulation if self.snapshot is not None else 0.0

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
        """Bring the settings up to date, and change those that belong to the window."""
        score = str(self.score_path) if self.score_path not in (None, DEMO) else ""
        mine = remembered(self._state) if self.instrument is not None else {}
        if self.score is not None:
            mine["score"] = score
        self.settings = replace(self.settings, **(mine | changes))

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

    def _write_take(self, take: Take, path: Path) -> None:
        midi = take.save(path)
        self._on_window_thread.emit(lambda: self._take_saved(take))
        self.message.emit(f"{path.name} and {midi.name} are written.", False)

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
            case "knobs":
                self._controlled(*arguments)
            case "learned":
                self._learned(*arguments)
            case "recorded":
                self._recorded(*arguments)
            case "restarted" if self._recording is not None:
                self._recorded(str(self._recording.folder))
                if self.take is not None and not self._saved:
                    self.message.emit(CUT, True)

    def _take_instrument(self, instrument: InstrumentInfo) -> None:
        before, self.settings.instrument = self.settings.instrument, instrument.source
        if self.instrument is not None and self.instrument.source == instrument.source:
            self.instrument = instrument  # an engine that was lost and started again knows its knobs
        else:
            again = self.instrument is None and before == instrument.source and not self.crashed_last_time
            self._begin_instrument(instrument, first_state(instrument, self._state, self.settings if again else None))
            if again:
                self._find_preset()
            self.refresh_instruments()
            self.instrument_changed.emit()
        preset, self._pending_preset = self._pending_preset, None
        if preset is not None and preset.instrument == instrument.name:
            self.load_preset(preset)

    def _find_preset(self) -> None:
        """The preset that was loaded when the program was ended; its knobs may have been moved since."""
        preset = same_preset(self.presets, self.settings.preset)
        if preset is not None:
            self._become(replace(self._state, preset=preset, loaded=self._values_of(preset)))

    def _take_score(self, score: Score, path: Path) -> None:
        again = self.score is None and str(path) == self.settings.score
        for track in {self.tracks[track].channel: track for track in self.parts}.values():
            self.set_part(track, None)
        self.score, self.score_path = score, path
        self._begin_score(ScoreOptions.from_json(self.settings.score_options) if again else ScoreOptions())
        if path != DEMO:
            self.settings.folder = str(path.parent)
        self.score_changed.emit()
        if said := [*score.warnings, *self._not_followed(score)]:
            self.message.emit(f"{path.name}: {'; '.join(said)}.", False)

    def _not_followed(self, score: Score) -> list[str]:
        """What of a score the instrument will not play as it asks for."""
        if self.instrument is None:
            return []
        try:
            return not_followed(score, self.instrument.kind, {})
        except InputFileError as error:  # nothing would sound
            return [str(error)]

    def _take_saved(self, take: Take) -> None:
        if self.take is take:
            self._saved = True
            self.recording_changed.emit()
        elif take.hold():
            take.discard()

    def _say_later(self, text: str, problem: bool) -> None:
        """When the window is there to show it."""
        QTimer.singleShot(0, self, lambda: self.message.emit(text, problem))
