"""The piano at the bottom, wheels and pedals beside it, and the typing keyboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QHideEvent, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from engine.midi.channel import SOFT, SOSTENUTO, SUSTAIN
from engine.midi.events import bend, control
from musicnn_gui import typing_keys
from musicnn_gui.held_keys import HeldKeys
from musicnn_gui.legends import Legends
from musicnn_gui.session import Session
from musicnn_gui.theme import FAINT, SPACE, small_font
from musicnn_gui.typing_keyboard import TypingKeyboard
from musicnn_gui.widgets.button import IconButton
from musicnn_gui.widgets.piano import ENTER, ENTER_KEYS, FIRST, LAST, MOUSE, PianoWidget
from musicnn_gui.widgets.wheels import PedalWidget, WheelWidget

if TYPE_CHECKING:
    from engine.reports import Snapshot

MODULATION = 1
BEND_STEPS = 8191
PEDALS = {
    "sustain": (SUSTAIN, "Sustain pedal", "Sus"), "sostenuto": (SOSTENUTO, "Sostenuto pedal", "Sos"),
    "soft": (SOFT, "Soft pedal", "Soft"),
}  # fmt: skip
"""Pedals by the session's name: controller, name, short name."""

TEXT_FIELDS = QLineEdit | QAbstractSpinBox | QPlainTextEdit | QTextEdit
AWAY = (
    QEvent.Type.WindowDeactivate, QEvent.Type.WindowBlocked, QEvent.Type.Hide, QEvent.Type.Close,
    QEvent.Type.DragEnter,
)  # fmt: skip
"""Events of the window after which a release may go to another program."""


