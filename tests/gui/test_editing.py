"""What can be edited and undone, with a session whose engine has not been started: it keeps what it would be told."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.codec import ScoreCodec
from engine.knobs import KNOBS
from engine.midi.events import note_off, note_on
from engine.midi.files import Score, TrackInfo
from engine.reports import InstrumentInfo
from engine.score_options import ScoreOptions
from engine.spectral import Stft
from musicnn_gui import presets as presets_module
from musicnn_gui.exploring import between, randomised
from musicnn_gui.history import MOST_STEPS, EditState, History
from musicnn_gui.presets import DEFAULT_TITLE, Preset, presets_folder, read_preset
from musicnn_gui.session import Session
from musicnn_gui.settings import Settings

RATE = 44_100
NAMES = ("latent1", "latent2", "brightness", "attack", "width", "tune")
TIMBRES = {"violin": {"latent1": 2.0, "latent2": -1.0}, "flute": {"latent1": -0.5}}
INFO = InstrumentInfo(
    "morph", "morph", "keys", "Morph", range(36, 97), NAMES, TIMBRES, ScoreCodec(Stft(1024, 256), RATE)
)
OTHER = replace(INFO, source="piano", name="piano", title="Piano", knobs=("brightness", "soft"), presets={})


class Clock:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def session(qapp, clock):
    made = new_session(clock)
    yield made
    made.close()


def new_session(clock, remembered=None):
    session = Session(remembered or Settings(instrument="morph"))
    session._history = History(clock)
    session.chance.seed(1)
    session._take_instrument(INFO)
    return session


def signals_of(session, *names):
    """Names of signals as they are emitted."""
    heard = []
    for name in names:
        getattr(session, name).connect(lambda *arguments, name=name: heard.append((name, *arguments)))
    return heard


# --- undo ---

PLACES = st.floats(0, 1)
KNOB_NAMES = st.sampled_from([*NAMES, "volume"])
EDITS = st.one_of(
    st.tuples(st.just("turn"), KNOB_NAMES, PLACES),
    st.tuples(st.just("controlled"), KNOB_NAMES, PLACES),
    st.tuples(st.just("gesture"), st.lists(st.tuples(KNOB_NAMES, PLACES), max_size=4)),
    st.tuples(st.just("randomise"), st.lists(KNOB_NAMES, max_size=4), PLACES),
    st.tuples(st.just("preset"), st.integers(0, 2)),
    st.tuples(st.just("copy")),
    st.tuples(st.just("switch")),
    st.tuples(st.just("lock"), KNOB_NAMES, st.booleans()),
    st.tuples(st.just("learn"), KNOB_NAMES, st.integers(0, 127)),
    st.tuples(st.just("forget"), KNOB_NAMES),
    st.tuples(st.just("tempo"), st.floats(0.5, 2)),
    st.tuples(st.just("transpose"), st.integers(-12, 12)),
    st.tuples(st.just("loop"), st.none() | st.tuples(st.floats(0, 9), st.floats(0, 9))),
    st.tuples(st.just("mute"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("wait"), st.floats(0, 1)),
)


def make(session, clock, edit):
    what, *arguments = edit
    match what:
        case "turn":
            session.turn(arguments[0], KNOBS[arguments[0]].to_value(arguments[1]))
        case "controlled":
            session._controlled({arguments[0]: KNOBS[arguments[0]].to_value(arguments[1])})
        case "gesture":
            session.begin_gesture()
            for name, place in arguments[0]:
                session.turn(name, KNOBS[name].to_value(place))
            session.end_gesture()
        case "randomise":
            session.randomise(*arguments)
        case "preset":
            session.load_preset(session.presets[arguments[0]])
        case "copy":
            session.copy_to_other_side()
        case "switch":
            session.switch_side()
        case "lock":
            session.set_locked(*arguments)
        case "learn":
            session.learn(arguments[0])
            session._learned(arguments[1])
        case "forget":
            session.forget(*arguments)
        case "tempo":
            session.set_tempo(*arguments)
        case "transpose":
            session.set_transpose(*arguments)
        case "loop":
            session.set_loop(*(arguments[0] or (None,)))
        case "mute":
            session.set_muted(*arguments)
        case "wait":
            clock.now += arguments[0]


def engine_agrees(session):
    engine, state = session.engine, session._state
    return (
        all(engine._knobs[name] == value for name, value in state.knobs.items())
        and engine._mapping == state.mapping
        and (engine._score_options or ScoreOptions()) == state.score
    )


def undone_and_redone(session, clock, edits):
    """Make edits; go back step by step, then forth; every state must be what it was on the way."""
    steps = []
    for edit in edits:
        before = session._state
        make(session, clock, edit)
        made = len(session._history._made)
        if made > len(steps):
            steps.append((before, session._state))
        elif made < len(steps):  # joined the step before, which came to nothing by that
            steps.pop()
        elif session._state != before and edit[0] != "switch":  # joined it
            steps[-1] = (steps[-1][0], session._state)
    assert len(steps) == len(session._history._made)
    for before, _ in reversed(steps):
        assert session.can_undo
        session.undo()
        assert session._state == before
    assert not session.can_undo
    assert engine_agrees(session)
    for _, after in steps:
        session.redo()
        assert session._state == after
    assert not session.can_redo
    assert engine_agrees(session)


@given(st.lists(EDITS, max_size=30))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_undo_returns_every_edit_exactly(qapp, edits):
    clock = Clock()
    session = new_session(clock)
    undone_and_redone(session, clock, edits)
    session.close()


@given(st.integers(0, 2**32))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_undo_returns_any_of_a_thousand_edits_exactly(qapp, seed):
    chance, clock = random.Random(seed), Clock()
    session = new_session(clock)
    initial, states = session._state, []
    while len(states) < 1000:
        name = chance.choice(NAMES)
        edits = [
            ("turn", name, chance.random()), ("randomise", [name], 1.0), ("preset", chance.randrange(3)),
            ("lock", name, chance.random() < 0.5), ("learn", name, chance.randrange(20, 32)), ("copy",),
            ("tempo", chance.uniform(0.5, 2)), ("transpose", chance.randint(-12, 12)), ("switch",),
        ]  # fmt: skip
        clock.now += 1
        edit = chance.choice(edits)
        before = session._state
        make(session, clock, edit)
        if edit[0] != "switch" and session._state != before:
            states.append((before, session._state))
    assert len(states) <= MOST_STEPS
    for before, _ in reversed(states):
        session.undo()
        assert session._state == before
    assert not session.can_undo
    for _ in states:
        session.redo()
    assert session._state == states[-1][1]
    for _ in states:
        session.undo()
    assert session._state.knobs == initial.knobs
    assert engine_agrees(session)
    session.close()


def test_turns_of_one_knob_within_a_moment_are_one_step(session, clock):
    for value in (1.0, 2.0, 3.0):
        session.turn("brightness", value)
        clock.now += 0.6
    session.undo()
    assert session.knobs["brightness"] == 0
    session.redo()
    clock.now += 0.1
    session.turn("brightness", 5.0)  # does not join what was made again
    session.undo()
    assert session.knobs["brightness"] == 3
    clock.now += 1
    session.turn("tune", 5.0)
    session.turn("brightness", 1.0)
    session.undo()
    assert (session.knobs["tune"], session.knobs["brightness"]) == (5, 3)


def test_a_gesture_is_one_step_and_a_still_one_none(session):
    session.begin_gesture()
    for value in range(1, 6):
        session.turn("brightness", float(value))
        session.turn("tune", float(value))
    assert not session.can_undo
    session.end_gesture()
    session.undo()
    assert (session.knobs["brightness"], session.knobs["tune"], session.can_undo) == (0, 0, False)
    session.begin_gesture()
    session.turn("tune", 0.0)
    session.end_gesture()
    session.end_gesture()  # one too many
    assert not session.can_undo
    assert session.can_redo


def test_undo_within_a_gesture_takes_back_what_it_has_done(session):
    session.begin_gesture()
    session.turn("tune", 50.0)
    session.undo()
    assert session.knobs["tune"] == 0
    session.turn("tune", 20.0)
    session.end_gesture()
    session.undo()
    assert session.knobs["tune"] == 0


def test_widgets_are_told_of_what_they_did_not_do_themselves(session):
    heard = signals_of(session, "knobs_changed")
    session.turn("tune", 50.0)
    assert heard == []
    session._controlled({"tune": 30.0})
    session.undo()
    session.randomise(["width"], 1.0)
    session.move({"attack": 9.0})
    assert [set(names) for _, names in heard] == [{"tune"}, {"tune"}, {"width"}, {"attack"}]


def test_a_knob_that_its_controller_has_turned_is_not_sent_back(session, monkeypatch):
    sent = []
    monkeypatch.setattr(session.engine, "_command", lambda *command: sent.append(command))
    session._controlled({"tune": 30.0, "unknown": 1.0})
    assert sent == []
    assert "unknown" not in session.knobs
    session.undo()
    assert len(sent) == 1


# --- locks, randomising, A/B ---


def test_locked_knobs_stay_for_presets_randomising_and_the_pad(session):
    session.turn("latent1", 0.25)
    session.set_locked("latent1", True)
    session.load_preset(session.presets[2])
    session.randomise(NAMES, 1.0)
    session.move({"latent1": 3.0, "latent2": 3.0})
    assert session.knobs["latent1"] == 0.25
    assert session.knobs["latent2"] == 3.0
    session.set_locked("latent1", False)
    session.load_preset(session.presets[1])
    assert session.knobs["latent1"] == TIMBRES["flute"]["latent1"]


@given(st.floats(0, 1), st.integers(0, 2**32))
def test_randomising_goes_its_share_of_the_way(amount, seed):
    values = {name: KNOBS[name].default for name in NAMES}
    whole = randomised(values, NAMES, 1.0, random.Random(seed))
    part = randomised(values, NAMES, amount, random.Random(seed))
    for name in NAMES:
        assert KNOBS[name].low <= part[name] <= KNOBS[name].high
        assert part[name] == pytest.approx(values[name] + amount * (whole[name] - values[name]))


def test_random_latents_are_gaussian_and_other_knobs_uniform():
    chance = random.Random(3)
    latents = [randomised({"latent1": 0.0}, ["latent1"], 1, chance)["latent1"] for _ in range(2000)]
    widths = [randomised({"width": 1.0}, ["width"], 1, chance)["width"] for _ in range(2000)]
    assert sum(abs(value) < 1 for value in latents) / 2000 == pytest.approx(0.683, abs=0.03)
    assert sum(value < 0.5 for value in widths) / 2000 == pytest.approx(0.25, abs=0.03)


def test_a_and_b_hold_settings_of_their_own_but_one_volume(session):
    session.turn("tune", 40.0)
    session.turn("volume", -9.0)
    session.switch_side()
    assert (session.side, session.knobs["tune"], session.knobs["volume"]) == ("B", 0, -9)
    session.turn("tune", -20.0)
    session.switch_side()
    assert (session.side, session.knobs["tune"]) == ("A", 40)
    session.copy_to_other_side()
    session.switch_side()
    assert session.knobs["tune"] == 40
    session.undo()
    session.switch_side()
    assert session.knobs["tune"] == -20 if session.side == "B" else 40


def test_between_four_presets():
    corners = [{"tune": 0.0}, {"tune": 10.0}, {"tune": 20.0}, {"tune": 30.0, "width": 2.0}]
    assert [between(corners, x, y)["tune"] for x, y in ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5))] == [
        0, 10, 20, 30, 15,
    ]  # fmt: skip
    assert between(corners, 0.5, 0.5)["width"] == pytest.approx(1.25)  # elsewhere it stands at its default, 1


# --- presets ---


def test_presets_begin_with_the_default_and_the_timbres(session):
    assert [preset.title for preset in session.presets] == [DEFAULT_TITLE, "flute", "violin"]
    assert session.preset.title == DEFAULT_TITLE
    assert not session.changed
    heard = signals_of(session, "preset_changed")
    session.turn("tune", 1.0)
    session.turn("tune", 2.0)
    assert session.changed
    assert len(heard) == 1
    session.turn("tune", 0.0)
    assert not session.changed
    session.turn("volume", -3.0)
    assert not session.changed  # the volume is no part of a sound


def test_a_preset_is_saved_listed_loaded_and_deleted(session):
    session.turn("tune", 33.0)
    session.save_preset("  My\nSound ", "Me", "so\nso")
    assert (session.preset.title, session.preset.author, session.changed) == ("My Sound", "Me", False)
    assert session.presets[-1] == session.preset
    assert json.loads(session.preset.path.read_text())["knobs"]["tune"] == 33
    session.step_preset(1)
    assert (session.preset.title, session.knobs["tune"]) == (DEFAULT_TITLE, 0)
    session.step_preset(-1)
    assert (session.preset.title, session.knobs["tune"]) == ("My Sound", 33)
    path = session.preset.path
    session.delete_preset(session.preset)
    assert not path.exists()
    assert session.preset is None
    assert session.knobs["tune"] == 33
    said = signals_of(session, "message")
    session.delete_preset(session.presets[0])
    assert said[0][2]


def test_a_preset_without_a_title_is_refused(session):
    said = signals_of(session, "message")
    session.save_preset(" \n")
    assert said == [("message", "A preset needs a title.", True)]
    assert len(session.presets) == 3


@pytest.mark.parametrize("title", ["../../x", "a/b\\c", "CON.", ".hidden", "ü ♯ 名前", "x" * 500, '<>:"|?*'])
def test_any_title_is_a_file_in_its_folder(session, title):
    session.save_preset(title)
    assert session.preset.path.parent == presets_folder() / "morph"
    assert read_preset(session.preset.path) == session.preset


def test_a_folder_that_cannot_be_written_is_one_sentence(session):
    presets_folder().parent.mkdir(parents=True, exist_ok=True)
    presets_folder().write_text("a file is in the way")
    said = signals_of(session, "message")
    session.save_preset("x")
    assert said[0][1].startswith("The preset cannot be saved")
    assert len(said) == 1


NUMBERS = st.one_of(
    st.floats(), st.integers(-(10**400), 10**400), st.booleans(), st.none(), st.text(), st.lists(st.integers())
)
HOSTILE = st.fixed_dictionaries(
    {},
    optional={
        "format": st.one_of(st.just(1), NUMBERS), "title": st.text() | NUMBERS, "author": st.text() | NUMBERS,
        "comment": st.text(), "instrument": st.text() | NUMBERS,
        "knobs": st.one_of(st.dictionaries(st.sampled_from([*NAMES, "volume", "x"]), NUMBERS), NUMBERS),
    },
)  # fmt: skip


@given(st.one_of(st.binary(max_size=200), HOSTILE.map(lambda data: json.dumps(data).encode())))
@settings(max_examples=300, deadline=None)
def test_a_hostile_file_is_a_sentence_or_a_safe_preset(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "hostile.json"
    path.write_bytes(content)
    try:
        preset = read_preset(path)
    except presets_module.InputFileError as error:
        assert "\n" not in str(error)
        return
    assert preset.title.isprintable()
    (preset.title + preset.author + preset.comment + preset.instrument).encode()
    assert all(KNOBS[name].low <= value <= KNOBS[name].high for name, value in preset.knobs.items())


def test_broken_presets_are_skipped_and_listed(session):
    session.save_preset("good")
    folder = presets_folder() / "morph"
    (folder / "bad.json").write_text("[" * 100_000)
    (folder / "folder.json").mkdir()
    (folder / "large.json").write_bytes(b" " * (presets_module.MAX_BYTES + 1))
    session.refresh_presets()
    assert [preset.title for preset in session.presets[3:]] == ["good"]
    assert len(session.broken_presets) == 3


def test_a_preset_of_another_instrument_loads_that_first(session, tmp_path):
    path = tmp_path / "x.json"
    data = {"format": 1, "instrument": "piano", "title": "Bright", "knobs": {"brightness": 4}}
    path.write_text(json.dumps(data))
    session.open_preset(path)
    session._take_instrument(OTHER)
    assert (session.preset.title, session.knobs["brightness"]) == ("Bright", 4)
    said = signals_of(session, "message")
    path.write_text(json.dumps(data | {"instrument": "nowhere"}))
    session.open_preset(path)
    assert "nowhere, which is not installed" in said[0][1]
    session.open_preset(tmp_path / "missing.json")
    assert said[1][2]


# --- learning ---


def test_a_learned_controller_turns_one_knob_and_reserved_ones_none(session):
    heard = signals_of(session, "mapping_changed")
    session.learn("tune")
    assert session.learning == "tune"
    session._learned(20)
    assert (session.learning, session.mapping) == (None, {"tune": 20})
    assert len(heard) >= 2
    session.learn("width")
    session._learned(20)
    assert session.mapping == {"width": 20}
    session.learn("tune")
    session._learned(64)
    assert session.mapping == {"width": 20}
    session.undo()
    assert session.mapping == {"tune": 20}
    session.clear_mapping()
    assert session.mapping == {}
    session._learned(21)  # nothing waits for it
    assert session.mapping == {}


# --- the score ---


def score():
    tracks = (TrackInfo(0, "a", 0, 1), TrackInfo(1, "b", 1, 1))
    events = (note_on(0, 60, 90), note_on(0, 64, 90, 1), note_off(RATE, 60), note_off(RATE, 64, 1))
    return Score(events, RATE, RATE, tracks=tracks, track_of=(0, 1, 0, 1))


def test_another_score_is_played_plainly_and_undo_leaves_it_alone(session, tmp_path):
    session._take_score(score(), tmp_path / "a.mid")
    session.set_tempo(9.0)
    session.turn("tune", 7.0)
    session.set_solo(1, True)
    session.set_loop(0.5, 0.2)
    assert session.score_options == ScoreOptions(2.0, 0, (0.2, 0.5), solo=frozenset({1}))
    session._take_score(score(), tmp_path / "b.mid")
    assert session.score_options == ScoreOptions()
    session.undo()
    assert (session.knobs["tune"], session.score_options, session.can_undo) == (0, ScoreOptions(), False)


# --- memory ---


def test_everything_is_found_again(session, clock, tmp_path):
    path = tmp_path / "a.mid"
    session._take_score(score(), path)
    session.set_tempo(1.5)
    session.load_preset(session.presets[2])
    session.turn("tune", 7.0)
    session.turn("volume", -6.0)
    session.switch_side()
    session.turn("attack", 70.0)
    session.set_locked("width", True)
    session.learn("tune")
    session._learned(30)
    session.set_favourite("piano", True)
    session.remember(view={"axis": "mel"})
    session.settings.save(tmp_path / "settings.json")
    again = new_session(clock, Settings.load(tmp_path / "settings.json"))
    again._take_score(score(), path)
    assert replace(again._state, loaded={}) == replace(session._state, loaded={})
    assert again.changed == session.changed
    assert again.engine._mapping == {"tune": 30}
    assert [entry.source for entry in again.instruments if entry.favourite] == ["piano"]
    assert again.settings.view == {"axis": "mel"}
    again.close()


JSON = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@given(st.dictionaries(st.sampled_from(list(Settings.__dataclass_fields__)), JSON | st.dictionaries(KNOB_NAMES, JSON)))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_settings_are_survived(qapp, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "settings.json"
    path.write_text(json.dumps(data | {"instrument": "morph"}))
    session = new_session(Clock(), Settings.load(path))
    assert all(KNOBS[name].low <= value <= KNOBS[name].high for name, value in session.knobs.items())
    assert session.side in ("A", "B")
    session.close()


def test_the_first_start_after_a_crash_does_not_bring_the_instrument_back(qapp):
    settings = Settings(instrument="morph", knobs={"tune": 50.0})
    session = Session(settings, crashed=True)
    assert session.crashed_last_time
    session.settings.instrument = "piano"  # as `start` does
    session._take_instrument(OTHER)
    assert session.knobs["brightness"] == 0
    session.close()


def test_equal_states_are_no_step():
    history = History()
    history.push(EditState(), EditState())
    assert not history.can_undo
    assert history.undo() is None
    assert history.redo() is None


def test_a_preset_is_a_value():
    assert Preset("a", knobs={"tune": 1.0}) == Preset("a", knobs={"tune": 1.0})
