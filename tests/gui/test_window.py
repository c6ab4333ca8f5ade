import json

import numpy as np
import pytest
import soundfile
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QKeyEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QSlider

from engine.description import SAMPLE_RATE
from engine.instrument import load_instrument
from engine.knobs import KNOBS
from engine.library import open_instrument
from engine.midi.files import read_score
from engine.render import RenderOptions, render_array
from musicnn_gui.session import SILENT, Session
from musicnn_gui.settings import Settings, settings_path
from musicnn_gui.widgets.knob import KnobWidget
from musicnn_gui.window import MainWindow
from tests.gui.conftest import write_score

WAIT = 20_000


def heard(qtbot, session, seconds=0.3):
    """Loudest sample of what the engine makes within some time."""
    session.taps()
    qtbot.wait(round(1000 * seconds))
    return max((float(np.abs(tap.output).max()) for tap in session.taps()), default=0.0)


def keys_down(session):
    return session.snapshot.keys_down


def drop(window, path):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    buttons, modifiers = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    event = QDropEvent(QPointF(100, 100), Qt.DropAction.CopyAction, data, buttons, modifiers)
    window.dropEvent(event)


def test_without_a_sound_device_the_window_says_so_and_plays_silently(qtbot, window, session):
    assert "no sound device" in window.messages.label.text().lower()
    assert window.messages.isVisible()
    assert session.device == SILENT
    assert window.devices.outputs.currentText() == SILENT
    session.note_on(60, 100)
    qtbot.waitUntil(lambda: 60 in keys_down(session), timeout=WAIT)


def test_a_typed_key_sounds_until_it_is_let_go(qtbot, window, session):
    window._timer.stop()  # the spectrograms would take the taps
    session.engine.tapping = True
    before = heard(qtbot, session)
    QTest.keyPress(window, Qt.Key.Key_Z)
    qtbot.waitUntil(lambda: keys_down(session) == {48}, timeout=WAIT)
    assert heard(qtbot, session) > before + 1e-3
    QTest.keyRelease(window, Qt.Key.Key_Z)
    qtbot.waitUntil(lambda: not keys_down(session), timeout=WAIT)
    qtbot.waitUntil(lambda: session.snapshot.voices == 0, timeout=WAIT)
    assert heard(qtbot, session) < 1e-3


def test_auto_repeat_strikes_no_second_note(qtbot, window, session):
    for repeat in (False, True, True):
        event = QKeyEvent(QKeyEvent.Type.KeyPress, Qt.Key.Key_Q, Qt.KeyboardModifier.NoModifier, "q", repeat)
        QApplication.sendEvent(window, event)
    qtbot.waitUntil(lambda: keys_down(session) == {60}, timeout=WAIT)
    assert session.snapshot.voices == 1
    repeated = QKeyEvent(QKeyEvent.Type.KeyRelease, Qt.Key.Key_Q, Qt.KeyboardModifier.NoModifier, "q", True)
    QApplication.sendEvent(window, repeated)
    qtbot.wait(100)
    assert keys_down(session) == {60}


def test_octave_shift_moves_the_typing_keyboard_and_lets_go(qtbot, window, session):
    QTest.keyPress(window, Qt.Key.Key_Z)
    qtbot.waitUntil(lambda: keys_down(session) == {48}, timeout=WAIT)
    window.keyboard.up.click()
    qtbot.waitUntil(lambda: not keys_down(session), timeout=WAIT)
    QTest.keyPress(window, Qt.Key.Key_Z)
    qtbot.waitUntil(lambda: keys_down(session) == {60}, timeout=WAIT)


