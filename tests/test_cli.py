"""The command line, from the words to the files: with real fittings, only tiny ones."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from engine.benchmark import VOICES
from engine.description import KINDS
from engine.instrument import load_instrument
from engine.library import FOLDERS_VARIABLE
from musicnn_gui.cli import main
from tests.scores import write_midi
from tests.training.short import ShortNotes
from training.metrics import BANDS
from training.recipes.nnss import PRESETS
from training.teacher import SOUNDFONT_VARIABLE

COMMANDS = [
    [], ["play"], ["render"], ["inspect"], ["instruments"], ["instruments", "check"], ["train"], ["train", "keys"],
    ["train", "morph"], ["train", "nnss"], ["evaluate"], ["bench"],
]  # fmt: skip
PROGRAM = [sys.executable, "-m", "musicnn_gui.cli"]
# The highest keys die away soonest.
TINY_KEYS = ["train", "keys", "--first-key", "107", "--last-key", "108", "--hidden", "8", "--name", "tiny-keys"]
TINY_NNSS = ["train", "nnss", "--hidden", "8", "--layers", "1", "--name", "tiny-nnss"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A network of a few steps has not learned to fall silent; and commands set torch's threads."""
    monkeypatch.setattr("engine.render.LONGEST_TAIL_SECONDS", 0.5)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module", autouse=True)
def short_notes():
    """The words are those of a long fitting; what is analysed for it is little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.notes.NotesConfig", ShortNotes)
        yield


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """Where the tiny instruments are fitted: folders `out`, `cache` and a run for each."""
    return tmp_path_factory.mktemp("workshop")


def folders(workshop, run):
    return ["--out", str(workshop / "out"), "--cache", str(workshop / "cache"), "--run", str(workshop / run)]


@pytest.fixture(scope="module")
def tiny_keys(workshop):
    assert main([*TINY_KEYS, "--steps", "6", "--title", "Tiny Keys", *folders(workshop, "run-keys")]) == 0
    return workshop / "out" / "tiny-keys"


@pytest.fixture(scope="module")
def tiny_nnss(workshop):
    assert main([*TINY_NNSS, "--steps", "4", "--author", "Ada", *folders(workshop, "run-nnss")]) == 0
    return workshop / "out" / "tiny-nnss"


@pytest.fixture
def midi(tmp_path):
    return write_midi(tmp_path / "two notes.mid", [(107, 90, 0.0, 0.4), (108, 60, 0.2, 0.3)])


@pytest.fixture
def run(capfd):
    """Run a command in this process: its exit status, standard output and standard error, C libraries' too."""

    def command(*words):
        capfd.readouterr()
        status = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return status, out, err

    return command


def is_one_sentence(err):
    return err.startswith("musicnn: ") and len(err.strip().splitlines()) == 1 and "Traceback" not in err


