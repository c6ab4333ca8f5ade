import subprocess
import sys

import numpy as np
import pytest
import soundfile

from engine.audio import recorder as module
from engine.audio.recorder import AUDIO_FILE, EVENTS_FILE, Recorder, Take, takes
from engine.errors import OutputFileError
from engine.midi.events import Kind, bend, control, knob, note_off, note_on
from engine.midi.files import read_score

RATE = 44_100


def noise(samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (samples, 2)).astype(np.float32)


def recorded(folder, blocks, events=()):
    recorder = Recorder(folder)
    for index, block in enumerate(blocks):
        assert recorder.append(block, events if index == 0 else ())
    return recorder.close()


@pytest.mark.parametrize("name", ["take.wav", "take.flac"])
def test_a_take_is_what_was_played(tmp_path, name):
    blocks = [noise(size, size) for size in (64, 1, 500)]
    take = recorded(tmp_path / "take", blocks)
    assert take.seconds == pytest.approx(565 / RATE)
    take.save(tmp_path / name)
    read, rate = soundfile.read(tmp_path / name)
    assert rate == RATE
    assert soundfile.info(tmp_path / name).subtype == "PCM_24"
    assert np.abs(read - np.concatenate(blocks)).max() < 2**-22


def test_the_events_lie_at_their_samples_and_held_notes_end_with_the_take(tmp_path):
    events = [
        control(0, 64, 127),
        note_on(7, 60, 99),
        note_off(300, 60),
        note_on(450, 61, 1, channel=4),
        bend(460, -777),
    ]
    take = recorded(tmp_path / "take", [noise(500)], [*events, knob(10, "volume", -3)])
    midi = take.save(tmp_path / "out.wav")
    assert midi == tmp_path / "out.mid"
    score = read_score(midi, RATE)
    assert score.events[0].kind is Kind.TEMPO
    lifted = control(500 + 3 * RATE, 64, 0)  # a pedal that is down at the end comes up after the last note
    assert list(score.events[1:]) == [*events, note_off(500, 61, channel=4), lifted]
    assert score.length == lifted.sample


def test_a_take_without_a_note_has_a_midi_file_too(tmp_path):
    midi = recorded(tmp_path / "take", [noise(10)]).save(tmp_path / "out.wav")
    assert midi.read_bytes().startswith(b"MThd")


@pytest.mark.parametrize("name", ["take.wav", "take.flac"])
def test_an_empty_take_is_a_file_that_can_be_read(tmp_path, name):
    recorded(tmp_path / "take", []).save(tmp_path / name)
    read, rate = soundfile.read(tmp_path / name)
    assert rate == RATE
    assert not read.any()


def test_a_take_that_could_not_be_saved_is_kept(tmp_path):
    take = recorded(tmp_path / "take", [noise(100)])
    with pytest.raises(OutputFileError, match="no folder"):
        take.save(tmp_path / "missing" / "take.wav")
    take.save(tmp_path / "take.wav")
    assert soundfile.info(tmp_path / "take.wav").frames == 100


def test_a_take_ends_before_it_fills_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_SECONDS", 2 / RATE)
    recorder = Recorder(tmp_path / "take")
    assert recorder.append(noise(1))
    assert recorder.append(noise(1))
    assert not recorder.append(noise(1))
    assert "hours long" in recorder.problem
    assert recorder.close().frames == 2


def test_a_nearly_full_disk_ends_the_recording_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEAST_FREE_BYTES", 1 << 62)
    recorder = Recorder(tmp_path / "take")
    while recorder.append(noise(64)):
        pass
    assert "nearly full" in recorder.problem
    assert recorder.close().frames >= 64


FULL_DISK = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from engine.audio.recorder import Recorder

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
recorder = Recorder(Path(sys.argv[1]))
while recorder.append(np.ones((1000, 2), np.float32)):
    pass
take = recorder.close()
print(recorder.problem, take.frames)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no file size limits")
def test_a_full_disk_keeps_what_there_was_room_for(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "take")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "the disk is full: the recording was ended; what there is of it is kept 12500\n"
    assert "Traceback" not in done.stderr


def test_a_disk_that_does_not_keep_up_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING_SECONDS", 0.1)
    recorder = Recorder(tmp_path / "take")
    recorder._waiting = RATE  # as if a second had not been written yet
    assert not recorder.append(noise(64))
    assert "too slow" in recorder.problem
    recorder.close()


def test_what_a_crash_has_left_can_be_saved(tmp_path):
    take = recorded(tmp_path / "takes" / "one", [noise(100)], [note_on(0, 60, 90)])
    with (take.folder / AUDIO_FILE).open("ab") as file:
        file.write(b"abc")
    with (take.folder / EVENTS_FILE).open("a", encoding="utf-8") as file:
        file.write('[50, "note o')
    (tmp_path / "takes" / "empty").mkdir()
    (found,) = takes(tmp_path / "takes")
    found.save(tmp_path / "take.wav")
    assert soundfile.info(tmp_path / "take.wav").frames == 100
    assert read_score(tmp_path / "take.mid", RATE).notes == 1


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputFileError, match=r"^nothing can be recorded in "):
        Recorder(tmp_path / "file" / "take")
    with pytest.raises(OutputFileError, match="cannot be read"):
        Take(tmp_path / "nowhere").save(tmp_path / "take.wav")
