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
far ahead the speculation is: live and offline rendering give the same sound. Only where a live voice would have to wait
for a window some frames are *guessed*, and a note or a release that is not ready comes a block later; both are counted
as *late*. A release that louder notes drown, and live one that is not ready in time, is *damped*: a plain fade.

Threads: one thread, the render worker, calls everything but `look_ahead` and `prepare_onset`, which others may call at
any time. There are three layers: `engine.voices.writing` (the network's part), `engine.voices.ahead` (the
other threads' part), and here what is heard.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from engine.codec import Heard, Note
from engine.guard import is_sound
from engine.spectral import Samples
from engine.voices.ahead import LONGEST_WAIT, TOGETHER, LookingAhead
from engine.voices.models import Touch
from engine.voices.voice import CROSSFADE, DAMPED, FADE, Change, Voice, fade_out, is_over, same_future
from engine.voices.writing import LEAD, MOST_LATE

TURN_SAMPLES = 1024
"""Between two looks at knobs that the network hears, 23 ms: each costs a window of every voice."""
CHANGE_SAMPLES = 10
"""Samples of a block for which one change is made at most, of 0.15 ms: two thirds of the time."""
LATE_FRAMES = 2
"""A voice that is so far ahead only is late: more than that is to be had for nobody's waiting."""
MOST_MIXED = 1024
"""Samples that are mixed at a time while nothing happens: for each sum Python has its say once for every voice."""
SILENT = 3e-5  # amplitude, under -90 dB, that ends a voice
YOUNG = 11_025  # samples in which a note is heard to begin: it is not ended, however soft it is
MASKED = 0.03  # of the loudest voice's amplitude, -30 dB: a softer one is hardly missed where time is short
LONGEST_ATTACK = 32  # frames in which a voice is not ended, however soft it is


class KeysBank(LookingAhead):
    """The sounding notes of one keyed instrument."""

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
            if voice.number == number and voice.note.release is None and voice.fade is None:
                voice.let_go = True
                self._happened()

    def silence(self, number: int) -> None:
        """End a note within FADE samples."""
        for voice in self._voices:
            if voice.number == number and (voice.fade is None or voice.damped):
                voice.fading = float(fade_out(voice, 1)[0]) if voice.damped else 1.0
                voice.fade, voice.damped = FADE, False
                self._happened()

    def shed(self) -> list[int]:
        """Damp an eighth of the notes: the oldest released ones, such as are struck again, such as others mask.

        Returns their numbers; none where there are none, or where nothing is late on their account.
        """
        if not any(self._is_late(voice) for voice in self._voices):
            return []
        voices = [voice for voice in self._voices if voice.fade is None]
        levels = {voice.number: self._level(voice) for voice in voices}
        loudest = max(levels.values(), default=0.0)
        newest = {(voice.channel, voice.note.key): voice for voice in voices}
        released = [voice for voice in voices if voice.note.release is not None]
        again = [voice for voice in voices if newest[voice.channel, voice.note.key] is not voice]
        masked = [voice for voice in voices if levels[voice.number] < MASKED * loudest and voice.position > YOUNG]
        masked.sort(key=lambda voice: levels[voice.number])
        ending = list({voice.number: voice for voice in (*released, *again, *masked)}.values())[: -(-len(voices) // 8)]
        for voice in ending:
            self._damp(voice)
        if ending:
            self._happened()
        return [voice.number for voice in ending]

    @property
    def behind(self) -> int:
        """How many voices sound as it is guessed that they will, since the network is late."""
        return sum(0 < voice.written < self._needed(voice, 0) and not voice.damped for voice in self._voices)

    def _is_late(self, voice: Voice) -> bool:
        """Whether those who look ahead hardly keep up with it."""
        return 0 < voice.written < self._needed(voice, 0) + LATE_FRAMES

    def _damp(self, voice: Voice) -> None:
        """Let a voice fade without the network.

        Of what has been written only the window counts that is heard now, so that it is the same however far ahead the
        network was: the rest is guessed, live and in a file alike.
        """
        voice.fade, voice.damped, voice.change, voice.expected = DAMPED, True, None, None
        needed = self._needed(voice, 0)
        last = next((window for window in voice.windows if window.begin < needed <= window.end), None)
        if last is not None:
            voice.windows = [window for window in voice.windows if window.end <= last.end]
            voice.written, voice.states, voice.guess = last.end, last.states[-1], None
            voice.cut(last.end)

    def _victim(self) -> Voice:
        """Whom to end for a new note: a released voice before a held one, the softest first."""
        candidates = [voice for voice in self._voices if voice.fade is None]
        return min(candidates, key=lambda voice: (voice.note.release is None, self._level(voice)))

    def touch(self, channel: int, left: float, right: float, semitones: float, knobs: Mapping[str, float]) -> None:
        """From now on a channel's notes sound so; notes that sound already follow from their next frame on."""
        with self._lock:
            self._touches[channel] = touch = Touch(semitones, left, right, knobs)
            latent = self._model.latent(touch)
            if channel == 0 and latent != self._latents.get(0, latent):
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
                    self._mix_voices(min(left, wait), wait)
                part, self._mix = self._mix[:, :left], self._mix[:, left:]
                for voice in self._voices:
                    voice.position += 0 if voice.waiting else part.shape[1]
                    voice.fade = None if voice.fade is None else voice.fade - part.shape[1]
                if over := [voice.number for voice in self._voices if is_over(voice)]:
                    self._voices = [voice for voice in self._voices if not is_over(voice)]
                    ended += over
                self._clock += part.shape[1]
                parts.append(part)
                left -= part.shape[1]
        return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0], ended

    def _mix_voices(self, samples: int, most: int) -> None:
        """Add up at least so many samples, more where that is for nothing."""
        self._compute(samples)
        needing = [(voice, self._needed(voice, samples)) for voice in self._voices if not voice.waiting]
        self._make_pieces(needing)
        ready = most if len(needing) == len(self._voices) else samples
        for voice, needed in needing:
            self._go_on(voice, needed)
            ready = min(ready, self._sounding_for(voice), most if voice.fade is None else voice.fade)
        self._eager = min(MOST_MIXED, 2 * max(self._eager, samples))
        count = max(samples, min(ready, self._eager))
        self._mix = _mixed(self._voices, count)
        if not is_sound(self._mix, self.loudest):
            self._mix = _mixed(self._sound_voices(count), count)

    def _sound_voices(self, count: int) -> list[Voice]:
        """End the voices whose next samples are no sound; return the others."""
        faulty = [voice for voice in self._voices if not is_sound(voice.sound(count), self.loudest)]
        for voice in faulty or self._voices:  # none alone, but all of them together
            voice.fade = 0
        self.faulty += len(faulty or self._voices)
        return [voice for voice in self._voices if voice.fade != 0]

    def _happened(self) -> None:
        """What has been mixed ahead is worthless."""
        self._mix, self._eager = self._mix[:, :0], 0

    def heard(self) -> tuple[Heard, ...]:
        """What the network hears from now on: of every voice its number, its note, and the samples since its onset."""
        return tuple((voice.number, voice.heard, voice.position) for voice in self._voices)

    # --- changes ---

    def _begin_changes(self) -> int:
        """Note what has happened to the voices since the last samples; return the samples until the next change."""
        wait = LONGEST_WAIT
        letting_go = [voice for voice in self._voices if voice.let_go]
        together, drowned = len(letting_go) >= TOGETHER, self._drowned(letting_go)
        for voice in self._voices:
            if voice.let_go:
                self._wake()
                voice.let_go = False
                voice.note = replace(voice.note, release=voice.position)  # what it is; what it sounds like follows
                if voice.number in drowned:
                    self._damp(voice)
                    continue
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
        due = [(voice, voice.change) for voice in self._voices if voice.change and voice.change.due <= voice.position]
        if self._helped and not self._patient:
            due = self._affordable(due)
        if not due:
            return
        for voice, change in due:
            while not change.windows and (change.busy or voice.written < change.border):
                if change.busy or voice.busy:
                    self._done.wait()
                else:
                    self._write([self._extended(voice)])
        while late := [(voice, change) for voice, change in due if not change.windows]:
            self._write(self._changes(late))
        self._cross_over([over for voice, change in due if (over := self._make_change(voice, change))])

    def _affordable(self, due: list[tuple[Voice, Change]]) -> list[tuple[Voice, Change]]:
        """Those that there is time for in this block; better late than a dropout.

        Others wait for the thread that computes them, or where a pedal lets go of very many notes, for their turn.
        """
        due.sort(key=lambda pair: pair[1].planned)
        now, most = list[tuple[Voice, Change]](), max(1, self._left // CHANGE_SAMPLES)
        for voice, change in due:
            sounding = change.sound is not None or not voice.batch or change.border >= self._begun(voice)
            ready = bool(change.windows) and sounding
            if ready and len(now) < most:
                now.append((voice, change))
            elif not ready and voice.position - change.planned >= MOST_LATE:
                self._give_up(voice, change)
            else:
                self.late += change.due == change.planned
                change.due = voice.position + max(self._left, 1)  # to the next block
        return now

    def _give_up(self, voice: Voice, change: Change) -> None:
        """Do without a change that has not been computed: a note that was let go fades, a knob is looked at again."""
        if change.heard.release is not None:
            self._damp(voice)
        voice.change, voice.turn_from = None, voice.position

    def _make_change(self, voice: Voice, change: Change) -> tuple[Voice, int, Samples] | None:
        """Let a voice go the way of a change. Where frames have begun that sound otherwise by it, returns what
        `_cross_over` needs."""
        kept = [
            replace(window, content=window.content[: change.border - window.first])
            for window in voice.windows
            if window.begin < change.border
        ]
        last = change.windows[-1]
        voice.windows, voice.states, voice.written = [*kept, *change.windows], last.states[-1], last.end
        voice.heard, voice.latent, voice.schedule = change.heard, change.latent, change.schedule
        voice.change, voice.expected = None, None
        voice.busy, voice.guess, change.made = change.busy, None, True
        begun = self._begun(voice)
        while voice.end < begun:
            if not (self._helped and self._guess([voice])):
                self._write([self._extended(voice)])
        crossing = None
        if change.border < begun:
            crossing = voice, begun, voice.sound(CROSSFADE, begun)
            voice.crossing = None
        voice.cut(change.border)
        voice.batch = int(crossing is not None)
        if change.sound is not None and voice.made == change.border:
            voice.pieces.append(change.sound)
            voice.batch = 1
        self._wake()
        return crossing

    def _cross_over(self, crossing: Sequence[tuple[Voice, int, Samples]]) -> None:
        """Lead voices over into what they sound like now. crossing: each voice, the first frame that has not begun, and
        what the frames before that would have sounded like."""
        self._make_pieces([(voice, begun) for voice, begun, _ in crossing])
        ramp = (np.arange(1, CROSSFADE + 1) / CROSSFADE).astype(np.float32)
        for voice, begun, before in crossing:
            voice.crossing = voice.position, (before - voice.sound(CROSSFADE, begun)) * (1 - ramp)

    # --- what is heard of it ---

    def _go_on(self, voice: Voice, needed: int) -> None:
        """Let the frames before one be heard, and forget those that are over."""
        if voice.pieces[0].over < voice.position - self._kept:
            voice.pieces = [piece for piece in voice.pieces if piece.over >= voice.position - self._kept]
        oldest = needed - self._kept // self._model.hop - 2
        if voice.windows[0].end <= oldest:
            voice.windows = [window for window in voice.windows if window.end > oldest] or voice.windows[-1:]
        if voice.crossing is not None and voice.position >= voice.crossing[0] + CROSSFADE:
            voice.crossing = None
        voice.silent = self._is_silent(voice, needed)

    def _make_pieces(self, needing: Sequence[tuple[Voice, int]]) -> None:
        """Sound of voices up to a frame: few frames at a time after a change, more while nothing happens."""
        while short := [(voice, frame) for voice, frame in needing if voice.made < frame]:
            frames = [self._sounding(voice) for voice, _ in short]
            for (voice, _), piece in zip(short, self._model.pieces(frames), strict=True):
                voice.pieces.append(piece)
                voice.batch += 1
            self._rest = False, 0

    def _is_silent(self, voice: Voice, needed: int) -> bool:
        """Whether all that is known of a voice's future is too soft to be heard."""
        if needed <= LONGEST_ATTACK:
            return False
        ahead = [window.level for window in voice.windows if window.end > needed - 4]
        return bool(ahead) and max(ahead) < SILENT


def _mixed(voices: Sequence[Voice], count: int) -> Samples:
    """The next samples (2, count) of voices."""
    mix = np.zeros((2, count), np.float32)
    fading = dict[tuple[int | None, bool, float], list[Voice]]()
    for voice in voices:
        if voice.fade is None:
            voice.add_to(mix)
        else:
            fading.setdefault((voice.fade, voice.damped, voice.fading), []).append(voice)
    for group in fading.values():  # a pedal lets go of many at once
        part = np.zeros((2, count), np.float32)
        for voice in group:
            voice.add_to(part)
        mix += part * fade_out(group[0], count)
    return mix
