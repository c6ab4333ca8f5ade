"""Typed, clicked and entered notes on the real keyboard panel in a real window; what is played goes to a list."""

import os

import pytest
import shiboken6
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from PySide6.QtCore import QEvent, QEventLoop, QMimeData, QObject, QPoint, QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QDragEnterEvent, QGuiApplication, QKeyEvent, QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QDialog,
    QLineEdit,
    QMainWindow,
    QMenu,
    QPlainTextEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from engine.reports import InstrumentInfo
from musicnn_gui import typing_keys
from musicnn_gui.held_keys import HeldKeys
from musicnn_gui.keys import key_groups
from musicnn_gui.legends import DEAD, DEAD_QT, Legends, printed
from musicnn_gui.panels.keyboard import KeyboardPanel
from musicnn_gui.typing_keyboard import REPEAT_MS

A, S = Qt.Key.Key_A, Qt.Key.Key_S
LEFT = Qt.MouseButton.LeftButton


class Played(QObject):
    """As much of a session as the panel needs; `log` has keys that began, and the negatives of those that ended."""

    instrument_changed = Signal()

    def __init__(self):
        super().__init__()
        self.instrument, self.log, self.events = None, [], []

    def note_on(self, key, velocity):
        self.log.append(key)

    def note_off(self, key):
        self.log.append(-key)

    def play(self, event):
        self.events.append(event)

    def play_or_pause(self):
        pass

    def stop(self):
        pass

    @property
    def sounding(self):
        down = set()
        for key in self.log:
            down = down | {key} if key > 0 else down - {-key}
        return down

    def load(self, kind, keys=range(21, 109), pads=()):
        self.instrument = InstrumentInfo(kind, kind, kind, kind, keys, (), {}, None, pads)
        self.instrument_changed.emit()


class Desk:
    """A window with the panel and everything that may take the keyboard away."""

    def __init__(self):
        self.session, self.window, self.body = Played(), QMainWindow(), QWidget()
        self.panel = KeyboardPanel(self.session)
        self.fields = {"line": QLineEdit(), "spin": QSpinBox(), "text": QPlainTextEdit(), "combo": QComboBox()}
        self.fields["combo"].addItems(["one", "two"])
        self.fields["editable"] = QComboBox()
        self.fields["editable"].setEditable(True)
        column = QVBoxLayout(self.body)
        for widget in (self.panel, *self.fields.values()):
            column.addWidget(widget)
        self.window.setCentralWidget(self.body)
        self.body.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.window.resize(900, 500)
        self.others = []
        QApplication.instance().installEventFilter(self.panel)
        self.window.show()
        self.go_back()

    def go_back(self):
        self.window.activateWindow()
        self.body.setFocus()
        QApplication.processEvents()

    def close(self):
        if shiboken6.isValid(self.panel):
            QApplication.instance().removeEventFilter(self.panel)
        for other in self.others:
            other.close()
            other.deleteLater()
        self.window.close()
        self.window.deleteLater()
        QApplication.processEvents()

    def menu(self):
        menu = QMenu(self.window)
        menu.addAction("Default")
        self.others.append(menu)
        menu.popup(self.window.pos())
        QApplication.processEvents()
        return menu

    def dialog(self, modal=True):
        dialog = QDialog(self.window)
        dialog.setModal(modal)
        field = QLineEdit(dialog)
        self.others.append(dialog)
        dialog.show()
        dialog.activateWindow()
        field.setFocus()
        QApplication.processEvents()
        return field

    def target(self):
        return QApplication.activePopupWidget() or QApplication.focusWidget() or self.window


@pytest.fixture
def desk(qapp):
    desk = Desk()
    yield desk
    desk.close()


def settle():
    """Until what came up is known to be up."""
    loop = QEventLoop()
    QTimer.singleShot(REPEAT_MS + 3, loop.quit)
    loop.exec()
    QApplication.processEvents()


def press(widget, key=A, text="a", *, repeat=False, kind=QEvent.Type.KeyPress):
    event = QKeyEvent(kind, key, Qt.KeyboardModifier.NoModifier, text, repeat)
    QApplication.sendEvent(widget, event)


# --- where a release may go ---


def to_field(name):
    def go(desk):
        desk.fields[name].setFocus()
        QApplication.processEvents()
        return QApplication.focusWidget()

    return go


