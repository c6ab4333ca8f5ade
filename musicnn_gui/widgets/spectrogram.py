"""A scrolling spectrogram: a ring of columns in one picture, drawn in two pieces, so that scrolling costs nothing."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QWidget

from musicnn_gui.theme import BACKGROUND, FAINT

LENGTH, HOP = 2048, 512
ROWS, COLUMNS = 240, 516
LOW_HZ, HIGH_HZ = 30.0, 20_000.0
TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10_000)
TOP_DB, RANGE_DB = -10.0, 85.0


class Spectrum:
    """Columns of dB levels on a logarithmic axis, from samples that arrive in blocks."""

    def __init__(self, sample_rate: int) -> None:
        self._rest = np.zeros(LENGTH - HOP, np.float32)
        self._window = np.hanning(LENGTH).astype(np.float32)
        self._window /= self._window.sum() / 2
        edges = np.geomspace(LOW_HZ, HIGH_HZ, ROWS + 1) * LENGTH / sample_rate
        self._centres = np.sqrt(edges[1:] * edges[:-1])
        self._low = np.minimum(np.floor(edges[:-1]).astype(int), LENGTH // 2)
        self._wide = edges[1:] - edges[:-1] > 1

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take samples (n,); return the columns (columns, ROWS) that they complete, in dB."""
        signal = np.concatenate([self._rest, samples])
        count = max(0, (len(signal) - LENGTH) // HOP + 1)
        self._rest = signal[count * HOP :]
        if not count:
            return np.zeros((0, ROWS), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(signal, LENGTH)[::HOP][:count]
        level = 20 * np.log10(np.abs(np.fft.rfft(frames * self._window, axis=1)) + 1e-7)
        # Rows narrower than a bin are interpolated, wider ones show their loudest bin.
        bins = np.arange(level.shape[1])
        narrow = np.stack([np.interp(self._centres, bins, row) for row in level])
        wide = np.maximum.reduceat(level, self._low, axis=1)
        return np.where(self._wide, wide, narrow).astype(np.float32)


@lru_cache(maxsize=4)
def colour_table(name: str = "magma") -> NDArray[np.uint32]:
    """256 colours as 0xAARRGGBB, dark to light, (256,)."""
    table = pg.colormap.get(name).getLookupTable(0, 1, 256).astype(np.uint32)
    return np.asarray(0xFF000000 | table[:, 0] << 16 | table[:, 1] << 8 | table[:, 2], np.uint32)


class _RingItem(pg.GraphicsObject):
    """The ring of columns; the newest is at the right edge."""

    def __init__(self) -> None:
        super().__init__()
        self._pixels = np.full((ROWS, COLUMNS), colour_table()[0], np.uint32)
        self._image = QImage(self._pixels.data, COLUMNS, ROWS, 4 * COLUMNS, QImage.Format.Format_RGB32)
        self._next = 0

    def append(self, columns: NDArray[np.uint32]) -> None:
        """Write columns (n, ROWS), the lowest frequency first."""
        places = (self._next + np.arange(len(columns))) % COLUMNS
        self._pixels[:, places] = columns.T[::-1]
        self._next = int((self._next + len(columns)) % COLUMNS)
        self.update()

    def boundingRect(self) -> QRectF:
        """Seconds do not matter here: a column is one unit wide, a row one high."""
        return QRectF(-COLUMNS, 0, COLUMNS, ROWS)

    def paint(self, painter: QPainter, *_: object) -> None:
        """The older piece, then the newer one. The view's vertical axis points up, the image's down."""
        painter.save()
        painter.translate(-COLUMNS, ROWS)
        painter.scale(1, -1)
        old = COLUMNS - self._next
        painter.drawImage(QRectF(0, 0, old, ROWS), self._image, QRectF(self._next, 0, old, ROWS))
        painter.drawImage(QRectF(old, 0, self._next, ROWS), self._image, QRectF(0, 0, self._next, ROWS))
        painter.restore()


class SpectrogramView(pg.PlotWidget):
    """Title, axes and the scrolling picture."""

    def __init__(self, title: str, sample_rate: int, gain_db: float = 0.0, parent: QWidget | None = None) -> None:
        """`gain_db` is added to what is shown."""
        super().__init__(parent, background=BACKGROUND)
        self._spectrum, self._gain_db = Spectrum(sample_rate), gain_db
        self._ring = _RingItem()
        plot = self.getPlotItem()
        plot.setTitle(title, color=FAINT, size="9pt")
        plot.addItem(self._ring)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.setMouseEnabled(False, False)
        plot.setRange(xRange=(-COLUMNS, 0), yRange=(0, ROWS), padding=0)
        vertical, horizontal = plot.getAxis("left"), plot.getAxis("bottom")
        vertical.setTicks([[(_row_of(hz), f"{hz / 1000:g}k" if hz >= 1000 else str(hz)) for hz in TICKS_HZ]])
        per_second = sample_rate / HOP
        horizontal.setTicks([[(-s * per_second, f"-{s} s" if s else "now") for s in range(7)]])
        self.setAccessibleName(title)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def push(self, samples: NDArray[np.float32]) -> None:
        """Take samples (n,) and scroll; draws only where the view can be seen."""
        columns = self._spectrum.push(samples)
        if len(columns):
            share = np.clip((columns[-COLUMNS:] + self._gain_db - TOP_DB + RANGE_DB) / RANGE_DB, 0, 1)
            self._ring.append(colour_table()[(share * 255).astype(np.uint8)])


def _row_of(hz: float) -> float:
    return float(np.log(hz / LOW_HZ) / np.log(HIGH_HZ / LOW_HZ) * ROWS)
