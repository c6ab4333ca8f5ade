"""Broken and hostile instruments on the command line: one sentence, an exit status, no control characters."""

import io
import json
import os
import shutil
import sys

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from engine.instrument import save_instrument
from engine.library import FOLDERS_VARIABLE, user_folder
from musicnn_gui.cli import main
from tests.engine.conftest import fading, tiny  # noqa: F401
from tests.scores import write_midi


@pytest.fixture(autouse=True)
def as_it_was():
    """Commands set torch's threads, and let the processor flush small numbers."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture
def shelf(tiny, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv(FOLDERS_VARIABLE, str(tmp_path / "shelf"))
    monkeypatch.setattr("engine.render.LONGEST_TAIL_SECONDS", 0.2)
    save_instrument(tiny, tmp_path / "shelf" / "tiny", "A card.\n")
    return tmp_path / "shelf"


@pytest.fixture
def run(capfd):
    def command(*words):
        capfd.readouterr()
        status = main([str(word) for word in words])
        out, err = capfd.readouterr()
        assert all(c.isprintable() or c == "\n" for c in out + err)
        assert "Traceback" not in err
        return status, out, err

    return command


def describe(folder, **changes):
    path = folder / "instrument.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_list_shows_the_sound_ones_and_says_what_is_wrong_with_the_others(shelf, run):
    for name, title in (("ansi", "\x1b[31mRED\x1b]0;pwned\x07"), ("half", "A\ud800"), ("long", "x" * 900_000)):
        describe(shutil.copytree(shelf / "tiny", shelf / name), title=title, metadata={"author": title[:100]})
    describe(shutil.copytree(shelf / "tiny", shelf / "\x1b[2Jname"))
    describe(shutil.copytree(shelf / "tiny", shelf / os.fsdecode(b"caf\xe9")))
    describe(shutil.copytree(shelf / "tiny", shelf / "kind"), kind="\x1b[2J" * 1000)
    (shutil.copytree(shelf / "tiny", shelf / "deep") / "instrument.json").write_text("[" * 100_000)
    pipe = shutil.copytree(shelf / "tiny", shelf / "pipe") / "instrument.json"
    pipe.unlink()
    os.mkfifo(pipe)
    status, out, err = run("instruments")
    assert status == 0
    names = [line.split()[0] for line in out.splitlines()[::2]]
    assert {"ansi", "half", "long", "tiny", "piano", "morph", "drums", "loops", "sliders", "song"} == set(names)
    assert all(len(line) < 120 for line in out.splitlines()[::2])
    assert len(err.splitlines()) == 5
    assert all(line.startswith("musicnn: ") and len(line) < 400 for line in err.splitlines())
    status, out, err = run("instruments", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert (rows["ansi"]["title"], rows["half"]["title"], rows["long"]["title"]) == ("RED", "A", "x" * 80)


@pytest.mark.parametrize("name", ["instrument.json", "weights.safetensors", "proof.safetensors", "card.md"])
def test_the_check_says_what_is_wrong(shelf, run, name):
    (shelf / "tiny" / name).unlink()
    os.mkfifo(shelf / "tiny" / name)
    status, out, err = run("instruments", "check", "tiny")
    assert (status, out) == (1, "")
    assert name in err and len(err.splitlines()) == 1


def test_a_broken_copy_is_passed_over_with_a_sentence_and_found_by_the_check(shelf, run, tmp_path):
    mine = shutil.copytree(shelf / "tiny", user_folder() / "tiny")
    os.truncate(shelf / "tiny" / "weights.safetensors", 500)
    score = write_midi(tmp_path / "one.mid", [(60, 90, 0.0, 0.2)])
    status, _, err = run("render", score, tmp_path / "one.wav", "--instrument", "tiny")
    assert status == 0
    assert len(err.splitlines()) == 1 and "damaged" in err and str(mine) in err
    assert soundfile.read(tmp_path / "one.wav")[0].any()
    status, _, err = run("render", score, tmp_path / "two.wav", "--instrument", mine, "--part", "2=tiny")
    assert status == 0 and "damaged" in err
    status, _, err = run("instruments", "check", "tiny")
    assert status == 1 and "damaged" in err


def test_notes_that_are_no_sound_are_said_once_and_the_rest_is_written(shelf, run, tmp_path):
    path = shelf / "tiny" / "weights.safetensors"
    tensors = load_file(path)
    tensors["reference"][4:10, ..., 0] = 99  # keys 40-45, +68 dB with the gain
    save_file(tensors, path)
    describe(shelf / "tiny", gain_db=30)
    both = write_midi(tmp_path / "both.mid", [(key, 100, 0.1 * n, 0.2) for n, key in enumerate((40, 41, 40, 60))])
    status, _, err = run("render", both, tmp_path / "both.wav", "--instrument", "tiny")
    assert status == 0
    assert err == "musicnn: 3 notes were silenced: what the instrument's network wrote for them is no sound\n"
    sound = soundfile.read(tmp_path / "both.wav")[0]
    assert np.isfinite(sound).all() and 0 < np.abs(sound).max() <= 1
    bad = write_midi(tmp_path / "bad.mid", [(40, 100, 0.0, 0.2)])
    status, _, err = run("render", bad, tmp_path / "bad.wav", "--instrument", "tiny")
    assert status == 1 and "silenced" in err and len(err.splitlines()) == 1
    assert not list(tmp_path.glob("*bad.wav*"))


def test_a_terminal_without_unicode_sees_a_list_all_the_same(shelf, monkeypatch):
    describe(shelf / "tiny", title="Größe 音")
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["instruments"]) == 0
    assert rb"Gr\xf6\xdfe \u97f3" in terminal.buffer.getvalue()
