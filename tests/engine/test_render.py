import numpy as np
import pytest
import soundfile

from engine.midi.events import control, note_off, note_on
from engine.midi.files import Score
from engine.render import RenderOptions, render_array, render_blocks, render_file

RATE = 44_100
PLAIN = RenderOptions({})


def make_score(length, *keys):
    """Keys one after another, an eighth of a second each."""
    step = RATE // 8
    events = [
        event for n, key in enumerate(keys) for event in (note_on(n * step, key, 100), note_off((n + 1) * step, key))
    ]
    return Score(tuple(events), length, RATE)


@pytest.mark.parametrize("limiter", [True, False])
@pytest.mark.parametrize("length", [1, 20_000, 20 * 1024, 20 * 1024 + 1, 40_000])
def test_a_rendering_is_no_shorter_than_its_score(fading, length, limiter):
    sound = render_array(make_score(length, 60), fading, RenderOptions({}, limiter=limiter))
    assert len(sound) >= length
    assert len(sound) < length + RATE / 2  # the note is silent by then


def test_a_rendering_goes_on_until_the_last_note_has_died_away(fading):
    score = Score((note_on(0, 60, 127), control(10, 64, 127), note_off(500, 60)), 500, RATE)
    sound = render_array(score, fading, PLAIN)
    assert np.abs(sound[500:1500]).max() > 0.01
    assert np.abs(sound[-64:]).max() < 1e-4


def test_a_score_without_sound_is_rendered_as_silence(fading):
    score = Score((control(0, 7, 0), note_on(0, 60, 127), note_off(100, 60)), 3000, RATE)
    assert not render_array(score, fading, PLAIN).any()


def test_knobs_are_set_before_the_first_note(fading):
    """20 dB less is a tenth, from the first sample on."""
    score = make_score(8000, 60, 64)
    plain = render_array(score, fading, RenderOptions({}, limiter=False))
    soft = render_array(score, fading, RenderOptions({"volume": -20.0}, limiter=False))
    after = slice(1000, None)  # the volume moves within 10 ms
    assert np.abs(soft[after] - plain[after] / 10).max() < 1e-5
    bright = render_array(score, fading, RenderOptions({"odd_even": 1.0}, limiter=False))
    assert np.abs(bright[: RATE // 100] - plain[: RATE // 100]).max() > 1e-3


def test_who_receives_may_stop(fading):
    shares = []
    render_blocks(make_score(50_000, 60), fading, PLAIN, lambda block, done: shares.append(done) or len(shares) < 3)
    assert len(shares) == 3


@pytest.mark.parametrize("rate", [None, 48_000, 22_050])
def test_a_file_lasts_as_long_at_any_rate(fading, tmp_path, rate):
    score = make_score(22_050, 60, 64)
    assert render_file(score, fading, tmp_path / "x.flac", RenderOptions({}, rate=rate))
    info = soundfile.info(tmp_path / "x.flac")
    seconds = len(render_array(score, fading, PLAIN)) / RATE
    assert info.samplerate == (rate or RATE)
    assert info.channels == 2
    assert info.frames / info.samplerate == pytest.approx(seconds, abs=1e-3)


def test_a_file_holds_what_was_rendered(fading, tmp_path):
    score = make_score(10_000, 60, 64)
    render_file(score, fading, tmp_path / "x.wav", PLAIN)
    read, _ = soundfile.read(tmp_path / "x.wav")
    assert np.abs(read - render_array(score, fading, PLAIN)).max() < 2**-22


def test_a_rendering_that_breaks_leaves_nothing(fading, tmp_path):
    def progress(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_file(make_score(10_000, 60), fading, tmp_path / "x.wav", PLAIN, progress)
    assert not list(tmp_path.iterdir())


def test_a_cancelled_rendering_leaves_nothing(fading, tmp_path):
    assert not render_file(make_score(10_000, 60), fading, tmp_path / "x.flac", PLAIN, lambda done: False)
    assert not list(tmp_path.iterdir())
