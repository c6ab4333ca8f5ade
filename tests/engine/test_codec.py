import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.codec import TABLE_SAMPLES, NnssCodec, Note, ScoreCodec, nnss_note, nnss_signal
from engine.spectral import Stft, denormalise_power
from engine.units import cents_between
from training.metrics import pitch_cents

RATE = 44_100
SCORE = ScoreCodec(Stft(1024, 256), RATE)
NNSS = NnssCodec(Stft(2048, 256), bins=1025)

notes = st.builds(
    Note, st.integers(0, 127), st.integers(1, 127), st.one_of(st.none(), st.integers(0, 40_000))
)  # fmt: skip


def test_nnss_is_its_formula():
    sines = nnss_note(60, 1000)
    for n in (0, 1, 17, 999):
        clock = math.sin(math.pi * n * (1 - n / (5 * 44_100)))
        assert sines[n] == pytest.approx(1.21 * clock + 1.21 * math.sin(math.pi * n * 60 / 190.5), abs=1e-9)


def test_nnss_signal_adds_notes_and_cuts_the_positive_side_only():
    signal = nnss_signal([(0, 500, 60), (200, 800, 64)], 1000)
    both = nnss_note(60, 500)[200:500] + nnss_note(64, 600)[:300]
    assert np.allclose(signal[200:500], np.minimum(both, 1), atol=1e-6)
    assert signal.max() <= 1
    assert signal.min() < -1.5
    assert not signal[800:].any()


def test_the_nnss_seed_has_the_originals_sizes():
    codec = NnssCodec(Stft(16384, 8), oversampling=8, interpolation="linear")
    assert (codec.length, codec.hop, codec.bins, codec.power, codec.features) == (2048, 1, 1024, 1 / 8, 2048)


@pytest.mark.parametrize("codec", [NNSS, NnssCodec(Stft(4096, 512), oversampling=2, bins=1100)], ids=["x1", "x2"])
def test_a_sound_through_codec_and_back_is_itself(codec):
    """The identity: power-normalised spectra, denormalised, inverted, overlapped and added."""
    n = np.arange(12_000)
    sound = (0.4 * np.sin(2 * np.pi * 440 * n / RATE) + 0.2 * np.sin(2 * np.pi * 1320 * n / RATE)).astype(np.float32)
    sound *= np.hanning(len(sound)).astype(np.float32)
    frames = 40
    start = codec.frame_start(0)
    padded = np.zeros((frames - 1) * codec.hop + codec.length + 1)
    padded[-start : -start + len(sound)] = sound[: len(padded) + start]
    normal = codec.analyse(codec.oversample(padded)[: (frames - 1) * codec.stft.hop + codec.stft.length])
    stretches = codec.stretches(denormalise_power(normal, codec.power))
    out = np.zeros((frames - 1) * codec.hop + codec.length)
    for index, stretch in enumerate(stretches):
        out[index * codec.hop : index * codec.hop + codec.length] += stretch
    inner = slice(codec.length, (frames - 4) * codec.hop)
    error = np.abs(out[inner] - padded[inner]).max()
    assert error < (1e-5 if codec.oversampling == 1 else 1e-3)  # resampling up and dropping down is not exact
    assert abs(pitch_cents(out[inner].astype(np.float32), padded[inner].astype(np.float32))) < 0.01


