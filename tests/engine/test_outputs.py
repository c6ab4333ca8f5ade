"""Files that appear whole or not at all, whatever their names, links, rights and ends."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from engine.audio.files import WAV_MOST_BYTES, AudioWriter, sound_name
from engine.errors import OutputFileError
from engine.locks import FileLock
from engine.midi.writing import write_midi
from engine.outputs import OutputFile, make_private, remove_leftovers, write_whole

RATE = 44_100
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")


def write(path, **options):
    with AudioWriter(path, RATE, **options) as writer:
        writer.write(np.full((1000, 2), 0.1, np.float32))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


# names


@posix
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mid"])
@pytest.mark.parametrize("length", [249, 250, 254, 255])
def test_a_name_as_long_as_the_system_takes_is_written(tmp_path, suffix, length):
    path = tmp_path / ("x" * (length - len(suffix)) + suffix)
    write_midi(path, [], RATE, 10) if suffix == ".mid" else write(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@posix
@pytest.mark.parametrize("suffix", [".wav", ".mid"])
def test_a_longer_name_is_said_before_anything_is_made(tmp_path, suffix):
    path = tmp_path / ("x" * 252 + suffix)
    with pytest.raises(OutputFileError, match="name too long"):
        write_midi(path, [], RATE, 10) if suffix == ".mid" else AudioWriter(path, RATE)
    assert not list(tmp_path.iterdir())


@posix
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mid"])
@pytest.mark.parametrize("name", [b"caf\xe9", b"\xff\xfe", b"new\nline", b"\xf0\x9f\x8e\xb9 \xed\xa0\x80"])
def test_names_of_any_bytes_are_written(tmp_path, name, suffix):
    path = tmp_path / (os.fsdecode(name) + suffix)
    if suffix == ".mid":
        write_midi(path, [], RATE, 10)
        assert path.read_bytes().startswith(b"MThd")
    else:
        write(path)
        assert soundfile.info(sound_name(path)).frames == 1000
    assert os.listdir(os.fsencode(tmp_path)) == [os.fsencode(path.name)]


@pytest.mark.parametrize("name", ["a\0b.wav", "\ud800.wav"])
def test_names_that_no_file_can_have_are_said(tmp_path, name):
    with pytest.raises(OutputFileError, match="cannot be written"):
        AudioWriter(tmp_path / name, RATE)


# links, pipes, devices, folders


@posix
@pytest.mark.parametrize("there", [True, False], ids=["target", "dangling"])
@pytest.mark.parametrize("suffix", [".wav", ".mid"])
def test_a_link_is_written_through(tmp_path, there, suffix):
    (tmp_path / "other").mkdir()
    target, link = tmp_path / "other" / f"target{suffix}", tmp_path / f"link{suffix}"
    if there:
        target.write_bytes(b"old")
    link.symlink_to(os.path.join("other", target.name))
    write_midi(link, [], RATE, 10) if suffix == ".mid" else write(link)
    assert link.is_symlink() and target.stat().st_size > 20
    assert {entry.name for entry in tmp_path.rglob("*")} == {"other", target.name, link.name}


@posix
def test_links_that_lead_nowhere_are_said_and_stay(tmp_path):
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "far.wav").symlink_to(tmp_path / "missing" / "x.wav")
    (tmp_path / "null.wav").symlink_to("/dev/null")
    for name, reason in (("loop", "symbolic links"), ("far", "no folder"), ("null", "a device")):
        with pytest.raises(OutputFileError, match=reason):
            write(tmp_path / f"{name}.wav")
        assert (tmp_path / f"{name}.wav").is_symlink()
    assert len(list(tmp_path.iterdir())) == 3


@posix
@pytest.mark.parametrize("suffix", [".wav", ".mid"])
def test_a_pipe_and_a_folder_are_said_and_stay(tmp_path, suffix):
    pipe, folder = tmp_path / f"pipe{suffix}", tmp_path / f"folder{suffix}"
    os.mkfifo(pipe)
    folder.mkdir()
    for path, reason in ((pipe, "a pipe"), (folder, "a folder")):
        with pytest.raises(OutputFileError, match=reason):
            write_midi(path, [], RATE, 10) if suffix == ".mid" else write(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode) and folder.is_dir()
    assert len(list(tmp_path.iterdir())) == 2


# rights

UNPRIVILEGED = """
import os, sys
from pathlib import Path
import numpy as np
from engine.audio.files import AudioWriter
from engine.errors import OutputFileError
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    with AudioWriter(Path(sys.argv[1]), 44_100) as writer:
        writer.write(np.zeros((10, 2), np.float32))
except OutputFileError as error:
    print(error)
