"""Takes, crash marks and settings of two programs at once: real processes, real locks; and who may read them."""

import json
import os
import signal
import stat
import subprocess
import sys

import numpy as np
import pytest

from engine.audio.recorder import AUDIO_FILE, Recorder, Take, takes
from engine.midi.ports import AUTO_PORT
from musicnn_gui.checking import CHECKS
from musicnn_gui.crash import CrashMarker
from musicnn_gui.presets import Preset, presets_folder, save_preset
from musicnn_gui.recordings import left_take, new_take, recordings_folder
from musicnn_gui.session import Session
from musicnn_gui.settings import MOST_BYTES, Settings, settings_path

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions and signals of POSIX")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def other():
    """Starts other programs: lines of Python, which say "ready" and wait until they are killed or told to go on."""
    processes = []

    def start(code):
        process = subprocess.Popen(
            [sys.executable, "-c", f"{code}\nprint('ready', flush=True)\ninput()\n"], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


# takes

RECORDS = """
import numpy as np
from engine.audio.recorder import Recorder
from musicnn_gui.recordings import new_take
take = new_take()
recorder = Recorder(take.folder)
for _ in range(100):
    recorder.append(np.full((441, 2), 0.5, np.float32))
import time
while recorder._waiting:
    time.sleep(0.01)
"""


def made(sound=0.5):
    take = new_take()
    recorder = Recorder(take.folder)
    recorder.append(np.full((4410, 2), sound, np.float32))
    recorder.close()
    return take


def test_a_take_that_is_recorded_elsewhere_is_never_offered_until_its_program_dies(other):
    process = other(RECORDS)
    (take,) = takes(recordings_folder())
    assert take.seconds == 1.0 and left_take() is None and not take.hold()
    process.kill()
    process.wait()
    found = left_take()
    assert found is not None and found.folder == take.folder and found.seconds == 1.0
    assert left_take() is None  # offered once
    found.release()
    assert left_take() is not None


@pytest.mark.parametrize("held_by", ["window", "engine"])
def test_a_take_belongs_to_a_program_as_long_as_either_of_its_processes_lives(tmp_path, other, held_by):
    take = made()
    take.release()
    what = f"Take(Path({str(take.folder)!r})).hold()" if held_by == "window" else "lock.acquire()"
    process = other(
        "from pathlib import Path\nfrom engine.locks import FileLock\nfrom engine.audio.recorder import Take\n"
        f"take = Take(Path({str(take.folder)!r}))\nlock = FileLock(take.folder / 'writer.lock')\n"
        f"assert {what.replace(f'Take(Path({str(take.folder)!r}))', 'take')}"
    )
    assert not take.hold() and left_take() is None
    process.kill()
    process.wait()
    assert take.hold()


def test_a_second_session_leaves_the_first_ones_takes_alone(qtbot, session, tmp_path):
    """Two windows: the second neither offers nor deletes what the first one has not saved."""
    session.take = first = made()
    second = Session(Settings())
    second.start()
    assert second.take is None
    second.discard_recording()
    second.close()
    assert first.frames == 4410
    session.close()
    third = Session(Settings())
    third.start()
    assert third.take is not None and third.take.folder == first.folder
    third.discard_recording()
    third.close()
    assert not takes(recordings_folder())


def test_a_killed_recorder_has_written_what_it_was_given(tmp_path, other):
    """Each block goes to the system at once: of a second of sound none waits."""
    code = (
        "import time\nimport numpy as np\nfrom pathlib import Path\nfrom engine.audio.recorder import Recorder\n"
        f"recorder = Recorder(Path({str(tmp_path / 'take')!r}))\n"
        "for _ in range(100):\n    recorder.append(np.full((441, 2), 0.5, np.float32))\ntime.sleep(0.5)"
    )
    process = other(code)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert Take(tmp_path / "take").seconds == 1.0


def test_saving_a_take_does_not_replace_a_score_of_the_same_name(tmp_path):
    take = made()
    (tmp_path / "song.mid").write_bytes(b"the player's own")
    assert take.save(tmp_path / "song.wav").name == "song 2.mid"
    assert take.save(tmp_path / "song.wav").name == "song 2.mid"  # its own may be replaced
    assert (tmp_path / "song.mid").read_bytes() == b"the player's own"
    take.discard()
    assert not take.folder.exists()


# crash marks

MARKS = (
    "import pathlib, sys\nfrom musicnn_gui.crash import CrashMarker\nmarker = CrashMarker(pathlib.Path({folder!r}))\n"
)


def test_the_marker_tells_a_crash_from_a_clean_end(tmp_path, other):
    folder = tmp_path / "new" / "folder"
    marker = CrashMarker(folder)
    assert not marker.set()
    assert not CrashMarker(folder).set()  # this process runs: it is not one that crashed
    marker.clear()
    assert not CrashMarker(folder).set()
    process = other(MARKS.format(folder=str(folder)) + "assert not marker.set()")
    process.kill()
    process.wait()
    assert CrashMarker(folder).set()
    assert not CrashMarker(folder).set()  # told once


def test_two_windows_do_not_clear_each_others_mark(tmp_path, other):
    """The first is killed after the second has ended cleanly, as often as before."""
    first = other(MARKS.format(folder=str(tmp_path)) + "assert not marker.set()")
    second = other(
        MARKS.format(folder=str(tmp_path)) + "assert not marker.set()\nimport atexit\natexit.register(marker.clear)"
    )
    second.communicate("\n")
    assert second.returncode == 0
    first.kill()
    first.wait()
    assert CrashMarker(tmp_path).set()
    assert len(list(tmp_path.iterdir())) == 1  # its own


@pytest.mark.parametrize("content", [b"", b"x", b"\xff", b"-1", b"9" * 400, b"0"])
def test_a_damaged_marker_counts_as_a_crash(tmp_path, content):
    (tmp_path / "running").write_bytes(content)
    assert CrashMarker(tmp_path).set()
    assert not CrashMarker(tmp_path).set()


# settings


def test_two_windows_keep_each_others_settings(tmp_path):
    path = tmp_path / "settings.json"
    Settings(author="Ada", knobs={"tune": 3.0}).save(path)
    first, second = Settings.load(path), Settings.load(path)
    first.instrument, first.knobs = "morph", {"tune": 5.0}
    second.favourites = ["drums"]
    second.instrument = "drums"
    first.save(path)
    second.save(path)
    kept = Settings.load(path)
    assert (kept.instrument, kept.knobs, kept.favourites, kept.author) == ("drums", {"tune": 5.0}, ["drums"], "Ada")
    first.save(path)  # closed last
    kept = Settings.load(path)
    assert (kept.instrument, kept.knobs, kept.favourites, kept.author) == ("morph", {"tune": 5.0}, ["drums"], "Ada")
    path.write_text("{")
    first.save(path)
    assert Settings.load(path).author == "Ada"
    assert {entry.name for entry in tmp_path.iterdir()} == {"settings.json", "settings.lock"}


def test_many_windows_that_save_at_once_leave_a_whole_file(tmp_path, other):
    path = tmp_path / "settings.json"
    code = (
        "import pathlib\nfrom musicnn_gui.settings import Settings\n"
        f"path = pathlib.Path({str(path)!r})\nsettings = Settings.load(path)\nprint('ready', flush=True)\ninput()\n"
        "for number in range(60):\n    settings.{name} = str(number)\n    settings.save(path)\n"
    )
    processes = [other(code.replace("{name}", name)) for name in ("author", "folder")]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        assert process.stdout.readline() == "ready\n"
        json.loads(path.read_text())
    kept = Settings.load(path)
    assert (kept.author, kept.folder) == ("59", "59")


NONSENSE = {
    "instrument": ["", 7, None, "a\0b", "x" * 5000, "\ud800"],
    "device": [7, [], "x" * 5000, "a\0b", "\ud800"],
    "block": [-5, 0, 1, 255, 10**30, 256.0, "256", True, None, [256], float("nan")],
    "midi_port": [None, {}, "x" * 5000],
    "folder": [1, "a\0b", "x" * 5000], "export_folder": [{}, "\ud800"], "recording_folder": [[]],
    "geometry": ["not base64!", "A" * 50_000, 7], "score": [None, "a\0b"],
    "score_options": [[], "x", 1, None, {"tempo": 99}, {"tempo": float("nan")}, {"transpose": 10**30},
                      {"loop": [5, 1]}, {"loop": "ab"}, {"muted": 3}, {"solo": {"a": 1}}, {"other": 1}],
    "knobs": [[], None, {"tune": "x"}, {"tune": float("nan")}, {"tune": 10**400}, {"tune": True}, {"no such": 1}],
    "other_knobs": ["x", {"tune": [1]}], "side": ["C", "", 1, None], "locks": [{}, "tune", [1, None, "no such", []]],
    "preset": [1, "x" * 5000], "mapping": [[], {"tune": -1}, {"tune": 64}, {"tune": 1000}, {"tune": 7.5}, {"x": 20}],
    "favourites": ["piano", {}, [1, None, "", "\ud800", "a\0b", {}]], "author": [3, "x" * 5000, "\ud800"],
    "view": [[], 1, {"octave": 10**12}, {"top_db": float("inf")}, {"upper": "x" * 10**5}, {"morph": [[[[[[[[1]]]]]]]]}],
}  # fmt: skip


def test_every_field_is_tried():
    assert set(NONSENSE) == set(CHECKS) == set(Settings().values())


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in NONSENSE for value in NONSENSE[name]])
def test_a_value_that_makes_no_sense_is_its_default_and_the_rest_is_kept(tmp_path, name, value):
    good = {"instrument": "morph", "block": 512, "side": "B", "author": "Ada", "knobs": {"tune": 5.0}}
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(good | {name: value}))
    settings = Settings.load(path)
    kept = getattr(settings, name)
    default = getattr(Settings(), name)
    options = {"tempo": 1.0, "transpose": 0, "loop": None, "muted": [], "solo": []}
    assert kept == default or (name == "score_options" and kept.items() <= options.items())
    for other_name, other_value in good.items():
        assert other_name == name or getattr(settings, other_name) == other_value


