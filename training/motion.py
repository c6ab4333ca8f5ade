"""How a teacher's notes move by chance: their vibrato is measured and taken out before the carriers are analysed.

All partials of a note swing together, and high ones by many periods: a network that has to write that writes the mean
of it, which is silence. So a note is played back at the speed that makes its pitch steady; what is analysed is steady,
and the vibrato is a `engine.motion.Motion`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfiltfilt  # type: ignore[attr-defined]
from torch import Tensor

from engine.motion import AGES, Motion
from engine.partials import PartialSynthesis

HIGHEST_PARTIAL = 5000.0  # Hz; higher ones tell little
SMOOTH_HZ = 12.0
LARGEST_CENTS = 150.0
OVERSAMPLING = 8
VIBRATO_HZ, DRIFT_HZ = (3.0, 9.0), 1.5
SETTLED = 0.25  # seconds after which a sustained note is judged
LEAST_CENTS = 1.0  # a vibrato that nobody hears
WANDER = 0.04  # of a vibrato's rate, as players do
SUSTAINED_DB = -12.0  # of the level at the end against that at the beginning
ENSEMBLE_PARTIALS = 12


def pitch_deviation(
    envelopes: Tensor, hz: NDArray[np.float64], harmonic: NDArray[np.float64], synthesis: PartialSynthesis
) -> NDArray[np.float64]:
    """How far a note's pitch is off its carriers', relative, between each frame and the next, (frames - 1,).

    envelopes: (channels, frames, carriers). The partials' turning, weighted by their power and accuracy.
    """
    use = (harmonic > 0) & (hz > 0) & (hz < HIGHEST_PARTIAL)
    a, f = envelopes[..., use].numpy(), hz[use]
    turning = (a[:, 1:] * a[:, :-1].conj()).sum(axis=0)
    weight = np.abs(turning) * f**2
    off = np.angle(turning) * synthesis.sample_rate / (2 * np.pi * synthesis.hop * f)
    frames = np.arange(-24, 25)
    kernel = np.exp(-0.5 * (frames * 2 * np.pi * SMOOTH_HZ * synthesis.hop / synthesis.sample_rate) ** 2)

    def smooth(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.convolve(np.pad(x, 24, mode="edge"), kernel, "valid"))

    deviation = smooth((weight * off).sum(axis=1)) / (smooth(weight.sum(axis=1)) + 1e-30)
    limit = 2 ** (LARGEST_CENTS / 1200) - 1
    return np.asarray(np.clip(deviation, -limit, limit))


def made_steady(
    sound: NDArray[np.float32], deviation: NDArray[np.float64], synthesis: PartialSynthesis
) -> NDArray[np.float32]:
    """A note (channels, samples) played back so that its pitch is steady; deviation: see `pitch_deviation`."""
    samples = sound.shape[1]
    at = np.array([synthesis.centre(0) + synthesis.hop // 2]) + synthesis.hop * np.arange(len(deviation))
    speed = 1 + np.interp(np.arange(samples), at, deviation)
    place = np.concatenate([[0.0], np.cumsum(speed)[:-1]])  # of each sample in the steady sound
    heard = np.interp(np.arange(samples), place, np.arange(samples)) * OVERSAMPLING
    finer = resample_poly(sound, OVERSAMPLING, 1, axis=1)
    steps = np.arange(finer.shape[1])
    return np.stack([np.interp(heard, steps, channel) for channel in finer]).astype(np.float32)


def measured(
    deviation: NDArray[np.float64], envelopes: Tensor, harmonic: NDArray[np.float64], synthesis: PartialSynthesis
) -> Motion:
    """The motion of a long held note: its pitch deviation, and envelopes (channels, frames, carriers) without it."""
    rate = synthesis.sample_rate / synthesis.hop
    frames = min(len(deviation), envelopes.shape[1] - 1)
    cents, first = 1200 * np.log2(1 + deviation[:frames]), round(SETTLED * rate)
    ensemble, spread = _ensemble(envelopes[0, :frames].numpy(), harmonic, rate, first)
    if frames < first + rate / 2:
        return Motion(0.0, 0.0, 0.0, ensemble, spread, (0.0,) * len(AGES))
    swing = sosfiltfilt(butter(2, VIBRATO_HZ, "bandpass", fs=rate, output="sos"), cents)
    depth = []
    for age in AGES:
        start = min(round((age - 0.15) * rate), frames - round(0.3 * rate))
        depth.append(float(np.sqrt(2 * np.mean(swing[max(start, 0) :][: round(0.3 * rate)] ** 2))))
    spectrum = np.abs(np.fft.rfft(swing[first:] * np.hanning(frames - first), 1 << 14))
    peak = float(spectrum.argmax() * rate / (1 << 14))
    drift = float(sosfiltfilt(butter(2, DRIFT_HZ, fs=rate, output="sos"), cents)[first:].std())
    depth = [min(d, LARGEST_CENTS) if d > LEAST_CENTS else 0.0 for d in depth]
    swings = max(depth) > 0
    return Motion(peak if swings else 0.0, WANDER if swings else 0.0, min(drift, 20.0), ensemble, spread, tuple(depth))


def _ensemble(
    envelopes: NDArray[np.complex64], harmonic: NDArray[np.float64], rate: float, first: int
) -> tuple[float, float]:
    """How much each carrier of a sustained note moves for itself, relative, and how fast, Hz."""
    level = np.abs(envelopes[first:, harmonic > 0])
    if len(level) < rate:
        return 0.0, 0.0
    loud = np.argsort(level.mean(axis=0))[-ENSEMBLE_PARTIALS:]
    half, level = len(level) // 2, level[:, loud] + 1e-12
    if 20 * np.log10(level[half:].mean() / level[:half].mean()) < SUSTAINED_DB / 2:
        return 0.0, 0.0
    width = round(rate) | 1
    slow = np.stack([np.convolve(np.pad(x, width // 2, mode="edge"), np.ones(width) / width, "valid") for x in level.T])
    moving = level.T / slow - 1
    strength = float(np.median(moving.std(axis=1)))
    crossings = (np.diff(np.sign(moving), axis=1) != 0).mean() * rate / 2
    return min(strength * np.sqrt(2), 1.0), float(min(crossings, 20.0))
