import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.midi.channel import ChannelState, Release, Silence, Start
from engine.midi.events import Event, Kind, bend, control, note_off, note_on, panic

SUSTAIN, SOSTENUTO = 64, 66


@pytest.fixture
def channel():
    return ChannelState(itertools.count())


def play(channel, *events):
    return [command for event in events for command in channel.apply(event)]


def on(key, velocity=80):
    return note_on(0, key, velocity)


def off(key):
    return note_off(0, key)


def test_a_key_starts_and_releases_its_note(channel):
    assert play(channel, on(60, 90), off(60)) == [Start(0, 60, 90), Release(0)]


def test_velocity_zero_is_a_note_off(channel):
    assert play(channel, on(60), note_on(0, 60, 0)) == [Start(0, 60, 80), Release(0)]


def test_a_key_struck_again_releases_the_note_before(channel):
    assert play(channel, on(60), on(60)) == [Start(0, 60, 80), Release(0), Start(1, 60, 80)]


@pytest.mark.parametrize(("value", "held"), [(0, False), (63, False), (64, True), (90, True), (127, True)])
def test_the_pedal_holds_from_64_on(channel, value, held):
    commands = play(channel, control(0, SUSTAIN, value), on(60), off(60))
    assert (Release(0) not in commands) == held
    assert play(channel, control(0, SUSTAIN, 20)) == ([Release(0)] if held else [])


def test_the_pedal_lets_go_only_of_keys_that_are_up(channel):
    play(channel, control(0, SUSTAIN, 127), on(60), on(64), off(60))
    assert play(channel, control(0, SUSTAIN, 0)) == [Release(0)]
    assert channel.keys_down == [64]


def test_sostenuto_catches_what_is_down_and_nothing_later(channel):
    play(channel, on(60), control(0, SOSTENUTO, 127), on(64))
    assert play(channel, off(60), off(64)) == [Release(1)]
    assert play(channel, control(0, SOSTENUTO, 0)) == [Release(0)]


def test_all_notes_off_respects_the_pedal_and_all_sound_off_does_not(channel):
    play(channel, control(0, SUSTAIN, 127), on(60))
    assert play(channel, control(0, 123, 0)) == []
    assert play(channel, control(0, 120, 0)) == [Silence(0)]


def test_volume_and_expression_are_squared(channel):
    play(channel, control(0, 7, 127))
    full = channel.gain
    play(channel, control(0, 7, 64), control(0, 11, 64))
    assert channel.gain / full == pytest.approx((64 / 127) ** 4)


def test_bend_range_follows_rpn_zero_and_nothing_else(channel):
    play(channel, bend(0, 8191))
    assert channel.bend_semitones == pytest.approx(2, abs=1e-3)
    play(channel, control(0, 101, 0), control(0, 100, 0), control(0, 6, 12))
    assert channel.bend_semitones == pytest.approx(12, abs=2e-3)
    play(channel, control(0, 99, 0), control(0, 98, 0), control(0, 6, 5))
    assert channel.bend_semitones == pytest.approx(12, abs=2e-3)


def test_reset_keeps_volume_and_lets_the_pedals_go(channel):
    play(channel, control(0, 7, 30), control(0, 1, 99), control(0, SUSTAIN, 127), bend(0, 5000), on(60), off(60))
    quiet = channel.gain
    assert play(channel, control(0, 121, 0)) == [Release(0)]
    assert (channel.gain, channel.bend, channel.vibrato_cents) == (quiet, 0, 0)


def test_panic_silences_and_forgets(channel):
    play(channel, control(0, SUSTAIN, 127), control(0, 7, 10), on(60))
    assert play(channel, panic(0)) == [Silence(0)]
    assert not channel.sustain
    assert channel.gain == ChannelState().gain


any_event = st.one_of(
    st.builds(on, st.integers(0, 127), st.integers(0, 127)),
    st.builds(off, st.integers(0, 127)),
    st.builds(lambda number, value: control(0, number, value), st.integers(0, 127), st.integers(0, 127)),
    st.builds(lambda value: bend(0, value), st.integers(-8192, 8191)),
    st.just(panic(0)),
)


@given(st.lists(any_event, max_size=80))
@settings(max_examples=200, deadline=None)
def test_every_note_ends_exactly_once(events):
    channel = ChannelState(itertools.count())
    started, ended = set(), set()
    closing = [off(key) for key in range(128)] + [control(0, number, 0) for number in (SUSTAIN, SOSTENUTO)]
    for command in play(channel, *events, *closing):
        if isinstance(command, Start):
            assert command.note not in started
            started.add(command.note)
        else:
            assert command.note in started - ended
            ended.add(command.note)
    assert started == ended
    assert 0 <= channel.gain <= 1
    assert -1 <= channel.pan <= 1


@pytest.mark.parametrize(
    "arguments",
    [(Kind.NOTE_ON, 0, 128, 5), (Kind.NOTE_ON, 16, 60, 5), (Kind.NOTE_ON, 0, 60, 128), (Kind.BEND, 0, 0, 9000),
     (Kind.CONTROL, 0, 7, -1)],
)  # fmt: skip
def test_events_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError):
        Event(0, *arguments)
