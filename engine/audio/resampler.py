"""From the engine's sample rate to the device's, as a stream with a short and constant delay.

A library would do, but soxr's streams hold samples back by 0.5 ms (its "LQ", dull over 17 kHz) or by 2.5 to 20 ms in
lumps ("MQ" and better), which is more than everything else between a key and its sound.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.spectral import Samples

TAPS = 64
KAISER_BETA = 9.5  # images and aliases beyond 1.1 times the edge are 90 dB down
MAX_PHASES = 1 << 16


class Resampler:
    """Polyphase windowed sinc (Smith, "Digital audio resampling"), stereo. Delays by TAPS / 2 input samples.

    Any block sizes give the same samples.
    """

    def __init__(self, from_rate: int, to_rate: int, channels: int = 2) -> None:
        common = math.gcd(from_rate, to_rate)
        self._up, self._down = to_rate // common, from_rate // common
        if min(from_rate, to_rate) <= 0 or self._up > MAX_PHASES:
            raise ValueError(f"no way from {from_rate} to {to_rate} Hz")
        self._taps = 2 * round(TAPS / 2 * max(1.0, from_rate / to_rate))
        self._filters = phases(self._up, self._taps, min(1.0, to_rate / from_rate))
        self._waiting = np.zeros((self._taps - 1, channels), np.float32)
        self._next = 0  # of the next output sample, in 1 / up input samples from the first waiting one on

    @property
    def delay(self) -> float:
        """In input samples."""
        return self._taps / 2

    def needed(self, outputs: int) -> int:
        """Input samples that are missing for so many output samples."""
        if outputs <= 0:
            return 0
        last = (self._next + (outputs - 1) * self._down) // self._up
        return max(0, last + self._taps - len(self._waiting))

    def process(self, block: Samples) -> Samples:
        """Take (samples, channels) at the one rate; return what they complete at the other."""
        signal = np.concatenate([self._waiting, block.astype(np.float32, copy=False)])
        whole = (len(signal) - self._taps + 1) * self._up  # positions before this one have all of their taps
        count = max(0, -(-(whole - self._next) // self._down))
        places = self._next + self._down * np.arange(count)
        first, phase = places // self._up, places % self._up
        self._next += count * self._down
        used = min(self._next // self._up, len(signal))
        self._next -= used * self._up
        self._waiting = signal[used:]
        if not count:
            return np.zeros((0, signal.shape[1]), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(signal, self._taps, axis=0)[first]
        return np.asarray(np.matmul(windows, self._filters[phase][:, :, None])[:, :, 0], np.float32)


def phases(up: int, taps: int, edge: float) -> NDArray[np.float32]:
    """Lowpass filters (up, taps): phase p gives the signal p / up samples after the tap in the middle."""
    distance = np.arange(taps)[None] - (taps // 2 - 1) - np.arange(up)[:, None] / up
    inside = np.clip(1 - (2 * distance / taps) ** 2, 0, None)
    window = np.i0(KAISER_BETA * np.sqrt(inside)) / np.i0(KAISER_BETA)
    filters = edge * np.sinc(edge * distance) * window
    return np.asarray(filters / filters.sum(axis=1, keepdims=True), np.float32)
