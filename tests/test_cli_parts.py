"""`--part` on the command line, and parts of an export in a process of its own."""

import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.audio.files import read_audio
from engine.errors import InputFileError
from engine.exporting import Export
from engine.instrument import load_instrument, save_instrument
from engine.midi.events import note_off, note_on
from engine.midi.files import Score
from musicnn_gui.cli import main
from tests.engine.generated import pads_instrument, song_instrument
from tests.scores import write_midi

RATE = 44_100


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    save_instrument(pads_instrument(), folder / "hits", "A card.")
    save_instrument(song_instrument(), folder / "endless", "A card.")
    return folder


@pytest.fixture
def midi(tmp_path):
    """A note on channel 1 and a kick on channel 10."""
    return write_midi(tmp_path / "drums.mid", ((36, 100, 0.0, 0.5), (36, 127, 0.0, 0.25, 9)))


def test_a_rendering_has_other_instruments_on_channels(shelf, midi, tmp_path, capsys):
    heard = []
    for name, words in (("alone", []), ("both", ["--part", f"10={shelf / 'hits'}"])):
        path = tmp_path / f"{name}.wav"
        fixed = ["render", str(midi), str(path), "--instrument", str(shelf / "endless"), "--knob", "volume=-40"]
        assert main([*fixed, *words]) == 0, capsys.readouterr().err
        heard.append(soundfile.read(path)[0][:2000])
    assert np.abs(heard[0]).max() > 1e-4
    assert np.abs(heard[1] - heard[0]).max() > 1e-2


@pytest.mark.parametrize(
    ("part", "says"),
    [("10", "needs a channel"), ("17=x", "1..16"), ("0=x", "1..16"), ("x=y", "channel"), ("2=nobody", "no instrument"),
     ("10={shelf}/endless", "channel 10 has drums")],
)  # fmt: skip
def test_a_wrong_part_is_said(part, says, shelf, midi, tmp_path, capsys):
    words = ["render", str(midi), str(tmp_path / "x.wav"), "--instrument", str(shelf / "endless")]
    assert main([*words, "--part", part.format(shelf=shelf)]) == 1
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_an_export_passes_parts_on(shelf, tmp_path):
    path, ended, problems = tmp_path / "out.wav", threading.Event(), []
    score = Score((note_on(2000, 36, 127, 9), note_off(9000, 36, 9)), 9000, RATE)

    def end(problem):
        problems.append(problem)
        ended.set()

    parts = {9: (str(shelf / "hits"), {"vary": 0.0, "volume": -20.0})}
    Export(score, str(shelf / "endless"), path, {}, lambda done: None, end, parts)
    assert ended.wait(60) and problems == [None]
    model = load_instrument(shelf / "hits").model
    peak = min(4.0, np.abs(model.sound(model.pads[0].centre)).max()) * (100 / 127) ** 2  # of the channel
    assert np.abs(soundfile.read(path)[0]).max() == pytest.approx(0.1 * peak, rel=0.05)


@pytest.mark.parametrize(
    ("suffix", "rate", "channels"), [(".wav", 44_100, 1), (".flac", 22_050, 2), (".ogg", 48_000, 3)]
)
def test_sound_files_are_read_at_the_engines_rate(suffix, rate, channels, tmp_path):
    path = tmp_path / f"tone{suffix}"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    soundfile.write(path, np.tile(tone[:, None], channels), rate)
    sound = read_audio(path, RATE)
    assert sound.shape[0] == 2 and abs(sound.shape[1] - RATE) < 3
    for side in sound:
        assert np.abs(np.fft.rfft(side)).argmax() == pytest.approx(440, abs=1)
        assert np.abs(side[1000:-1000]).max() == pytest.approx(0.5, abs=0.05)


def test_what_is_no_sound_is_said_in_a_sentence(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(1000), RATE)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    (tmp_path / "text.mp3").write_text("no sound at all")
    for name, says in (("silent.wav", "no sound in it"), ("empty.wav", "no sound in it"), ("text.mp3", "no sound file"),
                       ("nothing.wav", "no such file"), (".", "it is a folder")):  # fmt: skip
        with pytest.raises(InputFileError, match=says):
            read_audio(Path(tmp_path / name), RATE)
