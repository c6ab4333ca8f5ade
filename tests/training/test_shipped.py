"""The shipped keyed instruments: figures on a short score, so that nothing that is changed makes them worse unheard."""

import numpy as np
import pytest

from engine.library import instruments, open_instrument
from engine.midi.events import note_off, note_on
from engine.midi.files import Score
from engine.render import RenderOptions, render_array
from training.evaluate import as_taught, play_both, render_start
from training.loudness import loudness
from training.metrics import bands_db, log_mel_l1_db, null_snr_db
from training.teacher import BLOCK, Teacher

RATE = 44_100
PHRASE = [  # beats of 100 blocks of 64 samples: start, end, key, velocity
    (0, 2, 48, 70), (0, 4, 60, 84), (1, 3, 64, 60), (2, 4, 67, 96), (3, 8, 43, 75), (4, 5, 76, 100), (5, 6, 74, 50),
    (6, 9, 72, 88), (7, 9, 91, 64), (8, 12, 36, 90), (8, 12, 55, 58), (9, 12, 64, 77), (10, 12, 79, 44),
]  # fmt: skip


def both(instrument, program):
    events = []
    for start, end, key, velocity in PHRASE:
        events += [note_on(start * 100 * BLOCK, key, velocity), note_off(end * 100 * BLOCK, key)]
    events.sort(key=lambda event: event.sample)
    length = 1400 * BLOCK
    score = Score(tuple(events), length, RATE)
    sound = render_array(score, instrument, RenderOptions(as_taught(instrument, None), limiter=False))[:length]
    with Teacher(program) as teacher:
        wanted = teacher.render(score.events, len(sound))
    levelled = [x.mean(axis=1) * np.float32(0.1 / np.sqrt(np.mean(x.mean(axis=1) ** 2))) for x in (sound, wanted)]
    return levelled[0], levelled[1]


def test_the_piano_is_its_teachers_twin():
    sound, wanted = both(open_instrument("piano"), 0)
    null, log_mel = null_snr_db(sound, wanted), log_mel_l1_db(sound, wanted)
    bands = bands_db(sound, wanted)
    print(f"null {null:.2f} dB, log-mel {log_mel:.3f} dB, bands {bands}")
    assert null > 22
    assert log_mel < 0.6
    assert max(abs(level) for level in bands.values()) < 2.5


def step_db(sound):
    """The largest step of the first four samples, under the peak."""
    mono = sound.mean(axis=1)
    return 20 * np.log10(np.abs(np.diff(np.concatenate([[0], mono[:4]]))).max() / np.abs(mono).max() + 1e-9)


@pytest.mark.parametrize("name", ["piano", "morph"])
def test_no_note_begins_with_a_step(name):
    instrument = open_instrument(name)
    presets = list(instrument.presets.values()) or [{}]
    for knobs in presets[::5]:
        for key in (40, 61, 84):
            score = Score((note_on(0, key, 100), note_off(12_000, key)), 12_000, RATE)
            assert step_db(render_start(score, instrument, knobs, 12_000)) < -45, (knobs, key)


def test_neighbouring_keys_of_the_piano_are_alike():
    piano = open_instrument("piano")
    levels = []
    for key in range(57, 70):
        score = Score((note_on(0, key, 80), note_off(30_000, key)), 30_000, RATE)
        levels.append(10 * np.log10(np.mean(render_start(score, piano, {}, 30_000) ** 2)))
    print("levels", np.round(levels, 1))
    assert np.abs(np.diff(levels)).max() < 2


def test_instruments_are_as_loud_as_each_other():
    shipped = [entry for entry in instruments() if entry.folder.parent.name == "trained"]
    levels = {entry.name: loudness(open_instrument(entry.name)) for entry in shipped}
    print(levels)
    assert max(levels.values()) - min(levels.values()) < 2


def test_the_piano_costs_a_third_of_its_first_network():
    description = next(entry for entry in instruments() if entry.name == "piano").description
    assert description["format"] == 2
    assert description["cost"]["macs_per_voice_second"] < 230e6


def test_a_single_note_nulls_and_rises_as_the_teachers():
    piano = open_instrument("piano")
    with Teacher(0) as teacher:
        sound, wanted = play_both(piano, teacher, 60, 84, 500 * BLOCK)
    assert null_snr_db(sound.mean(axis=1), wanted.mean(axis=1)) > 20
