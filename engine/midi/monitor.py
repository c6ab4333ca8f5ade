"""What the channels stand at, for display and for the beginning of a recording."""

from __future__ import annotations

from engine.midi.channel import MODULATION, SOFT, SOSTENUTO, SUSTAIN, ChannelState
from engine.midi.events import EVERYWHERE, Event, Kind, bend, control

CHANNELS = 16
PEDALS = {"sustain": SUSTAIN, "sostenuto": SOSTENUTO, "soft": SOFT}
_FOLLOWED = (Kind.CONTROL, Kind.BEND, Kind.PRESSURE, Kind.PROGRAM, Kind.PANIC, Kind.DRUMS, Kind.TUNING)


class Monitor:
    """Follows controllers, wheels and pedals of all channels. Of each, the channel that has moved it furthest counts.

    pedals: how far sustain, sostenuto and soft pedal are down, 0-1. modulation: of its wheel, 0-1. bend: -1 to 1.
    """

    def __init__(self) -> None:
        self._channels = [ChannelState.of_channel(index) for index in range(CHANNELS)]
        self.pedals = dict.fromkeys(PEDALS, 0.0)
        self.modulation = self.bend = 0.0

    def hear(self, event: Event) -> None:
        """An event happens; notes are of no interest."""
        if event.kind not in _FOLLOWED:
            return
        for channel in self._channels if event.kind in EVERYWHERE else [self._channels[event.channel]]:
            channel.apply(event)
        self.pedals = {name: self._furthest(number) for name, number in PEDALS.items()}
        self.modulation = self._furthest(MODULATION)
        self.bend = max((channel.bend for channel in self._channels), key=abs)

    def state(self) -> list[Event]:
        """Events that bring channels that know nothing to this state."""
        events = []
        for index, channel in enumerate(self._channels):
            events += [control(0, number, value, index) for number, value in channel.controllers.items()]
            if channel.bend:
                events.append(bend(0, channel.bend * 8192, index))
            if channel.program:
                events.append(Event(0, Kind.PROGRAM, index, channel.program))
        return events

    def _furthest(self, number: int) -> float:
        return max(channel.controllers.get(number, 0) for channel in self._channels) / 127
