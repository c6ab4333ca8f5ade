"""A real WAV of 4.6 GB, written and read: pytest -s --override-ini addopts= tests/bench/test_large_files.py"""

import shutil

import numpy as np
import pytest
import soundfile

from engine.audio.files import AudioWriter

RATE, HOURS = 44_100, 4.83
BLOCK = 1 << 20
SPARE = 500_000_000


def test_hours_are_written_as_rf64_and_read_back(tmp_path):
    frames = round(HOURS * 3600 * RATE)
    free = shutil.disk_usage(tmp_path).free
    if free < frames * 6 + SPARE:
        pytest.skip(f"{frames * 6 / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free")
    path = tmp_path / "hours.wav"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (BLOCK, 2)).astype(np.float32)
    left = frames
    with AudioWriter(path, RATE, frames=frames) as writer:
        while left:
            writer.write(noise[: min(left, BLOCK)])
            left -= min(left, BLOCK)
    try:
        info = soundfile.info(path)
        print(f"\n{path.stat().st_size / 1e9:.2f} GB, {info.format}, {info.frames} of {frames} samples")
        assert info.format == "RF64" and info.frames == frames
        for start in (0, frames // 2 // BLOCK * BLOCK, (frames - 1) // BLOCK * BLOCK):
            read, _ = soundfile.read(path, min(BLOCK, frames - start), start, dtype="float32")
            assert np.abs(read - noise[: len(read)]).max() < 2**-22
    finally:
        path.unlink()
