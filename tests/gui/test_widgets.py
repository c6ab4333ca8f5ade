import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QWidget

from engine.description import SAMPLE_RATE
from engine.midi.files import read_score
from musicnn_gui import typing_keys
from musicnn_gui.assets import DEMO
from musicnn_gui.crash import CrashReport, log_path
from musicnn_gui.gallery import WIDGETS, Gallery, write_pictures
from musicnn_gui.panels.dialogs import LIBRARIES, about_html, crash_dialog, keys_html, libraries
from musicnn_gui.panels.morph import Corner, mix
from musicnn_gui.widgets.browser import ITEM, BrowserItem, BrowserPopup
from musicnn_gui.widgets.meter import MeterWidget
from musicnn_gui.widgets.monitor import MonitorWidget
from musicnn_gui.widgets.piano import PianoWidget
from musicnn_gui.widgets.pianoroll import PianoRoll, RollNote, roll_notes
from musicnn_gui.widgets.tracks import TrackList
from musicnn_gui.widgets.wheels import PedalWidget, WheelWidget
from musicnn_gui.widgets.xypad import XYPad
from tests.gui.test_knob import drag
from tests.gui.test_spectrogram import pixels

INNER = QLineEdit | QAbstractSpinBox | QComboBox
"""Controls that are made of others: those have no name of their own."""


@pytest.fixture
def shown(qtbot, themed):
    """Shows a widget for the time of a test."""

    def show(widget, wide=None, high=None):
        qtbot.addWidget(widget)
        if wide:
            widget.resize(wide, high)
        widget.show()
        return widget

    return show


# --- gallery ---


@pytest.mark.parametrize("name", WIDGETS)
def test_each_widget_of_the_gallery_runs_alone_and_draws_something(shown, name):
    widget = shown(WIDGETS[name]())
    assert len(np.unique(pixels(widget))) > 3


@pytest.mark.parametrize("name", WIDGETS)
def test_each_control_of_the_gallery_has_a_name(shown, name):
    widget = shown(WIDGETS[name]())
    for control in [widget, *widget.findChildren(QWidget)]:
        seen = control.isVisibleTo(widget) and control.focusPolicy() & Qt.FocusPolicy.TabFocus
        if seen and not isinstance(control.parent(), INNER):
            text = control.text() if isinstance(control, QAbstractButton) else ""
            assert control.accessibleName() or text, control


