"""`musicnn bench live`, short, on a real server: what it measures must be there; how fast it is depends on the day."""

import json
import shutil
import subprocess
import sys

import pytest


@pytest.mark.skipif(shutil.which("jackd") is None, reason="jackd is not installed")
def test_the_short_measurement_runs_and_hears_the_notes():
    command = [sys.executable, "-m", "musicnn_gui.cli", "bench", "live", "--short", "--json", "--block", "512",
               "--part", "latency", "--part", "memory"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    latency = rows["latency"]
    assert latency["missing"] < latency["n"] / 2
    assert 10 < latency["median_ms"] < 100  # a block of 512 alone is 10.7 ms
    assert latency["program_says_ms"] > 10
    assert latency["jitter_from_period_ms"] < latency["jitter_ms"]
    assert latency["machine_stalls"] >= 0
    assert 100 < rows["memory"]["ready_mb"] < 2000


def test_an_unknown_measurement_is_one_sentence():
    command = [sys.executable, "-m", "musicnn_gui.cli", "bench", "live", "--part", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "nonsense" in done.stderr
    assert "Traceback" not in done.stderr
