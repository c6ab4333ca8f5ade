"""Folders of audio, good and bad."""

import errno
import os
import subprocess
import sys
import tracemalloc
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.audio.files import read_audio
from engine.errors import InputFileError
from training import corpus as corpus_module
from training.corpus import RATE, Corpus, CorpusError, Item, read_corpus
from training.pictures import hits
from training.recipes.song import _parts as song_parts


def quiet(text):
    pass


def tone(seconds=0.3, rate=RATE, channels=1, hz=440.0):
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1)


@pytest.fixture
def folder(tmp_path):
    """Every format, rate and number of channels."""
    (tmp_path / "audio/kick").mkdir(parents=True)
    soundfile.write(tmp_path / "audio/kick/a.wav", tone(hz=300), RATE)
    soundfile.write(tmp_path / "audio/kick/b.flac", tone(rate=48_000, channels=2, hz=400), 48_000)
    soundfile.write(tmp_path / "audio/c.ogg", tone(rate=22_050, hz=500), 22_050)
    soundfile.write(tmp_path / "audio/d.mp3", tone(rate=44_100, hz=600, seconds=0.5), 44_100)
    return tmp_path / "audio"


def test_every_format_is_read_at_one_rate(folder, tmp_path):
    corpus = read_corpus(folder, tmp_path / "cache", quiet)
    assert [item.name for item in corpus.items] == ["c.ogg", "d.mp3", "kick/a.wav", "kick/b.flac"]
    assert [item.kind for item in corpus.items] == ["", "", "kick", "kick"]
    for item, hz in zip(corpus.items, (500, 600, 300, 400), strict=True):
        assert item.seconds == pytest.approx(0.5 if hz == 600 else 0.3, abs=0.06)
        mono = item.read()
        spectrum = np.abs(np.fft.rfft(mono * np.hanning(len(mono)), 1 << 16))
        assert spectrum.argmax() * RATE / (1 << 16) == pytest.approx(hz, abs=3)
        assert item.peak == pytest.approx(0.3, abs=0.05)
    assert any("4 files" in line for line in corpus.statistics())


def test_nothing_is_decoded_twice(folder, tmp_path, monkeypatch):
    first = read_corpus(folder, tmp_path / "cache", quiet)
    (folder / "kick").rename(folder / "moved")
    monkeypatch.setattr(corpus_module, "_decode", lambda *_: pytest.fail("decoded again"))
    again = read_corpus(folder, tmp_path / "cache", quiet)
    assert {item.cached for item in again.items} == {item.cached for item in first.items}


def test_a_damaged_cache_is_made_anew(folder, tmp_path):
    item = read_corpus(folder, tmp_path / "cache", quiet).items[0]
    item.cached.write_bytes(b"half")
    again = read_corpus(folder, tmp_path / "cache", quiet).items[0]
    assert len(again.read()) == item.samples


def test_what_cannot_be_used_is_listed_with_its_reason(folder, tmp_path):
    (folder / "text.mp3").write_text("this is no music")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "bought.m4p").write_bytes(b"\0" * 100)
    (folder / "cut.flac").write_bytes((folder / "kick/b.flac").read_bytes()[:60])
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "click.wav", tone(0.005), RATE)
    wrong = tone()
    wrong[100] = np.nan
    soundfile.write(folder / "nan.wav", wrong, RATE, "FLOAT")
    (folder / "readme.txt").write_text("not even tried")
    corpus = read_corpus(folder, tmp_path / "cache", quiet)
    reasons = dict(corpus.skipped)
    assert set(reasons) == {"text.mp3", "empty.wav", "bought.m4p", "cut.flac", "silent.wav", "click.wav"}
    assert "whatever its name says" in reasons["text.mp3"] and "DRM" in reasons["bought.m4p"]
    assert "silent" in reasons["silent.wav"] and "20 ms" in reasons["click.wav"]
    nan = next(item for item in corpus.items if item.name == "nan.wav")
    assert np.isfinite(nan.read()).all()
    assert any("6 skipped" in line for line in corpus.statistics())


def test_a_wrong_name_does_not_matter_where_the_content_is_audio(folder, tmp_path):
    (folder / "kick/a.wav").rename(folder / "kick/a.mp3")
    assert not read_corpus(folder, tmp_path / "cache", quiet).skipped


