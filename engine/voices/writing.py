"""What the network writes for the voices of one keyed instrument: windows, one after the other.

Most of it is called with the lock held, which is let go while the network runs. See `engine.voices.keys` for the whole.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from engine.codec import Note
from engine.grid import Frames as Knots
from engine.guard import LOUDEST
from engine.networks.playing import LONG, ROWS
from engine.voices.models import UNTOUCHED, Frames, KeysModel, Raw, Touch
from engine.voices.prepared import Prepared, heard_velocity
from engine.voices.voice import (
    CHANGED,
    GUESSED,
    WINDOWS,
    Change,
    HeardNote,
    Onset,
    Voice,
    Window,
    Work,
    size_of,
    window_size,
)

BATCHES = (4, 16)
"""Frames that are made to sound at a time after the controllers have moved; the last size goes on. `look_ahead` makes
all but the first."""
FAINT = 0.01  # of the loudest voice, -40 dB: what the network would make of such a note's release, nobody hears
MOST_RELEASED = 16
"""Notes that are let go at the same sample, by a pedal, whose releases the network writes: the loudest. In a minute of
Chopin in which up to 64 are, the null against the teacher is 24.1 dB with all of them or with 16, 24.0 with 12."""
LEAD = 512
"""Samples from an event that changes a voice's future until it is heard: what the network has for it, 12 ms."""
JOIN_FRAMES = WINDOWS[-1]
"""A voice that needs its next window within so many frames joins a batch: the same frames, only earlier."""
MOST_LATE = 2048
"""Samples for which a change is put off at most that is not ready in time."""
WINDOW_SECONDS, WINDOW_SHARE, MOST_GUESSED = 0.003, 0.5, 32
"""For which the renderer waits for a window that another thread has begun (a long one takes up to 15 ms) before it
guesses, but for no longer than this share of its block; and frames that it guesses at most in turn: 190 ms."""
ONSET_SECONDS = 0.0015
"""For which the renderer waits live for a new note's first window; then the note begins one block later."""
KEPT_ONSETS, MOST_ANNOUNCED = 32, 32
"""Notes that were announced whose beginnings are remembered, and notes that may be announced."""


