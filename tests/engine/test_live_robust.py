"""Whatever comes into the engine while it plays: it goes on, nothing hangs, and nothing that ends a note is lost."""

import logging
import random
import time

import numpy as np
import pytest

from engine.live import MOST_WISHES, STALE_SECONDS, LiveEngine
from engine.midi.events import Event, Kind, bend, control, note_off, note_on
from engine.midi.files import Score
from engine.midi.ports import QUEUE_LIMIT, MidiInput, _Port
from tests.messages import RandomMessages

RATE = 44_100


@pytest.fixture
def engine(request):
    """Of an instrument whose notes die away, or of the one that a test names."""
    return LiveEngine(request.getfixturevalue(getattr(request, "param", "fading")))


class Wire:
    """An open rtmidi client, whose packets are put in by hand."""

    def __init__(self):
        self.waiting, self.closed = [], []

    def send(self, *packets):
        self.waiting += [(list(packet), 0.0001) for packet in packets]

    def get_message(self):
        return self.waiting.pop(0) if self.waiting else None

    def close_port(self):
        self.closed.append("port")

    def delete(self):
        self.closed.append("client")


@pytest.fixture
def wire():
    return Wire()


class Probe:
    """Tells which ports there are."""

    def __init__(self, *names):
        self.names = names

    def get_ports(self):
        return list(self.names)


def until(condition, engine):
    """Render until something is so: events come at their moments, and blocks here are rendered at no steady rate."""
    for _ in range(2000):
        if condition():
            return
        engine.render(256)
    raise AssertionError("it never became so")


@pytest.fixture
def midi(engine, wire):
    """An input with one open port, whose events the engine hears."""
    midi = MidiInput()
    midi._port, midi._wanted, midi._probe = _Port(wire), "Keys", Probe("Keys")
    engine.sources += [midi.fetch, lambda: [(event, time.perf_counter()) for event in midi.left_behind()]]
    return midi


def test_a_bend_that_is_cut_short_ends_nothing(engine, midi, wire):
    wire.send([0x90, 60, 90], [0xE0, 1], [], [0x90], [0xF0, 1], [0x90, 64, 90])
    until(lambda: engine.snapshot.keys_down == {60, 64}, engine)


def test_a_source_that_fails_is_counted_and_logged_once(engine, caplog):
    def broken():
        raise IndexError("what a parser raises")

    engine.sources.append(broken)
    engine.send(note_on(0, 60, 100))
    with caplog.at_level(logging.ERROR):
        assert np.abs(np.concatenate([engine.render(256) for _ in range(10)])).max() > 0.01
    assert engine._faults["source"] == 10
    assert len(caplog.records) == 1


def test_a_command_that_fails_does_not_take_the_others_with_it(engine, caplog):
    engine._wish(lambda: 1 / 0)
    engine.send(note_on(0, 60, 100))
    engine.render(64)
    assert engine.snapshot.keys_down == {60}
    assert len(caplog.records) == 1


def test_a_flood_of_wishes_loses_no_end_and_keeps_the_last_values(engine):
    keys = range(40, 60)
    for key in keys:
        engine.send(note_on(0, key, 60))
    engine.send(control(0, 64, 127))
    engine.render(64)
    for n in range(MOST_WISHES):
        engine.send(bend(0, n % 8000))
        engine.play_event(control(0, 74, n % 128))
        engine.send(note_on(0, 70, 60))
        engine.send(note_off(0, 70))
    for key in keys:
        engine.send(note_off(0, key))
    engine.send(control(0, 64, 0))
    engine.send(bend(0, 0))
    engine.render(64)
    engine.render(256)
    until(lambda: not engine.snapshot.keys_down, engine)
    assert engine.snapshot.pedals["sustain"] == 0
    assert engine.snapshot.bend == 0
    assert engine.snapshot.dropped > 0
    last = (MOST_WISHES - 1) % 128  # it has its moment: a busy machine gets there later
    until(lambda: engine._synth._channels[0].controllers[74] == last, engine)


def test_a_key_that_nobody_waits_for_any_more_is_not_played_but_its_end_counts(engine):
    engine.render(64)
    engine.play_event(note_on(0, 60, 100))
    engine.render(64)
    old = time.perf_counter() - STALE_SECONDS - 0.5
    engine.play_event(note_on(0, 64, 100), old)
    engine.play_event(note_off(0, 60), old)
    engine.render(64)
    assert not engine.snapshot.keys_down


