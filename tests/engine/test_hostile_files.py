"""Instruments, presets and sounds that are traps: a sentence at once, nothing hangs or grows, nothing is hidden."""

import json
import os
import shutil
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from engine.audio.files import read_audio
from engine.bounded import TooLargeError, parse_json, read_bounded
from engine.errors import InputFileError, InstrumentError, MusicNNError
from engine.instrument import load_instrument, prove, save_instrument
from engine.library import FOLDERS_VARIABLE, instruments, open_first, user_folder
from engine.midi.events import note_off, note_on
from engine.synth import Synth
from engine.tensors import read_tensors
from engine.texts import clean_line, clean_text, is_label, printable, shown
from musicnn_gui.instruments import listed
from musicnn_gui.presets import Preset, presets_folder, read_preset, save_preset, user_presets
from tests.engine.generated import pads_instrument, song_instrument
from tests.mutations import MUTATIONS, joined, mutate, split

FILES = ("instrument.json", "weights.safetensors", "proof.safetensors")
NO_FILES = ("fifo", "socket", "folder", "device", "endless", "link to a fifo", "loop")


@pytest.fixture(scope="module")
def shelf(tiny, tiny_bins, fading, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    for instrument in (tiny, tiny_bins, fading, pads_instrument(), song_instrument()):
        save_instrument(instrument, folder / instrument.name, "A card.\n")
    return folder


@pytest.fixture
def folder(shelf, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(shelf / "tiny", tmp_path / "tiny")


def put(path, kind):
    """Something that is no regular file."""
    path.unlink(missing_ok=True)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "socket":
            here = tempfile.mkdtemp(prefix="s")  # its address must be short
            with socket.socket(socket.AF_UNIX) as end:
                end.bind(f"{here}/s")
            shutil.move(f"{here}/s", path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/null")
        case "endless":
            path.symlink_to("/dev/zero")
        case "link to a fifo":
            os.mkfifo(path.with_name("pipe"))
            path.symlink_to("pipe")
        case "loop":
            path.symlink_to(path.name)


def refused(work, error=InstrumentError):
    begun = time.monotonic()
    with pytest.raises(error) as raised:
        work()
    text = str(raised.value)
    assert text.isprintable()
    assert len(text) < 1100
    assert time.monotonic() - begun < 5
    return text


def describe(folder, place, value):
    path = folder / "instrument.json"
    data = json.loads(path.read_text())
    inner = data
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    path.write_text(json.dumps(data))


# files


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", FILES)
def test_only_regular_files_are_opened(folder, name, kind):
    put(folder / name, kind)
    text = refused(lambda: prove(load_instrument(folder), folder))
    assert name in text


@pytest.mark.parametrize("kind", ["fifo", "folder", "endless"])
def test_a_card_that_is_no_file_is_said_by_the_check(folder, kind):
    put(folder / "card.md", kind)
    assert "card.md" in refused(lambda: prove(load_instrument(folder), folder))


def test_a_link_to_a_file_is_as_good_as_the_file(folder, tmp_path):
    for name in FILES:
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
    assert prove(load_instrument(folder), folder) < -60


def test_no_more_than_the_limit_is_read_of_a_file_that_says_it_is_empty():
    endless = Path("/proc/self/maps")  # a regular file of size 0, as the system says, with much in it
    assert endless.stat().st_size == 0
    with pytest.raises(TooLargeError):
        read_bounded(endless, 100)


def test_a_file_that_grows_while_it_is_read_is_too_large(tmp_path):
    path, stop = tmp_path / "log", threading.Event()
    path.write_bytes(bytes(1000))

    def grow():
        with path.open("ab") as file:
            while not stop.is_set():
                file.write(bytes(1 << 16))
                file.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        end = time.monotonic() + 10
        with pytest.raises(TooLargeError):
            while time.monotonic() < end:
                assert len(read_bounded(path, 1_000_000)) <= 1_000_000
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("size", [2_000_000, 300_000_000, 5_000_000_000])
@pytest.mark.parametrize("name", FILES)
def test_an_enormous_file_is_refused_before_it_is_read(folder, name, size):
    os.truncate(folder / name, size)
    assert name in refused(lambda: prove(load_instrument(folder), folder))


# JSON


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1e999", "[" * 40 + "]" * 40, "[" * 900 + "]" * 900,
             "9" * 5000, str(1 << 63), str(-(1 << 63)), "[" + "0," * 60_000 + "0]", '{"a":' * 50 + "0" + "}" * 50],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_json_that_is_a_trap_is_none(text):
    with pytest.raises(ValueError):
        parse_json(text.encode())


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 62), 1 << 62) | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=10,
))  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_all_other_json_is_read_as_it_is(value):
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "place", [["network", "layers"], ["head", "channels"], ["codec", "hop"], ["keys", 0], ["format"], ["gain_db"],
              ["codec", "first_key"], ["head", "power"]], ids=str,
)  # fmt: skip
def test_true_is_no_number(folder, place):
    describe(folder, place, True)
    refused(lambda: load_instrument(folder))


