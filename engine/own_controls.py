"""The player's own pedals, wheels and controllers, apart from those of a score that plays on the same channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from engine.midi.channel import (
    CENTRE,
    COARSE_TUNING,
    DATA_LSB,
    DATA_MSB,
    FINE_TUNING,
    NRPN_LSB,
    NRPN_MSB,
    PITCH_RANGE,
    RPN_LSB,
    RPN_MSB,
    ChannelState,
)
from engine.midi.events import Event, Kind

_SELECTING = (NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB)
NOTHING = (127, 127)  # the registered parameter that stands for none
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
        events, chosen = list[Event](), dict[int, tuple[int, int]]()  # registered parameter by channel
        for event in neutral:
            if event.kind is Kind.CONTROL and event.number in (RPN_MSB, RPN_LSB):
                msb, lsb = chosen.get(event.channel, NOTHING)
                value = int(event.value)
                chosen[event.channel] = (value, lsb) if event.number == RPN_MSB else (msb, value)
            events.append(self._restored(event, chosen.get(event.channel, NOTHING)))
        return events

    def _restored(self, event: Event, parameter: tuple[int, int]) -> Event:
        state = self._channels.get(event.channel)
        if state is None:
            return event
        match event.kind:
            case Kind.BEND:
                return replace(event, value=round(state.bend * 8192))
            case Kind.PRESSURE:
                return replace(event, value=state.pressure)
            case Kind.CONTROL if event.number in (DATA_MSB, DATA_LSB):
                msb, lsb = _data(state, parameter) or (event.value, event.value)
                return replace(event, value=msb if event.number == DATA_MSB else lsb)
            case Kind.CONTROL if event.number not in _SELECTING:
                return replace(event, value=state.controllers.get(event.number, event.value))
        return event


def _data(state: ChannelState, parameter: tuple[int, int]) -> tuple[int, int] | None:
    """Data entry (MSB, LSB) that brings a registered parameter to where a channel has it."""
    if parameter == PITCH_RANGE:
        cents = round(100 * state.bend_range)
        return cents // 100, cents % 100
    if parameter == FINE_TUNING:
        steps = min(max(round(8192 * (1 + state.fine)), 0), 16_383)
        return steps >> 7, steps & 127
    if parameter == COARSE_TUNING:
        return CENTRE + round(state.coarse), 0
    return None
