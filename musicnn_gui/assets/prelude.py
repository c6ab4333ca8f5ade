"""The demo, written out: J. S. Bach, The Well-Tempered Clavier I, prelude in C major, BWV 846 (1722).

`python -m musicnn_gui.assets.prelude` writes the MIDI file anew. Notes are from the score (without the bar that
Schwencke added); tempo, dynamics and pedal are the project's.
"""

from __future__ import annotations

import math
from pathlib import Path

import mido

from musicnn_gui.assets import DEMO

TICKS = 480  # a quarter note
SIXTEENTH = TICKS // 4
BAR = 16 * SIXTEENTH
TEMPO_BPM = 69

CHORDS = """
C4 E4 G4 C5 E5   | C4 D4 A4 D5 F5   | B3 D4 G4 D5 F5   | C4 E4 G4 C5 E5   | C4 E4 A4 E5 A5   | C4 D4 F#4 A4 D5
B3 D4 G4 D5 G5   | B3 C4 E4 G4 C5   | A3 C4 E4 G4 C5   | D3 A3 D4 F#4 C5  | G3 B3 D4 G4 B4   | G3 A#3 E4 G4 C#5
F3 A3 D4 A4 D5   | F3 G#3 D4 F4 B4  | E3 G3 C4 G4 C5   | E3 F3 A3 C4 F4   | D3 F3 A3 C4 F4   | G2 D3 G3 B3 F4
C3 E3 G3 C4 E4   | C3 G3 A#3 C4 E4  | F2 F3 A3 C4 E4   | F#2 C3 A3 C4 D#4 | G#2 F3 B3 C4 D4  | G2 F3 G3 B3 D4
G2 E3 G3 C4 E4   | G2 D3 G3 C4 F4   | G2 D3 G3 B3 F4   | G2 D#3 A3 C4 F#4 | G2 E3 G3 C4 G4   | G2 D3 G3 C4 F4
G2 D3 G3 B3 F4   | C2 C3 G3 A#3 E4
"""
"""Bars 1-32: five notes each, played 1 2 3 4 5 3 4 5 in sixteenths, twice a bar."""

CLOSING = (
    "C2 C3 F3 A3 C4 F4 C4 A3 C4 A3 F3 A3 F3 D3 F3 D3",
    "C2 B2 G4 B4 D5 F5 D5 B4 D5 B4 G4 B4 D4 F4 E4 D4",
)
"""Bars 33 and 34, in sixteenths; the two lowest notes are held through the bar."""
FINAL = "C2 C3 E4 G4 C5"

LOUDNESS = (
    62, 60, 62, 60, 66, 62, 64, 58, 56, 60, 62, 66, 62, 66, 60, 54, 52, 54, 56, 62,
    60, 66, 68, 64, 62, 62, 64, 70, 68, 62, 60, 58, 54, 50, 46,
)  # fmt: skip
"""Velocity of each bar's upper notes."""

Note = tuple[int, int, int, int]  # start and length in ticks, key, velocity


def key_of(name: str) -> int:
    """MIDI key of a pitch name such as F#4.

    >>> key_of("C4")
    60
    """
    steps = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
    return 12 * (int(name[-1]) + 1) + steps[name[0]] + name.count("#")


def notes() -> list[Note]:
    """Every note of the piece."""
    bars = [[key_of(name) for name in bar.split()] for line in CHORDS.strip().split("\n") for bar in line.split("|")]
    result: list[Note] = []
    for index, chord in enumerate(bars):
        for half in range(2):
            start = index * BAR + half * BAR // 2
            for step, voice in enumerate((0, 1, 2, 3, 4, 2, 3, 4)):
                length = (8 - step if voice < 2 else 1) * SIXTEENTH
                result.append((start + step * SIXTEENTH, length, chord[voice], _velocity(index, step, half)))
    for index, bar in enumerate(CLOSING, len(bars)):
        for step, name in enumerate(bar.split()):
            length = (16 - step if step < 2 else 1) * SIXTEENTH
            result.append((index * BAR + step * SIXTEENTH, length, key_of(name), _velocity(index, step, 0)))
    last = len(bars) + len(CLOSING)
    result += [(last * BAR + i * 30, BAR, key_of(name), _velocity(last, i, 0)) for i, name in enumerate(FINAL.split())]
    return result


def _velocity(bar: int, step: int, half: int) -> int:
    """The bar's loudness, its beginning a little stronger, the crest of the figure a little too."""
    accent = 6 if step == 0 and half == 0 else 3 if step == 0 else 0
    return LOUDNESS[bar] + accent + round(3 * math.sin(math.pi * (step % 8) / 7))


def write(path: Path) -> None:
    """Write the MIDI file: one track of tempo, one of notes and pedal."""
    last_bar = len(LOUDNESS) - 1
    tempo = mido.MidiTrack([mido.MetaMessage("track_name", name="Bach: Prelude in C major, BWV 846")])
    tempo.append(mido.MetaMessage("time_signature", numerator=4, denominator=4))
    tempo.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(TEMPO_BPM)))
    slowing = [(last_bar - 2) * BAR + i * TICKS for i in range(9)]
    before = 0
    for index, tick in enumerate(slowing):
        bpm = TEMPO_BPM * (1 - 0.045 * (index + 1))
        tempo.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm), time=tick - before))
        before = tick
    messages: list[tuple[int, int, mido.Message]] = []
    for start, length, key, velocity in notes():
        messages.append((start, 2, mido.Message("note_on", note=key, velocity=velocity)))
        messages.append((start + length, 0, mido.Message("note_off", note=key, velocity=0)))
    for bass in range(0, (last_bar + 1) * BAR, BAR // 2):
        # Syncopated pedal: it comes up with each bass note and goes down just after; the last bars keep it for a whole
        # bar, over one harmony.
        if bass % BAR == 0 or bass < (last_bar - 2) * BAR:
            messages.append((bass, 1, mido.Message("control_change", control=64, value=0)))
            messages.append((bass + SIXTEENTH // 2, 1, mido.Message("control_change", control=64, value=100)))
    messages.append(((last_bar + 1) * BAR + TICKS, 1, mido.Message("control_change", control=64, value=0)))
    track, now = mido.MidiTrack(), 0
    for tick, _, message in sorted(messages, key=lambda entry: entry[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    mido.MidiFile(type=1, ticks_per_beat=TICKS, tracks=[tempo, track]).save(path)


if __name__ == "__main__":
    write(DEMO)