@pytest.mark.parametrize("which, place, value", [
    ("hits", ["codec", "voicing", "loop"], 1), ("hits", ["codec", "voicing", "iterations"], 2.5),
    ("hits", ["codec", "bands", "hop"], 1),
    ("hits", ["codec", "bands", "top_db"], 90), ("hits", ["codec", "bands", "length"], 1 << 14),
    ("hits", ["head", "pads", 0, "title"], "\x1b[2J"), ("hits", ["head", "pads", 0, "choke"], True),
    ("song", ["codec", "bands", "hop"], 1), ("song", ["codec", "frames"], 8.0),
    ("tiny", ["codec", "length"], 1 << 20), ("bins", ["codec", "length"], 1 << 20),
    ("tiny", ["gain_db"], 59), ("tiny", ["kind"], "x" * 900_000), ("tiny", ["codec", "type"], "\x1b]0;pwned\x07"),
    ("tiny", ["knobs"], ["\x9b31m"]), ("tiny", ["network", "\x1b[2J"], 1),
])  # fmt: skip
def test_sizes_and_levels_beyond_every_sound_are_refused(shelf, tmp_path, which, place, value):
    folder = shutil.copytree(shelf / which, tmp_path / which)
    describe(folder, place, value)
    refused(lambda: load_instrument(folder))


@pytest.mark.parametrize("limit, most", [("MOST_CELLS", 20_000), ("LONGEST_SOUND", 2000)])
def test_pads_that_take_too_long_to_make_are_refused(shelf, monkeypatch, limit, most):
    load_instrument(shelf / "hits")
    monkeypatch.setattr(f"engine.generated_file.{limit}", most)
    refused(lambda: load_instrument(shelf / "hits"))


# texts


@pytest.mark.parametrize("title, shown_as", [
    ("\x1b[31mRED\x1b[0m", "RED"), ("A\ud800B", "A B"), ("x" * 900_000, "x" * 80), ("\x1b]0;pwned\x07Organ", "Organ"),
    ("two\nlines", "two lines"), ("\x07\x00", "tiny"), ("Größe: 音", "Größe: 音"), ("a\u202egnp", "a gnp"),
    ("\x9b31mC1", "31mC1"),
])  # fmt: skip
def test_a_title_is_shown_as_one_clean_line(folder, title, shown_as):
    describe(folder, ["title"], title)
    describe(folder, ["metadata"], {"author\x1b[2J": title[:1000], "deep": [{"text": title[:1000]}], "n": 1.5})
    instrument = load_instrument(folder)
    assert instrument.title == shown_as
    said = json.dumps(instrument.metadata, ensure_ascii=False)
    assert "\x1b" not in said and "\\u001b" not in said and "\ud800" not in said
    assert "author" in instrument.metadata and instrument.metadata["n"] == 1.5


@given(st.text(st.characters()))
@settings(max_examples=100, deadline=None)
def test_what_is_cleaned_can_be_shown(text):
    assert is_label(clean_line(text))
    assert clean_line(clean_line(text)) == clean_line(text)
    assert all(c.isprintable() or c in "\n\t" for c in clean_text(text))
    assert printable(text).isprintable() and shown(text).isprintable()
    clean_text(text).encode(), printable(text).encode(), shown(text).encode()
    assert str(MusicNNError(text)).isprintable()


# names with control characters cannot be made up by a title, only by a folder
@pytest.mark.parametrize("name", [b"\x1b[31mred", b"caf\xe9", b"two\nlines"])
def test_a_folder_whose_name_cannot_be_shown_is_a_problem_that_hides_nothing(shelf, tmp_path, monkeypatch, name):
    shutil.copytree(shelf / "tiny", tmp_path / "zither")
    shutil.copytree(shelf / "tiny", tmp_path / os.fsdecode(name))
    monkeypatch.setenv(FOLDERS_VARIABLE, str(tmp_path))
    entries = instruments()
    (broken,) = (entry for entry in entries if entry.description is None)
    assert "name" in broken.problem and broken.problem.isprintable()
    assert {"zither", "piano"} <= {entry.source for entry in listed([], None)}


# tensors

