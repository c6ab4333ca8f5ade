import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from engine.description import JSON_FILE
from engine.errors import InstrumentError
from engine.instrument import load_instrument, prove, save_instrument
from engine.library import FOLDERS_VARIABLE, folder_of, instruments, open_instrument, user_folder
from engine.midi.events import note_off, note_on
from engine.synth import Synth


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf") / "tiny"
    save_instrument(tiny, folder, "# Tiny\n")
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(saved, tmp_path / "tiny")


def sound(instrument):
    synth = Synth(instrument, limiter=False)
    synth.schedule([note_on(0, 60, 90), note_off(5000, 60)])
    return synth.render(9000)


def refused(folder):
    with pytest.raises(InstrumentError) as error:
        load_instrument(folder)
    text = str(error.value)
    assert "\n" not in text and len(text) < 400
    return text


@pytest.mark.parametrize("which", ["tiny", "tiny_bins"])
def test_what_is_saved_is_loaded_proved_and_sounds_the_same(which, request, tmp_path):
    instrument = request.getfixturevalue(which)
    save_instrument(instrument, tmp_path / "copy", "A card.")
    again = load_instrument(tmp_path / "copy")
    assert prove(again, tmp_path / "copy") < -60
    assert np.array_equal(sound(again), sound(instrument))
    assert (again.title, again.knobs, again.keys) == (instrument.title, instrument.knobs, instrument.keys)
    assert (tmp_path / "copy" / "card.md").read_text() == "A card."


def test_the_shipped_instruments_prove_themselves():
    shipped = [entry for entry in instruments() if entry.folder.parent.name == "trained"]
    assert any(entry.name == "piano" for entry in shipped)
    for entry in shipped:
        assert not entry.problem
        assert prove(load_instrument(entry.folder), entry.folder) < -60
        card = (entry.folder / "card.md").read_text(encoding="utf-8")
        assert "musicnn train" in card and "Figures" in card
        assert all(path.stat().st_size < 20_000_000 for path in entry.folder.iterdir())


def test_an_instrument_of_the_first_format_plays(fading, tmp_path):
    """Every frame a knot, no rise, and noise bands of another kind behind the envelopes, silent by default."""
    folder = tmp_path / "old"
    save_instrument(fading, folder, "A card.")
    description, tensors = json.loads((folder / JSON_FILE).read_text()), load_file(folder / "weights.safetensors")
    del tensors["noise"], description["cost"], description["codec"]["grid"], description["codec"]["rise"]
    description["format"] = 1
    description["head"]["noise"] = 3
    description["network"]["outputs"] += 6
    for name in ("network.out.weight", "network.out.bias"):
        tensors[name] = torch.cat([tensors[name], torch.ones(6, *tensors[name].shape[1:])])
    tensors["carriers.harmonic"] = tensors["carriers.harmonic"].long()
    save_file(tensors, folder / "weights.safetensors")
    (folder / JSON_FILE).write_text(json.dumps(description))
    proof = load_file(folder / "proof.safetensors")
    proof["written"] = torch.cat([proof["written"], torch.ones(len(proof["written"]), 6)], 1)
    save_file(proof, folder / "proof.safetensors")
    old = load_instrument(folder)
    assert prove(old, folder) < -100
    assert "breath" not in old.knobs and old.model.synthesis.rise == 0
    events = [note_on(0, 60, 90), note_off(3000, 60)]
    sounds = []
    for instrument in (fading, old):
        synth = Synth(instrument, limiter=False)
        synth.schedule(events)
        sounds.append(synth.render(6000))
    assert np.array_equal(*sounds)


def test_a_changed_weight_is_found_by_the_proof(folder):
    tensors = load_file(folder / "weights.safetensors")
    tensors["network.out.weight"] *= 1.1
    save_file(tensors, folder / "weights.safetensors")
    with pytest.raises(InstrumentError, match="does not sound as it did"):
        prove(load_instrument(folder), folder)


