"""Pads and songs in the instrument file: whole, damaged and hostile."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from engine.errors import InstrumentError
from engine.instrument import load_instrument, prove, save_instrument
from engine.knobs import HITS, LOOPS
from tests.engine.generated import pads_instrument, song_instrument

EVERY = {
    "conv": pads_instrument, "lstm": lambda: pads_instrument(body="lstm", listens=False),
    "raw": lambda: pads_instrument(body="raw", loop=True), "parts": lambda: pads_instrument(loop=True, parts=2),
    "song": song_instrument, "spectra": lambda: song_instrument(kind="spectrum", mixture=0),
}  # fmt: skip


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    for name in ("conv", "song"):
        save_instrument(EVERY[name](), folder / name, "A card.")
    return folder


@pytest.fixture
def copy(shelf, tmp_path):
    """Copies that may be damaged."""
    return shutil.copytree(shelf, tmp_path / "shelf")


@pytest.mark.parametrize("which", EVERY)
def test_what_is_saved_is_loaded_and_proved(which, tmp_path):
    instrument = EVERY[which]()
    save_instrument(instrument, tmp_path / which, "A card.")
    again = load_instrument(tmp_path / which)
    assert prove(again, tmp_path / which) < -60
    assert (again.kind, again.title, again.keys, again.metadata) == (
        instrument.kind, instrument.title, instrument.keys, instrument.metadata,
    )  # fmt: skip
    played = {"pads": {*HITS, *(LOOPS if which in ("raw", "parts") else ())}, "song": set()}[again.kind]
    assert set(again.knobs) == {*instrument.knobs, *played}  # how pads are played is no matter of the file
    if again.kind == "pads":
        for pad, other in zip(again.model.pads, instrument.model.pads, strict=True):
            assert (pad.title, pad.choke, pad.beats) == (other.title, other.choke, other.beats)
            assert np.allclose(again.model.sound(pad.centre), instrument.model.sound(other.centre), atol=1e-5)
    else:
        assert again.model.seeds == instrument.model.seeds


def test_a_changed_weight_is_found_by_the_proof(copy):
    for name, tensor in (("conv", "network.decoder.out.weight"), ("song", "network.out.weight")):
        path = copy / name / "weights.safetensors"
        tensors = load_file(path)
        tensors[tensor] *= 1.5
        save_file(tensors, path)
        with pytest.raises(InstrumentError, match="does not sound as it did"):
            prove(load_instrument(copy / name), copy / name)


def change(folder, place, value):
    path = folder / "instrument.json"
    data = json.loads(path.read_text())
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(data))


HOSTILE = [
    ("conv", ("network", "generator", "width"), 1 << 15), ("conv", ("network", "generator", "frames"), 1 << 16),
    ("conv", ("network", "generator", "body"), "os.system"), ("conv", ("network", "generator", "code"), "6"),
    ("conv", ("network", "encoder_outputs"), 10**9), ("conv", ("network", "encoder_outputs"), None),
    ("conv", ("codec", "bands", "length"), 1 << 40), ("conv", ("codec", "bands", "count"), 33),
    ("conv", ("codec", "bands", "hop"), 0), ("conv", ("codec", "bands", "curve"), {}),
    ("conv", ("codec", "bands"), None), ("conv", ("codec", "bands", "top_db"), 1e9),
    ("conv", ("codec", "voicing", "iterations"), 10**9), ("conv", ("codec", "voicing", "parts"), 3),
    ("conv", ("codec", "voicing", "bpm"), float("nan")), ("conv", ("codec", "voicing", "raw_rate"), 44_100),
    ("conv", ("head", "pads"), []), ("conv", ("head", "pads", 0, "title"), "x" * 10_000),
    ("conv", ("head", "pads", 0, "choke"), -1), ("conv", ("head", "pads", 0, "beats"), 1e9),
    ("song", ("network", "cells"), 10**6), ("song", ("network", "mixture"), -1), ("song", ("network", "layers"), 9),
    ("song", ("codec", "frames"), 9), ("song", ("codec", "type"), "exec"), ("song", ("head", "seeds"), ["one"] * 3),
    ("song", ("head", "seeds"), []), ("song", ("codec", "bands"), None),
]  # fmt: skip


@pytest.mark.parametrize("which, place, value", HOSTILE)
def test_a_description_that_lies_is_refused_in_a_sentence(copy, which, place, value):
    change(copy / which, place, value)
    with pytest.raises(InstrumentError) as error:
        load_instrument(copy / which)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_number_of_a_description_may_be_wrong(copy, data):
    which = data.draw(st.sampled_from(["conv", "song"]))
    shutil.copy(copy.parent / "shelf" / which / "instrument.json", copy.parent / f"{which}.json") if not (
        copy.parent / f"{which}.json"
    ).exists() else shutil.copy(copy.parent / f"{which}.json", copy / which / "instrument.json")
    text = json.loads((copy / which / "instrument.json").read_text())
    places = [(group, *path) for group in ("codec", "network", "head") for path in _leaves(text[group])]
    place = data.draw(st.sampled_from(places))
    wrong = st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({}))
    change(copy / which, place, data.draw(wrong))
    try:
        instrument = load_instrument(copy / which)
    except InstrumentError as error:
        assert "\n" not in str(error)
    else:
        assert instrument.model is not None


def _leaves(value):
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return [(key, *rest) for key, inner in pairs for rest in _leaves(inner)]
    return [()]


@pytest.mark.parametrize(
    "which, name", [("conv", "space.axes"), ("conv", "pads.centre"), ("conv", "network.decoder.out.weight"),
                    ("song", "basis.rows"), ("song", "seeds.0"), ("song", "network.lstm.weight_hh_l0")],
)  # fmt: skip
def test_tensors_that_are_missing_misshapen_or_not_finite_are_refused(copy, which, name):
    path = copy / which / "weights.safetensors"
    whole = load_file(path)
    for wrong in (None, torch.zeros(3, 3), torch.full_like(whole[name], float("nan"))):
        tensors = {key: value for key, value in whole.items() if key != name}
        if wrong is not None:
            tensors[name] = wrong
        save_file(tensors, path)
        with pytest.raises(InstrumentError):
            load_instrument(copy / which)
