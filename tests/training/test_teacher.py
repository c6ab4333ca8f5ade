import ctypes.util
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.midi.events import Event, Kind, bend, control, note_off, note_on
from tests.training.conftest import RATE
from training import teacher as module
from training.metrics import pitch_cents
from training.teacher import BLOCK, SOUNDFONT_VARIABLE, Teacher, TeacherError, find_soundfont, soundfont_tag

SECOND = 690 * BLOCK


def note(teacher, start=0, key=60, velocity=90, held=200, samples=600):
    """One note as it begins, all times but `samples` in blocks."""
    sound = teacher.notes([(start * BLOCK, (start + held) * BLOCK, key, velocity)], (start + samples) * BLOCK)
    return sound[start * BLOCK :]


def test_a_repeated_note_is_the_same_to_rounding(teacher):
    first = note(teacher)
    assert np.abs(first).max() > 0.01
    assert np.abs(first - note(teacher)).max() < 1e-6 * np.abs(first).max()


@pytest.mark.parametrize("start", [1, 100, 3333])
def test_a_note_sounds_the_same_wherever_it_begins_on_the_grid(teacher, start):
    assert np.abs(note(teacher) - note(teacher, start)).max() < 1e-6


def test_in_one_rendering_too_a_repeated_note_is_the_same(teacher):
    start = 1500 * BLOCK  # the first one has died away by then
    notes = [(0, 200 * BLOCK, 60, 90), (start, start + 200 * BLOCK, 60, 90)]
    sound = teacher.notes(notes, start + 400 * BLOCK)
    assert np.abs(sound[: 400 * BLOCK] - sound[start:]).max() < 1e-6


def test_a_fresh_teacher_plays_the_same_note(teacher):
    with Teacher(0) as fresh:
        assert np.abs(note(teacher) - note(fresh)).max() < 1e-6


def test_a_rendering_leaves_no_old_notes(teacher):
    held = [control(0, 64, 127), *(note_on(0, key, 127) for key in range(40, 80, 3))]
    assert np.abs(teacher.render(held, 100 * BLOCK)).max() > 0.1
    assert not teacher.render([], 200 * BLOCK).any()


def test_reset_leaves_no_old_notes(teacher):
    teacher.render([note_on(0, key, 127) for key in range(40, 80, 3)], 100 * BLOCK)
    teacher.reset()
    assert np.abs(teacher._fetch(200 * BLOCK)).max() < 1e-6


def test_a_rendering_leaves_no_controllers_and_no_bend(teacher):
    plain = note(teacher)
    teacher.render([control(0, 7, 10), control(0, 10, 0), control(0, 1, 127), bend(0, 6000)], 10 * BLOCK)
    assert np.abs(note(teacher) - plain).max() < 1e-6


def test_any_number_of_samples_is_given_and_is_the_beginning_of_more(teacher):
    events = [note_on(0, 60, 90)]
    long = teacher.render(events, 5000)
    assert long.shape == (5000, 2)
    for samples in (0, 1, 63, 64, 65, 1000):
        assert np.array_equal(teacher.render(events, samples), long[:samples])


def test_events_beyond_the_end_are_left_out(teacher):
    assert not teacher.render([note_on(64 * BLOCK, 60, 90)], 64 * BLOCK).any()


@pytest.mark.parametrize(
    "events",
    [
        [note_on(5, 60, 90)],
        [note_on(BLOCK, 60, 90), note_off(BLOCK + 63, 60)],
        [note_on(2 * BLOCK, 60, 90), note_off(BLOCK, 60)],
        [note_on(-BLOCK, 60, 90)],
    ],
)
def test_events_off_the_grid_or_out_of_order_are_refused(teacher, events):
    with pytest.raises(ValueError, match="grid"):
        teacher.render(events, 1000)


def test_a_key_that_is_struck_again_ends_before_it_begins(teacher):
    """Both at one sample: in the other order the new note would be cut off at once."""
    again = [(0, 300 * BLOCK, 60, 100), (300 * BLOCK, 900 * BLOCK, 60, 100)]
    sound = teacher.notes(again, 900 * BLOCK)
    loudness = np.sqrt(np.mean(sound[500 * BLOCK : 900 * BLOCK] ** 2))
    held = np.sqrt(np.mean(teacher.notes(again[1:], 900 * BLOCK)[500 * BLOCK :] ** 2))
    assert loudness > 0.8 * held


def test_soft_notes_keep_their_precision(teacher):
    """The softest note is under half a step of 16 bits, and yet its waveform is whole."""
    soft = note(teacher, velocity=1, held=690, samples=690)
    loud = note(teacher, velocity=127, held=690, samples=690)
    assert 0 < np.abs(soft).max() < 1 / 32768
    assert len(np.unique(soft)) > 10_000
    assert abs(pitch_cents(soft.mean(axis=1), loud.mean(axis=1))) < 1


