"""100,000 damaged MIDI files: each is played or refused in a sentence, soon and in little memory.

    pytest -s --override-ini addopts= tests/bench/test_mutated_midi.py

MUSICNN_MIDI_FOLDER: a folder (searched in depth) whose MIDI files are damaged too. MUSICNN_MUTATIONS: how many files,
100,000 if not said; MUSICNN_FIRST: number of the first one, so that a run can be made in pieces.
"""

import os
import random
import resource
import struct
import time
from pathlib import Path

from engine.errors import InputFileError
from engine.midi.events import Kind
from engine.midi.files import parse_score
from tests.engine.midi.smf import RATE, bend, chunk, control, meta, scale, smf, sysex

SEED = 16
MOST_SECONDS, MOST_BYTES = 10.0, 1_000_000_000
BUILT = [
    smf(scale()), smf(meta(3, b"Left"), scale(), scale(1, first=72)), smf(scale(count=60, first=30), scale(9), kind=2),
    smf(meta(0x21, b"\0") + scale(), meta(0x21, b"\1") + scale(), control(64, 127) + bend(300) + scale(3)),
    smf(sysex(0x7F, 0x7F, 4, 3, 0, 0x60) + sysex(0x41, 0x10, 0x42, 0x12, 0x40, 0x1A, 0x15, 2, 15) + scale(10)),
    smf(scale(), division=0xE728), b"RIFF\xff\0\0\0RMIDdata\xff\0\0\0" + smf(scale(count=16)),
    smf(b"".join(meta(0x51, (400_000 + n).to_bytes(3), n) for n in range(99)), scale()) + chunk(b"abc", b"XFIH"),
]  # fmt: skip


def flip(data, chance, others):
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def cut(data, chance, others):
    del data[chance.randrange(len(data)) :]


def remove(data, chance, others):
    place = chance.randrange(len(data))
    del data[place : place + chance.randint(1, 40)]


def insert(data, chance, others):
    place = chance.randrange(len(data))
    data[place:place] = chance.randbytes(chance.randint(1, 40))


def repeat(data, chance, others):
    place = max(data.find(b"MTrk", chance.randrange(len(data))), 0)
    data[place:place] = data[place : place + chance.randint(8, 4000)]


def splice(data, chance, others):
    other = chance.choice(others)
    data[chance.randrange(len(data)) :] = other[chance.randrange(len(other)) :]


def lengths(data, chance, others):
    places = [place + 4 for place in range(len(data) - 8) if data[place : place + 2] in (b"MT", b"RI", b"da")]
    place = chance.choice(places or [0])
    data[place : place + 4] = struct.pack(
        ">I", chance.choice([0, 1, chance.randrange(1 << 16), chance.getrandbits(32)])
    )


def fill(data, chance, others):
    place = chance.randrange(len(data))
    size = min(chance.randint(1, 30), len(data) - place)
    data[place : place + size] = bytes([chance.choice([0, 0x7F, 0x80, 0xF0, 0xFF])]) * size


MUTATIONS = (flip, cut, remove, insert, repeat, splice, lengths, fill)


def mutated(number, files):
    """The file of a number, always the same."""
    chance = random.Random(SEED * 1_000_003 + number)
    data = bytearray(chance.choice(files))
    for _ in range(chance.randint(1, 3)):
        if data:
            chance.choice(MUTATIONS)(data, chance, files)
    return bytes(data)


def files_of(folder):
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".mid", ".rmi", ".kar", ".midi"))
    return [path.read_bytes() for path in paths if 0 < path.stat().st_size < 500_000]


def test_damaged_files_are_played_or_refused():
    folder = os.environ.get("MUSICNN_MIDI_FOLDER")
    files = BUILT + (files_of(folder) if folder else [])
    first, count = int(os.environ.get("MUSICNN_FIRST", "0")), int(os.environ.get("MUSICNN_MUTATIONS", "100000"))
    played, repaired, longest = 0, 0, (0.0, -1)
    for number in range(first, first + count):
        began = time.process_time()
        try:
            score = parse_score(mutated(number, files), RATE)
        except InputFileError as error:
            assert "\n" not in str(error)
        else:
            played += 1
            repaired += bool(score.warnings)
            assert any(event.kind is Kind.NOTE_ON for event in score.events), number
            assert all(0 <= event.sample <= score.length for event in score.events), number
        longest = max(longest, (time.process_time() - began, number))
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"\n{count} files made of {len(files)}: {played} played, {repaired} of them repaired, {count - played} refused"
    )
    print(f"the slowest {longest[0]:.2f} s (number {longest[1]}), {memory / 1e6:.0f} MB at most")
    assert longest[0] < MOST_SECONDS
    assert memory < MOST_BYTES
