"""The arithmetic of the measurements, on signals of which the answer is known."""

import itertools
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from engine.errors import DeviceError
from musicnn_gui import live_bench
from musicnn_gui.live_bench import arithmetic as bench
from musicnn_gui.live_bench.measurements import write_chords
from musicnn_gui.live_bench.stage import LiveServer, MachineWatch, wait

RATE = 48_000


def tone(key, seconds, attack=0.004, decay=1.0, seed=0):
    """A struck note: partials with an attack and a decay, some noise at the beginning; (samples,) from its start."""
    rng = np.random.default_rng(seed + key)
    time = np.arange(round(seconds * RATE)) / RATE
    hz = 440 * 2 ** ((key - 69) / 12)
    partials = [np.sin(2 * np.pi * hz * k * time + rng.uniform(0, 6)) / k**1.5 for k in range(1, 12)]
    thump = 0.1 * rng.standard_normal(len(time)) * np.exp(-time / 0.01)
    return 0.3 * (np.sum(partials, axis=0) + thump) * np.exp(-time / decay) * (1 - np.exp(-time / attack))


def delayed(sound, samples, length):
    """`sound` at a place that may be between samples, in `length` samples."""
    size = 2 * length
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(size) * samples)
    return np.fft.irfft(np.fft.rfft(sound, size) * turns, size)[:length]


@pytest.mark.parametrize("key", [40, 52, 69, 88])
@pytest.mark.parametrize("milliseconds", [-1.0, 0.0, 2.67, 7.431, 41.3])
def test_a_note_late_by_so_much_gives_so_much(key, milliseconds):
    note = tone(key, 0.4)
    stamp = 12_000
    recorded = 0.7 * delayed(note, stamp + milliseconds * RATE / 1e3, RATE)
    assert bench.onset_lag(recorded, stamp, note, RATE) == pytest.approx(milliseconds, abs=0.02)


@pytest.mark.parametrize("key", [40, 52, 69, 88])
@pytest.mark.parametrize("attack", [0.001, 0.02])
def test_tails_of_other_notes_do_not_disturb(key, attack):
    note = tone(key, 0.4, attack)
    stamp, wrong = 12_000, 5.3
    recorded = delayed(note, stamp + wrong * RATE / 1e3, RATE)
    for index, other in enumerate((43, key + 12, 64, 81, key)):
        tail = delayed(tone(other, 0.9, decay=5.0, seed=7 + index), 3_000, RATE)
        around = slice(stamp - 960, stamp + 2400)
        gain = np.sqrt(np.mean(recorded[around] ** 2) / np.mean(tail[around] ** 2)) * 10 ** (-30 / 20)
        assert bench.onset_lag(recorded + gain * tail, stamp, note, RATE) == pytest.approx(wrong, abs=0.1)


def test_a_note_that_does_not_sound_is_missing():
    note = tone(60, 0.4)
    assert bench.onset_lag(np.zeros(RATE), 12_000, note, RATE) is None
    rng = np.random.default_rng(3)
    assert bench.onset_lag(0.05 * rng.standard_normal(RATE), 12_000, note, RATE) is None


def test_the_recording_may_end_or_begin_in_the_window():
    note = tone(60, 0.4)
    recorded = delayed(note, 100, 3_000)
    assert bench.onset_lag(recorded, 0, note, RATE) == pytest.approx(1e5 / RATE, abs=0.02)


def test_spread():
    assert bench.spread_ms([float(i) for i in range(101)]) == {
        "median_ms": 50.0, "p95_ms": 95.0, "worst_ms": 100.0, "least_ms": 0.0, "jitter_ms": 90.0,
    }  # fmt: skip
    assert bench.spread_ms([])["worst_ms"] is None


