"""What a voice of a keyed instrument knows of itself: its windows, its futures, its pieces of sound.

See `engine.voices.keys` for what happens to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.codec import Note
from engine.grid import Frames as Knots
from engine.networks.playing import State, Written
from engine.spectral import Samples
from engine.voices.models import Content, Frames, Touch
from engine.voices.piece import Phase, Piece

WINDOWS = (16, 16, 32)
"""Frames to commit of the windows after an onset; the last size goes on. Long ones are cheap but take their time: a
voice comes to them when it has run ahead far enough not to wait for one."""
GUESSED = 16  # frames that are guessed at a time where a window is late
CHANGED = 1  # where in WINDOWS a change begins
FADE, DAMPED = 256, 8820
"""Samples in which a silenced voice ends, and in which one does that is damped without the network: 6 ms and 0.2 s."""
CROSSFADE = 128  # samples from one future to another

HeardNote = tuple[Note, tuple[float, ...]]
"""What the network hears of a note: key and velocity, and the knobs."""


@dataclass(slots=True)
class Window:
    """Frames first, first + 1 ...: their content, and the states before each knot and after the last (none where it is
    guessed).

    begin: the first frame that counts; those before it only led there. knots: the frames that the network wrote.
    """

    first: int
    begin: int
    content: Content
    states: list[State]
    level: float
    knots: Knots

    @property
    def end(self) -> int:
        """The first frame after it."""
        return self.first + len(self.content)


@dataclass(slots=True)
class Change:
    """Another future of a voice, from frame `border` on; heard when the voice is at sample `due`."""

    due: int
    border: int
    heard: Note
    latent: tuple[float, ...]
    together: bool = False  # with others at the same moment: computed in one batch
    windows: list[Window] = field(default_factory=list)  # as far as they are computed
    busy: bool = False  # another thread computes the next one
    sound: Piece | None = None  # of its first frames, from `border` on
    making: bool = False  # another thread makes it
    made: bool = False  # it is the voice's present now
    planned: int = field(init=False)  # what `due` was at first

    def __post_init__(self) -> None:
        self.planned = self.due

    @property
    def schedule(self) -> int:
        """Where in WINDOWS its next window stands. Long ones are for many voices at once."""
        after = len(WINDOWS) - 1 if self.together else CHANGED + 1
        return after + len(self.windows) - 1 if self.windows else CHANGED


@dataclass(slots=True)
class Voice:
    """One sounding note."""

    number: int
    channel: int
    note: Note  # as it sounds
    heard: Note  # as the network hears it: within the keys that it knows
    states: State  # after the last window
    position: int = 0
    windows: list[Window] = field(default_factory=list)
    schedule: int = 0  # windows since the onset or change
    pieces: list[Piece] = field(default_factory=list)  # one after the other; those that are long over are gone
    crossing: tuple[int, Samples] | None = None  # from a sample on, what leads over from another future
    batch: int = 0  # of stretches since the controllers have moved
    making: bool = False  # another thread makes the next piece
    version: int = 0  # of the sound: counts what makes pieces worthless
    waiting: bool = False  # for its first window: it begins one block later
    waited: bool = False
    fade: int | None = None  # samples left of a silenced or damped voice
    fading: float = 1.0  # gain from which it is silenced
    damped: bool = False
    written: int = 0  # first frame that the network has not written
    guess: Window | None = None  # of some frames from there on, where the network is late
    silent: bool = False
    let_go: bool = False  # by an event at `position` that is not worked in yet
    change: Change | None = None
    expected: Change | None = None  # its release, where a score says when it will be
    busy: bool = False  # another thread has its next window written
    turn_from: int = 0  # sample from which on the network may look at its knobs again
    latent: tuple[float, ...] = ()  # what the network hears beside the two sines

    @property
    def future(self) -> Change | None:
        """The change that will probably replace what follows, once it is computed."""
        return next((change for change in (self.change, self.expected) if change and change.windows), None)

    @property
    def end(self) -> int:
        """The first frame of which nothing is known."""
        return self.written if self.guess is None else max(self.written, self.guess.end)

    @property
    def made(self) -> int:
        """The first frame that has no sound yet."""
        return self.pieces[-1].end if self.pieces else 0

    @property
    def futures(self) -> list[Change]:
        """The changes that may be heard soon."""
        return [change for change in (self.change, self.expected) if change is not None]

    def cut(self, frame: int) -> None:
        """Forget the sound from a frame on, before which all have begun. What another thread makes is worthless now."""
        kept = [piece for piece in self.pieces if piece.first < frame]
        self.pieces = [piece if piece.end <= frame else piece.before(frame) for piece in kept]
        self.version += 1

    def append(self, window: Window) -> None:
        """Go on with what the network wrote; what was guessed is kept only where sound has been made of it already."""
        self.windows = [*self.windows, window]
        self.states, self.written = window.states[-1], window.end
        self.schedule += 1
        if self.guess is not None and self.made <= self.written:
            self.guess = None

    def phase(self, frame: int) -> Phase:
        """Carriers' phases at a frame, None where they are unknown: then those of a note that was never bent."""
        for piece in reversed(self.pieces):
            if piece.first <= frame <= piece.end:
                return piece.phase(frame)
        return None

    def sound(self, samples: int, frame: int | None = None) -> Samples:
        """The next samples (2, samples), as far as they are made; of frames before one only."""
        mix = np.zeros((2, samples), np.float32)
        self.add_to(mix, frame)
        return mix

    def add_to(self, mix: Samples, frame: int | None = None) -> None:
        """Add the next samples to (2, samples); of frames before one only, before which all have begun."""
        for piece in self.pieces:
            if piece.over <= self.position:
                continue
            if frame is None or piece.end <= frame:
                piece.add_to(mix, self.position)
            elif piece.first < frame:
                piece.add_frames_to(mix, self.position, frame)
        if self.crossing is not None:
            start, sound = self.crossing
            part = sound[:, self.position - start :][:, : mix.shape[1]]
            mix[:, : part.shape[1]] += part

    def content(self, first: int, count: int) -> Content:
        """What is known of up to `count` frames; fewer where a window ends."""
        for window in (*self.windows, self.guess):
            if window is not None and window.begin <= first < window.end:
                return window.content[first - window.first :][:count]
        raise AssertionError("a frame was asked for before it was computed")