def test_what_makes_sense_is_kept_beside_what_does_not(tmp_path):
    path = tmp_path / "settings.json"
    data = {
        "knobs": {"tune": 1e9, "volume": "x"}, "locks": ["tune", 3], "mapping": {"tune": 20, "volume": 10**9},
        "favourites": ["a", 3, "a", "caf\udce9"], "score_options": {"tempo": 1.5, "transpose": 99},
        "view": {"octave": 2, "floor_db": 10**10, "hinted": True}, "midi_port": "", "unknown": 1,
    }  # fmt: skip
    path.write_text(json.dumps(data))
    kept = Settings.load(path)
    assert kept.knobs.keys() == {"tune"} and kept.knobs["tune"] < 1e4
    assert (kept.locks, kept.mapping, kept.favourites) == (["tune"], {"tune": 20}, ["a", "caf\udce9"])
    assert kept.score_options == {"tempo": 1.5, "transpose": 0}
    assert kept.view == {"octave": 2, "hinted": True} and kept.midi_port == ""
    again = tmp_path / "again.json"
    kept.save(again)
    assert Settings.load(again) == kept


@posix
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "large", "list", "deep", "bytes", "missing"])
def test_a_file_that_is_no_settings_file_neither_hangs_nor_fills_the_memory(tmp_path, kind):
    path = tmp_path / "settings.json"
    contents = {"large": b'{"author": "' + b"x" * MOST_BYTES + b'"}', "list": b"[1]", "deep": b"[" * 200_000,
                "bytes": b"\xff\xfe\0"}  # fmt: skip
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind in contents:
        path.write_bytes(contents[kind])
    assert Settings.load(path) == Settings()
    assert Settings.load(path).midi_port == AUTO_PORT


# privacy


@posix
def test_recordings_settings_and_presets_are_the_users_alone(tmp_path):
    before = os.umask(0o022)
    try:
        take = made()
        Settings().save(settings_path())
        preset = save_preset(Preset("Mine", knobs={"tune": 1.0}, instrument="piano"))
        marker = CrashMarker(settings_path().parent)
        marker.set()
        take.save(tmp_path / "exported.wav")
    finally:
        os.umask(before)
    for folder in (recordings_folder(), take.folder, settings_path().parent, presets_folder(), preset.path.parent):
        assert mode(folder) == 0o700
    files = [*take.folder.iterdir(), *settings_path().parent.iterdir(), preset.path]
    assert len(files) >= 8 and {mode(path) for path in files} == {0o600}
    assert mode(tmp_path / "exported.wav") == mode(tmp_path / "exported.mid") == 0o644
    assert (take.folder / AUDIO_FILE).stat().st_size == 4410 * 8
    marker.clear()


@posix
def test_a_folder_that_was_looser_is_closed_at_the_next_recording():
    recordings_folder().mkdir(parents=True)
    recordings_folder().chmod(0o755)
    new_take()
    assert mode(recordings_folder()) == 0o700
