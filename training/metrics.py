"""How a rendering is judged against its teacher. Every figure compares mono signals, aligned and level-matched.

`compare` does it all; the single figures expect signals (samples,) that are prepared already. Levels are in dB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 44_100
RMS = 0.1
FLOOR_DB = 60.0
BANDS = ((20, 500), (500, 2000), (2000, 4000), (4000, 6000), (6000, 10_000), (10_000, 16_000))
MSS_LENGTHS = (2048, 1024, 512, 256, 128, 64)
MAX_LAG = 4410
LOWEST_PITCH = 15.0  # Hz
VIBRATO_STEP, VIBRATO_HZ = 128, (3.0, 9.0)  # samples between two looks at the pitch; rates that are a vibrato
SAME_WAVEFORM = 0.5  # correlation from which on two waveforms are taken for the same
_TINY = 1e-20

Mono = NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """All figures of a rendering against its teacher; see the functions of the same names."""

    logmel_l1_db: float
    mss_db: float
    convergence: float
    null_snr_db: float
    bands_db: Mapping[str, float]
    lag_samples: int


def compare(sound: NDArray[np.float32], teacher: NDArray[np.float32]) -> Comparison:
    """Judge a rendering (samples,) or (samples, channels): mono, aligned by envelope, equal length, RMS 0.1 each.

    Raises ValueError where either is silent.
    """
    a, b = _mono(sound), _mono(teacher)
    lag = envelope_lag(a, b)
    a, b = (a[lag:], b) if lag >= 0 else (a, b[-lag:])
    length = min(len(a), len(b))
    a, b = _levelled(a[:length]), _levelled(b[:length])
    return Comparison(
        log_mel_l1_db(a, b), multi_scale_db(a, b), spectral_convergence(a, b), null_snr_db(a, b), bands_db(a, b), lag
    )


def log_mel_l1_db(sound: Mono, teacher: Mono) -> float:
    """Mean |difference| of 128-band mel power, n_fft 2048, hop 512, floored 60 dB under the teacher's loudest band."""
    a, b = (10 * np.log10(_mel(x) + _TINY) for x in (sound, teacher))
    floor = b.max() - FLOOR_DB
    return float(np.abs(np.maximum(a, floor) - np.maximum(b, floor)).mean())


def multi_scale_db(sound: Mono, teacher: Mono) -> float:
    """Mean |difference| of STFT magnitudes over frame lengths 2048 ... 64, floored 60 dB under the peak."""
    distances = []
    for length in MSS_LENGTHS:
        a, b = (20 * np.log10(_magnitudes(x, length) + _TINY) for x in (sound, teacher))
        floor = b.max() - FLOOR_DB
        distances.append(np.abs(np.maximum(a, floor) - np.maximum(b, floor)).mean())
    return float(np.mean(distances))


def spectral_convergence(sound: Mono, teacher: Mono) -> float:
    """||A - B|| / ||B|| of the magnitudes at 2048."""
    a, b = _magnitudes(sound, 2048), _magnitudes(teacher, 2048)
    return float(np.linalg.norm(a - b) / (np.linalg.norm(b) + _TINY))


def null_snr_db(sound: Mono, teacher: Mono) -> float:
    """Power of the teacher over the power of the difference."""
    a, b = sound.astype(np.float64), teacher.astype(np.float64)
    return float(10 * np.log10((b @ b + _TINY) / (((a - b) @ (a - b)) + _TINY)))


def bands_db(sound: Mono, teacher: Mono) -> dict[str, float]:
    """Level difference in each of BANDS, "low-high" in Hz; a band where the teacher is silent is left out."""
    a, b = (np.abs(np.fft.rfft(x)) ** 2 for x in (sound, teacher))
    hz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    result = {}
    for low, high in BANDS:
        inside = (hz >= low) & (hz < high)
        wanted = b[inside].sum()
        if wanted > 1e-12 * b.sum():
            result[f"{low}-{high}"] = float(10 * np.log10((a[inside].sum() + _TINY) / wanted))
    return result


