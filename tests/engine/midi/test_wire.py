"""Whatever bytes a keyboard sends: they are parsed as MIDI says, or skipped; no end is lost in a flood."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.midi.channel import ChannelState
from engine.midi.events import Event, Kind, bend, control, note_off, note_on, panic
from engine.midi.wire import MOST_STARTS, event_of, events, messages, thinned

BYTES = st.integers(0, 255)


@pytest.mark.parametrize(
    ("packet", "right"),
    [
        ([0x90, 60, 100], [note_on(0, 60, 100)]),
        ([0x93, 60, 0], [note_off(0, 60, 3)]),
        ([0x80, 60, 64], [note_off(0, 60)]),
        ([0xB2, 64, 127], [control(0, 64, 127, 2)]),
        ([0xC1, 5], [Event(0, Kind.PROGRAM, 1, 5)]),
        ([0xD0, 9], [Event(0, Kind.PRESSURE, 0, 0, 9)]),
        ([0xE0, 0, 64], [bend(0, 0)]),
        ([0xE0, 0, 0], [bend(0, -8192)]),
        ([0xE0, 127, 127], [bend(0, 8191)]),
        ([0xFF], [panic(0)]),
        # nothing that the engine has a use for
        ([], []),
        ([0xA0, 60, 100], []),
        ([0xF8], []),
        ([0xFE], []),
        ([0xF4], []),
        ([0xF2, 1, 2], []),
        ([0xF0, 0x7E, 1, 2, 0xF7], []),
        ([0xF0, 0x7E], []),
        ([0xFF, 0x51, 3, 7, 0xA1, 0x20], []),  # a file's meta event is no reset
        # too short
        ([0xE0, 1], []),
        ([0xE0], []),
        ([0x90, 60], []),
        ([0xC0], []),
        ([60, 100], []),
        # values over 127 are the next message's status
        ([0x90, 60, 200], []),
        ([0x90, 128, 100], []),
        ([0xE0, 0x80, 60, 0], [note_off(0, 60)]),
        ([0xF0, 0x7E, 0x80, 60, 0], [note_off(0, 60)]),
        # too long: running status, another message, real time in between
        ([0x90, 60, 100, 60, 0], [note_on(0, 60, 100), note_off(0, 60)]),
        ([0x90, 60, 100, 7], [note_on(0, 60, 100)]),
        ([0xC0, 5, 6], [Event(0, Kind.PROGRAM, 0, 5), Event(0, Kind.PROGRAM, 0, 6)]),
        ([0x90, 0xF8, 60, 0xFE, 100], [note_on(0, 60, 100)]),
        ([0x90, 60, 100, 0x80, 60, 0], [note_on(0, 60, 100), note_off(0, 60)]),
        ([0x90, 60, 0xF1, 5, 100], []),
    ],
)
def test_a_packet_holds_these_events(packet, right):
    assert events(packet) == right
    assert events(bytes(packet)) == right


@given(st.lists(BYTES, max_size=40))
def test_any_bytes_are_parsed_and_every_channel_takes_what_comes_of_them(packet):
    channels = [ChannelState() for _ in range(16)]
    for event in events(packet):
        channels[event.channel].apply(event)


@given(st.lists(st.binary(max_size=6), max_size=60))
def test_thinning_is_total_and_keeps_the_order(packets):
    fetched = [(message, float(index)) for index, packet in enumerate(packets) for message in messages(packet)]
    kept = thinned(fetched)
    places = iter(range(len(fetched)))
    assert all(any(fetched[place] == one for place in places) for one in kept)  # a subsequence


def state_after(batch):
    """What a channel stands at after messages: held notes, pedals, controllers."""
    channels = [ChannelState() for _ in range(16)]
    for message, _ in batch:
        event = event_of(message)
        if event is not None:
            channels[event.channel].apply(event)
    return [
        (sorted(c.keys_down), c.sustain, dict(c.controllers), c.bend, c.pressure, c.bend_range, len(c._notes))
        for c in channels
    ]


def flood(seed, count, notes=0.1):
    """Random valid messages on two channels: controllers and pedals most of all."""
    rng = random.Random(seed)
    batch = []
    for index in range(count):
        channel = rng.randrange(2)
        if rng.random() < notes:
            message = (rng.choice((0x80, 0x90)) | channel, rng.randrange(40, 50), rng.choice((0, 64)))
        else:
            number = rng.choice((1, 7, 11, 64, 66, 67, 74))
            message = rng.choice(
                (
                    (0xB0 | channel, number, rng.choice((0, 30, 90, 127))),
                    (0xD0 | channel, rng.randrange(128), 0),
                    (0xE0 | channel, rng.randrange(128), rng.randrange(128)),
                )
            )
        batch.append((message, index / 1000))
    return batch


@pytest.mark.parametrize("seed", range(20))
def test_a_flood_that_is_thinned_ends_where_it_would_have(seed):
    batch = flood(seed, 400)
    kept = thinned(batch)
    assert state_after(kept) == state_after(batch)
    assert len(kept) < 350


def test_a_flood_of_controllers_becomes_one_of_each():
    batch = [((0xE0, n % 128, 64), n / 1e4) for n in range(300)] + [((0xB0, 1, n % 128), n / 1e4) for n in range(300)]
    assert thinned(batch) == [batch[299], batch[599]]


def test_what_hands_play_is_never_thinned():
    chord = [((0x90, key, 90), 0.0) for key in range(60, 70)] + [((0xE0, n, 64), 0.0) for n in range(6)]
    assert thinned(chord) == chord


def test_no_note_off_is_lost_among_more_notes_than_there_are_voices():
    rng = random.Random(3)
    batch = [((0x90, rng.randrange(128), rng.choice((0, 80))), 0.0) for _ in range(2000)]
    kept = thinned(batch)
    assert sum(message[2] > 0 for message, _ in kept) <= MOST_STARTS
    last = {message[1]: message[2] for message, _ in batch}
    kept_last = {message[1]: message[2] for message, _ in kept}
    assert all(kept_last[key] == 0 for key, velocity in last.items() if velocity == 0)


def test_a_pedal_that_was_up_for_a_moment_lets_go():
    down, up = (0xB0, 64, 127), (0xB0, 64, 0)
    batch = [(down, 0.0)] * 10 + [(up, 0.0)] * 10 + [(down, 0.0)] * 10
    assert [message for message, _ in thinned(batch)] == [up, down]


def test_data_without_its_parameter_is_left_out():
    choice = [((0xB0, 101, 0), 0.0), ((0xB0, 100, 0), 0.0)]
    data = [((0xB0, 6, n % 128), 0.0) for n in range(100)]
    assert state_after(thinned(choice + data)) == state_after([])
    assert thinned(data + choice + data[:5])[-7:] == choice + data[:5]
