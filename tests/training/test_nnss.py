from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.codec import Note
from engine.instrument import load_instrument, prove, save_instrument
from engine.midi.events import note_off, note_on
from engine.spectral import denormalise_power
from engine.synth import Synth
from tests.training.conftest import CPU, RATE, steps
from training.metrics import null_snr_db, pitch_cents
from training.recipes import nnss
from training.recipes.nnss import DURATIONS, HELD_OUT_DURATIONS, PRESETS, NnssConfig, NnssTask
from training.teacher import BLOCK

TINY = {"first_key": 60, "last_key": 60, "hidden": 16, "layers": 1, "batch": 4, "crop": 24, "bins": 128}


def make_task(preset="live", **sizes):
    torch.manual_seed(0)
    return NnssTask(replace(PRESETS[preset], **(TINY | sizes)), CPU)


def test_the_seed_has_the_originals_settings():
    seed = PRESETS["seed"]
    assert (seed.oversampling, seed.interpolation, seed.length * seed.oversampling) == (8, "linear", 16_384)
    assert (seed.hop, seed.window, seed.bins, seed.power) == (1, "hann", 1024, 1 / 8)
    assert (seed.cell, seed.hidden, seed.layers, seed.context) == ("lstm", 1000, 2, 0)
    assert (seed.learning_rate, seed.batch) == (2e-4, 64)
    assert (seed.first_key, seed.last_key, seed.velocity, seed.program) == (51, 77, 95, 0)
    assert seed.codec.sample_rate == 44_100 and seed.codec.stft.length == 16_384
    assert seed.codec.features == 2048


def test_a_hop_of_one_sample_is_one_of_the_teachers_samples():
    """One step of the original at 44.1 kHz, eight at its oversampled rate."""
    seed = PRESETS["seed"]
    assert seed.codec.hop == 1 and seed.codec.stft.hop == 8


def test_the_score_is_every_pitch_in_six_durations():
    assert len(DURATIONS) == 6
    assert not set(DURATIONS) & set(HELD_OUT_DURATIONS)
    config = NnssConfig()
    assert len(range(config.first_key, config.last_key + 1)) == 27


def test_validation_hears_other_durations_than_the_fitting(tiny_nnss):
    taught = {recording.note for recording in tiny_nnss.task._train}
    held_out = {recording.note for recording in tiny_nnss.task._held_out}
    assert len(taught) == 2 * len(DURATIONS) and len(held_out) == len(HELD_OUT_DURATIONS)
    assert not {note.release for note in taught} & {note.release for note in held_out}


def test_the_loss_falls_and_held_out_notes_sound_more_like_the_teacher(tiny_nnss):
    losses, figures = [loss for _, loss in tiny_nnss.progress.losses], tiny_nnss.progress.figures[-1][1]
    assert np.mean(losses[-2:]) < 0.7 * losses[0]
    assert figures["null_snr_db"] > tiny_nnss.before["null_snr_db"] + 1
    assert figures["convergence"] < 0.8 * tiny_nnss.before["convergence"]


@pytest.mark.parametrize(
    "change",
    [
        {"cell": "gru"}, {"layers": 3}, {"context": 0}, {"window": "kaiser"}, {"power": 0.5}, {"length": 512},
        {"hop": 16}, {"oversampling": 2, "bins": 100}, {"oversampling": 2, "interpolation": "linear"},
    ],
    ids=str,
)  # fmt: skip
def test_every_discovery_can_be_run_again(change):
    losses = steps(make_task(**change), 12, 1e-2)
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_the_seed_learns():
    """The original's codec in full, hop of one sample and all; only the network, the batch and the crop are small."""
    task = make_task("seed", batch=8, crop=8, bins=1024)

    def mean_loss():
        rng = np.random.default_rng(1)
        with torch.no_grad():
            return np.mean([float(task.loss(rng)) for _ in range(4)])

    before = mean_loss()
    steps(task, 25, 1e-2)
    assert mean_loss() < 0.8 * before


def test_the_seed_can_be_validated_within_a_usual_memory(monkeypatch):
    """A second has 44100 frames of 16384 samples: all at once they would take gigabytes."""
    monkeypatch.setattr(nnss, "HELD_OUT_FRAMES", 700)
    task = make_task("seed", hidden=2)
    largest = []
    analyse = type(task.codec).analyse

    def measured(codec, samples):
        largest.append(len(samples))
        return analyse(codec, samples)

    monkeypatch.setattr(type(task.codec), "analyse", measured)
    with torch.no_grad():
        figures = task.validate()
    assert np.isfinite(list(figures.values())).all()
    assert max(largest) <= (nnss.FRAMES_AT_ONCE - 1) * 8 + 16_384
    assert sum(length > 16_384 for length in largest) >= 2 * len(HELD_OUT_DURATIONS)


