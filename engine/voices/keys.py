"""Neural notes: allocation, speculation and overlap-add of the voices of one keyed instrument.

Time in a voice is counted in samples since its note-on and in frames anchored there. Three things run ahead of what
has been heard, each by a different way:

    windows    what the network wrote, up to `end`: computed some frames at a time, in one batch with other voices,
               under the assumption that the key stays down (see `engine.networks.recurrent`)
    stretches  what those frames sound like under the present controllers and knobs: made a few at a time
    sums       stretches added up: every frame whose first sample lies before the next one to be heard

A controller or knob drops the stretches that have not begun. A release drops the windows from the first frame that
hears it, sets the network back to the state before that frame, and computes the new future; the stretches that had
begun are made again and the sums cross over from the old to the new within CROSSFADE samples. What has been heard is
never touched. How the frames are cut into windows depends on the note's own events alone, never on the size of the
blocks or on how far ahead the speculation is: live and offline rendering give the same sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from engine.codec import Note
from engine.networks.recurrent import State
from engine.spectral import Samples
from engine.voices.models import Content, KeysModel, Touch

WINDOWS = (8, 16)
"""Frames to commit of the windows after an onset or a release; the last size goes on."""
BATCHES = (2, 4, 8, 16)
"""Frames whose stretches are made at a time after the controllers have moved; the last size goes on."""
JOIN_FRAMES = WINDOWS[-1] // 2
"""A voice that needs its next window within so many frames joins a batch: the same frames, only earlier."""
AHEAD_FRAMES, AHEAD_VOICES = 8, 8
"""How far `look_ahead` goes, and the voices that it does at once: few, because a key may be pressed meanwhile."""
TURN_FRAMES = 4
"""Frames between two looks at knobs that the network hears, 23 ms."""
CROSSFADE = 128
FADE = 256  # samples in which a silenced voice ends
SILENT = 3e-5  # amplitude, under -90 dB, that ends a voice
LONGEST_WAIT = 1 << 30  # samples, when nothing is waited for
LONGEST_ATTACK = 32  # frames in which a voice is not ended, however soft it is


@dataclass(slots=True)
class _Window:
    """Frames first ... first + len(content) - 1: their content, and what is needed to go back to any of them."""

    first: int
    content: Content
    states: list[State]
    fed: list[torch.Tensor]
    level: float

    @property
    def end(self) -> int:
        return self.first + len(self.content)


@dataclass(slots=True)
class _Voice:
    number: int
    channel: int
    note: Note  # as it sounds
    heard: Note  # as the network hears it: within the keys that it knows
    position: int = 0
    windows: list[_Window] = field(default_factory=list)
    states: list[State] = field(default_factory=list)  # after the last window
    schedule: int = 0  # windows since the onset or release
    summed: int = 0  # frames in `sums`
    stretches: Samples | None = None  # of frames summed, summed + 1 ...
    phases: NDArray[np.float64] | None = None  # at those frames and after the last
    begun: list[tuple[int, NDArray[np.float64] | None]] = field(default_factory=list)  # recent (frame, phases)
    batch: int = 0
    sums: Samples = field(default_factory=lambda: np.zeros((2, 0), np.float32))  # from `position` on
    fade: int | None = None  # samples left of a silenced voice
    end: int = 0  # first frame that the network has not written
    let_go: bool = False  # by an event at `position` that is not worked in yet
    turned: int = 0  # frame at which `latent` last changed
    latent: tuple[float, ...] = ()  # what the network hears beside the two sines

    def content(self, first: int, count: int) -> Content:
        """What the network wrote for up to `count` frames; fewer where a window ends."""
        for window in self.windows:
            if window.first <= first < window.end:
                return window.content[first - window.first :][:count]
        raise AssertionError("a frame was asked for before it was computed")


class KeysBank:
    """The sounding notes of one keyed instrument."""

    def __init__(self, model: KeysModel, keys: range, polyphony: int = 64, *, live: bool = False) -> None:
        """`keys`: those that the network knows; others borrow the nearest one's spectrum.

        live: `look_ahead` is called in idle moments, so `render` does only what cannot wait.
        """
        self._join = 0 if live else JOIN_FRAMES
        self._model, self._keys, self.polyphony = model, keys, polyphony
        self._voices: list[_Voice] = []
        self._touches: dict[int, Touch] = {}

    @property
    def sounding(self) -> int:
        """How many voices sound."""
        return len(self._voices)

    def start(self, number: int, key: int, velocity: float, channel: int = 0) -> list[int]:
        """Begin a note now; return the numbers of notes that had to give way."""
        stolen = []
        while sum(voice.fade is None for voice in self._voices) >= self.polyphony:
            victim = self._victim()
            stolen.append(victim.number)
            victim.fade = FADE
        heard = min(max(key, self._keys[0]), self._keys[-1])
        voice = _Voice(number, channel, Note(key, velocity), Note(heard, velocity))
        voice.states = self._model.network.body.zero_states(1)
        voice.latent = self._model.latent(self._touch_of(channel))
        self._voices.append(voice)
        return stolen

    def release(self, number: int) -> None:
        """Let a note go now."""
        for voice in self._voices:
            if voice.number == number and voice.note.release is None:
                voice.let_go = True

    def silence(self, number: int) -> None:
        """End a note within FADE samples."""
        for voice in self._voices:
            if voice.number == number and voice.fade is None:
                voice.fade = FADE

    def touch(self, channel: int, left: float, right: float, semitones: float, knobs: Mapping[str, float]) -> None:
        """From now on a channel's notes sound so; notes that sound already follow from their next frame on."""
        self._touches[channel] = Touch(np.array([semitones]), left, right, knobs)
        for voice in self._voices:
            if voice.channel == channel:
                voice.stretches, voice.batch = None, 0

    def render(self, samples: int) -> tuple[Samples, list[int]]:
        """The next samples (2, samples), and the numbers of the notes that have ended in them."""
        parts: list[Samples] = []
        ended: list[int] = []
        left = samples
        while left or not parts:
            if let_go := [voice for voice in self._voices if voice.let_go]:
                self._release(let_go)
            count = min(left, self._turn())
            part, gone = self._render(count)
            parts.append(part)
            ended += gone
            left -= count
        return np.concatenate(parts, axis=1), ended

    def _render(self, samples: int) -> tuple[Samples, list[int]]:
        mix = np.zeros((2, samples), np.float32)
        self._compute(samples)
        for voice in self._voices:
            self._sum(voice, samples)
            part = voice.sums[:, :samples]
            if voice.fade is not None:
                part = part * _fade_out(voice.fade, samples)
                voice.fade -= samples
            mix += part
            voice.sums = voice.sums[:, samples:]
            voice.position += samples
        ended = [voice.number for voice in self._voices if self._is_over(voice)]
        if ended:
            self._voices = [voice for voice in self._voices if voice.number not in ended]
        return mix, ended

    def two_sines(self, samples: int) -> Samples:
        """The sum of what the network hears over the next samples, (samples,); to be shown, not heard."""
        total = np.zeros(samples)
        for voice in self._voices:
            total += self._model.codec.signal(voice.heard, voice.position, samples)
        return total.astype(np.float32)

    def _needed(self, voice: _Voice, samples: int) -> int:
        """Frames that begin before the samples end."""
        return -(-(voice.position + samples + self._model.length) // self._model.hop) - 1

    def _compute(self, samples: int) -> None:
        """Have the network write every frame that the next samples need, all voices of a size in one batch."""
        while True:
            missing = [voice for voice in self._voices if voice.end < self._needed(voice, samples)]
            if not missing:
                return
            sizes = {_window_size(voice) for voice in missing}
            for size in sizes:
                batch = [
                    voice for voice in self._voices
                    if _window_size(voice) == size and voice.end < self._needed(voice, samples) + self._join
                    and (voice in missing or voice.schedule > 0)
                ]  # fmt: skip
                self._write(batch, size)

    def look_ahead(self) -> bool:
        """Have the network write a window that will be needed soon; return whether there was one."""
        waiting = [voice for voice in self._voices if voice.end < self._needed(voice, 0) + AHEAD_FRAMES]
        if not waiting:
            return False
        waiting.sort(key=lambda voice: voice.end - self._needed(voice, 0))
        size = _window_size(waiting[0])
        self._write([voice for voice in waiting if _window_size(voice) == size][:AHEAD_VOICES], size)
        return True

    def _write(self, voices: list[_Voice], size: int) -> None:
        """One window for each of these voices."""
        network, context = self._model.network, self._model.network.config.context
        frames = [self._model.inputs(voice.heard, voice.end, size + context, voice.latent) for voice in voices]
        with torch.inference_mode():
            states = [
                tuple(torch.cat(parts, 1) for parts in zip(*(voice.states[layer] for voice in voices), strict=True))
                for layer in range(network.config.layers)
            ]
            raw, after, fed = network.window(torch.from_numpy(np.stack(frames)), size, states)
            for row, voice in enumerate(voices):
                content = self._model.decode(raw[row], voice.heard, voice.latent)
                kept = [layer[row : row + 1] for layer in fed]
                window = _Window(voice.end, content, voice.states, kept, self._model.level(content))
                voice.windows.append(window)
                voice.end = window.end
                voice.states = [tuple(part[:, row : row + 1] for part in state) for state in after]
                voice.schedule += 1

    def _sum(self, voice: _Voice, samples: int) -> None:
        """Add the stretches that begin within the next samples."""
        model, needed = self._model, self._needed(voice, samples)
        while voice.summed < needed:
            if voice.stretches is None:
                self._make_stretches(voice)
                continue
            stretch, voice.stretches = voice.stretches[0], voice.stretches[1:]
            _add(voice, stretch, (voice.summed + 1) * model.hop - model.length - voice.position)
            voice.begun.append((voice.summed, None if voice.phases is None else voice.phases[0]))
            voice.begun = voice.begun[-(-(-model.length // model.hop) + 1) :]
            voice.phases = None if voice.phases is None else voice.phases[1:]
            voice.summed += 1
            if not len(voice.stretches):
                voice.stretches = None
        oldest = voice.begun[0][0] if voice.begun else 0
        voice.windows = [window for window in voice.windows if window.end > oldest]

    def _make_stretches(self, voice: _Voice) -> None:
        """Some frames ahead: few after a change, more while nothing happens."""
        count = BATCHES[min(voice.batch, len(BATCHES) - 1)]
        voice.batch += 1
        content = voice.content(voice.summed, count)
        phase = None if voice.phases is None else voice.phases[0]
        touch = self._frame_touch(voice, len(content))
        made, voice.phases = self._model.stretches(content, voice.summed, voice.note, phase, touch)
        voice.stretches = made

    def _touch_of(self, channel: int) -> Touch:
        return self._touches.get(channel) or Touch(np.zeros(1), 1.0, 1.0, {})

    def _frame_touch(self, voice: _Voice, frames: int) -> Touch:
        touch = self._touch_of(voice.channel)
        return replace(touch, semitones=np.repeat(touch.semitones, frames))

    def _turn(self) -> int:
        """Let the network hear knobs that have moved, from the first frame on that has not begun.

        A knob that goes on moving is followed every few frames: each time costs a window of every voice. Returned are
        the samples until the next voice may follow.
        """
        turned, wait = [], LONGEST_WAIT
        for voice in self._voices:
            latent = self._model.latent(self._touch_of(voice.channel))
            if latent == voice.latent:
                continue
            # As many samples as it takes until so many frames have begun.
            until = (voice.turned + TURN_FRAMES) * self._model.hop - self._model.length + 1 - voice.position
            if until > 0 and voice.summed:
                wait = min(wait, until)
                continue
            voice.latent, voice.turned = latent, voice.summed
            voice.schedule = 0
            if voice.end > voice.summed:
                turned.append(voice)
        if turned:
            self._go_back(turned, [voice.summed for voice in turned])
            for voice in turned:
                voice.stretches, voice.batch = None, 0
        return wait

    def _release(self, voices: list[_Voice]) -> None:
        """Go back to the first frame that hears the release, and on from there with it; all voices in one batch."""
        borders = [self._model.codec.first_frame_of(voice.position) for voice in voices]
        self._go_back(voices, borders)
        for voice in voices:
            voice.let_go = False
            voice.note = replace(voice.note, release=voice.position)
            voice.heard = replace(voice.heard, release=voice.position)
        while short := [voice for voice in voices if voice.end < voice.summed]:
            self._write(short, WINDOWS[0])
        for voice, border in zip(voices, borders, strict=True):
            self._begin_again(voice, border)

    def _go_back(self, voices: list[_Voice], borders: list[int]) -> None:
        """Forget what the network wrote from some frames on, and set it back to before them."""
        model = self._model
        for voice, border in zip(voices, borders, strict=True):
            while voice.end <= border:  # the border may lie in what was not written yet
                self._write([voice], _window_size(voice))
        windows = [
            next(window for window in voice.windows if window.first <= border < window.end)
            for voice, border in zip(voices, borders, strict=True)
        ]
        counts = [border - window.first for window, border in zip(windows, borders, strict=True)]
        with torch.inference_mode():
            states = model.network.body.replay([w.fed for w in windows], counts, [w.states for w in windows])
        for voice, border, window, count, state in zip(voices, borders, windows, counts, states, strict=True):
            kept = [replace(window, content=window.content[:count])] if count else []
            voice.windows = [w for w in voice.windows if w.end <= border] + kept
            voice.states, voice.end, voice.schedule = state, border, 0

    def _begin_again(self, voice: _Voice, border: int) -> None:
        """Make the frames from `border` on again that had begun, and cross over to them."""
        model, summed, before = self._model, voice.summed, voice.sums
        phase = next((phase for frame, phase in voice.begun if frame == border), None)
        voice.sums = np.zeros_like(before)
        voice.begun = [entry for entry in voice.begun if entry[0] < border]
        frame = border
        while frame < summed:
            content = voice.content(frame, summed - frame)
            made, phases = model.stretches(content, frame, voice.note, phase, self._frame_touch(voice, len(content)))
            for index, stretch in enumerate(made):
                _add(voice, stretch, (frame + index + 1) * model.hop - model.length - voice.position)
                voice.begun.append((frame + index, None if phases is None else phases[index]))
            frame += len(content)
            phase = None if phases is None else phases[-1]
        voice.stretches, voice.batch = None, 0
        voice.phases = None if phase is None else phase[None]
        ramp = np.minimum(np.arange(1, before.shape[1] + 1) / CROSSFADE, 1.0).astype(np.float32)
        voice.sums = before * (1 - ramp) + voice.sums * ramp

    def _is_over(self, voice: _Voice) -> bool:
        if voice.fade is not None:
            return voice.fade <= 0
        ahead = [window.level for window in voice.windows if window.end > voice.summed - 4]
        return voice.summed > LONGEST_ATTACK and bool(ahead) and max(ahead) < SILENT

    def _victim(self) -> _Voice:
        """Whom to end for a new note: a released voice before a held one, the softest first."""
        candidates = [voice for voice in self._voices if voice.fade is None]
        return min(candidates, key=lambda voice: (voice.note.release is None, self._level(voice)))

    def _level(self, voice: _Voice) -> float:
        """Level of what is heard now, however far the network has written ahead."""
        frame = self._model.codec.first_frame_of(voice.position)
        return next((window.level for window in voice.windows if window.first <= frame < window.end), 1.0)


def _window_size(voice: _Voice) -> int:
    return WINDOWS[min(voice.schedule, len(WINDOWS) - 1)]


def _add(voice: _Voice, stretch: Samples, offset: int) -> None:
    """Add a stretch (2, length) that begins `offset` samples after the voice's position (before it, where negative)."""
    if offset < 0:
        stretch, offset = stretch[:, -offset:], 0
    end = offset + stretch.shape[1]
    if voice.sums.shape[1] < end:
        voice.sums = np.concatenate([voice.sums, np.zeros((2, end - voice.sums.shape[1]), np.float32)], axis=1)
    voice.sums[:, offset:end] += stretch


def _fade_out(left: int, samples: int) -> Samples:
    """Linear way to silence over the next samples, `left` of FADE of it being still to go."""
    return np.clip((left - np.arange(samples)) / FADE, 0, 1).astype(np.float32)
