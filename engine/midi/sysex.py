"""System exclusive messages that a synthesizer has to follow: drum parts of GS, master tuning, and resets."""

from __future__ import annotations

from collections.abc import Sequence

from engine.midi.events import DRUM_CHANNEL, Event, drum_part, master_tuning

UNIVERSAL = (0x7E, 0x7F)
ROLAND, YAMAHA = 0x41, 0x43
GS_RESET, GS_PART, GS_RHYTHM = bytes((0x40, 0x00, 0x7F)), 0x10, 0x15  # 40 1x 15: use part x for rhythm
XG_ON = bytes((0x00, 0x00, 0x7E))
FINE, COARSE = 3, 4
LONGEST_LIVE = 256  # bytes of a message that the engine follows
GS_PARTS = (9, *range(9), *range(10, 16))  # channel of a part's number


def from_sysex(data: bytes, sample: int) -> list[Event]:
    """The events of a message's bytes between 0xF0 and 0xF7; none for what the engine does not follow."""
    if len(data) < 4:
        return []
    if data[0] in UNIVERSAL:
        return _universal(data, sample)
    body = data[4:]
    if data[0] == ROLAND and data[2:4] == b"\x42\x12" and len(body) >= 4:
        if body[:3] == GS_RESET:
            return _reset(sample)
        if body[0] == 0x40 and body[1] & 0xF0 == GS_PART and body[2] == GS_RHYTHM:
            return [drum_part(sample, GS_PARTS[body[1] & 0xF], body[3] > 0)]
    if data[0] == YAMAHA and data[2] == 0x4C and data[3:6] == XG_ON:
        return _reset(sample)
    return []


def exclusive_events(packet: Sequence[int]) -> list[Event]:
    """The events of a live connection's packet, at sample 0: none where it is no whole system exclusive message."""
    whole = 2 < len(packet) <= LONGEST_LIVE and packet[0] == 0xF0 and packet[-1] == 0xF7
    return from_sysex(bytes(packet[1:-1]), 0) if whole and all(byte < 0x80 for byte in packet[1:-1]) else []


def is_scale_tuning(data: bytes) -> bool:
    """Whether a message tunes single notes, which the engine does not follow."""
    return len(data) >= 4 and data[0] in UNIVERSAL and data[2] == 0x08


def _universal(data: bytes, sample: int) -> list[Event]:
    if data[0] == 0x7E and data[2] == 0x09 and data[3] in (1, 2, 3):  # General MIDI on, off, level 2 on
        return _reset(sample)
    if data[0] == 0x7F and data[2] == 0x04 and len(data) >= 6:
        value = data[5] << 7 | data[4]
        if data[3] == FINE:
            return [master_tuning(sample, (value - 8192) / 8192)]
        if data[3] == COARSE:
            return [master_tuning(sample, data[5] - 64, coarse=True)]
    return []


def _reset(sample: int) -> list[Event]:
    parts = [drum_part(sample, channel, channel == DRUM_CHANNEL) for channel in range(16)]
    return [*parts, master_tuning(sample, 0), master_tuning(sample, 0, coarse=True)]