class KeyboardPanel(QWidget):
    """Plays what is clicked and typed; lights what sounds from any source."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._held = HeldKeys(session.note_on, session.note_off)
        self._typed = TypingKeyboard(self._held, self)
        self.legends = Legends(self)
        self._shifts: dict[str, int] = {}  # by kind of instrument: octaves from where its instruments begin
        self._kind, self._home = "", 0  # of the loaded instrument: its kind, the octave where it begins
        self.piano = PianoWidget()
        self.bend = WheelWidget("Pitch bend", "bend", -1.0, springs=True)
        self.modulation = WheelWidget("Modulation", "mod", 0.0, springs=False)
        self.pedals = {key: PedalWidget(name, short) for key, (_, name, short) in PEDALS.items()}
        self.down, self.up = _step_button("minus"), _step_button("plus")
        self.softer, self.louder = _step_button("minus"), _step_button("plus")
        self._octave_words, self._velocity_words = _words("Octave of the typing keyboard"), _words("Typed velocity")
        self._lay_out()
        self.piano.pressed.connect(lambda key, velocity: self._held.press(("piano", key), key, velocity))
        self.piano.released.connect(lambda key: self._held.release(("piano", key)))
        self.destroyed.connect(self._held.release_all)
        self.bend.moved.connect(lambda value: session.play(bend(0, round(BEND_STEPS * value))))
        self.modulation.moved.connect(lambda value: session.play(control(0, MODULATION, round(127 * value))))
        for key, pedal in self.pedals.items():
            number = PEDALS[key][0]
            pedal.toggled.connect(lambda on, number=number: session.play(control(0, number, 127 if on else 0)))
        self.down.clicked.connect(lambda: self.shift(-1))
        self.up.clicked.connect(lambda: self.shift(1))
        self.softer.clicked.connect(lambda: self.step_velocity(-1))
        self.louder.clicked.connect(lambda: self.step_velocity(1))
        session.instrument_changed.connect(self._show_instrument)
        self.legends.changed.connect(self._show_legends)
        self._set_octave(0)
        self._shifts.clear()
        self._show_legends()
        self.legends.refresh()

    def _lay_out(self) -> None:
        pedals = QHBoxLayout()
        pedals.setSpacing(3)
        for pedal in self.pedals.values():
            pedals.addWidget(pedal)
        box = QVBoxLayout()
        box.setSpacing(2)
        rows = (
            (self.down, self._octave_words, self.up), (self.softer, self._velocity_words, self.louder),
        )  # fmt: skip
        for less, words, more in rows:
            row = QHBoxLayout()
            row.setSpacing(0)
            row.addWidget(less)
            row.addWidget(words, 1)
            row.addWidget(more)
            box.addLayout(row)
        box.addLayout(pedals)
        box.addStretch(1)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(SPACE // 2)
        line.addLayout(box)
        for wheel in (self.bend, self.modulation):
            line.addWidget(wheel)
        line.addWidget(self.piano, 1)

    @property
    def octave(self) -> int:
        """By how many octaves the typing keyboard is shifted."""
        return self._typed.octave

    @property
    def velocity(self) -> int:
        """Of typed keys."""
        return self._typed.velocity

    def shift(self, octaves: int) -> None:
        """Move the typing keyboard, for instruments of this kind."""
        self._set_octave(self.octave + octaves)

    def _set_octave(self, octave: int) -> None:
        self._typed.let_go()
        self._typed.octave = min(max(octave, typing_keys.OCTAVES[0]), typing_keys.OCTAVES[-1])
        self._shifts[self._kind] = self.octave - self._home
        self.piano.set_labels(typing_keys.labels(self.octave, self.legends.known))
        self._show_words()

    def step_velocity(self, steps: int) -> None:
        """Let typed keys be softer or louder."""
        index = typing_keys.VELOCITIES.index(self.velocity) + steps
        self._typed.velocity = typing_keys.VELOCITIES[min(max(index, 0), len(typing_keys.VELOCITIES) - 1)]
        self._show_words()

    def remembered(self) -> dict[str, object]:
        """The octaves, to be given to `restore` the next time."""
        shifts = {kind: shift for kind, shift in self._shifts.items() if kind}
        return {"octave": self.octave, "octaves_by_kind": shifts}

    def restore(self, view: Mapping[str, object]) -> None:
        """As it was; what is damaged is left out. `octave` alone, of an older version, is for the next instrument."""
        octave, shifts = view.get("octave"), view.get("octaves_by_kind")
        if isinstance(octave, int) and not isinstance(octave, bool):
            self._set_octave(octave)
        if isinstance(shifts, Mapping):
            self._shifts.pop("", None)
            whole = {kind: shift for kind, shift in shifts.items() if isinstance(shift, int)}
            self._shifts |= {str(kind): shift for kind, shift in whole.items() if not isinstance(shift, bool)}

    def let_go(self) -> None:
        """End every note that the window plays, such as when its releases may go to another program."""
        self.piano.let_go()
        self._let_go_of_mouse()
        self._held.release_all()

    def _let_go_of_mouse(self, grabber: QObject | None = None) -> None:
        """Whatever holds the mouse lets it go, but for the widget that hears so itself."""
        if grabber is not self.piano:
            self.piano.let_go(MOUSE)
        for wheel in (self.bend, self.modulation):
            if grabber is not wheel:
                wheel.let_go()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Light the keys that are held, show wheels and pedals."""
        self.piano.set_lit(snapshot.keys_down)
        for key, pedal in self.pedals.items():
            pedal.set_depth(self._session.pedals.get(key, 0.0))
        self.bend.set_value(self._session.bend)
        self.modulation.set_value(self._session.modulation)

    def _show_words(self) -> None:
        self._octave_words.setText(f"octave {self.octave:+d}" if self.octave else "octave 0")
        self._velocity_words.setText(f"velocity {self.velocity}")

    def _show_legends(self) -> None:
        """Write on piano and hints what is printed on the player's keys."""
        spell = self.legends.of
        self.piano.set_labels(typing_keys.labels(self.octave, self.legends.known))
        for button, tip, place in (
            (self.down, "Typing keyboard an octave down", typing_keys.OCTAVE_DOWN),
            (self.up, "Typing keyboard an octave up", typing_keys.OCTAVE_UP),
            (self.softer, "Type softer", typing_keys.SOFTER), (self.louder, "Type louder", typing_keys.LOUDER),
        ):  # fmt: skip
            button.set_tip(f"{tip} ({spell(place)})")
        white, octaves, velocities = (" and ".join(spell(places)) for places in ("A'", "ZX", "CV"))
        tip = f"Keys between {white} play the white keys; {octaves} shift the octave, {velocities} the velocity"
        for words in (self._octave_words, self._velocity_words):
            words.setToolTip(tip)

    def _show_instrument(self) -> None:
        instrument = self._session.instrument
        if instrument is None:
            return
        pads: tuple[str, ...] = getattr(instrument, "pads", ())
        span = span_of(instrument.keys) if pads else (FIRST, LAST)
        self.piano.set_span(*span)
        self._begin_kind(instrument.kind, (span[0] - typing_keys.BASE_KEY) // 12 if pads else 0)
        self.piano.set_playable(instrument.keys)
        self.piano.set_names(dict(zip(instrument.keys, pads, strict=False)))

    def _begin_kind(self, kind: str, home: int) -> None:
        """Go to the octave that this kind of instrument had last. home: where A plays the first pad's octave."""
        early = self._shifts.pop("", None)  # of the time before the first instrument
        if early is not None:
            self._shifts[kind] = early - home
        self._kind, self._home = kind, home
        self._set_octave(home + self._shifts.get(kind, 0))

    def hideEvent(self, event: QHideEvent) -> None:
        """What is not seen holds no key."""
        self.let_go()
        super().hideEvent(event)

    # --- the typing keyboard ---

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hear the whole program: presses before any widget of the window, releases wherever they go."""
        kind = event.type()
        if kind == QEvent.Type.KeyRelease and isinstance(event, QKeyEvent):
            return self._release(event)
        if kind == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            return self._typed.repeats(event) or (self._is_music(watched) and self._press(event))
        if kind == QEvent.Type.MouseButtonRelease and isinstance(event, QMouseEvent):
            if event.button() == Qt.MouseButton.LeftButton:
                self._let_go_of_mouse(watched)
        elif kind == QEvent.Type.WindowActivate and watched is self.window():
            self.legends.refresh()
        elif kind == QEvent.Type.ApplicationDeactivate or (kind in AWAY and watched is self.window()):
            self.let_go()
        return False

    def _is_music(self, watched: QObject) -> bool:
        """Whether a key that is pressed there is neither text nor a popup's."""
        if not isinstance(watched, QWidget) or watched.window() is not self.window():
            return False
        focus = QApplication.focusWidget()
        writes = focus is not None and focus.testAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled)
        return not (QApplication.activePopupWidget() or writes or isinstance(focus, TEXT_FIELDS))

    def _press(self, event: QKeyEvent) -> bool:
        self.legends.learn(event)
        if event.key() == Qt.Key.Key_Space and not isinstance(QApplication.focusWidget(), QAbstractButton):
            if not event.isAutoRepeat():
                stop = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
                (self._session.stop if stop else self._session.play_or_pause)()
            return True
        if not typing_keys.plays(event.modifiers()):
            return False
        command = typing_keys.command_of(event)
        if command is not None:
            if not event.isAutoRepeat():
                self._command(command)
            return True
        return self._typed.strike(event)

    def _release(self, event: QKeyEvent) -> bool:
        if event.key() in ENTER_KEYS and not event.isAutoRepeat():
            self.piano.let_go(ENTER)
        return self._typed.release(event)

    def _command(self, command: str) -> None:
        match command:
            case typing_keys.OCTAVE_DOWN:
                self.shift(-1)
            case typing_keys.OCTAVE_UP:
                self.shift(1)
            case typing_keys.SOFTER:
                self.step_velocity(-1)
            case typing_keys.LOUDER:
                self.step_velocity(1)


def _step_button(icon: str) -> IconButton:
    button = IconButton(icon, "", flat=True)
    button.setFixedSize(20, 20)
    return button


def _words(name: str) -> QLabel:
    label = QLabel()
    label.setFont(small_font(label.font()))
    label.setStyleSheet(f"color: {FAINT.name()};")
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    label.setAccessibleName(name)
    return label


def span_of(keys: range) -> tuple[int, int]:
    """Whole octaves from a C to a B around some keys, three at least: pads are wide enough for their names.

    >>> span_of(range(36, 46)), span_of(range(48, 97))
    ((36, 71), (48, 107))
    """
    first = keys.start // 12 * 12
    last = max(first + 35, (keys.stop - 1) // 12 * 12 + 11)
    return min(first, 127 - 36), min(last, 127)