"""


@posix
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_may_not_be_written_is_said_and_stays(tmp_path, what):
    """By a user without rights: root may everything."""
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and parent.name.startswith("pytest"):
            parent.chmod(parent.stat().st_mode | 0o055)
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "x.wav"
    path.write_bytes(b"old")
    path.chmod(0o644 if what == "folder" else 0o444)
    tmp_path.chmod(0o755)
    folder.chmod(0o555 if what == "folder" else 0o777)
    done = subprocess.run([sys.executable, "-c", UNPRIVILEGED, path], capture_output=True, text=True, check=False)
    folder.chmod(0o755)
    assert done.stdout.startswith(f"{path} cannot be written: ") and "write-protected" in done.stdout, done.stderr
    assert path.read_bytes() == b"old" and len(list(folder.iterdir())) == 1


@posix
def test_a_new_file_has_the_rights_of_the_umask_and_a_replaced_one_keeps_its_own(tmp_path, umask):
    write(tmp_path / "new.wav")
    assert mode(tmp_path / "new.wav") == 0o640
    for rights in (0o600, 0o664, 0o444):
        path = tmp_path / f"{rights:o}.wav"
        path.write_bytes(b"old")
        path.chmod(rights)
        if os.access(path, os.W_OK):
            write(path)
            assert mode(path) == rights
            assert soundfile.info(path).frames == 1000


@posix
def test_private_files_and_folders_are_closed_to_others(tmp_path):
    write_whole(tmp_path / "a.json", "{}", private=True)
    assert mode(tmp_path / "a.json") == 0o600
    (tmp_path / "open" / "inner").mkdir(parents=True)
    (tmp_path / "open" / "inner" / "x").write_text("x")
    (tmp_path / "outside").write_text("x")
    (tmp_path / "outside").chmod(0o644)
    (tmp_path / "open" / "link").symlink_to(tmp_path / "outside")
    for path in (tmp_path / "open", tmp_path / "open" / "inner"):
        path.chmod(0o755)
    make_private(tmp_path / "open")
    assert mode(tmp_path / "open") == mode(tmp_path / "open" / "inner") == 0o700
    assert mode(tmp_path / "open" / "inner" / "x") == 0o600
    assert mode(tmp_path / "outside") == 0o644  # a link's target is not ours to close
    make_private(tmp_path / "missing")


# size


def test_a_wav_beyond_4_gib_is_rf64_and_is_read_as_long_as_it_is(tmp_path):
    """Its samples are sparse: hours of silence that take no room on the disk."""
    frames = WAV_MOST_BYTES // 6 + 10 * RATE
    with contextlib.suppress(OutputFileError), AudioWriter(tmp_path / "x.wav", RATE, tail=frames) as writer:
        writer._file.seek(frames - 1000)
        writer._frames = frames - 1000
        writer.write(np.full((1000, 2), 0.5, np.float32))
    path = tmp_path / "x.wav"
    if not path.exists():
        pytest.skip("this disk takes no sparse file of 4 GiB")
    with path.open("rb") as file:
        assert file.read(4) == b"RF64"
    assert soundfile.info(path).frames == frames
    end, _ = soundfile.read(path, start=frames - 2000)
    assert not end[:1000].any() and np.allclose(end[1000:], 0.5, atol=1e-6)
    path.unlink()


@pytest.mark.parametrize(("tail", "rate", "magic"), [(WAV_MOST_BYTES // 6, None, b"RIFF"),
                                                     (WAV_MOST_BYTES // 6 + 1, None, b"RF64"),
                                                     (WAV_MOST_BYTES // 12, 96_000, b"RF64")])  # fmt: skip
def test_the_expected_length_chooses_the_format(tmp_path, tail, rate, magic):
    write(tmp_path / "x.wav", tail=tail, rate=rate)
    with (tmp_path / "x.wav").open("rb") as file:
        assert file.read(4) == magic
    frames = soundfile.info(tmp_path / "x.wav").frames
    assert frames == pytest.approx(1000 * (rate or RATE) / RATE, abs=1)


def test_what_was_not_expected_ends_before_a_wav_would_lie_about_its_length(tmp_path):
    with pytest.raises(OutputFileError, match="4 GiB"), AudioWriter(tmp_path / "x.wav", RATE) as writer:
        writer._frames = WAV_MOST_BYTES // 6
        writer.write(np.zeros((1, 2), np.float32))
    assert not list(tmp_path.iterdir())


def test_what_the_disk_has_no_room_for_is_refused_at_once(tmp_path):
    (tmp_path / "x.wav").write_bytes(b"old")
    with pytest.raises(OutputFileError, match=r"it would be \d+\.\d GB long, and the disk has room for"):
        AudioWriter(tmp_path / "x.wav", RATE, frames=10**13)
    assert (tmp_path / "x.wav").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
    AudioWriter(tmp_path / "x.flac", RATE, frames=10**13).abandon()  # silence takes nearly none


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "musicnn-test", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system takes root's rights")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", ["x.wav", "x.flac"])
def test_a_real_full_disk_keeps_the_old_file_and_leaves_no_part(small_disk, name):
    (small_disk / name).write_bytes(b"old")
    noise = np.random.default_rng(0).uniform(-1, 1, (RATE, 2)).astype(np.float32)
    with pytest.raises(OutputFileError, match="full"), AudioWriter(small_disk / name, RATE) as writer:
        for _ in range(20):
            writer.write(noise)
    assert (small_disk / name).read_bytes() == b"old" and len(list(small_disk.iterdir())) == 1
    if name == "x.wav":
        with pytest.raises(OutputFileError, match=r"it would be 5\.3 MB long"):
            AudioWriter(small_disk / name, RATE, frames=20 * RATE)
    with pytest.raises(OSError), OutputFile(small_disk / "y") as file:
        file.write(b"x" * 2_000_000)
    assert len(list(small_disk.iterdir())) == 1


@posix
def test_a_file_that_is_a_mount_of_its_own_is_written_in_place(small_disk, tmp_path):
    """As in a container: it cannot be replaced."""
    (small_disk / "x.wav").write_bytes(b"old")
    (tmp_path / "x.wav").touch()
    subprocess.run(["mount", "--bind", small_disk / "x.wav", tmp_path / "x.wav"], check=True)
    try:
        write(tmp_path / "x.wav")
        assert soundfile.info(small_disk / "x.wav").frames == 1000
        assert {entry.name for entry in tmp_path.iterdir()} == {"x.wav", "small"}
    finally:
        subprocess.run(["umount", tmp_path / "x.wav"], check=True)


# part files and locks

HOLDS = """
import sys, time
from pathlib import Path
from engine.locks import FileLock
from engine.outputs import OutputFile
what = OutputFile(Path(sys.argv[1]) / "x") if sys.argv[2] == "part" else FileLock(Path(sys.argv[1]) / "lock")
if sys.argv[2] != "part":
    assert what.acquire()
