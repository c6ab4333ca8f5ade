"""Pictures of levels in bands."""

import numpy as np
import pytest

from engine.bands import Bands
from engine.spectral import Stft

RATE = 44_100


@pytest.mark.parametrize("count", [32, 128, 256])
def test_no_band_is_empty_or_narrower_than_a_bin(count):
    bands = Bands(Stft(1024, 256), count, 16_000.0)
    assert (np.diff(bands.centres) > 0.999).all()
    assert np.allclose(bands.weights.sum(axis=1), 1)
    assert bands.centres[-1] * bands.bin_hz == pytest.approx(16_000)


@pytest.mark.parametrize("hz", [100, 1000, 8000])
def test_a_tone_has_its_level_at_its_place(hz):
    bands = Bands(Stft(2048, 512), 128, 16_000.0)
    tone = 0.1 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE).astype(np.float32)
    levels = bands.decibels(bands.levels(bands.stft.analyse(tone)))[40]
    place = bands.centres[levels.argmax()] * bands.bin_hz
    assert abs(place - hz) < max(bands.bin_hz, 0.06 * hz)
    width = max(1.0, np.interp(hz / bands.bin_hz, bands.centres[1:], np.diff(bands.centres)))
    assert levels.max() == pytest.approx(-20 - 10 * np.log10(width), abs=3)


def test_a_smooth_spectrum_comes_back():
    bands = Bands(Stft(1024, 256), 128, 16_000.0, top_db=20.0)
    shape = np.exp(-np.arange(513) / 150) * (1 + 0.5 * np.sin(np.arange(513) / 40))
    spectra = np.tile(shape, (5, 1)).astype(np.complex64)
    again = bands.magnitudes(bands.levels(spectra))
    inside = slice(4, int(bands.centres[-1]) - 8)
    error = 20 * np.log10(again[:, inside] / np.abs(spectra[:, inside]))
    assert np.abs(error).max() < 0.5


def test_the_floor_is_silent_and_errors_are_not_loud():
    bands = Bands(Stft(1024, 256), 64, 16_000.0)
    assert not bands.magnitudes(np.zeros((3, 64), np.float32)).any()
    assert bands.magnitudes(np.full((3, 64), 50.0, np.float32)).max() < 3
    assert not bands.magnitudes(np.full((3, 64), -50.0, np.float32)).any()


def test_bare_power_can_be_a_picture_too():
    bands = Bands(Stft(1024, 256), 64, 16_000.0, curve="power")
    spectra = np.full((3, 513), 0.5, np.complex64)
    assert np.allclose(bands.levels(spectra), 0.25, atol=1e-4)
    assert np.allclose(bands.magnitudes(bands.levels(spectra))[:, 5:300], 0.5, rtol=1e-3)


@pytest.mark.parametrize(
    "wrong",
    [{"count": 1}, {"count": 400}, {"high_hz": 30_000.0}, {"high_hz": 500.0}, {"range_db": 0.0}, {"curve": "cubic"}],
)
def test_bands_that_cannot_be_are_refused(wrong):
    settings = {"stft": Stft(1024, 256), "count": 64, "high_hz": 16_000.0} | wrong
    with pytest.raises(ValueError):
        Bands(**settings)
