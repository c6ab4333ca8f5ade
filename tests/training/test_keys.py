import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.codec import Note
from engine.description import read_description
from engine.instrument import prove
from engine.midi.events import knob, note_off, note_on
from engine.synth import Synth
from tests.training.conftest import CPU, SMALL, steps
from training.fit import _gradients
from training.metrics import null_snr_db, onset_step_db, pitch_cents
from training.notes import mid_side
from training.recipes.keys import KeysConfig, KeysTask
from training.teacher import BLOCK


def make_task(small_notes, **sizes):
    data, exponent = small_notes
    torch.manual_seed(0)
    small = {"notes": SMALL, "front": 16, "hidden": 8, "batch": 8, "crop": 64, "noise_bands": 8}
    return KeysTask(KeysConfig(**(small | sizes)), data, exponent, CPU)


def left_right(mid_and_side):
    return np.stack([mid_and_side[0] + mid_and_side[1], mid_and_side[0] - mid_and_side[1]], axis=1)


def test_the_loss_falls_and_held_out_notes_sound_more_like_the_teacher(tiny_keys):
    losses, figures = [loss for _, loss in tiny_keys.progress.losses], tiny_keys.progress.figures[-1][1]
    assert np.mean(losses[-2:]) < 0.6 * losses[0]
    assert figures["null_snr_db"] > max(4, tiny_keys.before["null_snr_db"] + 4)
    assert figures["side_null_snr_db"] > tiny_keys.before["side_null_snr_db"] + 4
    assert figures["convergence"] < 0.7 * tiny_keys.before["convergence"]


OTHERS = [{"cell": "gru"}, {"cell": "lstm"}, {"cell": "complex_gru"}, {"layers": 1}, {"layers": 3}, {"context": 4}]


@pytest.mark.parametrize("sizes", OTHERS)
def test_other_networks_learn_too(small_notes, sizes):
    losses = steps(make_task(small_notes, **sizes), 30)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_the_same_seed_gives_the_same_network(small_notes):
    first, second = make_task(small_notes), make_task(small_notes)
    assert steps(first, 3) == steps(second, 3)
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_validation_is_the_same_every_time(tiny_keys):
    with torch.no_grad():
        assert tiny_keys.task.validate() == tiny_keys.task.validate() == tiny_keys.progress.figures[-1][1]


def held_out(task):
    with torch.no_grad():
        task.validate()
    return [(note.row, note.note) for note in task._held_out]


def test_validation_hears_other_velocities_and_durations_than_the_fitting(small_notes):
    data, _ = small_notes
    notes = held_out(make_task(small_notes))
    assert {row for row, _ in notes} == {0, 1}
    for row, note in notes:
        assert note.velocity not in {taught.velocity for taught in data[row].notes}
        assert note.release not in {taught.release for taught in data[row].notes}


def test_a_velocity_that_was_taught_by_chance_is_exchanged(small_notes):
    """Teach just what was held out before: now something else is held out."""
    data, exponent = small_notes
    before = held_out(make_task(small_notes))
    taught = [
        replace(key, notes=tuple(replace(note, velocity=before[row][1].velocity) for note in key.notes))
        for row, key in enumerate(data)
    ]
    after = held_out(make_task((taught, exponent)))
    for (row, old), (_, new) in zip(before, after, strict=True):
        assert new.velocity != old.velocity, row
        assert 1 <= new.velocity <= 127


def test_nothing_of_a_release_is_heard_before_it(tiny_keys):
    """The network is not told of it before its first frame, number 47 here: two whole windows are done by then."""
    release, samples, notes = 47 * 256 + 100, 24_000, SMALL
    with torch.no_grad():
        held, let_go = (tiny_keys.task.play(0, Note(60, 90, end), samples) for end in (None, release))
    first = release // notes.hop * notes.hop - notes.length  # the frame before it is a knot, which others are not
    assert first > 0
    assert np.abs(held[:, :first] - let_go[:, :first]).max() < 1e-5 * np.abs(held).max()
    tail = slice(release + 4000, None)
    assert np.sum(let_go[:, tail] ** 2) < 0.3 * np.sum(held[:, tail] ** 2)


def test_a_louder_note_is_louder_by_the_exponent(tiny_keys):
    """The network hears the velocity too, but the level is not left to it."""
    with torch.no_grad():
        soft, loud = (tiny_keys.task.play(0, Note(60, v, None), 20_000)[0] for v in (40, 120))
    ratio = np.sqrt(np.sum(loud**2) / np.sum(soft**2))
    assert ratio == pytest.approx(3**tiny_keys.task.head.velocity_exponent, rel=0.35)


