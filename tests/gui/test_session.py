"""The session with the real engine in its own process, without a sound device and without a window."""

import itertools
import os
import signal
import sys

import numpy as np
import pytest
import soundfile

from engine.description import SAMPLE_RATE
from engine.library import open_instrument
from engine.midi.events import Kind, control
from engine.midi.files import read_score
from engine.render import RenderOptions, render_array
from engine.transport import arranged
from musicnn_gui.crash import CrashReport, log_path
from musicnn_gui.recordings import new_take, recordings_folder, spoken
from musicnn_gui.session import Session
from musicnn_gui.settings import Settings

WAIT = 60_000


@pytest.fixture
def playing(qtbot, session):
    """A session that can be played."""
    with qtbot.waitSignal(session.ready, timeout=WAIT):
        session.start()
    qtbot.waitUntil(lambda: session.snapshot is not None and session.instrument is not None, timeout=WAIT)
    return session


def test_a_recording_is_saved_as_sound_and_as_midi(qtbot, playing, tmp_path):
    playing.play(control(0, 64, 127))
    qtbot.waitUntil(lambda: playing.pedals["sustain"] == 1, timeout=WAIT)
    playing.start_recording()
    qtbot.waitUntil(lambda: (playing.recording or 0) > 0.1, timeout=WAIT)
    playing.note_on(60, 100)
    qtbot.waitUntil(lambda: 60 in playing.snapshot.keys_down, timeout=WAIT)
    qtbot.wait(300)
    playing.note_off(60)
    qtbot.waitUntil(lambda: not playing.snapshot.keys_down, timeout=WAIT)
    with qtbot.waitSignal(playing.message, timeout=WAIT) as said:
        playing.save_recording(tmp_path / "take.flac")
    assert said.args == ["take.flac and take.mid are written.", False]
    assert playing.recording is None
    sound, rate = soundfile.read(tmp_path / "take.flac")
    assert rate == SAMPLE_RATE
    assert np.abs(sound).max() > 0.01
    score = read_score(tmp_path / "take.mid", SAMPLE_RATE)
    assert score.notes == 1
    pedal = next(event for event in score.events if event.kind is Kind.CONTROL)
    assert (pedal.number, pedal.value) == (64, 127)
    assert playing.take is not None
    playing.close()
    assert not list(recordings_folder().iterdir())


