"""The knobs that the instrument declares, in cards by group."""

from __future__ import annotations

from functools import partial
from itertools import groupby

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from engine.knobs import MASTER, Knob
from musicnn_gui.session import Session
from musicnn_gui.theme import SPACE
from musicnn_gui.widgets.knob import WIDTH, KnobWidget
from musicnn_gui.widgets.knob_group import MARGIN, KnobGroup

SMALL_GROUP = 2
"""Groups with no more knobs than this share a card with their neighbours."""


class KnobsPanel(QScrollArea):
    """Cards in as many rows as the width needs; it scrolls where the height is not enough for all."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.knobs: dict[str, KnobWidget] = {}
        self.groups: list[KnobGroup] = []
        self._arranged: list[list[tuple[KnobGroup, int]]] = []
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(260, 120)
        self.setAccessibleName("Knobs")
        session.instrument_changed.connect(self.refresh)
        session.knobs_changed.connect(self.show_values)
        session.mapping_changed.connect(self.show_mapping)
        session.locks_changed.connect(self.show_locks)
        self.refresh()

    def refresh(self) -> None:
        """Build the knobs of the loaded instrument, at their values."""
        shown = [knob for knob in self._session.shown_knobs if knob.name not in MASTER]
        self.groups = [KnobGroup(title, knobs) for title, knobs in cards(shown)]
        self.knobs = {name: widget for group in self.groups for name, widget in group.knobs.items()}
        for group in self.groups:
            group.randomise_asked.connect(self._session.randomise)
            group.lock_asked.connect(self._lock)
        for name, widget in self.knobs.items():
            connect_knob(widget, name, self._session)
        self._arranged = []
        self._arrange()
        self.show_values(list(self.knobs))
        self.show_mapping()
        self.show_locks()

    def show_values(self, names: list[str]) -> None:
        """Show what the session holds."""
        for name in names:
            if name in self.knobs:
                self.knobs[name].set_value(self._session.knobs[name])

    def show_mapping(self) -> None:
        """Show which controllers turn which knobs, and which knob waits for one."""
        for name, widget in self.knobs.items():
            widget.set_controller(self._session.mapping.get(name))
            widget.set_learning(self._session.learning == name)

    def show_locks(self) -> None:
        """Show what is locked."""
        for name, widget in self.knobs.items():
            widget.set_locked(name in self._session.locks)
        for group in self.groups:
            group.show_locks()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width, other rows."""
        super().resizeEvent(event)
        self._arrange()

    def _lock(self, names: list[str], on: bool) -> None:
        self._session.begin_gesture()
        for name in names:
            self._session.set_locked(name, on)
        self._session.end_gesture()

    def _arrange(self) -> None:
        room = self.width() - self.verticalScrollBar().sizeHint().width()
        rows = arrange(self.groups, room)
        if rows == self._arranged:
            return
        self._arranged = rows
        old = self.takeWidget()
        body = QWidget()
        body.setAutoFillBackground(False)
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE // 2 + 2)
        for row in rows:
            line = QHBoxLayout()
            line.setSpacing(SPACE // 2 + 2)
            for group, columns in row:
                group.set_columns(columns)
                line.addWidget(group, columns)
            column.addLayout(line)
        column.addStretch(1)
        self.setWidget(body)
        if old is not None:
            old.deleteLater()


def connect_knob(widget: KnobWidget, name: str, session: Session) -> None:
    """Let a knob turn, lock and learn in the session."""
    widget.turned.connect(partial(session.turn, name))
    widget.gesture_began.connect(session.begin_gesture)
    widget.gesture_ended.connect(session.end_gesture)
    widget.lock_asked.connect(partial(session.set_locked, name))
    widget.learn_asked.connect(lambda on: session.learn(name if on else None))
    widget.forget_asked.connect(partial(session.forget, name))


def cards(knobs: list[Knob]) -> list[tuple[str, list[Knob]]]:
    """Titles and knobs of cards: small groups beside each other become one."""
    made: list[tuple[str, list[Knob]]] = []
    small = False
    for title, group in groupby(knobs, key=lambda knob: knob.group):
        members = list(group)
        if small and len(members) <= SMALL_GROUP:
            before, together = made[-1]
            made[-1] = f"{before} · {title}", together + members
        else:
            made.append((title, members))
            small = len(members) <= SMALL_GROUP
    return made


def arrange(groups: list[KnobGroup], room: int) -> list[list[tuple[KnobGroup, int]]]:
    """Rows of (card, knobs in one of its rows) that fit into `room` pixels; a large card's rows are even."""
    most = max(1, (room - 2 * MARGIN) // WIDTH)
    rows: list[list[tuple[KnobGroup, int]]] = []
    left = 0
    for group in groups:
        lines = -(-len(group.knobs) // most)
        columns = -(-len(group.knobs) // lines)
        wide = KnobGroup.width_of(columns) + SPACE
        if not rows or wide > left:
            rows.append([])
            left = room + SPACE
        rows[-1].append((group, columns))
        left -= wide
    return rows
