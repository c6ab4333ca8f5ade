import pytest

from engine.midi.events import drum_part, master_tuning, note_off, note_on
from engine.midi.ports import MidiInput, _Port, stable_name


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


class Client:
    """Stands in for rtmidi's, which hears only what another program sends."""

    def __init__(self, *messages):
        self.messages = [(list(message), 0.0) for message in messages]

    def get_message(self):
        return self.messages.pop(0) if self.messages else None


def test_system_exclusive_tunes_and_makes_drum_parts_live_too():
    drums = bytes((0xF0, 0x41, 0x10, 0x42, 0x12, 0x40, 0x1A, 0x15, 2, 0x0F, 0xF7))
    port = _Port(Client(b"\xf0\x7f\x7f\4\4\0\x42\xf7", b"\xf0\x43\xf7", drums))
    assert [event for event, _ in port.fetch()] == [master_tuning(0, 2, coarse=True), drum_part(0, 10, True)]


class Cable:
    """Stands in for an open port, whose times cannot be chosen."""

    def __init__(self):
        self.events = []

    def fetch(self):
        events, self.events = self.events, []
        return events


def test_a_keyboard_that_is_plugged_into_both_ports_is_heard_once():
    midi = MidiInput()
    midi._virtual, midi._port = ports = Cable(), Cable()
    for start in (1.0, 1.012, 1.5):  # again and again, sooner than hands can
        for port, late in zip(ports, (0.003, 0.0), strict=True):
            port.events = [(note_on(0, 60, 90), start + late), (note_off(0, 60), start + late + 0.001)]
        assert [event for event, _ in midi.fetch()] == [note_on(0, 60, 90), note_off(0, 60)]
    ports[0].events = [(note_on(0, 60, 90), 2.0)]
    assert len(midi.fetch()) == 1
    ports[1].events = [(note_on(0, 60, 90), 2.001)]  # comes with the next block
    assert not midi.fetch()


def test_two_hands_on_two_keyboards_are_both_heard():
    midi = MidiInput()
    midi._virtual, midi._port = ports = Cable(), Cable()
    ports[0].events, ports[1].events = [(note_on(0, 60, 90), 1.0)], [(note_on(0, 60, 91), 1.0)]
    assert len(midi.fetch()) == 2
    ports[0].events, ports[1].events = [(note_on(0, 62, 90), 2.0)], [(note_on(0, 62, 90), 2.1)]
    assert len(midi.fetch()) == 2
