"""Several ports of sixteen channels each on the sixteen channels that there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.midi.events import DRUM_CHANNEL, Event, drum_part
from engine.midi.tracks import NOTE_ON

CHANNELS = 16
MOST_NAMED = 6


class PortMap:
    """Which channel plays what a port's channel says.

    The first port with notes keeps its numbers, those of others take what it leaves free. Where nothing is free, notes
    of another port are played on the channel of the same number, and its controllers are left out ("folded").

    notices: a sentence where something was moved.
    """

    def __init__(self, words: NDArray[np.uint32]) -> None:
        notes = words[(words >> 24 < 0x80) & (words >> 20 & 0xF == NOTE_ON) & (words & 0x7F > 0)]
        used = [(int(place) >> 4, int(place) & 0xF) for place in np.unique(notes >> 24 << 4 | notes >> 16 & 0xF)]
        first = used[0][0] if used else 0
        self._channels = {(first, channel): channel for channel in range(CHANNELS)}
        self._folded: set[tuple[int, int]] = set()
        self.notices: list[str] = []
        moved = []
        free = [channel for channel in range(CHANNELS) if (first, channel) not in used]
        for port, channel in used:
            if port == first:
                continue
            place = (port, channel)
            chosen = min(free, key=lambda own: (own != channel, own == DRUM_CHANNEL, own), default=None)
            if chosen is None:
                self._channels[place] = channel
                self._folded.add(place)
                continue
            free.remove(chosen)
            self._channels.pop((first, chosen), None)
            self._channels[place] = chosen
            if chosen != channel:
                moved.append(f"channel {channel + 1} of port {port + 1} as channel {chosen + 1}")
        if moved:
            more = f" and {len(moved) - MOST_NAMED} more" if len(moved) > MOST_NAMED else ""
            self.notices.append(f"the ports are kept apart: {', '.join(moved[:MOST_NAMED])}{more}")

    def channel(self, port: int, channel: int) -> tuple[int | None, bool]:
        """The channel that plays, None for none, and whether only its notes are."""
        place = (port, channel)
        return self._channels.get(place), place in self._folded

    def drum_parts(self) -> list[Event]:
        """Events that make drum parts of channels that play one of another port, and none of those that do not."""
        return [
            drum_part(0, own, channel == DRUM_CHANNEL)
            for (_, channel), own in self._channels.items()
            if (channel == DRUM_CHANNEL) != (own == DRUM_CHANNEL)
        ]