@pytest.mark.parametrize("release", [None, 2000, 100_000])
def test_a_note_is_played_whole_whenever_it_is_let_go(release):
    task = make_task()
    with torch.no_grad():
        assert task.play(Note(60, 95, release), 12_000).shape == (12_000,)


def test_pieces_make_the_same_sound_as_the_whole(monkeypatch):
    task = make_task()
    with torch.no_grad():
        whole = task.play(Note(60, 95, 9000), 12_000)
        monkeypatch.setattr(nnss, "FRAMES_AT_ONCE", 7)
        pieces = task.play(Note(60, 95, 9000), 12_000)
    assert np.abs(whole).max() > 0
    assert np.abs(whole - pieces).max() < 1e-5 * np.abs(whole).max()


def sound_of(task, features, samples):
    """What a network that writes these features would sound like, by hand."""
    codec = task.codec
    bins = features.shape[1] // 2
    spectra = np.zeros((len(features), codec.stft.bins), np.complex64)
    spectra[:, :bins] = denormalise_power(features[:, :bins] + 1j * features[:, bins:], codec.power)
    return codec.stft.synthesise(spectra, samples)


def test_a_perfect_network_would_be_the_teacher():
    """Targets, turned back into sound, are the recording: nothing is out of place by a sample or a cent."""
    task = make_task(bins=1024)
    recording = task._train[2]
    samples = len(recording.sound)
    target = task._target(recording, 0, task.codec.stft.frame_count(samples)).numpy()
    again = sound_of(task, target, samples)
    assert null_snr_db(again, recording.sound) > 80
    assert abs(pitch_cents(again, recording.sound)) < 1e-3


def test_targets_of_a_crop_are_a_cut_of_the_whole():
    task = make_task()
    recording = task._train[0]
    whole = task._target(recording, 0, 60)
    for first in (0, 3, 40):
        assert torch.allclose(task._target(recording, first, 8), whole[first : first + 8], atol=1e-4)


def test_the_recordings_are_the_teachers_notes(teacher):
    task = make_task()
    for recording, seconds in zip(task._train, DURATIONS, strict=True):
        assert abs(recording.note.release - seconds * RATE) <= BLOCK / 2
        sound = teacher.notes([(0, recording.note.release, 60, 95)], len(recording.sound)).mean(axis=1)
        assert pytest.approx(0, abs=1e-3) == np.abs(recording.sound - 4 * sound).max()


def play(instrument, samples):
    synth = Synth(instrument, limiter=False)
    synth.schedule([note_on(0, 60, 95), note_off(40_000, 60)])
    return synth.render(samples).mean(axis=1) / instrument.gain


def test_the_instrument_is_loaded_as_it_was_saved_and_plays(tiny_nnss):
    assert prove(tiny_nnss.instrument, tiny_nnss.folder) < -100
    assert tiny_nnss.instrument.keys == range(60, 62)
    assert np.abs(play(tiny_nnss.instrument, 20_000)).max() > 1e-3


def test_the_instrument_sounds_like_the_fitting_and_like_the_teacher(tiny_nnss, teacher):
    samples = 30_000
    with torch.no_grad():
        wanted = tiny_nnss.task.play(Note(60, 95, 40_000), samples)
    sound = play(tiny_nnss.instrument, samples)
    scale = np.dot(sound, wanted) / np.dot(sound, sound)
    assert null_snr_db(sound * scale, wanted) > 10
    recorded = teacher.notes([(0, 625 * BLOCK, 60, 95)], samples).mean(axis=1)
    assert null_snr_db(sound * (np.dot(sound, recorded) / np.dot(sound, sound)), recorded) > 1


def test_the_seed_can_be_saved_loaded_and_proved(tmp_path):
    """With steps of eight samples, to be quick."""
    instrument = make_task("seed", hop=8, bins=1024, hidden=4).instrument("seed", "Seed", {})
    save_instrument(instrument, tmp_path / "seed", "A card.")
    again = load_instrument(tmp_path / "seed")
    assert prove(again, tmp_path / "seed") < -60
    assert again.model.codec.interpolation == "linear" and again.model.codec.oversampling == 8
    assert np.abs(play(again, 2000)).max() > 0
