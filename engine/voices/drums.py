"""The keys of General MIDI's drum channel, and which pad plays each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_KICK, _SNARE, _TOM = ("kick", "bass drum", "bd"), ("snare", "sd"), ("tom",)
_HAT, _OPEN = ("hat", "hh"), ("open hat", "open hi-hat", "open")
_CLOSED = ("closed hat", "closed hi-hat", "closed", *_HAT)
_CRASH, _RIDE = ("crash", "cymbal", "ride"), ("ride", "cymbal", "crash")
_BLOCK, _SHAKER = ("wood", "block", "clave", "perc", "rim"), ("shaker", "maraca", "cabasa", "perc", *_HAT)
_HAND, _BELL = ("conga", "bongo", "timbale", "perc", "tom"), ("cowbell", "agogo", "bell", "perc")

DRUMS: Mapping[int, tuple[tuple[str, ...], int]] = {
    35: (_KICK, -1), 36: (_KICK, 0), 37: (("rim", "stick", *_SNARE), 0), 38: (_SNARE, 0), 39: (("clap", *_SNARE), 0),
    40: (_SNARE, 1), 41: (("low tom", "floor", *_TOM), -5), 42: (_CLOSED, 0), 43: (("high floor", "floor", *_TOM), -3),
    44: (("pedal", *_CLOSED), 0), 45: (("low tom", *_TOM), -1), 46: ((*_OPEN, *_HAT), 0),
    47: (("mid tom", *_TOM), 1), 48: (("mid tom", *_TOM), 3), 49: (_CRASH, 0), 50: (("high tom", *_TOM), 5),
    51: (_RIDE, 0), 52: (("china", *_CRASH), 0), 53: (("bell", *_RIDE), 0), 54: (("tambourine", *_SHAKER), 0),
    55: (("splash", *_CRASH), 3), 56: (_BELL, 0), 57: (_CRASH, -1), 58: (("vibraslap", "perc"), 0), 59: (_RIDE, -1),
    60: (_HAND, 4), 61: (_HAND, 2), 62: (_HAND, 3), 63: (_HAND, 0), 64: (_HAND, -3), 65: (_HAND, 2), 66: (_HAND, -2),
    67: (_BELL, 4), 68: (_BELL, 0), 69: (_SHAKER, 0), 70: (_SHAKER, 2), 75: (_BLOCK, 2), 76: (_BLOCK, 2),
    77: (_BLOCK, -2), 80: (("triangle", "bell"), 0), 81: (("triangle", "bell"), 0), 82: (_SHAKER, 1),
}  # fmt: skip
"""Key -> (words of a pad's title, the best first; semitones by which a pad is moved that plays several of the keys)."""


def drum_pads(titles: Sequence[str]) -> dict[int, tuple[int, int]]:
    """Which pad plays each drum key, and how many semitones higher: {key: (pad, semitones)}.

    The first word that is a title, or is in one, decides; the first such pad of several. A key without one is left out.
    """
    found, lower = {}, [title.lower() for title in titles]
    for key, (words, semitones) in DRUMS.items():
        fits = ([i for i, title in enumerate(lower) if word == title or (word in title and word not in lower)]
                for word in words)  # fmt: skip
        pad = next((pads[0] for pads in fits if pads), None)
        if pad is not None:
            found[key] = pad, semitones
    played = [pad for pad, _ in found.values()]
    return {key: (pad, semitones if played.count(pad) > 1 else 0) for key, (pad, semitones) in found.items()}
