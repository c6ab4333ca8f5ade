import numpy as np
import pytest

from engine import _native
from engine.partials import CarrierTable, PartialSynthesis, turn
from tests.sounding import stretches_of

RATE = 44_100
SYNTHESIS = PartialSynthesis(1024, 256, RATE)


def overlap(stretches):
    out = np.zeros((len(stretches) - 1) * 256 + 1024)
    for index, stretch in enumerate(stretches):
        out[index * 256 : index * 256 + 1024] += stretch
    return out


@pytest.mark.parametrize("hz", [30.0, 61.7, 440.0, 1234.5, 9999.9, 20_000.0])
def test_a_still_envelope_sounds_as_a_pure_cosine(hz):
    frames, amplitude, phase = 20, 0.3, 0.7
    turned = np.array([[amplitude * np.exp(1j * phase) * turn(np.array([hz]), SYNTHESIS.centre(m), RATE)[0]]
                       for m in range(frames)], np.complex64)  # fmt: skip
    sound = overlap(stretches_of(SYNTHESIS, turned, np.array([hz])))
    n = np.arange(len(sound)) + 256 - 1024
    wanted = amplitude * np.cos(2 * np.pi * hz * n / RATE + phase)
    inner = slice(1024, len(sound) - 1024)
    error = sound[inner] - wanted[inner]
    assert 20 * np.log10(np.sqrt(np.mean(error**2)) / amplitude) < -90


def test_moving_envelopes_sound_as_the_sum_of_windowed_carriers():
    rng = np.random.default_rng(0)
    hz = np.array([110.0, 333.3, 5000.0])
    envelopes = (rng.normal(size=(12, 3)) + 1j * rng.normal(size=(12, 3))).astype(np.complex64) * 0.1
    turned = np.stack([row * turn(hz, SYNTHESIS.centre(m), RATE) for m, row in enumerate(envelopes)])
    sound = overlap(stretches_of(SYNTHESIS, turned, hz))
    wanted = np.zeros_like(sound)
    for m, row in enumerate(envelopes):
        n = np.arange(1024) + (m + 1) * 256 - 1024
        carriers = np.exp(2j * np.pi * np.outer(hz, n) / RATE)
        wanted[m * 256 : m * 256 + 1024] += SYNTHESIS.window * (row @ carriers).real
    assert 20 * np.log10(np.linalg.norm(sound - wanted) / np.linalg.norm(wanted)) < -90


def test_windows_add_up_to_one():
    total = np.zeros(256 * 20 + 1024)
    for m in range(20):
        total[m * 256 : m * 256 + 1024] += SYNTHESIS.window
    assert np.allclose(total[1024:-1280], 1)


@pytest.mark.parametrize("hz", [0.0, -5.0, RATE / 2, 30_000.0])
def test_carriers_outside_the_band_are_silent(hz):
    lobes = SYNTHESIS.lobes(np.array([hz]))
    assert not np.any(lobes[0]) and not np.any(lobes[1])


def test_keys_beyond_the_table_take_its_ends():
    table = CarrierTable(60, np.array([[260.0, 90], [277, 90]]), np.array([[1, 0], [1, 0]]))
    assert [table.row(key) for key in (0, 60, 61, 127)] == [0, 0, 1, 1]
    assert list(table.fundamentals) == [260, 277]


@pytest.mark.parametrize("hz", [np.zeros((0, 3)), np.array([[np.nan]]), np.array([[-1.0]]), np.zeros(3)])
def test_damaged_tables_are_refused(hz):
    with pytest.raises(ValueError):
        CarrierTable(60, hz, np.zeros(hz.shape, np.int64))


def test_a_hop_must_be_a_quarter():
    with pytest.raises(ValueError):
        PartialSynthesis(1024, 128, RATE)


@pytest.mark.parametrize("first_key", [-1, 128, -(10**6)])
def test_a_table_begins_at_a_key(first_key):
    with pytest.raises(ValueError, match="first key"):
        CarrierTable(first_key, np.array([[260.0]]), np.array([[1]]))


@pytest.mark.parametrize("length", [64, 256, 1024])
@pytest.mark.parametrize("first", [27.5, 440.0, 3000.0])
def test_native_code_makes_the_sound_of_the_definition(first, length):
    rng = np.random.default_rng(1)
    hz = np.concatenate(
        [first * np.arange(1, 60), [0.0, 5.0, 21_990.0, 22_050.0, 30_000.0], rng.uniform(20, 20_000, 20)]
    )
    values = rng.standard_normal((4, len(hz))).astype(np.float32)
    real, imaginary = PartialSynthesis(length, length // 4, RATE).lobes(hz)
    made = _native.stretch(length, RATE, hz, values)
    for side in range(2):
        spectrum = values[2 * side] @ real + 1j * (values[2 * side + 1] @ imaginary)
        wanted = np.fft.irfft(spectrum, n=length)
        assert np.abs(made[side] - wanted).max() < 1e-5 * np.abs(wanted).max()
