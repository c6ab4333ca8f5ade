"""How loud an instrument is: a phrase of its own, in LUFS (ITU-R BS.1770), so that instruments can be played side by
side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyloudnorm.meter import Meter

from engine.description import HIGHEST_GAIN_DB, LOWEST_GAIN_DB
from engine.instrument import Instrument
from engine.midi.events import Event, note_off, note_on
from engine.midi.files import Score
from engine.render import RenderOptions, render_array

LOUDNESS = -27.0  # LUFS of every instrument's phrase
BEAT = 0.5  # seconds
VELOCITY = 90
SILENT = 1e-7
MELODY, CHORD = (60, 64, 67, 72, 67, 64), (60, 64, 67)
VOICING_DEGREE, MOST_VOICED = 4, 18.0  # of the line through the keys' levels; decibels
SHELF_HZ, SHELF_DB, LOW_CUT_HZ = 1500.0, 4.0, 38.0


def weight(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amplitude factor of BS.1770's weighting, roughly: a high shelf and a low cut. 0 at 0 Hz."""
    ratio = (hz / SHELF_HZ) ** 4
    high = (1 + ratio * 10 ** (SHELF_DB / 10)) / (1 + ratio)
    low = (hz / LOW_CUT_HZ) ** 4 / (1 + (hz / LOW_CUT_HZ) ** 4)
    return np.asarray(np.sqrt(high * low))


def phrase(instrument: Instrument) -> Score:
    """Six notes and a chord; of pads six hits and three at once."""
    rate, events = instrument.sample_rate, list[Event]()
    keys, chord = (MELODY, CHORD) if instrument.kind == "keys" else (instrument.keys[:6], instrument.keys[:3])
    plan = [(beat, (key,), 1) for beat, key in enumerate(keys)] + [(len(keys), tuple(chord), 2)]
    for beat, struck, beats in plan:
        start, end = (round(time * BEAT * rate) for time in (beat, beat + beats))
        for key in struck:
            events += [note_on(start, key, VELOCITY), note_off(end, key)]
    length = round((len(keys) + 2) * BEAT * rate)
    return Score(tuple(sorted(events, key=lambda event: event.sample)), length, rate)


def loudness(instrument: Instrument, knobs: Mapping[str, float] | None = None) -> float:
    """LUFS of the phrase, minus infinity where it is silent."""
    sound = render_array(phrase(instrument), instrument, RenderOptions(knobs or {}, limiter=False))
    if not np.abs(sound).max() > SILENT:
        return -math.inf
    return float(Meter(instrument.sample_rate).integrated_loudness(sound.astype(np.float64)))


def matched(instrument: Instrument) -> Instrument:
    """The instrument with the gain that gives its phrase LOUDNESS; as it is where it is silent."""
    level = loudness(instrument)
    if not np.isfinite(level):
        return instrument
    gain = float(np.clip(instrument.gain_db + LOUDNESS - level, LOWEST_GAIN_DB, HIGHEST_GAIN_DB))
    return replace(instrument, gain_db=round(gain, 2))


def key_levels(hz: NDArray[np.float64], reference: NDArray[np.complexfloating[Any, Any]]) -> NDArray[np.float64]:
    """Weighted level in decibels (keys,) of the first second of every key: carriers (keys, carriers) and their
    reference (keys, channels, carriers), mid and side."""
    power = (np.abs(reference) ** 2).sum(axis=1) * weight(hz) ** 2
    return np.asarray(10 * np.log10(power.sum(axis=1) + 1e-20))


def even_voicing(
    keys: Sequence[int], levels: NDArray[np.float64], wanted: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Decibels (keys,) that bring each key's level (keys,) to `wanted`, or else to a smooth line through all keys.

    A sampler's recordings differ in loudness from key to key; its instrument did not.
    """
    even = smooth_line(keys, levels) if wanted is None else wanted
    return np.asarray(np.clip(even - levels, -MOST_VOICED, MOST_VOICED))


def smooth_line(keys: Sequence[int], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """A polynomial of VOICING_DEGREE through the levels of some keys, at these keys."""
    degree = min(VOICING_DEGREE, len(levels) - 1)
    fitted = np.polynomial.Polynomial.fit(np.asarray(keys, np.float64), levels, degree)
    return np.asarray(fitted(np.asarray(keys, np.float64)))
