"""A port that goes away leaves the channels as if it had never been there."""

import random

from engine.midi.channel import ChannelState
from engine.midi.events import Event, Kind, bend, control, note_off, note_on
from engine.midi.touched import NEUTRAL, Touched, everything_neutral
from engine.midi.wire import events


def test_everything_that_is_held_is_let_go_of_on_its_own_channel():
    touched = Touched()
    for event in [
        note_on(0, 48, 90), note_on(0, 55, 90, 3), control(0, 66, 127), control(0, 64, 127, 3), control(0, 67, 100),
        control(0, 1, 127), control(0, 2, 80), control(0, 11, 20), control(0, 65, 127), bend(0, 8191),
        Event(0, Kind.PRESSURE, 0, 0, 70),
    ]:  # fmt: skip
        touched.hear(event)
    assert touched.undo() == [
        *(control(0, number, NEUTRAL[number]) for number in (1, 2, 11, 65, 66, 67)), control(0, 64, 0, 3),
        bend(0, 0), Event(0, Kind.PRESSURE), note_off(0, 48), note_off(0, 55, 3),
    ]  # fmt: skip
    assert touched.undo() == []


def test_what_stands_where_it_was_and_what_others_hold_is_left_alone():
    touched = Touched()
    for event in [
        note_on(0, 60, 90), note_off(0, 60), control(0, 64, 127), control(0, 64, 0), bend(0, 100), bend(0, 0),
        control(0, 7, 50), control(0, 10, 0), control(0, 11, 127), note_on(0, 62, 90, 5), control(0, 123, 0, 5),
        note_off(0, 99),
    ]:  # fmt: skip
        touched.hear(event)
    assert touched.undo() == []


def test_a_reset_of_the_controllers_is_understood():
    touched = Touched()
    for event in (control(0, 1, 9), bend(0, 5), Event(0, Kind.PRESSURE, 0, 0, 7), control(0, 1, 9, 1)):
        touched.hear(event)
    touched.hear(control(0, 121, 0))
    assert touched.undo() == [control(0, 1, 0, 1)]


def test_after_any_playing_all_channels_are_neutral():
    rng = random.Random(11)
    for _ in range(30):
        touched, channels = Touched(), [ChannelState() for _ in range(16)]
        for _ in range(200):
            packet = [
                rng.randrange(0x80, 0xF0),
                rng.choice((1, 2, 11, 60, 61, 64, 65, 66, 67, 121, 123)),
                rng.randrange(128),
            ]
            for event in events(packet):
                touched.hear(event)
                channels[event.channel].apply(event)
        for event in touched.undo():
            channels[event.channel].apply(event)
        for channel in channels:
            assert not channel._notes
            assert not (channel.sustain or channel.soft or channel.vibrato_cents or channel.bend)
            assert channel.controllers.get(11, 127) == 127


def test_a_channel_is_made_neutral_whatever_it_held():
    channel = ChannelState()
    for event in (note_on(0, 60, 9), control(0, 64, 127), control(0, 66, 127), note_off(0, 60), bend(0, 9)):
        channel.apply(event)
    for event in everything_neutral(0):
        channel.apply(event)
    assert not channel._notes
    assert (channel.bend, channel.sustain, channel.vibrato_cents) == (0, False, 0)
