import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.knobs import KNOBS
from engine.midi.channel import RESERVED
from engine.midi.events import Kind, bend, control, note_on
from engine.midi.mapping import NEAR, ControllerMap, is_free

KNOB = KNOBS["brightness"]
NUMBER = 20


@pytest.fixture
def controllers():
    mapped = ControllerMap()
    mapped.set_mapping({"brightness": NUMBER, "volume": 21})
    mapped.turned("brightness", KNOB.to_value(0.5))
    return mapped


def places(mapped, values, number=NUMBER):
    """Where the knob goes for values of its controller; None where it does not move."""
    taken = [mapped.take(control(0, number, value)) for value in values]
    return [None if event is None else KNOBS[event.name].to_position(event.value) for event in taken]


def test_a_controller_takes_a_knob_over_where_it_stands(controllers):
    assert places(controllers, [0, 30, 61]) == [None, None, None]
    assert places(controllers, [63, 70, 127]) == pytest.approx([63 / 127, 70 / 127, 1])


def test_a_controller_that_goes_over_the_knob_takes_it_too(controllers):
    assert places(controllers, [20, 90, 10]) == [None, pytest.approx(90 / 127), pytest.approx(10 / 127)]


def test_one_jump_from_end_to_end_goes_over_the_knob(controllers):
    assert places(controllers, [127, 0]) == [None, 0]
    controllers.turned("brightness", KNOB.to_value(0.7))
    assert places(controllers, [3, 60, 127]) == [None, None, 1]


@given(st.floats(0, 1), st.integers(0, 127), st.integers(0, 127))
def test_a_knob_follows_exactly_where_its_controller_comes_near_or_over_it(stands, before, now):
    mapped = ControllerMap()
    mapped.set_mapping({"brightness": NUMBER})
    mapped.turned("brightness", KNOB.to_value(0.5))
    places(mapped, [64])  # it has hold of the knob
    mapped.turned("brightness", KNOB.to_value(stands))  # a preset, undo, A/B or the die
    stands = KNOB.to_position(KNOB.to_value(stands))
    if abs(stands - 0.5) < 1e-6:
        return
    near = [abs(place / 127 - stands) <= NEAR for place in (before, now)]
    over = [min(a, b) / 127 <= stands <= max(a, b) / 127 for a, b in ((64, before), (before, now))]
    taken = places(mapped, [before, now])
    assert (taken[0] is not None) == (near[0] or over[0])
    assert (taken[1] is not None) == (taken[0] is not None or near[1] or over[1])


def test_where_a_controller_was_while_it_turned_nothing_counts_too():
    mapped = ControllerMap()
    assert mapped.take(control(0, NUMBER, 100)).kind is Kind.CONTROL  # the move by which it is learned
    mapped.set_mapping({"brightness": NUMBER})
    mapped.turned("brightness", KNOB.to_value(0.5))
    assert places(mapped, [0]) == [0]


def test_a_first_move_far_away_takes_nothing(controllers):
    assert places(controllers, [127]) == [None]


def test_a_knob_that_something_else_turns_must_be_caught_again(controllers):
    assert places(controllers, [64, 80])[1] is not None
    controllers.turned("brightness", KNOB.to_value(0.1))
    assert places(controllers, [81, 60]) == [None, None]
    assert places(controllers, [14]) == [pytest.approx(14 / 127)]


def test_being_told_of_its_own_move_does_not_let_go(controllers):
    events = [controllers.take(control(0, NUMBER, value)) for value in (64, 80)]
    controllers.turned("brightness", events[-1].value)
    assert places(controllers, [120]) == [pytest.approx(120 / 127)]


def test_all_else_passes(controllers):
    for event in (note_on(0, NUMBER, 90), control(0, 22, 5), bend(0, 5), control(0, 64, 127)):
        assert controllers.take(event) is event


@given(st.dictionaries(st.sampled_from([*KNOBS, "unknown"]), st.integers(-5, 200)), st.integers(0, 127))
def test_a_reserved_controller_never_turns_a_knob(mapping, number):
    mapped = ControllerMap()
    mapped.set_mapping(mapping)
    event = control(0, number, 64)
    taken = mapped.take(event)
    assert is_free(number) == (number not in RESERVED)
    if number in RESERVED or number not in mapping.values():
        assert taken is event


@given(st.floats(0, 1), st.lists(st.integers(0, 127), min_size=1))
def test_a_knob_never_jumps_when_its_controller_first_moves_it(start, values):
    """Before it is caught it does not move; it is caught near its place, or within one step that goes over it."""
    mapped = ControllerMap()
    mapped.set_mapping({"brightness": NUMBER})
    mapped.turned("brightness", KNOB.to_value(start))
    before = None
    for value in values:
        event, place = mapped.take(control(0, NUMBER, value)), value / 127
        if event is not None:
            assert event.kind is Kind.KNOB
            assert KNOB.low <= event.value <= KNOB.high
            crossed = before is not None and min(before, place) - 1e-9 <= start <= max(before, place) + 1e-9
            assert crossed or abs(place - start) <= NEAR + 1e-9
            return
        before = place
