import json
import os
import subprocess
import sys
import threading

import pytest

from musicnn_gui.cli import main
from tests.engine.midi.smf import END, chunk, header, meta, scale, smf

SONG = smf(meta(3, "さくら".encode("cp932")) + b"\0\xc0\x49" + scale(), meta(3, b"Beat") + b"\0\xc9\x08" + scale(9))


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "song.mid"
    path.write_bytes(SONG)
    return path


def inspected(path, capsys):
    assert main(["inspect", str(path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def test_what_a_file_holds_is_said_as_json(song, capsys):
    found = inspected(song, capsys)
    assert (found["notes"], found["seconds"], found["title"]) == (16, 1.979, "さくら")
    assert found["channels"] == [1, 10]
    assert found["tracks"] == [
        {"title": "さくら", "channel": 1, "notes": 8}, {"title": "Beat", "channel": 10, "notes": 8},
    ]  # fmt: skip
    assert found["programs"]["1"] == [{"program": 74, "name": "Flute"}]
    assert found["programs"]["10"][0]["name"] == "Drum kit 9"
    assert found["repairs"] == []


def test_repairs_are_sentences(tmp_path, capsys):
    path = tmp_path / "cut.mid"
    path.write_bytes((header() + chunk(scale(count=20) + END))[:-30])
    found = inspected(path, capsys)
    assert found["repairs"] == ["The file is cut short: it is played as far as it goes."]
    assert main(["inspect", str(path)]) == 0
    out = capsys.readouterr().out
    assert "cut short" in out
    assert f"{found['notes']} notes" in out


@pytest.mark.parametrize("content", [b"", b"hello", smf(meta(3, b"silence"))])
def test_what_cannot_be_played_is_one_sentence(content, tmp_path, capsys):
    path = tmp_path / "x.mid"
    path.write_bytes(content)
    assert main(["inspect", str(path), "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("musicnn: x.mid") and err.count("\n") == 1


def test_a_pipe_is_read(tmp_path, capsys):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(SONG,))
    writer.start()
    assert inspected(path, capsys)["notes"] == 16
    writer.join()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "endless"])
def test_what_is_no_file_is_refused_soon(kind, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("engine.midi.inputs.OPEN_SECONDS", 0.1)
    monkeypatch.setattr("engine.midi.files.MAX_BYTES", 100_000)
    path = {"device": "/dev/zero", "folder": tmp_path}.get(kind, tmp_path / kind)
    if kind in ("pipe", "endless"):
        os.mkfifo(path)
    feeding = subprocess.Popen(f"cat /dev/zero > '{path}'", shell=True) if kind == "endless" else None
    assert main(["inspect", str(path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    if feeding is not None:
        feeding.wait(10)


def test_a_terminal_without_the_letters_of_a_title_gets_the_others(song):
    command = [sys.executable, "-m", "musicnn_gui.cli", "inspect", str(song)]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=False)
    assert done.returncode == 0
    assert b"???" in done.stdout and b"16 notes" in done.stdout


def test_drums_alone_are_refused_by_keys_in_a_sentence(tmp_path, capsys):
    path, out = tmp_path / "beat.mid", tmp_path / "x.wav"
    path.write_bytes(smf(scale(9)))
    assert main(["render", str(path), str(out)]) == 1
    err = capsys.readouterr().err
    assert "only drums" in err and err.count("\n") == 1
    assert not out.exists()
