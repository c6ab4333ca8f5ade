"""What screen readers know of a widget that shows and takes a value: role, name, range, value in its unit.

Qt describes its own sliders and dials. Widgets that are painted here have interfaces of their own, made when a screen
reader asks for them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject
from PySide6.QtGui import QAccessible, QAccessibleInterface, QAccessibleValueChangeEvent, QAccessibleValueInterface
from PySide6.QtWidgets import QAccessibleWidget, QWidget


@dataclass(frozen=True, slots=True)
class Adjustable:
    """A value from low to high. text: as a player reads it, with its unit; move: as if the player had moved it."""

    role: QAccessible.Role
    low: float
    high: float
    step: float
    value: Callable[[], float]
    text: Callable[[], str]
    move: Callable[[float], None]


_exposed: weakref.WeakKeyDictionary[QObject, Adjustable] = weakref.WeakKeyDictionary()


def expose(widget: QWidget, adjustable: Adjustable) -> None:
    """Let screen readers read and move a widget's value."""
    if not _exposed:
        QAccessible.installFactory(_interface_of)
    _exposed[widget] = adjustable


def tell_value(widget: QWidget) -> None:
    """The value has changed."""
    adjustable = _exposed.get(widget)
    if adjustable is not None and QAccessible.isActive():
        QAccessible.updateAccessibility(QAccessibleValueChangeEvent(widget, adjustable.value()))


def _interface_of(class_name: str, thing: QObject | None) -> QAccessibleInterface | None:
    adjustable = _exposed.get(thing) if isinstance(thing, QWidget) else None
    return _Interface(thing, adjustable) if isinstance(thing, QWidget) and adjustable is not None else None


class _Value(QAccessibleValueInterface):
    def __init__(self, adjustable: Adjustable) -> None:
        super().__init__()
        self._adjustable = adjustable

    def currentValue(self) -> float:
        return self._adjustable.value()

    def setCurrentValue(self, value: Any) -> None:
        self._adjustable.move(min(max(float(value), self._adjustable.low), self._adjustable.high))

    def minimumValue(self) -> float:
        return self._adjustable.low

    def maximumValue(self) -> float:
        return self._adjustable.high

    def minimumStepSize(self) -> float:
        return self._adjustable.step


class _Interface(QAccessibleWidget):
    """Qt's own for a widget, with a value."""

    def __init__(self, widget: QWidget, adjustable: Adjustable) -> None:
        super().__init__(widget, adjustable.role)
        self._text = adjustable.text
        self._value = _Value(adjustable)

    def interface_cast(self, kind: QAccessible.InterfaceType) -> Any:
        return self._value if kind == QAccessible.InterfaceType.ValueInterface else None

    def text(self, kind: QAccessible.Text) -> str:
        return self._text() if kind == QAccessible.Text.Value else super().text(kind)