@dataclass(frozen=True, slots=True)
class Onset:
    """A note that will probably begin soon: as it sounds, and what the network hears of it."""

    note: Note
    channel: int
    heard: HeardNote


@dataclass(slots=True)
class Work:
    """One window of one voice, to be written by the network; without a voice, of a note that is yet to come.

    begin: the first frame that knows of the change; those before it are heard as they were (`before`). knots: those
    that are written, and those of the context. last: content of the frame before `begin`, where no knot leads there.
    """

    voice: Voice | None
    change: Change | None
    begin: int
    size: int
    knots: Knots
    before: HeardNote
    heard: HeardNote
    states: State
    velocity: float  # as it sounds
    last: Content | None = None
    written: Written | None = None
    window: Window | None = None
    onset: Onset | None = None
    touch: Touch | None = None  # of the onset
    piece: Piece | None = None  # what the onset's first frames sound like under it

    @property
    def lead(self) -> int:
        """Knots before `begin`."""
        return int(np.searchsorted(self.knots, self.begin))


@dataclass(slots=True)
class Sound:
    """A piece of one voice, or of its future after a change, to be made by another thread."""

    voice: Voice
    change: Change | None
    version: int
    frames: Frames


def window_size(voice: Voice) -> int:
    """Frames of its next window."""
    return size_of(voice.schedule)


def size_of(schedule: int) -> int:
    """Frames of the window that stands there in the schedule."""
    return WINDOWS[min(schedule, len(WINDOWS) - 1)]


def same_future(one: Change, other: Change) -> bool:
    """Whether two changes are the same future."""
    return (one.heard, one.latent, one.together) == (other.heard, other.latent, other.together)


def is_over(voice: Voice) -> bool:
    """Whether nothing of it will be heard any more."""
    return voice.silent if voice.fade is None else voice.fade <= 0


def fade_out(voice: Voice, samples: int) -> Samples:
    """Gain of a fading voice's next samples: silenced, it goes in a straight line, damped, as a string does or so."""
    left = (voice.fade or 0) - np.arange(samples, dtype=np.float32)
    gain = np.clip(left / DAMPED, 0, 1) ** 3 if voice.damped else voice.fading * np.clip(left / FADE, 0, 1)
    return np.asarray(gain, np.float32)
