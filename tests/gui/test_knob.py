import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from engine.knobs import KNOBS, SLIDERS
from musicnn_gui.panels.knobs import arrange, cards
from musicnn_gui.widgets.knob import STEP, ValueBubble
from musicnn_gui.widgets.knob_group import KnobGroup

SHIFT, PLAIN = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def group(qtbot, themed):
    """A card of knobs that is seen."""
    group = KnobGroup("Spectrum", [KNOBS["brightness"], KNOBS["body"]])
    qtbot.addWidget(group)
    group.show()
    return group


@pytest.fixture
def knob(group):
    knob = group.knobs["brightness"]
    knob.told = []
    knob.turned.connect(lambda value: knob.told.append(("turned", value)))
    knob.gesture_began.connect(lambda: knob.told.append("began"))
    knob.gesture_ended.connect(lambda: knob.told.append("ended"))
    return knob


def drag(widget, start, end, modifiers=PLAIN):
    QTest.mousePress(widget, Qt.MouseButton.LeftButton, pos=start)
    place = QPointF(end)
    QApplication.sendEvent(
        widget,
        QMouseEvent(
            QMouseEvent.Type.MouseMove, place, widget.mapToGlobal(place), Qt.MouseButton.NoButton,
            Qt.MouseButton.LeftButton, modifiers,
        ),
    )  # fmt: skip
    QTest.mouseRelease(widget, Qt.MouseButton.LeftButton, pos=end)


def turn_wheel(widget, steps, modifiers=PLAIN):
    place = QPointF(20, 20)
    QApplication.sendEvent(
        widget,
        QWheelEvent(
            place, widget.mapToGlobal(place), QPoint(), QPoint(0, 120 * steps), Qt.MouseButton.NoButton, modifiers,
            Qt.ScrollPhase.NoScrollPhase, False,
        ),
    )  # fmt: skip


def type_value(qtbot, knob, text):
    for letter in text:
        editor = knob._editor
        QTest.keyClicks(editor if editor is not None else knob, letter)
    QTest.keyClick(knob._editor, Qt.Key.Key_Return)


def test_a_drag_is_one_gesture_up_is_more_and_shift_is_fine(knob):
    amounts = []
    for modifiers in (PLAIN, SHIFT):
        knob.set_value(0)
        knob.told.clear()
        drag(knob, QPoint(30, 60), QPoint(30, 40), modifiers)
        amounts.append(knob.value)
        assert knob.told == ["began", ("turned", knob.value), "ended"]
    assert amounts[0] == pytest.approx(0.1 * 12)  # 20 of 200 pixels
    assert amounts[1] == pytest.approx(amounts[0] / 10)


def test_the_wheel_steps(knob):
    turn_wheel(knob, 2)
    assert knob.value == pytest.approx(2 * STEP * 12)
    turn_wheel(knob, -1, SHIFT)
    assert knob.value == pytest.approx(1.9 * STEP * 12)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (Qt.Key.Key_Home, -6), (Qt.Key.Key_End, 6), (Qt.Key.Key_Delete, 0), (Qt.Key.Key_Up, 3.12),
        (Qt.Key.Key_Left, 2.88), (Qt.Key.Key_PageDown, 1.8), (Qt.Key.Key_PageUp, 4.2),
    ],
)  # fmt: skip
def test_keys_turn(knob, key, value):
    knob.set_value(3)
    QTest.keyClick(knob, key)
    assert knob.value == pytest.approx(value)
    assert knob.told == [("turned", knob.value)]


def test_a_double_click_is_the_default(knob):
    knob.set_value(3)
    QTest.mouseDClick(knob, Qt.MouseButton.LeftButton)
    assert knob.value == 0


@pytest.mark.parametrize(("text", "value"), [("-2.5", -2.5), ("4", 4), ("99", 6)])
def test_a_typed_value_is_taken_and_kept_in_range(qtbot, knob, text, value):
    type_value(qtbot, knob, text)
    assert knob.value == value
    assert knob._editor is None


