"""Neural notes: allocation, speculation and overlap-add of the voices of one keyed instrument.

Time in a voice is counted in samples since its note-on and in frames anchored there. Three things run ahead of what
has been heard, each by a different way:

    windows  what the network wrote, up to `end`: computed some frames at a time, in one batch with other voices, under
             the assumption that the key stays down (see `engine.networks.recurrent`)
    pieces   what those frames sound like under the present controllers and knobs, up to `made`: some frames at a time,
             overlapped and added
    mix      all pieces added up, for some blocks at once while nothing happens

A controller or a knob of the spectrum drops the sound of frames that have not begun. A release, or a knob that the
network hears, is a *change*: it replaces the windows from its `border` on, the first frame that knows of it. Because
that is work for the network, a change is heard only LEAD samples after its event, live and in a file alike, and the
time until then is for computing it: the network goes back to the state before the border and writes the new future,
and that is made to sound. At the change's hour the sound crosses over from the old to the new within CROSSFADE samples.
What has been heard is never touched. A release that a score holds is *expected*: the same change, computed before its
event; if the event comes otherwise, it is dropped.

How the frames are cut into windows depends on the note's own events alone, never on the size of the blocks or on how
far ahead the speculation is: live and offline rendering give the same sound.

Threads: one thread, the render worker, calls everything but `look_ahead`, which another one may call at any time. It
takes the lock only to choose the work and to hand in its results; the network runs without it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from engine.codec import Heard, Note
from engine.networks.playing import CHUNK, LONG, PlayingNetwork, Written
from engine.spectral import Samples
from engine.voices.models import UNTOUCHED, Content, KeysModel, Touch
from engine.voices.piece import Phase, Piece
from engine.voices.prepared import Prepared, heard_velocity
from engine.voices.voice import (
    BRIDGE,
    CHANGED,
    CROSSFADE,
    FADE,
    WINDOWS,
    Change,
    Onset,
    Sound,
    Voice,
    Window,
    Work,
    fade_out,
    is_over,
    same_future,
    size_of,
    window_size,
)

BATCHES = (4, 16, 32)
"""Frames that are made to sound at a time after the controllers have moved; the last size goes on. `look_ahead` makes
all but the first."""
URGENT, SOON, LATER = (3, 8), (6, 20), (20, 48)
"""Frames that are made to sound and frames that are written ahead: for all voices so many first, then more, so that a
rush of notes finds the others far ahead."""
MANY = 4  # long windows that are written at once far ahead: a batch of eight takes hardly longer than one
URGENT_EVENT = 2048
"""Samples before it from which on an event that is foreseen is urgent: as those are that somebody plays."""
LEAD = 512
"""Samples from an event that changes a voice's future until it is heard: what the network has for it, 12 ms."""
JOIN_FRAMES = WINDOWS[-1] // 2
"""A voice that needs its next window within so many frames joins a batch: the same frames, only earlier."""
MOST_LATE = 2048
"""Samples for which a change is put off at most that is not ready in time."""
TURN_SAMPLES = 1024
"""Between two looks at knobs that the network hears, 23 ms: each costs a window of every voice."""
BRIDGE_SECONDS = 0.003
"""For which the renderer waits for a window that another thread has begun: a long one takes up to 15 ms."""
ONSET_SECONDS = 0.0015
"""For which the renderer waits for a new note's first window in a short block; then the note begins one block later."""
LATE_FRAMES = 2
"""A voice that is so far ahead only is late: more than that is to be had for nobody's waiting."""
TOGETHER = 4
"""So many keys that are let go at the same sample, by a pedal mostly, are computed as one batch."""
MOST_MIXED = 1024
"""Samples that are mixed at a time while nothing happens: for each sum Python has its say once for every voice."""
SILENT = 3e-5  # amplitude, under -90 dB, that ends a voice
YOUNG = 11_025  # samples in which a note is heard to begin: it is not ended, however soft it is
MASKED = 0.03  # of the loudest voice's amplitude, -30 dB: a softer one is hardly missed where time is short
KEPT_ONSETS, MOST_ANNOUNCED = 32, 32
"""Notes that were announced whose beginnings are remembered, and notes that may be announced."""
SETTLED = 44_100
"""Samples for which the knobs have to rest before first windows are prepared for where they stand."""
LONGEST_WAIT = 1 << 30  # samples, when nothing is waited for
LONGEST_ATTACK = 32  # frames in which a voice is not ended, however soft it is


