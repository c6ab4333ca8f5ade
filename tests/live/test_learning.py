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
