import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.errors import InstrumentError, MusicNNError
from engine.grid import interpolation
from engine.instrument import load_instrument, prove, save_instrument
from engine.knobs import LATENT
from engine.library import open_instrument
from engine.midi.events import note_on
from engine.midi.files import Score
from engine.motion import NUMBERS
from engine.networks.heads import compress, expand
from engine.units import cents_between, key_to_hz
from tests.training.conftest import CPU, steps
from training.analysis import EnvelopeFit, Tuning
from training.evaluate import render_start
from training.evaluate_space import TOUR_KEYS, evaluate_axes, evaluate_points, evaluate_timbres, tour
from training.fit import FitError, choose_precision, fits_in_bfloat16
from training.metrics import pitch_cents
from training.notes import GRID, POWER, RISE
from training.recipes.morph import SPREAD, MorphConfig, MorphTask, first_points
from training.teacher import BLOCK, Teacher
from training.timbres import BORDERS, TimbresConfig, fill_silent, lay_slots, make_timbres, plan

TIMBRES = TimbresConfig(
    programs={"piano": 0, "flute": 73}, first_key=60, last_key=72, step=12, partials=12, halves=2, body=4, noise=8,
    longest_seconds=1.0, release_seconds=0.3,
)  # fmt: skip


SIZES = {"front": 16, "hidden": 8, "batch": 8, "dims": 3, "crop": 64, "noise_bands": 8}


@pytest.fixture(scope="module")
def timbre_keys(cache):
    return make_timbres(TIMBRES, cache, lambda text: None, workers=1)


def make_task(timbre_keys):
    torch.manual_seed(0)
    return MorphTask(MorphConfig(timbres=TIMBRES, **SIZES), timbre_keys, CPU)


@pytest.fixture(scope="module")
def learned(timbre_keys):
    """A task after some steps."""
    task = make_task(timbre_keys)
    steps(task, 60)
    task.model.eval()
    return task


@pytest.fixture(scope="module")
def instrument(learned, tmp_path_factory):
    task = learned
    folder = tmp_path_factory.mktemp("morph") / "two"
    metadata = {"training": {"program": -1, "config": task.config.to_json()}}
    save_instrument(task.instrument("two", "Two", metadata), folder, "A card.")
    assert prove(load_instrument(folder), folder) < -100
    return load_instrument(folder)


@pytest.mark.parametrize("key", range(36, 97, 6))
def test_the_common_layout_keeps_body_carriers_apart(key):
    config = TimbresConfig()
    hz = lay_slots(config, Tuning(key_to_hz(key), 0.0), key)
    body, halves = hz[-config.body :], hz[config.partials : -config.body]
    assert len(hz) == config.carriers == len(config.harmonic)
    assert np.allclose(halves / key_to_hz(key), np.arange(config.halves) + 0.5)
    assert np.diff(body).min() >= 7.9
    partials = hz[: config.partials]
    assert np.count_nonzero(partials) == min(config.partials, int(15_999 / key_to_hz(key)))
    assert list(config.harmonic) == [
        *range(1, config.partials + 1),
        *(np.arange(config.halves) + 0.5),
        *[0] * config.body,
    ]


