"""Keeps what is played, sound and events, until it is saved.

The render worker only appends to a queue; a thread writes what is in it to a folder of the take, from where it can be
saved as often as one likes, by any process, even when the one that recorded it has died.

    TAKE/audio.f32      samples (n, 2), little-endian 32-bit floats
    TAKE/events.jsonl   [sample, kind, channel, number, value] a line
    TAKE/writer.lock    locked by the process that records
    TAKE/holder.lock    locked by the process that the take belongs to: it alone saves and discards it

Everything is handed to the system as it comes: a recorder that is killed loses what waits in the queue, some blocks.
Only the user can read a take.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from engine.audio.files import AudioWriter
from engine.description import SAMPLE_RATE
from engine.errors import OutputFileError
from engine.locks import FileLock
from engine.midi.events import Event, Kind
from engine.midi.writing import write_midi
from engine.outputs import PRIVATE_FILE, private_folder
from engine.spectral import Samples

AUDIO_FILE, EVENTS_FILE = "audio.f32", "events.jsonl"
WRITER_FILE, HOLDER_FILE = "writer.lock", "holder.lock"
FRAME_BYTES = 8
LONGEST_SECONDS = 3 * 3600.0
LEAST_FREE_BYTES = 200_000_000  # of the disk, that a recording leaves to others
MOST_WAITING_SECONDS = 60.0  # in the queue, where the disk does not keep up
READ_FRAMES = 65_536
LOOK_SECONDS = 1.0  # between two looks how full the disk is

log = logging.getLogger(__name__)


class Take:
    """A folder that a recorder wrote."""

    def __init__(self, folder: Path, sample_rate: int = SAMPLE_RATE) -> None:
        self.folder, self.sample_rate = folder, sample_rate
        self._holder = FileLock(folder / HOLDER_FILE)
        self._midi: Path | None = None  # the file that was saved beside the sound

    def hold(self) -> bool:
        """Make the take this process's own until it is released, discarded, or the process ends; False where it is
        another's, or is being recorded."""
        writer = FileLock(self.folder / WRITER_FILE)
        try:
            if not self._holder.acquire():
                return False
            if writer.acquire():
                writer.release()
                return True
        except OSError:  # it has just been discarded, or there are no locks here: what is not ours is left alone
            pass
        self._holder.release()
        return False

    def release(self) -> None:
        """Let another process have it."""
        self._holder.release()

    @property
    def frames(self) -> int:
        """Samples of the take; a last one that was cut off does not count."""
        try:
            return (self.folder / AUDIO_FILE).stat().st_size // FRAME_BYTES
        except OSError:
            return 0

    @property
    def seconds(self) -> float:
        """Length of the take."""
        return self.frames / self.sample_rate

    def save(self, path: Path | str) -> Path:
        """Write a 24-bit WAV, RF64 or FLAC file, and beside it a MIDI file; return the latter's path.

        A MIDI file of that name that is not this take's is left alone: a number is added. Raises OutputFileError; the
        take is kept in any case.
        """
        path = Path(path)
        with AudioWriter(path, self.sample_rate, frames=self.frames) as writer:
            for block in self._blocks():
                writer.write(block)
        names = itertools.chain([path.stem], (f"{path.stem} {number}" for number in itertools.count(2)))
        midi = next(path for path in (path.with_name(f"{name}.mid") for name in names) if self._may_write(path))
        write_midi(midi, self._events(), self.sample_rate, self.frames)
        self._midi = midi
        return midi

    def discard(self) -> None:
        """Remove it."""
        if sys.platform == "win32":  # where locked files cannot be removed
            self._holder.release()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._holder.release()

    def _may_write(self, midi: Path) -> bool:
        return midi == self._midi or not os.path.lexists(midi)

    def _blocks(self) -> Iterator[Samples]:
        left = self.frames
        try:
            with (self.folder / AUDIO_FILE).open("rb") as file:
                while left > 0:
                    block = np.fromfile(file, "<f4", 2 * min(left, READ_FRAMES)).reshape(-1, 2)
                    left -= len(block) or left
                    yield block.astype(np.float32, copy=False)
        except OSError as error:
            raise OutputFileError(f"the recording in {self.folder} cannot be read: {error.strerror}") from error

    def _events(self) -> Iterator[Event]:
        try:
            with (self.folder / EVENTS_FILE).open(encoding="utf-8") as file:
                for line in file:
                    event = _event(line)
                    if event is not None:
                        yield event
        except OSError as error:
            raise OutputFileError(f"the recording in {self.folder} cannot be read: {error.strerror}") from error


