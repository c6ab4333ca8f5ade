"""The measures, on sounds whose answer is known."""

import json

import numpy as np
import pytest
import soundfile

from musicnn_gui.cli import main
from training.corpus import RATE
from training.evaluate_generated import (
    _frames,
    beat_correlation,
    envelope_figures,
    longest_copy,
    nearest,
    novelty,
    seam_ratio,
)
from training.studies.griffin_lim import study, table


def test_an_envelopes_figures_are_its_times():
    t = np.arange(RATE) / RATE
    sound = np.minimum(t / 0.02, 1) * np.exp(-np.maximum(t - 0.02, 0) / 0.05) * np.sin(2 * np.pi * 2000 * t)
    attack, decay, length = envelope_figures(sound.astype(np.float32))
    assert attack == pytest.approx(0.018, abs=0.005)
    assert decay == pytest.approx(0.05 * np.log(10), abs=0.01)
    assert length == pytest.approx(0.02 + 0.05 * np.log(100), abs=0.015)


def test_a_beat_correlates_and_noise_does_not():
    rng, samples = np.random.default_rng(0), 2 * RATE
    beat = np.zeros(samples, np.float32)
    for step in range(4):
        beat[step * samples // 4 :][:2000] += rng.standard_normal(2000) * np.exp(-np.arange(2000) / 300)
    noise = rng.standard_normal(samples).astype(np.float32)
    assert beat_correlation(beat, samples) > 0.8 > 0.4 > beat_correlation(noise, samples)


def test_copies_are_not_new_and_strangers_are():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((50, 200)).astype(np.float32)
    assert novelty(data[:20] + 1e-3, data)["novelty_share"] == 0
    assert novelty(rng.standard_normal((20, 200)).astype(np.float32) * 3, data)["novelty_share"] == 1
    direct = np.sqrt(np.square(data[:5, None] - data[None]).mean(-1)).min(1)
    assert np.allclose(nearest(data[:5], data), direct, atol=1e-3)


def test_a_copied_stretch_is_found_and_timed():
    rng = np.random.default_rng(0)
    frames = [_frames(piece) for piece in _melodies(rng, 3)]
    song = _frames(_melodies(rng, 1)[0])
    alone = longest_copy(song, frames)
    stolen = song.copy()
    stolen[100:300] = frames[1][207:407]
    assert longest_copy(stolen, frames) == pytest.approx(200 * 512 / RATE, abs=0.15) and alone < 1.0


def _melodies(rng, count):
    t = np.arange(64 * (RATE // 8)) / RATE
    return [
        (np.sin(2 * np.pi * np.repeat(rng.uniform(100, 4000, 64), RATE // 8) * t) * 0.3).astype("f")
        for _ in range(count)
    ]


def test_clicks_at_borders_are_found():
    smooth = np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE).astype(np.float32)
    broken = smooth.copy()
    for start in range(1000, RATE, 2000):
        broken[start : start + 1000] *= -1
    assert seam_ratio(smooth, 1000) == pytest.approx(1, abs=0.1) and seam_ratio(broken, 1000) > 10


def test_the_study_tells_methods_apart(tmp_path, capsys):
    rng = np.random.default_rng(0)
    t = np.arange(RATE // 2) / RATE
    sound = np.sin(2 * np.pi * 300 * t) * np.exp(-3 * t) + 0.1 * rng.standard_normal(len(t)) * np.exp(-9 * t)
    soundfile.write(tmp_path / "a.wav", 0.5 * sound, RATE)
    rows = study(tmp_path / "a.wav", lambda _: None, lengths=(256, 1024), iterations=(0, 4, 8))
    assert len(rows) == 2 * 3 * 3 and len(table(rows)) == 20
    best = {(row.length, row.method, row.iterations): row.convergence_db for row in rows}
    for length in (256, 1024):
        assert best[length, "pghi+fast", 0] < best[length, "griffin-lim", 0] - 5
        assert best[length, "griffin-lim", 8] < best[length, "griffin-lim", 4]
    (tmp_path / "text.wav").write_text("no sound")
    assert main(["study", "griffin-lim", str(tmp_path / "text.wav"), "--json"]) == 1
    assert "no audio file" in capsys.readouterr().err


def test_the_study_draws_its_picture(tmp_path, capsys, monkeypatch):
    from training.studies import griffin_lim

    monkeypatch.setattr(griffin_lim.study, "__kwdefaults__", {"lengths": (256, 512), "iterations": (0, 2, 4)})
    soundfile.write(tmp_path / "a.wav", 0.3 * np.sin(np.arange(RATE // 4) / 20), RATE)
    picture = tmp_path / "a.png"
    assert main(["study", "griffin-lim", str(tmp_path / "a.wav"), "--json", "--picture", str(picture)]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 18 and picture.stat().st_size > 5000
