import numpy as np
import pytest
import torch

from engine.partials import PartialSynthesis
from engine.units import cents_between, key_to_hz
from tests.sounding import stretches_of
from tests.training.conftest import RATE, SMALL
from training.analysis import EnvelopeFit, Tuning, find_tuning, lay_carriers
from training.metrics import null_snr_db
from training.notes import _tuned_carriers

SYNTHESIS = PartialSynthesis(1024, 256, RATE)


def string(tuning, seconds=1.2, count=20):
    """Decaying partials of a stiff string, (samples,)."""
    t = np.arange(round(seconds * RATE)) / RATE
    partials = [f for f in tuning.partials(count) if f < 15_000]
    return sum(np.exp(-(1 + 0.3 * k) * t) * np.sin(2 * np.pi * f * t + k) / k for k, f in enumerate(partials, 1))


def off(found, tuning, ks):
    return [cents_between(found.partials(k)[-1], tuning.partials(k)[-1]) for k in ks]


@pytest.mark.parametrize("key", [40, 60, 80])
@pytest.mark.parametrize("cents", [-20, 0, 13, 31])
def test_the_tuning_of_a_note_is_found_within_a_cent(key, cents):
    tuning = Tuning(key_to_hz(key) * 2 ** (cents / 1200), 0.0)
    assert abs(off(find_tuning(string(tuning), key, RATE), tuning, [1])[0]) <= 1.01  # the search goes by 2 cents


@pytest.mark.parametrize("key", [40, 60, 80])
@pytest.mark.parametrize("inharmonicity", [1e-4, 4e-4, 1.5e-3])
def test_the_stretched_partials_of_a_stiff_string_are_found(key, inharmonicity):
    """Unstretched, the twelfth partial would be 12 to 180 cents off."""
    tuning = Tuning(key_to_hz(key) * 2 ** (7 / 1200), inharmonicity)
    found = find_tuning(string(tuning), key, RATE)
    assert max(map(abs, off(found, tuning, [1, 4, 8, 12]))) < 6


@pytest.mark.parametrize(("key", "inharmonicity"), [(48, 4e-4), (60, 0.0), (60, 8e-4), (72, 4e-4)])
def test_after_refinement_every_strong_partial_is_in_tune(key, inharmonicity):
    tuning = Tuning(key_to_hz(key) * 2 ** (7 / 1200), inharmonicity)
    sound = string(tuning, 2.6)
    hz, harmonic = _tuned_carriers(SMALL, key, np.stack([sound, 0.3 * sound]).astype(np.float32))
    for k in range(1, 9):
        carrier = hz[list(harmonic).index(k)]
        assert abs(cents_between(carrier, tuning.partials(k)[-1])) < 0.2


@pytest.mark.parametrize("key", [21, 45, 60, 84, 108])
@pytest.mark.parametrize("carriers", [24, 128])
def test_every_carrier_has_a_place_of_its_own_below_the_highest(key, carriers):
    hz, harmonic = lay_carriers(Tuning(key_to_hz(key), 3e-4), carriers)
    assert hz.shape == harmonic.shape == (carriers,)
    assert np.diff(np.sort(hz)).min() > 1
    assert hz.min() > 0 and hz.max() < 16_000


@pytest.mark.parametrize("key", [21, 60, 108])
def test_partials_come_first_and_in_order(key):
    tuning = Tuning(key_to_hz(key), 3e-4)
    hz, harmonic = lay_carriers(tuning, 128)
    count = np.count_nonzero(harmonic)
    assert 0 < count <= 96  # three quarters
    assert list(harmonic[:count]) == list(range(1, count + 1))
    assert np.allclose(hz[:count], tuning.partials(count))
    assert not harmonic[count:].any()


def direct(envelopes, hz, samples):
    """The definition: every frame is its carriers, from their phase since note-on, under the window."""
    total = np.zeros(samples)
    n = np.arange(samples)
    for frame, row in enumerate(envelopes):
        centre = SYNTHESIS.centre(frame)
        window = np.zeros(samples)
        inside = np.abs(n - centre + 0.5) < SYNTHESIS.length / 2
        window[inside] = (0.5 + 0.5 * np.cos(2 * np.pi * (n[inside] - centre) / SYNTHESIS.length)) ** 2 / 1.5
        for envelope, f in zip(row, hz, strict=True):
            total += window * (envelope * np.exp(2j * np.pi * f * n / RATE)).real
    return total