def test_a_bad_typed_value_changes_nothing(qtbot, knob):
    knob.set_value(3)
    type_value(qtbot, knob, "-")
    assert knob.value == 3
    assert knob._editor is None


def test_escape_leaves_the_value(qtbot, knob):
    knob.edit("5")
    QTest.keyClick(knob._editor, Qt.Key.Key_Escape)
    assert knob.value == 0
    assert knob._editor is None


def test_the_menu_offers_default_value_learn_forget_and_lock(knob):
    asked = []
    knob.learn_asked.connect(lambda on: asked.append(("learn", on)))
    knob.forget_asked.connect(lambda: asked.append("forget"))
    knob.lock_asked.connect(lambda on: asked.append(("lock", on)))
    knob.set_value(2)
    knob.set_controller(74)
    menu = knob.menu()
    actions = {action.text().split("\t")[0]: action for action in menu.actions() if action.text()}
    assert list(actions) == [
        "Set to default (0.0 dB/oct)", "Enter value …", "MIDI learn", "Forget controller 74", "Lock",
    ]  # fmt: skip
    for text in ("MIDI learn", "Forget controller 74", "Lock", "Set to default (0.0 dB/oct)"):
        actions[text].trigger()
    assert asked == [("learn", True), "forget", ("lock", True)]
    assert knob.value == 0
    knob.set_controller(None)
    knob.set_locked(True)
    knob.set_learning(True)
    texts = {action.text().split("\t")[0]: action.isEnabled() for action in knob.menu().actions()}
    assert texts["Forget controller"] is False
    assert "Unlock" in texts
    assert "Cancel MIDI learn" in texts


def test_the_value_is_said_over_the_knob_while_it_moves(knob):
    QTest.keyClick(knob, Qt.Key.Key_End)
    bubbles = [bubble for bubble in knob.window().findChildren(ValueBubble) if bubble.isVisible()]
    assert [bubble.text() for bubble in bubbles] == ["6.0 dB/oct"]


def test_what_is_heard_by_a_screen_reader(knob):
    knob.set_value(1.5)
    knob.set_controller(20)
    assert knob.accessibleName() == "Brightness"
    assert knob.accessibleDescription() == "1.5 dB/oct, controller 20"
    assert KNOBS["brightness"].help in knob.toolTip()


def test_the_die_asks_for_its_own_knobs_by_its_amount(qtbot, group):
    group.amount.setValue(70)
    with qtbot.waitSignal(group.randomise_asked) as asked:
        group.dice.click()
    assert asked.args == [["brightness", "body"], 0.7]
    with qtbot.waitSignal(group.lock_asked) as asked:
        group.lock.click()
    assert asked.args == [["brightness", "body"], True]


def test_the_lock_of_a_card_is_on_when_all_knobs_are_locked(group):
    group.knobs["body"].set_locked(True)
    group.show_locks()
    assert not group.lock.isChecked()
    group.knobs["brightness"].set_locked(True)
    group.show_locks()
    assert group.lock.isChecked()


def test_small_groups_share_a_card():
    names = ("brightness", "odd_even", "stretch", "attack", "decay", "width", "tune")
    assert [(title, len(knobs)) for title, knobs in cards([KNOBS[name] for name in names])] == [
        ("Spectrum", 3), ("Time · Space · Pitch", 4),
    ]  # fmt: skip


@pytest.mark.parametrize("room", [280, 420, 700, 1200, 3000])
def test_forty_sliders_are_arranged_in_any_width(qtbot, themed, room):
    sliders = KnobGroup("Sound", [KNOBS[name] for name in SLIDERS])
    cards_of = [sliders, KnobGroup("Pitch", [KNOBS["tune"], KNOBS["width"]])]
    for card in cards_of:
        qtbot.addWidget(card)
    rows = arrange(cards_of, room)
    assert [card for row in rows for card, _ in row] == cards_of
    for row in rows:
        assert sum(KnobGroup.width_of(columns) for _, columns in row) <= room