def test_the_gallery_shows_and_writes_all_of_them(shown, tmp_path):
    assert shown(Gallery()).isVisible()
    write_pictures(tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == len(WIDGETS)


# --- piano ---


def test_the_mouse_plays_louder_further_down_and_glides(shown):
    piano, told = shown(PianoWidget(), 1040, 100), []
    piano.pressed.connect(lambda key, velocity: told.append((key, velocity)))
    piano.released.connect(told.append)
    rect = piano.key_rect(60)
    for share in (0.7, 0.95):
        point = QPoint(round(rect.center().x()), round(rect.height() * share))
        QTest.mouseClick(piano, Qt.MouseButton.LeftButton, pos=point)
    assert [told[0][0], told[1], told[2][0], told[3]] == [60, 60, 60, 60]
    assert told[0][1] < told[2][1]
    told.clear()
    drag(piano, QPoint(round(rect.center().x()), 90), QPoint(round(piano.key_rect(62).center().x()), 90))
    assert [row if isinstance(row, int) else row[0] for row in told] == [60, 60, 62, 62]


def test_keys_choose_and_play(shown):
    piano, told = shown(PianoWidget(), 1040, 100), []
    piano.pressed.connect(lambda key, velocity: told.append(key))
    piano.released.connect(lambda key: told.append(-key))
    QTest.keyClick(piano, Qt.Key.Key_Right)
    QTest.keyClick(piano, Qt.Key.Key_Return)
    assert told == [61, -61]


def test_every_key_is_found_where_it_is_drawn(shown):
    piano = shown(PianoWidget(), 1040, 100)
    for first, last in ((21, 108), (36, 71)):
        piano.set_span(first, last)
        for key in range(first, last + 1):
            rect = piano.key_rect(key)
            assert piano.key_at(QPointF(rect.center().x(), rect.bottom() - 3)) == key
    assert piano.key_at(QPointF(-1, 5)) is None


def test_a_lit_key_is_drawn_over_the_resting_ones_and_goes_out(shown):
    piano = shown(PianoWidget(), 1040, 100)
    resting = piano.grab().toImage()
    piano.set_lit(frozenset({60, 61}))
    assert piano.grab().toImage() != resting
    piano.set_lit(frozenset())
    assert piano.grab().toImage() == resting


# --- typing keyboard ---


def test_the_home_row_is_white_and_the_row_above_is_black():
    by_letter = {chr(code): offset for code, offset in typing_keys.OFFSETS.items()}
    assert [by_letter[letter] for letter in "ASDFGHJK"] == [0, 2, 4, 5, 7, 9, 11, 12]
    assert [by_letter[letter] for letter in "WETYUOP"] == [1, 3, 6, 8, 10, 13, 15]
    assert len(set(by_letter.values())) == len(by_letter)
    assert sorted(by_letter.values()) == list(range(19))
    assert not set(typing_keys.COMMANDS) & set(typing_keys.OFFSETS)


# --- wheels and pedals ---


def test_the_bend_wheel_springs_back_and_the_modulation_wheel_stays(shown):
    for springs, rest in ((True, 0.0), (False, 1.0)):
        wheel, told = shown(WheelWidget("Wheel", "w", -1.0 if springs else 0.0, springs), 26, 100), []
        wheel.moved.connect(told.append)
        drag(wheel, QPoint(13, 60), QPoint(13, 0))
        assert max(told) == 1.0
        assert wheel.value == rest


def test_a_held_wheel_does_not_follow_what_comes_in(shown):
    wheel = shown(WheelWidget("Wheel", "w", 0.0, False), 26, 100)
    QTest.mousePress(wheel, Qt.MouseButton.LeftButton, pos=QPoint(13, 0))
    wheel.set_value(0.2)
    assert wheel.value == 1.0
    QTest.mouseRelease(wheel, Qt.MouseButton.LeftButton, pos=QPoint(13, 0))
    wheel.set_value(0.2)
    assert wheel.value == 0.2


def test_a_pedal_shows_half_and_asks_for_down_and_up(shown):
    pedal, told = shown(PedalWidget("Sustain", "Sus")), []
    pedal.toggled.connect(told.append)
    QTest.keyClick(pedal, Qt.Key.Key_Return)
    pedal.set_depth(0.5)
    QTest.mouseClick(pedal, Qt.MouseButton.LeftButton)
    assert told == [True, False]
    assert pedal.accessibleDescription() == "50% down"


# --- meter and monitor ---


def test_the_meter_holds_peaks_and_the_clip_light_stays_until_it_is_clicked(shown):
    meter = shown(MeterWidget())
    meter.show_levels(1.0, 0.1, 1.0)
    meter.show_levels(0.001, 0.001, 1.0)
    assert meter.clipped
    assert meter.accessibleDescription() == "0 dB, clipped"
    QTest.mouseClick(meter, Qt.MouseButton.LeftButton)
    assert not meter.clipped


def test_the_midi_light_goes_on_and_out(qtbot, shown):
    monitor = shown(MonitorWidget())
    monitor.show_midi(1)
    assert monitor.midi_lit
    qtbot.waitUntil(lambda: monitor.show_midi(1) or not monitor.midi_lit, timeout=5000)


def test_the_monitor_says_what_it_shows(shown):
    monitor = shown(MonitorWidget())
    monitor.show_state(None, 0, 0)
    assert monitor.accessibleDescription() == "no sound device"
    monitor.show_state(0.251, 9.34, 2)
    assert monitor.accessibleDescription() == "load 25%, latency 9.3 ms, xruns 2"


# --- piano roll and tracks ---


@pytest.fixture
def roll(shown):
    roll = shown(PianoRoll(), 600, 120)
    notes = [RollNote(second, second + 0.5, 60 + second, second % 2, 90) for second in range(60)]
    roll.set_notes(notes, 60.0)
    roll.told = []
    roll.seek_asked.connect(lambda seconds: roll.told.append(("seek", round(seconds, 2))))
    roll.loop_asked.connect(lambda loop: roll.told.append(("loop", loop)))
    return roll


def test_a_click_seeks_and_a_drag_loops(roll):
    first, last = roll.view
    QTest.mouseClick(roll, Qt.MouseButton.LeftButton, pos=QPoint(300, 60))
    assert roll.told == [("seek", (first + last) / 2)]
    drag(roll, QPoint(450, 60), QPoint(150, 60))
    name, loop = roll.told[1]
    assert name == "loop"
    assert loop == pytest.approx((0.25 * last, 0.75 * last))
    roll.set_loop(loop)
    QTest.mouseClick(roll, Qt.MouseButton.RightButton, pos=QPoint(300, 60))
    assert roll.told[2] == ("loop", None)


def test_keys_move_the_playhead_and_zoom(roll):
    roll.set_position(20.0)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_PageDown, Qt.Key.Key_Home, Qt.Key.Key_End):
        QTest.keyClick(roll, key)
    assert roll.told == [("seek", 21), ("seek", 19), ("seek", 30), ("seek", 0), ("seek", 60)]
    span = roll.view[1] - roll.view[0]
    QTest.keyClick(roll, Qt.Key.Key_Plus)
    assert roll.view[1] - roll.view[0] == pytest.approx(span / 1.25)