def test_commands_play_nothing(qtbot, window, session):
    QTest.keyPress(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.wait(100)
    assert not keys_down(session)


def test_a_window_that_loses_the_keyboard_lets_its_keys_go(qtbot, window, session):
    QTest.keyPress(window, Qt.Key.Key_Z)
    qtbot.waitUntil(lambda: keys_down(session) == {48}, timeout=WAIT)
    window.keyboard.let_go()
    qtbot.waitUntil(lambda: not keys_down(session), timeout=WAIT)


def test_the_mouse_plays_the_piano_louder_further_down(qtbot, window, session):
    piano = window.keyboard.piano
    rect = piano.key_rect(60)
    velocities = []
    piano.pressed.connect(lambda key, velocity: velocities.append((key, velocity)))
    for height in (0.7, 0.95):
        point = QPoint(round(rect.center().x()), round(rect.height() * height))
        QTest.mousePress(piano, Qt.MouseButton.LeftButton, pos=point)
        qtbot.waitUntil(lambda: piano.lit == {60}, timeout=WAIT)
        QTest.mouseRelease(piano, Qt.MouseButton.LeftButton, pos=point)
        qtbot.waitUntil(lambda: not piano.lit, timeout=WAIT)
    assert [key for key, _ in velocities] == [60, 60]
    assert velocities[0][1] < velocities[1][1]


def test_panic_silences_at_once(qtbot, window, session):
    for key in (48, 52, 55):
        session.note_on(key, 110)
    qtbot.waitUntil(lambda: session.snapshot.voices == 3, timeout=WAIT)
    QTest.mouseClick(window.header.panic, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.snapshot.voices == 0, timeout=WAIT)


def test_every_declared_knob_is_there_and_turns_the_engine(qtbot, window, session):
    assert set(window.knobs.knobs) == {"volume", *session.instrument.knobs}
    widget = window.knobs.knobs["brightness"]
    widget.setFocus()
    QTest.keyClick(widget, Qt.Key.Key_Home)
    low = KNOBS["brightness"].low
    assert widget.value == low
    assert session.knobs["brightness"] == low
    qtbot.waitUntil(lambda: session.snapshot.knobs.get("brightness") == low, timeout=WAIT)
    QTest.keyClick(widget, Qt.Key.Key_Delete)
    assert session.knobs["brightness"] == KNOBS["brightness"].default
    QTest.keyClick(widget, Qt.Key.Key_Up)
    assert session.knobs["brightness"] > KNOBS["brightness"].default
    QTest.mouseDClick(widget, Qt.MouseButton.LeftButton)
    assert session.knobs["brightness"] == KNOBS["brightness"].default


def test_dragging_up_turns_up_and_shift_is_fine(qtbot, window):
    widget = KnobWidget(KNOBS["volume"])
    qtbot.addWidget(widget)
    widget.show()
    turned = []
    widget.turned.connect(turned.append)
    amounts = []
    for modifier in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier):
        widget.set_value(-20)
        QTest.mousePress(widget, Qt.MouseButton.LeftButton, pos=QPoint(30, 60))
        event_at = QPoint(30, 40)
        moved = _move(widget, event_at, modifier)
        QApplication.sendEvent(widget, moved)
        QTest.mouseRelease(widget, Qt.MouseButton.LeftButton, pos=event_at)
        amounts.append(widget.value + 20)
    assert amounts[0] > 5 * amounts[1] > 0
    assert len(turned) == 2


def _move(widget, point, modifiers):
    from PySide6.QtGui import QMouseEvent

    place = QPointF(point)
    return QMouseEvent(
        QMouseEvent.Type.MouseMove, place, widget.mapToGlobal(place), Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton, modifiers,
    )  # fmt: skip


def test_a_dropped_file_plays_and_stops(qtbot, window, session, score_file):
    with qtbot.waitSignal(session.score_changed, timeout=WAIT):
        drop(window, score_file)
    assert "four.mid" in window.windowTitle()
    QTest.keyClick(window, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: session.snapshot.playing and session.snapshot.score_position > 0, timeout=WAIT)
    qtbot.waitUntil(lambda: window.transport.play.text() == "Pause", timeout=WAIT)
    QTest.mouseClick(window.transport.stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not session.snapshot.playing and session.snapshot.score_position == 0, timeout=WAIT)


