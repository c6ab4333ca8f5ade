"""How a file's music ends: with its last note, whatever the pedals, the empty bars and the missing note-offs say."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.midi.channel import PEDAL_DOWN, SOSTENUTO, SUSTAIN, ChannelState, Start
from engine.midi.events import Event, Kind

TAIL_SECONDS = 30.0
"""So much silence at the end of a track is kept, as the silent bars of a loop; and a pedal holds notes so long."""
OPEN_SECONDS = 2.0
"""A note that nothing ends sounds so long at least."""
RING_SECONDS = 3.0
"""A pedal that never comes up holds so long after the last note."""
MOST_NOTES = 128  # on a channel; synthesizers have no more voices
_KINDS = frozenset({Kind.NOTE_ON, Kind.NOTE_OFF, Kind.CONTROL, Kind.PROGRAM, Kind.DRUMS})


@dataclass(slots=True)
class Ending:
    """What playing events to the channels shows.

    released: sample of the last release. drums: channels that play notes as drum parts. held: pedals (channel,
    controller) that still hold notes at the end.
    """

    released: int = 0
    drums: set[int] = field(default_factory=set)
    held: list[tuple[int, int]] = field(default_factory=list)


def play_through(events: Iterable[Event]) -> Ending:
    """Play events, in order, to channels without sound."""
    ending = Ending()
    numbers = itertools.count()
    channels = [ChannelState.of_channel(index, numbers) for index in range(16)]
    sounding: dict[int, dict[int, None]] = {index: {} for index in range(16)}
    for event in events:
        if event.kind not in _KINDS:
            continue
        channel, notes = channels[event.channel], sounding[event.channel]
        for command in channel.apply(event):
            if isinstance(command, Start):
                notes[command.note] = None
                if len(notes) > MOST_NOTES:
                    stolen = next(iter(notes))
                    del notes[stolen]
                    channel.forget(stolen)
                if channel.drums:
                    ending.drums.add(event.channel)
            else:
                notes.pop(command.note, None)
                ending.released = max(ending.released, event.sample)
    ending.held = [
        (index, pedal)
        for index, notes in sounding.items()
        for pedal in (SUSTAIN, SOSTENUTO)
        if notes and channels[index].controllers.get(pedal, 0) >= PEDAL_DOWN
    ]
    return ending
