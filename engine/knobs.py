"""What can be turned. One table; the instrument file names rows of it, the synth and the window read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Knob:
    """A continuous control.

    name: key in files, on the command line and in events.
    title, help: what the window shows.
    low, high, default: in `unit`.
    """

    name: str
    title: str
    help: str
    low: float
    high: float
    default: float
    unit: str
    group: str

    def clip(self, value: float) -> float:
        """The nearest allowed value; the default for what is no number."""
        return self.default if math.isnan(value) else min(max(value, self.low), self.high)

    def to_position(self, value: float) -> float:
        """Place of a value on the knob's way, 0-1."""
        return (self.clip(value) - self.low) / (self.high - self.low)

    def to_value(self, position: float) -> float:
        """Value at a place on the knob's way, 0-1."""
        return self.low + min(max(position, 0.0), 1.0) * (self.high - self.low)

    def text(self, value: float) -> str:
        """The value as a player reads it."""
        digits = 0 if self.high - self.low >= 200 else 1 if self.high - self.low > 8 else 2
        return f"{value:.{digits}f} {self.unit}".strip()


_ROWS = (
    Knob("volume", "Volume", "Loudness of everything that is heard.", -60, 12, 0, "dB", "Master"),
    *(
        Knob(f"latent{axis}", f"Latent {axis}", f"Axis {axis} of the space of timbres, the strongest being axis 1.",
             -3, 3, 0, "σ", "Timbre")
        for axis in range(1, 9)
    ),
    *(
        Knob(f"slider{axis}", f"Slider {axis}", f"Axis {axis} of the space of sounds, the strongest being axis 1.",
             -5, 5, 0, "σ", "Sliders")
        for axis in range(1, 41)
    ),
    Knob("vary", "Vary", "How much a pad differs from hit to hit: 1 is as much as sounds of its kind do.", 0, 1, 0.3,
         "", "Sliders"),
    Knob("temperature", "Temperature", "How daring a song is: 0 plays what is most likely, 1 is as lively as the data.",
         0, 1.5, 1, "", "Song"),
    Knob("follow", "Follow", "Keys beyond the pads play the last one: at its pitch (0) or in tune with the key (1).",
         0, 1, 1, "", "Pads"),
    Knob("gate", "Gate", "A hit plays to its end (0), or ends when its key is let go (1).", 0, 1, 0, "", "Pads"),
    Knob("sync", "Sync", "Loops keep to their own tempo (0) or to the score's or player's (1).", 0, 1, 1, "", "Loops"),
    Knob("tempo", "Tempo", "Tempo that loops keep to; a score turns it.", 30, 300, 120, "bpm", "Loops"),
    Knob("brightness", "Brightness", "Tilts the spectrum: high partials louder or softer.", -6, 6, 0, "dB/oct",
         "Spectrum"),
    Knob("odd_even", "Odd / even", "Left mutes odd partials (an octave up), right mutes even ones (hollow).",
         -1, 1, 0, "", "Spectrum"),
    Knob("stretch", "Stretch", "Spreads the partials: from pulled together to bell-like.", -1, 1, 0, "", "Spectrum"),
    Knob("body", "Body", "Hammer, breath and noise between the partials.", -40, 12, 0, "dB", "Spectrum"),
    Knob("breath", "Breath", "Noise of breath, bow and hammer: 1 is as much as the instrument was taught.", 0, 2, 1,
         "", "Spectrum"),
    Knob("vibrato", "Vibrato", "Swing of the pitch: 1 is as much as the instrument was taught.", 0, 2, 1, "",
         "Spectrum"),
    Knob("ensemble", "Ensemble", "Many players instead of one: 1 is as much as the instrument was taught.", 0, 2, 0, "",
         "Spectrum"),
    Knob("voicing", "Voicing", "Loudness of the keys: as they were taught (0), or even (1).", 0, 1, 1, "", "Spectrum"),
    Knob("attack", "Attack", "Time in which a note fades in.", 0, 500, 0, "ms", "Time"),
    Knob("decay", "Decay", "Extra damping: notes die away sooner.", 0, 60, 0, "dB/s", "Time"),
    Knob("width", "Width", "From mono (0) over the instrument's own width (1) to twice as wide.", 0, 2, 1, "",
         "Space"),
    Knob("tune", "Tune", "Pitch of the whole instrument.", -100, 100, 0, "cents", "Pitch"),
    Knob("soft", "Soft pedal", "How much softer notes become under the soft pedal (CC67).", 0, 12, 0, "dB", "Pedals"),
)  # fmt: skip

KNOBS: Mapping[str, Knob] = {knob.name: knob for knob in _ROWS}
"""Every knob by name."""

MASTER = ("volume",)
"""Knobs that exist whatever is loaded."""

LATENT = tuple(f"latent{axis}" for axis in range(1, 9))
"""Knobs of an instrument with a space of timbres."""

SLIDERS = tuple(f"slider{axis}" for axis in range(1, 41))
"""Places on the principal axes of what an instrument of pads was taught; one with fewer axes has the first ones."""

PADS = (*SLIDERS, "vary", "attack", "decay", "tune")
"""Knobs of an instrument of pads that its file names."""

HITS, LOOPS = ("follow", "gate"), ("sync", "tempo")
"""Knobs of how pads are played, that every instrument of pads has, or every one of loops."""

SONG = ("temperature",)
"""Knobs of a song."""

SPECTRAL = (
    "brightness", "odd_even", "stretch", "body", "breath", "vibrato", "ensemble", "voicing", "attack", "decay", "width",
    "tune", "soft",
)  # fmt: skip
"""Knobs of keyed instruments with a partial head; `width` needs two channels, `breath`, `vibrato`, `ensemble` and
`voicing` what was measured for them."""

PLAIN = ("soft",)
"""Knobs of every keyed instrument."""


def defaults(names: tuple[str, ...]) -> dict[str, float]:
    """The values that these knobs start with."""
    return {name: KNOBS[name].default for name in names}


def parse_settings(settings: list[str], allowed: tuple[str, ...]) -> dict[str, float]:
    """Read "name=value" texts.

    Raises ValueError, in one sentence, for an unknown knob, a value that is no number or one out of range.
    """
    values = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if name not in allowed:
            raise ValueError(f"there is no knob {name!r}: this instrument has {', '.join(allowed)}")
        knob = KNOBS[name]
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"knob {name} needs a number after '=', not {text!r}" if equals
                             else f"knob {name} needs '=' and a number") from None  # fmt: skip
        if not knob.low <= value <= knob.high:
            raise ValueError(f"knob {name} goes from {knob.low:g} to {knob.high:g} {knob.unit}, not to {value:g}")
        values[name] = value
    return values
