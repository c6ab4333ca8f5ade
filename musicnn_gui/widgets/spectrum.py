"""What a spectrogram computes: columns of levels from samples, frequency axes, colours. No widgets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LENGTH, HOP = 2048, 512
BINS = LENGTH // 2 + 1
LOW_HZ, HIGH_HZ = 30.0, 20_000.0
STEPS_PER_DB, LOWEST_DB = 2, -127.5
"""A level is kept in a byte: half a dB a step, 0 is LOWEST_DB and silence, 255 is 0 dB."""
AXES = ("log", "linear", "mel")
TICKS_HZ = {
    "log": (50, 100, 200, 500, 1000, 2000, 5000, 10_000),
    "linear": (2000, 4000, 6000, 8000, 10_000, 12_000, 14_000, 16_000, 18_000),
    "mel": (200, 500, 1000, 2000, 3000, 5000, 8000, 12_000),
}

Levels = NDArray[np.uint8]

_MAPS = {
    "magma": "magma", "inferno": "inferno", "viridis": "viridis", "cividis": "cividis", "ice": "CET-L6",
    "grey": "CET-L1",
}  # fmt: skip
"""Names for the player, and pyqtgraph's: all are perceptually even (matplotlib's, and Kovesi's CET)."""
COLOUR_MAPS = tuple(_MAPS)


@dataclass(frozen=True)
class SpectrogramOptions:
    """How levels are shown. floor_db, top_db: what is darkest and what is brightest."""

    axis: str = "log"
    floor_db: int = -100
    top_db: int = -15
    colours: str = "magma"


class Spectrum:
    """Columns of levels from samples that arrive in blocks; a full-scale sine stands at 0 dB."""

    def __init__(self, gain_db: float = 0.0) -> None:
        """`gain_db` is added to what is measured."""
        self._rest = np.zeros(LENGTH - HOP, np.float32)
        window = np.hanning(LENGTH)
        self._window = (window / (window.sum() / 2)).astype(np.float32)
        self._gain_db = gain_db

    def push(self, samples: NDArray[np.float32]) -> Levels:
        """Take samples (n,); return the columns (columns, BINS) that they complete."""
        signal = np.concatenate([self._rest, samples])
        count = max(0, (len(signal) - LENGTH) // HOP + 1)
        self._rest = signal[count * HOP :]
        if not count:
            return np.zeros((0, BINS), np.uint8)
        frames = np.lib.stride_tricks.sliding_window_view(signal, LENGTH)[::HOP][:count]
        lines = np.fft.rfft(frames * self._window, axis=1)
        level = 10 * np.log10(lines.real**2 + lines.imag**2 + 1e-13) + self._gain_db
        return np.asarray(np.clip((level - LOWEST_DB) * STEPS_PER_DB, 0, 255), np.uint8)


def level_db(code: float) -> float:
    """Level of a byte."""
    return code / STEPS_PER_DB + LOWEST_DB


def to_axis(hz: NDArray[np.float64] | float, axis: str) -> NDArray[np.float64]:
    """Frequency in the axis' own unit: log2 Hz, Hz, or mel as 2595 log10(1 + hz / 700)."""
    values = np.asarray(hz, np.float64)
    if axis == "linear":
        return values
    return 2595 * np.log10(1 + values / 700) if axis == "mel" else np.log2(values)


def from_axis(value: NDArray[np.float64] | float, axis: str) -> NDArray[np.float64]:
    """Hz of a value in the axis' own unit."""
    values = np.asarray(value, np.float64)
    if axis == "linear":
        return values
    return 700 * (10 ** (values / 2595) - 1) if axis == "mel" else 2.0**values


def share_of(hz: float, axis: str) -> float:
    """Place of a frequency on the axis, 0 at LOW_HZ, 1 at HIGH_HZ."""
    low, high = to_axis(LOW_HZ, axis), to_axis(HIGH_HZ, axis)
    return float((to_axis(hz, axis) - low) / (high - low))


def hz_at(share: float, axis: str) -> float:
    """Frequency at a place on the axis."""
    low, high = to_axis(LOW_HZ, axis), to_axis(HIGH_HZ, axis)
    return float(from_axis(low + share * (high - low), axis))


class RowMap:
    """From bins to the rows of a picture. Rows narrower than a bin are interpolated, wider ones show the loudest."""

    def __init__(self, axis: str, rows: int, sample_rate: int) -> None:
        low, high = to_axis(LOW_HZ, axis), to_axis(HIGH_HZ, axis)
        edges = from_axis(np.linspace(low, high, rows + 1), axis) * LENGTH / sample_rate
        edges = np.clip(edges, 0, BINS - 1.001)
        centres = (edges[1:] + edges[:-1]) / 2
        self._left = np.floor(centres).astype(np.intp)
        self._share = (centres - self._left).astype(np.float32)
        self._wide = np.flatnonzero(edges[1:] - edges[:-1] > 1)
        self._starts = np.floor(edges[:-1]).astype(np.intp)[self._wide]

    def rows(self, columns: Levels) -> Levels:
        """Levels of a picture's rows (columns, rows), the lowest frequency first, from bins (columns, BINS)."""
        left = columns[:, self._left].astype(np.float32)
        rows = (left + (columns[:, self._left + 1] - left) * self._share).astype(np.uint8)
        if len(self._wide):
            rows[:, self._wide] = np.maximum.reduceat(columns, self._starts, axis=1)
        return rows


@lru_cache(maxsize=16)
def colour_table(name: str, floor_db: int, top_db: int) -> NDArray[np.uint32]:
    """Colour of every level as 0xFFRRGGBB, (256,)."""
    import pyqtgraph  # noqa: PLC0415  # takes half a second, which the window's start need not wait for

    shares = np.clip((level_db_table() - floor_db) / max(1, top_db - floor_db), 0, 1)
    colours = pyqtgraph.colormap.get(_MAPS[name]).map(shares, mode=pyqtgraph.ColorMap.BYTE).astype(np.uint32)
    red, green, blue = colours[:, 0], colours[:, 1], colours[:, 2]
    return np.asarray(0xFF000000 | red << 16 | green << 8 | blue, np.uint32)


def level_db_table() -> NDArray[np.float64]:
    """Level of every byte, (256,)."""
    return np.arange(256) / STEPS_PER_DB + LOWEST_DB