class KeysBank:
    """The sounding notes of one keyed instrument."""

    def __init__(
        self, model: KeysModel, keys: range, polyphony: int = 64, *, live: bool = False, exact: bool = False
    ) -> None:
        """`keys`: those that the network knows; others borrow the nearest one's spectrum.

        live: `look_ahead` is called in idle moments, so `render` does only what cannot wait.
        exact: the network computes in float32 on every machine.
        """
        self._join = 0 if live else JOIN_FRAMES
        self._model, self._keys, self.polyphony = model, keys, polyphony
        self._network = PlayingNetwork(model.network, exact=True) if exact else model.playing
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
        self._rest = (
            False,
            0,
        )  # hurried or not, there is nothing to do ahead before this sample unless something happens
        self._kept = model.length + LEAD + MOST_LATE  # samples that a change may go back
        self._turned = 0  # when a knob that the network hears has moved
        self._left = 0  # samples of the block that are still to be rendered
        self._helped, self._renderer = False, 0  # does another thread look ahead of the one that renders?
        self.patient = True
        """Whether there is time to wait for a change that another thread computes; else it is put off."""
        self.late = 0
        """Changes that were put off because they were not ready."""
        self._onsets_busy: set[tuple[Note, tuple[float, ...]]] = set()

    @property
    def sounding(self) -> int:
        """How many voices sound."""
        return len(self._voices)

    @property
    def prepared(self) -> float:
        """Share of the notes whose beginnings are written, 0-1."""
        return self._prepared.share

    def announce(self, key: int, velocity: float, channel: int = 0, samples: int = 0) -> None:
        """A note will probably begin in so many samples: its first frames may be written before it does."""
        onset = Onset(Note(key, velocity), channel, (self._heard(key, velocity), self._latent_of(channel)))
        self._heralds.append((self._clock + samples, onset))
        self._wake()

    def _hear_heralds(self) -> None:
        """Note what has been announced."""
        while self._heralds:
            due, onset = self._heralds.popleft()
            if self._ready_onset(onset.note, onset.channel, onset.heard) or onset.heard in self._onsets_busy:
                continue
            others = [entry for entry in self._announced if entry[1] != onset]
            if len(others) < MOST_ANNOUNCED:
                self._announced = sorted([*others, (due, onset)], key=lambda entry: entry[0])

    def _heard(self, key: int, velocity: float) -> Note:
        return Note(min(max(key, self._keys[0]), self._keys[-1]), heard_velocity(velocity))

    def start(self, number: int, key: int, velocity: float, channel: int = 0) -> list[int]:
        """Begin a note now; return the numbers of notes that had to give way."""
        stolen = []
        while sum(voice.fade is None for voice in self._voices) >= self.polyphony:
            victim = self._victim()
            stolen.append(victim.number)
            victim.fade = FADE
        heard = self._heard(key, velocity)
        voice = Voice(number, channel, Note(key, velocity), heard, self._network.zero_states())
        voice.latent = self._latent_of(channel)
        with self._lock:
            self._voices.append(voice)
            self._happened()
        return stolen

    def release(self, number: int) -> None:
        """Let a note go now."""
        for voice in self._voices:
            if voice.number == number and voice.note.release is None:
                voice.let_go = True
                self._happened()

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
        for voice in self._voices:
            if voice.number not in numbers or voice.note.release is not None or voice.let_go:
                continue
            change = self._released(voice, voice.position + samples, together)
            if voice.expected is None or not same_future(voice.expected, change):
                voice.expected = change
                self._wake()

    def silence(self, number: int) -> None:
        """End a note within FADE samples."""
        for voice in self._voices:
            if voice.number == number and voice.fade is None:
                voice.fade = FADE
                self._happened()

    def shed(self) -> list[int]:
        """End an eighth of the notes within FADE samples, the oldest released ones, else such as others mask.

        Returns their numbers; none where there are none, or where nothing is late on their account.
        """
        if not any(self._is_late(voice) for voice in self._voices):
            return []
        levels = [(self._level(voice), voice) for voice in self._voices if voice.fade is None]
        loudest = max((level for level, _ in levels), default=0.0)
        masked = [row for row in levels if row[0] < MASKED * loudest and row[1].position > YOUNG]
        masked.sort(key=lambda row: row[0])
        released = [voice for _, voice in levels if voice.note.release is not None]
        ending = (released or [voice for _, voice in masked])[: -(-len(levels) // 8)]
        for voice in ending:
            voice.fade = FADE
        if ending:
            self._happened()
        return [voice.number for voice in ending]

    def touch(self, channel: int, left: float, right: float, semitones: float, knobs: Mapping[str, float]) -> None:
        """From now on a channel's notes sound so; notes that sound already follow from their next frame on."""
        with self._lock:
            self._touches[channel] = touch = Touch(np.array([semitones]), left, right, knobs)
            latent = self._model.latent(touch)
            if channel == 0 and latent != self._latents.get(0):
                self._turned = self._clock
            self._latents[channel] = latent
            self._happened()
            for voice in self._voices:
                if voice.channel == channel:
                    voice.cut(self._begun(voice))
                    voice.batch = 0
                    for change in voice.futures:
                        change.sound = None

    def render(self, samples: int, left_in_block: int | None = None) -> tuple[Samples, list[int]]:
        """The next samples (2, samples), and the numbers of the notes that have ended in them.

        left_in_block: samples from here to the end of the block that these are a part of, if it goes on.
        """
        parts: list[Samples] = []
        ended: list[int] = []
        left = samples
        self._renderer = threading.get_ident()
        with self._lock:
            self._hear_expectations()
            while left or not parts:
                self._left = (samples if left_in_block is None else left_in_block) - (samples - left)
                if not self._mix.shape[1]:
                    self._make_changes()
                    wait = self._begin_changes()
                    ended += self._mix_voices(min(left, wait), wait)
                part, self._mix = self._mix[:, :left], self._mix[:, left:]
                for voice in self._voices:
                    voice.position += 0 if voice.waiting else part.shape[1]
                self._clock += part.shape[1]
                parts.append(part)
                left -= part.shape[1]
        return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0], ended

    def _mix_voices(self, samples: int, most: int) -> list[int]:
        """Add up at least so many samples, more where that is for nothing; return the numbers of notes that end."""
        self._compute(samples)
        ready = most
        for voice in self._voices:
            if voice.waiting:
                ready = samples
                continue
            self._go_on(voice, self._needed(voice, samples))
            ready = min(ready, samples if voice.fade is not None else self._sounding_for(voice))
        self._eager = min(MOST_MIXED, 2 * max(self._eager, samples))
        self._mix = np.zeros((2, max(samples, min(ready, self._eager))), np.float32)
        over = False
        for voice in self._voices:
            if voice.fade is None:
                voice.add_to(self._mix)
            else:
                self._mix += voice.sound(samples) * fade_out(voice.fade, samples)
                voice.fade -= samples
            over |= is_over(voice)
        if not over:
            return []
        ended = [voice.number for voice in self._voices if is_over(voice)]
        self._voices = [voice for voice in self._voices if voice.number not in ended]
        return ended

    def _happened(self) -> None:
        """What has been mixed ahead is worthless."""
        self._mix, self._eager = self._mix[:, :0], 0

    def heard(self) -> tuple[Heard, ...]:
        """What the network hears from now on: of every voice its number, its note, and the samples since its onset."""
        return tuple((voice.number, voice.heard, voice.position) for voice in self._voices)

    def _is_late(self, voice: Voice) -> bool:
        """Whether those who look ahead hardly keep up with it."""
        return 0 < voice.end < self._needed(voice, 0) + LATE_FRAMES

    # --- what the network writes ---

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
            piece = self._next_piece(hurried=hurried, short=short)
            if piece is None and not short:
                self._rest = hurried, self._clock + self._idle(hurried=hurried)
            elif isinstance(piece, list):
                self._mark(piece, busy=True)
        if isinstance(piece, list):
            self._look_at(piece)
        elif piece is not None:
            self._make(piece)
        return piece is not None

    def _next_piece(self, *, hurried: bool, short: bool) -> list[Work] | Sound | None:
        """What to compute next, the most urgent first."""
        self._hear_heralds()
        self._hear_expectations()
        event = self._of_events(URGENT_EVENT)
        if event:
            return event
        soundless, unwritten = self._soundless(), self._unwritten(short=short)
        for sound, written in (URGENT, SOON):
            piece = self._of_sound(soundless, sound) or self._of_time(unwritten, written)
            if piece:
                return piece
        if hurried:
            return None
        event = self._of_events(LONGEST_WAIT)
        return event or self._of_sound(soundless, LATER[0]) or self._of_time(unwritten, LATER[1], MANY) or None

    def prepare_onset(self) -> bool:
        """Write the first window of a note that nobody has played yet; return whether there was one.

        May be called as `look_ahead` may, when that has nothing to do.
        """
        with self._lock:
            if self._turned and self._clock < self._turned + SETTLED:
                return False
            heard = self._prepared.missing(self._latent_of(0))
            if heard is None or heard in self._onsets_busy:
                return False
            zeros = self._network.zero_states()
            work = [Work(None, None, 0, 0, WINDOWS[0], heard, heard, zeros, heard[0].velocity)]
            self._mark(work, busy=True)
        self._look_at(work)
        return True

    def _wake(self) -> None:
        """Something has happened: there may be something to do for those who look ahead."""
        self._rest = False, 0
        self._news.set()

    def _idle(self, *, hurried: bool) -> int:
        """Samples in which nothing has to be done for the future, if nothing happens."""
        sound, written = SOON if hurried else LATER
        idle = LONGEST_WAIT // self._model.hop
        for voice in self._voices:
            change, needed = voice.future, self._needed(voice, 0)
            end = min(voice.end, change.windows[-1].end) if change else voice.end
            idle = min(idle, end - needed - written, voice.made - needed - sound)
        return max(
            0, min(idle * self._model.hop, self._announced[0][0] - self._clock if self._announced else LONGEST_WAIT)
        )

    def _look_at(self, work: Sequence[Work]) -> None:
        try:
            self._calculate(work)
        finally:
            with self._lock:
                self._mark(work, busy=False)
                self._take(work)
                self._done.notify_all()

    def _changes(self, changing: Sequence[tuple[Voice, Change]]) -> list[Work]:
        """Work for the first of these changes, and for as many more as are computed with it."""
        if not changing:
            return []
        together = changing[0][1].together
        fitting = [pair for pair in changing if pair[1].together == together]
        return [self._changed(*pair) for pair in fitting[: self._network.rows(WINDOWS[CHANGED], together=together)]]

    def wait_for_events(self, seconds: float) -> None:
        """Until a note is announced or let go, but not longer than so long."""
        self._news.wait(seconds)
        self._news.clear()

    def _of_onsets(self, samples: int) -> list[Work]:
        """The first windows of announced notes that begin within so many samples, as many as fit."""
        if not self._announced or self._announced[0][0] - self._clock >= samples:
            return []
        return self._announced_work(self._network.rows(WINDOWS[0]))

    def _of_events(self, samples: int) -> list[Work] | Sound | None:
        """What an event within so many samples is followed by."""
        return self._of_onsets(samples) or self._of_changes(samples) or self._of_changed(samples)

    def _of_changes(self, samples: int) -> list[Work]:
        """Changes that are due within so many samples, to be written."""
        changing = [
            (voice, change) for voice in self._voices for change in voice.futures
            if not change.windows and not change.busy and 0 < voice.end >= change.border
            and change.due - voice.position < samples
        ]  # fmt: skip
        changing.sort(key=lambda pair: pair[1].due - pair[0].position)
        return self._changes(changing)

    def _unwritten(self, *, short: bool) -> list[tuple[int, int, int, Voice, Change | None]]:
        """Voices whose next window may be written, the one that needs it soonest first: in how many frames, its number,
        the window's frames, itself, and the change after which the window comes."""
        longest = LONG - 1 if short else WINDOWS[-1]
        coming = []
        for voice in self._voices:
            change = voice.future
            if change and voice.end < self._needed(voice, change.due - voice.position):
                change = None  # the present is heard until then
            end = change.windows[-1].end if change else voice.end
            size = size_of(change.schedule if change else voice.schedule)
            if end and size <= longest and not (change.busy if change else voice.busy):
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
        return [
            self._followed(voice, change) if change else self._extended(voice)
            for voice, change in near[: self._network.rows(first)]
        ]

    def _of_changed(self, samples: int) -> Sound | None:
        """What a change that is written sounds like at first, of that which is due soonest, within so many samples."""
        changing = [
            (change.due - voice.position, voice.number, voice, change)
            for voice in self._voices if voice.batch for change in voice.futures
            if change.windows and change.sound is None and not change.making and voice.made >= change.border
        ]  # fmt: skip
        if not changing or min(one[0] for one in changing) >= samples:
            return None
        _, _, voice, change = min(changing, key=lambda one: one[:2])
        change.making, first = True, change.border
        content, touch = change.windows[0].content[first - change.windows[0].first :], self._touch_of(voice.channel)
        return Sound(voice, change, voice.version, first, content, voice.phase(first), touch)

    def _soundless(self) -> tuple[int, Voice, int] | None:
        """The voice that needs its next piece soonest, if it is written: in how many frames, itself, and up to where.

        After the controllers have moved the render worker makes a few frames first: while they go on moving, more would
        be made in vain.
        """
        soonest = None
        for voice in self._voices:
            if not voice.batch or voice.making:
                continue
            ahead, end = voice.made - self._needed(voice, 0), voice.end
            if voice.change is not None:
                end = min(end, self._needed(voice, voice.change.due - voice.position))
            if voice.made < end and (soonest is None or ahead < soonest[0]):
                soonest = ahead, voice, end
        return soonest

    def _of_sound(self, soonest: tuple[int, Voice, int] | None, frames: int) -> Sound | None:
        """The next piece of the voice that needs it soonest, if within so many frames; see `_soundless`."""
        if soonest is None or soonest[0] >= frames:
            return None
        _, voice, end = soonest
        first, touch = voice.made, self._touch_of(voice.channel)
        content = voice.content(first, min(BATCHES[min(voice.batch, len(BATCHES) - 1)], end - first))
        voice.making = True
        return Sound(voice, None, voice.version, first, content, voice.phase(first), touch)

    def _make(self, sound: Sound) -> None:
        """On another thread than the render worker's; in vain where the voice sounds otherwise meanwhile."""
        voice, change, piece = sound.voice, sound.change, None
        try:
            piece = self._piece(sound.content, sound.first, voice.note, sound.phase, sound.touch)
        finally:
            with self._lock:
                if change is None:
                    voice.making = False
                else:
                    change.making = False
                if piece is not None and voice.version == sound.version:
                    if change is not None:
                        change.sound = piece
                    elif voice.made == sound.first:
                        voice.pieces.append(piece)
                        voice.batch += 1
                self._rest = False, 0

    def _announced_work(self, rows: int) -> list[Work]:
        """The first windows of as many announced notes as fit."""
        work: list[Work] = []
        while self._announced and len(work) < rows:
            work.append(self._of_onset(self._announced.pop(0)[1]))
        return work

    def _of_onset(self, onset: Onset) -> Work:
        """The first window of a note, and what it sounds like."""
        zeros, written = self._network.zero_states(), self._prepared.get(onset.heard)
        work = Work(None, None, 0, 0, WINDOWS[0], onset.heard, onset.heard, zeros, onset.note.velocity)
        work.written, work.onset, work.touch = written, onset, self._touch_of(onset.channel)
        return work

    def _mark(self, work: Sequence[Work], *, busy: bool) -> None:
        for one in work:
            if one.voice is None:
                (self._onsets_busy.add if busy else self._onsets_busy.discard)(one.heard)
            elif one.change is not None and not one.change.made:
                one.change.busy = busy
            else:
                one.voice.busy = busy

    def _compute(self, samples: int) -> None:
        """Have the network write every frame that the next samples need, voices of a size in one batch."""
        for voice in self._voices:
            voice.waiting = False
        while missing := self._missing(samples):
            if busy := [voice for voice in missing if voice.busy]:  # sooner done than begun again, mostly
                may_help = self._helped and not any(voice.bridged is not None for voice in busy)
                if not self._done.wait(BRIDGE_SECONDS if may_help else None) and may_help:
                    self._bridge([voice for voice in self._missing(samples) if voice.end])
                continue
            if begun := [voice for voice in missing if not voice.end]:
                self._begin(begun)
                continue
            size = window_size(missing[0])
            if self._helped and (size >= LONG or len(missing) > 1):
                self._bridge(missing)
                continue
            batch = [voice for voice in missing if window_size(voice) == size]
            batch += [
                voice for voice in self._voices
                if voice not in batch and not voice.busy and voice.end and window_size(voice) == size
                and voice.end < self._needed(voice, samples) + self._join
            ]  # fmt: skip
            self._write([self._extended(voice) for voice in batch[: self._network.rows(size)]])

    def _missing(self, samples: int) -> list[Voice]:
        """Voices that need frames that are not written."""
        return [voice for voice in self._voices if not voice.waiting and voice.end < self._needed(voice, samples)]

    def _begin(self, voices: Sequence[Voice]) -> None:
        """First windows: those that are written already, else a batch in which announced notes take the free rows."""
        missing, until = [], time.perf_counter() + ONSET_SECONDS
        for voice in voices:
            heard = voice.heard, voice.latent
            while heard in self._onsets_busy and heard not in self._prepared and not voice.waiting:
                left = None if self.patient or voice.waited else until - time.perf_counter()
                if left is None or left > 0:
                    self._done.wait(left)
                else:
                    voice.waiting = True
            if voice.waiting:
                voice.waited = True
                self.late += 1
            elif not self._begin_with(voice):
                missing.append(voice)
        if not missing:
            return
        self._hear_heralds()
        rows = self._network.rows(WINDOWS[0])
        onsets = {(voice.heard, voice.latent): voice for voice in missing}
        work = []
        for heard, voice in list(onsets.items())[:rows]:
            self._announced = [entry for entry in self._announced if entry[1].heard != heard]
            work.append(self._of_onset(Onset(voice.note, voice.channel, heard)))
        self._write([*work, *self._announced_work(rows - len(work))])

    def _begin_with(self, voice: Voice) -> bool:
        """Begin with a window that is written already; return whether it is."""
        heard = voice.heard, voice.latent
        ready = self._ready_onset(voice.note, voice.channel, heard)
        if ready is not None and ready.window is not None and ready.piece is not None:
            self._append(voice, ready.window)
            voice.pieces, voice.batch = [ready.piece], 1
            return True
        written = self._prepared.get(heard)
        if written is not None:
            self._append(voice, self._window(0, 0, written, heard, voice.note.velocity))
        return written is not None

    def _ready_onset(self, note: Note, channel: int, heard: tuple[Note, tuple[float, ...]]) -> Work | None:
        """A note that was announced, if it is written and would sound so now."""
        work = self._ready.get((note, channel))
        return work if work is not None and work.touch is self._touch_of(channel) and work.heard == heard else None

    def _window(
        self, first: int, begin: int, written: Written, heard: tuple[Note, tuple[float, ...]], velocity: float
    ) -> Window:
        """What the network wrote, at its own velocity: the network knows only a few."""
        with torch.inference_mode():
            content = self._model.decode(written.raw, replace(heard[0], velocity=velocity), heard[1])
        return Window(first, begin, content, written.states, self._model.level(content[begin - first :]))

    def _needed(self, voice: Voice, samples: int) -> int:
        """Frames that begin before the samples end."""
        return -(-(voice.position + samples + self._model.length) // self._model.hop) - 1

    def _bridge(self, voices: Sequence[Voice]) -> None:
        """Write short windows for voices whose own are late. A little of what lies ahead goes unheard of by the frames
        before it; the long window goes on after it, when it is there."""
        voices = voices[: self._network.rows(BRIDGE, together=len(voices) > 1)]
        before = [(voice.states, voice.schedule) for voice in voices]
        work = [self._extended(voice) for voice in voices]
        for one in work:
            one.size, one.together = BRIDGE, len(voices) > 1
        self._write(work)
        for voice, (states, schedule) in zip(voices, before, strict=True):
            voice.schedule = schedule
            voice.bridged = states if voice.busy and voice.states is not states else None
            self.late += 1

    def _begun(self, voice: Voice) -> int:
        """Frames that have been heard, or a part of them."""
        return self._needed(voice, 0) if voice.position else 0

    def _sounding_for(self, voice: Voice) -> int:
        """Samples until the first frame begins that has no sound yet."""
        return (voice.made + 1) * self._model.hop - self._model.length - voice.position

    def _extended(self, voice: Voice) -> Work:
        """The next window of a voice's present future."""
        heard = voice.heard, voice.latent
        velocity = voice.note.velocity
        return Work(voice, None, voice.end, voice.end, window_size(voice), heard, heard, voice.states, velocity)

    def _followed(self, voice: Voice, change: Change) -> Work:
        """The next window of a change that has begun."""
        last, heard = change.windows[-1], (change.heard, change.latent)
        size, velocity = size_of(change.schedule), voice.note.velocity
        return Work(
            voice, change, last.end, last.end, size, heard, heard, last.states[-1], velocity, together=change.together
        )

    def _changed(self, voice: Voice, change: Change) -> Work:
        """The first window of a voice's change, whose border has been written."""
        first, states = change.border, voice.states
        if change.border < voice.end:
            window = next(w for w in voice.windows if w.begin <= change.border < w.end)
            chunk = (change.border - window.first) // CHUNK
            first, states = window.first + chunk * CHUNK, window.states[chunk]
        before, heard = (voice.heard, voice.latent), (change.heard, change.latent)
        velocity, size = voice.note.velocity, WINDOWS[CHANGED]
        return Work(
            voice, change, first, change.border, size, before, heard, states, velocity, together=change.together
        )

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
        model, network, size = self._model, self._network, work[0].size
        frames, unwritten = [], [one for one in work if one.written is None]
        for one in unwritten:
            if one.voice is None:
                model.prepare(*one.heard)
            led, count = one.begin - one.first, size + network.context
            inputs = model.inputs(one.heard[0], one.begin, count - led, one.heard[1])
            if led:
                inputs = np.concatenate([model.inputs(one.before[0], one.first, led, one.before[1]), inputs])
            frames.append(inputs)
        if unwritten:
            together, states = work[0].together, [one.states for one in unwritten]
            for one, written in zip(
                unwritten, self._network.window(frames, size, states, together=together), strict=True
            ):
                one.written = written
        for one in work:
            if one.written is not None and (one.voice is not None or one.onset is not None):
                one.window = self._window(one.first, one.begin, one.written, one.heard, one.velocity)
            if one.window is not None and one.onset is not None and one.touch is not None:
                one.piece = self._piece(one.window.content, 0, one.onset.note, None, one.touch)

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
                if one.voice.states is one.states:
                    self._append(one.voice, one.window)
                elif one.voice.bridged is one.states and one.voice.end < one.window.end:
                    self._append(one.voice, replace(one.window, begin=one.voice.end))
            elif not one.change.windows or one.change.windows[-1].states[-1] is one.states:
                one.change.windows.append(one.window)

    def _append(self, voice: Voice, window: Window) -> None:
        voice.windows = [*voice.windows, window]
        voice.states, voice.end = window.states[-1], window.end
        voice.schedule += 1
        voice.bridged = None
        self._rest = False, 0

    # --- changes ---

    def _begin_changes(self) -> int:
        """Note what has happened to the voices since the last samples; return the samples until the next change."""
        wait = LONGEST_WAIT
        together = sum(voice.let_go for voice in self._voices) >= TOGETHER
        for voice in self._voices:
            if voice.let_go:
                self._wake()
                voice.let_go = False
                voice.note = replace(voice.note, release=voice.position)  # what it is; what it sounds like follows
                change, expected = self._released(voice, voice.position, together), voice.expected
                voice.change = expected if expected is not None and same_future(expected, change) else change
                voice.expected = None
            elif voice.change is None:
                wait = min(wait, self._begin_turn(voice))
            if voice.expected is not None and (voice.expected.heard.release or 0) < voice.position:
                voice.expected = None  # it has not come
            if voice.change is not None:
                wait = min(wait, voice.change.due - voice.position)
        return wait

    def _released(self, voice: Voice, sample: int, together: bool) -> Change:
        """What follows for a voice that is let go at a sample."""
        border = self._model.codec.first_frame_of(sample)
        return Change(sample + LEAD, border, replace(voice.heard, release=sample), voice.latent, together)

    def _begin_turn(self, voice: Voice) -> int:
        """Let the network hear knobs that have moved; return the samples until it may look again, if they have."""
        latent = self._latent_of(voice.channel)
        if latent == voice.latent:
            return LONGEST_WAIT
        if not voice.end:
            voice.latent = latent
            return LONGEST_WAIT
        if voice.position < voice.turn_from:
            return voice.turn_from - voice.position
        border = self._needed(voice, LEAD)
        voice.change, voice.expected = Change(voice.position + LEAD, border, voice.heard, latent), None
        voice.turn_from = voice.position + TURN_SAMPLES
        self._wake()
        return LONGEST_WAIT

    def _make_changes(self) -> None:
        """Let those voices change that are due; what was not foreseen is computed now, in one batch."""
        due = [voice for voice in self._voices if voice.change and voice.change.due <= voice.position]
        if self._helped:
            due = [voice for voice in due if not self._postponed(voice)]
        if not due:
            return
        for voice in due:
            while voice.change and not voice.change.windows and (voice.change.busy or voice.end < voice.change.border):
                if voice.change.busy or voice.busy:
                    self._done.wait()
                else:
                    self._write([self._extended(voice)])
        while late := [(voice, voice.change) for voice in due if voice.change and not voice.change.windows]:
            self._write(self._changes(late))
        for voice in due:
            self._make_change(voice)

    def _postponed(self, voice: Voice) -> bool:
        """Whether a change that is not ready may wait for the thread that computes it: better late than a dropout."""
        change = voice.change
        if self.patient or change is None or change.windows or voice.position - change.planned >= MOST_LATE:
            return False
        change.due = voice.position + max(self._left, 1)  # to the next block
        self.late += 1
        return True

    def _make_change(self, voice: Voice) -> None:
        change = voice.change
        assert change is not None
        kept = [
            replace(window, content=window.content[: change.border - window.first])
            for window in voice.windows
            if window.begin < change.border
        ]
        last = change.windows[-1]
        voice.windows, voice.states, voice.end = [*kept, *change.windows], last.states[-1], last.end
        voice.heard, voice.latent, voice.schedule = change.heard, change.latent, change.schedule
        voice.change, voice.expected = None, None
        voice.busy, change.made = change.busy, True
        begun = self._begun(voice)
        while voice.end < begun:
            self._write([self._extended(voice)])
        if change.border < begun:
            self._cross_over(voice, change, begun)
        else:
            voice.cut(change.border)
            voice.batch = 0
            if change.sound is not None and voice.made == change.border:
                voice.pieces.append(change.sound)
                voice.batch = 1
        self._wake()

    def _cross_over(self, voice: Voice, change: Change, begun: int) -> None:
        """Let the frames from the border on sound as they do now, of which some have begun."""
        before = voice.sound(CROSSFADE, begun)
        voice.crossing = None
        voice.cut(change.border)
        if change.sound is not None:
            voice.pieces.append(change.sound)
        voice.batch = 1
        while voice.made < begun:
            self._make_piece(voice)
        ramp = (np.arange(1, CROSSFADE + 1) / CROSSFADE).astype(np.float32)
        voice.crossing = voice.position, (before - voice.sound(CROSSFADE, begun)) * (1 - ramp)

    # --- what is heard of it ---

    def _go_on(self, voice: Voice, needed: int) -> None:
        """Let the frames before one be heard, and forget those that are over."""
        while voice.made < needed:
            self._make_piece(voice)
        if voice.pieces[0].over < voice.position - self._kept:
            voice.pieces = [piece for piece in voice.pieces if piece.over >= voice.position - self._kept]
        oldest = needed - self._kept // self._model.hop - 2
        if voice.windows[0].end <= oldest:
            voice.windows = [window for window in voice.windows if window.end > oldest]
        if voice.crossing is not None and voice.position >= voice.crossing[0] + CROSSFADE:
            voice.crossing = None
        voice.silent = self._is_silent(voice, needed)

    def _make_piece(self, voice: Voice) -> None:
        """Sound of the next frames: few after a change, more while nothing happens."""
        first = voice.made
        batch = 0 if self._helped else min(voice.batch, len(BATCHES) - 1)
        content = voice.content(first, BATCHES[batch])
        voice.pieces.append(self._piece(content, first, voice.note, voice.phase(first), self._touch_of(voice.channel)))
        voice.batch += 1
        self._rest = False, 0

    def _piece(self, content: Content, first: int, note: Note, phase: Phase, touch: Touch) -> Piece:
        """What frames first, first + 1, ... sound like under a touch."""
        touch = replace(touch, semitones=np.repeat(touch.semitones, len(content)))
        stretches, phases = self._model.stretches(content, first, note, phase, touch)
        return Piece.of(first, stretches, phases, self._model.hop)

    def _latent_of(self, channel: int) -> tuple[float, ...]:
        """What the network hears of a channel's knobs."""
        if channel not in self._latents:
            self._latents[channel] = self._model.latent(self._touch_of(channel))
        return self._latents[channel]

    def _touch_of(self, channel: int) -> Touch:
        return self._touches.get(channel, UNTOUCHED)

    def _is_silent(self, voice: Voice, needed: int) -> bool:
        """Whether all that is known of a voice's future is too soft to be heard."""
        if needed <= LONGEST_ATTACK:
            return False
        ahead = [window.level for window in voice.windows if window.end > needed - 4]
        return bool(ahead) and max(ahead) < SILENT

    def _victim(self) -> Voice:
        """Whom to end for a new note: a released voice before a held one, the softest first."""
        candidates = [voice for voice in self._voices if voice.fade is None]
        return min(candidates, key=lambda voice: (voice.note.release is None, self._level(voice)))

    def _level(self, voice: Voice) -> float:
        """Level of what is heard now, however far the network has written ahead."""
        frame = self._model.codec.first_frame_of(voice.position)
        return next((window.level for window in voice.windows if window.begin <= frame < window.end), 1.0)
