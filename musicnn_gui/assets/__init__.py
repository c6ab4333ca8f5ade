"""Files that come with the window."""

from pathlib import Path

ARROW = Path(__file__).parent / "down.svg"
"""Of boxes that open."""

DEMO = Path(__file__).parent / "prelude_c_major.mid"
"""Bach, The Well-Tempered Clavier I, prelude in C major, written out by the project."""
