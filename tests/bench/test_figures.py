"""Figures of the shipped piano: long, printed, run by name (`make bench`). Nothing here is timed against a limit."""

import os
import subprocess
import sys
from statistics import median

import numpy as np
import pytest
import torch

from engine.benchmark import bench_voices
from engine.library import open_instrument
from engine.live import LiveEngine
from engine.midi.files import read_score
from engine.render import RenderOptions, render_array
from musicnn_gui.assets import DEMO

STARTS = 5
BLOCKS = (64, 256, 1024)


@pytest.fixture(scope="module")
def piano():
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    return open_instrument("piano")


def test_live_equals_offline(piano, capsys):
    """The demo's first 30 s through the live engine, looking ahead in between, against the offline rendering."""
    score = read_score(DEMO, piano.sample_rate)
    samples = 30 * piano.sample_rate
    offline = render_array(score, piano, RenderOptions({}))
    for block in BLOCKS:
        engine = LiveEngine(piano)
        engine.open_score(score)
        engine.play()
        parts = []
        for _ in range(samples // block + 1):
            parts.append(engine.render(block))
            engine.look_ahead()
        live = np.concatenate(parts)[:samples]
        delay = engine._synth.delay
        difference = np.abs(live[delay:] - offline[: samples - delay])
        with capsys.disabled():
            print(f"live against offline, blocks of {block}: largest difference {difference.max():.1e} of full scale")


def test_cost_of_voices(piano, capsys):
    with capsys.disabled():
        for row in bench_voices(piano):
            print(row)


def test_cold_start(capsys):
    """From the process's start to the first key that can be played, window open, demo loaded."""
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    times = []
    for _ in range(STARTS):
        command = [sys.executable, "-m", "musicnn_gui.cli", "play", "--quit-when-ready"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        times.append(float(done.stdout.split()[2]))
    with capsys.disabled():
        print(f"ready after {median(times):.1f} s (median of {STARTS}, worst {max(times):.1f} s)")
