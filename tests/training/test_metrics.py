import librosa
import numpy as np
import pytest
import soxr

from tests.training.conftest import RATE, decaying
from training.metrics import (
    BANDS,
    MAX_LAG,
    attack_seconds,
    bands_db,
    compare,
    envelope_lag,
    level_above_db,
    log_mel_l1_db,
    multi_scale_db,
    null_snr_db,
    onset_sample,
    onset_step_db,
    pitch_cents,
    spectral_convergence,
    vibrato,
)


def noise(rng, samples=RATE, level=0.05):
    return (level * rng.normal(size=samples)).astype(np.float32)


def stft(x, length):
    return np.abs(librosa.stft(x, n_fft=length, hop_length=length // 4, window="hann", pad_mode="constant"))


def test_a_sound_beside_itself_is_perfect():
    sound = decaying(300)
    figures = compare(sound, sound)
    assert figures.logmel_l1_db == figures.mss_db == figures.convergence == 0
    assert figures.null_snr_db > 150
    assert figures.lag_samples == 0
    assert set(figures.bands_db.values()) == {0.0}


@pytest.mark.parametrize("gain", [0.01, 0.9, 3.0])
def test_a_level_is_no_difference(gain):
    sound = decaying(300)
    figures = compare(sound * np.float32(gain), sound)
    assert figures.logmel_l1_db < 1e-3 and figures.mss_db < 1e-3 and figures.convergence < 1e-5
    assert figures.null_snr_db > 100


@pytest.mark.parametrize("delay", [-1000, -1, 0, 1, 17, 4000])
def test_a_delay_is_measured_and_taken_out(delay):
    sound = np.pad(decaying(230), 5000)
    figures = compare(np.roll(sound, delay), sound)
    assert figures.lag_samples == delay
    assert figures.null_snr_db > 100


@pytest.mark.parametrize("key", [28, 60, 96])
@pytest.mark.parametrize("delay", [-441, -10, 0, 10, 900])
def test_the_delay_of_a_single_note_is_measured_to_the_sample(teacher, key, delay):
    """Its envelope is flat and its waveform periodic: the worst there is for an alignment."""
    sound = np.pad(teacher.notes([(0, 690 * 64, key, 80)], 1000 * 64).mean(axis=1), 1000)
    assert envelope_lag(np.roll(sound, delay), sound) == delay


def test_the_delay_of_another_waveform_is_that_of_its_envelope(rng):
    """Nothing of the phases is alike, and yet the notes begin together."""
    bursts = np.zeros(3 * RATE, np.float32)
    for start in (0.3, 0.9, 1.2, 2.2):
        at = round(start * RATE)
        bursts[at : at + 8000] = np.exp(-np.arange(8000) / 2000)
    one, other = bursts * rng.normal(size=len(bursts)), bursts * rng.normal(size=len(bursts))
    assert envelope_lag(np.roll(one, 500).astype(np.float32), other.astype(np.float32)) == pytest.approx(500, abs=60)


def test_a_lag_is_found_under_noise(rng):
    sound = np.pad(decaying(230), 5000)
    assert envelope_lag(np.roll(sound, 333) + noise(rng, len(sound), 0.01), sound) == 333


def test_no_lag_beyond_the_limit_is_reported(rng):
    sound = np.pad(decaying(230), 12_000)
    assert abs(envelope_lag(np.roll(sound, 9000), sound)) <= MAX_LAG + 32


def test_both_channels_count_and_their_order_does_not():
    left, right = decaying(300), decaying(400)
    assert compare(np.stack([left, right], axis=1), (left + right) / 2).null_snr_db > 100
    assert compare(np.stack([left, right], axis=1), np.stack([right, left], axis=1)).null_snr_db > 100


def test_a_recording_that_is_longer_is_cut():
    sound = np.pad(decaying(300) * np.linspace(1, 0, RATE, dtype=np.float32), (500, 2000))
    assert compare(np.pad(sound, (0, 5000)), sound).null_snr_db > 100
    assert compare(sound, np.pad(sound, (0, 5000))).null_snr_db > 100


@pytest.mark.parametrize("silent", [0, 1])
def test_silence_cannot_be_compared(silent):
    pair = [decaying(300), decaying(300)]
    pair[silent] = np.zeros(RATE, np.float32)
    with pytest.raises(ValueError, match="silent"):
        compare(*pair)


def test_log_mel_is_librosas(rng):
    a, b = decaying(300), decaying(310) + noise(rng, level=1e-3)
    mels = [
        librosa.feature.melspectrogram(y=x, sr=RATE, n_fft=2048, hop_length=512, pad_mode="constant") for x in (a, b)
    ]
    db = [10 * np.log10(mel + 1e-20) for mel in mels]
    floor = db[1].max() - 60
    wanted = np.abs(np.maximum(db[0], floor) - np.maximum(db[1], floor)).mean()
    assert wanted > 1
    assert log_mel_l1_db(a, b) == pytest.approx(wanted, rel=1e-3)


def test_the_multi_scale_distance_is_that_of_librosas_spectra(rng):
    a, b = decaying(300) + noise(rng, level=1e-2), decaying(310) + noise(rng, level=1e-2)
    distances = []
    for length in (2048, 1024, 512, 256, 128, 64):
        first, second = (20 * np.log10(stft(x, length) + 1e-20) for x in (a, b))
        floor = second.max() - 60
        distances.append(np.abs(np.maximum(first, floor) - np.maximum(second, floor)).mean())
    assert np.mean(distances) > 1
    assert multi_scale_db(a, b) == pytest.approx(np.mean(distances), rel=1e-3)


def test_convergence_is_its_formula():
    a, b = decaying(300), decaying(305)
    wanted = np.linalg.norm(stft(a, 2048) - stft(b, 2048)) / np.linalg.norm(stft(b, 2048))
    assert wanted > 0.05
    assert spectral_convergence(a, b) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("db", [6.0, -3.0])
def test_a_gain_is_measured_in_db_by_both_log_distances(rng, db):
    """Noise lies over the floor everywhere, so that every bin differs by the gain."""
    sound = noise(rng)
    louder = sound * np.float32(10 ** (db / 20))
    assert log_mel_l1_db(louder, sound) == pytest.approx(abs(db), abs=0.01)
    assert multi_scale_db(louder, sound) == pytest.approx(abs(db), abs=0.02)
    assert spectral_convergence(louder, sound) == pytest.approx(abs(10 ** (db / 20) - 1), rel=1e-3)


@pytest.mark.parametrize("db", [10.0, 40.0, 70.0])
def test_a_null_is_the_power_over_what_was_added(rng, db):
    sound, added = noise(rng), noise(rng)
    added *= np.float32(np.linalg.norm(sound) / np.linalg.norm(added) * 10 ** (-db / 20))
    assert null_snr_db(sound + added, sound) == pytest.approx(db, abs=0.05)


def test_what_lies_60_db_under_the_teacher_does_not_count(rng):
    sound = decaying(300)
    hiss = noise(rng, level=1e-6)
    assert log_mel_l1_db(sound + hiss, sound) < 0.01
    assert multi_scale_db(sound + hiss, sound) < 0.01


def tone(hz, level=0.1, samples=RATE):
    return (level * np.sin(2 * np.pi * hz * np.arange(samples) / RATE)).astype(np.float32)


def test_the_bands_are_those_of_the_documents():
    assert BANDS == ((20, 500), (500, 2000), (2000, 4000), (4000, 6000), (6000, 10_000), (10_000, 16_000))


@pytest.mark.parametrize("band", range(len(BANDS)))
def test_a_band_that_is_louder_is_found_and_no_other(band):
    centres = [np.sqrt(low * high) for low, high in BANDS]
    plain = sum(tone(hz) for hz in centres)
    bands = bands_db(plain + tone(centres[band]), plain)
    for index, (low, high) in enumerate(BANDS):
        assert bands[f"{low}-{high}"] == pytest.approx(6.02 if index == band else 0.0, abs=0.01)


def test_a_band_where_the_teacher_is_silent_is_left_out():
    n = RATE  # whole periods: no leakage into other bands
    assert set(bands_db(tone(1000, samples=n) + tone(5000, samples=n), tone(1000, samples=n))) == {"500-2000"}


@pytest.mark.parametrize("cents", [-30.0, -9.0, -0.7, 0.0, 3.3, 25.0])
@pytest.mark.parametrize("hz", [110.0, 440.0, 2093.0])
def test_a_pitch_is_measured_to_a_tenth_of_a_cent(cents, hz):
    sound = decaying(hz * 2 ** (cents / 1200), 1.2)
    assert pitch_cents(sound, decaying(hz, 1.2)) == pytest.approx(cents, abs=0.1)


def test_the_pitch_of_a_resampled_recording_is_measured(teacher):
    """A real note, played a five-hundredth too fast: 3.46 cents sharp."""
    sound = teacher.notes([(0, 690 * 64, 60, 80)], 690 * 64).mean(axis=1)
    faster = soxr.resample(sound, 501, 500, quality="VHQ")
    assert pitch_cents(faster, sound) == pytest.approx(1200 * np.log2(501 / 500), abs=0.1)


def test_without_a_common_partial_there_is_no_pitch():
    assert np.isnan(pitch_cents(tone(1000), tone(300)))
    assert np.isnan(pitch_cents(tone(1000), np.zeros(RATE, np.float32)))


@pytest.mark.parametrize("seconds", [0.005, 0.05, 0.2])
def test_an_attack_is_the_time_from_a_tenth_to_nine_tenths(seconds):
    ramp = np.minimum(np.arange(RATE) / RATE / seconds, 1).astype(np.float32)
    assert attack_seconds(ramp * tone(3000, 1.0)) == pytest.approx(0.8 * seconds, abs=0.0015)


def test_silence_has_no_attack():
    assert np.isnan(attack_seconds(np.zeros(RATE, np.float32)))


@pytest.mark.parametrize("onset", [0, 1, 700, 4000])
def test_an_onset_is_found_on_its_sample(onset):
    sound = np.zeros(8000, np.float32)
    sound[onset:] = 0.5
    assert onset_sample(sound) == onset


def test_an_onset_is_where_a_share_of_the_peak_is_reached():
    ramp = (np.arange(4410) / 4410).astype(np.float32)
    assert onset_sample(ramp, 0.5) == pytest.approx(2205, abs=2)


def test_an_offset_is_no_pitch(rng):
    tone_ = tone(440)
    assert abs(pitch_cents(tone_ + np.float32(0.5), tone(440) + np.float32(0.5))) < 0.01
    assert np.isnan(pitch_cents(tone_, np.full(RATE, 0.3, np.float32)))


@pytest.mark.parametrize(("depth", "rate"), [(20, 5.5), (8, 4.0), (35, 6.5)])
def test_a_vibrato_is_measured(depth, rate):
    seconds = np.arange(2 * RATE) / RATE
    turns = np.cumsum(440 * 2 ** (depth * np.sin(2 * np.pi * rate * seconds) / 1200)) / RATE
    sound = sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, 10)).astype(np.float32)
    measured = vibrato(sound, 440.0)
    assert measured[0] == pytest.approx(depth, rel=0.1)
    assert measured[1] == pytest.approx(rate, abs=0.2)
    assert vibrato(decaying(440.0, 2.0), 440.0)[0] < 1


def test_a_step_at_the_onset_is_measured():
    sound = np.sin(np.arange(2000) / 40).astype(np.float32)
    assert onset_step_db(sound) == pytest.approx(20 * np.log10(np.sin(1 / 40)), abs=1)
    assert onset_step_db(np.cos(np.arange(2000) / 40).astype(np.float32)) == pytest.approx(0, abs=0.01)


def test_the_level_of_all_that_is_high_is_compared(rng):
    hiss = noise(rng)
    low = decaying(300, len(hiss) / RATE)[: len(hiss)]
    hiss[: len(low)] += low
    dull = np.fft.irfft(np.fft.rfft(hiss) * np.where(np.fft.rfftfreq(len(hiss), 1 / RATE) > 7000, 0.5, 1))
    assert level_above_db(dull.astype(np.float32), hiss, 7000) == pytest.approx(-6.02, abs=0.05)
    assert np.isnan(level_above_db(hiss, np.zeros_like(hiss), 7000))