def test_dropouts_are_zeros_amid_sound_only():
    sound = np.zeros((2 * RATE, 2), np.float32)
    sound[RATE // 2 : RATE, 0] = tone(60, 0.5)[:, None][:, 0]
    sound[RATE // 2 : RATE, 1] = 0.5 * sound[RATE // 2 : RATE, 0]
    fade = np.linspace(1, 0, 4800, dtype=np.float32)[:, None]
    sound[RATE - 4800 : RATE] *= fade
    assert bench.dropouts(sound, RATE) == 0
    sound[30_000:30_128] = 0
    sound[33_000:33_031] = 0  # one sample too short to count
    sound[36_000:36_032, 0] = 0  # the other side still sounds
    assert bench.dropouts(sound, RATE) == 1
    assert bench.dropouts(sound[:, 0], RATE) == 2
    assert bench.dropouts(np.zeros(0, np.float32), RATE) == 0


def beating(seconds):
    """A tone whose level beats, peaky within its period: nothing about its envelope is even."""
    time = np.arange(round(seconds * RATE)) / RATE
    pulses = np.sum([np.cos(2 * np.pi * 261.6 * k * np.sqrt(1 + 4e-4 * k * k) * time) for k in range(1, 25)], axis=0)
    return 0.03 * pulses * (1 + 0.4 * np.sin(2 * np.pi * 6 * time)) * np.exp(-time / 0.8)


@pytest.mark.parametrize("milliseconds", [0.0, 1.7, 3.3, 12.0])
def test_a_sudden_step_is_found_where_it_is(milliseconds):
    expected, stamp = beating(1.0), 24_000
    recorded = 0.8 * expected + 1e-4 * np.random.default_rng(5).standard_normal(len(expected))
    recorded[stamp + round(milliseconds * RATE / 1e3) :] *= 0.04
    assert bench.departure_ms(recorded, expected, stamp, RATE) == pytest.approx(milliseconds, abs=0.7)


def test_a_gradual_step_is_found_at_its_tenth():
    expected, stamp, late, ramp = beating(1.0), 24_000, 480, 1_920
    gain = np.interp(np.arange(len(expected)), [stamp + late, stamp + late + ramp], [1.0, 0.04])
    assert bench.departure_ms(expected * gain, expected, stamp, RATE) == pytest.approx(14.0, abs=0.7)


def test_without_a_step_there_is_no_departure():
    expected = beating(1.0)
    assert bench.departure_ms(expected, expected, 24_000, RATE) is None
    assert bench.departure_ms(np.zeros(RATE), np.zeros(RATE), 24_000, RATE) is None
    assert bench.departure_ms(expected[:1000], expected[:1000], 24_000, RATE) is None


@pytest.mark.parametrize("place", [0.0, 300.25, -7.5, 4_000.0])
def test_a_note_is_placed_between_samples(place):
    time = np.arange(2_000)
    bump = np.exp(-0.5 * ((time - 1_000) / 20) ** 2)
    wanted = np.exp(-0.5 * ((np.arange(5_000) - 1_000 - place) / 20) ** 2)
    assert np.abs(bench.placed(bump, place, 5_000) - wanted).max() < 1e-6


def test_difference_after_a_delay_of_part_of_a_sample():
    offline = np.zeros((2 * RATE, 2))
    for index, key in enumerate((48, 60, 67, 76)):
        start = RATE // 4 * (index + 1)
        note = tone(key, 0.7, decay=0.2)
        offline[start : start + len(note)] += 0.5 * np.outer(note, (1.0, 0.6 + 0.1 * index))
    # Band-limited, as what comes out of a resampler is.
    spectrum = np.fft.rfft(offline, axis=0)
    spectrum[np.fft.rfftfreq(len(offline), 1 / RATE) > 20_000] = 0
    offline = np.fft.irfft(spectrum, len(offline), axis=0)
    length = 4 * RATE
    live = np.stack([delayed(channel, RATE // 3 + 3.37, length) for channel in offline.T], axis=1)
    clean = bench.difference_db(live, offline, RATE)
    assert clean["delay_samples"] == pytest.approx(RATE // 3 + 3.37, abs=0.002)
    assert clean["worst_db"] < -70
    assert clean["segments"] > 20
    disturbed = live.copy()
    disturbed += 0.001 * live * np.sin(np.arange(length))[:, None]  # -63 dB of itself
    result = bench.difference_db(disturbed, offline, RATE)
    assert result["median_db"] == pytest.approx(-63, abs=1.0)
    broken = live.copy()
    place = RATE // 3 + RATE
    broken[place : place + 128] = 0
    result = bench.difference_db(broken, offline, RATE)
    assert result["worst_db"] > -20
    assert result["worst_at_seconds"] == pytest.approx(1.0, abs=0.06)
    assert result["median_db"] < -70


def test_difference_of_silence_has_no_number():
    assert bench.difference_db(np.zeros((RATE, 2)), np.zeros((RATE // 2, 2)), RATE)["worst_db"] is None


def test_notes_are_spread_over_the_period_and_do_not_pile_up():
    messages, ons = bench.separate_notes(0, 200, 1_000, RATE)
    frames = [messages[index][0] for index in ons]
    assert messages[0][0] == 1_000
    assert len({frame % 128 for frame in frames}) > 80
    assert np.all(np.diff(frames) >= 0.09 * RATE - 1)
    assert np.mean(np.diff(frames)) == pytest.approx(0.12 * RATE, rel=0.03)
    keys = [messages[index][1][1] for index in ons]
    assert 40 <= min(keys) <= max(keys) <= 88
    assert all(first != second for first, second in itertools.pairwise(keys))
    assert [frame for frame, _ in messages] == sorted(frame for frame, _ in messages)


def test_what_was_not_handed_over_is_left_empty():
    sound = np.arange(1, 13, dtype=np.float32)[None]
    line, skipped = bench.on_timeline(sound, np.array([100, 104, 112]))
    assert skipped == 4
    assert line[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 9, 10, 11, 12]
    line, skipped = bench.on_timeline(sound, np.array([100, 104, 108]))
    assert skipped == 0
    assert line[:, 0].tolist() == list(range(1, 13))
    assert bench.on_timeline(np.zeros((2, 0), np.float32), np.zeros(0, np.int64))[0].shape == (0, 2)


def test_the_score_of_chords_can_be_read(tmp_path):
    from engine.midi.files import read_score

    path = tmp_path / "chords.mid"
    seconds = write_chords(path)
    score = read_score(path, 44_100)
    assert 10 < seconds < 14
    assert score.seconds == pytest.approx(seconds, abs=0.01)
    assert score.warnings == ()
    assert score.notes == 34


def test_without_jackd_one_sentence_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeviceError, match="jackd is not installed"), LiveServer(48_000, 128):
        pass
    with pytest.raises(DeviceError, match="no measurement 'speed'"):
        live_bench.run_live_bench(live_bench.LiveBenchOptions(parts=("speed",)))


def test_the_watch_sees_that_the_machine_stands_still():
    begun = time.perf_counter()
    with MachineWatch() as watch:
        stat = Path(f"/proc/{watch.process.pid}/stat")
        end = time.monotonic() + 60
        while watch.since(begun)["machine_worst_ms"] < 90 and time.monotonic() < end:
            os.kill(watch.process.pid, signal.SIGSTOP)
            # A busy machine may take long to run the thread that stops the others; a SIGCONT before undoes the stop.
            wait(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T", 30, "the watch does not stop")
            time.sleep(0.1)
            os.kill(watch.process.pid, signal.SIGCONT)
            time.sleep(0.5)
        stalls = watch.since(begun)
        assert stalls["machine_stalls"] >= 1 and stalls["machine_worst_ms"] >= 90
        later = time.perf_counter() + 3600  # whatever this machine does, it has not done it yet
        assert watch.worst_between(begun, later) >= 90
        assert watch.since(later) == {"machine_stalls": 0, "machine_worst_ms": 0.0}
        assert watch.worst_between(later, later + 1) == 0
    assert watch.process.poll() is not None


def test_rows_in_which_a_count_has_grown():
    rows = [{"xruns": count, "row": row} for row, count in enumerate((2, 2, 3, 3, 5, 5))]
    assert [row["row"] for row in bench.grown(rows, "xruns")] == [2, 4]
    assert [row["row"] for row in bench.grown([{}, *rows], "xruns")] == [0, 2, 4]
    assert bench.grown([], "xruns") == bench.grown([{}], "xruns") == []


def test_a_note_is_like_itself_at_any_gain_and_not_like_itself_a_gap_later():
    note = np.sin(2 * np.pi * 261.6 * np.arange(9600) / 48_000)
    assert bench.likeness(0.3 * note[:4800], note[:4800]) == pytest.approx(1)
    assert bench.likeness(note[:4800], note[64:4864]) < 0.99  # by half a block of 128
    assert bench.likeness(np.zeros(4800), note[:4800]) == 0
