import json
import math
from dataclasses import replace

import numpy as np
import pytest

from engine.errors import InputFileError, InstrumentError
from tests.scores import write_midi
from tests.training.conftest import RATE
from training.card import FIGURES, draw_spectrograms, write_card
from training.evaluate import (
    SECOND,
    TAIL,
    both_renderings,
    evaluate_file,
    evaluate_keys,
    evaluate_notes,
    key_figures,
    open_teacher,
    play_both,
)
from training.metrics import BANDS


@pytest.fixture(scope="module")
def piano_note(teacher):
    """A second of a key and its release, mono."""
    return teacher.notes([(0, SECOND, 60, 80)], SECOND + TAIL).mean(axis=1)


def test_a_note_beside_itself_is_perfect(piano_note):
    figures = key_figures(60, piano_note, piano_note)
    assert (figures.key, figures.onset_ms, figures.attack_ms) == (60, 0, 0)
    assert abs(figures.pitch_cents) < 1e-6
    assert figures.null_snr_db > 120
    assert figures.logmel_l1_db < 1e-3 and figures.convergence < 1e-5


def test_a_level_makes_no_difference_to_a_note(piano_note):
    figures = key_figures(60, piano_note * np.float32(0.2), piano_note)
    assert figures.null_snr_db > 100 and figures.logmel_l1_db < 1e-3


def test_a_late_note_is_late(piano_note):
    late = np.concatenate([np.zeros(441, np.float32), piano_note])[: len(piano_note)]
    assert key_figures(60, late, piano_note).onset_ms == pytest.approx(10, abs=0.1)
    assert key_figures(60, piano_note, late).onset_ms == pytest.approx(-10, abs=0.1)


def test_a_slow_attack_is_slow(piano_note):
    slow = piano_note * np.minimum(np.arange(len(piano_note)) / (0.2 * RATE), 1).astype(np.float32)
    assert key_figures(60, slow, piano_note).attack_ms > 50


def test_a_file_is_judged_with_every_figure(tiny_keys, teacher, tmp_path):
    result = evaluate_file(tiny_keys.instrument, write_midi(tmp_path / "two.mid"), teacher)
    assert result["file"] == "two.mid" and result["instrument"] == "tiny-keys"
    assert result["seconds"] == pytest.approx(0.65, abs=0.01)
    assert set(FIGURES) < set(result)
    assert all(math.isfinite(result[name]) for name in FIGURES)
    assert set(result["bands_db"]) <= {f"{low}-{high}" for low, high in BANDS}
    assert abs(result["lag_samples"]) < 64
    assert 0 <= result["pitch_cents"] < 3  # the carriers were measured in the teacher
    assert result["null_snr_db"] > 2
    assert result["convergence"] < 0.8


def test_both_play_the_same_score_to_the_same_end(tiny_keys, teacher, tmp_path):
    """Events off the teacher's grid are moved for both."""
    odd = write_midi(tmp_path / "odd.mid", [(60, 90, 0.0173, 0.3), (61, 50, 0.1011, 0.222)])
    sound, wanted = both_renderings(tiny_keys.instrument, odd, teacher)
    assert sound.shape == wanted.shape
    onsets = [int(np.argmax(np.abs(x).max(axis=1) > 0.01 * np.abs(x).max())) for x in (sound, wanted)]
    assert abs(onsets[0] - onsets[1]) < 300
    assert min(onsets) >= round(0.0173 * RATE / 64) * 64 - 1


def test_drums_are_left_out_for_both(tiny_keys, teacher, tmp_path):
    plain = write_midi(tmp_path / "plain.mid", [(60, 90, 0.0, 0.3)])
    drummed = write_midi(tmp_path / "drummed.mid", [(60, 90, 0.0, 0.3), (38, 127, 0.1, 0.1, 9)])
    for one, other in zip(
        both_renderings(tiny_keys.instrument, plain, teacher),
        both_renderings(tiny_keys.instrument, drummed, teacher),
        strict=True,
    ):
        assert np.array_equal(one, other)


def test_a_score_of_drums_alone_is_said(tiny_keys, teacher, tmp_path):
    drums = write_midi(tmp_path / "drums.mid", channel=9)
    with pytest.raises(InputFileError, match=r"drums\.mid cannot be compared") as error:
        evaluate_file(tiny_keys.instrument, drums, teacher)
    assert "\n" not in str(error.value)


def test_every_key_is_judged_alone(tiny_keys, teacher):
    rows = evaluate_keys(tiny_keys.instrument, teacher, tiny_keys.instrument.keys)
    assert [row.key for row in rows] == [60, 61]
    for row in rows:
        assert abs(row.pitch_cents) < 3
        assert abs(row.onset_ms) < 10
        assert row.null_snr_db > 2