def test_the_view_follows_the_playhead(roll):
    for seconds in (5.0, 23.0, 47.0, 60.0, 0.0):
        roll.set_position(seconds)
        assert roll.view[0] <= seconds <= roll.view[1]


def test_a_silent_track_is_fainter(roll):
    before = roll.grab().toImage()
    roll.set_silent(frozenset({1}))
    assert roll.grab().toImage() != before
    roll.set_silent(frozenset())
    assert roll.grab().toImage() == before


def test_every_note_of_the_demo_becomes_a_bar():
    score = read_score(DEMO, SAMPLE_RATE)
    notes = roll_notes(score)
    assert len(notes) == score.notes
    assert all(0 <= note.start < note.end <= score.seconds + 1e-6 for note in notes)
    assert {note.track for note in notes} == {track.index for track in score.tracks}


def test_tracks_ask_for_mute_solo_and_an_instrument(shown):
    tracks, told = shown(TrackList(), 240, 100), []
    tracks.set_tracks(["One", "Two"], [("piano", "Grand Piano")])
    tracks.mute_asked.connect(lambda *row: told.append(("mute", *row)))
    tracks.solo_asked.connect(lambda *row: told.append(("solo", *row)))
    tracks.instrument_asked.connect(lambda *row: told.append(("instrument", *row)))
    tracks.show_state(frozenset({0}), frozenset({1}))
    assert told == []
    assert tracks.rows[0].mute.isChecked()
    tracks.rows[0].mute.click()
    tracks.rows[1].solo.click()
    tracks.rows[1].instrument.activated.emit(1)
    tracks.rows[1].instrument.activated.emit(0)
    assert told == [("mute", 0, False), ("solo", 1, False), ("instrument", 1, "piano"), ("instrument", 1, None)]


# --- morph pad ---


def test_the_pad_moves_by_mouse_and_keys_each_as_one_gesture(shown):
    pad, told = shown(XYPad(), 170, 170), []
    pad.gesture_began.connect(lambda: told.append("began"))
    pad.moved.connect(lambda x, y: told.append((round(x, 2), round(y, 2))))
    pad.gesture_ended.connect(lambda: told.append("ended"))
    drag(pad, QPoint(85, 85), QPoint(160, 10))
    assert told == ["began", (1.0, 0.0), "ended"] or told[-2:] == [(1.0, 0.0), "ended"]
    told.clear()
    QTest.keyClick(pad, Qt.Key.Key_Left)
    assert told == ["began", (0.98, 0.0), "ended"]