@pytest.mark.parametrize("suffix", [".aiff", ".aif", ".AIFF", ".aifc", ".w64", ".caf", ".au", ".oga", ".wave"])
def test_what_the_decoder_reads_is_read_whatever_its_suffix(tmp_path, suffix):
    form = {".aif": "AIFF", ".aifc": "AIFF", ".wave": "WAV", ".oga": "OGG"}.get(suffix.lower(), suffix[1:].upper())
    (tmp_path / "audio").mkdir()
    for number in range(2):
        path = tmp_path / "audio" / f"{number}{suffix}"
        soundfile.write(path, tone(hz=300 + number), RATE, format=form)
        assert np.abs(read_audio(path, RATE)).max() > 0.2
    assert len(read_corpus(tmp_path / "audio", tmp_path / "cache", quiet).items) == 2


def test_a_format_that_cannot_be_read_is_not_called_protected(folder, tmp_path):
    for suffix in (".m4a", ".wma", ".aac"):
        (folder / f"x{suffix}").write_bytes(b"\0" * 100)
    reasons = dict(read_corpus(folder, tmp_path / "cache", quiet).skipped)
    for suffix in (".m4a", ".wma", ".aac"):
        assert "convert" in reasons[f"x{suffix}"] and "DRM" not in reasons[f"x{suffix}"]


def test_a_file_in_place_of_a_folder_is_named_as_such(folder, tmp_path):
    with pytest.raises(CorpusError, match=r"c\.ogg is a file, not a folder: name the folder that it lies in"):
        read_corpus(folder / "c.ogg", tmp_path / "cache", quiet)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "a\0b"):
        with pytest.raises(CorpusError) as error:
            read_corpus(path, tmp_path / "cache", quiet)
        assert "no folder" not in str(error.value)


@pytest.mark.skipif(sys.platform == "win32", reason="files of POSIX")
def test_pipes_devices_and_names_of_any_bytes(folder, tmp_path):
    """A pipe would be waited for, and a device has no end."""
    os.mkfifo(folder / "pipe.wav")
    (folder / "zero.wav").symlink_to("/dev/zero")
    (folder / "._a.wav").write_bytes(b"\0\5\x16\7")
    (folder / "kick" / "a.wav").rename(folder / "kick" / os.fsdecode(b"caf\xe9.wav"))
    (folder / "kick").rename(folder / os.fsdecode(b"\xff"))
    corpus = read_corpus(folder, tmp_path / "cache", quiet)
    reasons = dict(corpus.skipped)
    assert "a pipe or a device" in reasons["pipe.wav"] and "a pipe or a device" in reasons["zero.wav"]
    assert "Mac" in reasons["._a.wav"] and len(corpus.items) == 4
    for item in corpus.items:
        (item.name + item.kind).encode()  # fit for a file of JSON
    for name in ("pipe.wav", "zero.wav", "kick", "missing.wav"):
        with pytest.raises(InputFileError, match="cannot be heard"):
            read_audio(folder / name, RATE)


@pytest.mark.parametrize("files", [0, 1])
def test_too_little_is_said_in_a_sentence(tmp_path, files):
    (tmp_path / "audio").mkdir()
    for number in range(files):
        soundfile.write(tmp_path / f"audio/{number}.wav", tone(), RATE)
    with pytest.raises(CorpusError, match="needed") as error:
        read_corpus(tmp_path / "audio", tmp_path / "cache", quiet)
    assert "\n" not in str(error.value)
    with pytest.raises(CorpusError, match="there is no folder"):
        read_corpus(tmp_path / "nowhere", tmp_path / "cache", quiet)


def test_a_file_that_vanishes_while_reading_is_skipped(folder, tmp_path, monkeypatch):
    digest = corpus_module._digest

    def vanish(path):
        path.unlink()
        return digest(path)

    monkeypatch.setattr(corpus_module, "_digest", lambda path: (vanish if path.name == "a.wav" else digest)(path))
    corpus = read_corpus(folder, tmp_path / "cache", quiet)
    assert [name for name, _ in corpus.skipped] == ["kick/a.wav"]


def test_a_cache_that_vanishes_while_fitting_is_said(folder, tmp_path):
    item = read_corpus(folder, tmp_path / "cache", quiet).items[0]
    item.cached.unlink()
    with pytest.raises(CorpusError, match="has vanished"):
        item.read()


