"""How a score is played: tempo, transposition, loop, and which of its tracks are heard. Live and export alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SLOWEST, FASTEST = 0.5, 2.0
TEMPO_DIGITS = 3
"""A tempo is a whole number of thousandths, so that the transport can count in whole numbers."""
FURTHEST = 12  # semitones
SHORTEST_LOOP_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """Raises ValueError, in one sentence, for what is out of range.

    tempo: factor, 2 is twice as fast. transpose: semitones; drums stay. loop: (start, end) in seconds of the score at
    its own tempo. muted, solo: indices of tracks; with a solo only those are heard, and a muted one never is.
    """

    tempo: float = 1.0
    transpose: int = 0
    loop: tuple[float, float] | None = None
    muted: frozenset[int] = frozenset()
    solo: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not SLOWEST <= self.tempo <= FASTEST:
            raise ValueError(f"the tempo is in {SLOWEST:g}..{FASTEST:g}, not {self.tempo:g}")
        object.__setattr__(self, "tempo", round(self.tempo, TEMPO_DIGITS))
        if not -FURTHEST <= self.transpose <= FURTHEST:
            raise ValueError(f"a score is transposed by {-FURTHEST}..{FURTHEST} semitones, not {self.transpose}")
        if self.loop is not None:
            start, end = self.loop
            if not (start >= 0 and end - start >= SHORTEST_LOOP_SECONDS and math.isfinite(end)):
                raise ValueError(
                    f"a loop lasts at least {SHORTEST_LOOP_SECONDS:g} s and does not begin before the score"
                )

    def hears(self, track: int) -> bool:
        """Whether the notes of a track are played."""
        return track not in self.muted and (not self.solo or track in self.solo)

    def to_json(self) -> dict[str, Any]:
        """For a settings file."""
        return {
            "tempo": self.tempo, "transpose": self.transpose, "loop": list(self.loop) if self.loop else None,
            "muted": sorted(self.muted), "solo": sorted(self.solo),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoreOptions:
        """Back from a settings file; the defaults for what is damaged."""
        try:
            loop = data.get("loop")
            return cls(
                float(data.get("tempo", 1)), int(data.get("transpose", 0)),
                (float(loop[0]), float(loop[1])) if loop else None,
                frozenset(int(track) for track in data.get("muted", ())),
                frozenset(int(track) for track in data.get("solo", ())),
            )  # fmt: skip
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError):
            return cls()
