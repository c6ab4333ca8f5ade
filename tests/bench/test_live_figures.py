"""Figures of playing live that need no sound server: long, printed, run by name (`make bench`)."""

import os

import numpy as np
import pytest
import torch

from engine.library import open_instrument
from engine.live import LiveEngine
from engine.memory import keep_memory, reserve_memory, rss_mb
from engine.midi.events import note_off, note_on
from engine.midi.files import read_score
from engine.server import RESERVE_MB
from engine.synth import Synth
from musicnn_gui.assets import DEMO
from training.teacher import BLOCK, Teacher

NOTES = 40
TAIL = 22_050


@pytest.fixture(scope="module")
def piano():
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    return open_instrument("piano")


@pytest.fixture(scope="module")
def notes():
    """Notes of random keys, velocities and lengths, and how the teacher plays them, mono."""
    rng, teacher, found = np.random.default_rng(5), Teacher(), []
    for _ in range(NOTES):
        key, velocity = int(rng.integers(21, 109)), int(rng.integers(20, 127))
        release = BLOCK * int(rng.integers(10, 1000))
        sound = np.asarray(teacher.notes([(0, release, key, velocity)], release + TAIL))
        found.append((key, velocity, release, sound.mean(axis=1)))
    return found


def live(piano, key, velocity, release, samples):
    synth = Synth(piano, limiter=False)
    synth.schedule([note_on(0, key, velocity), note_off(release, key)])
    return np.concatenate([synth.render(1024) for _ in range(-(-samples // 1024))])[:samples].mean(axis=1)


def scaled(sound, wanted):
    return sound * (sound @ wanted) / (sound @ sound)


def test_steps_at_releases_against_the_teachers(piano, notes, capsys):
    """The largest difference of neighbouring samples where the future is changed, over the teacher's own largest."""
    ratios = []
    for key, velocity, release, wanted in notes:
        sound = scaled(live(piano, key, velocity, release, len(wanted)), wanted)
        ratios.append(np.abs(np.diff(sound[release : release + 2048])).max() / np.abs(np.diff(wanted)).max())
    with capsys.disabled():
        print(f"steps at releases over the teacher's largest step: median {np.median(ratios):.2f}, "
              f"worst {max(ratios):.2f}")  # fmt: skip


def test_memory_of_an_hour(piano, capsys):
    """The demo again and again through the live engine, as fast as it goes. MUSICNN_HOUR shortens it, in minutes.

    Memory is kept and reserved as the engine's process does it.
    """
    minutes = float(os.environ.get("MUSICNN_HOUR", "60"))
    keep_memory()
    engine = LiveEngine(piano)
    reserve_memory(RESERVE_MB)
    engine.tapping = True
    engine.open_score(read_score(DEMO, piano.sample_rate))
    early = 0.0
    while engine.snapshot.position < minutes * 60 * piano.sample_rate:
        if not engine.snapshot.playing:
            engine.play()
        engine.render(512)
        engine.taps.clear()
        if not early and engine.snapshot.position > 0.1 * minutes * 60 * piano.sample_rate:
            early = rss_mb()
    late = rss_mb()
    with capsys.disabled():
        print(f"memory: {early:.0f} MB after {0.1 * minutes:g} minutes, {late:.0f} MB after {minutes:g} "
              f"({100 * (late / early - 1):+.1f} %)")  # fmt: skip