def takes(folder: Path) -> list[Take]:
    """The takes in a folder, oldest first; what holds no sound is left out."""
    found = [Take(path.parent) for path in sorted(folder.glob(f"*/{AUDIO_FILE}"))]
    return [take for take in found if take.frames]


class Recorder:
    """Writes a take. `append` is the render worker's, `close` any other thread's."""

    def __init__(self, folder: Path, sample_rate: int = SAMPLE_RATE) -> None:
        """Make the folder and its files. Raises OutputFileError."""
        self.take = Take(folder, sample_rate)
        self.problem = ""
        """Why it has ended by itself, a sentence."""
        self._samples = 0
        self._waiting = 0  # samples in the queue
        self._queue: queue.SimpleQueue[tuple[Samples, list[Event]] | None] = queue.SimpleQueue()
        try:
            private_folder(folder)
            self._audio = io.FileIO(folder / AUDIO_FILE, "x", opener=_open_private)
            events = io.FileIO(folder / EVENTS_FILE, "x", opener=_open_private)
            self._events = io.TextIOWrapper(io.BufferedWriter(events), "utf-8")
            self._lock = FileLock(folder / WRITER_FILE)
            with contextlib.suppress(OSError):  # there may be no locks
                self._lock.acquire()
        except OSError as error:
            raise OutputFileError(f"nothing can be recorded in {folder}: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        """Length of the take so far."""
        return self._samples / self.take.sample_rate

    def append(self, block: Samples, events: Iterable[Event] = ()) -> bool:
        """Take (samples, 2) and events on the take's clock; return False where the recording has ended by itself."""
        if self.problem:
            return False
        if self.seconds >= LONGEST_SECONDS:
            self.problem = f"the recording is {LONGEST_SECONDS / 3600:g} hours long and was ended; it is kept"
            return False
        if self._waiting >= MOST_WAITING_SECONDS * self.take.sample_rate:
            self.problem = "the disk is too slow to record to: the recording was ended; what there is of it is kept"
            return False
        self._samples += len(block)
        self._waiting += len(block)
        self._queue.put((block, list(events)))
        return True

    def close(self) -> Take:
        """Write what is left and end; nothing is appended any more."""
        self._queue.put(None)
        self._thread.join()
        self._lock.release()
        return self.take

    def _run(self) -> None:
        looked = 0.0
        try:
            with self._audio, self._events:
                while (piece := self._queue.get()) is not None:
                    block, events = piece
                    self._write(block, events)
                    self._waiting -= len(block)
                    if time.monotonic() - looked > LOOK_SECONDS:
                        looked = time.monotonic()
                        self._look()
        except OSError as error:
            log.warning("the recording was ended: %s", error)
            self.problem = "the disk is full: the recording was ended; what there is of it is kept"

    def _write(self, block: Samples, events: list[Event]) -> None:
        data = block.astype("<f4").tobytes()
        while data:
            data = data[self._audio.write(data) :]
        for event in events:
            self._events.write(json.dumps([event.sample, event.kind.value, event.channel, event.number, event.value]))
            self._events.write("\n")
        self._events.flush()

    def _look(self) -> None:
        folder = self.take.folder
        if not os.path.isdir(folder) or shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
            self.problem = "the disk is nearly full: the recording was ended; what there is of it is kept"


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE_FILE)


def _event(line: str) -> Event | None:
    """The event of a line; None for one that was cut off."""
    try:
        sample, kind, channel, number, value = json.loads(line)
        return Event(sample, Kind(kind), channel, number, value)
    except (ValueError, TypeError):
        return None
