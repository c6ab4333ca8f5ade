import json

import numpy as np
import pytest
import soundfile
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QImage, QKeyEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QMenu,
    QWidget,
)

from engine.description import SAMPLE_RATE
from engine.instrument import load_instrument
from engine.knobs import KNOBS
from engine.library import open_instrument
from engine.midi.events import Kind
from engine.midi.files import read_score
from engine.render import RenderOptions, render_array
from musicnn_gui.panels.dialogs import TextDialog
from musicnn_gui.session import SILENT, Session
from musicnn_gui.settings import Settings, settings_path
from musicnn_gui.window import MainWindow
from tests.gui.conftest import write_score
from tests.gui.test_knob import drag

WAIT = 120_000


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
    QTest.keyPress(window, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: keys_down(session) == {60}, timeout=WAIT)
    assert heard(qtbot, session) > before + 1e-3
    QTest.keyRelease(window, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: not keys_down(session), timeout=WAIT)
    qtbot.waitUntil(lambda: session.snapshot.voices == 0, timeout=WAIT)
    assert heard(qtbot, session) < 1e-3


def test_auto_repeat_strikes_no_second_note(qtbot, window, session):
    for repeat in (False, True, True):
        event = QKeyEvent(QKeyEvent.Type.KeyPress, Qt.Key.Key_A, Qt.KeyboardModifier.NoModifier, "a", repeat)
        QApplication.sendEvent(window, event)
    qtbot.waitUntil(lambda: keys_down(session) == {60}, timeout=WAIT)
    assert session.snapshot.voices == 1
    repeated = QKeyEvent(QKeyEvent.Type.KeyRelease, Qt.Key.Key_A, Qt.KeyboardModifier.NoModifier, "a", True)
    QApplication.sendEvent(window, repeated)
    qtbot.wait(100)
    assert keys_down(session) == {60}


def test_a_held_key_that_the_system_repeats_sounds_once(qtbot, window, session, monkeypatch):
    played = []
    monkeypatch.setattr(session, "play", played.append)
    qtbot.keyPress(window, Qt.Key.Key_A)
    for _ in range(5):  # as an X server does that does not mark repetitions
        qtbot.keyRelease(window, Qt.Key.Key_A)
        qtbot.keyPress(window, Qt.Key.Key_A)
        qtbot.wait(30)
    assert [event.kind for event in played] == [Kind.NOTE_ON]
    qtbot.keyRelease(window, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: [event.kind for event in played] == [Kind.NOTE_ON, Kind.NOTE_OFF], timeout=WAIT)


def test_octave_shift_moves_the_typing_keyboard_and_lets_go(qtbot, window, session):
    QTest.keyPress(window, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: keys_down(session) == {60}, timeout=WAIT)
    window.keyboard.up.click()
    qtbot.waitUntil(lambda: not keys_down(session), timeout=WAIT)
    QTest.keyPress(window, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: keys_down(session) == {72}, timeout=WAIT)
    QTest.keyClick(window, Qt.Key.Key_Z)
    assert window.keyboard.octave == 0


def test_c_and_v_change_how_loud_typed_keys_are(qtbot, window, session):
    QTest.keyClick(window, Qt.Key.Key_V)
    assert window.keyboard.velocity == 112
    for _ in range(9):
        QTest.keyClick(window, Qt.Key.Key_C)
    assert window.keyboard.velocity == 16
    assert "16" in window.keyboard._velocity_words.text()