@pytest.mark.parametrize("name", ["instrument.json", "weights.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert name in refused(folder)


def test_a_missing_proof_is_named(folder):
    (folder / "proof.safetensors").unlink()
    with pytest.raises(InstrumentError, match=r"proof\.safetensors"):
        prove(load_instrument(folder), folder)


@pytest.mark.parametrize("keep", [0, 5, 8, 100, 4000])
def test_truncated_weights_are_refused(folder, keep):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder)


def test_a_pickle_is_not_opened(folder):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    (folder / "weights.safetensors").write_bytes(pickle.dumps(Trap()))
    refused(folder)


def test_an_enormous_file_is_not_read(folder):
    with (folder / "weights.safetensors").open("r+b") as file:
        file.truncate(1_000_000_000)
    assert "too large" in refused(folder)
    with (folder / "instrument.json").open("r+b") as file:
        file.truncate(100_000_000)
    refused(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(folder, value):
    tensors = load_file(folder / "weights.safetensors")
    tensors["network.out.bias"][0] = value
    save_file(tensors, folder / "weights.safetensors")
    assert "finite" in refused(folder)


@pytest.mark.parametrize("change", ["shape", "extra", "less", "carriers"])
def test_another_networks_weights_are_refused(folder, change):
    tensors = load_file(folder / "weights.safetensors")
    if change == "shape":
        tensors["network.out.bias"] = torch.zeros(3)
    elif change == "extra":
        tensors["network.more"] = torch.zeros(3)
    elif change == "less":
        del tensors["network.out.bias"]
    else:
        tensors["carriers.hz"] = tensors["carriers.hz"][:, :3].contiguous()
    save_file(tensors, folder / "weights.safetensors")
    refused(folder)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], 99), (["format"], "1"), (["kind"], "drum"), (["sample_rate"], 22_050), (["gain_db"], 1e9),
        (["keys"], [60, 20]), (["keys"], [0, 500]), (["keys"], []), (["knobs"], ["nothing"]),
        (["codec", "type"], "mp3"), (["codec", "hop"], 0), (["codec", "length"], "long"),
        (["codec", "first_key"], None), (["network", "hidden"], 10**9), (["network", "layers"], -1),
        (["network", "hidden"], 8192), (["head", "power"], 0), (["head", "carriers"], 11), (["metadata"], []),
        (["title"], 5),
        # Numbers that nothing can be built or played with, though they look like others that can.
        (["format"], 0), (["format"], -3), (["gain_db"], 10**400), (["gain_db"], float("nan")), (["knobs"], [["tune"]]),
        (["codec", "length"], 1024.0), (["codec", "length"], 10**13), (["codec", "hop"], 256.0),
        (["codec", "first_key"], -(10**6)), (["codec", "first_key"], 10**400), (["network", "context"], 8.0),
        (["network", "layers"], 2.0), (["head", "carriers"], 10.0), (["head", "channels"], 2.0),
        (["head", "velocity_exponent"], float("nan")),
        # Grids that are not increasing, reach too far or are none; cells that nobody knows; noise that does not fit.
        (["codec", "grid"], {"held": [[16, 2], [8, 4]], "released": []}), (["codec", "grid"], "dense"),
        (["codec", "grid"], {"held": [[16, 2], [1 << 20, 4]], "released": []}),
        (["codec", "grid"], {"held": [[16, 4], [33, 8]], "released": []}),
        (["codec", "grid"], {"held": [], "released": [[8, "2"]]}), (["codec", "grid"], {"held": []}),
        (["codec", "rise"], 10_000), (["codec", "rise"], -1), (["codec", "rise"], 64.0),
        (["network", "cell"], "complex"), (["network", "cell"], "lstm"),
        (["head", "noise"], 7), (["head", "noise"], 400), (["network", "front"], 23),
    ],
    ids=lambda part: repr(part)[:40],
)  # fmt: skip
def test_a_description_that_does_not_fit_is_refused(folder, path, value):
    file = folder / "instrument.json"
    data = json.loads(file.read_text())
    place = data
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    file.write_text(json.dumps(data))
    refused(folder)


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "\x00\xff", '{"format": 1}', "[" * 100_000])
def test_what_is_no_description_is_refused(folder, text):
    (folder / "instrument.json").write_text(text, encoding="latin-1")
    refused(folder)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_give_an_instrument_or_a_sentence(saved, tmp_path_factory, changes, header):
    folder = shutil.copytree(saved, tmp_path_factory.mktemp("damaged") / "tiny")
    path = folder / ("instrument.json" if header else "weights.safetensors")
    data = bytearray(path.read_bytes())
    reach = len(data) if header else 2000  # the tensors' table: the rest is numbers
    for place, value in changes:
        data[min(int(place * reach), len(data) - 1)] = value
    path.write_bytes(data)
    try:
        instrument = load_instrument(folder)
    except InstrumentError as error:
        assert "\n" not in str(error)
        return
    assert instrument.keys


