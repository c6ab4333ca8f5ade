"""The chunks of a Standard MIDI File, found in files whose envelope is wrong.

A header or a length is a hint here, not a promise: a track is read up to its end-of-track event, the next chunk is
looked for where it is, and what had to be mended is noted in a sentence.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from engine.errors import InputFileError
from engine.midi.tracks import Track, decode_track

HEADER, TRACK = b"MThd", b"MTrk"
MOST_TRACKS = 0xFFFF
MACBINARY = 128  # bytes of its header
DIVISION = 480  # ticks a quarter note of a file that has lost its header
CUT = "the file is cut short: it is played as far as it goes"


@dataclass(slots=True)
class Chunks:
    """What a file holds. format: 0, 1 or 2. division: ticks a quarter note, or SMPTE's two bytes as a negative number.
    repairs: what was mended, a sentence each."""

    format: int
    division: int
    tracks: list[Track] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)


def read_chunks(data: bytes) -> Chunks:
    """Find and decode every track of a file's bytes.

    Raises InputFileError where there is neither a header nor a track.
    """
    data = _without_envelope(data)
    start = data.find(HEADER)
    if start < 0 or (data.find(TRACK) >= 0 and start > data.find(TRACK)):
        chunks, counted, position = _without_header(data)
    else:
        chunks, counted, position = _header(data, start)
    cut = _read_tracks(data, position, chunks, counted)
    if cut:
        chunks.repairs.append(CUT)
    elif counted is not None and counted != len(chunks.tracks):
        chunks.repairs.append(f"the header counts its tracks wrongly: {counted}, not {len(chunks.tracks)}")
    skipped = sum(track.skipped for track in chunks.tracks)
    if skipped:
        chunks.repairs.append(f"damaged or misplaced messages were skipped: {skipped}")
    clipped = sum(track.clipped for track in chunks.tracks)
    if clipped:
        chunks.repairs.append(f"values out of range were clipped: {clipped}")
    return chunks


def _without_envelope(data: bytes) -> bytes:
    """The MIDI file inside a MacBinary or RIFF file, or in anything else that has one inside."""
    if data[:4] != HEADER and data[MACBINARY : MACBINARY + 4] in (HEADER, b"RIFF"):
        data = data[MACBINARY:]
    if data[:4] != b"RIFF":
        return data
    position = 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"data" and data[position + 8 : position + 12] == HEADER:
            return data[position + 8 : position + 8 + size] if size > 22 else data[position + 8 :]
        position += 8 + size + size % 2
    return data


def _header(data: bytes, start: int) -> tuple[Chunks, int, int]:
    """What the header says: the chunks to fill, the number of tracks, and where the next chunk begins."""
    if len(data) < start + 14:
        raise InputFileError("it ends within its header")
    size, kind, counted, division = struct.unpack(">IHHh", data[start + 4 : start + 14])
    chunks = Chunks(min(kind, 2), division)
    if kind > 2:
        chunks.format = 1
        chunks.repairs.append(f"there is no MIDI file of format {kind}: its tracks are played together")
    position = start + 8 + size
    if not (size >= 6 and _chunk_at(data, position)):
        position = data.find(TRACK, start + 8)
        position = start + 14 if position < 0 else position
    return chunks, counted, position


def _without_header(data: bytes) -> tuple[Chunks, int | None, int]:
    position = data.find(TRACK)
    if position < 0:
        raise InputFileError("it is not a MIDI file" if data else "it is empty")
    known = position == 14 and data[4:8] == b"\0\0\0\6"
    kind, division = struct.unpack(">H2xh", data[8:14]) if known else (1, DIVISION)
    chunks = Chunks(kind if kind <= 2 else 1, division)
    chunks.repairs.append("its header is damaged" + ("" if known else ": the tempo is a guess"))
    return chunks, None, position


def _read_tracks(data: bytes, position: int, chunks: Chunks, counted: int | None) -> bool:
    """Decode all tracks from a position on; return whether the file is cut short."""
    cut = False
    while position + 8 <= len(data) and len(chunks.tracks) < MOST_TRACKS:
        size = int.from_bytes(data[position + 4 : position + 8])
        if _is_track(data, position):
            if data[position : position + 4] != TRACK:
                chunks.repairs.append("the name of a track's chunk is damaged")
            track, position = _read_track(data, position + 8, size)
            chunks.tracks.append(track)
            cut = track.cut and position >= len(data)
            track.skipped += track.cut and not cut
        elif _chunk_at(data, position):
            position = _after(data, position + 8, position + 8 + size)
        else:
            position = _next_track(data, position + 1)
    begun = 0 < len(data) - position < 8 and TRACK.startswith(data[position : position + 4])
    return cut or (begun and counted is not None and len(chunks.tracks) < counted)


def _read_track(data: bytes, start: int, size: int) -> tuple[Track, int]:
    """Decode the track whose events begin at a place; return it and where the next chunk begins."""
    stated = start + size
    fits = stated == len(data) or _chunk_at(data, stated)
    limit = stated if fits else _next_track(data, start)
    track = decode_track(data, start, limit)
    if track.ended:
        return track, _after(data, track.stop, stated)
    track.cut = track.cut or (not fits and limit == len(data))
    return track, limit


def _after(data: bytes, earliest: int, stated: int) -> int:
    """Where the next chunk begins: at once, where the length says so, or wherever the next track is."""
    if _is_track(data, earliest):
        return earliest
    if stated == len(data) or (earliest <= stated < len(data) and _chunk_at(data, stated)):
        return stated
    return _next_track(data, earliest)


def _next_track(data: bytes, position: int) -> int:
    found = data.find(TRACK, position)
    return len(data) if found < 0 else found


def _is_track(data: bytes, position: int) -> bool:
    """Whether a track's chunk begins here; one byte of its name may be damaged."""
    return (
        len(data) >= position + 8
        and sum(a == b for a, b in zip(data[position : position + 4], TRACK, strict=False)) >= 3
    )


def _chunk_at(data: bytes, position: int) -> bool:
    """Whether a chunk can begin here: a name of letters and digits, and a length that fits."""
    name = data[position : position + 4]
    if len(data) < position + 8 or not name.replace(b" ", b"").isalnum():
        return False
    return name == TRACK or position + 8 + int.from_bytes(data[position + 4 : position + 8]) <= len(data)
