"""The typing keyboard as a piano: Z row and Q row, as trackers and every software synthesiser lay them out."""

from __future__ import annotations

import sys

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent

LOWER, UPPER = "ZSXDCVGBHNJM,L.;/", "Q2W3ER5T6Y7UI9O0P[=]"
VELOCITY = 96
BASE_KEY = 48  # of Z, before octaves are shifted
OCTAVES = range(-3, 4)

# Places of the same keys on X11 and Wayland, whatever is printed on them (evdev codes + 8).
_PLACES = {
    **{ord(c): 52 + i for i, c in enumerate("ZXCVBNM,./")},
    **{ord(c): 38 + i for i, c in enumerate("ASDFGHJKL;")},
    **{ord(c): 24 + i for i, c in enumerate("QWERTYUIOP[]")},
    **{ord(c): 10 + i for i, c in enumerate("1234567890-=")},
}


def _offsets() -> dict[int, int]:
    table = {ord(letter): index for index, letter in enumerate(LOWER)}
    return table | {ord(letter): 12 + index for index, letter in enumerate(UPPER)}


OFFSETS = _offsets()
"""Semitones over Z of every key, by its character on a US keyboard."""

_OFFSETS_BY_PLACE = {_PLACES[code]: offset for code, offset in OFFSETS.items()}


def offset_of(event: QKeyEvent) -> int | None:
    """Semitones over Z, or None for a key that plays nothing. By its place where the system tells, else by letter."""
    places = sys.platform == "linux" and QGuiApplication.platformName() in ("xcb", "wayland")
    if places and event.nativeScanCode():
        return _OFFSETS_BY_PLACE.get(event.nativeScanCode())
    return OFFSETS.get(event.key())


def identity(event: QKeyEvent) -> int:
    """What tells one physical key from another while it is held."""
    return event.nativeScanCode() or event.key()


def labels(octave: int) -> dict[int, str]:
    """Letter on each piano key."""
    base = BASE_KEY + 12 * octave
    lower = {base + index: letter for index, letter in enumerate(LOWER)}
    return lower | {base + 12 + index: letter for index, letter in enumerate(UPPER)}


def plays(modifiers: Qt.KeyboardModifier) -> bool:
    """Whether a key with these modifiers is music: Ctrl, Alt and Meta make it a command."""
    commands = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
    return not modifiers & commands