def test_the_library_looks_where_it_is_told_first(folder, monkeypatch, own_folders):
    shelf = folder.parent
    shutil.copytree(folder, shelf / "piano")
    monkeypatch.setenv(FOLDERS_VARIABLE, str(shelf))
    assert folder_of("piano") == shelf / "piano"
    assert {"tiny", "piano"} <= {entry.name for entry in instruments()}
    monkeypatch.delenv(FOLDERS_VARIABLE)
    assert folder_of("piano") != shelf / "piano"


def test_a_broken_folder_is_listed_with_its_problem(folder, monkeypatch):
    (folder / "instrument.json").write_text("{")
    monkeypatch.setenv(FOLDERS_VARIABLE, str(folder.parent))
    entry = next(entry for entry in instruments() if entry.name == "tiny")
    assert entry.description is None
    assert "JSON" in entry.problem


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(InstrumentError, match="piano"):
        open_instrument("harmonium")


def leaves(value, path=()):
    """Paths to everything in a description, the whole of it too."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield from leaves(part, (*path, name))


@pytest.fixture(scope="module")
def shelf(tiny, tiny_bins, fading, tmp_path_factory):
    """Descriptions and weights of every kind of instrument."""
    shelf = tmp_path_factory.mktemp("shelf")
    for instrument in (tiny, tiny_bins, fading):
        save_instrument(instrument, shelf / instrument.name, "")
    return shelf


any_json = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.integers(-2, 300), st.floats(), st.text(max_size=5)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)  # fmt: skip


@given(data=st.data(), name=st.sampled_from(["tiny", "bins", "fading"]))
@settings(max_examples=150, deadline=None)
def test_any_value_in_a_description_gives_an_instrument_that_plays_or_a_sentence(shelf, data, name):
    path = shelf / name / "instrument.json"
    description = json.loads(path.read_text())
    place = data.draw(st.sampled_from(list(leaves(description))))
    value = data.draw(any_json)
    if place:
        inner = description
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value
    else:
        description = value
    folder = shelf / "mutated"
    folder.mkdir(exist_ok=True)
    (folder / "instrument.json").write_text(json.dumps(description))
    shutil.copyfile(shelf / name / "weights.safetensors", folder / "weights.safetensors")
    try:
        instrument = load_instrument(folder)
    except InstrumentError as error:
        assert "\n" not in str(error)
        return
    synth = Synth(instrument)
    synth.schedule(event for key in (0, 60, 127) for event in (note_on(0, key, 100), note_off(500, key)))
    assert np.isfinite(synth.render(2000)).all()


def test_a_sound_that_is_no_number_proves_nothing(folder):
    """Weights may be finite and what comes of them not: infinite levels cancel to NaN, and NaN compares as no error."""
    tensors = load_file(folder / "weights.safetensors")
    tensors["network.out.bias"] = torch.full_like(tensors["network.out.bias"], 900.0)
    save_file(tensors, folder / "weights.safetensors")
    description = json.loads((folder / "instrument.json").read_text())
    description["head"]["power"] = 0.05  # 900 ** 20
    (folder / "instrument.json").write_text(json.dumps(description))
    with np.errstate(all="ignore"), pytest.raises(InstrumentError, match="does not sound as it did"):
        prove(load_instrument(folder), folder)


def test_a_proof_of_another_instrument_is_refused(folder, shelf):
    shutil.copyfile(shelf / "bins" / "proof.safetensors", folder / "proof.safetensors")
    with pytest.raises(InstrumentError, match="another instrument"):
        prove(load_instrument(folder), folder)


def test_an_instrument_may_be_opened_by_its_path(folder):
    assert open_instrument(str(folder)).name == "tiny"


def test_folders_that_are_not_there_do_not_matter(folder, monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDERS_VARIABLE, os.pathsep.join(["", str(tmp_path / "nowhere"), str(folder.parent)]))
    assert open_instrument("tiny").name == "tiny"


def test_the_players_own_instruments_are_found(folder, own_folders):
    shutil.copytree(folder, user_folder() / "mine")
    assert user_folder().is_relative_to(own_folders)
    assert open_instrument("mine").name == "mine"
