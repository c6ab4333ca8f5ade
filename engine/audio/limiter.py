"""A look-ahead peak limiter: what leaves the engine never goes beyond its ceiling, and never clicks on the way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.units import db_to_gain

LOOKAHEAD = 32  # samples of delay, 0.7 ms at 44.1 kHz
CEILING_DB = -1.0
RELEASE_SECONDS = 0.08
UNHEARD = 1e-6  # of gain: less than a step of 16-bit sound


class Limiter:
    """Stereo limiter with a constant delay of LOOKAHEAD samples; below the ceiling it changes nothing.

    The gain that each sample needs is held over the look-ahead and averaged over it, so that it has come down
    smoothly when the peak arrives; it recovers exponentially. Any block size gives the same samples.
    """

    def __init__(self, sample_rate: int, ceiling_db: float = CEILING_DB) -> None:
        self._ceiling = np.float32(db_to_gain(ceiling_db))
        self._recover = float(np.exp(-1.0 / (RELEASE_SECONDS * sample_rate)))
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._delayed = np.zeros((2, LOOKAHEAD), np.float32)
        self._needed = np.ones(LOOKAHEAD)  # gains asked for by the samples in the delay
        self._held = np.ones(LOOKAHEAD)  # their running minimum, still to be averaged
        self._gain = 1.0
        self.reduction = 1.0
        """Smallest gain in the last block, 1 where nothing was limited."""

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take (2, samples); return as many, delayed. A block with numbers that are not finite is taken for silence:
        they would stay in the gain."""
        samples = block.shape[1]
        if not samples:
            return block
        if not np.isfinite(np.vdot(block, block)):
            block = np.zeros_like(block)
        peak = np.abs(block).max(axis=0)
        needed = np.concatenate([self._needed, np.minimum(1.0, self._ceiling / np.maximum(peak, 1e-9))])
        signal = np.concatenate([self._delayed, block], axis=1)
        self._needed, self._delayed = needed[-LOOKAHEAD:], signal[:, -LOOKAHEAD:]
        # An unlimited stretch, by far the most frequent, needs no arithmetic.
        if self._gain == 1.0 and needed.min() >= 1.0 and self._held.min() >= 1.0:
            self.reduction = 1.0
            return signal[:, :samples]
        window = np.lib.stride_tricks.sliding_window_view(needed, LOOKAHEAD + 1)
        held = np.concatenate([self._held, self._recovered(window.min(axis=1))])
        self._held = held[-LOOKAHEAD:]
        sums = np.concatenate([[0.0], np.cumsum(held)])
        gain = (sums[LOOKAHEAD:] - sums[:-LOOKAHEAD])[1:] / LOOKAHEAD
        self.reduction = float(gain.min())
        return np.asarray(signal[:, :samples] * gain[:samples], np.float32)

    def _recovered(self, wanted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Gain that falls at once and recovers exponentially towards what is wanted."""
        gain, recover, out = self._gain, self._recover, np.empty_like(wanted)
        for index, target in enumerate(wanted.tolist()):
            recovered = 1 - (1 - gain) * recover
            gain = min(target, recovered if recovered < 1 - UNHEARD else 1.0)  # rounding would keep it under 1
            out[index] = gain
        self._gain = gain
        return out
