"""Small real models of pads and songs: their latents are heard, and they can listen."""

import numpy as np

from engine.errors import InstrumentError
from engine.instrument import Instrument
from engine.knobs import HITS, LOOPS, PADS, SONG
from engine.voices.generated import Pad

RATE = 44_100
SPREAD = np.array([0.1, 0.3, 0.2], np.float32)


def pad(title, octave, decay, choke=0, beats=0.0):
    return Pad(title, np.array([octave, decay, 0], np.float32), SPREAD, choke, beats)


class Drums:
    """Damped tones with a little noise: axis 0 is their pitch in octaves over 200 Hz, axis 1 how fast they decay."""

    axes, bpm = 3, 0.0
    pads = (pad("Kick", -1, 0), pad("Snare", 0, 0.5), pad("Closed hat", 3, 2, 1), pad("Open hat", 3, 0, 1),
            pad("Tom", 0.5, 0))  # fmt: skip

    def __init__(self):
        self.made = []

    def sound(self, latent, seed=0):
        self.made.append((tuple(latent), seed))
        seconds = np.arange(round(0.5 * RATE)) / RATE
        tone = np.cos(2 * np.pi * 200 * 2.0 ** latent[0] * seconds)
        noise = np.random.default_rng(seed).standard_normal(len(seconds))
        sound = (0.5 * tone + 0.01 * noise) * np.exp(-seconds * 20 * 2.0 ** (0.5 * latent[1]))
        return np.tile(sound.astype(np.float32), (2, 1))

    def encode(self, sound):
        if sound.shape[1] < 4096:
            raise InstrumentError("the sound is too short for these drums")
        mono = sound.mean(axis=0)[:20_000]
        hz = np.abs(np.fft.rfft(mono, 1 << 17)).argmax() * RATE / (1 << 17)
        levels = [np.sqrt((mono[i : i + 1024] ** 2).mean()) for i in (0, 2048)]
        decay = np.log(levels[0] / levels[1]) * RATE / 2048
        return np.array([np.log2(hz / 200), 2 * np.log2(decay / 20), 0], np.float32)


class Beats(Drums):
    """A bar of clicks that ring: four beats at 120 a minute, the first one lower."""

    bpm = 120.0
    pads = (pad("Loop", 0, 0, beats=4), pad("Other loop", 1, 0, beats=4))

    def sound(self, latent, seed=0):
        hit = Drums.sound(self, latent, seed)[:, : RATE // 2]
        fade = np.minimum(1, np.arange(RATE // 2)[::-1] / 2000)
        low = Drums.sound(self, latent - np.array([1, 0, 0], np.float32), seed)[:, : RATE // 2]
        return np.concatenate([low * fade, hit * fade, hit * fade, hit * fade], axis=1).astype(np.float32)


class Endless:
    """A tone for each seed, whose noise is the temperature; the player's own sound tells its level."""

    block, seeds = 3000, ("low", "high")

    def begin(self, seed):
        if isinstance(seed, int):
            return 220.0 * 2**seed, 0
        if seed.shape[1] < 1000:
            raise InstrumentError("the sound is too short to be continued")
        spectrum = np.abs(np.fft.rfft(seed[0]))
        return float(spectrum.argmax() * RATE / seed.shape[1]), 0

    def next(self, state, temperature, rng):
        hz, start = state
        tone = 0.3 * np.sin(2 * np.pi * hz * (start + np.arange(self.block)) / RATE)
        noise = 0.05 * temperature * rng.standard_normal(self.block)
        return np.tile((tone + noise).astype(np.float32), (2, 1)), (hz, start + self.block)


def drums():
    return Instrument("drums", "pads", "Drums", RATE, 0.0, range(36, 41), (*PADS[:3], *PADS[40:], *HITS), Drums(), {})


def loops():
    knobs = (*PADS[:3], *PADS[40:], *HITS, *LOOPS)
    return Instrument("loops", "pads", "Loops", RATE, 0.0, range(60, 62), knobs, Beats(), {})


def song():
    return Instrument("song", "song", "Song", RATE, 0.0, range(60, 62), SONG, Endless(), {})