def test_a_full_disk_is_said_and_leaves_no_half_file(folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(CorpusError, match="the disk is full"):
            read_corpus(folder, tmp_path / "cache", quiet)
    assert not list((tmp_path / "cache").rglob("*.part"))
    assert len(read_corpus(folder, tmp_path / "cache", quiet).items) == 4


def test_a_long_file_is_never_held_whole(tmp_path, monkeypatch):
    (tmp_path / "audio").mkdir()
    for number in range(2):
        soundfile.write(tmp_path / f"audio/{number}.wav", tone(8.0, hz=200 + number), RATE)
    monkeypatch.setattr(corpus_module, "BLOCK", 4096)
    longest = []
    resampled = corpus_module._resampled

    def watched(sound):
        for block in resampled(sound):
            longest.append(len(block))
            yield block

    monkeypatch.setattr(corpus_module, "_resampled", watched)
    item = read_corpus(tmp_path / "audio", tmp_path / "cache", quiet).items[0]
    assert item.seconds == pytest.approx(8.0, abs=0.01) and max(longest) < 10_000
    assert np.array_equal(item.read(1000, 50), item.read()[1000:1050])


def test_three_hours_are_heard_in_parts(tmp_path, monkeypatch):
    """A decoded file of three hours, sparse on the disk, with a tone every hour."""
    samples = 3 * 3600 * RATE
    with (tmp_path / "long.f16").open("wb") as file:
        file.truncate(2 * samples)
        for hour in range(3):
            file.seek(2 * hour * 3600 * RATE)
            tone(1.0).astype(np.float16).tofile(file)
    corpus = Corpus(tmp_path, (Item("long.wav", "", tmp_path / "long.f16", samples, 0.3, 0.1),), ())
    tracemalloc.start()
    monkeypatch.setattr("training.pictures.MOST_ITEMS", 2000)
    assert 1 <= len(list(hits(corpus, RATE // 2))) <= 6  # what is silent is no hit
    assert [len(mono) for _, _, mono in islice(song_parts(corpus, (0.0,)), 2)] == [600 * RATE] * 2
    assert tracemalloc.get_traced_memory()[1] < 300e6  # the whole has 1.9 GB
    tracemalloc.stop()


FULL = """
import resource, sys
from pathlib import Path
from training.corpus import CorpusError, read_corpus
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    read_corpus(Path(sys.argv[1]), Path(sys.argv[2]), lambda text: None)
except CorpusError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_said(folder, tmp_path):
    """A real refusal by the system, in a process that may write no long files."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(folder), str(tmp_path / "cache")], capture_output=True, text=True, check=True
    )
    assert "cannot hold the decoded audio" in done.stdout and len(done.stdout.splitlines()) == 1
    assert not list((tmp_path / "cache").rglob("*.part"))
    assert len(read_corpus(folder, tmp_path / "cache", quiet).items) == 4


def test_bought_and_mislabelled_files_are_skipped_whatever_they_hold(folder, tmp_path):
    """Heads of the formats that shops protect, and of others, under names of audio."""
    heads = {
        "m4p.mp3": b"\0\0\0\x20ftypM4P \0\0\0\0", "wma.wav": b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa\0b\xcel",
        "zip.flac": b"PK\3\4", "picture.ogg": b"\x89PNG\r\n\x1a\n", "head.wav": b"RIFF\xff\xff\xff\xffWAVEfmt ",
        "page.ogg": b"OggS\0\2", "frames.mp3": b"\xff\xfb\x90\0", "stream.flac": b"fLaC\0\0\0\x22",
    }  # fmt: skip
    rng = np.random.default_rng(0)
    for name, head in heads.items():
        (folder / name).write_bytes(head + rng.bytes(5000))
    (folder / "link.wav").symlink_to(folder / "nowhere.wav")
    (folder / "folder.wav").mkdir()
    corpus = read_corpus(folder, tmp_path / "cache", quiet)
    assert {item.name for item in corpus.items} >= {"c.ogg", "d.mp3", "kick/a.wav", "kick/b.flac"}
    assert {name for name, _ in corpus.skipped} >= {*heads, "link.wav", "folder.wav"} - {"frames.mp3"}


def test_many_short_files(tmp_path):
    (tmp_path / "audio").mkdir()
    for number in range(300):
        soundfile.write(tmp_path / f"audio/{number}.wav", tone(0.03, hz=100 + number), RATE)
    said = []
    corpus = read_corpus(tmp_path / "audio", tmp_path / "cache", said.append)
    assert len(corpus.items) == 300 and 5 <= len(said) <= 12
