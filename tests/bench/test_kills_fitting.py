"""Fitting killed by SIGKILL at random: pytest -s --override-ini addopts= tests/bench/test_kills_fitting.py

A checkpoint is due every second here instead of every minute. What is lost is the time between the last step before
the kill and the step that the next run goes on from.
"""

import random
import subprocess
import sys
import time

KILLS, INTERVAL = 20, 1.0
SLACK = 1.5  # seconds: a step and the writing of a checkpoint on a busy machine
FITTING = """
import sys, time
from pathlib import Path
from tests.training.test_fit import LineTask
from training.fit import FitConfig, fit

class Told(LineTask):
    def loss(self, rng, step):
        print("step", step, time.monotonic(), flush=True)
        time.sleep(0.002)
        return super().loss(rng, step)

fit(Told(), Path(sys.argv[1]), FitConfig(steps=10**7, checkpoint_seconds=float(sys.argv[2])),
    lambda text: print(text, flush=True))
"""


def killed_after(folder, seconds):
    """Moments by step, and the step that the run went on from."""
    command = [sys.executable, "-c", FITTING, folder, str(INTERVAL)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        time.sleep(seconds)
        process.kill()
        lines = [first, *process.stdout]
    resumed = [int(line.split("step ")[1].split(",")[0]) for line in lines if line.startswith("resuming")]
    rows = [line.split() for line in lines if line.startswith("step ") and line.endswith("\n")]
    return {int(row[1]): float(row[2]) for row in rows if len(row) == 3}, resumed[0] if resumed else 0


def test_at_most_one_checkpoint_is_lost(tmp_path):
    rng = random.Random(0)
    before, lost = {}, []
    for number in range(KILLS + 1):
        moments, resumed = killed_after(tmp_path / "run", rng.uniform(0.2, 4 * INTERVAL))
        if before:
            last, kept = max(before), min(before) if resumed <= min(before) else resumed
            assert resumed >= min(before)
            lost.append(before[last] - before.get(kept, before[last]))
            print(f"kill {number}: at step {last}, went on from {resumed}, {lost[-1]:.2f} s lost")
        before = moments or before
    print(f"at most {max(lost):.2f} s lost of {len(lost)} kills, a checkpoint each {INTERVAL} s")
    assert len(lost) >= KILLS - 2 and max(lost) <= INTERVAL + SLACK
