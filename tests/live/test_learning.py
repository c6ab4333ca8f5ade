"""A controller of a real MIDI port turns a knob in the engine's process, and the session hears of it."""

import pytest

from engine.knobs import KNOBS
from musicnn_gui.session import Session
from musicnn_gui.settings import Settings
from tests.live.conftest import Player

CONTROL = 0xB0
WAIT = 60_000


@pytest.fixture
def session(qtbot, jack_server, monkeypatch):
    monkeypatch.setenv("JACK_DEFAULT_SERVER", jack_server)
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    session = Session(Settings())
    with qtbot.waitSignal(session.ready, timeout=WAIT):
        session.start()
    yield session
    session.close()


def test_a_controller_is_learned_takes_over_softly_and_reports(qtbot, session, jack_server):
    player = Player(jack_server)
    try:
        player.connect()
        session.learn("brightness")
        qtbot.wait(300)  # until the engine has begun to listen
        player.send(CONTROL, 64, 127)  # a pedal is never learned
        player.send(CONTROL, 20, 10)
        qtbot.waitUntil(lambda: session.mapping == {"brightness": 20}, timeout=WAIT)
        qtbot.waitUntil(lambda: session.pedals["sustain"] == 1, timeout=WAIT)
        assert session.learning is None
        player.send(CONTROL, 20, 30)
        qtbot.wait(300)
        assert session.knobs["brightness"] == 0  # the knob stands in the middle, and has not been reached
        before = session.midi_activity
        with qtbot.waitSignal(session.knobs_changed, timeout=WAIT) as moved:
            for value in range(35, 128):
                player.send(CONTROL, 20, value)
        assert moved.args == [["brightness"]]
        knob = KNOBS["brightness"]
        qtbot.waitUntil(lambda: session.knobs["brightness"] == knob.high, timeout=WAIT)
        qtbot.waitUntil(lambda: session.snapshot.knobs["brightness"] == knob.high, timeout=WAIT)
        assert session.midi_activity > before
        session.undo()
        qtbot.waitUntil(lambda: session.snapshot.knobs["brightness"] < knob.high, timeout=WAIT)
        session.undo()
        assert session.mapping == {}
    finally:
        player.close()


@pytest.mark.parametrize("act", ["preset", "undo", "redo", "side", "die"])
def test_a_knob_that_was_moved_meanwhile_has_to_be_reached_again(qtbot, session, jack_server, act):
    player, knob = Player(jack_server), KNOBS["brightness"]
    try:
        player.connect()
        session.learn("brightness")
        qtbot.wait(300)  # until the engine has begun to listen
        player.send(CONTROL, 20, 127)
        qtbot.waitUntil(lambda: session.mapping == {"brightness": 20}, timeout=WAIT)
        qtbot.wait(300)
        player.send(CONTROL, 20, 0)  # one jump, over the knob in the middle
        qtbot.waitUntil(lambda: session.knobs["brightness"] == knob.low, timeout=WAIT)
        if act == "redo":
            session.turn("brightness", 2.0)
            session.undo()
            session.redo()
        elif act == "die":
            session.randomise(["brightness"], 1.0)
        else:
            {"preset": lambda: session.load_preset(session.presets[0]), "undo": session.undo,
             "side": session.switch_side}[act]()  # fmt: skip
        placed = session.knobs["brightness"]
        assert placed > knob.low
        qtbot.waitUntil(lambda: session.snapshot.knobs["brightness"] == placed, timeout=WAIT)
        place = round(127 * knob.to_position(placed))
        player.send(CONTROL, 20, min(3, place - 4))
        qtbot.wait(300)
        assert session.knobs["brightness"] == placed
        player.send(CONTROL, 20, 127)
        qtbot.waitUntil(lambda: session.knobs["brightness"] == knob.high, timeout=WAIT)
    finally:
        player.close()
