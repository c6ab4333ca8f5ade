import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.grid import interpolation
from tests.training.conftest import RATE, SMALL
from training.analysis import EnvelopeFit
from training.metrics import null_snr_db
from training.notes import BORDERS, GRID, POWER, _cached, make_notes, mid_side, plan_key, trim, velocity_exponent
from training.teacher import BLOCK, SOUNDFONT_VARIABLE, Teacher, TeacherError


def files(cache):
    return sorted(cache.glob("notes-*/*.safetensors"))


def same(one, other):
    """Whether two sets of keys hold identical numbers."""
    return len(one) == len(other) and all(
        np.array_equal(a.hz, b.hz)
        and np.array_equal(a.harmonic, b.harmonic)
        and np.array_equal(a.reference, b.reference)
        and [(n.velocity, n.release, n.border) for n in a.notes] == [(n.velocity, n.release, n.border) for n in b.notes]
        and all(torch.equal(x.target, y.target) for x, y in zip(a.notes, b.notes, strict=True))
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("key", [21, 60, 108])
def test_a_plan_has_one_velocity_from_each_part_of_the_range(key):
    plan = plan_key(SMALL, key)
    velocities = sorted(velocity for velocity, _ in plan)
    width = 127 / len(plan)
    for index, velocity in enumerate(velocities):
        assert index * width + 1 <= velocity + 1e-9 < (index + 1) * width + 1
    assert all(isinstance(velocity, int) and 1 <= velocity <= 127 for velocity in velocities)


def test_a_plan_holds_a_note_long_and_lets_one_go_at_every_border():
    plan = plan_key(SMALL, 60)
    releases = [release for _, release in plan]
    assert releases[0] == pytest.approx(SMALL.longest_seconds * RATE, abs=BLOCK)
    assert all(release % BLOCK == 0 and release >= BLOCK for release in releases)
    assert [release // SMALL.hop for release in releases[1 : len(BORDERS) + 1]] == list(BORDERS)


def test_a_plan_is_the_same_every_time_and_another_for_every_key_and_seed():
    plans = [plan_key(SMALL, 60), plan_key(SMALL, 61), plan_key(replace(SMALL, seed=1), 60)]
    assert plans[0] == plan_key(SMALL, 60)
    assert plans[0] != plans[1] and plans[0] != plans[2]


@pytest.mark.parametrize(
    "change", [{"program": 1}, {"seed": 1}, {"carriers": 25}, {"noise": 9}, {"longest_seconds": 1.5}]
)
def test_other_settings_have_a_cache_of_their_own(change):
    assert replace(SMALL, **change).digest() != SMALL.digest()


def test_every_key_is_made_with_every_note_of_its_plan(small_notes):
    data, _ = small_notes
    assert [key.key for key in data] == [60, 61]
    for key in data:
        assert [(note.velocity, note.release) for note in key.notes] == plan_key(SMALL, key.key)
        for note in key.notes:
            assert note.target.dtype == torch.float16
            assert note.target.shape[1:] == (2, SMALL.carriers, 2)
            assert note.border == note.release // SMALL.hop
            assert bool(note.target.isfinite().all())
            assert note.noise.shape == (len(note.target), 2, SMALL.noise) and bool((note.noise >= 0).all())


def test_the_velocity_exponent_tells_how_loud_the_teacher_is(small_notes, teacher):
    _, exponent = small_notes
    assert exponent == velocity_exponent(SMALL, teacher)
    levels = [np.sqrt(np.mean(teacher.notes([(0, 300 * BLOCK, 60, v)], 300 * BLOCK) ** 2)) for v in (40, 110)]
    assert levels[0] / levels[1] == pytest.approx((40 / 110) ** exponent, rel=0.15)


def test_the_targets_are_the_teachers_sound(small_notes, teacher):
    """Undone by hand: expanded, put on the carriers, at the note's velocity; 24 carriers null at some 17 dB."""
    data, exponent = small_notes
    key, note = data[0], data[0].notes[4]
    compressed = torch.view_as_complex(note.target.float())
    values = compressed * compressed.abs().clamp(min=1e-9) ** (1 / POWER - 1)
    knots = GRID.until(4 * len(values), note.border)[: len(values)]
    lines = torch.from_numpy(interpolation(knots, 0, int(knots[-1]))).to(values.dtype)
    envelopes = torch.einsum("fk,kcp->cfp", lines, values)
    wanted = mid_side(teacher.notes([(0, note.release, key.key, note.velocity)], note.release + 10_000))
    sound = EnvelopeFit(SMALL.synthesis, key.hz, key.harmonic).synthesise(envelopes, wanted.shape[1]).numpy()
    sound *= (note.velocity / 127) ** exponent
    assert null_snr_db(sound[0], wanted[0]) > 12
    assert key.null_db > 12


def test_the_cache_is_small(small_notes, cache):
    assert len(files(cache)) == 2
    assert sum(path.stat().st_size for path in files(cache)) < 2 * 600_000


def test_a_second_call_reads_the_cache_and_finds_the_same(small_notes, own_cache):
    before = [(path, path.stat().st_mtime_ns) for path in files(own_cache)]
    said = []
    data, exponent = make_notes(SMALL, own_cache, said.append)
    assert said == []
    assert [(path, path.stat().st_mtime_ns) for path in files(own_cache)] == before
    assert exponent == small_notes[1]
    assert same(data, small_notes[0])


def test_what_the_cache_says_is_believed(small_notes, own_cache):
    """That it is read indeed, and not made again in silence."""
    path = files(own_cache)[0]
    tensors = load_file(path)
    tensors["null_db"] = torch.tensor(99.0)
    save_file(tensors, path)
    assert make_notes(SMALL, own_cache, lambda text: None)[0][0].null_db == 99


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def scribble(path):
    path.write_text("This is no data.")


def empty(path):
    path.write_bytes(b"")


def leave_out(path):
    tensors = load_file(path)
    del tensors["reference"]
    save_file(tensors, path)


@pytest.mark.parametrize("damage", [truncate, scribble, empty, leave_out, os.unlink])
def test_a_damaged_file_is_seen(small_notes, own_cache, damage):
    path = files(own_cache)[0]
    assert _cached(SMALL, 60, path) is not None
    damage(path)
    assert _cached(SMALL, 60, path) is None


def test_a_damaged_file_is_made_again_and_the_others_are_left_alone(small_notes, own_cache):
    first, second = files(own_cache)
    kept = second.stat().st_mtime_ns
    truncate(first)
    said = []
    assert same(make_notes(SMALL, own_cache, said.append)[0], small_notes[0])
    assert "1 keys" in said[0]
    assert second.stat().st_mtime_ns == kept
    assert not list(own_cache.rglob("*.part"))


def test_without_its_soundfont_nothing_is_made(monkeypatch, tmp_path):
    monkeypatch.setenv(SOUNDFONT_VARIABLE, str(tmp_path / "none.sf2"))
    with pytest.raises(TeacherError):
        make_notes(SMALL, tmp_path / "cache", lambda text: None)


def test_mid_and_side_are_half_of_sum_and_difference(rng):
    sound = rng.normal(size=(100, 2)).astype(np.float32)
    mid, side = mid_side(sound)
    assert np.allclose(mid + side, sound[:, 0], atol=1e-6)
    assert np.allclose(mid - side, sound[:, 1], atol=1e-6)


def test_trimming_keeps_what_can_be_heard():
    t = np.arange(5 * RATE) / RATE
    sound = np.stack([np.exp(-8 * t) * np.sin(2 * np.pi * 300 * t)] * 2).astype(np.float32)
    short = trim(sound)
    gone = np.abs(sound[:, short.shape[1] :]).max()
    assert short.shape[1] < 2 * RATE
    assert np.array_equal(short, sound[:, : short.shape[1]])
    assert gone < 10 ** (-75 / 20)
    assert trim(sound[:, : RATE // 2]).shape[1] == RATE // 2


def test_another_sample_rate_keeps_the_keys_in_tune():
    with Teacher(0, sample_rate=22_050) as teacher:
        config = replace(SMALL, sample_rate=22_050)
        assert velocity_exponent(config, teacher) == pytest.approx(2, abs=0.3)
