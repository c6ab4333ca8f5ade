"""The recipes that learn from folders, each on a little folder, from the command line to a loaded instrument."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from engine.errors import InstrumentError
from engine.instrument import load_instrument, prove
from musicnn_gui.cli import main
from training.corpus import RATE, CorpusError, read_corpus
from training.material import drum_bar, read_tempo
from training.pictures import bars, held_out_rows, hit_data
from training.recipes import presets, song
from training.recipes.generate import GenerateTask

CPU = torch.device("cpu")


def quiet(text):
    pass


def hit(rng, low):
    t = np.arange(RATE // 4) / RATE
    noise = rng.standard_normal(len(t)) * np.exp(-rng.uniform(30, 90) * t)
    return 0.4 * (np.sin(2 * np.pi * rng.uniform(50, 90) * t) * np.exp(-20 * t) if low else 0.5 * noise)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Hits, loops of several tempi and a piece."""
    root, rng = tmp_path_factory.mktemp("material"), np.random.default_rng(0)
    for kind, low in (("kick", True), ("hat", False)):
        (root / "hits" / kind).mkdir(parents=True)
        for number in range(12):
            soundfile.write(root / f"hits/{kind}/{number}.wav", hit(rng, low), RATE)
    (root / "loops").mkdir()
    for number in range(12):
        tempo = 100 + 5 * number
        beat = round(60 / tempo * RATE)
        bar = np.zeros(4 * beat)
        for step in range(4):
            bar[step * beat : step * beat + RATE // 4] += hit(rng, step % 2 == 0)[:beat]
        soundfile.write(root / f"loops/{tempo}bpm_{number}.wav", bar, RATE)
    (root / "song").mkdir()
    t = np.arange(14 * RATE) / RATE
    for number in range(2):
        melody = np.sin(2 * np.pi * np.repeat(rng.choice([220, 330, 440], 28), RATE // 2) * t) * 0.2
        soundfile.write(root / f"song/{number}.flac", melody, RATE)
    return root


SMALL = {"width": 8, "batch": 4}
COMMANDS = [
    ("sliders", "hits", []), ("oneshots", "hits", []), ("oneshots", "hits", ["--model", "lstm-gan"]),
    ("loops", "loops", []), ("loops", "loops", ["--model", "gan"]), ("loops", "loops", ["--model", "raw"]),
    ("loops", "loops", ["--model", "beat"]), ("oneshots", "hits", ["--preset", "seed"]),
    ("oneshots", "hits", ["--model", "lstm-gan", "--preset", "seed"]), ("sliders", "hits", ["--preset", "seed"]),
    ("loops", "loops", ["--preset", "seed"]), ("loops", "loops", ["--model", "raw", "--preset", "seed"]),
    ("loops", "loops", ["--model", "gan", "--preset", "seed"]),
    ("loops", "loops", ["--model", "beat", "--preset", "seed"]),
]  # fmt: skip


@pytest.fixture
def small(monkeypatch):
    """The presets with little networks and short sounds: what is tested is that they fit together."""
    table = {
        recipe: {
            model: {name: shrunk(config) for name, config in settings.items()} for model, settings in models.items()
        }
        for recipe, models in presets.PRESETS.items()
    }
    monkeypatch.setattr(presets, "PRESETS", table)
    sizes = {"cells": 16, "sequence": 24, "batch": 2}
    monkeypatch.setattr(song, "PRESETS", {name: replace(one, **sizes) for name, one in song.PRESETS.items()})


def shrunk(config):
    frames = config.frames if not config.bands or config.length > 2048 else 64
    length = min(config.length, 2048)
    frames = 64 if length < config.length else frames
    return replace(config, **SMALL, frames=frames, length=length, adversary_from=0)


@pytest.mark.parametrize("recipe, kind, options", COMMANDS, ids=lambda part: " ".join(part) if part else "-")
def test_a_recipe_makes_a_playable_instrument(recipe, kind, options, folder, small, tmp_path, capsys):
    command = [
        "train",
        recipe,
        str(folder / kind),
        *options,
        "--steps",
        "3",
        "--name",
        "mine",
        "--precision",
        "float32",
    ]
    places = ["--out", str(tmp_path), "--cache", str(folder / "cache"), "--run", str(tmp_path / "run")]
    assert main([*command, *places]) == 0
    said = capsys.readouterr().err
    assert "files" in said and "held out" in said
    instrument = load_instrument(tmp_path / "mine")
    assert prove(instrument, tmp_path / "mine") < -60
    model = instrument.model
    assert model.bpm == pytest.approx(120, abs=1) if recipe == "loops" and not model.bands else True
    sound = model.sound(model.pads[0].centre)
    assert np.isfinite(sound).all() and sound.any()
    noise = np.random.default_rng(0).standard_normal((2, RATE // 4)).astype("f")
    if model.encoder is None:
        with pytest.raises(InstrumentError):
            model.encode(noise)
    else:
        assert model.encode(noise).shape == (model.axes,)
    if kind == "hits":
        assert [pad.title for pad in model.pads] == ["hat", "kick"] and model.pads[0].choke == 1
    else:
        assert all(pad.beats == 4 for pad in model.pads)
    card = (tmp_path / "mine/card.md").read_text()
    assert f"musicnn train {recipe} FOLDER" in card and all(option in card for option in options)


@pytest.mark.parametrize("preset", ["default", "seed"])
def test_a_song_goes_on(preset, folder, small, tmp_path, capsys):
    command = ["train", "song", str(folder / "song"), "--preset", preset, "--steps", "3", "--name", "mine"]
    places = ["--out", str(tmp_path), "--cache", str(folder / "cache"), "--run", str(tmp_path / "run")]
    assert main([*command, *places]) == 0
    instrument = load_instrument(tmp_path / "mine")
    assert prove(instrument, tmp_path / "mine") < -60
    model = instrument.model
    assert model.seeds == ("0", "1")
    part, _ = model.next(model.begin(0), 1.0, np.random.default_rng(0))
    assert part.shape == (2, model.block) and np.isfinite(part).all() and part.any()
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "mine"), str(folder / "song"), "--json", "--card",
                 "--cache", str(folder / "cache")]) == 0  # fmt: skip
    (result,) = json.loads(capsys.readouterr().out)
    assert result["songs"] == 2 and result["times_real_time"] > 0
    assert (tmp_path / "mine/spectrogram.png").stat().st_size > 10_000


def test_evaluation_of_pads_prints_every_figure(folder, small, tmp_path, capsys):
    places = ["--out", str(tmp_path), "--cache", str(folder / "cache"), "--run", str(tmp_path / "run")]
    assert main(["train", "oneshots", str(folder / "hits"), "--steps", "3", "--name", "mine", *places]) == 0
    capsys.readouterr()
    evaluate = ["evaluate", str(tmp_path / "mine"), str(folder / "hits"), "--cache", str(folder / "cache")]
    assert main([*evaluate, "--json", "--card"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert {"envelope_share", "novelty_share", "reconstruction_ratio", "ms_per_sound"} <= set(result)
    card = (tmp_path / "mine/card.md").read_text()
    assert "novelty_share" in card and "Figures against the data" in card
    assert main([*evaluate[:2], str(folder / "nowhere.mid")]) == 1
    assert "folder of audio" in capsys.readouterr().err


def test_a_stopped_run_goes_on_only_on_its_own_data(folder, small, tmp_path, capsys):
    places = ["--out", str(tmp_path), "--cache", str(folder / "cache"), "--run", str(tmp_path / "run")]
    command = ["train", "sliders", str(folder / "hits"), "--name", "mine", *places]
    assert main([*command, "--steps", "2"]) == 0 and main([*command, "--steps", "4"]) == 0
    assert "resuming at step 2" in capsys.readouterr().err
    assert main(["train", "sliders", str(folder / "loops"), "--name", "mine", "--steps", "6", *places]) == 1
    assert "other settings" in capsys.readouterr().err


def test_too_little_to_learn_from_is_said(tmp_path, folder, capsys):
    (tmp_path / "one").mkdir()
    assert main(["train", "oneshots", str(tmp_path / "one"), "--steps", "1"]) == 1
    assert "holds no audio file" in capsys.readouterr().err
    soundfile.write(tmp_path / "one/a.wav", hit(np.random.default_rng(0), True), RATE)
    assert main(["train", "sliders", str(tmp_path / "one"), "--steps", "1"]) == 1
    assert "holds only 1 file that can be used" in capsys.readouterr().err
    assert main(["train", "song", str(tmp_path / "one"), "--steps", "1"]) == 1
    assert "nothing to go on with" in capsys.readouterr().err


def test_reconstruction_learns_and_held_out_sounds_are_never_fitted(folder, tmp_path):
    corpus = read_corpus(folder / "hits", folder / "cache", quiet)
    config = replace(presets.PRESETS["oneshots"]["gan"]["default"], **SMALL, frames=64, adversary=0.0)
    data = hit_data(corpus, config.transform(), 64)
    assert not set(data.taught) & set(data.held_out) and len(data.held_out) == len(held_out_rows(24)) == 2
    torch.manual_seed(0)
    task, rng = GenerateTask(config, data, 0.0, CPU), np.random.default_rng(0)
    optimiser = torch.optim.Adam(task.model.parameters(), 3e-3)
    losses = []
    for step in range(60):
        loss = task.loss(rng, step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-20:]) < 0.7 * np.mean(losses[:4])


def test_the_adversary_and_the_decoder_pull_against_each_other(folder):
    corpus = read_corpus(folder / "hits", folder / "cache", quiet)
    config = replace(presets.PRESETS["oneshots"]["gan"]["seed"], **SMALL, frames=64)
    task = GenerateTask(config, hit_data(corpus, config.transform(), 64), 0.0, CPU)
    real, model = torch.rand(4, 64, 128), task._parts
    model.adversary.eval()  # its spectral norms stay as they are
    fake = model.decoder(torch.randn(4, config.code))
    task._contest(model.adversary, fake, real).backward()
    by_both = [parameter.grad.clone() for parameter in model.adversary.parameters()]
    model.adversary.zero_grad()
    task._contest(model.adversary, fake.detach(), real).backward()
    for one, other in zip(by_both, model.adversary.parameters(), strict=True):
        assert torch.allclose(one, other.grad, atol=1e-6)  # the decoder's wish does not move the adversary
    assert all(parameter.grad is not None for parameter in model.decoder.parameters())


def test_bars_of_loops_are_whole_bars_whatever_the_tempo(folder):
    corpus = read_corpus(folder / "loops", folder / "cache", quiet)
    for item, mono in bars(corpus, quiet):
        assert len(mono) / RATE == pytest.approx(4 * 60 / read_tempo(item.name), rel=1e-3)


def test_a_long_file_is_cut_into_many_hits(folder, tmp_path):
    corpus = read_corpus(folder / "song", folder / "cache", quiet)
    config = presets.PRESETS["oneshots"]["gan"]["default"]
    assert len(hit_data(corpus, config.transform(), config.frames).whole) > 20
    (tmp_path / "silent").mkdir()
    for number in range(2):
        soundfile.write(tmp_path / f"silent/{number}.wav", np.zeros(RATE), RATE)
    with pytest.raises(CorpusError, match="silent"):
        read_corpus(tmp_path / "silent", tmp_path / "cache", quiet)


def test_tempi_are_read_from_names():
    assert read_tempo("house_124bpm_3.flac") == 124 and read_tempo("a 99.5 BPM.wav") == 99.5
    assert read_tempo("song12.wav") is None


def test_patterns_keep_their_certain_hits():
    for seed in range(20):
        hits = drum_bar({36: "9000900090009000", 42: "0505050505050505"}, np.random.default_rng(seed))
        assert {at for at, key, _ in hits if key == 36} == {0, 4, 8, 12}
        assert all(at % 2 == 1 for at, key, _ in hits if key == 42)
        assert all(25 <= velocity <= 127 for _, _, velocity in hits)
