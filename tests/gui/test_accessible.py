"""What a screen reader meets: roles, names, values with units, changes that are told, values that are taken."""

import gc

import pytest
import shiboken6
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QApplication, QWidget

from engine.knobs import KNOBS
from musicnn_gui.widgets.knob import KnobWidget
from musicnn_gui.widgets.wheels import PedalWidget, WheelWidget
from musicnn_gui.widgets.xypad import XYPad

Role, Text = QAccessible.Role, QAccessible.Text


@pytest.mark.parametrize("name", ["brightness", "tune", "volume", "attack", "latent1"])
def test_a_knob_is_a_dial_with_name_value_and_unit_that_takes_a_value(qapp, name):
    knob, turned = KnobWidget(KNOBS[name]), []
    knob.turned.connect(turned.append)
    interface = QAccessible.queryAccessibleInterface(knob)
    assert interface.role() == Role.Dial
    assert interface.text(Text.Name) == KNOBS[name].title
    value = interface.valueInterface()
    assert (value.minimumValue(), value.maximumValue()) == (KNOBS[name].low, KNOBS[name].high)
    assert 0 < value.minimumStepSize() < KNOBS[name].high - KNOBS[name].low
    wanted = KNOBS[name].to_value(0.75)
    value.setCurrentValue(wanted)
    assert knob.value == wanted == value.currentValue()
    assert turned == [wanted]
    assert interface.text(Text.Value) == KNOBS[name].text(wanted)
    assert interface.text(Text.Value).endswith(KNOBS[name].unit)
    value.setCurrentValue(10**9)
    assert knob.value == KNOBS[name].high
    assert interface.state().focusable


def test_a_new_value_is_told(qapp, monkeypatch):
    told = []
    monkeypatch.setattr("musicnn_gui.widgets.accessible.QAccessible.isActive", lambda: True)
    monkeypatch.setattr("musicnn_gui.widgets.accessible.QAccessible.updateAccessibility", told.append)
    knob = KnobWidget(KNOBS["tune"])
    knob.set_value(30.0)  # by a preset, a controller or another program
    knob.set_default()
    knob.set_default()
    assert [(event.object(), event.value()) for event in told] == [(knob, 30.0), (knob, 0.0)]
    assert all(event.type() == QAccessible.Event.ValueChanged for event in told)


def test_wheels_pedals_and_the_morph_pad_are_sliders(qapp):
    for widget, low in (
        (WheelWidget("Bend", "b", -1.0, True), -1),
        (WheelWidget("Mod", "m", 0.0, False), 0),
        (XYPad(), 0),
    ):
        moved = []
        widget.moved.connect(lambda *values, moved=moved: moved.append(values[0]))
        interface = QAccessible.queryAccessibleInterface(widget)
        value = interface.valueInterface()
        assert interface.role() == Role.Slider
        assert interface.text(Text.Name)
        assert (value.minimumValue(), value.maximumValue()) == (low, 1)
        value.setCurrentValue(0.75)
        assert moved == [0.75]
        assert value.currentValue() == 0.75
    pedal, asked = PedalWidget("Sustain pedal", "Sus"), []
    pedal.toggled.connect(asked.append)
    value = QAccessible.queryAccessibleInterface(pedal).valueInterface()
    value.setCurrentValue(1.0)
    pedal.set_depth(1.0)
    value.setCurrentValue(1.0)
    value.setCurrentValue(0.0)
    assert asked == [True, False]


def test_a_knob_has_its_place_in_the_tree(qapp):
    panel = QWidget()
    knob = KnobWidget(KNOBS["tune"], parent=panel)
    panel.show()
    above = QAccessible.queryAccessibleInterface(panel)
    assert [above.child(index).object() for index in range(above.childCount())] == [knob]
    assert QAccessible.queryAccessibleInterface(knob).parent().object() is panel
    panel.close()


def test_interfaces_live_as_long_as_their_widgets(qapp):
    """Panels are rebuilt for every instrument; an interface that outlived its knob would crash the program."""
    for _ in range(6):
        panel = QWidget()
        knobs = [KnobWidget(KNOBS["tune"], parent=panel) for _ in range(10)]
        interfaces = [QAccessible.queryAccessibleInterface(knob) for knob in knobs]
        interfaces[0].valueInterface().setCurrentValue(5)
        assert interfaces[0].isValid()
        del knobs, interfaces
        gc.collect()
        again = [QAccessible.queryAccessibleInterface(knob) for knob in panel.findChildren(KnobWidget)]
        assert again[0].valueInterface().currentValue() == 5
        del again
        shiboken6.delete(panel)
        gc.collect()
    QApplication.processEvents()