def test_corners_are_what_they_are_named_and_the_middle_is_between(shown):
    values = zip("abcd", (-2, 2, 0, 3), strict=True)
    corners = [Corner(name, {"latent1": value, "latent2": 1.0}) for name, value in values]
    pad = shown(XYPad(), 170, 170)
    for place, value in (((0, 0), -2), ((1, 0), 2), ((0, 1), 0), ((1, 1), 3), ((0.5, 0.5), 0.75)):
        pad.set_place(*place)
        assert sum(pad.weights) == pytest.approx(1)
        assert mix(corners, pad.weights) == {"latent1": pytest.approx(value), "latent2": pytest.approx(1.0)}


def test_a_corner_that_does_not_set_a_knob_stands_at_its_default():
    corners = [Corner("a", {"width": 2.0}), Corner("b", {}), Corner("c", {}), Corner("d", {})]
    assert mix(corners, (0.5, 0.5, 0, 0)) == {"width": pytest.approx(1.5)}


# --- browser ---


@pytest.fixture
def popup(shown):
    popup = BrowserPopup("instrument")
    popup.setWindowFlags(Qt.WindowType.Widget)
    popup.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    popup.set_items([
        BrowserItem("p", "Piano", "grand, dry", False), BrowserItem("m", "Morph", "many timbres", True),
        BrowserItem("k", "Kit", "drums", False),
    ])  # fmt: skip
    popup.told = []
    popup.chosen.connect(lambda key: popup.told.append(("chosen", key)))
    popup.favourite_asked.connect(lambda key, on: popup.told.append(("favourite", key, on)))
    return shown(popup, 300, 300)


def rows(popup):
    return [popup.list.item(row).data(ITEM).title for row in range(popup.list.count())]


def test_favourites_come_first_and_search_looks_at_everything(popup):
    assert rows(popup) == ["Morph", "Piano", "Kit"]
    QTest.keyClicks(popup.search, "dry gr")
    assert rows(popup) == ["Piano"]
    popup.search.clear()
    popup.only.click()
    assert rows(popup) == ["Morph"]


def test_a_browser_is_used_with_keys_alone(popup):
    QTest.keyClick(popup.search, Qt.Key.Key_Down)
    QTest.keyClick(popup.search, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(popup.search, Qt.Key.Key_Return)
    assert popup.told == [("favourite", "p", True), ("chosen", "p")]


# --- dialogs ---


def test_about_names_every_library_with_its_licence():
    html = about_html("1.2.3")
    assert "1.2.3" in html
    assert "Apache" in html
    assert [name for name, _, _ in libraries()] == list(LIBRARIES)
    for name, version, licence in libraries():
        assert name in html
        assert version[0].isdigit()
        assert 2 < len(licence) < 120


def test_the_crash_dialog_says_where_the_log_is(qtbot):
    dialog = crash_dialog(CrashReport.of(RuntimeError("no such thing")), None)
    qtbot.addWidget(dialog)
    assert str(log_path()) in dialog.text()
    assert "no such thing" in dialog.detailedText()
    assert not dialog.isModal()


def test_the_table_of_keys_names_every_shortcut_once():
    from musicnn_gui.keys import ACTIONS, key_groups

    shortcuts = [row.keys for row in ACTIONS if row.keys]
    assert len(shortcuts) == len(set(shortcuts))
    html = keys_html(key_groups())
    assert all(row.text in html for row in ACTIONS if row.keys)


def test_a_frame_is_cheap(shown):
    """Columns of a sixtieth of a second, and the drawing, in less than a quarter of a frame of this thread's time."""
    import time

    from musicnn_gui.widgets.spectrogram import SpectrogramView

    view = shown(SpectrogramView("noise", SAMPLE_RATE), 700, 230)
    random = np.random.default_rng(0)
    frames = [0.1 * random.standard_normal(735).astype(np.float32) for _ in range(60)]
    view.push(frames[0])
    begin = time.thread_time()
    for frame in frames:
        view.push(frame)
        view.repaint()
    assert (time.thread_time() - begin) / len(frames) < 0.004
