"""Noise: what no network can foresee of a sound, as filtered noise whose spectrum follows the note.

The network writes for each *band* of frequencies how strong the noise is beside the carriers in it; a frame of the
synthesis is white noise under the synthesis window, each bin at its band's level. With all levels at 1 the frames
overlap and add to white noise of unit variance. The noise is the same whenever the same frame of the same note is made:
what is played live is what is rendered.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.partials import PartialSynthesis

LEAST_BINS = 3  # of a band
SCALE_HZ = 700.0  # bands are even on log(1 + f / SCALE_HZ), the mel scale
NOISE_FRAMES = 1024  # 6 s, before the noise comes again
APART = 257  # frames between the beginnings of notes of neighbouring velocities


@lru_cache(maxsize=8)
def band_of_bin(bands: int, bins: int, sample_rate: int) -> NDArray[np.int64]:
    """Band of every bin (bins,), from 0 Hz to half of the sample rate, each of LEAST_BINS bins or more.

    Raises ValueError where there are not bins enough.
    """
    if bands * LEAST_BINS > bins:
        raise ValueError(f"{bands} noise bands are too many for {bins} bins")
    hz = np.linspace(0, sample_rate / 2, bins)
    marks = SCALE_HZ * np.expm1(np.linspace(0, np.log1p(sample_rate / 2 / SCALE_HZ), bands + 1))
    edges = [0]
    for index, edge in enumerate(np.searchsorted(hz, marks[1:-1])):
        latest = bins - LEAST_BINS * (bands - 1 - index)
        edges.append(min(max(int(edge), edges[-1] + LEAST_BINS), latest))
    return np.searchsorted(np.array(edges[1:]), np.arange(bins), "right").astype(np.int64)


@lru_cache(maxsize=8)
def band_sizes(bands: int, bins: int, sample_rate: int) -> NDArray[np.float32]:
    """Bins of every band, (bands,)."""
    return np.bincount(band_of_bin(bands, bins, sample_rate), minlength=bands).astype(np.float32)


def band_hz(bands: int, bins: int, sample_rate: int) -> NDArray[np.float64]:
    """Mean frequency of every band, (bands,)."""
    band, hz = band_of_bin(bands, bins, sample_rate), np.linspace(0, sample_rate / 2, bins)
    return np.asarray(np.bincount(band, hz, bands) / np.bincount(band, minlength=bands))


def power_in_bands(squared: Tensor, band: Tensor, factor: Tensor) -> Tensor:
    """Squared amplitudes of carriers (..., carriers) as power in their bands (..., bands), in units of white noise.

    band: of each carrier, of the same number of dimensions or one. factor: see `carrier_factor`.
    """
    total = squared.new_zeros((*squared.shape[:-1], len(factor)))
    return total.scatter_add_(squared.ndim - 1, band.expand(squared.shape), squared) * factor


def carrier_bands(hz: NDArray[np.float64], bands: int, synthesis: PartialSynthesis) -> Tensor:
    """Band of every carrier, of the shape of their frequencies."""
    nearest = np.round(hz * synthesis.length / synthesis.sample_rate).astype(np.int64)
    return torch.from_numpy(
        band_of_bin(bands, synthesis.bins, synthesis.sample_rate)[np.clip(nearest, 0, synthesis.bins - 1)]
    )


def carrier_factor(bands: int, synthesis: PartialSynthesis) -> Tensor:
    """Power of the noise that is as strong as one carrier of amplitude 1 in each band, (bands,)."""
    return torch.from_numpy(synthesis.length / (4 * band_sizes(bands, synthesis.bins, synthesis.sample_rate)))


@lru_cache(maxsize=4)
def noise_frames(synthesis: PartialSynthesis, channels: int) -> NDArray[np.complex64]:
    """Spectra (NOISE_FRAMES, channels, bins) of white noise under the synthesis window; the end joins the beginning."""
    length, hop = synthesis.length, synthesis.hop
    noise = np.random.default_rng(0).standard_normal((channels, NOISE_FRAMES * hop)).astype(np.float32)
    noise = np.concatenate([noise, noise[:, :length]], axis=1)
    view = np.lib.stride_tricks.sliding_window_view(noise, length, axis=1)[:, : NOISE_FRAMES * hop : hop]
    spectra = np.fft.rfft(view * synthesis.window.astype(np.float32), axis=2)
    return np.ascontiguousarray(spectra.transpose(1, 0, 2), np.complex64)