def to_combo_list(desk):
    desk.fields["combo"].showPopup()
    QApplication.processEvents()
    return QApplication.activePopupWidget() or desk.fields["combo"].view()


def to_second_menu(desk):
    desk.menu()
    return desk.menu()


PLACES = {
    **{name: to_field(name) for name in ("line", "spin", "text", "combo", "editable")},
    "menu": Desk.menu, "menu over menu": to_second_menu, "list of a combo": to_combo_list, "modal dialog": Desk.dialog,
    "other window": lambda desk: desk.dialog(modal=False), "the window": lambda desk: desk.window,
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_typed_note_ends_wherever_its_release_goes_and_the_next_press_sounds(desk, place):
    QTest.keyPress(desk.body, A)
    target = PLACES[place](desk)
    QTest.keyRelease(target, A)
    settle()
    assert desk.session.log == [60, -60]
    for other in desk.others:
        other.close()
    desk.fields["combo"].hidePopup()
    desk.go_back()
    QTest.keyPress(desk.body, A)
    assert desk.session.sounding == {60}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("source", ["mouse", "enter"])
def test_a_key_of_the_piano_ends_wherever_its_release_goes(desk, place, source):
    piano, point = desk.panel.piano, None
    if source == "mouse":
        point = piano.key_rect(60).center().toPoint()
        QTest.mousePress(piano, LEFT, pos=point)
    else:
        piano.setFocus()
        QTest.keyPress(piano, Qt.Key.Key_Return)
    assert desk.session.log == [60]
    target = PLACES[place](desk)
    if source == "mouse":
        QTest.mouseRelease(target, LEFT, pos=QPoint(1, 1))
    else:
        QTest.keyRelease(target, Qt.Key.Key_Return)
    assert desk.session.log == [60, -60]


def deactivate(desk):
    QApplication.sendEvent(desk.window, QEvent(QEvent.Type.WindowDeactivate))


def deactivate_program(desk):
    QApplication.sendEvent(QApplication.instance(), QEvent(QEvent.Type.ApplicationDeactivate))


def drag_in(desk):
    data = QMimeData()
    data.setText("file")
    action, modifiers = Qt.DropAction.CopyAction, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(desk.window, QDragEnterEvent(QPoint(5, 5), action, data, LEFT, modifiers))


LOSSES = {
    "Alt+Tab": deactivate, "another program": deactivate_program, "hidden": lambda desk: desk.window.hide(),
    "panel hidden": lambda desk: desk.panel.hide(), "closed": lambda desk: desk.window.close(), "drag": drag_in,
    "octave": lambda desk: desk.panel.shift(1), "no more": lambda desk: desk.panel.let_go(),
    "destroyed": lambda desk: (desk.panel.setParent(None), desk.panel.deleteLater(), QTest.qWait(1)),
}  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
def test_where_no_release_can_come_the_note_ends_at_once(desk, loss):
    QTest.keyPress(desk.body, A)
    assert desk.session.log == [60]
    LOSSES[loss](desk)
    assert desk.session.log == [60, -60]


@pytest.mark.parametrize("loss", ["Alt+Tab", "another program", "octave"])
def test_a_key_that_is_still_down_stays_silent_until_it_is_struck_again(desk, loss):
    QTest.keyPress(desk.body, A)
    LOSSES[loss](desk)
    desk.session.log.clear()
    press(desk.body, repeat=True)  # as X11, Windows and macOS repeat a key
    press(desk.body, kind=QEvent.Type.KeyRelease)  # as an X server does that does not mark repetitions
    press(desk.body)
    settle()
    assert not desk.session.log
    QTest.keyRelease(desk.body, A)
    settle()
    QTest.keyPress(desk.body, A)
    assert len(desk.session.log) == 1


def test_a_press_after_a_lost_release_sounds(desk):
    """The release went to another program that took no focus; Esc has silenced the note, or not."""
    QTest.keyPress(desk.body, A)
    QTest.keyPress(desk.body, A)
    assert desk.session.log == [60, -60, 60]


def test_letters_are_text_in_a_text_field_and_play_nothing_when_they_come_up(desk):
    field = to_field("line")(desk)
    QTest.keyClicks(field, "asdf")
    QTest.keyPress(field, A, delay=-1)
    desk.go_back()
    QTest.keyRelease(desk.body, A)
    settle()
    assert field.text() == "asdfa"
    assert desk.session.log == []


def test_a_held_note_writes_nothing_into_a_field_that_takes_the_focus(desk):
    QTest.keyPress(desk.body, A)
    field = to_field("line")(desk)
    for _ in range(3):
        press(field, repeat=True)
    press(field, S, "s")
    assert field.text() == "s"
    QTest.keyRelease(field, A)
    settle()
    press(field, repeat=False)
    assert field.text() == "sa"
    assert desk.session.log == [60, -60]


def test_a_repetition_that_the_system_does_not_mark_is_one_note_however_long(desk):
    QTest.keyPress(desk.body, A)
    for _ in range(6):
        QTest.keyRelease(desk.body, A)
        QTest.keyPress(desk.body, A)
        QTest.qWait(REPEAT_MS // 2)  # a new release before the last one's time is over
    assert desk.session.log == [60]
    QTest.keyRelease(desk.body, A)
    settle()
    assert desk.session.log == [60, -60]


def test_modifiers_that_join_later_do_not_keep_a_note(desk):
    QTest.keyPress(desk.body, A)
    QTest.keyRelease(desk.body, A, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    settle()
    assert desk.session.log == [60, -60]


def test_sources_that_share_a_note_end_it_together():
    log = []
    held = HeldKeys(lambda key, velocity: log.append(key), lambda key: log.append(-key))
    held.press("typed", 60, 90)
    held.press("mouse", 60, 90)
    held.release("typed")
    assert log == [60, 60]
    held.release("mouse")
    held.release("mouse")
    assert log == [60, 60, -60]
    assert not held


# --- wheels ---


@pytest.mark.parametrize("place", ["menu", "line", "modal dialog"])
def test_a_wheel_that_springs_comes_back_wherever_its_release_goes(desk, place):
    wheel = desk.panel.bend
    QTest.mousePress(wheel, LEFT, pos=QPoint(13, 1))
    assert desk.session.events[-1].value > 8000
    QTest.mouseRelease(PLACES[place](desk), LEFT, pos=QPoint(1, 1))
    assert desk.session.events[-1].value == 0
    wheel.set_value(0.5)
    assert wheel.value == 0.5  # shows what comes in again


# --- octaves by kind of instrument ---

DRUMS = ("pads", range(36, 44), tuple("abcdefgh"))


def test_each_kind_of_instrument_has_an_octave_of_its_own(desk):
    desk.session.load("keys")
    desk.panel.shift(1)
    desk.session.load(*DRUMS)
    assert desk.panel.octave == -2
    desk.session.load("keys")
    assert desk.panel.octave == 1
    desk.session.load(*DRUMS)
    desk.panel.shift(1)
    desk.session.load("song", range(48, 56), tuple("abcdefgh"))
    assert desk.panel.octave == -1
    desk.session.load(*DRUMS)
    assert desk.panel.octave == -1


def test_octaves_are_remembered_over_a_restart(qapp):
    before, after = Desk(), Desk()
    before.session.load("keys")
    before.panel.shift(-1)
    before.session.load(*DRUMS)
    after.panel.restore(before.panel.remembered())
    after.session.load(*DRUMS)
    assert after.panel.octave == -2
    after.session.load("keys")
    assert after.panel.octave == -1
    before.close()
    after.close()


def test_the_octave_of_older_settings_belongs_to_the_instrument_that_they_had(desk):
    desk.panel.restore({"octave": -2})
    assert desk.panel.octave == -2
    desk.session.load(*DRUMS)
    assert desk.panel.octave == -2
    desk.session.load("keys")
    assert desk.panel.octave == 0


@pytest.mark.parametrize(
    "bad", [{"octave": "x"}, {"octave": True}, {"octave": 10**9}, {"octaves_by_kind": 3},
            {"octaves_by_kind": {"keys": "1", "pads": None, "song": True}}, {"octaves_by_kind": {"keys": -(10**9)}}],
)  # fmt: skip
def test_damaged_octaves_are_left_out(desk, bad):
    desk.panel.restore(bad)
    desk.session.load("keys")
    assert desk.panel.octave in typing_keys.OCTAVES


# --- layouts ---

US = "ASDFGHJKL;'WETYUOP]ZXCV"
LAYOUTS = {
    "us": US, "fr": "QSDFGHJKLMÙZETYUOP$WXCV", "de": "ASDFGHJKLÖÄWETZUOP+YXCV", "dvorak": "AOEUIDHTNS-,.YFGRL=;QJK",
    "es": f"ASDFGHJKLÑ{DEAD[1]}WETYUOP+ZXCV",
}  # fmt: skip
MAC_CODES = dict(
    zip(US, (0, 1, 2, 3, 5, 4, 38, 40, 37, 41, 39, 13, 14, 17, 16, 32, 31, 35, 30, 6, 7, 8, 9), strict=True)
)
PLATFORMS = ("xcb", "wayland", "wayland-egl", "windows", "cocoa")


def struck(platform, place, legend, kind=QEvent.Type.KeyPress):
    """The event of a key as a platform tells of it."""
    scan = typing_keys.SCAN_CODES[place] + (8 if platform[0] in "xw" and platform != "windows" else 0)
    scan, virtual = (1, MAC_CODES[place]) if platform == "cocoa" else (scan, ord(legend))
    key, text = (DEAD_QT + 1, "") if legend == DEAD[1] else (ord(legend), legend.lower())
    return QKeyEvent(kind, key, Qt.KeyboardModifier.NoModifier, scan, virtual, 0, text)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_places_play_the_same_notes_and_show_their_own_letters(desk, monkeypatch, platform, layout):
    monkeypatch.setattr(QGuiApplication, "platformName", lambda: platform)
    monkeypatch.setattr("musicnn_gui.legends.x11_legends", dict)
    wanted = [60 + typing_keys.OFFSETS[ord(place)] for place in US[:19]]
    for place, legend in zip(US[:19], LAYOUTS[layout], strict=False):
        QApplication.sendEvent(desk.body, struck(platform, place, legend))
    assert desk.session.log == wanted  # all at once: each is a key of its own
    for place, legend in zip(US[:19], LAYOUTS[layout], strict=False):
        QApplication.sendEvent(desk.body, struck(platform, place, legend, QEvent.Type.KeyRelease))
    settle()
    assert not desk.session.sounding
    assert desk.panel.legends.of(US[:19]) == LAYOUTS[layout][:19]
    assert [desk.panel.piano._labels[key] for key in wanted] == list(LAYOUTS[layout][:19])
    for place, legend in zip("XZ", (LAYOUTS[layout][US.index(key)] for key in "XZ"), strict=True):
        before = desk.panel.octave
        QApplication.sendEvent(desk.body, struck(platform, place, legend))
        assert desk.panel.octave == before + (1 if place == "X" else -1)
        assert f"({legend})" in (desk.panel.up if place == "X" else desk.panel.down).toolTip()


def test_the_table_of_keys_has_the_players_letters():
    legends = Legends()
    legends.known = dict(zip(US, LAYOUTS["fr"], strict=True))
    rows = dict(key_groups(legends.of))["Typing keyboard"]
    assert [keys.replace(" ", "") for keys, _ in rows] == ["QSDFGHJKLMÙ", "ZETYUOP$", "WX", "CV"]
    assert dict(key_groups())["Typing keyboard"][2] == ("Z X", "octave down, up")


def test_a_key_without_a_character_keeps_its_legend():
    assert [printed(text) for text in ("é", "ß", "", "\x1b", " ", "ab")] == ["É", "ß", "", "", "", ""]


# --- whatever happens, no note hangs and none is swallowed ---

typed = st.sampled_from("asdfghj")


class Anything(RuleBasedStateMachine):
    """Keys, mouse, focus, popups, dialogs, pedals, in any order, as an operating system can deliver them."""

    desk = None  # one window for all sequences

    def __init__(self):
        super().__init__()
        Anything.desk = self.desk or Desk()
        self.desk.panel.let_go()
        self.desk.session.log.clear()
        self.fingers = set()  # keys of the computer that are down
        self.ours = {}  # keys of the piano, by those of them whose note sounds
        self.clicked = False

    def teardown(self):
        for letter in list(self.fingers):
            self.let_go(letter)
        if self.clicked:
            self.unclick()
        assert not self.desk.session.sounding
        self.go_back()
        self.desk.panel.shift(-self.desk.panel.octave)

    def plays(self):
        """Whether a letter is music now: nothing that takes text has the keyboard."""
        places = (self.desk.body, self.desk.window, self.desk.panel.piano, self.desk.fields["combo"])
        return self.desk.target() in places

    def send(self, letter, **what):
        press(self.desk.target(), Qt.Key(ord(letter.upper())), letter, **what)

    @rule(letter=typed)
    def strike(self, letter):
        if letter in self.fingers:
            return
        self.fingers.add(letter)
        before, music = len(self.desk.session.log), self.plays()
        self.send(letter)
        key = 60 + 12 * self.desk.panel.octave + typing_keys.OFFSETS[ord(letter.upper())]
        sounds = music and key <= 127
        assert self.desk.session.log[before:] == ([key] if sounds else [])
        if sounds:
            self.ours[letter] = key

    @rule(letter=typed)
    def let_go(self, letter):
        if letter in self.fingers:
            self.fingers.discard(letter)
            self.send(letter, kind=QEvent.Type.KeyRelease)
            QApplication.processEvents()
            self.ours.pop(letter, None)

    @rule(letter=typed)
    def repeat(self, letter):
        if letter in self.fingers:
            self.send(letter, repeat=True)

    @rule(name=st.sampled_from(["line", "spin", "text", "combo", "editable"]))
    def focus(self, name):
        if not QApplication.activePopupWidget() and not QApplication.activeModalWidget():
            self.desk.fields[name].setFocus()

    @rule()
    def open_menu(self):
        self.desk.menu()

    @rule(modal=st.booleans())
    def open_dialog(self, modal):
        if not QApplication.activePopupWidget():
            active = QApplication.activeWindow() is self.desk.window
            self.desk.dialog(modal)
            if active or modal:
                self.lose()

    @rule()
    def go_back(self):
        for other in self.desk.others:
            other.close()
            other.deleteLater()
        self.desk.others.clear()
        self.desk.go_back()

    @rule(loss=st.sampled_from(["Alt+Tab", "another program", "drag"]))
    def lose_the_keyboard(self, loss):
        LOSSES[loss](self.desk)
        self.lose()

    @rule(up=st.booleans())
    def shift(self, up):
        self.desk.panel.shift(1 if up else -1)
        self.ours.clear()

    @precondition(lambda self: not self.clicked)
    @rule(place=st.floats(0, 0.99))
    def click(self, place):
        if QApplication.activePopupWidget() or QApplication.activeModalWidget():
            return
        piano, before = self.desk.panel.piano, len(self.desk.session.log)
        QTest.mousePress(piano, LEFT, pos=QPoint(int(piano.width() * place), 5))
        assert [key for key in self.desk.session.log[before:] if key > 0]
        self.clicked = True

    @precondition(lambda self: self.clicked)
    @rule()
    def unclick(self):
        press_event = QMouseEvent(
            QEvent.Type.MouseButtonRelease, QPointF(1, 1), QPointF(1, 1), LEFT, Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
        )  # fmt: skip
        QApplication.sendEvent(self.desk.target(), press_event)
        self.clicked = False

    @rule(name=st.sampled_from(["sustain", "soft"]), on=st.booleans())
    def pedal(self, name, on):
        self.desk.panel.pedals[name].toggled.emit(on)

    def lose(self):
        self.ours.clear()
        self.clicked = False

    @invariant()
    def what_sounds_is_held(self):
        clicked = self.desk.panel.piano._held.key_of("mouse")
        assert self.desk.session.sounding == {*self.ours.values()} | ({clicked} - {None})
        assert (clicked is not None) == self.clicked


@pytest.fixture
def no_repeats(monkeypatch):
    """A release is one at once, so that a thousand sequences do not wait for it."""
    monkeypatch.setattr("musicnn_gui.typing_keyboard.REPEAT_MS", 0)
    yield
    if Anything.desk is not None:
        Anything.desk.close()
        Anything.desk = None


SEQUENCES = int(os.environ.get("MUSICNN_SEQUENCES", "60"))


def test_whatever_happens_no_note_hangs_and_none_is_swallowed(qapp, no_repeats):
    """MUSICNN_SEQUENCES: how many are tried."""
    chosen = settings(
        max_examples=SEQUENCES, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(Anything, settings=chosen)
