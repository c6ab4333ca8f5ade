"""Conversions between the units of music, levels and time. Every formula stands in its docstring."""

import math

A4_HZ = 440.0
A4_KEY = 69


def key_to_hz(key: float) -> float:
    """Frequency of a (fractional) MIDI key in equal temperament: 440 * 2 ** ((key - 69) / 12).

    >>> round(key_to_hz(60), 3)
    261.626
    """
    return float(A4_HZ * 2.0 ** ((key - A4_KEY) / 12.0))


def hz_to_key(hz: float) -> float:
    """Fractional MIDI key of a frequency: 69 + 12 log2(hz / 440).

    >>> hz_to_key(880.0)
    81.0
    """
    return A4_KEY + 12.0 * math.log2(hz / A4_HZ)


def semitones_to_ratio(semitones: float) -> float:
    """Frequency ratio of an interval: 2 ** (semitones / 12).

    >>> semitones_to_ratio(12)
    2.0
    """
    return float(2.0 ** (semitones / 12.0))


def cents_between(hz: float, reference_hz: float) -> float:
    """Interval from reference_hz up to hz in cents: 1200 log2(hz / reference_hz).

    >>> round(cents_between(441.0, 440.0), 2)
    3.93
    """
    return 1200.0 * math.log2(hz / reference_hz)


def db_to_gain(db: float) -> float:
    """Amplitude factor of a level: 10 ** (db / 20).

    >>> db_to_gain(-20.0)
    0.1
    """
    return float(10.0 ** (db / 20.0))


def gain_to_db(gain: float, floor_db: float = -200.0) -> float:
    """Level of an amplitude: 20 log10(gain), never under floor_db.

    >>> gain_to_db(0.0)
    -200.0
    """
    return max(floor_db, 20.0 * math.log10(gain)) if gain > 0.0 else floor_db


def key_name(key: int) -> str:
    """Scientific pitch name of a MIDI key, middle C (60) being C4.

    >>> key_name(60), key_name(22)
    ('C4', 'A#0')
    """
    names = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
    return f"{names[key % 12]}{key // 12 - 1}"
