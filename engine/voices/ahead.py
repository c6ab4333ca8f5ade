"""What is computed before it is needed, and in which order: the future of the voices of one keyed instrument.

Any thread may call `look_ahead` beside the one that renders: it takes the lock only to choose the work and to hand in
its results; the network runs without it. See `engine.voices.keys` for the whole.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

from engine.codec import Note
from engine.networks.playing import LONG, ROWS
from engine.voices.models import Frames
from engine.voices.piece import Piece
from engine.voices.voice import GUESSED, WINDOWS, Change, Onset, Sound, Voice, Work, same_future, size_of
from engine.voices.writing import JOIN_FRAMES, MOST_RELEASED, Writing

NOW, URGENT, SOON, LATER = 2, (3, 8), (6, 20), (20, 48)
"""Frames that are made to sound and frames that are written ahead: for all voices so many first, then more, so that a
rush of notes finds the others far ahead. What has to sound in NOW frames comes before all that follows from events."""
MOST_SOUNDS = 8  # voices that are made to sound at a time: 1 ms
MOST_ENDING = 4  # damped voices for which is guessed at a time: 0.15 ms with the lock in hand
FEWEST = 8  # frames that are made to sound at once where that can wait
MANY = 6  # long windows that are written at once far ahead: a batch of eight takes hardly longer than one
URGENT_EVENT = 2048
"""Samples before it from which on an event that is foreseen is urgent: as those are that somebody plays."""
EACH_CHANGE = 128
"""Samples that it takes to have a change written and made to sound, where little goes well: 3 ms."""
TOGETHER = 4
"""So many keys that are let go at the same sample, by a pedal mostly, are computed as one batch."""
MARGIN = 4  # notes more that are expected to be let go at once than are heard to be: until then some grow softer
SETTLED = 44_100
"""Samples for which the knobs have to rest before first windows are prepared for where they stand."""
LONGEST_WAIT = 1 << 30  # samples, when nothing is waited for


class LookingAhead(Writing):
    """Voices, whose future may be computed while they play the present."""

    def announce(self, key: int, velocity: float, channel: int = 0, samples: int = 0) -> None:
        """A note will probably begin in so many samples: its first frames may be written before it does."""
        onset = Onset(Note(key, velocity), channel, (self._heard(key, velocity), self._latent_of(channel)))
        self._heralds.append((self._clock + samples, onset))
        self._wake()

    def expect(self, numbers: Collection[int], samples: int) -> None:
        """These notes will probably be let go in so many samples: what follows may be computed before they are."""
        self._expectations.append((numbers, samples))
        self._wake()

    def _hear_expectations(self) -> None:
        """Note what is expected."""
        while self._expectations:
            self._expect(*self._expectations.popleft())

    def _expect(self, numbers: Collection[int], samples: int) -> None:
        together = len(numbers) >= TOGETHER
        expecting = [voice for voice in self._voices if voice.number in numbers and voice.note.release is None]
        drowned = self._drowned(expecting, MOST_RELEASED + MARGIN)
        for voice in expecting:
            if voice.let_go or voice.number in drowned:
                continue
            change = self._released(voice, voice.position + samples, together)
            if voice.expected is None or not same_future(voice.expected, change):
                voice.expected = change
                self._wake()

    def look_ahead(self, *, hurried: bool = False, short: bool = False) -> bool:
        """Have something computed that will be needed soon; return whether there was anything.

        hurried: only what cannot wait. short: leave long windows to another thread, so that what follows from events
        does not wait for one. May be called by any number of threads beside the one that renders.
        """
        news = self._heralds or self._expectations
        if hurried == self._rest[0] and self._clock < self._rest[1] and not news:
            return False
        self._helped = threading.get_ident() != self._renderer
        with self._lock:
            work = self._next_work(hurried=hurried, short=short)
            windows = [one for one in work if isinstance(one, Work)]
            if not work and not short:
                self._rest = hurried, self._clock + self._idle(hurried=hurried)
            self._mark(windows, busy=True)
        if windows:
            self._look_at(windows)
        elif work:
            self._make([one for one in work if isinstance(one, Sound)])
        return bool(work)

    def _next_work(self, *, hurried: bool, short: bool) -> Sequence[Work] | Sequence[Sound]:
        """What to compute next, the most urgent first."""
        self._hear_heralds()
        self._hear_expectations()
        self._guess_ahead()
        soundless = self._soundless()
        first = self._of_onsets(URGENT_EVENT) or self._of_sound(soundless, NOW) or self._of_events(URGENT_EVENT)
        if first:
            return first
        unwritten = self._unwritten(short=short)
        for sound, written, samples in ((*URGENT, self._urgent()), (*SOON, 0)):
            work = self._of_sound(soundless, sound) or self._of_time(unwritten, written) or self._of_events(samples)
            if work:
                return work
        if hurried:
            return []
        event = self._of_events(LONGEST_WAIT)
        return event or self._of_sound(soundless, LATER[0]) or self._of_time(unwritten, LATER[1], MANY)

    def _guess_ahead(self) -> None:
        """Some frames of damped voices, which go on without the network: what they sound like can be made then."""
        ending = [voice for voice in self._voices if voice.damped and voice.end < self._needed(voice, 0) + GUESSED]
        self._guess(ending[:MOST_ENDING])

    def _urgent(self) -> int:
        """Samples before an event from which on it is urgent: the sooner the more there is to do for it."""
        unready = sum(change.sound is None for voice in self._voices for change in voice.futures)
        return max(URGENT_EVENT, EACH_CHANGE * unready)

    def _idle(self, *, hurried: bool) -> int:
        """Samples in which nothing has to be done for the future, if nothing happens."""
        sound, written = SOON if hurried else LATER
        idle = LONGEST_WAIT // self._model.hop
        for voice in self._voices:
            change, needed = voice.future, self._needed(voice, 0)
            end = min(voice.written, change.windows[-1].end) if change else voice.written
            idle = min(idle, end - needed - written, voice.made - needed - sound)
        return max(
            0, min(idle * self._model.hop, self._announced[0][0] - self._clock if self._announced else LONGEST_WAIT)
        )

    def prepare_onset(self) -> bool:
        """Write the first window of a note that nobody has played yet; return whether there was one.

        May be called as `look_ahead` may, when that has nothing to do.
        """
        with self._lock:
            if self._turned is not None and self._clock < self._turned + SETTLED:
                return False
            heard = self._prepared.missing(self._latent_of(0))
            if heard is None or heard in self._onsets_busy:
                return False
            work = [self._first(heard, heard[0].velocity)]
            self._mark(work, busy=True)
        self._look_at(work)
        return True

    def wait_for_events(self, seconds: float) -> None:
        """Until a note is announced or let go, but not longer than so long."""
        self._news.wait(seconds)
        self._news.clear()

    def _look_at(self, work: Sequence[Work]) -> None:
        try:
            self._calculate(work)
        finally:
            with self._lock:
                self._mark(work, busy=False)
                self._take(work)
                self._done.notify_all()

    def _make(self, sounds: Sequence[Sound]) -> None:
        """On another thread than the render worker's; in vain where a voice sounds otherwise meanwhile."""
        pieces: Sequence[Piece | None] = [None] * len(sounds)
        try:
            pieces = self._model.pieces([sound.frames for sound in sounds])
        finally:
            with self._lock:
                for sound, piece in zip(sounds, pieces, strict=True):
                    self._hand_in(sound, piece)
                self._rest = False, 0

    def _hand_in(self, sound: Sound, piece: Piece | None) -> None:
        voice, change = sound.voice, sound.change
        if change is None:
            voice.making = False
        else:
            change.making = False
        if piece is None or voice.version != sound.version:
            return
        if change is not None:
            change.sound = piece
        elif voice.made == piece.first:
            voice.pieces.append(piece)
            voice.batch += 1

    # --- what there is to do ---

    def _of_events(self, samples: int) -> Sequence[Work] | Sequence[Sound]:
        """What an event within so many samples is followed by."""
        return self._of_onsets(samples) or self._of_changes(samples) or self._of_changed(samples)

    def _of_onsets(self, samples: int) -> list[Work]:
        """The first windows of announced notes that begin within so many samples, as many as fit."""
        if not self._announced or self._announced[0][0] - self._clock >= samples:
            return []
        return self._announced_work(ROWS)

    def _of_changes(self, samples: int) -> list[Work]:
        """Changes that are due within so many samples, to be written."""
        changing = [
            (voice, change) for voice in self._voices for change in voice.futures
            if not change.windows and not change.busy and 0 < voice.written >= change.border
            and change.due - voice.position < samples
        ]  # fmt: skip
        changing.sort(key=lambda pair: pair[1].due - pair[0].position)
        return self._changes(changing)

    def _of_changed(self, samples: int) -> list[Sound]:
        """What changes that are written sound like at first, if one of them is due within so many samples."""
        changing = [
            (change.due - voice.position, voice.number, voice, change)
            for voice in self._voices if voice.batch for change in voice.futures
            if change.windows and change.sound is None and not change.making and voice.made >= change.border
        ]  # fmt: skip
        changing.sort(key=lambda one: one[:2])
        if not changing or changing[0][0] >= samples:
            return []
        sounds = []
        for _, _, voice, change in changing[:MOST_SOUNDS]:
            change.making, first, window = True, change.border, change.windows[0]
            touch = self._touch_of(voice.channel)
            frames = Frames(window.content[first - window.first :], first, voice.note, voice.phase(first), touch)
            sounds.append(Sound(voice, change, voice.version, frames))
        return sounds

    def _unwritten(self, *, short: bool) -> list[tuple[int, int, int, Voice, Change | None]]:
        """Voices whose next window may be written, the one that needs it soonest first: in how many frames, its number,
        the window's frames, itself, and the change after which the window comes."""
        longest = LONG - 1 if short else WINDOWS[-1]
        coming = []
        for voice in self._voices:
            change = voice.future
            if change and voice.written < self._needed(voice, change.due - voice.position):
                change = None  # the present is heard until then
            end = change.windows[-1].end if change else voice.written
            size = size_of(change.schedule if change else voice.schedule)
            if end and not voice.damped and size <= longest and not (change.busy if change else voice.busy):
                coming.append((end - self._needed(voice, 0), voice.number, size, voice, change))
        coming.sort(key=lambda one: one[:2])
        return coming

    def _of_time(
        self, coming: Sequence[tuple[int, int, int, Voice, Change | None]], frames: int, least: int = 1
    ) -> list[Work]:
        """The next windows of the voices that need theirs within so many frames; see `_unwritten`.

        least: how many long ones are worth a batch.
        """
        if not coming or coming[0][0] >= frames:
            return []
        first = coming[0][2]
        near = [(voice, change) for ahead, _, size, voice, change in coming
                if ahead < frames + JOIN_FRAMES and size == first]  # fmt: skip
        if first >= LONG and len(near) < least:
            return []  # others will join; meanwhile an event finds nobody busy for 15 ms
        return [self._followed(voice, change) if change else self._extended(voice) for voice, change in near[:ROWS]]

    def _soundless(self) -> list[tuple[int, int, Voice, int]]:
        """The voices that are written further than they sound, the one that needs its next piece soonest first: in how
        many frames, its number, itself, and up to where.

        After the controllers have moved the render worker makes a few frames first: while they go on moving, more would
        be made in vain.
        """
        found = []
        for voice in self._voices:
            if not voice.batch or voice.making:
                continue
            ahead, end = voice.made - self._needed(voice, 0), voice.end
            if voice.change is not None:
                end = min(end, self._needed(voice, voice.change.due - voice.position))
            if end - voice.made >= (1 if ahead < URGENT[0] else FEWEST) and ahead < LATER[0]:
                found.append((ahead, voice.number, voice, end))  # more will be written until others are needed
        found.sort(key=lambda one: one[:2])
        return found

    def _of_sound(self, soundless: Sequence[tuple[int, int, Voice, int]], frames: int) -> list[Sound]:
        """The next pieces of the voices that need theirs soonest, if one does within so many frames."""
        if not soundless or soundless[0][0] >= frames:
            return []
        chosen = soundless[:MOST_SOUNDS]
        for _, _, voice, _ in chosen:
            voice.making = True
        return [Sound(voice, None, voice.version, self._sounding(voice, end)) for _, _, voice, end in chosen]