def test_the_slider_moves_the_score(qtbot, window, session, score_file):
    with qtbot.waitSignal(session.score_changed, timeout=WAIT):
        session.open_score(score_file)
    window.transport.slider.setValue(500)
    qtbot.waitUntil(lambda: session.snapshot.score_position == SAMPLE_RATE // 2, timeout=WAIT)


@pytest.mark.parametrize(
    ("name", "content"), [("empty.mid", b""), ("text.mid", b"no music here"), ("cut.mid", b"MThd\0\0\0\6\0\1")]
)
def test_a_broken_file_is_one_sentence_and_the_old_score_stays(qtbot, window, session, score_file, name, content):
    with qtbot.waitSignal(session.score_changed, timeout=WAIT):
        session.open_score(score_file)
    bad = score_file.with_name(name)
    bad.write_bytes(content)
    with qtbot.waitSignal(session.message, timeout=WAIT) as said:
        drop(window, bad)
    text, problem = said.args
    assert problem
    assert name in text
    assert "Traceback" not in text
    assert session.score_path == score_file
    qtbot.waitUntil(lambda: session.snapshot.score_length == session.score.length, timeout=WAIT)


def test_export_writes_what_render_writes(qtbot, window, session, score_file, tmp_path):
    with qtbot.waitSignal(session.score_changed, timeout=WAIT):
        session.open_score(score_file)
    session.turn("brightness", 3.0)
    target = tmp_path / "out.wav"
    with qtbot.waitSignal(session.export_ended, timeout=3 * WAIT) as ended:
        window.transport.start_export(target)
    assert ended.args == ["out.wav"]
    sound, rate = soundfile.read(target, dtype="float32")
    wanted = render_array(read_score(score_file, rate), open_instrument("piano"), RenderOptions({"brightness": 3.0}))
    assert rate == SAMPLE_RATE
    assert soundfile.info(target).subtype == "PCM_24"
    assert sound.shape == wanted.shape
    assert np.abs(sound - wanted).max() < 1e-6
    assert window.transport.export.isVisible()


def test_a_cancelled_export_leaves_nothing(qtbot, window, session, tmp_path):
    long = write_score(tmp_path / "long.mid", [*range(30, 100)] * 4)
    with qtbot.waitSignal(session.score_changed, timeout=WAIT):
        session.open_score(long)
    with qtbot.waitSignal(session.export_progress, timeout=WAIT):
        window.transport.start_export(tmp_path / "out.flac")
    with qtbot.waitSignal(session.export_ended, timeout=WAIT) as ended:
        QTest.mouseClick(window.transport.cancel, Qt.MouseButton.LeftButton)
    assert ended.args == [""]
    assert [path.name for path in tmp_path.iterdir()] == ["long.mid"]


def test_an_export_that_cannot_be_written_is_one_sentence(qtbot, window, session, score_file):
    with qtbot.waitSignal(session.score_changed, timeout=WAIT):
        session.open_score(score_file)
    with qtbot.waitSignals([session.message, session.export_ended], timeout=WAIT):
        window.transport.start_export(score_file.parent / "missing" / "out.wav")
    assert "cannot be written" in window.messages.label.text()


def test_a_bad_instrument_leaves_the_old_one_playing(qtbot, window, session, tmp_path):
    bad = tmp_path / "broken"
    bad.mkdir()
    (bad / "instrument.json").write_text("{", encoding="utf-8")
    with qtbot.waitSignal(session.message, timeout=WAIT) as said:
        drop(window, bad)
    assert said.args[1]
    assert "broken" in said.args[0]
    assert session.snapshot.instrument == "piano"
    session.note_on(60, 90)
    qtbot.waitUntil(lambda: session.snapshot.voices == 1, timeout=WAIT)


def test_another_instrument_takes_over_while_keys_are_held(qtbot, window, session, tmp_path):
    from engine.instrument import save_instrument

    piano = load_instrument(_shipped())
    copy = tmp_path / "second"
    save_instrument(piano, copy, "A copy.")
    session.note_on(60, 90)
    qtbot.waitUntil(lambda: session.snapshot.voices == 1, timeout=WAIT)
    with qtbot.waitSignal(session.instrument_changed, timeout=WAIT):
        drop(window, copy)
    qtbot.waitUntil(lambda: session.snapshot.instrument == "second" and session.snapshot.voices == 0, timeout=WAIT)
    session.note_on(62, 90)
    qtbot.waitUntil(lambda: session.snapshot.voices == 1, timeout=WAIT)


def _shipped():
    from engine.library import instruments

    return next(entry.folder for entry in instruments() if entry.name == "piano")


def test_both_spectrograms_show_what_sounds(qtbot, window, session):
    views = (window.spectrograms.sines, window.spectrograms.output)
    before = [view._ring._pixels.copy() for view in views]
    session.note_on(57, 110)
    for view, old in zip(views, before, strict=True):
        qtbot.waitUntil(lambda view=view, old=old: (view._ring._pixels != old).mean() > 0.01, timeout=WAIT)


def test_the_output_spectrogram_is_bright_at_the_note(qtbot, window, session):
    from musicnn_gui.widgets.spectrogram import ROWS, Spectrum, _row_of

    spectrum = Spectrum(SAMPLE_RATE)
    hz = 46 * SAMPLE_RATE / 2048  # the middle of a bin
    time = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    columns = spectrum.push(np.sin(2 * np.pi * hz * time).astype(np.float32))
    loudest = columns[5:].argmax(axis=1)
    assert abs(loudest - _row_of(hz)).max() <= 1.5
    assert columns.shape[1] == ROWS
    assert abs(columns[5:].max() - 0) < 0.5  # a full-scale sine stands at 0 dB


def test_every_control_has_an_accessible_name(window):
    for kind in (QAbstractButton, QComboBox, QSlider, KnobWidget):
        for widget in window.findChildren(kind):
            if widget.isVisibleTo(window):
                text = widget.text() if isinstance(widget, QAbstractButton) else ""
                assert widget.accessibleName() or text, widget


def test_what_was_chosen_is_remembered(qtbot, window, session):
    session.choose_block(512)
    session.choose_port("")
    window.resize(1000, 650)  # Qt brings back no more than the screen has room for
    window.close()
    session.settings.save(settings_path())
    again = Settings.load(settings_path())
    assert (again.block, again.midi_port, again.instrument) == (512, "", "piano")
    reopened = MainWindow(Session(again))
    qtbot.addWidget(reopened)
    assert reopened.height() == 650
    reopened.session.close()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"block": "x", "instrument": 3}', "\x00"])
def test_damaged_settings_fall_back_to_defaults(own_folders, text):
    settings_path().parent.mkdir(parents=True)
    settings_path().write_text(text, encoding="utf-8")
    assert Settings.load(settings_path()) == Settings()


def test_settings_of_a_newer_version_are_read_as_far_as_known(own_folders):
    settings_path().parent.mkdir(parents=True)
    settings_path().write_text(json.dumps({"block": 128, "something": 1}), encoding="utf-8")
    assert Settings.load(settings_path()).block == 128


def test_the_status_line_says_how_it_goes(qtbot, window, session):
    session.note_on(60, 90)
    qtbot.waitUntil(lambda: "voices 1" in window.status.text(), timeout=WAIT)


def test_a_signal_survives_many_emissions(qtbot, session):
    """PySide6 6.12.0 crashes here on Python 3.11."""
    count = 0

    def hear(text, problem):
        nonlocal count
        count += 1

    session.message.connect(hear)
    for _ in range(200_000):
        session.message.emit("x", True)
    assert count == 200_000