def test_commands_play_nothing(qtbot, window, session):
    QTest.keyPress(window, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    qtbot.wait(100)
    assert not keys_down(session)


def test_a_window_that_loses_the_keyboard_lets_its_keys_go(qtbot, window, session):
    QTest.keyPress(window, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: keys_down(session) == {60}, timeout=WAIT)
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
    assert set(window.knobs.knobs) == set(session.instrument.knobs)
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


def test_a_dropped_file_plays_and_stops(qtbot, window, session, score_file):
    with qtbot.waitSignal(session.score_changed, timeout=WAIT):
        drop(window, score_file)
    assert "four.mid" in window.windowTitle()
    QTest.keyClick(window, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: session.snapshot.playing and session.snapshot.score_position > 0, timeout=WAIT)
    qtbot.waitUntil(lambda: window.transport.play.icon_name == "pause", timeout=WAIT)
    QTest.mouseClick(window.transport.stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not session.snapshot.playing and session.snapshot.score_position == 0, timeout=WAIT)


def test_a_click_on_the_roll_moves_the_score(qtbot, window, session, score_file):
    with qtbot.waitSignal(session.score_changed, timeout=WAIT):
        session.open_score(score_file)
    roll = window.transport.roll
    QTest.mouseClick(roll, Qt.MouseButton.LeftButton, pos=QPoint(roll.width() // 2, 50))
    wanted = session.score.seconds / 2 * SAMPLE_RATE
    qtbot.waitUntil(lambda: abs(session.snapshot.score_position - wanted) < SAMPLE_RATE / 50, timeout=WAIT)


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
    views = window.spectrograms.views
    before = [view._history.copy() for view in views]
    session.note_on(57, 110)
    for view, old in zip(views, before, strict=True):
        qtbot.waitUntil(lambda view=view, old=old: (view._history != old).mean() > 0.001, timeout=WAIT)


INNER = QLineEdit | QAbstractSpinBox | QComboBox
"""Controls that are made of others: those have no name of their own."""


def controls(window):
    """Everything that can be seen and takes the keyboard."""
    for widget in window.findChildren(QWidget):
        takes = widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        if takes and widget.isVisibleTo(window) and not isinstance(widget.parent(), INNER):
            yield widget


def test_every_control_has_an_accessible_name(window):
    found = list(controls(window))
    assert len(found) > 50
    for widget in found:
        assert widget.accessibleName(), widget


def test_every_control_is_reached_with_the_tab_key(window):
    wanted = {widget for widget in controls(window) if widget.isEnabled()}
    reached, widget = set(), window.centralWidget()
    for _ in range(1000):
        widget = widget.nextInFocusChain()
        reached.add(widget)
    assert not [widget for widget in wanted if widget not in reached]
    for widget in (*window.header.findChildren(QAbstractButton), *window.transport.findChildren(QAbstractButton)):
        assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus, widget


def test_nothing_is_clipped_in_the_smallest_window(qtbot, window):
    window.resize(1024, 640)
    qtbot.wait(50)
    assert (window.width(), window.height()) == (1024, 640)
    for widget in controls(window):
        rect = widget.rect().translated(widget.mapTo(window, QPoint()))
        scrolled = window.knobs.isAncestorOf(widget) or window.transport.tracks.isAncestorOf(widget)
        assert scrolled or window.rect().contains(rect), widget.accessibleName()
        least = min(widget.minimumSizeHint().width(), widget.maximumWidth(), 60)
        assert widget.width() >= least, widget.accessibleName()


def test_menu_and_dialogs_open(qtbot, window):
    window.show_menu()
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    assert len([action for action in menu.actions() if action.text()]) == len(window.actions_by_name)
    menu.close()
    window.show_keys()
    window.show_about()
    texts = [dialog.text.toPlainText() for dialog in window.findChildren(TextDialog)]
    assert any("Apache License 2.0" in text for text in texts)
    assert any("Ctrl+Z" in text for text in texts)
    for dialog in window.findChildren(TextDialog):
        dialog.close()


def test_a_turned_knob_is_undone_and_done_again(qtbot, window, session):
    knob = window.knobs.knobs["brightness"]
    drag(knob, QPoint(30, 60), QPoint(30, 20))
    turned = knob.value
    assert turned > 1
    window.actions_by_name["undo"].trigger()
    assert knob.value == session.knobs["brightness"] == 0
    assert window.header.redo.isEnabled()
    window.header.redo.click()
    assert knob.value == turned


def test_the_die_turns_unlocked_knobs_and_one_undo_brings_them_back(qtbot, window, session):
    group = window.knobs.groups[0]
    window.knobs.knobs["body"].lock_asked.emit(True)
    assert window.knobs.knobs["body"].locked
    before = dict(session.knobs)
    group.amount.setValue(80)
    group.dice.click()
    moved = {name for name, knob in window.knobs.knobs.items() if knob.value != before[name]}
    assert moved == set(group.knobs) - {"body"}
    window.header.undo.click()
    assert {name: knob.value for name, knob in window.knobs.knobs.items()} == {
        name: before[name] for name in window.knobs.knobs
    }


def test_sides_are_compared_and_copied(qtbot, window, session):
    header, knob = window.header, window.knobs.knobs["brightness"]
    session.turn("brightness", 3.0)
    header.side_b.click()
    assert session.side == "B"
    assert knob.value == 0
    header.side_a.click()
    assert knob.value == 3
    header.copy.click()
    header.side_b.click()
    assert knob.value == 3


def test_a_preset_is_saved_starred_when_changed_and_loaded_again(qtbot, window, session):
    knob, title = window.knobs.knobs["brightness"], window.header.presets.title
    knob.setFocus()
    QTest.keyClick(knob, Qt.Key.Key_End)
    assert title.text().endswith("*")
    session.save_preset("Bright", "me", "so bright")
    assert title.text() == "Bright"
    QTest.keyClick(knob, Qt.Key.Key_Home)
    assert title.text() == "Bright*"
    window.header.presets.chosen.emit(session.presets[-1])
    assert knob.value == 6
    drop(window, session.presets[-1].path)
    assert title.text() == "Bright"
    window.header.presets.next.click()
    assert title.text() == session.presets[0].title


def test_the_morph_pad_turns_what_is_not_locked(qtbot, window, session):
    knobs, morph = window.knobs.knobs, window.morph
    QTest.keyClick(knobs["brightness"], Qt.Key.Key_End)
    QTest.keyClick(knobs["body"], Qt.Key.Key_End)
    session.save_preset("Bright", "", "")
    session.set_locked("body", True)
    morph.choose(1, [corner.title for corner in morph._choices].index("Bright"))
    morph.pad.setFocus()
    for _ in range(60):
        QTest.keyClick(morph.pad, Qt.Key.Key_Right)
        QTest.keyClick(morph.pad, Qt.Key.Key_Up)
    assert morph.pad.place == (1.0, 0.0)
    assert knobs["brightness"].value == 6
    for _ in range(60):
        QTest.keyClick(morph.pad, Qt.Key.Key_Left)
    assert knobs["brightness"].value == 0
    assert knobs["body"].value == 12


def test_a_loop_is_drawn_marked_and_ended(qtbot, window, session, score_file):
    with qtbot.waitSignal(session.score_changed, timeout=WAIT):
        session.open_score(score_file)
    roll = window.transport.roll
    drag(roll, QPoint(roll.width() // 4, 50), QPoint(roll.width() // 2, 50))
    start, end = session.score_options.loop
    assert roll.loop == (start, end)
    assert end == pytest.approx(2 * start, rel=0.05)
    window.transport.loop.click()
    assert session.score_options.loop is None
    assert roll.loop is None


def test_tempo_transpose_mute_and_solo_reach_the_session_and_come_back(qtbot, window, session, score_file):
    with qtbot.waitSignal(session.score_changed, timeout=WAIT):
        session.open_score(score_file)
    transport = window.transport
    transport.tempo.setValue(150)
    transport.transpose.setValue(-5)
    transport.tracks.rows[0].mute.click()
    options = session.score_options
    assert (options.tempo, options.transpose, options.muted) == (1.5, -5, {0})
    for _ in range(3):
        session.undo()
    assert (transport.tempo.value(), transport.transpose.value()) == (100, 0)
    assert not transport.tracks.rows[0].mute.isChecked()


def test_mute_silences_and_the_volume_knob_lets_it_be_heard(qtbot, window, session):
    header = window.header
    header.mute.click()
    qtbot.waitUntil(lambda: session.snapshot.knobs.get("volume") == -60, timeout=WAIT)
    assert session.knobs["volume"] == 0
    assert not session.can_undo
    QTest.keyClick(header.volume, Qt.Key.Key_Down)
    assert not header.mute.isChecked()
    qtbot.waitUntil(lambda: session.snapshot.knobs.get("volume") == session.knobs["volume"], timeout=WAIT)


def test_wheels_and_pedals_go_to_the_engine_and_are_shown(qtbot, window, session):
    keyboard = window.keyboard
    QTest.keyClick(keyboard.pedals["sustain"], Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: keyboard.pedals["sustain"].accessibleDescription() == "100% down", timeout=WAIT)
    for _ in range(10):
        QTest.keyClick(keyboard.modulation, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: abs(session.modulation - 0.5) < 0.01, timeout=WAIT)
    QTest.mousePress(keyboard.bend, Qt.MouseButton.LeftButton, pos=QPoint(13, 1))
    qtbot.waitUntil(lambda: session.bend > 0.9, timeout=WAIT)
    QTest.mouseRelease(keyboard.bend, Qt.MouseButton.LeftButton, pos=QPoint(13, 1))
    qtbot.waitUntil(lambda: session.bend == 0, timeout=WAIT)


def test_the_hint_goes_when_a_note_is_played_and_stays_away(qtbot, window, session):
    assert window.hint.isVisible()
    QTest.keyPress(window, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: not window.hint.isVisible(), timeout=WAIT)
    window.close()
    reopened = MainWindow(Session(session.settings))
    qtbot.addWidget(reopened)
    assert reopened.hint.isHidden()
    reopened.session.close()


def test_what_is_recorded_is_saved_as_audio_and_midi(qtbot, window, session, tmp_path):
    header = window.header
    window.actions_by_name["record"].trigger()
    assert session.recording is not None
    session.note_on(60, 100)
    qtbot.waitUntil(lambda: (session.recording or 0) > 0.3, timeout=WAIT)
    qtbot.waitUntil(lambda: ":" in header.record.text(), timeout=WAIT)
    with qtbot.waitSignal(session.message, timeout=WAIT):
        session.save_recording(tmp_path / "take.wav")
    qtbot.waitUntil((tmp_path / "take.mid").exists, timeout=WAIT)
    assert soundfile.info(tmp_path / "take.wav").subtype == "PCM_24"
    assert np.abs(soundfile.read(tmp_path / "take.wav")[0]).max() > 1e-3


def test_the_picture_of_both_spectrograms_is_written(qtbot, window, session, tmp_path):
    path = tmp_path / "picture.png"
    window.spectrograms.save_picture(path)
    image = QImage(str(path))
    views = window.spectrograms.views
    assert image.height() >= sum(view.height() for view in views)
    with qtbot.waitSignal(session.message) as said:
        window.spectrograms.save_picture(tmp_path / "missing" / "picture.png")
    assert said.args[1]


def test_one_cursor_reads_both_views(qtbot, window):
    window.spectrograms.sines.hovered.emit(1.0, 440.0)
    assert "A4 +0 ct" in window.spectrograms.readout.text()
    assert all(view._cursor == (1.0, 440.0) for view in window.spectrograms.views)


def test_what_was_chosen_is_remembered(qtbot, window, session):
    session.choose_block(512)
    session.choose_port("")
    window.resize(1024, 650)  # Qt brings back no more than the screen has room for
    window.spectrograms.axis.setCurrentText("mel")
    window.keyboard.shift(1)
    splitter = window.splitters["upper"]
    splitter.setSizes([400, 600])
    sizes = splitter.sizes()
    window.close()
    session.settings.save(settings_path())
    again = Settings.load(settings_path())
    assert (again.block, again.midi_port, again.instrument) == (512, "", "piano")
    reopened = MainWindow(Session(again))
    qtbot.addWidget(reopened)
    assert reopened.height() == 650
    assert reopened.spectrograms.options.axis == "mel"
    assert reopened.keyboard.octave == 1
    reopened.show()
    left, right = reopened.splitters["upper"].sizes()  # the screen may be narrower than the window was
    assert left / right == pytest.approx(sizes[0] / sizes[1], rel=0.02)
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
    assert window.header.monitor.accessibleDescription() == "no sound device"


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
