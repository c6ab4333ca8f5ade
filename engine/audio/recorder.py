"""Keeps what is played, until it is saved."""

from __future__ import annotations

from pathlib import Path

from engine.audio.files import AudioWriter
from engine.spectral import Samples

LONGEST_SECONDS = 1800


class Recorder:
    """Blocks of output in memory; the rendering thread appends, the window saves a finished take."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._blocks: list[Samples] = []
        self._samples = 0

    @property
    def seconds(self) -> float:
        """Length of the take so far."""
        return self._samples / self.sample_rate

    def append(self, block: Samples) -> bool:
        """Take (samples, 2); return False where the take is as long as it may get."""
        if self.seconds >= LONGEST_SECONDS:
            return False
        self._blocks.append(block)
        self._samples += len(block)
        return True

    def save(self, path: Path | str) -> None:
        """Write the take as 24-bit WAV or FLAC. Raises OutputFileError; the take is kept then."""
        with AudioWriter(path, self.sample_rate) as writer:
            for block in list(self._blocks):
                writer.write(block)
