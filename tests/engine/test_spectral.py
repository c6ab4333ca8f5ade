import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.spectral import (
    OverlapAdd,
    Stft,
    StreamingIstft,
    StreamingStft,
    denormalise_power,
    normalise_power,
)

TRANSFORMS = [
    Stft(1024, 256), Stft(2048, 256), Stft(512, 128), Stft(1000, 250), Stft(256, 1), Stft(512, 128, "kaiser"),
    Stft(64, 48), Stft(128, 128, "rectangular"),
]  # fmt: skip


def noise(samples, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)


@pytest.mark.parametrize("stft", TRANSFORMS, ids=str)
@pytest.mark.parametrize("samples", [1, 63, 1024, 5000])
def test_an_unchanged_spectrum_gives_its_signal_back(stft, samples):
    signal = noise(samples)
    assert np.abs(stft.synthesise(stft.analyse(signal), samples) - signal).max() < 1e-5


@given(st.lists(st.integers(0, 700), min_size=1, max_size=12), st.sampled_from(TRANSFORMS[:6]))
@settings(max_examples=40, deadline=None)
def test_blocks_of_any_size_give_the_same_frames_and_the_same_signal(sizes, stft):
    signal = noise(sum(sizes))
    analysis, synthesis, frames, out, start = StreamingStft(stft), StreamingIstft(stft), [], [], 0
    for size in sizes:
        frames.append(analysis.push(signal[start : start + size]))
        out.append(synthesis.push(frames[-1]))
        start += size
    frames.append(analysis.flush())
    out += [synthesis.push(frames[-1]), synthesis.flush()]
    whole = stft.analyse(signal)
    streamed = np.concatenate(frames)
    assert streamed.shape == whole.shape == (stft.frame_count(len(signal)), stft.bins)
    assert np.array_equal(streamed, whole)
    assert np.abs(np.concatenate(out)[: len(signal)] - signal).max(initial=0) < 1e-5


def test_a_frame_is_the_windowed_transform_of_its_samples():
    stft, signal = Stft(64, 16), noise(200)
    spectrum = stft.analyse(signal)
    n = np.arange(64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 64)
    padded = np.concatenate([np.zeros(48), signal, np.zeros(64)])
    for frame in (0, 3, 7):
        stretch = padded[frame * 16 : frame * 16 + 64]
        for bin_ in (0, 5, 32):
            wanted = (stretch * window * np.exp(-2j * np.pi * bin_ * n / 64)).sum() * 2 / window.sum()
            assert spectrum[frame, bin_] == pytest.approx(wanted, abs=1e-5)


def test_a_sine_of_amplitude_one_peaks_at_one_and_at_its_frequency():
    stft = Stft(1024, 256)
    sine = np.sin(2 * np.pi * 50 * np.arange(4096) / 1024).astype(np.float32)
    magnitude = np.abs(stft.analyse(sine))[8]
    assert magnitude.argmax() == 50
    assert magnitude.max() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("length", "hop", "window"),
    [(0, 1, "hann"), (63, 7, "hann"), (64, 65, "hann"), (64, 0, "hann"), (64, 64, "hann"), (64, 16, "gauss")],
)
def test_what_cannot_be_inverted_is_refused(length, hop, window):
    with pytest.raises(ValueError):
        Stft(length, hop, window)


@pytest.mark.parametrize("power", [1 / 8, 0.4, 1.0, 2.0])
def test_power_normalisation_keeps_angles_and_comes_back(power):
    rng = np.random.default_rng(1)
    spectra = (rng.normal(size=(5, 9)) + 1j * rng.normal(size=(5, 9))).astype(np.complex64)
    spectra[0, 0] = 0
    normal = normalise_power(spectra, power)
    assert np.allclose(np.abs(normal), np.abs(spectra).astype(np.float64) ** power, atol=1e-5)
    assert np.allclose(np.angle(normal[1:]), np.angle(spectra[1:]), atol=1e-4)
    assert np.allclose(denormalise_power(normal, power), spectra, atol=1e-4)


def test_power_must_be_positive():
    with pytest.raises(ValueError):
        normalise_power(np.ones(3, np.complex64), 0)


def test_overlap_add_is_a_sum():
    rng = np.random.default_rng(2)
    stretches = rng.normal(size=(7, 32)).astype(np.float32)
    wanted = np.zeros(6 * 8 + 32)
    for index, stretch in enumerate(stretches):
        wanted[index * 8 : index * 8 + 32] += stretch
    stream = OverlapAdd(32, 8)
    parts = [stream.push(stretches[:2]), stream.push(stretches[2:2]), stream.push(stretches[2:]), stream.flush()]
    assert np.allclose(np.concatenate(parts)[: len(wanted)], wanted, atol=1e-5)