class Writing:
    """Voices, and what has been written for them."""

    def __init__(self, model: KeysModel, keys: range, polyphony: int = 64, *, live: bool = False) -> None:
        """`keys`: those that the network knows; others borrow the nearest one's spectrum.

        live: `look_ahead` is called in idle moments, so `render` does only what cannot wait.
        """
        self._join = 0 if live else JOIN_FRAMES
        self._model, self._keys, self.polyphony = model, keys, polyphony
        self._network = model.playing
        self._voices: list[Voice] = []
        self._touches: dict[int, Touch] = {}
        self._lock = threading.Lock()
        self._done = threading.Condition(self._lock)
        self._news = threading.Event()  # for those who look ahead
        # What has been announced and is expected since somebody looked: the renderer waits for nobody.
        self._heralds: deque[tuple[int, Onset]] = deque(maxlen=2 * MOST_ANNOUNCED)
        self._expectations: deque[tuple[Collection[int], int]] = deque()
        self._latents: dict[int, tuple[float, ...]] = {}  # of channels
        self._prepared = Prepared(keys, self._network)
        self._ready: OrderedDict[tuple[Note, int], Work] = OrderedDict()  # onsets that were announced
        self._announced: list[tuple[int, Onset]] = []  # with the samples on the clock when they are due, in order
        self._clock = 0  # samples rendered
        self._mix = np.zeros((2, 0), np.float32)  # all voices, from the next sample on, as long as nothing happens
        self._eager = 0  # samples to be mixed at a time
        self._rest = False, 0  # hurried or not: there is nothing to do before this sample, unless something happens
        self._kept = model.length + LEAD + MOST_LATE  # samples that a change may go back
        self._turned: int | None = None  # when a knob that the network hears has moved
        self._left = 0  # samples of the block that are still to be rendered
        self._helped, self._renderer = False, 0  # does another thread look ahead of the one that renders?
        self._patient = not live  # is there time to wait for what another thread computes?
        self.late = 0
        """Changes and notes that were put off, and windows that were guessed, because they were not ready."""
        self.loudest = LOUDEST
        """Amplitude beyond which a voice is ended, see `engine.guard`; the instrument's gain comes after it."""
        self.faulty = 0
        """Voices that were ended because what they wrote was no sound."""
        self._onsets_busy: set[HeardNote] = set()

    @property
    def sounding(self) -> int:
        """How many voices sound."""
        return len(self._voices)

    @property
    def prepared(self) -> float:
        """Share of the notes whose beginnings are written, 0-1."""
        return self._prepared.share

    def _level(self, voice: Voice) -> float:
        """Level of what is heard now, however far the network has written ahead."""
        frame = self._model.codec.first_frame_of(voice.position)
        known = (*voice.windows, voice.guess)
        return next((window.level for window in known if window and window.begin <= frame < window.end), 1.0)

    def _drowned(self, voices: Sequence[Voice], most: int = MOST_RELEASED) -> set[int]:
        """Numbers of those among voices that are let go together that others drown: how they end, nobody hears."""
        if not voices:
            return set()
        levels = {voice.number: self._level(voice) for voice in self._voices}
        faint = FAINT * max((levels[voice.number] for voice in self._voices if voice.written), default=0.0)
        ranked = sorted((voice.number for voice in voices), key=lambda number: (-levels[number], number))
        return {number for rank, number in enumerate(ranked) if rank >= most or levels[number] < faint}

    def _needed(self, voice: Voice, samples: int) -> int:
        """Frames that begin before the samples end."""
        return -(-(voice.position + samples + self._model.length) // self._model.hop) - 1

    def _begun(self, voice: Voice) -> int:
        """Frames that have been heard, or a part of them."""
        return self._needed(voice, 0) if voice.position else 0

    def _sounding_for(self, voice: Voice) -> int:
        """Samples until the first frame begins that has no sound yet."""
        return (voice.made + 1) * self._model.hop - self._model.length - voice.position

    def _heard(self, key: int, velocity: float) -> Note:
        return Note(min(max(key, self._keys[0]), self._keys[-1]), heard_velocity(velocity))

    def _touch_of(self, channel: int) -> Touch:
        return self._touches.get(channel, UNTOUCHED)

    def _latent_of(self, channel: int) -> tuple[float, ...]:
        """What the network hears of a channel's knobs."""
        if channel not in self._latents:
            self._latents[channel] = self._model.latent(self._touch_of(channel))
        return self._latents[channel]

    def _wake(self) -> None:
        """Something has happened: there may be something to do for those who look ahead."""
        self._rest = False, 0
        self._news.set()

    def _sounding(self, voice: Voice, end: int | None = None) -> Frames:
        """A voice's next frames that have no sound yet, those before one only; see `BATCHES`."""
        first, most = voice.made, BATCHES[min(voice.batch, len(BATCHES) - 1)]
        content = voice.content(first, most if end is None else min(most, end - first))
        return Frames(content, first, voice.note, voice.phase(first), self._touch_of(voice.channel))

    def _released(self, voice: Voice, sample: int, together: bool) -> Change:
        """What follows for a voice that is let go at a sample."""
        border = self._model.codec.first_frame_of(sample)
        return Change(sample + LEAD, border, replace(voice.heard, release=sample), voice.latent, together)

    # --- windows that cannot wait ---

    def _compute(self, samples: int) -> None:
        """Have the network write every frame that the next samples need, voices of a size in one batch."""
        for voice in self._voices:
            voice.waiting = False
        while self._guess([voice for voice in self._missing(samples) if voice.damped]):
            pass
        behind = any(voice.guess is not None and not voice.damped for voice in self._voices)
        patience = min(WINDOW_SECONDS, WINDOW_SHARE * self._left / self._model.codec.sample_rate)
        until = time.perf_counter() + (0 if behind else patience)
        while missing := self._missing(samples):
            if any(voice.busy for voice in missing):  # sooner done than begun again, mostly
                left = until - time.perf_counter() if self._helped else None
                if (left is None or left > 0) and self._done.wait(left):
                    continue
                late = [voice for voice in self._missing(samples) if voice.busy]  # it may have come just now
                if late and not self._guess(late):
                    self._done.wait()
                continue
            if begun := [voice for voice in missing if not voice.end]:
                self._begin(begun)
                continue
            size = window_size(missing[0])
            if self._helped and (size >= LONG or len(missing) > 1 or behind) and self._guess(missing):
                continue
            batch = [voice for voice in missing if window_size(voice) == size]
            batch += [
                voice for voice in self._voices
                if voice not in batch and not voice.busy and voice.written and window_size(voice) == size
                and voice.written < self._needed(voice, samples) + self._join
            ]  # fmt: skip
            self._write([self._extended(voice) for voice in batch[:ROWS]])

    def _missing(self, samples: int) -> list[Voice]:
        """Voices that need frames that are not written."""
        return [voice for voice in self._voices if not voice.waiting and voice.end < self._needed(voice, samples)]

    def _begin(self, voices: Sequence[Voice]) -> None:
        """First windows: those that are written already, else a batch in which announced notes take the free rows."""
        missing, until = [], time.perf_counter() + ONSET_SECONDS
        for voice in voices:
            heard = voice.heard, voice.latent
            while heard in self._onsets_busy and heard not in self._prepared and not voice.waiting:
                left = None if self._patient or voice.waited else until - time.perf_counter()
                if left is None or left > 0:
                    self._done.wait(left)
                else:
                    voice.waiting = True
            if voice.waiting:
                voice.waited = True
                self.late += 1
            elif self._begin_with(voice):
                self._wake()  # who had nothing more to do for what was announced has its next window to write
            else:
                missing.append(voice)
        if not missing:
            return
        self._hear_heralds()
        onsets = {(voice.heard, voice.latent): voice for voice in missing}
        work = []
        for heard, voice in list(onsets.items())[:ROWS]:
            self._announced = [entry for entry in self._announced if entry[1].heard != heard]
            work.append(self._of_onset(Onset(voice.note, voice.channel, heard)))
        self._write([*work, *self._announced_work(ROWS - len(work))])

    def _begin_with(self, voice: Voice) -> bool:
        """Begin with a window that is written already; return whether it is."""
        heard = voice.heard, voice.latent
        ready = self._ready_onset(voice.note, voice.channel, heard)
        if ready is not None and ready.window is not None and ready.piece is not None:
            voice.append(ready.window)
            voice.pieces, voice.batch = [ready.piece], 1
            return True
        work = self._of_onset(Onset(voice.note, voice.channel, heard))
        if work.written is None:
            return False
        self._decode([work])
        assert work.window is not None
        voice.append(work.window)
        return True

    def _hear_heralds(self) -> None:
        """Note what has been announced."""
        while self._heralds:
            due, onset = self._heralds.popleft()
            if self._ready_onset(onset.note, onset.channel, onset.heard) or onset.heard in self._onsets_busy:
                continue
            others = [entry for entry in self._announced if entry[1] != onset]
            if len(others) < MOST_ANNOUNCED:
                self._announced = sorted([*others, (due, onset)], key=lambda entry: entry[0])

    def _guess(self, voices: Sequence[Voice]) -> bool:
        """Go on without the network for some frames where it is late; return whether that may be.

        What it writes of these frames in the end is heard as far as they have no sound yet.
        """
        guessing = [
            voice for voice in voices if voice.written and (voice.damped or voice.end < voice.written + MOST_GUESSED)
        ]
        for voice in guessing:
            last, guess = voice.windows[-1].content, voice.guess
            known = last if guess is None else np.concatenate([last[-GUESSED:], guess.content])[-GUESSED:]
            more = self._model.guess(known, GUESSED)
            first, guessed = (voice.written, more) if guess is None else (
                guess.first, np.concatenate([guess.content, more])
            )  # fmt: skip
            frames = np.arange(first, first + len(guessed))
            voice.guess = Window(first, first, guessed, [], self._model.level(more), frames)
            self.late += not voice.damped
        return bool(guessing)

    def _of_onset(self, onset: Onset) -> Work:
        """The first window of a note, and what it sounds like."""
        written = self._prepared.get(onset.heard)
        work = self._first(onset.heard, onset.note.velocity)
        work.written, work.onset, work.touch = written, onset, self._touch_of(onset.channel)
        return work

    def _announced_work(self, rows: int) -> list[Work]:
        """The first windows of as many announced notes as fit."""
        work: list[Work] = []
        while self._announced and len(work) < rows:
            work.append(self._of_onset(self._announced.pop(0)[1]))
        return work

    def _ready_onset(self, note: Note, channel: int, heard: HeardNote) -> Work | None:
        """A note that was announced, if it is written and would sound so now."""
        work = self._ready.get((note, channel))
        return work if work is not None and work.touch is self._touch_of(channel) and work.heard == heard else None

    # --- work for the network ---

    def _first(self, heard: HeardNote, velocity: float) -> Work:
        """The first window of a note."""
        knots = self._model.grid.after(0, WINDOWS[0] + self._network.context)
        return Work(None, None, 0, WINDOWS[0], knots, heard, heard, self._network.zero_states(), velocity)

    def _next(self, heard: Note, frame: int, size: int) -> Knots:
        """The knots of a note's window of a size from a frame on, and those of its context."""
        border = None if heard.release is None else self._model.codec.first_frame_of(heard.release)
        return self._model.grid.after(frame, size + self._network.context, border)

    def _extended(self, voice: Voice) -> Work:
        """The next window of a voice's present future."""
        heard, size = (voice.heard, voice.latent), window_size(voice)
        knots = self._next(voice.heard, voice.written, size)
        last = voice.windows[-1].content[-1:] if voice.windows else None
        return Work(
            voice, None, voice.written, size, knots, heard, heard, voice.states, voice.note.velocity, last=last
        )  # fmt: skip

    def _followed(self, voice: Voice, change: Change) -> Work:
        """The next window of a change that has begun."""
        window, heard, size = change.windows[-1], (change.heard, change.latent), size_of(change.schedule)
        knots = self._next(change.heard, window.end, size)
        return Work(
            voice, change, window.end, size, knots, heard, heard, window.states[-1], voice.note.velocity,
            last=window.content[-1:],
        )  # fmt: skip

    def _changed(self, voice: Voice, change: Change) -> Work:
        """The first window of a voice's change, whose border has been written."""
        border, size, lead, states = change.border, WINDOWS[CHANGED], np.zeros(0, np.int64), voice.states
        window = next((w for w in voice.windows if w.begin <= border < w.end), None)
        if window is not None:
            before = int(np.searchsorted(window.knots, border))
            states = window.states[before]
            newest = int(window.knots[before - 1]) if before else window.first - 1
            if change.heard.release != voice.heard.release and newest < border - 1:
                lead = np.array([border - 1])  # what was held ends where it ends
        knots = np.concatenate([lead, self._next(change.heard, border, size - len(lead))])
        last = voice.content(border - 1, 1) if border and not len(lead) else None
        return Work(
            voice, change, border, size, knots, (voice.heard, voice.latent), (change.heard, change.latent), states,
            voice.note.velocity, last=last,
        )  # fmt: skip

    def _changes(self, changing: Sequence[tuple[Voice, Change]]) -> list[Work]:
        """Work for the first of these changes, as many as are computed at once."""
        return [self._changed(*pair) for pair in changing[:ROWS]]

    def _mark(self, work: Sequence[Work], *, busy: bool) -> None:
        for one in work:
            if one.voice is None:
                (self._onsets_busy.add if busy else self._onsets_busy.discard)(one.heard)
            elif one.change is not None and not one.change.made:
                one.change.busy = busy
            else:
                one.voice.busy = busy

    def _write(self, work: Sequence[Work]) -> None:
        """Called with the lock held, which is let go while the network runs."""
        self._lock.release()
        try:
            self._calculate(work)
        finally:
            self._lock.acquire()
        self._take(work)

    def _calculate(self, work: Sequence[Work]) -> None:
        """Run the network; all work is of one size. Touches no voice: any thread may do it."""
        model, size = self._model, work[0].size
        frames, unwritten = [], [one for one in work if one.written is None]
        for one in unwritten:
            if one.voice is None:
                model.prepare(*one.heard)
            lead = one.lead
            inputs = model.inputs(one.heard[0], one.knots[lead:], one.heard[1])
            if lead:
                inputs = np.concatenate([model.inputs(one.before[0], one.knots[:lead], one.before[1]), inputs])
            frames.append(inputs)
        if unwritten:
            states = [one.states for one in unwritten]
            for one, written in zip(unwritten, self._network.window(frames, size, states), strict=True):
                one.written = written
        self._decode([one for one in work if one.voice is not None or one.onset is not None])
        begun = [
            (one, Frames(one.window.content, 0, one.onset.note, None, one.touch))
            for one in work if one.window is not None and one.onset is not None and one.touch is not None
        ]  # fmt: skip
        for (one, _), piece in zip(begun, model.pieces([frames for _, frames in begun]), strict=True):
            one.piece = piece

    def _decode(self, work: Sequence[Work]) -> None:
        """What the network wrote for notes, at their own velocities: it knows only a few."""
        for one in work:
            if one.written is None:
                continue
            note = replace(one.heard[0], velocity=one.velocity)
            raw = Raw(one.written.raw, note, one.heard[1], one.knots[: one.size], one.last, one.begin)
            content = self._model.decode(raw)
            level = self._model.level(content[one.begin - raw.first :])
            one.window = Window(raw.first, one.begin, content, one.written.states, level, raw.knots)

    def _take(self, work: Sequence[Work]) -> None:
        """Hand in what the network wrote, unless its voice has gone another way meanwhile."""
        self._rest = False, 0
        for one in work:
            if one.written is None:  # it failed
                continue
            if one.voice is None:
                self._prepared.keep(one.heard, one.written)
                if one.onset is not None:
                    self._ready[one.onset.note, one.onset.channel] = one
                    if len(self._ready) > KEPT_ONSETS:
                        self._ready.popitem(last=False)
            elif one.window is None:
                continue
            elif one.change is None or one.change.made:
                if one.voice.states is one.states and not one.voice.damped:
                    one.voice.append(one.window)
            elif not one.change.windows or one.change.windows[-1].states[-1] is one.states:
                one.change.windows.append(one.window)
