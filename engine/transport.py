"""Playing a score on the sample clock: start, pause, stop, seek. Owned by the thread that renders."""

from __future__ import annotations

import bisect

from engine.midi.channel import (
    ALL_NOTES_OFF,
    ALL_SOUND_OFF,
    BEND_RANGE,
    DATA_LSB,
    DATA_MSB,
    EXPRESSION,
    NOTE_MODES,
    NRPN_LSB,
    NRPN_MSB,
    PAN,
    RESET_CONTROLLERS,
    RPN_LSB,
    RPN_MSB,
    SUSTAIN,
    VOLUME,
)
from engine.midi.events import Event, Kind, bend, control
from engine.midi.files import Score

CHANNELS = 16
PARAMETERS = frozenset({DATA_MSB, DATA_LSB, NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB})
"""Controllers that mean something in their order only."""
UNTOUCHED = {VOLUME: 100, EXPRESSION: 127, PAN: 64}
"""Where controllers stand that nobody has moved; all others stand at 0."""

FORESEEN = 4096  # samples, 93 ms


class Transport:
    """Hands out a score's events block by block, on the clock of the synth.

    position: sample of the score that comes next.
    """

    def __init__(self) -> None:
        self.score: Score | None = None
        self.playing = False
        self.position = 0
        self._times: list[int] = []
        self._untouched: list[Event] = []
        self._pending: list[Event] = []

    def load(self, score: Score | None) -> None:
        """Take a score and stand at its beginning; what sounds of the one before is ended."""
        self.stop()
        self.score = score
        self._times = [event.sample for event in score.events] if score else []
        self._untouched = _untouched(score) if score else []

    def play(self) -> None:
        """Go on from here; from the beginning where the score has ended."""
        if self.score is None:
            return
        if self.position >= self.score.length:
            self.position = 0
        if not self.playing:
            self.playing = True
            self._pending += self._chased()

    def pause(self) -> None:
        """Stay here, with every note ended."""
        if self.playing:
            self.playing = False
            self._pending += _quiet()

    def stop(self) -> None:
        """End every note and go back to the beginning."""
        self.pause()
        self.position = 0

    def seek(self, sample: int) -> None:
        """Go to a sample of the score; held notes end, controllers are brought to what they are there."""
        if self.score is None:
            return
        playing = self.playing
        self.pause()
        self.position = min(max(0, sample), self.score.length)
        if playing and self.position < self.score.length:
            self.play()

    def coming(self, now: int, samples: int) -> list[Event]:
        """Events that `advance` will hand out FORESEEN samples after those of the next `samples`, timed as there.

        Nothing is moved.
        """
        if not self.playing or self.score is None:
            return []
        start = self.position + FORESEEN
        first, last = (bisect.bisect_left(self._times, time) for time in (start, start + samples))
        return [event.at(now + event.sample - self.position) for event in self.score.events[first:last]]

    def advance(self, now: int, samples: int) -> list[Event]:
        """Events of the next samples, timed on the synth's clock, where they begin at `now`."""
        due = [event.at(now) for event in self._pending]
        self._pending = []
        if not self.playing or self.score is None:
            return due
        first = bisect.bisect_left(self._times, self.position)
        last = bisect.bisect_left(self._times, self.position + samples)
        due += [event.at(now + event.sample - self.position) for event in self.score.events[first:last]]
        self.position += samples
        if self.position > self.score.length:
            due += [event.at(now + samples) for event in self.score.events[last:]]
            self.playing = False
            self.position = self.score.length
        return due

    def _chased(self) -> list[Event]:
        """Controllers, bends, programs and held notes as they stand before the position.

        What the score moves only later is put back first: it may have been played before, or further.
        """
        if self.score is None:
            return []
        state: dict[tuple[object, ...], Event] = {}
        parameters: list[Event] = []
        held: dict[tuple[int, int], Event] = {}
        for event in self.score.events[: bisect.bisect_left(self._times, self.position)]:
            if event.kind is Kind.NOTE_ON:
                held[event.channel, event.number] = event
            elif event.kind is Kind.NOTE_OFF:
                held.pop((event.channel, event.number), None)
            elif event.kind is Kind.CONTROL and event.number in PARAMETERS:
                parameters.append(event)
            else:
                if event.kind is Kind.CONTROL and event.number == RESET_CONTROLLERS:
                    parameters.append(event)  # ends the choice of a parameter
                state.pop((event.kind, event.channel, event.number), None)  # a reset may stand between the two
                state[event.kind, event.channel, event.number] = event
                if event.kind is Kind.CONTROL and event.number in (ALL_SOUND_OFF, *NOTE_MODES):
                    held = {place: note for place, note in held.items() if place[0] != event.channel}
        return [*self._untouched, *parameters, *state.values(), *held.values()]


def _untouched(score: Score) -> list[Event]:
    """Events that put back every controller, wheel and bend range that a score moves."""
    moved = {(event.kind, event.channel, event.number) for event in score.events}
    events: list[Event] = []
    for kind, channel, number in sorted(moved, key=lambda row: (row[0].value, *row[1:])):
        if kind is Kind.CONTROL and number in (DATA_MSB, DATA_LSB):
            steps = ((RPN_MSB, 0), (RPN_LSB, 0), (DATA_MSB, BEND_RANGE), (RPN_MSB, 127), (RPN_LSB, 127))
            events += [control(0, step, value, channel) for step, value in steps]
        elif kind is Kind.CONTROL and number < ALL_SOUND_OFF and number not in PARAMETERS:
            events.append(control(0, number, UNTOUCHED.get(number, 0), channel))
        elif kind is Kind.BEND:
            events.append(bend(0, 0, channel))
        elif kind is Kind.PRESSURE:
            events.append(Event(0, kind, channel))
    return events


def _quiet() -> list[Event]:
    """Events that end all notes, pedals included."""
    return [control(0, number, 0, channel) for channel in range(CHANNELS) for number in (SUSTAIN, ALL_NOTES_OFF)]
