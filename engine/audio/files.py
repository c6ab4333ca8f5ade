"""Audio files: read at the engine's rate; written as 24-bit WAV or FLAC as it comes, whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
import soxr

from engine.bounded import is_regular
from engine.errors import InputFileError, OutputFileError
from engine.spectral import Samples

SUFFIXES = {".wav": "WAV", ".flac": "FLAC"}
READABLE = (".wav", ".flac", ".mp3", ".ogg")
SUBTYPE = "PCM_24"
LEAST_FREE_BYTES = 1_000_000
RATES = range(8_000, 192_001)
LONGEST_SECONDS = 120.0  # that are read of a file
HIGHEST_RATE = 768_000  # of a file that is read; above that of any that is written, less than LONGEST_SECONDS is read
BLOCK = 1 << 16  # samples that are read at a time


def read_audio(path: Path | str, sample_rate: int) -> Samples:
    """The first LONGEST_SECONDS of a sound file (wav, flac, ogg, mp3 ...) as (2, samples) at a rate.

    Mono is put on both sides; of more than two channels the first two are taken. Raises InputFileError for what is
    missing, no sound file, broken, empty or silent.
    """
    path = Path(path)
    if not is_regular(path):  # opening a FIFO would wait for its writer
        reason = "it is no regular file" if os.path.lexists(path) else "there is no such file"
        raise InputFileError(f"{path.name} cannot be heard: {reason}")
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            sound = _beginning(file)
    except (OSError, soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError) as error:
        raise InputFileError(f"{path.name} cannot be heard: it is no sound file, or it is broken") from error
    if not len(sound) or not np.isfinite(sound).all() or not sound.any():
        raise InputFileError(f"{path.name} cannot be heard: there is no sound in it")
    if rate != sample_rate:
        sound = soxr.resample(sound, rate, sample_rate)
    return np.ascontiguousarray(sound[:, [0, min(1, sound.shape[1] - 1)]].T, np.float32)


def _beginning(file: soundfile.SoundFile) -> Samples:
    """The first samples (samples, up to 2), block by block: a header may promise more than there is memory for."""
    if not 0 < file.samplerate <= HIGHEST_RATE:
        raise ValueError(f"a rate of {file.samplerate} Hz is none")
    left, blocks = round(LONGEST_SECONDS * min(file.samplerate, RATES[-1])), []
    while left > 0:
        block = file.read(min(left, BLOCK), dtype="float32", always_2d=True)
        if not len(block):
            break
        blocks.append(block[:, :2].copy())
        left -= len(block)
    return np.concatenate(blocks) if blocks else np.zeros((0, 2), np.float32)


class AudioWriter:
    """Writes stereo blocks to a file beside the wanted one and moves it there at the end.

    A context manager: leaving it by an exception removes what was written. Raises OutputFileError for a name that is
    neither .wav nor .flac, a folder that cannot be written, or a full disk.
    """

    def __init__(self, path: Path | str, source_rate: int, rate: int | None = None) -> None:
        self.path = Path(path)
        self.rate = source_rate if rate is None else rate
        form = SUFFIXES.get(self.path.suffix.lower())
        if form is None:
            raise OutputFileError(f"{self.path.name} cannot be written: its name must end in .wav or .flac")
        if self.rate not in RATES:
            raise OutputFileError(f"a file cannot have {self.rate} Hz: the rate is in {RATES[0]}..{RATES[-1]}")
        self._frames = 0
        self._part = self.path.with_name(f".{self.path.name}.part")
        self._resampler = None
        if self.rate != source_rate:
            self._resampler = soxr.ResampleStream(source_rate, self.rate, 2, dtype="float32", quality="VHQ")
        try:
            if self.path.is_dir():
                raise IsADirectoryError(21, "it is a folder")
            self._file = soundfile.SoundFile(self._part, "w", self.rate, 2, SUBTYPE, format=form)
        except (OSError, soundfile.LibsndfileError) as error:
            raise self._failed(error) from error

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
            if soundfile.info(self._part).frames != self._frames:
                raise OSError("there was no room for its end")
            self._part.replace(self.path)
        except (OSError, soundfile.LibsndfileError) as error:
            self.abandon()
            raise self._failed(error) from error

    def _append(self, block: Samples) -> None:
        self._file.write(block)
        self._frames += len(block)

    def abandon(self) -> None:
        """Remove what was written."""
        if not self._file.closed:
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _failed(self, error: Exception) -> OutputFileError:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        folder = self.path.parent
        if not folder.is_dir():
            reason = f"there is no folder {folder}"
        elif not os.access(folder, os.W_OK):
            reason = f"the folder {folder} is write-protected"
        elif shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
            reason = "the disk is full"
        return OutputFileError(f"{self.path} cannot be written: {reason}")