@given(notes, st.integers(0, 200), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_tables_give_what_the_definition_gives(note, first, count):
    wanted = SCORE._normalise(SCORE._direct(note, np.arange(first, first + count)))
    frames = SCORE.frames(note, first, count)
    assert frames.shape == (count, SCORE.features)
    assert np.abs(frames - wanted).max() < 2e-3


@pytest.mark.parametrize("codec", [SCORE, NNSS], ids=["score", "nnss"])
@given(note=notes, cut=st.integers(1, 29))
@settings(max_examples=25, deadline=None)
def test_frames_are_the_same_however_they_are_asked_for(codec, note, cut):
    whole = codec.frames(note, 0, 30)
    parts = np.concatenate([codec.frames(note, 0, cut), codec.frames(note, cut, 30 - cut)])
    assert np.abs(whole - parts).max() < 2e-3


@pytest.mark.parametrize("codec", [SCORE, NNSS], ids=["score", "nnss"])
@given(note=notes, release=st.integers(300, 20_000))
@settings(max_examples=25, deadline=None)
def test_no_frame_before_the_release_knows_of_it(codec, note, release):
    held = note.held()
    released = Note(note.key, note.velocity, release)
    border = codec.first_frame_of(release)
    first = max(0, border - 3)
    count = border - first
    if count:
        assert np.abs(codec.frames(held, first, count) - codec.frames(released, first, count)).max() < 2e-3
    after = codec.frames(held, border + 1, 4) - codec.frames(released, border + 1, 4)
    assert np.abs(after).max() > 0.01


def test_the_clock_falls_for_a_minute_and_never_folds():
    seconds = np.linspace(0, ScoreCodec.CLOCK_SECONDS, 4000)
    step = 1e-5
    hz = []
    for t in seconds:
        two = SCORE._clock_phase(np.array([t, t + step]))
        hz.append(((two[1] - two[0]) / (2 * np.pi)) % 1 / step)
    hz = np.array(hz)
    assert np.all(np.diff(hz) < 0.5)  # numerical differentiation leaves a little
    assert hz.max() < RATE / 2
    assert hz.min() > 50


def test_every_key_turns_whole_times_a_hop():
    for key in (21, 60, 108):
        signal = SCORE.signal(Note(key, 127), 2048, 2048)
        shifted = SCORE.signal(Note(key, 127), 2048 + 256, 2048)
        clock = [SCORE.signal(Note(0, 127), start, 2048) for start in (2048, 2304)]
        assert np.abs((signal - clock[0]) - (shifted - clock[1])).max() < 1e-6


def test_velocity_is_in_the_note_sines_amplitude():
    def note_sine(velocity):
        note = Note(60, velocity)
        return SCORE.signal(note, 1000, 4000) - SCORE.signal(Note(0, velocity), 1000, 4000)

    ratio = np.abs(note_sine(127)).max() / np.abs(note_sine(1)).max()
    assert ratio == pytest.approx(1 / (0.25 + 0.75 / 127), rel=0.01)


def test_fractional_keys_lie_between():
    low, middle, high = (SCORE.frames(Note(key, 90), 20, 1)[0] for key in (60, 60.5, 61))
    assert np.linalg.norm(middle - low) > 0.1
    assert np.linalg.norm(middle - high) > 0.1
    assert cents_between(60.5, 60) > 0


@pytest.mark.parametrize(
    "settings_", [{"bins": 0}, {"bins": 5000}, {"oversampling": 0}, {"interpolation": "cubic"}, {"oversampling": 3}]
)
def test_settings_that_do_not_fit_are_refused(settings_):
    with pytest.raises(ValueError):
        NnssCodec(Stft(2048, 256), **settings_)


@pytest.mark.parametrize("power", [0, -1, 1e-300, 1e300, float("nan")])
def test_powers_that_no_network_could_undo_are_refused(power):
    with pytest.raises(ValueError, match="power"):
        NnssCodec(Stft(2048, 256), bins=1024, power=power)


def spectra_of(codec, frames):
    """Without the power normalisation, which lifts even rounding errors of silence into sight."""
    return denormalise_power((frames[:, : codec.bins] + 1j * frames[:, codec.bins :]).astype(np.complex64), codec.power)


@pytest.mark.parametrize("interpolation", ["linear", "exact"])
@pytest.mark.parametrize("oversampling", [2, 8])
@pytest.mark.parametrize("cut", [1, 5, 13, 20])
def test_an_oversampled_frame_knows_nothing_of_the_frames_beside_it(interpolation, oversampling, cut):
    """Live playing asks for a few frames at a time; where a piece ends, its interpolation must not be heard."""
    stft = Stft(512 * oversampling, 128 * oversampling)
    codec = NnssCodec(stft, oversampling, bins=256, interpolation=interpolation)
    note = Note(60, 90, 1900)
    whole = spectra_of(codec, codec.frames(note, 0, 30))
    parts = spectra_of(codec, np.concatenate([codec.frames(note, 0, cut), codec.frames(note, cut, 30 - cut)]))
    assert np.abs(whole).max() > 0.1
    assert np.abs(whole - parts).max() < 1e-7


def test_linear_oversampling_droops_as_the_original_does_and_exact_does_not():
    """Lines between samples are a triangle for a filter, whose response is a square of Dirichlet's kernel."""
    n, hz, times = np.arange(4410), 15_000, 8
    sine = np.sin(2 * np.pi * hz * n / RATE)
    carrier = np.exp(-2j * np.pi * hz * np.arange(n.size * times) / (RATE * times))
    inner = slice(1000 * times, 3940 * times)  # whole turns, away from the ends
    kernel = np.sin(np.pi * hz / RATE) / (times * np.sin(np.pi * hz / RATE / times))
    for interpolation, wanted_db in (("linear", 20 * np.log10(kernel**2)), ("exact", 0.0)):
        codec = NnssCodec(Stft(4096, 512), oversampling=times, interpolation=interpolation)
        level = 2 * abs((codec.oversample(sine) * carrier)[inner].mean())
        assert 20 * np.log10(level) == pytest.approx(wanted_db, abs=0.02)


@pytest.mark.parametrize("start", [-700, 0, 5000, TABLE_SAMPLES - 2000, TABLE_SAMPLES - 100])
@pytest.mark.parametrize("release", [None, 3000, 5500, TABLE_SAMPLES - 1500])
def test_tables_give_the_signal(start, release):
    codec = ScoreCodec(Stft(1024, 256), 44_100)
    note = Note(61, 77, release)
    quick = codec._quick_signal(note, start, 1500)
    if start + 1500 > TABLE_SAMPLES:
        assert quick is None
    else:
        assert np.abs(quick - codec.signal(note, start, 1500)).max() < 2e-6