def test_random_notes_are_other_ones_with_another_seed_and_the_same_with_the_same(tiny_keys, teacher):
    first = evaluate_notes(tiny_keys.instrument, teacher, 2)
    assert first == evaluate_notes(tiny_keys.instrument, teacher, 2)
    assert first != evaluate_notes(tiny_keys.instrument, teacher, 2, seed=1)
    assert set(first) == {"logmel_l1_db", "convergence", "null_snr_db"}


def test_a_note_of_both_has_one_length_and_level(tiny_keys, teacher):
    sound, wanted = play_both(tiny_keys.instrument, teacher, 60, 100, 200 * 64)
    assert sound.shape == wanted.shape == (200 * 64 + TAIL, 2)
    # The instrument's gain is out of it, the default channel volume is in both.
    assert 0.5 < np.sqrt(np.mean(sound**2) / np.mean(wanted**2)) < 1.2


@pytest.mark.parametrize("training", [None, {}, {"program": "piano"}, {"program": -1}, {"program": 128}, [0]])
def test_an_instrument_that_does_not_name_its_teacher_is_said(tiny_keys, training):
    metadata = {} if training is None else {"training": training}
    with pytest.raises(InstrumentError, match="General MIDI program"):
        open_teacher(replace(tiny_keys.instrument, metadata=metadata))


def test_nnss_is_judged_too(tiny_nnss, tmp_path):
    with open_teacher(tiny_nnss.instrument) as teacher:
        result = evaluate_file(tiny_nnss.instrument, write_midi(tmp_path / "two.mid"), teacher)
    assert result["instrument"] == "tiny-nnss"
    assert all(isinstance(result[name], float) for name in FIGURES)


METADATA = {
    "author": "Ada", "date": "2026-01-02", "licence": "MIT", "description": "What it is.",
    "training": {
        "recipe": "keys", "program": 40, "steps": 123, "seed": 7, "device": "cpu", "held_out": {"null_snr_db": 12.345},
        "config": {"hidden": 256, "notes": {"first_key": 21}},
    },
}  # fmt: skip


def test_a_card_says_who_when_how_and_how_to_do_it_again():
    card = write_card("Violin", METADATA, [])
    assert card.startswith("# Violin\n")
    for text in ("Ada", "2026-01-02", "MIT", "What it is.", "device: cpu", "null_snr_db 12.3", "![loss](loss.png)"):
        assert text in card
    assert "musicnn train keys --program 40 --hidden 256 --steps 123 --seed 7" in card
    assert json.loads(card.split("```json\n")[1].split("```")[0]) == METADATA["training"]["config"]
    assert "spectrogram.png" not in card


def test_a_card_without_anything_known_is_a_card_all_the_same():
    assert "unknown" in write_card("Bare", {}, [])


def test_a_card_has_a_row_for_every_file_and_the_worst_band():
    rows = [
        {"file": "a.mid", **dict.fromkeys(FIGURES, 1.25), "bands_db": {"20-500": 0.5, "500-2000": -3.21}},
        {"file": "b.mid", **dict.fromkeys(FIGURES, 2.5), "bands_db": {}},
    ]
    notes = {"notes": 20, "logmel_l1_db": 1.1, "convergence": 0.1}
    card = write_card("Piano", METADATA, [*rows, notes])
    assert "| a.mid | 1.25 | 1.25 | 1.25 | 1.25 | 1.25 | 3.21 dB |" in card
    assert "| b.mid |" in card and "0.00 dB" in card
    assert "Single notes" in card and "spectrogram.png" in card


def test_a_card_has_a_table_of_timbres():
    row = {"logmel_l1_db": 1.0, "worst_cents": 2.0}
    card = write_card("Many", METADATA, [{"timbres": {"flute": row}, "mean": row}])
    assert "| flute | 1 | 2 |" in card and "| mean | 1 | 2 |" in card


def test_the_cards_picture_shows_teacher_network_and_difference(tmp_path, piano_note):
    from matplotlib.image import imread

    wanted = np.stack([piano_note, piano_note], axis=1)
    draw_spectrograms(wanted, wanted, tmp_path / "same.png", RATE, "one")
    noise = np.random.default_rng(0).normal(size=wanted.shape).astype(np.float32)
    draw_spectrograms(wanted + 0.1 * noise, wanted, tmp_path / "noisy.png", RATE, "one")
    same, noisy = imread(tmp_path / "same.png")[..., :3], imread(tmp_path / "noisy.png")[..., :3]
    third = len(same) // 3
    # The top row is the teacher's and stays; the lowest is black where there is no difference.
    assert np.abs(same[:third] - noisy[:third]).mean() < 0.02
    assert noisy[2 * third :].mean() != pytest.approx(same[2 * third :].mean(), abs=0.05)
