"""Playing a score on the sample clock: start, pause, stop, seek, tempo, transposition, loop, tracks.

Owned by the thread that renders. The place in the score is counted in thousandths of a sample, and a tempo is a whole
number of them for every sample that is rendered: nothing is rounded, so what is played does not depend on the blocks.
"""

from __future__ import annotations

import bisect
import copy
from dataclasses import replace

from engine.chase import Chase
from engine.midi.events import Event, Kind, note_off
from engine.midi.files import Score
from engine.own_controls import OwnControls
from engine.score_options import SHORTEST_LOOP_SECONDS, ScoreOptions

UNIT = 1000  # of a sample
FORESEEN = 16384  # samples, 0.37 s


class Transport:
    """Hands out a score's events block by block, on the clock of the synth."""

    def __init__(self) -> None:
        self.score: Score | None = None
        self.playing = False
        self.options = ScoreOptions()
        self._chase = Chase(Score((), 0, 1))
        self._origin, self._elapsed = 0, 0  # where the last jump went, in units; samples rendered since
        self._pending: list[Event] = []
        # Keys as they sound, for (track, channel, key, voice) of the score; None for a note that is not heard.
        self._sounding: dict[tuple[int, int, int, int], int | None] = {}
        # (channel, sounding key, voice): the score's key that sounds there
        self._struck: dict[tuple[int, int, int], int] = {}
        self._own = OwnControls()
        self._levels: list[Event] = []  # that the score has left as it moved them
        self._beats: Event | None = None  # the score's tempo, as it was last given
        self._scout: Transport | None = None  # plays FORESEEN samples before this one

    @property
    def position(self) -> int:
        """Sample of the score that comes next."""
        return self._place() // UNIT

    @property
    def loop(self) -> tuple[int, int] | None:
        """The loop in samples of the score, cut to it; None where too little of it is left."""
        if self.options.loop is None or self.score is None:
            return None
        start, end = (min(round(seconds * self.score.sample_rate), self.score.length) for seconds in self.options.loop)
        return (start, end) if end - start + 1 >= SHORTEST_LOOP_SECONDS * self.score.sample_rate else None

    # --- what is asked for ---

    def load(self, score: Score | None, chase: Chase | None = None) -> None:
        """Take a score and stand at its beginning; what sounds of the one before is ended.

        chase: made of this score already, by a thread that has the time.
        """
        self.stop()
        self.score = score
        self._chase = chase or Chase(score or Score((), 0, 1))

    def play(self) -> None:
        """Go on from here; from the beginning where score or loop have ended."""
        if self.score is None or self.playing:
            return
        loop = self.loop
        if loop is not None and self.position >= loop[1]:
            self._go(loop[0])
        elif self.position >= self.score.length:
            self._go(0)
        self.playing, self._scout = True, None
        moved = self._chase.levels
        self._pending += [*(event for event in self._levels if event not in moved), *self._chased()]
        self._levels = []

    def pause(self) -> None:
        """Stay here, with every note of the score ended, and nothing left as the score has moved it.

        Notes of the player's hands go on, and the player's own pedals and wheels stay where they are.
        """
        if self.playing:
            self.playing = False
            self._pending += self._quiet()
            self._pending += self._left()

    def stop(self) -> None:
        """End every note and go back to the beginning."""
        self.pause()
        self._go(0)

    def seek(self, sample: int) -> None:
        """Go to a sample of the score; held notes end, controllers are brought to what they are there."""
        if self.score is None:
            return
        playing = self.playing
        self.pause()
        self._go(min(max(0, sample), self.score.length))
        if playing and self.position < self.score.length:
            self.play()

    def set_options(self, options: ScoreOptions) -> None:
        """Play otherwise from now on, from the same place.

        A held note keeps the pitch that it began with; one of a track that is no longer heard ends.
        """
        place, self._scout = self._place(), None
        if self._beats is not None and options.tempo != self.options.tempo:
            self._pending.append(replace(self._beats, value=self._beats.value * options.tempo))
        self.options = options
        self._origin, self._elapsed = place, 0
        self._pending += self._muted()
        loop = self.loop
        if self.playing and loop is not None and self.position >= loop[1]:
            self.seek(loop[0])

    def before(self, event: Event) -> list[Event]:
        """What has to happen before an event of the player's own: a note sounds at the player's levels."""
        self._own.hear(event)
        if event.kind is not Kind.NOTE_ON or self.playing or not self._levels:
            return []
        due = [level for level in self._levels if level.channel == event.channel]
        self._levels = [level for level in self._levels if level.channel != event.channel]
        return [level.at(event.sample) for level in self._own.restored(due)]

    # --- what is handed out ---

    def coming(self, now: int, samples: int) -> list[Event]:
        """Events that `advance` will hand out up to FORESEEN samples after the next `samples`, timed as there.

        Each call begins where the one before ended, until something is changed: then all is foreseen again.
        """
        if not self.playing:
            return []
        if self._scout is None:
            self._scout = copy.copy(self)
            self._scout._sounding, self._scout._struck = dict(self._sounding), dict(self._struck)
            self._scout._pending = list(self._pending)
            return self._scout.advance(now, FORESEEN + samples)
        return self._scout.advance(now + FORESEEN, samples)

    def advance(self, now: int, samples: int) -> list[Event]:
        """Events of the next samples, timed on the synth's clock, where they begin at `now`."""
        due = self._taken(now)
        while self.playing and self.score is not None and samples > 0:
            turn = self._turn(self._origin)
            count = min(samples, turn - self._elapsed)
            for index in self._between(self._origin, self._elapsed, self._elapsed + count):
                event, track = self.score.events[index], self._chase.tracks[index]
                when = now + self._time(self._origin, event.sample) - self._elapsed
                due += [voiced.at(when) for voiced in self._voiced(event, track)]
            self._elapsed += count
            now, samples = now + count, samples - count
            if self._elapsed == turn:
                self._come_round()
                due += self._taken(now)
        return due

    # --- the line from samples rendered to places in the score ---

    def _step(self) -> int:
        """Units of the score in a sample that is rendered."""
        return round(self.options.tempo * UNIT)

    def _place(self) -> int:
        return self._origin + self._elapsed * self._step()

    def _go(self, sample: int) -> None:
        self._origin, self._elapsed = sample * UNIT, 0

    def _time(self, origin: int, sample: int) -> int:
        """Samples rendered after the origin until a sample of the score begins to be played."""
        return (sample * UNIT - origin) // self._step()

    def _between(self, origin: int, begin: int, end: int) -> range:
        """Indices of the events that are played from `begin` to `end`, in samples rendered after the origin."""
        loop, times = self.loop, self._chase.times
        first, last = (
            bisect.bisect_left(times, n, key=lambda sample: self._time(origin, sample)) for n in (begin, end)
        )
        if loop is not None and origin < loop[1] * UNIT:
            last = min(last, bisect.bisect_left(times, loop[1]))
        return range(first, last)

    def _turn(self, origin: int) -> int:
        """Samples rendered after an origin until the score or the loop has ended there."""
        assert self.score is not None
        loop = self.loop
        if loop is not None and origin < loop[1] * UNIT:
            return -((origin - loop[1] * UNIT) // self._step())  # rounded up
        return self._time(origin, self.score.length) + 1

    def _come_round(self) -> None:
        """The end of the loop, or of the score."""
        assert self.score is not None
        loop = self.loop
        if loop is not None and self._origin < loop[1] * UNIT:
            self._pending += self._quiet()
            self._go(loop[0])
            self._pending += self._chased()
            return
        last = self._between(self._origin, 0, self._elapsed).stop
        for index in range(last, len(self.score.events)):
            self._pending += self._voiced(self.score.events[index], self._chase.tracks[index])
        self.playing = False
        self._pending += self._left()
        self._go(self.score.length)

    # --- notes ---

    def _taken(self, now: int) -> list[Event]:
        due, self._pending = self._pending, []
        return [event.at(now) for event in due]

    def _moved(self, event: Event) -> Event | None:
        """A note where the transposition puts it; None outside of MIDI's keys."""
        if not self.options.transpose or (self.score is not None and event.channel in self.score.drums):
            return event
        key = event.number + self.options.transpose
        return replace(event, number=key) if 0 <= key <= 127 else None

    def _voiced(self, event: Event, track: int) -> list[Event]:
        """An event as it is heard. A note ends at the pitch that it began with, whatever has changed meanwhile."""
        place = track, event.channel, event.number, event.voice
        if event.kind is Kind.TEMPO:
            self._beats = event
            return [replace(event, value=event.value * self.options.tempo)]
        if event.kind is Kind.NOTE_ON:
            moved = self._moved(event) if self.options.hears(track) else None
            key = moved.number if moved is not None else None
            before = self._sounding.get(place)
            ended = self._ended(place, before) if before is not None and before != key else []
            self._sounding[place] = key
            if moved is None:
                return ended
            self._struck[event.channel, moved.number, event.voice] = event.number
            return [*ended, moved]
        if event.kind is Kind.NOTE_OFF:
            if place in self._sounding:
                key = self._sounding.pop(place)
            else:
                moved = self._moved(event) if self.options.hears(track) else None
                key = moved.number if moved is not None else None
            return self._ended(place, key) if key is not None else []
        return [event]

    def _ended(self, place: tuple[int, int, int, int], key: int) -> list[Event]:
        """The end of a sounding key, unless another note of the score has taken it over."""
        _, channel, written, voice = place
        if self._struck.get((channel, key, voice), written) != written:
            return []
        self._struck.pop((channel, key, voice), None)
        return [note_off(0, key, channel).with_voice(voice)]

    def _muted(self) -> list[Event]:
        """Ends of the notes that sound and are no longer to be heard."""
        ended: list[Event] = []
        heard = {(c, key, voice) for (track, c, _, voice), key in self._sounding.items() if self.options.hears(track)}
        for place, key in self._sounding.items():
            track, channel, _, voice = place
            if key is not None and not self.options.hears(track):
                self._sounding[place] = None
                if (channel, key, voice) not in heard:
                    ended += self._ended(place, key)
        return ended

    def _quiet(self) -> list[Event]:
        """Ends of all notes that sound, and every pedal up that the score may have pressed."""
        keys = dict.fromkeys((c, key, voice) for (_, c, _, voice), key in self._sounding.items() if key is not None)
        self._sounding, self._struck = {}, {}
        ends = (note_off(0, key, channel).with_voice(voice) for channel, key, voice in keys)
        return [*self._chase.pedals, *ends]

    def _left(self) -> list[Event]:
        """The score is left: pedals, wheels and bends go back at once.

        Volume, expression and pan go back before the player's next note: what rings on after the end of a fade-out
        must not become loud.
        """
        self._levels = self._chase.levels
        return self._own.restored(self._chase.movements)

    def _chased(self) -> list[Event]:
        """What holds at the place: controllers, then the notes that are held there."""
        chased, held = self._chase.at(-(-self._place() // UNIT))
        controls = [voiced for event in chased for voiced in self._voiced(event, -1)]
        return [*controls, *(event for place, note in held.items() for event in self._voiced(note, place[0]))]


def arranged(score: Score, options: ScoreOptions) -> Score:
    """The score as a transport with these options plays it, once; of a loop, its section.

    What is exported is made of it, so that it is what was heard.
    """
    if options == ScoreOptions():
        return score
    transport = Transport()
    transport.load(score)
    transport.set_options(options)
    start, end = transport.loop or (0, score.length)
    transport.set_options(replace(options, loop=None))
    transport.seek(start)
    transport.play()
    length = -((start - end) * UNIT // round(options.tempo * UNIT))
    whole = end == score.length
    events = transport.advance(0, length + whole)  # the last events of a score are at its length
    transport.pause()
    events += transport.advance(length, 0)
    return replace(score, events=tuple(events), length=length, tracks=(), track_of=())
