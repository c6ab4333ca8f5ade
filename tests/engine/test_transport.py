import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.midi.channel import ChannelState
from engine.midi.events import Event, Kind, bend, control, note_off, note_on
from engine.midi.files import Score
from engine.transport import CHANNELS, Transport

RATE = 44_100
LENGTH = 4000


def make_score(events, length=LENGTH):
    return Score(tuple(sorted(events, key=lambda event: event.sample)), length, RATE)


def loaded(score):
    transport = Transport()
    transport.load(score)
    transport.advance(0, 1)
    return transport


class Player:
    """Channels that take what a transport hands out, as the synth does."""

    def __init__(self):
        self.channels = [ChannelState(itertools.count()) for _ in range(CHANNELS)]

    def take(self, events):
        for event in events:
            self.channels[event.channel].apply(event)
        return self

    def state(self):
        """Everything of a channel that can be heard, and the keys that are down."""
        return [
            (
                channel.gain, channel.pan, channel.bend_semitones, channel.vibrato_cents, channel.sustain, channel.soft,
                sorted(channel.keys_down),
            )
            for channel in self.channels
        ]  # fmt: skip


times, channels = st.integers(0, LENGTH - 1), st.integers(0, 2)
written = st.lists(
    st.one_of(
        st.builds(note_on, times, st.integers(60, 64), st.integers(1, 127), channels),
        st.builds(note_off, times, st.integers(60, 64), channels),
        st.builds(control, times, st.sampled_from([1, 7, 10, 11, 64, 67]), st.integers(0, 127), channels),
        st.builds(control, times, st.sampled_from([6, 38, 98, 99]), st.integers(0, 24), channels),
        st.builds(control, times, st.sampled_from([100, 101]), st.sampled_from([0, 0, 127]), channels),
        st.builds(control, times, st.sampled_from([120, 121, 123]), st.just(0), channels),
        st.builds(bend, times, st.integers(-8192, 8191), channels),
        st.builds(lambda at, value, channel: Event(at, Kind.PRESSURE, channel, 0, value), times, st.integers(0, 127),
                  channels),
    ),
    max_size=40,
)  # fmt: skip


@given(written, times, times)
@settings(max_examples=300, deadline=None)
def test_after_a_seek_all_is_as_if_the_score_had_been_played_to_there(events, played, wanted):
    score = make_score(events)
    transport, player = loaded(score), Player()
    transport.play()
    player.take(transport.advance(0, played))
    transport.seek(wanted)
    player.take(transport.advance(played, 0))
    reference = Player().take(event for event in score.events if event.sample < wanted)
    assert player.state() == reference.state()


def test_a_bend_range_that_was_set_and_closed_again_survives_a_seek():
    """Files close the choice of a parameter with 127, 127, as they should: in that order it means something else."""
    steps = ((101, 0), (100, 0), (6, 12), (101, 127), (100, 127))
    score = make_score(
        [*(control(100, number, value) for number, value in steps), bend(200, 8191), note_on(3000, 60, 9)]
    )
    transport, player = loaded(score), Player()
    transport.seek(1000)
    transport.play()
    player.take(transport.advance(0, 10))
    assert player.channels[0].bend_semitones == pytest.approx(12, abs=2e-3)


def test_playing_again_from_the_beginning_starts_as_the_first_time():
    score = make_score([note_on(0, 60, 90), control(2000, 7, 10), bend(2500, 8000), control(2600, 64, 127)])
    transport, player = loaded(score), Player()
    transport.play()
    player.take(transport.advance(0, LENGTH + 1))
    assert not transport.playing
    assert player.channels[0].gain < 0.01
    transport.play()
    player.take(transport.advance(LENGTH + 1, 100))
    assert transport.position == 100
    assert player.state() == Player().take([note_on(0, 60, 90)]).state()


def test_controllers_that_the_score_never_moves_are_the_players_own():
    transport, player = loaded(make_score([note_on(0, 60, 90), control(500, 64, 127)])), Player()
    player.take([control(0, 7, 33), bend(0, 100)])
    before = player.channels[0].gain, player.channels[0].bend_semitones
    transport.play()
    player.take(transport.advance(0, 1000))
    transport.seek(200)
    player.take(transport.advance(1000, 1000))
    assert (player.channels[0].gain, player.channels[0].bend_semitones) == before


@pytest.mark.parametrize("act", ["pause", "stop"])
def test_nothing_goes_on_sounding_when_the_score_stops(act):
    transport, player = loaded(make_score([control(0, 64, 127), note_on(10, 60, 90, 3), note_on(10, 64, 90)])), Player()
    transport.play()
    player.take(transport.advance(0, 100))
    assert player.channels[3].keys_down == [60]
    getattr(transport, act)()
    player.take(transport.advance(100, 100))
    assert not any(channel.keys_down or channel.sustain for channel in player.channels)
    assert transport.advance(200, 5000) == []
    assert transport.position == (100 if act == "pause" else 0)


def test_a_pause_is_gone_on_from_where_it_was():
    transport, player = loaded(make_score([note_on(10, 60, 90), note_off(3000, 60)])), Player()
    transport.play()
    player.take(transport.advance(0, 1000))
    transport.pause()
    player.take(transport.advance(1000, 500))
    transport.play()
    due = transport.advance(1500, 2500)
    player.take(event for event in due if event.sample < 3000)
    assert player.channels[0].keys_down == [60]
    # 2000 samples of the score are left until the note's end, from 1500 on.
    assert [event.sample for event in due if event.kind is Kind.NOTE_OFF] == [3500]


@pytest.mark.parametrize(("asked", "got"), [(-5, 0), (0, 0), (1234, 1234), (10**9, LENGTH)])
def test_a_seek_stays_within_the_score(asked, got):
    transport = loaded(make_score([note_on(0, 60, 90)]))
    transport.seek(asked)
    assert transport.position == got
    assert not transport.playing


def test_events_at_the_very_end_are_handed_out():
    transport = loaded(make_score([note_on(0, 60, 90), note_off(LENGTH, 60)]))
    transport.play()
    due, now = [], 0
    while transport.playing:
        due += transport.advance(now, 1000)
        now += 1000
    assert [(event.kind, event.sample) for event in due][-1] == (Kind.NOTE_OFF, LENGTH)
    assert transport.position == LENGTH


def test_without_a_score_nothing_is_played():
    transport = Transport()
    transport.play()
    transport.seek(100)
    assert transport.advance(0, 1000) == []
    assert not transport.playing


def test_another_score_ends_what_sounds_of_the_one_before():
    transport, player = loaded(make_score([note_on(0, 60, 90)])), Player()
    transport.play()
    player.take(transport.advance(0, 100))
    transport.load(make_score([note_on(0, 72, 90)]))
    player.take(transport.advance(100, 100))
    assert not player.channels[0].keys_down
    assert (transport.playing, transport.position) == (False, 0)