def test_the_bend_wheel_is_heard(teacher):
    plain = teacher.notes([(0, SECOND, 60, 90)], SECOND).mean(axis=1)
    # FluidSynth's range is two semitones, so that 1024 of 8192 is a quarter of one; it counts in whole cents.
    bent = teacher.render([bend(0, 1024), note_on(0, 60, 90)], SECOND).mean(axis=1)
    assert pitch_cents(bent, plain) == pytest.approx(25, abs=1.2)


def test_pressure_is_taken_and_programs_in_the_score_are_not(teacher):
    plain = teacher.render([note_on(0, 60, 90)], SECOND)
    strings = [control(0, 0, 8), Event(0, Kind.PROGRAM, 0, 48), note_on(0, 60, 90)]
    assert np.array_equal(teacher.render(strings, SECOND), plain)
    pressed = teacher.render([Event(0, Kind.PRESSURE, 0, 0, 127), note_on(0, 60, 90)], SECOND)
    assert np.abs(pressed - plain).max() > 0.01 * np.abs(plain).max()


def test_another_program_is_another_sound(teacher):
    with Teacher(73) as flute:
        assert np.abs(note(teacher) - note(flute)).max() > 0.01


def test_at_another_sample_rate_the_pitch_stays(teacher):
    with Teacher(0, sample_rate=22_050) as half:
        slow = half.notes([(0, SECOND // 2, 69, 90)], SECOND // 2).mean(axis=1)
    fast = teacher.notes([(0, SECOND, 69, 90)], SECOND).mean(axis=1)[::2]
    assert abs(pitch_cents(slow, fast)) < 1


def test_it_is_dry(teacher):
    """With reverb or chorus on, a released note would ring on for seconds."""
    sound = teacher.notes([(0, 20 * BLOCK, 84, 100)], 3 * SECOND)
    assert np.abs(sound[2 * SECOND :]).max() < 1e-5 * np.abs(sound).max()


def one_sentence(error):
    text = str(error.value)
    return "\n" not in text and 20 < len(text) < 300 and not text.endswith(".")


def test_a_missing_soundfont_is_said_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv(SOUNDFONT_VARIABLE, str(tmp_path / "none.sf2"))
    with pytest.raises(TeacherError, match=f"none.sf2.*{SOUNDFONT_VARIABLE}") as error:
        Teacher(0)
    assert one_sentence(error)


def test_where_no_soundfont_is_installed_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv(SOUNDFONT_VARIABLE, raising=False)
    monkeypatch.setattr(module, "SOUNDFONTS", (str(tmp_path / "FluidR3_GM.sf2"),))
    with pytest.raises(TeacherError, match=f"fluid-soundfont-gm.*{SOUNDFONT_VARIABLE}") as error:
        find_soundfont()
    assert one_sentence(error)


def test_a_file_that_is_no_soundfont_is_said_in_one_sentence(tmp_path, capfd):
    (tmp_path / "x.sf2").write_bytes(b"RIFF and nothing")
    with pytest.raises(TeacherError, match=r"x\.sf2 is not a SoundFont") as error:
        Teacher(0, soundfont=tmp_path / "x.sf2")
    assert one_sentence(error)


def test_a_program_that_the_soundfont_lacks_is_said_in_one_sentence(capfd):
    with pytest.raises(TeacherError, match="no program 5 in bank 77") as error:
        Teacher(5, bank=77)
    assert one_sentence(error)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    """The real binding looks for the library, and finds none."""
    monkeypatch.delitem(sys.modules, "fluidsynth", raising=False)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    with pytest.raises(TeacherError, match="libfluidsynth3") as error:
        Teacher(0)
    assert one_sentence(error)


def test_without_the_binding_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "fluidsynth", None)
    with pytest.raises(TeacherError, match="extra 'training'") as error:
        Teacher(0)
    assert one_sentence(error)


def test_data_of_another_soundfont_is_kept_apart(monkeypatch, tmp_path):
    monkeypatch.delenv(SOUNDFONT_VARIABLE, raising=False)
    plain = soundfont_tag()
    tags = [plain]
    for name, size in (("Other.sf2", 10), ("Other.sf2", 20), ("Third.sf2", 10)):
        path = Path(tmp_path / name)
        path.write_bytes(bytes(size))
        monkeypatch.setenv(SOUNDFONT_VARIABLE, str(path))
        tags.append(soundfont_tag())
    assert plain == ""
    assert len(set(tags)) == 4


def test_the_teacher_is_in_tune(teacher):
    """The unit of everything that follows: A4 of the piano is 440 Hz within a few cents."""
    sound = teacher.notes([(0, SECOND, 69, 90)], SECOND).mean(axis=1)
    t = np.arange(len(sound)) / RATE
    tone = np.sin(2 * np.pi * 440 * t).astype(np.float32)
    assert abs(pitch_cents(sound, tone)) < 10
