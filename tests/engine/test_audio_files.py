import subprocess
import sys

import numpy as np
import pytest
import soundfile

from engine.audio.files import AudioWriter

RATE = 44_100


def noise(samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (samples, 2)).astype(np.float32)


def test_what_goes_beyond_full_scale_is_cut_not_wrapped(tmp_path):
    with AudioWriter(tmp_path / "x.wav", RATE) as writer:
        writer.write(np.array([[1.5, -1.5], [0.5, -0.5]], np.float32))
    read, _ = soundfile.read(tmp_path / "x.wav")
    assert np.allclose(read, [[1, -1], [0.5, -0.5]], atol=2**-22)


@pytest.mark.parametrize("name", ["x.WAV", "x.Flac", "ü ñ.wav", "a.b.wav"])
def test_names_are_taken_as_they_are(tmp_path, name):
    with AudioWriter(tmp_path / name, RATE) as writer:
        writer.write(noise(10))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert soundfile.info(tmp_path / name).frames == 10


def test_what_fails_in_between_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), AudioWriter(path, RATE) as writer:
        writer.write(noise(1000))
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.wav"]


def test_until_it_is_closed_there_is_no_file_of_that_name(tmp_path):
    path = tmp_path / "x.wav"
    writer = AudioWriter(path, RATE)
    writer.write(noise(1000))
    assert not path.exists()
    writer.close()
    assert soundfile.info(path).frames == 1000


# The limit on a file's size fails a write as a full disk does.
FULL_DISK = """
import resource, signal, sys
import numpy as np
from engine.audio.files import AudioWriter
from engine.errors import OutputFileError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
rng = np.random.default_rng(0)
try:
    with AudioWriter(sys.argv[1], 44_100, int(sys.argv[2])) as writer:
        for _ in range(int(sys.argv[3])):
            writer.write(rng.uniform(-1, 1, (4410, 2)).astype(np.float32))
except OutputFileError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["x.wav", "x.flac"])
@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("blocks", [4, 50])
def test_a_full_disk_is_said_in_one_sentence_and_the_old_file_stays(tmp_path, name, rate, blocks):
    path = tmp_path / name
    path.write_bytes(b"old")
    command = [sys.executable, "-c", FULL_DISK, str(path), str(rate), str(blocks)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{path} cannot be written: ")
    assert done.stdout.count("\n") == 1
    assert not done.stderr
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
