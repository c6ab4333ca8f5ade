"""Text of files, made fit to be shown: no control characters, no halves of surrogate pairs, not too long."""

from __future__ import annotations

import re
from typing import Any

ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?")
"""Escape sequences of terminals: colours and cursor, window titles, others."""
LINE, PARAGRAPHS = 80, 20_000
"""Characters kept of a title, and of longer text."""


def clean_line(text: str, most: int = LINE) -> str:
    """One line of printable characters, white space collapsed, cut to `most`.

    >>> clean_line("Grand\\x1b[31m\\nPiano ")
    'Grand Piano'
    """
    part = ESCAPES.sub("", text[: 16 * most])  # a title further on is none
    return " ".join("".join(c if c.isprintable() else " " for c in part).split())[:most].rstrip()


def clean_text(text: str, most: int = PARAGRAPHS) -> str:
    """Printable text that may have several lines, cut to `most` characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in ESCAPES.sub("", text[:most]))


def clean_strings(value: Any) -> Any:
    """A JSON value whose strings, keys included, are clean."""
    match value:
        case str():
            return clean_text(value)
        case list():
            return [clean_strings(part) for part in value]
        case dict():
            return {clean_line(str(name)): clean_strings(part) for name, part in value.items()}
    return value


def is_label(value: object, most: int = LINE) -> bool:
    """Whether a value is a short printable text: a name or title that need not be cleaned."""
    return isinstance(value, str) and len(value) <= most and value.isprintable()


def shown(value: object, most: int = 40) -> str:
    """A value of a file as an error names it: escaped, and cut where it is long."""
    if isinstance(value, str):
        return repr(value) if len(value) <= most else f"{value[:most]!r}..."
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


def printable(text: str, most: int = 1000) -> str:
    """Text in which everything unprintable is a question mark, and whose middle is left out where it is very long."""
    if len(text) > most:
        text = f"{text[: most // 2]} ... {text[-most // 2 :]}"
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
