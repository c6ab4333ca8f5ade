"""Every action that has a name, with its shortcut: the menu, the shortcuts and the table of keys read these rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True, slots=True)
class ActionRow:
    """name: in the code; keys: as Qt writes a shortcut, "" for none."""

    name: str
    text: str
    keys: str
    group: str


ACTIONS = (
    ActionRow("open", "Open a MIDI file …", "Ctrl+O", "Files"),
    ActionRow("export", "Export the score …", "Ctrl+E", "Files"),
    ActionRow("listen", "Start from a sound file (pads and songs) …", "Ctrl+Shift+O", "Files"),
    ActionRow("record", "Record, or end recording", "Ctrl+R", "Files"),
    ActionRow("save take", "Save the last recording …", "Ctrl+Shift+R", "Files"),
    ActionRow("undo", "Undo", "Ctrl+Z", "Knobs"),
    ActionRow("redo", "Redo", "Ctrl+Shift+Z", "Knobs"),
    ActionRow("side", "Compare: the other side of A/B", "Ctrl+B", "Knobs"),
    ActionRow("copy", "Copy this side of A/B to the other", "Ctrl+Shift+B", "Knobs"),
    ActionRow("forget", "Forget all learned MIDI controllers", "Ctrl+Shift+F", "Knobs"),
    ActionRow("instruments", "Choose an instrument …", "Ctrl+I", "Instruments and presets"),
    ActionRow("previous instrument", "Previous instrument", "Alt+Up", "Instruments and presets"),
    ActionRow("next instrument", "Next instrument", "Alt+Down", "Instruments and presets"),
    ActionRow("presets", "Choose a preset …", "Ctrl+P", "Instruments and presets"),
    ActionRow("previous preset", "Previous preset", "Alt+Left", "Instruments and presets"),
    ActionRow("next preset", "Next preset", "Alt+Right", "Instruments and presets"),
    ActionRow("save", "Save preset …", "Ctrl+S", "Instruments and presets"),
    ActionRow("loop", "Loop: from here, to here, and no more", "Ctrl+T", "Playing"),
    ActionRow("octave down", "Typing keyboard an octave down", "Ctrl+Down", "Playing"),
    ActionRow("octave up", "Typing keyboard an octave up", "Ctrl+Up", "Playing"),
    ActionRow("mute", "Mute", "Ctrl+M", "Playing"),
    ActionRow("panic", "Panic: silence at once", "Esc", "Playing"),
    ActionRow("freeze", "Freeze the spectrograms", "Ctrl+F", "Window"),
    ActionRow("picture", "Save the spectrograms as a picture …", "Ctrl+Shift+P", "Window"),
    ActionRow("keys", "Keys", "F1", "Window"),
    ActionRow("log", "Show the log", "", "Window"),
    ActionRow("about", "About MusicNN", "", "Window"),
    ActionRow("menu", "This menu", "F10", "Window"),
    ActionRow("quit", "Quit", "Ctrl+Q", "Window"),
)

TYPING = (
    ("ASDFGHJKL;'", "white keys"), ("WETYUOP]", "black keys"), ("ZX", "octave down, up"), ("CV", "softer, louder"),
)  # fmt: skip
"""The typing keyboard, by the places of the keys."""

OTHERS = (
    ("Playing", (("Space, Shift+Space", "play or pause, stop"),)),
    ("On a knob", (
        ("arrows, page keys", "turn; Shift for fine"), ("Home, End", "lowest, highest"), ("Del", "default"),
        ("Enter or a digit", "type a value"), ("Ctrl+L", "lock"), ("Menu key", "MIDI learn and more"),
    )),
    ("On the piano roll", (
        ("left, right, page keys", "move"), ("Home, End", "to the ends"), ("+ -", "zoom"), ("Del", "end the loop"),
    )),
    ("On a spectrogram", (("arrows", "move the cursor that reads"), ("Home, Del", "to now, away"))),
    ("On the piano", (("left, right, up, down", "choose a key"), ("Enter", "play it"))),
    ("In a browser", (
        ("letters", "search"), ("up, down, Enter", "choose"), ("Ctrl+D", "favourite"), ("Del", "delete a preset"),
    )),
)  # fmt: skip
"""Keys that mean something in one place only."""


def key_groups(spell: Callable[[str], str] = str) -> list[tuple[str, list[tuple[str, str]]]]:
    """The whole table, by group: (key, what it does). spell: what is printed on keys, by their places."""
    named = [
        (group, [(row.keys, row.text) for row in rows if row.keys])
        for group, rows in groupby(ACTIONS, key=lambda row: row.group)
    ]
    typing = [(" ".join(spell(places)), text) for places, text in TYPING]
    return [("Typing keyboard", typing), *((title, list(rows)) for title, rows in OTHERS), *named]
