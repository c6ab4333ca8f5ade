"""What a settings file may hold: one check for each name. The file may have been edited or damaged.

A check returns the value that is used, without those parts of lists and mappings that make no sense, or raises
ValueError.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from typing import Any

from engine.audio.output import BLOCK_SIZES
from engine.knobs import KNOBS
from engine.midi.mapping import is_free
from engine.score_options import ScoreOptions
from musicnn_gui.memory import SIDES
from musicnn_gui.presets import finite

MOST_CHARACTERS = 1000
PATH_BYTES = 4095
STATE_CHARACTERS = 20_000  # of a window's geometry
MOST_ENTRIES = 1000
MOST_DEPTH = 6
LARGEST_NUMBER = 1_000_000  # Qt's integers have 32 bits


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS or "\0" in value:
        raise ValueError("no text, or a very long one")
    value.encode()  # raises UnicodeEncodeError, a ValueError, for halves of characters
    return value


def _path(value: object) -> str:
    """Names that are not UTF-8 are allowed."""
    if not isinstance(value, str) or "\0" in value or len(os.fsencode(value)) > PATH_BYTES:
        raise ValueError("no path")
    return value


def _name(value: object) -> str:
    if not value:
        raise ValueError("no name")
    return _path(value)


def _state(value: object) -> str:
    if not isinstance(value, str) or len(value) > STATE_CHARACTERS:
        raise ValueError("no state of a window")
    base64.b64decode(value, validate=True)
    return value


def _block(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in BLOCK_SIZES:
        raise ValueError("no block size")
    return value


def _side(value: object) -> str:
    if value not in SIDES:
        raise ValueError("neither A nor B")
    return str(value)


def _knobs(value: object) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise ValueError("no mapping")
    numbers = {name: finite(number) for name, number in value.items() if name in KNOBS}
    return {name: KNOBS[name].clip(number) for name, number in numbers.items() if number is not None}


def _locks(value: object) -> list[str]:
    return [name for name in _list(value) if isinstance(name, str) and name in KNOBS]


def _mapping(value: object) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise ValueError("no mapping")
    return {
        name: number
        for name, number in value.items()
        if name in KNOBS and isinstance(number, int) and not isinstance(number, bool) and is_free(number)
    }


def _score_options(value: object) -> dict[str, Any]:
    """Each option by itself."""
    if not isinstance(value, Mapping):
        raise ValueError("no mapping")
    return {name: ScoreOptions.from_json({name: value.get(name)}).to_json()[name]
            for name in ScoreOptions().to_json() if name in value}  # fmt: skip


def _favourites(value: object) -> list[str]:
    kept: dict[str, None] = {}
    for name in _list(value):
        try:
            kept[_name(name)] = None
        except ValueError:
            continue
    return list(kept)[:MOST_ENTRIES]


def _view(value: object) -> dict[str, Any]:
    """What widgets remember: they check it themselves, but for numbers and sizes that would break Qt."""
    if not isinstance(value, Mapping):
        raise ValueError("no mapping")
    return {name: part for name, part in value.items() if _is_plain(part, MOST_DEPTH)}


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _is_plain(value: object, depth: int) -> bool:
    if isinstance(value, int | float):
        number = finite(float(value) if isinstance(value, bool) else value)
        return number is not None and abs(number) <= LARGEST_NUMBER
    if isinstance(value, str):
        return len(value) <= STATE_CHARACTERS and "\0" not in value
    if isinstance(value, list | Mapping):
        parts = list(value.values()) if isinstance(value, Mapping) else value
        return depth > 0 and len(parts) <= MOST_ENTRIES and all(_is_plain(part, depth - 1) for part in parts)
    return value is None


CHECKS: dict[str, Callable[[object], Any]] = {
    "instrument": _name, "device": _text, "block": _block, "midi_port": _text,
    "folder": _path, "export_folder": _path, "recording_folder": _path, "geometry": _state,
    "score": _path, "score_options": _score_options, "knobs": _knobs, "other_knobs": _knobs, "side": _side,
    "locks": _locks, "preset": _path, "mapping": _mapping, "favourites": _favourites, "author": _text, "view": _view,
}  # fmt: skip