# help and version


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help(words, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([*words, "--help"])
    out = capsys.readouterr().out
    assert leaving.value.code == 0
    assert " ".join(["usage: musicnn", *words]) in out
    assert len(out.splitlines()) > 5


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    for words in COMMANDS[1:]:
        assert words[0] in out


def test_the_version_is_said(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out.strip() == f"musicnn {version('musicnn')}"


@pytest.mark.parametrize("words", [["dance"], ["train"], ["train", "dance"], ["render"], ["bench", "dance"], ["-x"]])
def test_words_that_make_no_command_are_refused(words, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(words)
    assert leaving.value.code == 2
    assert "usage: musicnn" in capsys.readouterr().err


def test_help_does_not_wait_for_what_only_fitting_and_the_window_need():
    code = "import sys; from musicnn_gui.cli import build_parser; build_parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"librosa", "matplotlib", "fluidsynth", "PySide6"} & set(done.stdout.split())


# instruments


def check_schema(rows):
    assert isinstance(rows, list)
    for row in rows:
        assert {"name", "kind", "title", "knobs", "folder", "keys", "metadata"} <= set(row)
        assert isinstance(row["name"], str) and row["kind"] in KINDS and isinstance(row["title"], str)
        assert row["knobs"]
        for knob in row["knobs"]:
            assert set(knob) == {"name", "title", "low", "high", "default", "unit"}
            assert knob["low"] <= knob["default"] <= knob["high"]


def test_instruments_are_listed_for_programs(run, tiny_keys, tiny_nnss, monkeypatch):
    monkeypatch.setenv(FOLDERS_VARIABLE, str(tiny_keys.parent))
    status, out, err = run("instruments", "--json")
    rows = json.loads(out)
    check_schema(rows)
    assert status == 0 and err == ""
    by_name = {row["name"]: row for row in rows}
    assert {"piano", "tiny-keys", "tiny-nnss"} <= set(by_name)
    assert by_name["tiny-keys"]["title"] == "Tiny Keys" and by_name["tiny-keys"]["keys"] == [107, 108]
    assert [knob["name"] for knob in by_name["tiny-nnss"]["knobs"]] == ["soft"]
    assert by_name["morph"]["presets"][:2] == ["grand piano", "electric piano"] and by_name["piano"]["presets"] == []
    cost = by_name["tiny-keys"]["cost"]
    assert set(cost) == {"macs_per_frame", "macs_per_voice_second", "parameters"}
    assert all(isinstance(number, int) and number > 0 for number in cost.values())
    assert by_name["drums"]["cost"] == {}


def test_instruments_are_listed_for_people(run, tiny_keys, monkeypatch):
    monkeypatch.setenv(FOLDERS_VARIABLE, str(tiny_keys.parent))
    status, out, _ = run("instruments")
    assert status == 0
    assert "piano" in out and "Tiny Keys" in out and "brightness" in out


def test_a_broken_instrument_does_not_hide_the_others(run, tmp_path, monkeypatch):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "instrument.json").write_text("{")
    monkeypatch.setenv(FOLDERS_VARIABLE, str(tmp_path))
    status, out, err = run("instruments", "--json")
    assert status == 0
    assert [row["name"] for row in json.loads(out) if row["name"] == "piano"] == ["piano"]
    assert "broken" in err and is_one_sentence(err)


@pytest.mark.parametrize("name", ["tiny-keys", "tiny-nnss"])
def test_a_good_instrument_is_sound_by_path_and_by_name(run, tiny_keys, tiny_nnss, monkeypatch, name):
    folder = tiny_keys.parent / name
    status, out, err = run("instruments", "check", folder)
    assert (status, err) == (0, "")
    assert "is sound" in out
    monkeypatch.setenv(FOLDERS_VARIABLE, str(folder.parent))
    assert run("instruments", "check", name)[1] == out


def lose_the_description(folder):
    (folder / "instrument.json").unlink()


def scribble_the_description(folder):
    (folder / "instrument.json").write_text("dear diary")


def lose_the_weights(folder):
    (folder / "weights.safetensors").unlink()


def truncate_the_weights(folder):
    os.truncate(folder / "weights.safetensors", 2000)


def change_the_weights(folder):
    path = folder / "weights.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    tensors["network.out.bias"] += 0.5
    save_file(tensors, path)


def lose_the_proof(folder):
    (folder / "proof.safetensors").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        lose_the_description, scribble_the_description, lose_the_weights, truncate_the_weights, change_the_weights,
        lose_the_proof,
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_instrument_is_said_in_one_sentence(run, tiny_keys, tmp_path, damage):
    copy = shutil.copytree(tiny_keys, tmp_path / "copy")
    damage(copy)
    status, out, err = run("instruments", "check", copy)
    assert status == 1 and out == ""
    assert "copy" in err and is_one_sentence(err)


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_what_is_no_instrument_is_said_in_one_sentence(run, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    status, _, err = run("instruments", "check", path)
    assert status == 1 and is_one_sentence(err)


# render


@pytest.mark.parametrize(("name", "form"), [("out.wav", "WAV"), ("out.flac", "FLAC"), ("OUT.WAV", "WAV")])
def test_a_midi_file_becomes_a_24_bit_file(run, tiny_keys, midi, tmp_path, name, form):
    status, out, err = run("render", midi, tmp_path / name, "--instrument", tiny_keys)
    assert (status, out, err) == (0, "", "")
    info = soundfile.info(tmp_path / name)
    assert (info.format, info.subtype, info.samplerate, info.channels) == (form, "PCM_24", 44_100, 2)
    assert info.duration >= 0.5
    assert np.abs(soundfile.read(tmp_path / name)[0]).max() > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, midi.name])


def test_another_rate_is_the_same_music(run, tiny_keys, midi, tmp_path):
    for rate in (None, 48_000, 22_050):
        words = ["--rate", rate] if rate else []
        assert run("render", midi, tmp_path / f"{rate}.wav", "--instrument", tiny_keys, *words)[0] == 0
    plain, higher, lower = (soundfile.info(tmp_path / f"{rate}.wav") for rate in (None, 48_000, 22_050))
    assert (higher.samplerate, lower.samplerate) == (48_000, 22_050)
    assert higher.duration == pytest.approx(plain.duration, abs=1e-3)
    assert lower.duration == pytest.approx(plain.duration, abs=1e-3)
    loudness = [np.sqrt(np.mean(soundfile.read(tmp_path / f"{rate}.wav")[0] ** 2)) for rate in (None, 48_000)]
    assert loudness[1] == pytest.approx(loudness[0], rel=0.01)


def rendered(run, midi, path, *words):
    status, _, err = run("render", midi, path, *words)
    assert status == 0, err
    return soundfile.read(path)[0]


def test_a_knob_is_heard(run, tiny_keys, midi, tmp_path):
    plain = rendered(run, midi, tmp_path / "plain.wav", "--instrument", tiny_keys)
    softer = rendered(run, midi, tmp_path / "softer.wav", "--instrument", tiny_keys, "--knob", "volume=-6.0206")
    assert np.abs(softer - plain / 2)[1000:].max() < 1e-5  # the volume knob moves for 10 ms at the start
    both = ["--knob", "brightness=-6", "--knob", "width=0"]
    dull = rendered(run, midi, tmp_path / "dull.wav", "--instrument", tiny_keys, *both)
    length = min(len(plain), len(dull))
    assert np.abs(dull[:length] - plain[:length]).max() > 0.1 * np.abs(plain).max()
    assert np.abs(dull[:, 0] - dull[:, 1]).max() < 1e-6  # mono


def test_the_limiter_can_be_left_out(run, tiny_keys, midi, tmp_path):
    """Loud enough to need it: with it nothing passes -1 dB, without it the file is full."""
    plain = rendered(run, midi, tmp_path / "plain.wav", "--instrument", tiny_keys, "--no-limiter")
    needed = 20 * np.log10(2 / np.abs(plain).max())
    loud = shutil.copytree(tiny_keys, tmp_path / "loud")
    description = json.loads((loud / "instrument.json").read_text())
    gain = min(30.0, description["gain_db"] + needed)
    weights = load_file(loud / "weights.safetensors")
    weights["reference"] *= 10 ** ((needed - gain + description["gain_db"]) / 20)
    save_file(weights, loud / "weights.safetensors")
    (loud / "instrument.json").write_text(json.dumps(description | {"gain_db": gain}))
    limited = rendered(run, midi, tmp_path / "limited.wav", "--instrument", loud)
    free = rendered(run, midi, tmp_path / "free.wav", "--instrument", loud, "--no-limiter")
    assert 0.5 < np.abs(limited).max() <= 10 ** (-1 / 20) + 1e-4
    assert np.abs(free).max() > 0.98


def test_rendering_again_gives_the_same_file(run, tiny_keys, midi, tmp_path):
    files = [tmp_path / "a.flac", tmp_path / "b.flac"]
    first, second = (rendered(run, midi, path, "--instrument", tiny_keys) for path in files)
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    "words",
    [
        ["--knob", "sparkle=1"], ["--knob", "brightness=100"], ["--knob", "brightness=loud"], ["--knob", "brightness"],
        ["--knob", "brightness=nan"], ["--knob", ""], ["--preset", "violin"], ["--rate", "7"], ["--rate", "-44100"],
        ["--rate", "0"], ["--instrument", "nobody"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_said_and_leaves_nothing(run, tiny_keys, midi, tmp_path, words):
    words = words if "--instrument" in words else ["--instrument", tiny_keys, *words]
    status, out, err = run("render", midi, tmp_path / "out.wav", *words)
    assert status == 1 and out == ""
    assert is_one_sentence(err)
    assert [path.name for path in tmp_path.iterdir()] == [midi.name]


@pytest.mark.parametrize("name", ["out.mp3", "out", "no folder/out.wav", "."])
def test_a_place_that_cannot_be_written_is_said_and_left_alone(run, tiny_keys, midi, tmp_path, name):
    status, _, err = run("render", midi, tmp_path / name, "--instrument", tiny_keys)
    assert status == 1 and is_one_sentence(err)
    assert [path.name for path in tmp_path.iterdir()] == [midi.name]


def bad_files(tmp_path):
    whole = write_midi(tmp_path / "whole.mid").read_bytes()
    return {
        "missing": None, "empty": b"", "text": b"Dear diary, today I wrote no music.", "cut": whole[: len(whole) // 2],
        "header": whole[:14], "noise": bytes(np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8)),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "cut", "header", "noise"])
def test_a_bad_midi_file_is_said_and_leaves_nothing(run, tiny_keys, tmp_path, kind):
    content = bad_files(tmp_path)[kind]
    path = tmp_path / f"{kind}.mid"
    if content is not None:
        path.write_bytes(content)
    before = sorted(tmp_path.iterdir())
    status, _, err = run("render", path, tmp_path / "out.wav", "--instrument", tiny_keys)
    assert status == 1 and is_one_sentence(err)
    assert path.name in err
    assert sorted(tmp_path.iterdir()) == before


def test_a_failed_rendering_keeps_the_file_that_was_there(run, tiny_keys, tmp_path):
    (tmp_path / "out.wav").write_bytes(b"precious")
    (tmp_path / "bad.mid").write_bytes(b"bad")
    assert run("render", tmp_path / "bad.mid", tmp_path / "out.wav", "--instrument", tiny_keys)[0] == 1
    assert (tmp_path / "out.wav").read_bytes() == b"precious"


def test_the_real_program_renders_and_says_what_is_wrong(tiny_nnss, tmp_path):
    """Its exit status, its streams and its files, as a shell sees them."""
    good = write_midi(tmp_path / "good.mid", [(60, 90, 0.0, 0.2)])
    (tmp_path / "bad.mid").write_bytes(b"no music")
    words = ["--instrument", str(tiny_nnss)]
    done, failed = (
        subprocess.run(
            [*PROGRAM, "render", path, tmp_path / f"{path.stem}.wav", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        for path in (good, tmp_path / "bad.mid")
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert soundfile.info(tmp_path / "good.wav").duration > 0.2
    assert failed.returncode == 1 and failed.stdout == ""
    assert is_one_sentence(failed.stderr)
    assert not (tmp_path / "bad.wav").exists()


# train


@pytest.mark.parametrize("recipe", ["keys", "nnss"])
def test_fitting_leaves_an_instrument_with_card_and_curve(tiny_keys, tiny_nnss, recipe):
    folder = {"keys": tiny_keys, "nnss": tiny_nnss}[recipe]
    names = {"instrument.json", "weights.safetensors", "proof.safetensors", "card.md", "loss.png"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    training = load_instrument(folder).metadata["training"]
    assert training["recipe"] == recipe and training["program"] == 0
    assert training["steps"] == {"keys": 6, "nnss": 4}[recipe]
    assert training["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert np.isfinite(training["held_out"]["null_snr_db"])
    assert training["config"]["hidden"] == 8
    assert f"musicnn train {recipe} --program 0" in (folder / "card.md").read_text()


def test_who_made_it_is_kept(tiny_nnss):
    metadata = load_instrument(tiny_nnss).metadata
    assert metadata["author"] == "Ada" and metadata["licence"] == "Apache-2.0"


def test_notes_checkpoint_and_curve_go_where_they_were_asked_for(workshop, tiny_keys):
    assert len(list((workshop / "cache").glob("notes-*/key*.safetensors"))) == 2
    assert {path.name for path in (workshop / "run-keys").iterdir()} == {"checkpoint.safetensors", "loss.png"}
    assert sum(path.stat().st_size for path in (workshop / "cache").rglob("*")) < 10_000_000


def test_a_run_that_is_repeated_goes_on_from_its_cache_and_checkpoint(run, workshop, tiny_keys, tmp_path):
    shutil.copytree(workshop / "run-keys", tmp_path / "run")
    words = ["--out", tmp_path / "out", "--cache", workshop / "cache", "--run", tmp_path / "run"]
    status, out, err = run(*TINY_KEYS, "--steps", 9, *words)
    assert (status, out) == (0, "")
    assert "fitting on" in err and "resuming at step 6" in err and "held out" in err and "saved" in err
    assert "rendering" not in err
    assert load_instrument(tmp_path / "out" / "tiny-keys").metadata["training"]["steps"] == 9


def test_a_run_with_other_settings_is_not_gone_on_with(run, workshop, tiny_nnss, tmp_path):
    """The same network's sizes, another instrument: its weights would fit."""
    words = ["--out", tmp_path, "--run", workshop / "run-nnss", "--steps", 9]
    status, _, err = run(*TINY_NNSS, "--program", 40, *words)
    assert status == 1 and "other settings" in err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_without_folders_everything_goes_to_the_users_own(run, own_folders):
    assert run(*TINY_NNSS, "--steps", 1, "--length", 512)[0] == 0
    assert (own_folders / "data" / "musicnn" / "instruments" / "tiny-nnss" / "instrument.json").exists()
    assert (own_folders / "cache" / "musicnn" / "runs" / "tiny-nnss" / "checkpoint.safetensors").exists()
    status, out, _ = run("instruments", "check", "tiny-nnss")
    assert status == 0 and "is sound" in out


def test_the_preset_of_the_original_is_fitted_from_one_command(run, tmp_path, monkeypatch):
    """With a smaller network, fewer keys and larger steps, but for which it is the command of the original."""
    small = {"hidden": 4, "layers": 1, "batch": 2, "crop": 4, "first_key": 60, "last_key": 60, "hop": 16}
    monkeypatch.setitem(PRESETS, "seed", replace(PRESETS["seed"], **small))
    words = ["--steps", 2, "--out", tmp_path / "out", "--run", tmp_path / "run"]
    assert run("train", "nnss", "--preset", "seed", "--name", "seed", *words)[0] == 0
    description = json.loads((tmp_path / "out" / "seed" / "instrument.json").read_text())
    assert description["codec"]["oversampling"] == 8 and description["codec"]["length"] == 16_384
    assert description["metadata"]["training"]["learning_rate"] == 2e-4
    assert run("instruments", "check", tmp_path / "out" / "seed")[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--steps", "0"], ["--steps", "-3"], ["--minutes", "0"], ["--minutes", "-1"], ["--minutes", "nan"],
        ["--steps", "1", "--learning-rate", "0"], ["--steps", "1", "--program", "128"],
        ["--steps", "1", "--program", "-1"], ["--steps", "1", "--device", "quantum"],
        ["--steps", "1", "--hidden", "0"], ["--steps", "1", "--layers", "99"], ["--steps", "1", "--hop", "4000"],
        ["--steps", "1", "--length", "0"], ["--steps", "1", "--bins", "5000"], ["--steps", "1", "--oversampling", "0"],
        ["--steps", "1", "--power", "0"], ["--steps", "1", "--context", "-1"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_fitting_that_makes_no_sense_is_said_before_it_begins(run, tmp_path, words):
    status, out, err = run("train", "nnss", "--out", tmp_path, "--run", tmp_path / "run", *words)
    assert status == 1 and out == ""
    assert is_one_sentence(err.splitlines()[-1])
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keys", [("60", "60"), ("70", "60"), ("-1", "60"), ("60", "128")])
def test_keys_that_are_no_range_are_said(run, tmp_path, keys):
    first, last = keys
    words = ["--steps", "1", f"--first-key={first}", f"--last-key={last}", "--cache", tmp_path / "cache"]
    status, _, err = run("train", "keys", *words)
    assert status == 1 and "--first-key" in err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("timbres", ["0", "0,128", "piano,flute", ""])
def test_timbres_that_are_no_programs_are_said(run, tmp_path, timbres):
    status, _, err = run("train", "morph", "--steps", "1", "--timbres", timbres, "--cache", tmp_path / "cache")
    assert status == 1 and "--timbres" in err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--run", "--out", "--cache"])
def test_a_folder_that_cannot_be_written_is_said(run, tmp_path, option):
    (tmp_path / "file").write_text("in the way")
    recipe = TINY_KEYS if option == "--cache" else TINY_NNSS
    places = {"--run": tmp_path / "run", "--out": tmp_path / "out", "--cache": tmp_path / "cache"}
    places[option] = tmp_path / "file" / "folder"
    words = [word for place in places.items() for word in place]
    status, _, err = run(*recipe, "--steps", "1", *words)
    assert status == 1 and "Traceback" not in err
    assert is_one_sentence(err.splitlines()[-1])
    assert str(tmp_path / "file") in err.splitlines()[-1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("recipe", ["keys", "nnss", "morph"])
def test_a_gpu_that_is_not_there_is_never_replaced_in_silence(run, tmp_path, recipe):
    words = ["--steps", 1, "--device", "cuda", "--out", tmp_path, "--run", tmp_path / "run", "--cache", tmp_path / "c"]
    status, _, err = run("train", recipe, *words)
    assert status == 1 and "no GPU" in err and is_one_sentence(err)
    assert not list(tmp_path.iterdir())


def test_the_device_is_said_first(run, tmp_path):
    _, _, err = run(*TINY_NNSS, "--steps", 1, "--device", "cpu", "--out", tmp_path / "out", "--run", tmp_path / "run")
    assert err.splitlines()[0] == "fitting on cpu, as asked"


@pytest.mark.parametrize("recipe", ["keys", "nnss", "morph"])
def test_without_its_soundfont_nothing_is_fitted(run, tmp_path, monkeypatch, recipe):
    monkeypatch.setenv(SOUNDFONT_VARIABLE, str(tmp_path / "none.sf2"))
    words = ["--steps", 1, "--out", tmp_path / "out", "--run", tmp_path / "run", "--cache", tmp_path / "cache"]
    status, _, err = run("train", recipe, *words)
    assert status == 1
    assert is_one_sentence(err.splitlines()[-1]) and "none.sf2" in err
    assert not (tmp_path / "out").exists()


def test_an_interrupted_program_keeps_what_it_has_and_goes_on(run, workshop, tiny_nnss, tmp_path):
    """Ctrl-C in the real program, then the same command again."""
    shutil.copytree(workshop / "run-nnss", tmp_path / "run")
    words = [*TINY_NNSS, "--out", tmp_path / "out", "--run", tmp_path / "run"]
    process = subprocess.Popen([*PROGRAM, *words, "--minutes", "10"], stderr=subprocess.PIPE, text=True)
    lines = []
    try:
        for line in process.stderr:
            lines.append(line)
            if "resuming at step 4" in line:
                break
        time.sleep(1)  # some steps
        process.send_signal(signal.SIGINT)
        lines += process.communicate(timeout=120)[1].splitlines()
    finally:
        process.kill()
    assert process.returncode == 130
    assert "the same command goes on" in lines[-1] and "Traceback" not in "".join(lines)
    assert not (tmp_path / "out").exists()
    status, _, err = run(*words, "--steps", 5)
    step = int(err.split("resuming at step ")[1].split(",")[0])
    assert status == 0 and step >= 4


# evaluate


def test_an_instrument_is_judged_for_programs(run, tiny_keys, midi, tmp_path):
    other = write_midi(tmp_path / "other.mid", [(107, 60, 0.0, 0.3)])
    status, out, err = run("evaluate", tiny_keys, midi, other, "--json")
    rows = json.loads(out)
    assert (status, err) == (0, "")
    assert [row["file"] for row in rows] == [midi.name, "other.mid"]
    for row in rows:
        assert {"logmel_l1_db", "mss_db", "convergence", "null_snr_db", "bands_db", "pitch_cents"} <= set(row)
        assert all(np.isfinite(row[name]) for name in ("logmel_l1_db", "mss_db", "convergence", "null_snr_db"))
        assert set(row["bands_db"]) <= {f"{low}-{high}" for low, high in BANDS}
        assert row["instrument"] == "tiny-keys"


def test_single_notes_and_keys_are_judged_too(run, tiny_keys):
    status, out, _ = run("evaluate", tiny_keys, "--keys", "--notes", 2, "--json")
    keys, notes = json.loads(out)
    assert status == 0
    assert [row["key"] for row in keys["keys"]] == [107, 108]
    worst = keys["worst_onset_ms"]
    assert worst["value"] in [row["onset_ms"] for row in keys["keys"] if row["key"] == worst["key"]]
    assert abs(worst["value"]) == max(abs(row["onset_ms"]) for row in keys["keys"])
    assert notes["notes"] == 2 and {"logmel_l1_db", "convergence", "null_snr_db"} <= set(notes)


def test_what_a_part_of_the_sound_adds_is_measured_with_its_knob(run, tiny_keys):
    plain, turned = (
        json.loads(run("evaluate", tiny_keys, "--notes", 2, "--json", *knobs)[1])[0]
        for knobs in ([], ["--knob", "body=-40", "--knob", "brightness=3"])
    )
    assert plain["null_snr_db"] != turned["null_snr_db"]


def test_an_instrument_is_judged_for_people(run, tiny_keys, midi):
    status, out, _ = run("evaluate", tiny_keys, midi)
    assert status == 0
    for name in ("logmel_l1_db", "mss_db", "convergence", "null_snr_db", "bands_db", "pitch_cents"):
        assert name in out


def test_a_pitch_that_cannot_be_measured_is_null(run, tiny_keys, midi, tmp_path):
    """Where no partial is where the teacher's are. JSON has no word for what is no number."""
    copy = shutil.copytree(tiny_keys, tmp_path / "elsewhere")
    path = copy / "weights.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    tensors["carriers.hz"][:] = torch.linspace(300, 900, tensors["carriers.hz"].shape[1])
    tensors["noise"][:] = 0
    bands = tensors["noise"].shape[1] * tensors["noise"].shape[2]
    tensors["network.out.weight"][-bands:], tensors["network.out.bias"][-bands:] = 0, -50
    save_file(tensors, path)
    status, out, _ = run("evaluate", copy, midi, "--keys", "--json")
    assert status == 0

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    file, keys = json.loads(out, parse_constant=refuse)
    assert file["pitch_cents"] is None
    assert keys["worst_pitch_cents"]["value"] is None


def test_figures_and_a_picture_go_into_the_card(run, tiny_keys, midi, tmp_path):
    copy = shutil.copytree(tiny_keys, tmp_path / "copy")
    assert run("evaluate", copy, midi, "--card", "--json")[0] == 0
    card = (copy / "card.md").read_text()
    assert f"| {midi.name} |" in card and "Tiny Keys" in card
    assert (copy / "spectrogram.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing to evaluate"), (["none.mid"], "none.mid"), (["--axes"], "one timbre"),
        (["--timbres", "2"], "one timbre"), (["--points", "2"], "one timbre"),
        (["--notes", "1", "--knob", "body=-99"], "body"),
        (["--notes", "1", "--knob", "latent1=1"], "no knob 'latent1'"),
        (["--notes", "1", "--knob", "body=-6", "--card"], "--card"),
    ],
)  # fmt: skip
def test_an_evaluation_that_makes_no_sense_is_said(run, tiny_keys, words, says):
    status, out, err = run("evaluate", tiny_keys, *words)
    assert status == 1 and out == ""
    assert says in err and is_one_sentence(err)


def test_a_score_of_drums_alone_cannot_be_judged(run, tiny_keys, tmp_path):
    status, _, err = run("evaluate", tiny_keys, write_midi(tmp_path / "drums.mid", channel=9), "--json")
    assert status == 1 and "drums.mid" in err and is_one_sentence(err)


def test_an_instrument_without_a_known_teacher_cannot_be_judged(run, tiny_keys, midi, tmp_path):
    copy = shutil.copytree(tiny_keys, tmp_path / "orphan")
    description = json.loads((copy / "instrument.json").read_text())
    del description["metadata"]["training"]
    (copy / "instrument.json").write_text(json.dumps(description))
    status, _, err = run("evaluate", copy, midi)
    assert status == 1 and "orphan" in err and is_one_sentence(err)


# bench


def test_the_cost_of_voices_is_measured_for_programs(run, tiny_nnss, monkeypatch):
    monkeypatch.setattr("engine.benchmark.BLOCKS", 8)
    monkeypatch.setattr("engine.benchmark.REPEATS", 1)
    status, out, err = run("bench", "voices", "--instrument", tiny_nnss, "--json")
    rows = json.loads(out)
    assert (status, err) == (0, "")
    assert [row["voices"] for row in rows] == list(VOICES)
    for row in rows:
        assert 0 < row["median_block"] <= row["worst_block"]
        assert row["real_time"] > 0 and row["block"] == 256


def test_the_cost_of_a_score_is_measured(run, tiny_keys, midi):
    status, out, _ = run("bench", "render", "--instrument", tiny_keys, "--file", midi, "--json")
    (row,) = json.loads(out)
    assert status == 0
    assert row["notes"] == 2 and row["audio_seconds"] >= 0.5 and row["seconds"] > 0


def test_a_bench_that_makes_no_sense_is_said(run, tiny_keys, midi):
    status, _, err = run("bench", "voices", "--instrument", tiny_keys, "--file", midi)
    assert status == 1 and is_one_sentence(err)