print("ready", flush=True)
time.sleep(600 if sys.argv[3] == "wait" else 0)
"""


def holder(*words):
    process = subprocess.Popen([sys.executable, "-c", HOLDS, *map(str, words)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@posix
def test_a_part_file_is_swept_once_its_process_is_gone_and_not_before(tmp_path):
    with holder(tmp_path, "part", "wait") as process:
        try:
            write_whole(tmp_path / "a", b"a")
            (part,) = (entry for entry in tmp_path.iterdir() if entry.name.endswith(".part"))
        finally:
            process.kill()
    assert part.exists()
    write_whole(tmp_path / "a", b"b")
    assert not part.exists() and (tmp_path / "a").read_bytes() == b"b"


@posix
def test_a_process_that_ends_without_finishing_leaves_no_part_file(tmp_path):
    with holder(tmp_path, "part", "end") as process:
        assert process.wait(60) == 0
    assert not list(tmp_path.iterdir())


@posix
def test_files_that_only_look_like_part_files_are_left_alone(tmp_path):
    os.mkfifo(tmp_path / ".musicnn-0.part")
    (tmp_path / ".musicnn-1.part").symlink_to("x")
    (tmp_path / "x").write_text("x")
    (tmp_path / ".other.part").write_text("x")
    remove_leftovers(tmp_path)
    assert (tmp_path / "x").exists() and (tmp_path / ".other.part").exists()
    assert (tmp_path / ".musicnn-1.part").is_symlink()


@posix
def test_many_writers_of_one_file_never_meet(tmp_path):
    """Each has a part file of its own, and what is there is always whole."""
    code = (
        "import sys\nfrom engine.outputs import write_whole\nfor _ in range(150):\n"
        "    write_whole(sys.argv[1], sys.argv[2] * 50_000)\n"
    )
    words = [[sys.executable, "-c", code, str(tmp_path / "x"), letter] for letter in "abc"]
    processes = [subprocess.Popen(command) for command in words]
    seen = set()
    while any(process.poll() is None for process in processes):
        with contextlib.suppress(FileNotFoundError):
            content = (tmp_path / "x").read_text()
            assert len(content) == 50_000 and len(set(content)) == 1
            seen.add(content[0])
        time.sleep(0.001)
    assert [process.returncode for process in processes] == [0, 0, 0] and seen
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


@posix
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_system_releases_the_lock_of_a_process_that_dies(tmp_path, how):
    lock = FileLock(tmp_path / "lock")
    with holder(tmp_path, "lock", "wait") as process:
        assert not lock.acquire() and not lock.held
        process.send_signal(how)
    assert lock.acquire() and lock.held
    assert not FileLock(tmp_path / "lock").acquire()  # not twice in one process either
    lock.release(remove=True)
    assert not list(tmp_path.iterdir())
    assert FileLock(tmp_path / "lock").acquire()