TYPES = [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.bool, torch.int64, torch.int32, torch.uint8]


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("name", ["network.out.bias", "reference", "carriers.hz"])
def test_other_types_than_floats_are_refused_in_words(folder, name, kind):
    tensors = load_file(folder / "weights.safetensors")
    tensors[name] = torch.zeros(tensors[name].shape).to(kind)
    save_file(tensors, folder / "weights.safetensors")
    text = refused(lambda: load_instrument(folder))
    assert name in text and "type" in text


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_every_float_of_an_ordinary_size_is_read(folder, kind):
    tensors = load_file(folder / "weights.safetensors")
    tensors["network.out.bias"] = tensors["network.out.bias"].to(kind)
    save_file(tensors, folder / "weights.safetensors")
    assert load_instrument(folder).model.network.out.bias.dtype == torch.float32


def test_whole_numbers_are_whole(tmp_path):
    save_file({"space.anchors": torch.tensor([60.0, 62.0])}, tmp_path / "weights.safetensors")
    assert "whole numbers" in refused(lambda: read_tensors(tmp_path / "weights.safetensors"))


def test_partial_numbers_may_be_whole_as_in_the_first_format(folder):
    tensors = load_file(folder / "weights.safetensors")
    tensors["carriers.harmonic"] = tensors["carriers.harmonic"].long()
    save_file(tensors, folder / "weights.safetensors")
    assert load_instrument(folder).model.carriers.harmonic.dtype == np.float64


@pytest.mark.parametrize("name, value", [
    ("reference", 3e38), ("reference", 101.0), ("carriers.hz", 1e300), ("network.out.weight", 3e38),
    ("network.out.weight", -2000.0), ("carriers.harmonic", -1e18),
])  # fmt: skip
def test_magnitudes_beyond_every_sound_are_refused(folder, name, value):
    tensors = load_file(folder / "weights.safetensors")
    tensors[name].view(-1)[0] = value
    save_file(tensors, folder / "weights.safetensors")
    assert name in refused(lambda: load_instrument(folder))


@pytest.mark.parametrize("length", [0, 1, 1_000_001, 1 << 40, (1 << 64) - 1])
def test_a_header_of_any_length_is_refused_or_read(folder, length):
    path = folder / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
    refused(lambda: load_instrument(folder))


header_values = st.one_of(
    st.none(), st.integers(-5, 1 << 70), st.text(max_size=4), st.sampled_from(["F8_E4M3", "I64", "BOOL", "F16", "F64"]),
    st.lists(st.integers(-2, 1 << 62), max_size=4), st.floats(), st.just({}),
)  # fmt: skip


@given(data=st.data(), which=st.sampled_from(["tiny", "bins", "hits", "song"]))
@settings(max_examples=50, deadline=None)
def test_any_field_of_a_header_may_lie(shelf, data, which):
    folder = shelf.parent / "lying" / which
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(shelf / which, folder)
    path = folder / "weights.safetensors"
    header, body = split(path.read_bytes())
    entry = header[data.draw(st.sampled_from(sorted(set(header) - {"__metadata__"})))]
    entry[data.draw(st.sampled_from(["dtype", "shape", "data_offsets"]))] = data.draw(header_values)
    path.write_bytes(joined(header, body))
    try:
        load_instrument(folder)
    except InstrumentError as error:
        assert str(error).isprintable()


@given(seed=st.integers(0, 1 << 40))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_folder_is_refused_or_plays_what_is_sound(shelf, seed):
    folder = shelf.parent / "damaged" / "case"
    shutil.rmtree(folder, ignore_errors=True)
    mutate(seed, [shelf / name for name in ("tiny", "fading", "bins", "hits", "song")], folder)
    try:
        instrument = load_instrument(folder)
    except InstrumentError as error:
        assert str(error).isprintable()
        return
    synth = Synth(instrument)
    synth.schedule([note_on(0, instrument.keys[0], 100), note_off(500, instrument.keys[0])])
    sound = synth.render(2000)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1


def test_every_mutation_changes_a_file(shelf, tmp_path):
    original, done = contents(shelf / "tiny"), set()
    for seed in range(120):
        _, how = mutate(seed, [shelf / "tiny"], tmp_path / str(seed))
        if contents(tmp_path / str(seed)) != original:
            done.add(how)
    assert done == {how.__name__ for how in MUTATIONS} - {"swapped"}  # with itself
    assert contents(shelf / "tiny") == original


def contents(folder):
    """Of the small regular files in a folder."""
    paths = [path for path in folder.iterdir() if not path.is_symlink() and path.is_file()]
    return {path.name: path.read_bytes() for path in paths if path.stat().st_size < 100_000_000}


# the library


@pytest.mark.parametrize("damage", [
    "instrument.json", "weights.safetensors", "no description", "disproved", "fifo", "lonely description"])  # fmt: skip