def test_quiet_makes_all_channels_neutral_and_what_was_struck_before_is_forgotten(engine):
    for channel in (0, 5):
        for event in (
            note_on(0, 60, 90, channel), control(0, 66, 127, channel), note_off(0, 60, channel), bend(0, 8191, channel),
            control(0, 1, 127, channel), control(0, 64, 127, channel), control(0, 67, 127, channel),
            Event(0, Kind.PRESSURE, channel, 0, 127), control(0, 7, 90, channel),
        ):  # fmt: skip
            engine.send(event)
    engine.render(64)
    engine.play_event(note_on(0, 72, 90), time.perf_counter())
    engine.sources.append(lambda: [(note_on(0, 74, 90), began)])
    began = time.perf_counter()
    engine.quiet()
    engine.render(64)
    shown = engine.snapshot
    assert not shown.keys_down
    assert (*shown.pedals.values(), shown.bend, shown.modulation) == (0, 0, 0, 0, 0)
    for channel in engine._synth._channels:
        assert (channel.vibrato_cents, channel.bend_semitones) == (0, 0)
    assert engine._synth._channels[5].controllers[7] == 90  # a setting


def test_a_score_goes_on_after_quiet_with_its_pedal_and_its_notes(engine):
    score = Score((control(0, 64, 127), note_on(10, 60, 90), note_off(50_000, 60)), 60_000, RATE)
    engine.open_score(score)
    engine.play()
    engine.send(note_on(0, 72, 90))
    engine.render(2000)
    assert engine.snapshot.keys_down == {60, 72}
    engine.quiet()
    engine.render(2000)
    assert engine.snapshot.playing
    assert engine.snapshot.keys_down == {60}
    assert engine.snapshot.pedals["sustain"] == 1
    assert engine.snapshot.score_position == pytest.approx(4000, abs=2)


@pytest.mark.parametrize("how", ["unplugged", "another port is chosen"])
@pytest.mark.parametrize("engine", ["tiny"], indirect=True, ids=["held notes last"])
def test_a_port_that_goes_leaves_nothing_and_what_others_hold_stays(engine, midi, wire, how):
    engine.send(note_on(0, 52, 90))  # typed
    wire.send(
        [0x90, 48, 90], [0x90, 55, 90], [0xB0, 66, 127], [0x90, 72, 90], [0xB0, 1, 127], [0xE0, 0, 127], [0xD0, 99],
        [0xB3, 64, 127], [0x93, 60, 90],
    )  # fmt: skip
    until(lambda: engine.snapshot.keys_down == {48, 52, 55, 60, 72}, engine)
    lost = []
    midi._lost = lost.append
    if how == "unplugged":
        midi._check()
        assert not lost
        midi._probe = Probe()
        midi._check()
        assert lost == ["Keys"]
    else:
        midi.connect("Other")
    assert wire.closed == ["port", "client"]
    until(lambda: engine.snapshot.keys_down == {52}, engine)
    for channel in engine._synth._channels:
        assert not (channel.sustain or channel.bend or channel.vibrato_cents)


def test_what_nobody_fetched_is_thrown_away_and_nothing_of_it_hangs(engine, midi, wire):
    wire.send([0x90, 60, 90])
    until(lambda: engine.snapshot.keys_down == {60}, engine)
    wire.send([0x80, 60, 0], [0x90, 64, 90])
    midi._fetched -= 10
    midi._check()
    assert not wire.waiting
    until(lambda: not engine.snapshot.keys_down, engine)


def test_a_queue_that_ran_over_lets_go_of_what_its_port_held(engine, midi, wire):
    wire.send([0x90, 60, 90])
    until(lambda: engine.snapshot.keys_down == {60}, engine)
    wire.waiting = [([0xF8], 0.0)] * QUEUE_LIMIT
    wire.waiting.reverse()
    wire.get_message = lambda: wire.waiting.pop() if wire.waiting else None
    while wire.waiting:
        engine.render(64)
    until(lambda: not engine.snapshot.keys_down, engine)


def test_random_messages_are_played_and_silence_follows(engine, midi, wire):
    source, peak = RandomMessages(random.Random(4)), 0.0
    for _ in range(25):
        wire.send(*source.packets(100))
        block = engine.render(256)
        engine.look_ahead()
        assert np.isfinite(block).all()
        peak = max(peak, float(np.abs(block).max()))
    assert peak > 0.001
    wire.send(*source.let_go())
    until(lambda: not wire.waiting, engine)
    until(lambda: engine.snapshot.voices == 0, engine)
    assert not engine.snapshot.keys_down
    assert not engine._faults
