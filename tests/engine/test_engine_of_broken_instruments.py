"""The engine's own process, started with broken instruments: it plays what can be played, and says what is wrong."""

import os
import shutil
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.client import EngineClient
from engine.instrument import save_instrument
from engine.library import FOLDERS_VARIABLE
from engine.midi.events import note_off, note_on

PATIENCE = 90.0


@pytest.fixture
def told():
    return []


@pytest.fixture
def client(told):
    client = EngineClient(lambda name, arguments: told.append((name, arguments)))
    yield client
    client.close()


def wait(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_broken_copy_is_passed_over_and_a_note_that_is_no_sound_is_told_once(
    tiny, tmp_path, monkeypatch, client, told
):
    good = tmp_path / "good" / "tiny"
    save_instrument(tiny, good, "")
    tensors = load_file(good / "weights.safetensors")
    tensors["reference"][4] = torch.tensor([95.0, 0.0])  # of key 40: within what is loaded, and far too loud
    save_file(tensors, good / "weights.safetensors")
    description = (good / "instrument.json").read_text()
    (good / "instrument.json").write_text(description.replace('"gain_db": 0.0', '"gain_db": 30.0'))
    broken = shutil.copytree(good, tmp_path / "broken" / "tiny")
    os.truncate(broken / "weights.safetensors", 1000)
    monkeypatch.setenv(FOLDERS_VARIABLE, os.pathsep.join([str(broken.parent), str(good.parent)]))

    def messages():
        return [arguments[0] for name, arguments in told if name == "message"]

    client.start("tiny", {}, "", 256, "")
    wait(lambda: any(name == "instrument" for name, _ in told))
    (info,) = (arguments[0] for name, arguments in told if name == "instrument")
    assert (info.name, info.title) == ("tiny", "Tiny")
    assert sum("instead" in text and str(broken) in text for text in messages()) == 1
    wait(lambda: client.snapshot is not None and client.snapshot.position > 0)
    for count in (1, 2):
        before = client.snapshot.position
        client.play_event(note_on(0, 40, 120))
        client.play_event(note_on(0, 60, 60))
        wait(lambda: client.snapshot.faulty >= count)  # noqa: B023
        client.play_event(note_off(0, 40))
        client.play_event(note_off(0, 60))
        assert client.snapshot.position > before
    wait(lambda: any("silenced" in text for text in messages()))
    time.sleep(0.3)
    assert sum("silenced" in text for text in messages()) == 1
    assert not any("restarted" in name for name, _ in told)
