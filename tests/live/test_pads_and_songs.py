"""Pads and a song through the real engine process on a real sound server, played by MIDI and heard.

Figures of the shipped instruments: MUSICNN_PADS=drums MUSICNN_SONG=song MUSICNN_SONG_SECONDS=60 pytest -s on this file.
"""

import os
import time

import numpy as np
import pytest

from engine.client import EngineClient
from engine.instrument import save_instrument
from tests.engine.generators import RATE as ENGINE_RATE
from tests.live.conftest import PERIOD, RATE, Player

NOTE_ON, NOTE_OFF = 0x90, 0x80
KEY = 36
PATIENCE = 90.0
DECODE_SECONDS = 0.1
SONG_SECONDS = float(os.environ.get("MUSICNN_SONG_SECONDS", "6"))


class Engine(EngineClient):
    """The engine's process, without a window."""

    def __init__(self):
        self.told = []
        super().__init__(lambda name, arguments: self.told.append((name, arguments)))

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"{what} did not happen; told: {self.told}"
            time.sleep(0.02)

    def last(self, name):
        return next((arguments for told, arguments in reversed(self.told) if told == name), None)


class HittingPlayer(Player):
    def hit(self, seconds):
        """Hit the pad; its sound from the message on. Where others take the processor, a hit may get lost."""
        for _ in range(5):
            heard = self.record(seconds, (NOTE_ON, KEY, 127)).mean(axis=1)
            self.send(NOTE_OFF, KEY, 0)
            if heard.any():
                return heard
            self.record(seconds)  # what was played before ends
        raise AssertionError("no hit was heard")


@pytest.fixture
def play(jack_server, monkeypatch, tmp_path):
    """Start an engine with an instrument, and a player that is plugged into it."""
    monkeypatch.setenv("JACK_DEFAULT_SERVER", jack_server)
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    running = []

    def start(make, shipped):
        if not shipped:
            save_instrument(make(), tmp_path / "instrument", "A card.")
        engine = Engine()
        running.append(engine.close)
        engine.start(shipped or str(tmp_path / "instrument"), {}, "", PERIOD, "")
        engine.wait(lambda: engine.meters is not None and engine.meters.running, "sound")
        player = HittingPlayer(jack_server)
        running.append(player.close)
        player.connect()
        return engine, player

    yield start
    for end in reversed(running):
        end()


def onset(sound):
    return int(np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())[0])


def spectrum(sound):
    """Magnitudes of the first tenth of a second, in third-octaves or so: lags and phases do not matter."""
    part = np.pad(sound[onset(sound) :][: RATE // 10], (0, RATE // 10))[: RATE // 10]
    power = np.abs(np.fft.rfft(part * np.hanning(2 * len(part))[len(part) :])) ** 2
    bands = np.add.reduceat(power, np.unique(np.geomspace(4, len(power) - 1, 40).astype(int)))
    return np.log10(bands + 1e-6 * bands.max())


def distance(a, b):
    return float(np.abs(spectrum(a) - spectrum(b)).mean())


def test_pads_are_hit_and_follow_their_sliders(play):
    from tests.engine.generated import pads_instrument

    engine, player = play(pads_instrument, os.environ.get("MUSICNN_PADS"))
    info = engine.last("instrument")[0]
    assert info.kind == "pads" and info.codec is None and info.pads
    engine.turn("vary", 0.0)
    time.sleep(2.0)  # all pads are decoded again
    delays, heard = [], []
    for _ in range(8):
        sound = player.hit(0.3)
        delays.append(1000 * onset(sound) / RATE)
        heard.append(sound)
        time.sleep(0.05)
    assert np.abs(heard[0]).max() > 1e-3
    print(f"\nhit to sound, ms: median {np.median(delays):.1f}, worst {max(delays):.1f}; said {engine.latency_ms:.1f}")
    assert np.median(delays) < engine.latency_ms + 2 * 1000 * PERIOD / RATE
    values, ready, changed = (5.0, -5.0, 4.0, -4.0, 5.0, -5.0), 0, 0
    for value in values:
        late = engine.snapshot.late
        engine.turn("slider1", value)
        time.sleep(DECODE_SECONDS)
        heard.append(player.hit(0.5))
        changed += distance(heard[-2], heard[-1]) > 0.05
        ready += engine.snapshot.late == late  # else it has played what it had
    print(f"heard {1000 * DECODE_SECONDS:.0f} ms after the slider was turned: {ready} of {len(values)}")
    assert changed >= len(values) // 2 and ready >= len(values) // 2  # others may use the processor
    print(f"xruns {engine.meters.xruns}")


def test_a_song_goes_on_and_listens(play, tmp_path):
    import soundfile

    from tests.engine.generated import song_instrument

    engine, player = play(song_instrument, os.environ.get("MUSICNN_SONG"))
    info = engine.last("instrument")[0]
    assert info.kind == "song" and info.pads
    time.sleep(2.0)
    key = info.keys[0]
    before = engine.meters.xruns
    sound = player.record(SONG_SECONDS, (NOTE_ON, key, 127)).mean(axis=1)
    pieces = sound[RATE // 2 :][: len(sound) // RATE * RATE - RATE]
    levels = np.sqrt((pieces[: len(pieces) // 12_000 * 12_000].reshape(-1, 12_000) ** 2).mean(axis=1))
    xruns, late = engine.meters.xruns - before, engine.snapshot.late
    print(f"\nsong of {SONG_SECONDS:.0f} s: xruns {xruns}, pauses {late}, load {engine.meters}")
    assert levels.min() > 1e-4
    assert late == 0
    player.record(1.0, (NOTE_OFF, key, 0))
    assert np.abs(player.record(0.3)).max() < 1e-4
    path = tmp_path / "mine.wav"
    rng = np.random.default_rng(0)
    soundfile.write(path, 0.1 * rng.standard_normal(8 * ENGINE_RATE), ENGINE_RATE)
    engine.listen(path)
    engine.wait(lambda: engine.last("knobs") is not None, "listening")
    again = player.record(1.5, (NOTE_ON, info.keys[-1] + 1, 127))
    assert np.abs(again).max() > 1e-3
    engine.listen(tmp_path / "nothing.wav")
    engine.wait(lambda: "no such file" in str(engine.last("message")), "a sentence")
    engine.load_part(3, str(engine.last("instrument")[0].source))
    engine.wait(lambda: engine.last("part") is not None, "a part")
    assert engine.last("part")[0] == 3 and engine.last("part")[1].kind == "song"
    engine.load_part(9, "piano")
    engine.wait(lambda: "channel 10 has drums" in str(engine.last("message")).lower(), "a refusal")
