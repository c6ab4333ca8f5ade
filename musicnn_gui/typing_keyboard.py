"""The computer's keyboard as an instrument: what a key event plays, and when a typed note ends."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer
from PySide6.QtGui import QKeyEvent

from musicnn_gui import typing_keys
from musicnn_gui.held_keys import HeldKeys

REPEAT_MS = 12  # nobody strikes a key again so soon


class TypingKeyboard(QObject):
    """Turns key events into notes.

    `press` is given only what is meant as music; `release` every release that the program hears, wherever it goes: to a
    menu, a text field, a dialog. The physical key is what is released, whatever its modifiers and focus are by then.
    """

    def __init__(self, held: HeldKeys, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.octave, self.velocity = 0, typing_keys.VELOCITY
        self._held = held
        self._music: set[int] = set()  # physical keys whose press was music, until they come up
        self._rising: dict[int, object] = {}  # physical keys that seem to have come up, by their last release

    def __len__(self) -> int:
        return sum(_source(identity) in self._held for identity in self._music)

    def repeats(self, event: QKeyEvent) -> bool:
        """Whether the system repeats a key that was struck as music: it is no text, even in a text field."""
        return event.isAutoRepeat() and typing_keys.identity(event) in self._music

    def strike(self, event: QKeyEvent) -> bool:
        """Play the note of a key; return whether the key has one."""
        offset = typing_keys.offset_of(event)
        if offset is None:
            return False
        identity = typing_keys.identity(event)
        if identity in self._rising:  # it was no release: the system repeats the key
            del self._rising[identity]
            return True
        if event.isAutoRepeat():
            return True
        self._music.add(identity)
        key = typing_keys.BASE_KEY + 12 * self.octave + offset
        if 0 <= key <= 127:
            self._held.press(_source(identity), key, self.velocity)
        return True

    def release(self, event: QKeyEvent) -> bool:
        """A key comes up somewhere in the program; return whether it was struck as music."""
        identity = typing_keys.identity(event)
        if identity not in self._music:
            return False
        if not event.isAutoRepeat() and identity not in self._rising:
            self._rising[identity] = mark = object()
            QTimer.singleShot(REPEAT_MS, self, lambda: self._let_rise(identity, mark))
        return True

    def let_go(self) -> None:
        """End every typed note. Keys that are still down stay silent until they are struck again."""
        for identity in self._music:
            self._held.release(_source(identity))

    def _let_rise(self, identity: int, mark: object) -> None:
        """A key is up, unless it has been pressed again meanwhile: some X servers repeat a held key so."""
        if self._rising.get(identity) is mark:
            del self._rising[identity]
            self._music.discard(identity)
            self._held.release(_source(identity))


def _source(identity: int) -> tuple[str, int]:
    return "typed", identity
