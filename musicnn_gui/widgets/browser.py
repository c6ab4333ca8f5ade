"""A browser in one line: previous, what is chosen, next; a click opens a list with search and favourites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from musicnn_gui.theme import ACCENT, CONTROL_HEIGHT, EDGE, FAINT, RADIUS, RAISED, TEXT, WARM, blend, small_font
from musicnn_gui.widgets.button import IconButton
from musicnn_gui.widgets.icons import draw_icon

ROW_HEIGHT, STAR = 38, 26
POPUP = QSize(340, 360)
ITEM = Qt.ItemDataRole.UserRole


@dataclass(frozen=True, slots=True)
class BrowserItem:
    """A row: `key` is handed back; the detail stands under the title. favourite: None where there are none."""

    key: Any
    title: str
    detail: str = ""
    favourite: bool | None = None

    def matches(self, words: str) -> bool:
        """Whether every word is in the title or the detail."""
        text = f"{self.title} {self.detail}".lower()
        return all(word in text for word in words.lower().split())


class Browser(QWidget):
    """chosen(key), stepped(+1 or -1), favourite_asked(key, on), delete_asked(key) tell of the player."""

    chosen = Signal(object)
    stepped = Signal(int)
    favourite_asked = Signal(object, bool)
    delete_asked = Signal(object)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """`name`: what is browsed, such as "instrument"."""
        super().__init__(parent)
        self._name = name
        self._items: list[BrowserItem] = []
        self.previous = IconButton("previous", f"Previous {name}", flat=True)
        self.next = IconButton("next", f"Next {name}", flat=True)
        self.title = TitleButton(f"Choose {name}")
        self.popup: BrowserPopup | None = None
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(0)
        line.addWidget(self.previous)
        line.addWidget(self.title, 1)
        line.addWidget(self.next)
        self.previous.clicked.connect(lambda: self.stepped.emit(-1))
        self.next.clicked.connect(lambda: self.stepped.emit(1))
        self.title.clicked.connect(self.open)

    def set_items(self, items: Sequence[BrowserItem]) -> None:
        """What there is to choose from."""
        self._items = list(items)
        if self.popup is not None:
            self.popup.set_items(self._items)

    def set_title(self, text: str, tip: str = "") -> None:
        """What is chosen."""
        self.title.setText(text)
        self.title.setToolTip(tip or f"Choose {self._name}")
        self.title.setAccessibleDescription(text)

    def open(self) -> None:
        """Show the list under the title."""
        popup = BrowserPopup(self._name, self)
        popup.set_items(self._items, self.title.text())
        popup.chosen.connect(self.chosen)
        popup.favourite_asked.connect(self.favourite_asked)
        popup.delete_asked.connect(self.delete_asked)
        popup.destroyed.connect(self._closed)
        self.popup = popup
        popup.resize(POPUP)
        popup.move(self.title.mapToGlobal(QPoint(0, self.title.height() + 2)))
        popup.show()
        popup.search.setFocus()

    def _closed(self) -> None:
        self.popup = None


class TitleButton(QAbstractButton):
    """The chosen title, elided, with an arrow."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(60)

    def sizeHint(self) -> QSize:
        """Room for a title."""
        return QSize(190, CONTROL_HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """A frame, the title, an arrow."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(ACCENT if self.hasFocus() else EDGE, 1))
        painter.setBrush(blend(RAISED, EDGE, 0.5) if self.underMouse() else RAISED)
        painter.drawRoundedRect(frame, RADIUS, RADIUS)
        room = self.rect().adjusted(9, 0, -22, 0)
        painter.setPen(TEXT)
        text = painter.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        draw_icon(painter, "down", QRectF(self.width() - 20, (self.height() - 14) / 2, 14, 14), FAINT)


class BrowserPopup(QFrame):
    """Search and list. Down goes to the list, Enter chooses, Ctrl+D is the favourite, Delete asks to delete."""

    chosen = Signal(object)
    favourite_asked = Signal(object, bool)
    delete_asked = Signal(object)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._items: list[BrowserItem] = []
        self.search = QLineEdit()
        self.search.setPlaceholderText(f"Search {name}s")
        self.search.setAccessibleName(f"Search {name}s")
        self.search.setClearButtonEnabled(True)
        self.only = IconButton("star", "Only favourites", checkable=True, colour=WARM)
        self.list = QListWidget()
        self.list.setAccessibleName(f"List of {name}s")
        self.list.setItemDelegate(_Rows(self.list))
        self.list.setMouseTracking(True)
        top = QHBoxLayout()
        top.addWidget(self.search, 1)
        top.addWidget(self.only)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.addLayout(top)
        column.addWidget(self.list, 1)
        self.search.textChanged.connect(lambda _: self._fill())
        self.only.toggled.connect(lambda _: self._fill())
        self.list.itemActivated.connect(self._choose)
        self.list.itemClicked.connect(self._clicked)
        self.search.installEventFilter(self)
        self.list.installEventFilter(self)

    def set_items(self, items: Sequence[BrowserItem], current: str = "") -> None:
        """List these; the one with the title `current` is marked."""
        self._items = list(items)
        self.only.setVisible(any(item.favourite is not None for item in items))
        self._fill(current)

    def _fill(self, current: str = "") -> None:
        row = self.list.currentItem()
        key = row.data(ITEM).key if row is not None else None
        self.list.clear()
        shown = [
            item for item in self._items
            if item.matches(self.search.text()) and (item.favourite or not self.only.isChecked())
        ]  # fmt: skip
        for item in sorted(shown, key=lambda item: not item.favourite):
            row = QListWidgetItem(item.title)
            row.setData(ITEM, item)
            row.setData(Qt.ItemDataRole.AccessibleDescriptionRole, item.detail)
            row.setToolTip(item.detail)
            self.list.addItem(row)
            if (item.key == key) if key is not None else (item.title == current):
                self.list.setCurrentItem(row)
        if self.list.currentRow() < 0:
            self.list.setCurrentRow(0)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keys that go from the search to the list."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            return self._key(watched, event)
        return super().eventFilter(watched, event)

    def _key(self, watched: QObject, event: QKeyEvent) -> bool:
        row = self.list.currentItem()
        in_search = watched is self.search
        if in_search and event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            step = 1 if event.key() == Qt.Key.Key_Down else -1
            self.list.setCurrentRow(min(max(self.list.currentRow() + step, 0), self.list.count() - 1))
            return True
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and row is not None:
            self._choose(row)
            return True
        if event.key() == Qt.Key.Key_D and event.modifiers() & Qt.KeyboardModifier.ControlModifier and row is not None:
            self._favourite(row.data(ITEM))
            return True
        if event.key() == Qt.Key.Key_Delete and not in_search and row is not None:
            self.delete_asked.emit(row.data(ITEM).key)
            return True
        return False

    def _clicked(self, row: QListWidgetItem) -> None:
        place = self.list.viewport().mapFromGlobal(self.list.cursor().pos())
        item = row.data(ITEM)
        if item.favourite is not None and place.x() < STAR:
            self._favourite(item)
        else:
            self._choose(row)

    def _favourite(self, item: BrowserItem) -> None:
        if item.favourite is not None:
            self.favourite_asked.emit(item.key, not item.favourite)

    def _choose(self, row: QListWidgetItem) -> None:
        self.chosen.emit(row.data(ITEM).key)
        self.close()


class _Rows(QStyledItemDelegate):
    """A star, a title, a faint line under it."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        """Two lines."""
        return QSize(100, ROW_HEIGHT)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """One row."""
        item, rect = index.data(ITEM), QRect(option.rect)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        view = self.parent()
        if isinstance(view, QListWidget) and index.row() == view.currentRow():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(blend(RAISED, ACCENT, 0.25))
            painter.drawRoundedRect(rect.adjusted(1, 1, -1, -1), RADIUS, RADIUS)
        left = 10
        if item.favourite is not None:
            icon, ink = ("starred", WARM) if item.favourite else ("star", FAINT)
            draw_icon(painter, icon, QRectF(rect.left() + 7, rect.center().y() - 7, 14, 14), ink)
            left = STAR + 3
        room = rect.adjusted(left, 3, -8, -4)
        painter.setPen(TEXT)
        metrics, elide = painter.fontMetrics(), Qt.TextElideMode.ElideRight
        upper = Qt.AlignmentFlag.AlignTop if item.detail else Qt.AlignmentFlag.AlignVCenter
        painter.drawText(room, upper, metrics.elidedText(item.title, elide, room.width()))
        painter.setFont(small_font(painter.font()))
        painter.setPen(FAINT)
        text = painter.fontMetrics().elidedText(item.detail, elide, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignBottom, text)
        painter.restore()
