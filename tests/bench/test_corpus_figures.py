"""Folders of the sizes that users have: long, printed, run by name (`make bench`). Nothing here is timed."""

import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from training.corpus import RATE, read_corpus

FILES, HOURS = 10_000, 3
ALONE = """
import resource, sys
from pathlib import Path
from training.corpus import read_corpus
from training.pictures import hits
corpus = read_corpus(Path(sys.argv[1]), Path(sys.argv[2]), lambda text: None, least=1)
count = sum(1 for _ in hits(corpus, 44100))
print(corpus.seconds / 3600, count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def test_ten_thousand_short_files(tmp_path, capsys):
    (tmp_path / "audio").mkdir()
    rng = np.random.default_rng(0)
    for number in range(FILES):
        soundfile.write(tmp_path / f"audio/{number}.wav", 0.1 * rng.standard_normal(RATE // 10), RATE)
    for what in ("decoded", "read again"):
        began = time.perf_counter()
        corpus = read_corpus(tmp_path / "audio", tmp_path / "cache", lambda text: None)
        with capsys.disabled():
            print(f"{len(corpus.items)} files {what} in {time.perf_counter() - began:.0f} s")
    assert len(corpus.items) == FILES


def test_three_hours(tmp_path, capsys):
    """A file of three hours, decoded and cut into hits: the memory that its process takes is printed."""
    (tmp_path / "audio").mkdir()
    rng = np.random.default_rng(0)
    minute = 0.1 * rng.standard_normal((60 * RATE, 2))
    with soundfile.SoundFile(tmp_path / "audio/long.wav", "w", RATE, 2) as file:
        for _ in range(HOURS * 60):
            file.write(minute)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path / "audio"), str(tmp_path / "cache")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    hours, count, megabytes = map(float, done.stdout.split())
    assert hours == pytest.approx(HOURS)
    took = time.perf_counter() - began
    with capsys.disabled():
        print(f"{hours:g} hours, {count:.0f} hits, in {took:.0f} s, {megabytes:.0f} MB at most in its process")