def test_synthesis_is_its_definition(rng):
    hz = np.array([220.0, 443.3, 3210.5])
    fit = EnvelopeFit(SYNTHESIS, hz, np.array([1, 2, 0]))
    samples = 4000
    envelopes = rng.normal(size=(2, fit.frame_count(samples), 3)) + 1j * rng.normal(
        size=(2, fit.frame_count(samples), 3)
    )
    sound = fit.synthesise(torch.from_numpy(envelopes.astype(np.complex64)), samples).numpy()
    for channel in range(2):
        wanted = direct(envelopes[channel], hz, samples)
        assert null_snr_db(sound[channel], wanted) > 90


def test_synthesis_is_what_the_instrument_will_play(rng):
    """The engine goes through spectra; here it is a sum. Both have to mean the same by an envelope."""
    hz = np.array([261.6, 523.4, 1500.0])
    fit = EnvelopeFit(SYNTHESIS, hz, np.array([1, 2, 0]))
    frames, samples = 20, 18 * 256
    envelopes = (rng.normal(size=(frames, 3)) + 1j * rng.normal(size=(frames, 3))).astype(np.complex64)
    sound = fit.synthesise(torch.from_numpy(envelopes)[None], samples)[0].numpy()
    centres = np.array([SYNTHESIS.centre(m) for m in range(frames)])
    turned = envelopes * np.exp(2j * np.pi * np.outer(centres, hz) / RATE)
    stretches = stretches_of(SYNTHESIS, turned, hz)
    total = np.zeros(frames * 256 + 1024)
    for frame, stretch in enumerate(stretches):
        total[frame * 256 :][:1024] += stretch
    assert null_snr_db(sound, total[768:][:samples]) > 80


@pytest.mark.parametrize("key", [45, 69])
def test_a_sum_of_decaying_partials_comes_back(key):
    tuning = Tuning(key_to_hz(key), 2e-4)
    left = string(tuning, 0.8)
    wave = torch.from_numpy(np.stack([left, 0.3 * np.roll(left, 200)]).astype(np.float32))
    fit = EnvelopeFit(SYNTHESIS, *lay_carriers(tuning, 40))
    envelopes = fit.fit(wave)
    assert envelopes.shape == (2, fit.frame_count(wave.shape[1]), 40)
    again = fit.synthesise(envelopes, wave.shape[1]).numpy()
    for channel in range(2):
        assert null_snr_db(again[channel], wave[channel].numpy()) > 30


def test_a_carrier_with_nothing_to_play_stays_silent():
    hz = key_to_hz(57) * np.arange(1, 13)
    wave = torch.from_numpy(string(Tuning(key_to_hz(57), 0.0), 0.8, count=6).astype(np.float32))[None]
    early = EnvelopeFit(SYNTHESIS, hz, np.arange(1, 13)).fit(wave)[0, 8:40].abs().mean(0)
    assert early[6:].max() < 0.02 * early[:6].max()


def test_envelopes_are_the_partials_amplitudes():
    """A steady sine of amplitude 0.25 is an envelope of 0.25."""
    t = np.arange(RATE) / RATE
    wave = torch.from_numpy((0.25 * np.sin(2 * np.pi * 440 * t)).astype(np.float32))[None]
    envelopes = EnvelopeFit(SYNTHESIS, np.array([440.0]), np.array([1])).fit(wave)[0, 10:150, 0]
    assert envelopes.abs().numpy() == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize("drift", [-1.5, 0.0, 0.4])
def test_a_carrier_off_its_partial_drifts_by_as_much(drift):
    t = np.arange(RATE) / RATE
    wave = torch.from_numpy(np.sin(2 * np.pi * 440 * t).astype(np.float32))[None]
    fit = EnvelopeFit(SYNTHESIS, np.array([440.0 - drift]), np.array([1]))
    assert fit.drift(fit.fit(wave), 10, 150)[0] == pytest.approx(drift, abs=0.02)


def test_a_release_may_move_fast():
    """Known, the damper's stroke is kept; not known, it is smeared more."""
    tuning = Tuning(key_to_hz(57), 0.0)
    release = 60 * 256 + 100
    sound = string(tuning, 0.8)
    sound[release:] *= np.exp(-np.arange(len(sound) - release) / 300)
    wave = torch.from_numpy(sound.astype(np.float32))[None]
    fit = EnvelopeFit(SYNTHESIS, *lay_carriers(tuning, 24))
    around = slice(release - 512, release + 1024)
    errors = [
        float((fit.synthesise(fit.fit(wave, known), wave.shape[1]) - wave)[0, around].pow(2).sum())
        for known in (release, None)
    ]
    assert errors[0] < errors[1]