def test_the_instrument_is_loaded_as_it_was_saved(tiny_keys):
    assert prove(tiny_keys.instrument, tiny_keys.folder) < -100
    assert tiny_keys.instrument.keys == range(60, 62)
    assert tiny_keys.instrument.metadata["training"]["program"] == 0
    assert tiny_keys.instrument.kind == "keys"


def play(instrument, key, velocity, release, samples):
    synth = Synth(instrument, limiter=False)
    as_taught = knob(0, "breath", 0), knob(0, "voicing", 0)
    synth.schedule([*as_taught, note_on(0, key, velocity), note_off(release, key)])
    return synth.render(samples) / instrument.gain


@pytest.mark.parametrize(("key", "velocity", "release"), [(60, 76, 150 * BLOCK), (61, 100, 60 * BLOCK)])
def test_what_is_validated_is_what_is_played(tiny_keys, key, velocity, release):
    """The engine's sound is that of the fitting but for the windows' sizes, and for some milliseconds at a release: the
    fitting knows of it from its first frame on, the engine leads over to that 512 samples after it."""
    with torch.no_grad():
        wanted = left_right(tiny_keys.task.play(key - 60, Note(key, velocity, release), 15_000))
    sound = play(tiny_keys.instrument, key, velocity, release, 15_000) / (100 / 127) ** 2  # a channel's volume
    first = release // 256 * 256 - 1024 + 256  # sample at which the first frame begins that knows of it
    for part, least in ((slice(0, first), 25), (slice(release + 512 + 128, None), 20)):
        for channel in range(2):
            assert null_snr_db(sound[part, channel], wanted[part, channel]) > least


def test_the_instrument_plays_the_teachers_pitch(tiny_keys, teacher):
    sound = play(tiny_keys.instrument, 60, 90, 690 * BLOCK, 690 * BLOCK).mean(axis=1).astype(np.float32)
    wanted = mid_side(teacher.notes([(0, 690 * BLOCK, 60, 90)], 690 * BLOCK))[0]
    assert abs(pitch_cents(sound, wanted)) < 3


def test_what_it_was_fitted_with_can_be_written_down(tiny_keys):
    config = tiny_keys.task.config.to_json()
    assert config["hidden"] == 12 and config["notes"]["first_key"] == 60
    assert tiny_keys.instrument.metadata["training"]["config"] == config


def test_a_batch_in_two_threads_is_the_same_batch(small_notes):
    whole, halves = make_task(small_notes), make_task(small_notes)
    loss = whole.loss(np.random.default_rng(3))
    loss.backward()
    told = _gradients(halves, np.random.default_rng(3), 0)
    assert float(told) == pytest.approx(float(loss.detach()), rel=1e-5)
    for a, b in zip(whole.model.parameters(), halves.model.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-5)


def test_the_noise_is_fitted_last_and_leaves_the_envelopes_alone(tiny_keys):
    task = tiny_keys.task
    count = 2 * SMALL.noise
    before, said = task.network.out.weight.detach().clone(), []
    task.finish(np.random.default_rng(0), said.append)
    after = task.network.out.weight.detach()
    assert torch.equal(before[:-count], after[:-count])
    assert not torch.equal(before[-count:], after[-count:])
    first, last = (float(number) for number in re.findall(r"\d+\.\d+", said[0]))
    assert last < 0.9 * first
    with torch.no_grad():
        raw, _ = task.written(0, Note(60, 90, 30_000), 100)
        levels = task.head.log_noise(raw)
    assert float(levels.max()) < 1.5  # never far over the carriers


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ValueError, match="parts"):
        KeysConfig(batch=7)


@pytest.mark.parametrize("velocity", [20, 120])
def test_no_note_begins_with_a_step_however_little_was_learned(tiny_keys, velocity):
    for key in (60, 61):
        sound = play(tiny_keys.instrument, key, velocity, 6000, 9000).mean(axis=1)
        assert onset_step_db(sound) < -60
        assert np.abs(sound[128:1000]).max() > 0.1 * np.abs(sound).max()  # an attack is no fade


def test_its_keys_are_even_and_its_cost_is_told(tiny_keys):
    voicing = tiny_keys.instrument.model.voicing
    assert voicing.shape == (2,) and np.all(np.abs(voicing) < 18)
    description = read_description(tiny_keys.folder)
    assert description["format"] == 2
    assert description["cost"]["macs_per_frame"] == tiny_keys.task.network.macs_per_frame
