"""The shipped keyed instruments: figures on a short score, so that nothing that is changed makes them worse unheard."""

import numpy as np

from engine.library import instruments, open_instrument
from engine.midi.events import note_off, note_on
from engine.midi.files import Score
from engine.render import RenderOptions, render_array
from training.evaluate import as_taught
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


def test_instruments_are_as_loud_as_each_other():
    shipped = [entry for entry in instruments() if entry.folder.parent.name == "trained"]
    levels = {entry.name: loudness(open_instrument(entry.name)) for entry in shipped}
    print(levels)
    assert max(levels.values()) - min(levels.values()) < 2
