"""Standard MIDI Files byte by byte, so that a test can get any of them wrong."""

import struct

END = b"\0\xff\x2f\0"
RATE = 44_100


def number(value):
    """A number of variable length."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))


def meta(kind, content, delta=0):
    return number(delta) + b"\xff" + bytes([kind]) + number(len(content)) + content


def sysex(*content, delta=0):
    return number(delta) + b"\xf0" + number(len(content) + 1) + bytes(content) + b"\xf7"


def on(key, delta=0, channel=0, velocity=80):
    return number(delta) + bytes([0x90 | channel, key, velocity])


def off(key, delta=0, channel=0):
    return number(delta) + bytes([0x80 | channel, key, 64])


def control(controller, value, delta=0, channel=0):
    return number(delta) + bytes([0xB0 | channel, controller, value])


def bend(value, delta=0, channel=0):
    return number(delta) + bytes([0xE0 | channel, value + 8192 & 0x7F, value + 8192 >> 7])


def scale(channel=0, count=8, first=60):
    """Quavers one after another; 0.25 s each at 120 beats a minute, of which they sound 220 ticks."""
    events = (on(first + n, 20 if n else 0, channel) + off(first + n, 220, channel) for n in range(count))
    return b"".join(events)


def chunk(body, name=b"MTrk", length=None):
    return name + struct.pack(">I", len(body) if length is None else length) + body


def header(tracks=1, kind=0, division=480):
    return chunk(struct.pack(">HHH", kind, tracks, division & 0xFFFF), b"MThd")


def smf(*tracks, kind=None, division=480):
    """A whole file of tracks that have no end-of-track event yet."""
    kind = (len(tracks) > 1) if kind is None else kind
    return header(len(tracks), kind, division) + b"".join(chunk(track + END) for track in tracks)
