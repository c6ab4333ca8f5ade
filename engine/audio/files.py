"""Audio files: read at the engine's rate; written as 24-bit WAV or FLAC as it comes, whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import soundfile
import soxr

from engine.bounded import not_a_file
from engine.errors import InputFileError, OutputFileError
from engine.outputs import OutputFile
from engine.spectral import Samples

SUFFIXES = {".wav": "WAV", ".flac": "FLAC"}
READABLE = (".wav", ".flac", ".mp3", ".ogg", ".wave", ".aiff", ".aif", ".aifc", ".oga", ".opus", ".w64", ".caf", ".au")
SUBTYPE = "PCM_24"
FRAME_BYTES = 6  # of 24-bit stereo
WAV_MOST_BYTES = 2**32 - 4096  # of samples: the sizes in a WAV file have 32 bits; above this, RF64 is written
LEAST_FREE_BYTES = 1_000_000
CLEAR = (errno.EISDIR, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG)  # errors whose text says enough
RATES = range(8_000, 192_001)
LONGEST_SECONDS = 120.0  # that are read of a file
HIGHEST_RATE = 768_000  # of a file that is read; above that of any that is written, less than LONGEST_SECONDS is read
BLOCK = 1 << 16  # samples that are read at a time


def sound_name(path: Path) -> Any:
    """A path as soundfile takes it: names that are not UTF-8 as bytes, which its type hints leave out."""
    return str(path) if sys.platform == "win32" else os.fsencode(path)


def read_audio(path: Path | str, sample_rate: int) -> Samples:
    """The first LONGEST_SECONDS of a sound file (wav, flac, ogg, mp3, aiff ...) as (2, samples) at a rate.

    Mono is put on both sides; of more than two channels the first two are taken. Raises InputFileError for what is
    missing, no sound file, broken, empty or silent.
    """
    path = Path(path)
    problem = not_a_file(path)
    if problem:
        raise InputFileError(f"{path.name} cannot be heard: {problem}")
    try:
        with soundfile.SoundFile(sound_name(path)) as file:
            rate = file.samplerate
            sound = _beginning(file)
        if len(sound) and rate != sample_rate:
            sound = soxr.resample(sound, rate, sample_rate)
    except (OSError, soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError) as error:
        reason = "it is no sound file, or it is broken"
        if not os.access(path, os.R_OK):
            reason = "you have no right to read it"
        raise InputFileError(f"{path.name} cannot be heard: {reason}") from error
    if not np.isfinite(sound).all():
        raise InputFileError(f"{path.name} cannot be heard: it holds numbers that are not finite")
    if not len(sound) or not sound.any():
        raise InputFileError(f"{path.name} cannot be heard: there is no sound in it")
    return np.ascontiguousarray(sound.T, np.float32)


def _beginning(file: soundfile.SoundFile) -> Samples:
    """The first samples (samples, 2), block by block: a header may promise more than there is memory for."""
    if not 0 < file.samplerate <= HIGHEST_RATE:
        raise ValueError(f"a rate of {file.samplerate} Hz is none")
    left, blocks = round(LONGEST_SECONDS * min(file.samplerate, RATES[-1])), []
    while left > 0:
        block = file.read(min(left, BLOCK), dtype="float32", always_2d=True)
        if not len(block):
            break
        blocks.append(block[:, [0, min(1, block.shape[1] - 1)]])
        left -= len(block)
    return np.concatenate(blocks) if blocks else np.zeros((0, 2), np.float32)


class AudioWriter:
    """Writes stereo blocks to a part file and puts it in place at the end.

    A context manager: leaving it by an exception removes what was written. Raises OutputFileError for a name that is
    neither .wav nor .flac, a file that cannot be replaced, a folder that cannot be written, or a full disk.

    `frames`, at the source's rate, are sure to come, `tail` ones may follow. They choose RF64 where a WAV would be too
    large, and are refused at once where the disk has no room for the samples (FLAC's size is not known before).
    """

    def __init__(
        self, path: Path | str, source_rate: int, rate: int | None = None, *, frames: int = 0, tail: int = 0
    ) -> None:
        self.path = Path(path)
        self.rate = source_rate if rate is None else rate
        form = SUFFIXES.get(self.path.suffix.lower())
        if form is None:
            raise OutputFileError(f"{self.path.name} cannot be written: its name must end in .wav or .flac")
        if self.rate not in RATES:
            raise OutputFileError(f"a file cannot have {self.rate} Hz: the rate is in {RATES[0]}..{RATES[-1]}")
        frame_bytes = FRAME_BYTES * self.rate / source_rate
        if form == "WAV" and (frames + tail) * frame_bytes > WAV_MOST_BYTES:
            form = "RF64"
        self._form, self._frames = form, 0
        self._resampler = None
        if self.rate != source_rate:
            self._resampler = soxr.ResampleStream(source_rate, self.rate, 2, dtype="float32", quality="VHQ")
        try:
            self._output = OutputFile(self.path)
        except OSError as error:
            raise self._failed(error) from error
        try:
            if form != "FLAC":
                self._check_room(round(frames * frame_bytes))
            part = sound_name(self._output.part)
            self._file = soundfile.SoundFile(part, "w", self.rate, 2, SUBTYPE, format=form)
        except (OSError, soundfile.LibsndfileError) as error:
            self._output.discard()
            raise self._failed(error) from error
        except BaseException:
            self._output.discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def write(self, block: Samples) -> None:
        """Append (samples, 2), full scale being 1."""
        if self._resampler is not None:
            block = self._resampler.resample_chunk(block)
        try:
            self._append(block)
        except (OSError, soundfile.LibsndfileError) as error:
            self.abandon()
            raise self._failed(error) from error

    def close(self) -> None:
        """Finish the file and put it in place."""
        try:
            if self._resampler is not None:
                self._append(self._resampler.resample_chunk(np.zeros((0, 2), np.float32), last=True))
            if not self._frames:
                self._append(np.zeros((1, 2), np.float32))  # a FLAC file without sound could not be read
            self._file.close()
            # libsndfile does not tell where there was no room for the last block of a FLAC file.
            if soundfile.info(sound_name(self._output.part)).frames != self._frames:
                raise OSError("there was no room for its end")
            self._output.commit(durable=True)
        except (OSError, soundfile.LibsndfileError) as error:
            self.abandon()
            raise self._failed(error) from error
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Remove what was written."""
        if not self._file.closed:
            self._file.close()
        self._output.discard()

    def _append(self, block: Samples) -> None:
        if self._form == "WAV" and (self._frames + len(block)) * FRAME_BYTES > WAV_MOST_BYTES:
            raise OSError(errno.EFBIG, "a WAV file ends at 4 GiB, and it was not known that it would be longer")
        self._file.write(block)
        self._frames += len(block)

    def _check_room(self, size: int) -> None:
        """Raise OSError where the samples cannot fit."""
        free = shutil.disk_usage(self._output.part.parent).free
        if size > free:
            raise OSError(errno.EDQUOT, f"it would be {_amount(size)} long, and the disk has room for {_amount(free)}")
        if size > WAV_MOST_BYTES:  # some file systems take no file as large
            try:
                os.truncate(self._output.part, size)
                os.truncate(self._output.part, 0)
            except OSError as error:
                raise OSError(error.errno, f"it would be {_amount(size)} long, too long for a file there") from error

    def _failed(self, error: Exception) -> OutputFileError:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        if reason == "System error":  # libsndfile's word for every failed write
            reason = "the disk or a quota is full"
        try:
            folder = Path(os.path.realpath(self.path)).parent
        except ValueError:  # no file can have this name
            folder = self.path.parent
        if isinstance(error, PermissionError) and not os.path.isdir(folder):  # it, or one above, may not be entered
            reason = f"the folder {folder} is write-protected"
        elif not os.path.isdir(folder):
            reason = f"there is no folder {folder}"
        elif isinstance(error, OSError) and error.errno in CLEAR:
            pass
        elif not os.access(folder, os.W_OK):
            reason = f"the folder {folder} is write-protected"
        elif shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
            reason = "the disk is full"
        return OutputFileError(f"{self.path} cannot be written: {reason}")


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
