"""What is printed on the player's keys, by their places: Q on an AZERTY keyboard where a US one has A.

X11 tells it before a key is pressed. Elsewhere, and where the layout changes, it is learned from the keys that are
pressed; a key that is not known yet has its US legend.
"""

from __future__ import annotations

import ctypes
import os
import time

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent

from musicnn_gui import typing_keys

DEAD = "`´^~¯˘˙¨˚˝ˇ¸˛"  # noqa: RUF001
"""Accents of dead keys, in the order of X11's dead_grave ... dead_ogonek and of Qt's Key_Dead_Grave ..."""
DEAD_X11, DEAD_QT = 0xFE50, Qt.Key.Key_Dead_Grave.value
REFRESH_SECONDS = 3.0
CORE_KEYBOARD = 0x100  # XkbUseCoreKbd
STATE_BYTES = 64  # more than an XkbStateRec, whose first byte is the group


class Legends(QObject):
    """Characters by the US characters of their places."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.known: dict[str, str] = {}
        self._asked_at = 0.0

    def of(self, places: str) -> str:
        """What is printed on keys, in their order."""
        return "".join(self.known.get(place, place) for place in places)

    def refresh(self) -> None:
        """Ask the system, such as after the player has come back from the settings of another layout."""
        self._asked_at = time.monotonic()
        if QGuiApplication.platformName() == "xcb" or os.environ.get("WAYLAND_DISPLAY"):
            self._take(x11_legends())

    def learn(self, event: QKeyEvent) -> None:
        """A key is pressed. What else the layout has is asked for now and then, once the note is played."""
        if time.monotonic() - self._asked_at > REFRESH_SECONDS:
            QTimer.singleShot(0, self, self.refresh)
        place = typing_keys.place_of(event)
        if place and not event.modifiers():
            legend = _accent(event.key() - DEAD_QT) or printed(event.text())
            if legend and self._take({place: legend}):
                self.refresh()  # another layout: ask for the other keys

    def _take(self, legends: dict[str, str]) -> bool:
        """Whether there is anything new."""
        new = any(self.known.get(place, place) != legend for place, legend in legends.items())
        if new:
            self.known |= legends
            self.changed.emit()
        return new


def printed(text: str) -> str:
    """A character as keys show it.

    >>> printed("a"), printed("ö"), printed("ß"), printed(""), printed("\\x01")
    ('A', 'Ö', 'ß', '', '')
    """
    if len(text) != 1 or not text.isprintable() or text == " ":
        return ""
    return text.upper() if len(text.upper()) == 1 else text


def x11_legends() -> dict[str, str]:
    """What the X server's layout has at the places of the typing keyboard; {} where there is none to ask."""
    try:
        x11, xkb = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libxkbcommon.so.0")
    except OSError:
        return {}
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XkbKeycodeToKeysym.restype = ctypes.c_ulong
    xkb.xkb_keysym_to_utf32.restype = ctypes.c_uint32
    display = ctypes.c_void_p(x11.XOpenDisplay(None))
    if not display:
        return {}
    try:
        state = (ctypes.c_ubyte * STATE_BYTES)()
        x11.XkbGetState(display, CORE_KEYBOARD, state)  # where it fails, the group is 0
        group = state[0]
        found = {}
        for place, code in typing_keys.SCAN_CODES.items():
            symbol = x11.XkbKeycodeToKeysym(display, ctypes.c_ubyte(code + typing_keys.XKB_OFFSET), group, 0)
            character = xkb.xkb_keysym_to_utf32(ctypes.c_uint32(symbol))
            legend = _accent(symbol - DEAD_X11) or printed(chr(character) if character else "")
            if legend:
                found[place] = legend
        return found
    finally:
        x11.XCloseDisplay(display)


def _accent(index: int) -> str:
    return DEAD[index] if 0 <= index < len(DEAD) else ""
