"""The typing keyboard as a piano: A to ' are the white keys, the row above has the black ones between them.

It is the layout of Logic, GarageBand and Ableton Live. Z and X shift the octave, C and V the velocity. Keys are named
by what a US keyboard has at their place; what is printed on the player's own is in `musicnn_gui.legends`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent

WHITES, BLACKS = "ASDFGHJKL;'", "WE TYU OP ]"
OCTAVE_DOWN, OCTAVE_UP, SOFTER, LOUDER = "Z", "X", "C", "V"
BASE_KEY = 60  # of A, before octaves are shifted
OCTAVES = range(-4, 4)
VELOCITIES = (16, 32, 48, 64, 80, 96, 112, 127)
VELOCITY = 96

ROWS = ((16, "QWERTYUIOP[]"), (30, "ASDFGHJKL;'"), (44, "ZXCVBNM,./"))
"""Scan code of each row's first key, and the row; they count on from there. Linux has the same numbers (evdev)."""
SCAN_CODES = {character: first + index for first, row in ROWS for index, character in enumerate(row)}
XKB_OFFSET = 8  # from an evdev code to a keycode of X11 and of XKB on Wayland
_MAC_KEYS = {
    0: "A", 1: "S", 2: "D", 3: "F", 4: "H", 5: "G", 6: "Z", 7: "X", 8: "C", 9: "V", 11: "B", 12: "Q", 13: "W", 14: "E",
    15: "R", 16: "Y", 17: "T", 30: "]", 31: "O", 32: "U", 33: "[", 34: "I", 35: "P", 37: "L", 38: "J", 39: "'",
    40: "K", 41: ";", 43: ",", 44: "/", 45: "N", 46: "M", 47: ".",
}  # fmt: skip
"""Virtual key codes of macOS, which name places (kVK_ANSI_A ...)."""
_WHITE_STEPS = (0, 2, 4, 5, 7, 9, 11)


def _offsets() -> dict[int, int]:
    whites = {letter: 12 * (i // 7) + _WHITE_STEPS[i % 7] for i, letter in enumerate(WHITES)}
    steps = dict(zip(BLACKS, (1, 3, 0, 6, 8, 10, 0, 13, 15, 0, 18), strict=True))
    return {ord(letter): step for letter, step in (whites | steps).items() if letter != " "}


OFFSETS = _offsets()
"""Semitones over A of every key, by its character."""

COMMANDS = {ord(letter): letter for letter in (OCTAVE_DOWN, OCTAVE_UP, SOFTER, LOUDER)}
"""Keys that play nothing but shift what is played."""

_AT_SCAN_CODE = {code: character for character, code in SCAN_CODES.items()}
_BY_PLACE: dict[str, tuple[Callable[[QKeyEvent], int], Mapping[int, str]]] = {
    **dict.fromkeys(
        ("xcb", "wayland"), (QKeyEvent.nativeScanCode, {XKB_OFFSET + n: key for n, key in _AT_SCAN_CODE.items()})
    ),
    "windows": (QKeyEvent.nativeScanCode, _AT_SCAN_CODE),
    "cocoa": (QKeyEvent.nativeVirtualKey, _MAC_KEYS),
}
"""By Qt's name of the platform: what tells a key's place, and the key there."""


def place_of(event: QKeyEvent) -> str:
    """The key by its place, as a US keyboard names it; "" for any other key.

    Where the system tells no place, such as for an event that a program has made, what is printed on the key counts.
    """
    code, places = _BY_PLACE.get(_platform(), (QKeyEvent.key, {}))
    if places and event.nativeScanCode():  # macOS has 1 there for every real key
        return places.get(code(event), "")
    key = event.key()
    return chr(key) if ord(" ") < key < 0x7F else ""


def offset_of(event: QKeyEvent) -> int | None:
    """Semitones over A, or None for a key that plays nothing."""
    place = place_of(event)
    return OFFSETS.get(ord(place)) if place else None


def command_of(event: QKeyEvent) -> str | None:
    """One of OCTAVE_DOWN, OCTAVE_UP, SOFTER and LOUDER, or None."""
    place = place_of(event)
    return COMMANDS.get(ord(place)) if place else None


def identity(event: QKeyEvent) -> int:
    """What tells one physical key from another while it is held."""
    if _platform() == "cocoa" and event.nativeScanCode():
        return event.nativeVirtualKey()
    return event.nativeScanCode() or event.key()


def labels(octave: int, legends: Mapping[str, str] | None = None) -> dict[int, str]:
    """Letter on each piano key. legends: what is printed on keys, by their place; all others are as in the US."""
    base, legends = BASE_KEY + 12 * octave, legends or {}
    return {base + offset: legends.get(chr(place), chr(place)) for place, offset in OFFSETS.items()}


def plays(modifiers: Qt.KeyboardModifier) -> bool:
    """Whether a key with these modifiers is music: Ctrl, Alt and Meta make it a command."""
    commands = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
    return not modifiers & commands


def _platform() -> str:
    return QGuiApplication.platformName().partition("-")[0]  # "wayland-egl"
