"""Playing a score on the sample clock: start, pause, stop, seek. Owned by the thread that renders."""

from __future__ import annotations

import bisect

from engine.midi.channel import ALL_NOTES_OFF, SUSTAIN
from engine.midi.events import Event, Kind, control
from engine.midi.files import Score

CHANNELS = 16


class Transport:
    """Hands out a score's events block by block, on the clock of the synth.

    position: sample of the score that comes next.
    """

    def __init__(self) -> None:
        self.score: Score | None = None
        self.playing = False
        self.position = 0
        self._times: list[int] = []
        self._pending: list[Event] = []

    def load(self, score: Score | None) -> None:
        """Take a score and stand at its beginning; what sounds of the one before is ended."""
        self.stop()
        self.score = score
        self._times = [event.sample for event in score.events] if score else []

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
        if playing:
            self.play()

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
        """Controllers, bends, programs and held notes as they stand before the position."""
        if self.score is None or self.position == 0:
            return []
        state: dict[tuple[object, ...], Event] = {}
        held: dict[tuple[int, int], Event] = {}
        for event in self.score.events[: bisect.bisect_left(self._times, self.position)]:
            if event.kind is Kind.NOTE_ON:
                held[event.channel, event.number] = event
            elif event.kind is Kind.NOTE_OFF:
                held.pop((event.channel, event.number), None)
            else:
                state[event.kind, event.channel, event.number] = event
        return [*state.values(), *held.values()]


def _quiet() -> list[Event]:
    """Events that end all notes, pedals included."""
    return [control(0, number, 0, channel) for channel in range(CHANNELS) for number in (SUSTAIN, ALL_NOTES_OFF)]
