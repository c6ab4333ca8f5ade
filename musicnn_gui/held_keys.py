"""Which notes are down, and by what each of them is held: a typing key, the mouse, Enter on the piano."""

from __future__ import annotations

from collections.abc import Callable, Hashable


class HeldKeys:
    """Every note that the window plays begins and ends here, so that none is left when its release goes elsewhere.

    A source holds one note at a time. Sources may share a note: it ends with the last of them.
    """

    def __init__(self, on: Callable[[int, int], object], off: Callable[[int], object]) -> None:
        """on(key, velocity) and off(key) play."""
        self._on, self._off = on, off
        self._keys: dict[Hashable, int] = {}

    def __contains__(self, source: Hashable) -> bool:
        return source in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def key_of(self, source: Hashable) -> int | None:
        """The note that a source holds."""
        return self._keys.get(source)

    def press(self, source: Hashable, key: int, velocity: int) -> None:
        """Play a note; what the source still held, because its release was lost, ends first."""
        self.release(source)
        self._keys[source] = key
        self._on(key, velocity)

    def release(self, source: Hashable) -> None:
        """End the note of a source, if it holds one."""
        key = self._keys.pop(source, None)
        if key is not None and key not in self._keys.values():
            self._off(key)

    def release_all(self) -> None:
        """End every note."""
        for source in list(self._keys):
            self.release(source)
