"""Transport, live engine, files in and out."""

import resource
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.audio.files import AudioWriter
from engine.audio.recorder import Recorder
from engine.audio.silent import SilentOutput
from engine.codec import two_sines
from engine.errors import OutputFileError
from engine.knobs import KNOBS, MASTER, SPECTRAL, parse_settings
from engine.live import LiveEngine
from engine.midi.events import Kind, control, note_off, note_on
from engine.midi.files import Score
from engine.render import RenderOptions, render_array, render_file
from engine.synth import Synth
from engine.transport import Transport
from tests.engine.unhurried import unhurried

RATE = 44_100


@pytest.fixture
def score():
    events = [
        control(0, 64, 0), note_on(0, 60, 90), control(1000, 64, 100), note_off(2000, 60), note_on(3000, 64, 80),
        control(5000, 64, 0), note_off(6000, 64), note_on(7000, 67, 70), note_off(8000, 67),
    ]  # fmt: skip
    return Score(tuple(events), 8000, RATE)


@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=10))
@settings(max_examples=50, deadline=None)
def test_the_transport_hands_out_every_event_once_at_its_sample(sizes):
    events = tuple(note_on(137 * index, 60, 5) for index in range(40))
    transport = Transport()
    transport.load(Score(events, 137 * 39, RATE))
    transport.advance(0, 100)
    transport.play()
    got, now = [], 1000
    while transport.playing:
        size = sizes[len(got) % len(sizes)]
        got += transport.advance(now, size)
        now += size
    assert [event.sample for event in got] == [1000 + event.sample for event in events]


def test_after_a_seek_pedals_and_held_notes_are_as_they_would_be(score):
    transport = Transport()
    transport.load(score)
    transport.play()
    transport.seek(4000)
    due = transport.advance(50_000, 64)
    chased = [(event.kind, event.number, event.value) for event in due[-3:]]
    assert (Kind.CONTROL, 64, 100) in chased
    assert (Kind.NOTE_ON, 64, 80) in chased
    assert all(event.sample == 50_000 for event in due)
    assert [event.number for event in transport.advance(50_064, 1000) if event.kind is Kind.CONTROL] == [64]


def test_pause_and_stop_end_every_note(tiny, score):
    engine = LiveEngine(tiny)
    engine.open_score(score)
    engine.play()
    for _ in range(14):
        engine.render(256)
    assert engine.snapshot.keys_down
    engine.pause()
    engine.render(256)
    assert not engine.snapshot.keys_down
    assert engine.snapshot.score_position == 14 * 256
    engine.stop()
    engine.render(256)
    assert engine.snapshot.score_position == 0


def test_the_live_engine_sounds_as_the_offline_rendering(fading, score):
    def play(pause):
        engine = LiveEngine(fading)
        engine.open_score(score)
        engine.play()
        parts = []
        for _ in range(60):
            pause()
            parts.append(engine.render(200))
        return np.concatenate(parts), engine.snapshot.late

    live = unhurried(play)
    offline = render_array(score, fading, RenderOptions({}))
    delay = Synth(fading).delay
    length = min(len(live) - delay, len(offline))
    assert np.abs(live[delay : delay + length] - offline[:length]).max() < 1e-4


def test_wishes_of_other_threads_are_fulfilled_in_the_next_block(tiny):
    engine = LiveEngine(tiny)
    engine.send(note_on(0, 60, 100))
    engine.turn("volume", -6.0)
    engine.render(64)
    assert engine.snapshot.voices == 1
    assert engine._synth.knobs["volume"] == -6.0
    engine.panic()
    engine.render(64)
    engine.render(512)
    assert engine.snapshot.voices == 0


def test_the_silent_output_keeps_time_and_records(tiny, tmp_path):
    engine = LiveEngine(tiny)
    recorder = Recorder(tmp_path / "take")
    engine.record(recorder)
    output = SilentOutput(engine.render, RATE)
    output.open()
    engine.play_event(note_on(0, 60, 100))
    end = time.monotonic() + 20
    while recorder.seconds < 0.3 and time.monotonic() < end:
        time.sleep(0.01)
    output.close()
    assert recorder.close().seconds >= 0.3
    assert engine.snapshot.voices == 1