def test_a_recording_that_was_not_saved_waits_for_the_next_start(qtbot, playing, tmp_path):
    playing.start_recording()
    qtbot.waitUntil(lambda: (playing.recording or 0) > 0.2, timeout=WAIT)
    playing.close()
    again = Session(Settings())
    with qtbot.waitSignal(again.message, timeout=WAIT) as said:
        again.start()
    assert "was not saved" in said.args[0]
    assert again.take.seconds > 0.2
    with qtbot.waitSignal(again.recording_changed, timeout=WAIT):
        again.save_recording(tmp_path / "take.wav")
    assert soundfile.info(tmp_path / "take.wav").duration > 0.2
    again.close()
    assert not list(recordings_folder().iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals")
def test_an_engine_that_dies_leaves_the_recording_and_comes_back_as_it_was(qtbot, playing, score_file, tmp_path):
    with qtbot.waitSignal(playing.score_changed, timeout=WAIT):
        playing.open_score(score_file)
    playing.turn("tune", 12.0)
    playing.set_tempo(0.5)
    playing.set_transpose(2)
    playing.start_recording()
    qtbot.waitUntil(lambda: (playing.recording or 0) > 0.2, timeout=WAIT)
    before = playing.snapshot.position
    with qtbot.waitSignal(playing.recording_changed, timeout=WAIT):
        os.kill(playing.engine._process.pid, signal.SIGKILL)
    assert playing.recording is None
    playing.save_recording(tmp_path / "take.wav")
    qtbot.waitUntil((tmp_path / "take.wav").exists, timeout=WAIT)
    assert soundfile.info(tmp_path / "take.wav").duration > 0.1
    qtbot.waitUntil(
        lambda: playing.snapshot.knobs.get("tune") == 12 and playing.snapshot.position != before, timeout=WAIT
    )
    playing.play_or_pause()
    qtbot.waitUntil(lambda: playing.snapshot.keys_down == {62}, timeout=WAIT)


def test_a_score_is_played_and_exported_with_its_options(qtbot, playing, score_file, tmp_path):
    with qtbot.waitSignal(playing.score_changed, timeout=WAIT):
        playing.open_score(score_file)
    assert [(track.index, track.title, track.notes) for track in playing.tracks] == [(0, "Channel 1", 4)]
    playing.set_tempo(0.5)
    playing.set_transpose(-5)
    playing.set_loop(0.25, 0.75)
    target = tmp_path / "out.wav"
    with qtbot.waitSignal(playing.export_ended, timeout=WAIT):
        playing.export(target)
    made = arranged(playing.score, playing.score_options)
    assert made.length == SAMPLE_RATE
    wanted = render_array(made, open_instrument("piano"), RenderOptions({}))
    sound, _ = soundfile.read(target, dtype="float32")
    assert sound.shape == wanted.shape
    assert np.abs(sound - wanted).max() < 1e-6
    assert playing.settings.export_folder == str(tmp_path)
    playing.seek(0.25)
    playing.play_or_pause()
    seen = []

    def round_twice():
        place = playing.snapshot.score_position / SAMPLE_RATE
        if playing.snapshot.playing:
            seen.append(place)
        return sum(later < earlier for earlier, later in itertools.pairwise(seen)) >= 2

    qtbot.waitUntil(round_twice, timeout=WAIT)
    assert 0.25 <= min(seen) <= max(seen) <= 0.75
    assert playing.snapshot.keys_down <= {59, 62}
    playing.set_muted(0, True)
    qtbot.waitUntil(lambda: not playing.snapshot.keys_down, timeout=WAIT)
    playing.stop()
    qtbot.waitUntil(lambda: playing.snapshot.voices == 0, timeout=WAIT)


def test_undo_and_presets_are_heard(qtbot, playing):
    playing.turn("tune", 40.0)
    playing.save_preset("Sharp")
    playing.undo()
    qtbot.waitUntil(lambda: playing.snapshot.knobs.get("tune") == 0, timeout=WAIT)
    playing.load_preset(playing.presets[-1])
    qtbot.waitUntil(lambda: playing.snapshot.knobs.get("tune") == 40, timeout=WAIT)
    playing.switch_side()
    qtbot.waitUntil(lambda: playing.snapshot.knobs.get("tune") == 0, timeout=WAIT)
    here = [entry.source for entry in playing.instruments].index("piano")
    with qtbot.waitSignal(playing.instrument_changed, timeout=WAIT):
        playing.step_instrument(1)
    assert playing.instrument.source == playing.instruments[(here + 1) % len(playing.instruments)].source
    assert not playing.can_undo


def test_after_a_crash_the_default_instrument_is_loaded_and_said(qtbot, session, qapp):
    crashed = Session(Settings(instrument="morph"), crashed=True)
    said = []
    crashed.message.connect(lambda text, problem: said.append(text))
    with qtbot.waitSignal(crashed.ready, timeout=WAIT):
        crashed.start()
    assert crashed.instrument.source == "piano"
    assert any("ended unexpectedly the last time, with morph" in text for text in said)
    crashed.close()


# --- without an engine ---


def test_a_crash_report_says_where_the_log_is():
    try:
        raise KeyError("knob")
    except KeyError as error:
        report = CrashReport.of(error)
    assert str(log_path()) in report.text
    assert "Traceback" not in report.text
    assert "KeyError: 'knob'" in report.details


def test_takes_have_folders_of_their_own_and_readable_lengths():
    first = new_take()
    assert first.folder.is_dir() and new_take().folder != first.folder
    assert (spoken(185.2), spoken(0)) == ("3:05", "0:00")
