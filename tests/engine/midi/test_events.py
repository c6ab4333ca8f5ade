import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.midi.events import SPECS, Event, Kind, bend, control, knob, note_off, note_on, panic
from engine.midi.wire import events

byte, channels, samples = st.integers(0, 127), st.integers(0, 15), st.integers(0, 10**9)


def messages(**fields):
    """(message type, fields that mido gives it) of every kind that a channel can send."""
    return st.fixed_dictionaries(fields)


sent = st.one_of(
    st.tuples(st.just("note_on"), messages(note=byte, velocity=byte, channel=channels)),
    st.tuples(st.just("note_off"), messages(note=byte, velocity=byte, channel=channels)),
    st.tuples(st.just("control_change"), messages(control=byte, value=byte, channel=channels)),
    st.tuples(st.just("pitchwheel"), messages(pitch=st.integers(-8192, 8191), channel=channels)),
    st.tuples(st.just("program_change"), messages(program=byte, channel=channels)),
    st.tuples(st.just("aftertouch"), messages(value=byte, channel=channels)),
)


@given(sent, samples)
@settings(max_examples=200, deadline=None)
def test_a_message_of_a_channel_becomes_the_event_that_it_means(message, sample):
    name, fields = message
    (event,) = (event.at(sample) for event in events(mido.Message(name, **fields).bytes()))
    assert (event.sample, event.channel, event.name) == (sample, fields["channel"], "")
    match name:
        case "note_on" if fields["velocity"]:
            assert (event.kind, event.number, event.value) == (Kind.NOTE_ON, fields["note"], fields["velocity"])
        case "note_on" | "note_off":  # velocity 0 is MIDI's other way to let a key go
            assert (event.kind, event.number) == (Kind.NOTE_OFF, fields["note"])
        case "control_change":
            assert (event.kind, event.number, event.value) == (Kind.CONTROL, fields["control"], fields["value"])
        case "pitchwheel":
            assert (event.kind, event.value) == (Kind.BEND, fields["pitch"])
        case "program_change":
            assert (event.kind, event.number) == (Kind.PROGRAM, fields["program"])
        case "aftertouch":
            assert (event.kind, event.value) == (Kind.PRESSURE, fields["value"])


@pytest.mark.parametrize("name", ["clock", "start", "stop", "songpos", "active_sensing", "quarter_frame", "sysex",
                                  "polytouch", "tune_request"])  # fmt: skip
def test_what_the_engine_has_no_use_for_is_no_event(name):
    assert events(mido.Message(name).bytes()) == []


def test_a_system_reset_is_a_panic():
    assert events(mido.Message("reset").bytes()) == [panic(0)]


@pytest.mark.parametrize("kind", list(Kind))
def test_both_ends_of_every_range_are_allowed_and_nothing_beyond_them(kind):
    number, value = SPECS[kind]
    for place in (number.low, number.high):
        for amount in (value.low, value.high):
            assert Event(0, kind, 15, int(place), amount).value == amount
    for place in (number.low - 1, number.high + 1):
        with pytest.raises(ValueError, match=kind.value):
            Event(0, kind, 0, int(place), value.low)
    with pytest.raises(ValueError, match=kind.value):
        Event(0, kind, 0, int(number.low), float("nan"))
    if kind is not Kind.KNOB:
        for amount in (value.low - 1, value.high + 1):
            with pytest.raises(ValueError, match=kind.value):
                Event(0, kind, 0, int(number.low), amount)
    for channel in (-1, 16):
        with pytest.raises(ValueError, match="channel"):
            Event(0, kind, channel, int(number.low), value.low)


@given(samples)
@settings(max_examples=20, deadline=None)
def test_an_event_moved_in_time_is_else_the_same(sample):
    several = (note_on(3, 60, 90, 2), note_off(3, 60, 2), control(3, 64, 127, 5), bend(3, -100, 1), knob(3, "body", -4))
    for event in several:
        moved = event.at(sample)
        assert moved.sample == sample
        assert moved.at(event.sample) == event
