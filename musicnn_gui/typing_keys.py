"""The typing keyboard as a piano: A to ' are the white keys, the row above has the black ones between them.

It is the layout of Logic, GarageBand and Ableton Live. Z and X shift the octave, C and V the velocity.
"""

from __future__ import annotations

import sys

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent

WHITES, BLACKS = "ASDFGHJKL;'", "WE TYU OP ]"
OCTAVE_DOWN, OCTAVE_UP, SOFTER, LOUDER = "Z", "X", "C", "V"
BASE_KEY = 60  # of A, before octaves are shifted
OCTAVES = range(-4, 4)
VELOCITIES = (16, 32, 48, 64, 80, 96, 112, 127)
VELOCITY = 96

# Places of the same keys on X11 and Wayland, whatever is printed on them (evdev codes + 8).
_PLACES = {
    **{ord(c): 52 + i for i, c in enumerate("ZXCV")},
    **{ord(c): 38 + i for i, c in enumerate("ASDFGHJKL;'")},
    **{ord(c): 24 + i for i, c in enumerate("QWERTYUIOP[]")},
}
_WHITE_STEPS = (0, 2, 4, 5, 7, 9, 11)


def _offsets() -> dict[int, int]:
    whites = {ord(letter): 12 * (i // 7) + _WHITE_STEPS[i % 7] for i, letter in enumerate(WHITES)}
    steps = dict(zip(BLACKS, (1, 3, 0, 6, 8, 10, 0, 13, 15, 0, 18), strict=True))
    return whites | {ord(letter): step for letter, step in steps.items() if letter != " "}


OFFSETS = _offsets()
"""Semitones over A of every key, by its character on a US keyboard."""

COMMANDS = {ord(letter): letter for letter in (OCTAVE_DOWN, OCTAVE_UP, SOFTER, LOUDER)}
"""Keys that play nothing but shift what is played."""

_CHARACTERS = {code: character for character, code in _PLACES.items()}


def _character(event: QKeyEvent) -> int:
    """What a US keyboard has at the key's place where the system tells it, else what is printed on it."""
    places = sys.platform == "linux" and QGuiApplication.platformName() in ("xcb", "wayland")
    if places and event.nativeScanCode():
        return _CHARACTERS.get(event.nativeScanCode(), 0)
    return event.key()


def offset_of(event: QKeyEvent) -> int | None:
    """Semitones over A, or None for a key that plays nothing."""
    return OFFSETS.get(_character(event))


def command_of(event: QKeyEvent) -> str | None:
    """One of OCTAVE_DOWN, OCTAVE_UP, SOFTER and LOUDER, or None."""
    return COMMANDS.get(_character(event))


def identity(event: QKeyEvent) -> int:
    """What tells one physical key from another while it is held."""
    return event.nativeScanCode() or event.key()


def labels(octave: int) -> dict[int, str]:
    """Letter on each piano key."""
    base = BASE_KEY + 12 * octave
    return {base + offset: chr(letter) for letter, offset in OFFSETS.items()}


def plays(modifiers: Qt.KeyboardModifier) -> bool:
    """Whether a key with these modifiers is music: Ctrl, Alt and Meta make it a command."""
    commands = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
    return not modifiers & commands