def envelope_lag(sound: Mono, teacher: Mono, hop: int = 16) -> int:
    """Samples by which the sound comes later than the teacher, by cross-correlation, within MAX_LAG.

    Where the waveforms agree, theirs; else the envelopes' correlation finds the neighbourhood, the waveforms' the
    sample. (The envelope of a single note is so flat that it may be a period off.)
    """
    size = min(len(sound), len(teacher), 30 * SAMPLE_RATE)
    lag, product = _best_lag(sound[:size], teacher[:size], MAX_LAG)
    if product > SAME_WAVEFORM * float(np.linalg.norm(sound[:size]) * np.linalg.norm(teacher[:size])):
        return lag
    a, b = (np.sqrt(_blocks(np.abs(x), hop)) for x in (sound, teacher))
    coarse = _best_lag(a - a.mean(), b - b.mean(), MAX_LAG // hop)[0] * hop
    span = np.arange(coarse - 2 * hop, coarse + 2 * hop + 1)
    scores = [_product(sound[:size], teacher[:size], int(lag)) for lag in span]
    return int(span[int(np.argmax(scores))])


def pitch_cents(sound: Mono, teacher: Mono) -> float:
    """Mean interval between the strongest partials that both share, up to eight, of notes of a second or so.

    Weighted by their strength; not a number where they share none.
    """
    size = 1 << 19
    a, b = (np.abs(np.fft.rfft(x * np.hanning(len(x)), size)) for x in (sound, teacher))
    lowest = round(LOWEST_PITCH * size / SAMPLE_RATE)  # below lie offsets, not tones
    a[:lowest] = b[:lowest] = 0
    width = round(4 * size / len(teacher))  # the main lobe of a Hann window, in steps of this transform
    cents: list[float] = []
    weights: list[float] = []
    rest = b.copy()
    for _ in range(8):
        peak = int(rest.argmax())
        if rest[peak] <= 0.03 * b.max() or b.max() <= 0:
            break
        low, high = max(1, peak - width), peak + width + 1
        rest[low:high] = 0
        near = max(1, int(peak * (1 - 2 ** (-40 / 1200)))) + width // 2
        start = max(1, peak - near)
        other = start + int(a[start : peak + near + 1].argmax())
        if a[other] > 0.1 * b[peak] * a.max() / b.max():
            cents.append(1200 * np.log2(_peak_position(a, other) / _peak_position(b, peak)))
            weights.append(float(b[peak]))
    if not cents:
        return float("nan")
    return float(np.average(cents, weights=weights))


def attack_seconds(sound: Mono) -> float:
    """Time from 10 % to 90 % of the peak of the amplitude envelope (maxima over 1 ms)."""
    hop = SAMPLE_RATE // 1000
    envelope = np.maximum.accumulate(np.abs(sound[: len(sound) // hop * hop]).reshape(-1, hop).max(axis=1))
    peak = envelope[-1]
    if peak <= 0:
        return float("nan")
    rise = np.interp([0.1 * peak, 0.9 * peak], envelope, np.arange(len(envelope)))
    return float((rise[1] - rise[0]) * hop / SAMPLE_RATE)


def onset_sample(sound: Mono, share: float = 0.02) -> int:
    """The first sample that reaches a share of the peak of the first tenth of a second."""
    start = np.abs(sound[: SAMPLE_RATE // 10])
    return int(np.argmax(start >= share * start.max()))


def onset_step_db(sound: Mono) -> float:
    """The largest step of a note's first four samples against its peak: what is heard of it as a click."""
    steps = np.abs(np.diff(np.concatenate([[0.0], sound[:4]])))
    return float(20 * np.log10((steps.max() + _TINY) / (np.abs(sound).max() + _TINY)))


def level_above_db(sound: Mono, teacher: Mono, hz: float) -> float:
    """Level difference of all that is higher than a frequency; not a number where the teacher has nothing there."""
    a, b = (np.abs(np.fft.rfft(x)) ** 2 for x in (sound, teacher))
    high = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE) > hz
    wanted = b[high].sum()
    return float(10 * np.log10((a[high].sum() + _TINY) / wanted)) if wanted > 1e-9 * b.sum() else float("nan")


def vibrato(sound: Mono, hz: float) -> tuple[float, float]:
    """Depth in cents (amplitude) and rate in Hz of a held note's vibrato, of a note near a frequency.

    The instantaneous frequencies of up to eight partials, each cut out of the spectrum, weighted by their power; what
    of it swings 3 to 9 times a second.
    """
    spectrum, places = np.fft.fft(sound), np.fft.fftfreq(len(sound), 1 / SAMPLE_RATE)
    total = weights = np.zeros(len(sound) // VIBRATO_STEP)
    for k in range(1, 9):
        near = (places > (k - 0.45) * hz) & (places < (k + 0.45) * hz)
        if (k + 0.5) * hz > SAMPLE_RATE / 3:
            break
        partial = np.fft.ifft(np.where(near, spectrum, 0))
        turns = partial[1:] * partial[:-1].conj()
        blocks = turns[: len(total) * VIBRATO_STEP].reshape(-1, VIBRATO_STEP).sum(axis=1)
        blocks = np.pad(blocks, (0, len(total) - len(blocks)))
        cents = 1200 * np.log2(np.maximum(np.angle(blocks) * SAMPLE_RATE / (2 * np.pi * k * hz), 0.5))
        weight = np.abs(blocks) * k**2
        total, weights = total + weight * np.clip(cents, -300, 300), weights + weight
    rate = SAMPLE_RATE / VIBRATO_STEP
    pitch = total / (weights + _TINY)
    swing = np.fft.rfft((pitch - pitch.mean()) * np.hanning(len(pitch)), 1 << 14)
    at = np.arange(len(swing)) * rate / (1 << 14)
    band = (at > VIBRATO_HZ[0]) & (at < VIBRATO_HZ[1])
    power = 2 * (np.abs(swing[band]) ** 2).sum() / (1 << 14) / (np.hanning(len(pitch)) ** 2).sum()
    return float(np.sqrt(2 * power)), float(at[band][np.abs(swing[band]).argmax()])


def _mono(sound: NDArray[np.float32]) -> Mono:
    mono = sound.mean(axis=1) if sound.ndim == 2 else sound
    return mono.astype(np.float32)


def _levelled(sound: Mono) -> Mono:
    rms = float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))
    if rms < 1e-9:
        raise ValueError("a silent recording cannot be compared")
    return (sound * (RMS / rms)).astype(np.float32)


@lru_cache(maxsize=1)
def _mel_basis() -> NDArray[np.float32]:
    from librosa.filters import mel  # noqa: PLC0415  # slow to import

    return np.asarray(mel(sr=SAMPLE_RATE, n_fft=2048, n_mels=128), np.float32)


def _mel(sound: Mono) -> NDArray[np.float32]:
    return np.asarray(_mel_basis() @ (_magnitudes(sound, 2048).T ** 2))


def _magnitudes(sound: Mono, length: int) -> NDArray[np.float32]:
    """Magnitudes (frames, bins), hop a quarter of the length, centred, as librosa.stft makes them."""
    padded = np.pad(sound, length // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[:: length // 4]
    shape = np.hanning(length + 1)[:length].astype(np.float32)
    return np.abs(np.fft.rfft(frames * shape, axis=1)).astype(np.float32)


def _blocks(x: Mono, hop: int) -> NDArray[np.float32]:
    return np.asarray(x[: len(x) // hop * hop].reshape(-1, hop).mean(axis=1))


def _best_lag(a: NDArray[np.float32], b: NDArray[np.float32], most: int) -> tuple[int, float]:
    """The lag of the largest product of both, and that product."""
    size = 1 << (len(a) + len(b)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    lags = np.concatenate([np.arange(most + 1), np.arange(-most, 0)])
    best = int(lags[int(np.argmax(correlation[lags]))])
    return best, float(correlation[best])


def _product(a: Mono, b: Mono, lag: int) -> float:
    a, b = (a[lag:], b) if lag >= 0 else (a, b[-lag:])
    length = min(len(a), len(b))
    return float(a[:length] @ b[:length])


def _peak_position(magnitudes: NDArray[np.float64], index: int) -> float:
    """Place of a peak between the steps, by a parabola through the logarithms."""
    if not 0 < index < len(magnitudes) - 1:
        return float(index)
    left, middle, right = np.log(magnitudes[index - 1 : index + 2] + _TINY)
    curve = left - 2 * middle + right
    return float(index + (0.5 * (left - right) / curve if curve < 0 else 0.0))
