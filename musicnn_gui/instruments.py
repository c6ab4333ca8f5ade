"""The instruments that a player can choose from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.library import instruments
from engine.texts import clean_line

if TYPE_CHECKING:
    from engine.reports import InstrumentInfo

DESCRIPTION = 300  # characters of a description that are shown


@dataclass(frozen=True, slots=True)
class InstrumentEntry:
    """source: the name or folder to load it by."""

    source: str
    title: str
    kind: str
    description: str
    favourite: bool


def listed(favourites: Iterable[object], loaded: InstrumentInfo | None) -> list[InstrumentEntry]:
    """Those of the library by title, and the one that is loaded if it is from elsewhere; broken ones are left out."""
    marked = set(map(str, favourites))
    entries = [
        InstrumentEntry(
            entry.name, entry.description["title"], entry.description["kind"],
            clean_line(str(entry.description["metadata"].get("description", "")), DESCRIPTION), entry.name in marked,
        )
        for entry in instruments()
        if entry.description is not None
    ]  # fmt: skip
    if loaded is not None and loaded.source not in {entry.source for entry in entries}:
        entries.append(InstrumentEntry(loaded.source, loaded.title, loaded.kind, "", loaded.source in marked))
    return sorted(entries, key=lambda entry: (entry.title.casefold(), entry.source))
