"""What the player has moved comes back where a score has moved it, registered parameters among it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.chase import DEFAULT_PARAMETERS
from engine.midi.channel import DATA_LSB, DATA_MSB, RPN_LSB, RPN_MSB, ChannelState
from engine.midi.events import Event, Kind, bend, control, panic
from engine.own_controls import OwnControls

RANGE, FINE, COARSE = 0, 1, 2


def parameter(number, msb, lsb=0):
    return [control(0, RPN_MSB, 0), control(0, RPN_LSB, number), control(0, DATA_MSB, msb), control(0, DATA_LSB, lsb)]


def after(events):
    state = ChannelState()
    for event in events:
        state.apply(event)
    return state


def put_back(own):
    """A channel that a score has detuned, after everything is put back."""
    score = [*parameter(RANGE, 24), *parameter(FINE, 10, 3), *parameter(COARSE, 76), bend(0, 5000)]
    neutral = [*(control(0, number, value) for number, value in DEFAULT_PARAMETERS), bend(0, 0)]
    return after([*score, *own.restored(neutral)])


def test_where_the_player_has_moved_nothing_a_channel_is_as_new():
    state = put_back(OwnControls())
    assert (state.bend_range, state.fine, state.coarse, state.bend) == (2.0, 0.0, 0.0, 0.0)


@given(st.integers(0, 96), st.integers(0, 99), st.integers(0, 127), st.integers(0, 127), st.integers(16, 112))
def test_the_players_range_and_tuning_come_back(semitones, cents, msb, lsb, coarse):
    own = OwnControls()
    played = [
        *parameter(RANGE, semitones, cents),
        *parameter(FINE, msb, lsb),
        *parameter(COARSE, coarse),
        bend(0, -700),
    ]
    for event in played:
        own.hear(event)
    wanted, state = after(played), put_back(own)
    assert state.bend_range == pytest.approx(wanted.bend_range)
    assert state.fine == pytest.approx(wanted.fine)
    assert state.coarse == wanted.coarse
    assert state.bend == pytest.approx(wanted.bend)


def test_other_kinds_pass_and_panic_forgets():
    own = OwnControls()
    for event in (control(0, 1, 90), bend(0, 100), Event(0, Kind.PRESSURE, 0, 0, 40)):
        own.hear(event)
    others = [Event(0, Kind.PROGRAM, 0, 5), Event(0, Kind.DRUMS, 0, 0, 0)]
    assert own.restored(others) == others
    assert [event.value for event in own.restored([control(0, 1, 0), Event(0, Kind.PRESSURE)])] == [90, 40]
    own.hear(panic(0))
    assert own.restored([control(0, 1, 0)])[0].value == 0
