"""Notes that are analysed in seconds, not minutes. Processes that analyse them import this."""

from dataclasses import dataclass

from training.notes import NotesConfig


@dataclass(frozen=True)
class ShortNotes(NotesConfig):
    carriers: int = 24
    noise: int = 8
    longest_seconds: float = 1.0
    release_seconds: float = 0.3