def test_taps_hold_what_was_rendered(tiny):
    engine = LiveEngine(tiny)
    engine.tapping = True
    engine.send(note_on(0, 60, 100))
    blocks = [engine.render(128) for _ in range(20)]
    taps = list(engine.taps)
    assert np.allclose(np.concatenate([tap.output for tap in taps]), np.concatenate(blocks).mean(axis=1))
    sines = two_sines(tiny.model.codec, [(len(tap.output), tap.voices) for tap in taps])
    assert len(sines) == sum(len(tap.output) for tap in taps)
    assert np.abs(sines).max() > 0.1


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_audio_files_hold_24_bits_of_what_was_written(tmp_path, suffix):
    rng = np.random.default_rng(0)
    sound = rng.uniform(-0.9, 0.9, (5000, 2)).astype(np.float32)
    path = tmp_path / f"x{suffix}"
    with AudioWriter(path, RATE) as writer:
        for start in range(0, 5000, 700):
            writer.write(sound[start : start + 700])
    read, rate = soundfile.read(path)
    assert rate == RATE
    assert soundfile.info(path).subtype == "PCM_24"
    assert np.abs(read - sound).max() < 2 / 2**24
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_another_rate_keeps_length_and_pitch(tmp_path):
    n = np.arange(RATE)
    sine = (0.5 * np.sin(2 * np.pi * 1000 * n / RATE)).astype(np.float32)
    with AudioWriter(tmp_path / "x.wav", RATE, 48_000) as writer:
        for start in range(0, RATE, 1024):
            writer.write(np.stack([sine, sine], axis=1)[start : start + 1024])
    read, rate = soundfile.read(tmp_path / "x.wav")
    assert rate == 48_000
    assert abs(len(read) - 48_000) <= 2
    wanted = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(48_000) / 48_000)
    assert np.abs(read[4000:44_000, 0] - wanted[4000:44_000]).max() < 1e-4


@pytest.mark.parametrize("name", ["x.mp3", "x", "missing/x.wav", "folder.wav"])
def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path, name):
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(OutputFileError, match="cannot be written"):
        AudioWriter(tmp_path / name, RATE)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.wav"]


@pytest.mark.parametrize("rate", [0, -1, 10**6])
def test_a_rate_that_no_file_has_is_refused(tmp_path, rate):
    with pytest.raises(OutputFileError):
        AudioWriter(tmp_path / "x.wav", RATE, rate or 1)


FULL_DISK = """
import resource, signal, sys
import numpy as np
from engine.audio.files import AudioWriter
from engine.codec import two_sines
from engine.errors import OutputFileError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with AudioWriter(sys.argv[1], 44_100) as writer:
        for _ in range(100):
            writer.write(np.zeros((4410, 2), np.float32))
except OutputFileError as error:
    print(error)
"""


def test_a_disk_without_room_is_said_and_nothing_is_left(tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)  # what the child sets for itself
    path = tmp_path / "x.wav"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout
    assert not list(tmp_path.iterdir())


def test_an_old_file_survives_a_rendering_that_is_cancelled(fading, score, tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(b"old")
    assert not render_file(score, fading, path, RenderOptions({}), lambda done: done < 0.5)
    assert path.read_bytes() == b"old"
    assert render_file(score, fading, path, RenderOptions({}))
    assert soundfile.info(path).frames >= 8000


def test_progress_rises_to_one(fading, score, tmp_path):
    shares = []
    render_file(score, fading, tmp_path / "x.wav", RenderOptions({}), lambda done: not shares.append(done))
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_rendering_begins_with_the_first_note_whatever_the_limiter_delays(fading, score):
    limited, plain = (render_array(score, fading, RenderOptions({}, limiter=on)) for on in (True, False))
    length = min(len(limited), len(plain))
    assert np.array_equal(limited[:length], plain[:length])


@pytest.mark.parametrize(
    "text", ["brightness", "brightness=x", "brightness=99", "nothing=1", "", "=", "brightness=nan"]
)
def test_settings_that_make_no_sense_are_said(text):
    with pytest.raises(ValueError, match="knob"):
        parse_settings([text], (*MASTER, *SPECTRAL))


def test_settings_are_read():
    assert parse_settings(["brightness=2.5", "width=0"], SPECTRAL) == {"brightness": 2.5, "width": 0.0}


@pytest.mark.parametrize("name", KNOBS)
def test_every_knob_is_explained_and_maps_both_ways(name):
    knob = KNOBS[name]
    assert knob.help.endswith(".") and knob.title
    assert knob.low <= knob.default <= knob.high
    for share in (0, 0.3, 1):
        assert knob.to_position(knob.to_value(share)) == pytest.approx(share)
    assert knob.clip(1e9) == knob.high
