"""The player's own pedals, wheels and controllers, apart from those of a score that plays on the same channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from engine.midi.channel import DATA_MSB, NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB, ChannelState
from engine.midi.events import Event, Kind

_SELECTING = (NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB)
_NOTES = (Kind.NOTE_ON, Kind.NOTE_OFF)


class OwnControls:
    """Follows what the player moves, so that it can be put back where a score has moved it."""

    def __init__(self) -> None:
        self._channels: dict[int, ChannelState] = {}  # of the channels that the player has moved anything on

    def hear(self, event: Event) -> None:
        """The player moves something; notes are of no interest."""
        if event.kind is Kind.PANIC:
            self._channels = {}
        elif event.kind not in _NOTES:
            self._channels.setdefault(event.channel, ChannelState()).apply(event)

    def restored(self, neutral: Iterable[Event]) -> list[Event]:
        """Events that put controllers back, to where the player has them instead of to where nobody has moved them."""
        return [self._restored(event) for event in neutral]

    def _restored(self, event: Event) -> Event:
        state = self._channels.get(event.channel)
        if state is None:
            return event
        if event.kind is Kind.BEND:
            return replace(event, value=round(state.bend * 8192))
        if event.kind is Kind.PRESSURE:
            return replace(event, value=state.pressure)
        if event.number == DATA_MSB:
            return replace(event, value=int(state.bend_range))
        if event.number in _SELECTING:
            return event
        return replace(event, value=state.controllers.get(event.number, event.value))
