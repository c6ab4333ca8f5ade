import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.midi.channel import ChannelState
from engine.midi.events import Event, Kind, bend, control, note_off, note_on
from engine.midi.files import Score, TrackInfo
from engine.score_options import ScoreOptions
from engine.synth import CHANNELS
from engine.transport import FORESEEN, Transport, arranged

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


# --- tempo, transposition, loop, tracks ---

TRACKS = 3


@st.composite
def melodies(draw):
    """Scores of three tracks on two channels, whose notes all end; some overlap at one key."""
    rows = []
    for track in range(TRACKS):
        channel = track // 2
        for _ in range(draw(st.integers(0, 6))):
            key, start = draw(st.integers(58, 63)), draw(st.integers(0, LENGTH - 2))
            rows.append((note_on(start, key, 90, channel), track))
            rows.append((note_off(draw(st.integers(start + 1, LENGTH)), key, channel), track))
        for number in draw(st.lists(st.sampled_from([64, 66]), max_size=2)):
            pressed = draw(st.integers(0, LENGTH - 2))
            rows.append((control(pressed, number, 127, channel), track))
            rows.append((control(draw(st.integers(pressed + 1, LENGTH)), number, 0, channel), track))
    rows.sort(key=lambda row: row[0].sample)
    tracks = tuple(TrackInfo(track, f"part {track}", track // 2, 1) for track in range(TRACKS))
    return Score(
        tuple(event for event, _ in rows), LENGTH, RATE, tracks=tracks, track_of=tuple(track for _, track in rows)
    )


tracks_chosen = st.frozensets(st.integers(0, TRACKS - 1))
loops = st.one_of(st.none(), st.integers(0, LENGTH // 4).map(lambda start: (start / RATE, start / RATE + 0.06)))
options = st.builds(
    ScoreOptions, st.sampled_from([0.5, 0.7, 1.0, 1.333, 2.0]), st.sampled_from([-12, -2, -1, 0, 1, 2, 12]), loops,
    tracks_chosen, tracks_chosen,
)  # fmt: skip
acts = st.lists(
    st.one_of(
        options, st.integers(0, 1500), st.tuples(st.just("seek"), times), st.sampled_from(["play", "pause", "stop"])
    ),
    max_size=20,
)


def played(transport, player, acts):
    """Play, and do one thing after another; returns the samples that have passed."""
    now = 0
    transport.play()
    for act in acts:
        if isinstance(act, ScoreOptions):
            transport.set_options(act)
        elif isinstance(act, int):
            player.take(transport.advance(now, act))
            now += act
        elif isinstance(act, str):
            getattr(transport, act)()
        else:
            transport.seek(act[1])
    return now


@given(melodies(), acts)
@settings(max_examples=150, deadline=None)
def test_whatever_is_changed_while_playing_no_note_hangs(score, acts):
    transport, player = loaded(score), Player()
    now = played(transport, player, acts)
    transport.set_options(ScoreOptions(transpose=transport.options.transpose))
    transport.play()
    player.take(transport.advance(now, 3 * LENGTH))
    assert not transport.playing
    assert not any(channel.keys_down or channel.sustain for channel in player.channels)


@given(melodies(), acts)
@settings(max_examples=80, deadline=None)
def test_after_a_pause_nothing_of_the_score_is_left(score, acts):
    transport, player = loaded(score), Player()
    now = played(transport, player, [act for act in acts if isinstance(act, ScoreOptions | int)])
    transport.pause()
    player.take(transport.advance(now, 100))
    for channel in player.channels:
        assert not channel._notes


@given(melodies(), options, st.lists(st.integers(1, 900), min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_what_is_played_does_not_depend_on_the_blocks(score, chosen, blocks):
    whole, parts = loaded(score), loaded(score)
    for transport in (whole, parts):
        transport.set_options(chosen)
        transport.advance(0, 1)
        transport.play()
    at_once, now, cut = whole.advance(0, sum(blocks)), 0, []
    for block in blocks:
        cut += parts.advance(now, block)
        now += block
    late = parts.advance(now, 0)  # what happens at the very end of the last block
    assert cut == at_once[: len(cut)]
    assert [event.sample for event in (*at_once[len(cut) :], *late)] == [now] * (len(at_once) - len(cut) + len(late))
    assert parts.position == whole.position


@given(melodies(), options)
@settings(max_examples=80, deadline=None)
def test_an_export_is_what_the_transport_plays(score, chosen):
    made, transport = arranged(score, chosen), loaded(score)
    transport.set_options(chosen)
    start, _ = transport.loop or (0, 0)
    transport.seek(start)
    transport.play()
    events = transport.advance(0, made.length)
    ours, its = ([event for event in row if event.sample < made.length] for row in (made.events, events))
    if chosen == ScoreOptions():  # the score itself, in which no controller has to be put back first
        ours, its = ([event for event in row if event.kind is not Kind.CONTROL] for row in (ours, its))
    assert ours == its
    player = Player().take(made.events)
    assert not any(channel.keys_down or channel.sustain for channel in player.channels)


@given(melodies(), st.lists(options, min_size=1, max_size=3), st.integers(1, 700))
@settings(max_examples=80, deadline=None)
def test_what_comes_is_foreseen_to_the_sample(score, changes, block):
    transport, now = loaded(score), 0
    transport.play()
    for chosen in changes:
        transport.set_options(chosen)
        foreseen, handed_out = [], []
        for _ in range(8):
            foreseen += transport.coming(now, block)
            handed_out += transport.advance(now, block)
            now += block
        assert foreseen[: len(handed_out)] == handed_out
        assert all(event.sample <= now + FORESEEN for event in foreseen)


def test_twice_the_tempo_is_half_the_time_and_a_change_keeps_the_place():
    transport = loaded(make_score([note_on(1000, 60, 90), note_off(2000, 60), note_on(3001, 62, 90)]))
    transport.set_options(ScoreOptions(tempo=2))
    transport.play()
    assert [event.sample for event in transport.advance(0, 1100) if event.kind is Kind.NOTE_ON] == [500]
    assert transport.position == 2200
    transport.set_options(ScoreOptions(tempo=0.5))
    assert transport.position == 2200
    assert [event.sample for event in transport.advance(1100, 1700)] == [1100 + 2 * 801]


def test_a_transposed_note_ends_at_the_pitch_that_it_began_with():
    transport, player = loaded(make_score([note_on(10, 60, 90), note_off(500, 60), note_on(600, 60, 90)])), Player()
    transport.set_options(ScoreOptions(transpose=5))
    transport.play()
    player.take(transport.advance(0, 100))
    assert player.channels[0].keys_down == [65]
    transport.set_options(ScoreOptions(transpose=-3))
    assert player.take(transport.advance(100, 100)).channels[0].keys_down == [65]
    assert player.take(transport.advance(200, 350)).channels[0].keys_down == []
    assert player.take(transport.advance(550, 100)).channels[0].keys_down == [57]


def test_a_note_that_took_over_a_pitch_is_not_ended_by_the_one_before():
    transport, player = loaded(make_score([note_on(0, 60, 90), note_on(200, 58, 90), note_off(300, 60)])), Player()
    transport.play()
    player.take(transport.advance(0, 100))
    transport.set_options(ScoreOptions(transpose=2))
    assert player.take(transport.advance(100, 300)).channels[0].keys_down == [60]


def test_keys_beyond_midi_are_left_out_and_drums_stay_where_they_are():
    transport = loaded(make_score([note_on(0, 5, 90), note_off(50, 5), note_on(0, 38, 90, 9), note_off(50, 38, 9)]))
    transport.set_options(ScoreOptions(transpose=-12))
    transport.play()
    assert [(event.channel, event.number) for event in transport.advance(0, 100)] == [(9, 38), (9, 38)]


def test_a_loop_goes_round_to_the_sample_and_strikes_what_is_held_there_again():
    score = make_score([note_on(100, 60, 90), note_off(3900, 60), note_on(1200, 64, 90), note_off(1300, 64)])
    transport = loaded(score)
    start, end = 1000, 1000 + 2646
    transport.set_options(ScoreOptions(loop=(start / RATE, end / RATE)))
    transport.seek(start)
    transport.play()
    events = [(event.sample, event.kind, event.number) for event in transport.advance(0, 3 * 2646)]
    once = [(0, Kind.NOTE_ON, 60), (200, Kind.NOTE_ON, 64), (300, Kind.NOTE_OFF, 64), (2646, Kind.NOTE_OFF, 60)]
    rounds = [(at + 2646 * turn, kind, key) for turn in range(3) for at, kind, key in once]
    assert events == [*rounds, (3 * 2646, Kind.NOTE_ON, 60)]
    assert transport.position == start


def test_muted_tracks_end_and_solo_leaves_one():
    rows = [(note_on(0, 60, 90), 0), (note_on(0, 60, 90), 1), (note_on(0, 67, 90), 1)]
    score = Score(
        tuple(event for event, _ in rows), LENGTH, RATE,
        tracks=(TrackInfo(0, "a", 0, 1), TrackInfo(1, "b", 0, 2)), track_of=tuple(track for _, track in rows),
    )  # fmt: skip
    transport, player = loaded(score), Player()
    transport.play()
    player.take(transport.advance(0, 100))
    transport.set_options(ScoreOptions(muted=frozenset({1})))
    assert sorted(player.take(transport.advance(100, 100)).channels[0].keys_down) == [60]  # the other track's
    transport.set_options(ScoreOptions(solo=frozenset({1})))
    assert not player.take(transport.advance(200, 100)).channels[0].keys_down


def test_the_players_own_keys_go_on_when_the_score_stops():
    transport, player = loaded(make_score([note_on(0, 60, 90)])), Player()
    player.take([note_on(0, 72, 90)])
    transport.play()
    player.take(transport.advance(0, 100))
    transport.pause()
    player.take(transport.advance(100, 100))
    assert player.channels[0].keys_down == [72]


@pytest.mark.parametrize(
    "bad", [{"tempo": 0.4}, {"tempo": 3}, {"tempo": float("nan")}, {"transpose": 13}, {"loop": (1, 1.01)},
            {"loop": (-1, 2)}, {"loop": (0, float("inf"))}],
)  # fmt: skip
def test_options_out_of_range_are_refused_in_a_sentence(bad):
    with pytest.raises(ValueError, match=r"^(the|a) "):
        ScoreOptions(**bad)


@given(options)
def test_options_survive_a_settings_file(chosen):
    assert ScoreOptions.from_json(chosen.to_json()) == chosen


@pytest.mark.parametrize(
    "bad", [{"tempo": "x"}, {"tempo": [1]}, {"loop": [1]}, {"loop": "ab"}, {"muted": 3}, {"transpose": 10**400}, None]
)
def test_damaged_options_are_the_defaults(bad):
    assert ScoreOptions.from_json(bad) == ScoreOptions()


# --- what is left of a score that does not play ---

MOVED = [
    *(control(0, number, 100, channel) for channel in (0, 3) for number in (1, 64, 66, 67)),
    *(control(0, number, 30, channel) for channel in (0, 3) for number in (7, 10, 11)),
    bend(0, 5000), Event(0, Kind.PRESSURE, 0, 0, 90),
    *(control(0, number, value) for number, value in ((101, 0), (100, 0), (6, 12), (101, 127), (100, 127))),
]  # fmt: skip


def leave(transport, how):
    """Stop playing in one of the ways that there are; returns the samples that passed."""
    match how:
        case "end":
            return LENGTH + 1
        case "load":
            transport.load(make_score([note_on(0, 72, 90)]))
        case "seek":
            transport.seek(LENGTH)
        case _:
            getattr(transport, how)()
    return 0


def own_note(transport, player, key=40, channel=0, now=LENGTH * 2):
    """The player strikes a key."""
    event = note_on(now, key, 90, channel)
    return player.take([*transport.before(event), event])


def settings_of(channel):
    """What can be heard of a channel, but for its keys."""
    return (
        channel.gain, channel.pan, channel.bend_semitones, channel.bend_range, channel.vibrato_cents, channel.sustain,
        channel.soft, channel.controllers.get(66, 0),
    )  # fmt: skip


@pytest.mark.parametrize("how", ["pause", "stop", "end", "load", "seek"])
def test_a_score_that_is_left_leaves_no_controller_for_the_players_keys(how):
    transport, player = loaded(make_score([*MOVED, note_on(10, 60, 90)])), Player()
    transport.play()
    player.take(transport.advance(0, 100))
    assert player.channels[0].soft and player.channels[0].vibrato_cents and player.channels[3].sustain
    player.take(transport.advance(100, leave(transport, how)))
    player.take(transport.advance(2 * LENGTH, 100))
    for channel in (0, 3):
        own_note(transport, player, channel=channel)
        assert settings_of(player.channels[channel]) == settings_of(ChannelState())


def test_what_rings_on_does_not_become_louder_when_the_score_is_left():
    transport, player = loaded(make_score([control(0, 11, 5), note_on(10, 60, 90)])), Player()
    transport.play()
    player.take(transport.advance(0, LENGTH + 1))
    player.take(transport.advance(LENGTH + 1, 100))
    assert player.channels[0].gain < 0.01
    own_note(transport, player)
    assert player.channels[0].gain == ChannelState().gain


def test_the_players_own_pedals_and_wheels_stay_when_the_score_is_left():
    transport, player = loaded(make_score([*MOVED, note_on(10, 60, 90)])), Player()
    range_of_seven = ((101, 0), (100, 0), (6, 7), (101, 127), (100, 127))
    own = [control(0, 1, 33), control(0, 67, 127), control(0, 7, 90), bend(0, -4096),
           *(control(0, number, value) for number, value in range_of_seven)]  # fmt: skip
    for event in own:
        player.take([*transport.before(event), event])
    alone = settings_of(Player().take(own).channels[0])
    transport.play()
    player.take(transport.advance(0, 100))
    assert settings_of(player.channels[0]) != alone
    transport.pause()
    player.take(transport.advance(100, 100))
    own_note(transport, player)
    assert settings_of(player.channels[0]) == pytest.approx(alone)


def test_what_a_pause_puts_back_is_the_scores_again_when_it_goes_on():
    transport, player = loaded(make_score([*MOVED, note_on(10, 60, 90), note_off(3900, 60)])), Player()
    transport.play()
    player.take(transport.advance(0, 100))
    before = player.state()
    transport.pause()
    player.take(transport.advance(100, 100))
    own_note(transport, player)
    player.take([note_off(300, 40)])
    transport.play()
    player.take(transport.advance(300, 0))
    assert player.state() == before


def test_levels_of_one_score_are_not_those_of_the_next():
    transport, player = loaded(make_score([control(0, 7, 10), note_on(0, 60, 90)])), Player()
    transport.play()
    player.take(transport.advance(0, 100))
    transport.load(make_score([note_on(10, 72, 90)]))
    transport.play()
    player.take(transport.advance(100, 100))
    assert player.channels[0].gain == ChannelState().gain
