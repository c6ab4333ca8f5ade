import pytest

from engine.midi.ports import stable_name


@pytest.mark.parametrize(
    ("before", "after"),
    [("Keystation 49:Keystation 49 MIDI 1 20:0", "Keystation 49:Keystation 49 MIDI 1 24:0"),
     ("nanoKEY2:nanoKEY2 MIDI 1 128:3", "nanoKEY2:nanoKEY2 MIDI 1 16:3")],
)  # fmt: skip
def test_a_port_plugged_in_again_keeps_its_name(before, after):
    assert stable_name(before) == stable_name(after)


def test_two_keyboards_keep_different_names():
    assert stable_name("Keys A MIDI 1 20:0") != stable_name("Keys A MIDI 2 20:1")
    assert stable_name("system:midi_capture_1") != stable_name("system:midi_capture_2")