def test_a_plan_is_that_of_the_program_and_the_key():
    first = plan(TIMBRES, 0, 60)
    assert first == plan(TIMBRES, 0, 60)
    assert first != plan(TIMBRES, 73, 60) and first != plan(TIMBRES, 0, 72)
    assert [release // 256 for _, release in first[1 : len(BORDERS) + 1]] == list(BORDERS)
    assert len({velocity for velocity, _ in first}) == len(first)


def test_every_anchor_of_every_timbre_is_made(timbre_keys):
    assert [(row.timbre, row.key) for row in timbre_keys] == [(0, 60), (0, 72), (1, 60), (1, 72)]
    for row in timbre_keys:
        assert row.hz.shape == (18,) and row.reference.shape == (2, 18)
        assert row.motion.shape == (NUMBERS,)
        for k in range(1, 6):
            assert abs(cents_between(row.hz[k - 1], k * key_to_hz(row.key))) < 35
        assert row.null_db > 8  # 18 carriers


def test_another_choice_of_timbres_shares_the_cache(timbre_keys, cache):
    said = []
    flute = make_timbres(replace(TIMBRES, programs={"flute": 73}), cache, said.append)
    assert said == []
    assert [row.timbre for row in flute] == [0, 0]
    assert np.array_equal(flute[0].hz, timbre_keys[2].hz)


def test_a_damaged_file_is_made_again(timbre_keys, cache, tmp_path):
    copy = shutil.copytree(cache, tmp_path / "cache")  # what is loaded is mapped to its file
    path = next(copy.glob("timbres-*/program073-key072*"))
    os.truncate(path, 1000)
    said = []
    again = make_timbres(TIMBRES, copy, said.append)
    assert "1 keys" in said[0]
    assert np.array_equal(again[3].hz, timbre_keys[3].hz)
    assert torch.equal(again[3].notes[0].target, timbre_keys[3].notes[0].target)


def test_points_begin_apart_and_with_the_spread_that_was_asked_for(timbre_keys):
    points = first_points(timbre_keys, 3)
    assert points.shape == (2, 3)
    assert np.linalg.norm(points[0] - points[1]) > 0.5
    assert np.sqrt((points**2).mean()) == pytest.approx(SPREAD)


def test_the_loss_falls_and_the_points_are_learned(learned, timbre_keys):
    task, fresh = learned, make_task(timbre_keys)
    fresh.model.eval()
    with torch.no_grad():  # the same batches for both
        before, after = (
            np.mean([float(one.loss(rng)) for rng in map(np.random.default_rng, range(8))]) for one in (fresh, task)
        )
    assert after < 0.75 * before
    assert not torch.equal(task.model.points, fresh.model.points)


def test_validation_hears_other_velocities_and_durations(learned, timbre_keys):
    task = learned
    with torch.no_grad():
        figures = task.validate()
    assert np.isfinite(list(figures.values())).all()
    assert {note.row for note in task._held_out} == {0, 1, 2, 3}
    for note in task._held_out:
        assert note.note.velocity not in {taught.velocity for taught in timbre_keys[note.row].notes}
        assert note.note.release not in {taught.release for taught in timbre_keys[note.row].notes}


def test_the_instrument_has_a_preset_for_every_timbre_and_latent_knobs(instrument):
    assert set(instrument.presets) == {"piano", "flute"}
    assert set(LATENT[:2]) <= set(instrument.knobs)
    assert instrument.keys == range(60, 73)


def test_timbres_are_measured_beside_their_own_teachers(instrument):
    result = evaluate_timbres(instrument, 3)
    assert set(result["timbres"]) == {"piano", "flute"}
    for row in result["timbres"].values():
        of_notes = {"logmel_l1_db", "convergence", "null_snr_db", "worst_cents"}
        assert set(row) == of_notes | {"vibrato_depth", "vibrato_rate", "above_7k_db", "onset_step_db"}
        assert row["onset_step_db"] < -45
        assert np.isnan(row["worst_cents"]) or row["worst_cents"] < 20
    mean = np.mean([row["logmel_l1_db"] for row in result["timbres"].values()])
    assert result["mean"]["logmel_l1_db"] == pytest.approx(mean)


def test_axes_and_points_are_measured(instrument):
    axes = evaluate_axes(instrument)
    assert set(axes) == set(instrument.knobs) & set(LATENT)
    assert max(axes.values()) > 0.1
    points = evaluate_points(instrument, 3)
    assert points["points"] == 3
    assert set(points) == {"points", "in_tune", "not_clipped", "not_silent", "no_click", "all"}
    assert all(0 <= points[name] <= 1 for name in points if name != "points")
    assert points["not_silent"] == 1


def test_an_instrument_of_one_timbre_has_no_space():
    with pytest.raises(InstrumentError, match="no space of timbres"):
        evaluate_timbres(open_instrument("piano"), 1)


def test_at_a_preset_the_instrument_has_that_timbres_pitch(learned):
    from engine.codec import Note

    task = learned
    with Teacher(73) as flute, torch.no_grad():
        wanted = flute.notes([(0, 690 * BLOCK, 60, 90)], 690 * BLOCK).mean(axis=1)
        sound = task.play(2, Note(60, 90, None), 690 * BLOCK)[0]
    assert abs(pitch_cents(sound, wanted)) < 5


def test_a_silent_key_borrows_from_the_nearest_that_sounds(timbre_keys):
    silent = replace(timbre_keys[3], reference=np.zeros_like(timbre_keys[3].reference))
    filled = fill_silent(TIMBRES, [*timbre_keys[:3], silent])
    assert filled[:3] == list(timbre_keys[:3])
    near, borrowed = timbre_keys[2], filled[3]
    assert (borrowed.timbre, borrowed.key, borrowed.notes) == (1, 72, ())
    assert np.array_equal(borrowed.reference, near.reference)
    partials = (TIMBRES.harmonic > 0) & (near.hz * 2 < 16_000) & (near.hz > 0)
    assert np.allclose(borrowed.hz[partials], 2 * near.hz[partials])
    assert np.allclose(borrowed.hz[TIMBRES.harmonic == 0], near.hz[TIMBRES.harmonic == 0])
    task = make_task(filled)
    assert np.isfinite(float(task.loss(np.random.default_rng(0)).detach()))
    with torch.no_grad():
        assert np.isfinite(list(task.validate().values())).all()


def test_a_timbre_without_any_sound_is_refused(timbre_keys):
    silent = [replace(row, reference=np.zeros_like(row.reference)) for row in timbre_keys[2:]]
    with pytest.raises(MusicNNError, match="flute is silent"):
        fill_silent(TIMBRES, [*timbre_keys[:2], *silent])


def test_every_key_between_the_anchors_is_heard_in_fitting(timbre_keys):
    task, rng = make_task(timbre_keys), np.random.default_rng(0)
    heard = {task.heard_key(example, rng) for example in task._examples for _ in range(100)}
    assert heard == set(range(60, 73))
    low = next(example for example in task._examples if example.note.key == 60)
    assert max(task.heard_key(low, rng) for _ in range(200)) <= 66


@pytest.mark.skipif(not fits_in_bfloat16(), reason="this processor cannot train an LSTM in bfloat16")
def test_half_precision_gives_almost_the_same_loss(timbre_keys):
    losses = []
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        config = MorphConfig(timbres=TIMBRES, **SIZES, precision=precision)
        losses.append(float(MorphTask(config, timbre_keys, CPU).loss(np.random.default_rng(0)).detach()))
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_a_precision_that_this_processor_has_not_is_refused_in_a_sentence(monkeypatch):
    assert choose_precision("float32", CPU)[0] == "float32"
    if fits_in_bfloat16():
        assert choose_precision("bfloat16", CPU)[0] == "bfloat16"
        monkeypatch.setattr("training.fit.fits_in_bfloat16", lambda: False)
    with pytest.raises(FitError, match="this processor cannot train"):
        choose_precision("bfloat16", CPU)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision"):
        MorphConfig(precision="float8")


def test_the_tour_plays_every_timbre_beside_its_teacher(instrument):
    sound, wanted = tour(instrument)
    assert sound.shape == wanted.shape and sound.shape[1] == 2
    assert np.isfinite(sound).all()
    parts = np.array_split(wanted, 2 * len(TOUR_KEYS))
    assert all(np.abs(part).max() > 1e-3 for part in parts)
    assert all(np.abs(part).max() > 1e-4 for part in np.array_split(sound, 2 * len(TOUR_KEYS)))


def test_spectra_in_fitting_are_those_of_the_sound(timbre_keys):
    """Overlapped and added, they give what the analysis' own synthesis makes of the same envelopes."""
    task, row = make_task(timbre_keys), 2
    note, synthesis = timbre_keys[row].notes[0], TIMBRES.synthesis
    frames = 60
    values = expand(torch.view_as_complex(note.target[:frames].float()), POWER)
    lines = torch.from_numpy(interpolation(GRID.after(0, frames), 0, frames - 1)).to(values.dtype)
    dense = torch.einsum("fk,kcp->fcp", lines, values)
    target = torch.view_as_real(compress(dense[:, 0], POWER))
    spectra = task._spectra([target[None]], [row], np.arange(frames)[None])[0][0]
    stretches = torch.fft.irfft(spectra, n=synthesis.length).numpy()
    sound = np.zeros(frames * synthesis.hop + synthesis.length, np.float32)
    for index, stretch in enumerate(stretches):
        start = (index + 1) * synthesis.hop  # one frame's length later than in the note
        sound[start : start + synthesis.length] += stretch
    samples = (frames - 4) * synthesis.hop
    fit = EnvelopeFit(synthesis, timbre_keys[row].hz, TIMBRES.harmonic)
    wanted = np.asarray(fit.synthesise(dense.permute(1, 0, 2), samples))[0]
    error = (sound[synthesis.length : synthesis.length + samples] - wanted)[RISE:]
    assert 10 * np.log10(np.sum(error**2) / np.sum(wanted**2)) < -60


def test_later_steps_also_compare_spectra(timbre_keys):
    task = make_task(timbre_keys)
    with torch.no_grad():
        early, late = (float(task.loss(np.random.default_rng(0), step)) for step in (0, task.config.spectral_from))
    assert late > early


def test_the_instrument_is_in_tune_and_as_loud_as_its_teachers(learned, instrument, timbre_keys):
    task, space = learned, instrument.model.space
    for row in timbre_keys:
        point, harmonic = space.points[row.timbre], space.harmonic
        hz = space.frequencies(point, row.key)
        low = (harmonic > 0) & (harmonic <= 8) & (hz > 0)
        cents = 1200 * np.log2(hz[low] / (harmonic[low] * key_to_hz(row.key)))
        assert abs(np.average(cents, weights=np.abs(row.reference[0, low]))) < 0.1
        assert np.allclose(hz[harmonic == 0], row.hz[harmonic == 0])
    with torch.no_grad():
        gains = task.levels()
    assert np.all((gains > 0.25) & (gains < 4)) and np.ptp(gains) > 0
    measured = np.abs(task.space().level)
    assert np.allclose(space.level, measured * gains.reshape(2, 2, 1, 1), rtol=1e-5)
    velocity = timbre_keys[0].notes[0].velocity  # so briefly fitted, a network is level at what it was levelled with
    with Teacher(0) as piano:
        wanted = piano.notes([(0, 640 * BLOCK, 60, velocity)], 640 * BLOCK).mean(axis=1)
    score = Score((note_on(0, 60, velocity),), 640 * BLOCK, 44_100)
    knobs = {**instrument.presets["piano"], "voicing": 0.0, "breath": 0.0}
    sound = render_start(score, instrument, knobs, 640 * BLOCK).mean(axis=1) / instrument.gain
    sound /= (100 / 127) ** 2  # a channel's volume when nothing was said (the teacher's is in what was taught)
    assert abs(20 * np.log10(np.std(sound) / np.std(wanted))) < 3
