import threading
import time

import numpy as np
import pytest

from engine.audio.recorder import Recorder
from engine.audio.silent import SilentOutput
from engine.live import TAP_BLOCKS, LiveEngine
from engine.midi.events import bend, control, note_off, note_on
from engine.midi.files import Score, read_score
from engine.render import RenderOptions, render_array
from engine.score_options import ScoreOptions
from engine.synth import Synth
from tests.engine.unhurried import unhurried

RATE = 44_100
PATIENCE = 30  # seconds until something that must happen is given up


@pytest.fixture
def engine(fading):
    return LiveEngine(fading)


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


def heard(engine, samples=2048, block=128):
    return np.concatenate([engine.render(block) for _ in range(samples // block)])


def test_a_wish_waits_for_the_next_block(engine):
    engine.send(note_on(0, 60, 100))
    assert engine.snapshot.voices == 0
    engine.render(64)
    assert engine.snapshot.voices == 1
    assert engine.snapshot.keys_down == {60}
    assert engine.snapshot.position == 64


def test_wishes_of_many_threads_all_come_true(fading):
    engine, keys = LiveEngine(fading), range(40, 72)
    ready = threading.Barrier(4)

    def press(some):
        ready.wait()
        for key in some:
            engine.send(note_on(0, key, 50))

    threads = [threading.Thread(target=press, args=(keys[part::4],)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.render(64)
    assert engine.snapshot.keys_down == set(keys)


def test_the_instrument_is_swapped_and_the_old_sound_ends(engine, fading, tiny):
    engine.send(note_on(0, 60, 127))
    heard(engine)
    engine.load(tiny)
    engine.render(64)
    assert engine.snapshot.instrument == "tiny"
    assert not engine.snapshot.keys_down
    heard(engine, 1024)
    assert engine.snapshot.voices == 0
    assert not heard(engine).any()
    engine.send(note_on(0, 60, 127))
    again, synth = heard(engine), Synth(tiny)
    synth.schedule([note_on(0, 60, 127)])
    assert np.abs(again - synth.render(2048)).max() < 1e-4


def test_the_transport_is_moved_and_its_place_is_shown(engine):
    score = Score((note_on(0, 60, 100), note_off(1000, 60), note_on(9000, 67, 100), note_off(20_000, 67)), 20_000, RATE)
    engine.open_score(score)
    engine.seek(8000)
    engine.play()
    engine.render(500)
    shown = engine.snapshot
    assert (shown.playing, shown.score_position, shown.score_length) == (True, 8500, 20_000)
    assert not shown.keys_down
    engine.render(600)
    assert engine.snapshot.keys_down == {67}
    engine.panic()
    engine.render(600)
    assert (engine.snapshot.playing, engine.snapshot.score_position) == (False, 9100)
    assert engine.snapshot.voices == 0
    engine.play()
    engine.render(400)
    assert (engine.snapshot.score_position, engine.snapshot.keys_down) == (9500, {67})
    engine.open_score(None)
    engine.render(64)
    assert engine.snapshot.score_length == 0


def test_panic_silences_keys_that_are_held_by_hand(engine):
    engine.send(note_on(0, 60, 127))
    assert np.abs(heard(engine)).max() > 0.01
    engine.panic()
    heard(engine, 512)
    assert not heard(engine).any()
    assert not engine.snapshot.keys_down


def test_a_recording_holds_what_was_rendered_meanwhile(engine, tmp_path):
    recorder = Recorder(tmp_path / "take")
    engine.send(note_on(0, 60, 100))
    engine.render(64)
    engine.record(recorder)
    sound = heard(engine)
    assert engine.snapshot.recording == pytest.approx(len(sound) / RATE)
    engine.record(None)
    heard(engine)
    assert engine.snapshot.recording is None
    take = recorder.close()
    assert take.seconds == pytest.approx(len(sound) / RATE)
    assert np.array_equal(np.concatenate(list(take._blocks())), sound)


def test_the_midi_of_a_recording_played_again_sounds_as_the_recording(fading, tmp_path):
    """Events lie where they are heard, behind the limiter's delay; the pedal that was down before is there too."""

    def play(pause):
        engine = LiveEngine(fading)
        engine.send(control(0, 64, 127))
        engine.render(1000)
        recorder = Recorder(tmp_path / f"take {id(engine)}")
        engine.record(recorder)
        blocks = [engine.render(100)]
        for key in (60, 64, 67):
            engine.send(note_on(0, key, 100))
            pause()
            blocks += [engine.render(333)]
            engine.send(note_off(0, key))
        engine.send(bend(0, 4000))
        engine.open_score(Score((note_on(10, 72, 80), note_off(900, 72)), 900, RATE))
        engine.play()
        for _ in range(20):
            pause()
            blocks.append(engine.render(256))
        engine.record(None)
        engine.render(64)
        return (np.concatenate(blocks), recorder), engine.snapshot.late

    sound, recorder = unhurried(play)
    recorder.close().save(tmp_path / "take.wav")
    score = read_score(tmp_path / "take.mid", RATE)
    again = render_array(score, fading, RenderOptions({}))
    length = min(len(sound), len(again))
    assert length > 4000
    assert np.abs(sound[:length] - again[:length]).max() < 1e-3 * np.abs(sound).max()


def test_pedals_and_wheels_are_shown(engine):
    engine.send(control(0, 64, 127))
    engine.send(control(0, 1, 127, channel=3))
    engine.send(bend(0, -4096))
    engine.render(64)
    shown = engine.snapshot
    assert (shown.pedals["sustain"], shown.pedals["soft"], shown.modulation, shown.bend) == (1.0, 0.0, 1.0, -0.5)
    engine.panic()
    engine.render(64)
    shown = engine.snapshot
    assert (shown.pedals["sustain"], shown.modulation, shown.bend) == (0.0, 0.0, 0.0)


def test_the_score_is_played_with_its_options(engine):
    engine.open_score(Score((note_on(4000, 60, 100), note_off(40_000, 60)), 40_000, RATE))
    engine.set_score_options(ScoreOptions(tempo=2, transpose=3))
    engine.play()
    engine.render(1990)
    assert not engine.snapshot.keys_down
    engine.render(64)
    assert engine.snapshot.keys_down == {63}
    assert engine.snapshot.score_position == 2 * 2054


def test_meters_show_the_peak_and_let_it_fall(engine):
    engine.send(note_on(0, 60, 127))
    sound = heard(engine)
    left, right = np.abs(sound).max(axis=0)
    assert engine.snapshot.peak_left <= left
    assert engine.snapshot.peak_left > 0.9 * left
    assert engine.snapshot.peak_right > 0.9 * right
    before = engine.snapshot.peak_left
    engine.panic()
    heard(engine, 4096)
    assert 0 < engine.snapshot.peak_left < before


def test_taps_are_only_kept_where_they_are_wanted_and_never_pile_up(engine):
    engine.render(64)
    assert not engine.taps
    engine.tapping = True
    for _ in range(TAP_BLOCKS + 5):
        engine.render(8)
    assert len(engine.taps) == TAP_BLOCKS
    positions = [tap.position for tap in engine.taps]
    assert positions == list(range(positions[0], positions[-1] + 1, 8))


def test_an_empty_block_is_empty_whatever_goes_on(engine):
    engine.tapping = True
    engine.turn("volume", 12.0)
    engine.send(note_on(0, 60, 127))
    for key in range(44, 80, 3):
        engine.send(note_on(0, key, 127))
    for _ in range(4):
        assert engine.render(0).shape == (0, 2)
        assert engine.render(100).shape == (100, 2)
    assert engine.snapshot.limiting < 1  # there was something to limit
    assert engine.snapshot.position == 400


def test_events_played_now_keep_their_order_and_their_distance(fading):
    """Keys pressed while a block sounds are placed by the time of pressing, not by the block."""
    engine = LiveEngine(fading)
    engine.event_delay = RATE
    engine.render(64)
    engine.play_event(note_on(0, 60, 100))
    time.sleep(0.05)
    engine.play_event(note_on(0, 64, 100))
    struck = {}
    while len(struck) < 2:
        engine.render(64)
        for key in engine.snapshot.keys_down:
            struck.setdefault(key, engine.snapshot.position)
    assert struck[60] > RATE
    assert struck[64] - struck[60] >= 0.05 * RATE - 64  # seen at a block's end


def test_without_a_device_the_silent_output_plays_on_its_own_thread(fading):
    engine = LiveEngine(fading)
    output = SilentOutput(engine.render, RATE, block=256)
    output.open()
    try:
        engine.play_event(note_on(0, 60, 127))
        wait_for(lambda: engine.snapshot.peak_left > 0.01)
        engine.play_event(note_off(0, 60))
        wait_for(lambda: engine.snapshot.voices == 0)
    finally:
        output.close()
    position = engine.snapshot.position
    assert position % 256 == 0
    time.sleep(0.05)
    assert engine.snapshot.position == position  # closed is closed


def test_a_silent_output_may_be_opened_again(fading):
    engine = LiveEngine(fading)
    output = SilentOutput(engine.render, RATE, block=64)
    for _ in range(2):
        before = engine.snapshot.position
        output.open()
        wait_for(lambda since=before: engine.snapshot.position > since)
        output.close()
