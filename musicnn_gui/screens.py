"""Where a window has room: sizes and places that lie on the screen."""

from __future__ import annotations

from PySide6.QtCore import QMargins, QRect, QSize
from PySide6.QtWidgets import QWidget

FRAME = QMargins(4, 34, 4, 4)  # of a window that has not been shown yet: a guess, corrected once it is


def first_size(wanted: QSize, smallest: QSize, available: QRect) -> QSize:
    """As much of the wanted size as the screen has room for."""
    return wanted.boundedTo(available.marginsRemoved(FRAME).size()).expandedTo(smallest)


def fitted(frame: QRect, available: QRect) -> QRect:
    """A window's frame, no larger than the screen and inside of it; where it does not fit, its upper left part is.

    >>> fitted(QRect(-50, 900, 400, 300), QRect(0, 0, 1000, 800)) == QRect(0, 500, 400, 300)
    True
    """
    size = frame.size().boundedTo(available.size())
    left = max(available.left(), min(frame.left(), available.left() + available.width() - size.width()))
    top = max(available.top(), min(frame.top(), available.top() + available.height() - size.height()))
    return QRect(left, top, size.width(), size.height())


def keep_on_screen(window: QWidget, smallest: QSize, *, move: bool = True) -> None:
    """Bring a window back whose place is on no screen any more, and shrink one that is larger than its screen."""
    if window.isMaximized() or window.isFullScreen() or window.isMinimized():
        return
    frame, inner = window.frameGeometry(), window.geometry()
    room = window.screen().availableGeometry()
    target = fitted(frame, QRect(room.topLeft(), room.size().expandedTo(smallest)))
    if not move:
        target.moveTopLeft(frame.topLeft())
    if target != frame:
        edges = QMargins(
            inner.left() - frame.left(), inner.top() - frame.top(),
            frame.right() - inner.right(), frame.bottom() - inner.bottom(),
        )  # fmt: skip
        window.setGeometry(target.marginsRemoved(edges))