def test_a_damaged_copy_of_a_shipped_instrument_falls_back_to_the_shipped_one(shelf, monkeypatch, tmp_path, damage):
    shipped = shutil.copytree(shelf / "tiny", tmp_path / "shipped" / "tiny")
    mine = shutil.copytree(shelf / "tiny", user_folder() / "tiny")
    monkeypatch.setattr("engine.library.folders", lambda: [tmp_path / "nowhere", user_folder(), tmp_path / "shipped"])
    match damage:
        case "no description":
            (mine / "instrument.json").unlink()
        case "disproved":
            describe(mine, ["head", "velocity_exponent"], 1.0)
        case "fifo":
            put(mine / "instrument.json", "fifo")
        case "lonely description":
            (mine / "weights.safetensors").unlink()
        case _:
            os.truncate(mine / damage, 40)
    opened = open_first("tiny", proved=True)
    assert opened.folder == shipped
    assert opened.instrument.title == "Tiny"
    assert "instead" in opened.notice and "tiny" in opened.notice and opened.notice.isprintable()
    if damage != "disproved":
        assert open_first("tiny").notice == opened.notice
    assert [entry.source for entry in listed([], None)] == ["tiny"]
    refused(lambda: prove(load_instrument(mine), mine))


def test_where_all_of_a_name_are_damaged_the_first_ones_problem_is_said(shelf, monkeypatch, tmp_path):
    for name in ("one", "two"):
        copy = shutil.copytree(shelf / "tiny", tmp_path / name / "tiny")
        os.truncate(copy / "weights.safetensors", 40)
    monkeypatch.setattr("engine.library.folders", lambda: [tmp_path / "one", tmp_path / "two"])
    assert str(tmp_path / "one") in refused(lambda: open_first("tiny"))


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "../piano/../piano\0", "\x1b[2J", "", "/dev/zero", "/dev/null/x"])
def test_a_name_that_is_none_is_said(name):
    assert "no instrument" in refused(lambda: open_first(name))


# presets


def preset(**changes):
    return {
        "format": 1,
        "instrument": "piano",
        "title": "Mine",
        "author": "",
        "comment": "",
        "knobs": {"tune": 3},
        **changes,
    }


@pytest.mark.parametrize("kind", NO_FILES)
def test_a_preset_that_is_no_file_hides_no_other(kind):
    folder = presets_folder() / "piano"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(json.dumps(preset()))
    put(folder / "b.json", kind)
    (folder / "c.json").write_text(json.dumps(preset(title="Other")))
    refused(lambda: read_preset(folder / "b.json"), InputFileError)
    found, problems = user_presets("piano")
    assert [one.title for one in found] == ["Mine", "Other"]
    assert len(problems) <= 1 and all(text.isprintable() for text in problems)


@pytest.mark.parametrize("text", [
    "[" * 5000, json.dumps(preset(knobs={"tune": float("nan")})), json.dumps(preset(format=True)), "\xff",
    json.dumps(preset(format=0)), json.dumps(preset(knobs={"tune": True})), json.dumps(preset(knobs={"tune": 10**400})),
    json.dumps(preset(title="\x1b[2J")), json.dumps(preset(title=7)), json.dumps(preset(comment="x" * 200_000)),
], ids=lambda text: text[:30])  # fmt: skip
def test_a_preset_that_is_a_trap_is_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text, encoding="latin-1")
    refused(lambda: read_preset(path), InputFileError)


def test_texts_of_a_preset_are_clean(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(preset(title="\x1b[31mA\ud800", author="\x07B", comment="\x1b[2Jso\nso\ud800")))
    read = read_preset(path)
    assert (read.title, read.author, read.comment) == ("A", "B", "so\nso ")
    saved = save_preset(Preset("T", "a\ud800", "c\ud800\nd", {"tune": 1.0}, instrument="piano"))
    assert read_preset(saved.path).comment == "c \nd"


# sounds


@pytest.mark.parametrize("kind", NO_FILES)
def test_a_sound_that_is_no_file_is_said(tmp_path, kind):
    put(tmp_path / "x.wav", kind)
    assert "x.wav" in refused(lambda: read_audio(tmp_path / "x.wav", 44_100), InputFileError)


@pytest.mark.parametrize("rate", [768_001, 0x7FFFFFFF])
def test_a_rate_that_no_sound_has_is_refused(tmp_path, rate):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.ones((100, 2)) * 0.5, 44_100)
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", rate)
    path.write_bytes(data)
    refused(lambda: read_audio(path, 44_100), InputFileError)


def test_a_sound_is_read_in_pieces_as_it_is(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (200_000, 6)).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", sound, 44_100, subtype="FLOAT")
    assert np.array_equal(read_audio(tmp_path / "x.wav", 44_100), sound[:, :2].T)
