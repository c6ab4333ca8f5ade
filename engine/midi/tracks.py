"""The events of one track chunk, byte by byte. Nothing here fails: what makes no sense is skipped and counted.

mido refuses whole files for one bad byte and needs 700 bytes of memory for every message; this keeps 12.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

META, SYSEX, ESCAPE, END_OF_SYSEX = 0xFF, 0xF0, 0xF7, 0xF7
TEXT, NAME, PORT, END_OF_TRACK, TEMPO = 0x01, 0x03, 0x21, 0x2F, 0x51
NOTE_OFF, NOTE_ON, KEY_PRESSURE, CONTROL, PROGRAM, PRESSURE, BEND = range(8, 15)
SYSTEM_DATA = {0xF1: 1, 0xF2: 2, 0xF3: 1}  # data bytes of system messages; the others have none
TEMPO_MARK, SYSEX_MARK = 0xFF << 24, 0xFE << 24
LAST_PORT = 0x7F
LONGEST_SYSEX = 256  # bytes; the engine has no use for a longer one
MOST_TEXTS = 64
MOST_DIGITS = 5  # bytes of a number; the standard allows four


@dataclass(slots=True)
class Track:
    """A decoded track.

    ticks, words: of every event its time and its content: `port << 24 | status << 16 | data << 8 | data`,
    `TEMPO_MARK | microseconds a quarter note`, or `SYSEX_MARK | index in sysex`.
    sysex: system exclusive messages, each with its port.
    end: tick of the end of the track. stop: place in the file behind it.
    ended: there was an end-of-track event. cut: the bytes end within an event.
    skipped, clipped: messages that made no sense, values that were out of range.
    """

    ticks: array[int] = field(default_factory=lambda: array("q"))
    words: array[int] = field(default_factory=lambda: array("I"))
    sysex: list[tuple[int, bytes]] = field(default_factory=list)
    name: bytes = b""
    texts: list[bytes] = field(default_factory=list)
    end: int = 0
    stop: int = 0
    ended: bool = False
    cut: bool = False
    skipped: int = 0
    clipped: int = 0


def decode_track(data: bytes, start: int, stop: int) -> Track:
    """The events of `data[start:stop]`."""
    return _Decoder(data, start, stop).decode()


class _Decoder:
    def __init__(self, data: bytes, start: int, stop: int) -> None:
        self._data, self._position, self._stop = data, start, stop
        self._track = Track()
        self._tick = 0
        self._port = 0  # shifted to its place in a word
        self._open: bytearray | None = None  # system exclusive that goes on in the next packet

    def decode(self) -> Track:
        """Read up to the end-of-track event or the end of the bytes."""
        track = self._track
        try:
            self._channel_messages()
        except IndexError:
            track.cut = True
        track.end, track.stop = self._tick, min(self._position, self._stop)
        return track

    def _channel_messages(self) -> None:  # noqa: PLR0912  # a call for each of millions of messages takes too long
        """The loop over all events; raises IndexError where the bytes end within one."""
        data, stop, track, status = self._data, self._stop, self._track, 0
        ticks, words = track.ticks.append, track.words.append
        tick, position, resumed = 0, self._position, False  # resumed: at a status byte without a delta time
        kind = two = 0
        while position < stop:
            if not resumed:
                byte = data[position]
                position += 1
                if byte < 0x80:
                    tick += byte
                else:
                    delta, position = self._number(position - 1)
                    tick += delta
                self._tick = tick
            resumed = False
            byte = data[position]
            position += 1
            if byte >= 0x80:
                if byte >= 0xF0:
                    self._position = position
                    self._system(byte)
                    if track.ended:
                        return
                    position = self._position
                    continue
                status, kind, two = byte, byte >> 4, byte >> 4 not in (PROGRAM, PRESSURE)
                byte = data[position]
                position += 1
            elif not status:  # data of no message: go on at the next status byte
                position, resumed = self._next_status(position), True
                continue
            second = 0
            if two:
                second = data[position]
                position += 1
            if position > stop:
                raise IndexError
            if byte > 0x7F or second > 0x7F:
                if self._is_nothing(kind, byte):
                    continue
                byte, second = min(byte, 0x7F), min(second, 0x7F)
            if kind != KEY_PRESSURE:  # the engine has none
                ticks(tick)
                words(self._port | status << 16 | byte << 8 | second)
        self._position = position

    def _next_status(self, position: int) -> int:
        """Where the next status byte is, behind data that belong to no message."""
        self._track.skipped += 1
        while position < self._stop and self._data[position] < 0x80:
            position += 1
        return position

    def _is_nothing(self, kind: int, first: int) -> bool:
        """Whether a message with a value that is no data byte has to be skipped: there is no such key or controller.
        Otherwise the value is clipped."""
        nothing = first > 0x7F and kind in (NOTE_ON, NOTE_OFF, CONTROL)
        self._track.skipped += nothing
        self._track.clipped += not nothing
        return nothing

    def _system(self, status: int) -> None:
        """Meta events, system exclusive, and what has no place in a file."""
        if status == META:
            self._meta()
        elif status in (SYSEX, ESCAPE):
            self._exclusive(status)
        else:
            self._track.skipped += 1
            for _ in range(SYSTEM_DATA.get(status, 0)):
                if self._data[self._position] < 0x80:
                    self._position += 1

    def _meta(self) -> None:
        track, kind = self._track, self._byte()
        if kind == END_OF_TRACK:
            track.ended = True
            self._position = self._stop if self._position >= self._stop else self._number(self._position)[1]
            return
        content = self._content()
        if kind == NAME and not track.name:
            track.name = content
        elif kind == TEXT and len(track.texts) < MOST_TEXTS:
            track.texts.append(content[:LONGEST_SYSEX])
        elif kind == PORT and content:
            self._port = min(content[0], LAST_PORT) << 24
        elif kind == TEMPO and len(content) >= 3:
            self._add(TEMPO_MARK | int.from_bytes(content[:3]))

    def _exclusive(self, status: int) -> None:
        """System exclusive, whole or in packets: those after the first begin with 0xF7."""
        content = self._content()
        if status == SYSEX:
            self._open = bytearray(content[:LONGEST_SYSEX])
        elif self._open is None:
            return  # an escape: messages for a cable
        else:
            self._open += content[: LONGEST_SYSEX - len(self._open)]
        if content[-1:] == bytes([END_OF_SYSEX]):
            if len(self._open) < LONGEST_SYSEX:
                self._add(SYSEX_MARK | len(self._track.sysex))
                self._track.sysex.append((self._port >> 24, bytes(self._open[:-1])))
            self._open = None

    def _add(self, word: int) -> None:
        self._track.ticks.append(self._tick)
        self._track.words.append(word)

    def _content(self) -> bytes:
        """The bytes of a meta event or system exclusive message."""
        length, begin = self._number(self._position)
        if begin + length > self._stop:
            raise IndexError
        self._position = begin + length
        return self._data[begin : begin + length]

    def _byte(self) -> int:
        if self._position >= self._stop:
            raise IndexError
        self._position += 1
        return self._data[self._position - 1]

    def _number(self, position: int) -> tuple[int, int]:
        """A number of variable length, and the place behind it."""
        value = 0
        for _ in range(MOST_DIGITS):
            if position >= self._stop:
                raise IndexError
            byte = self._data[position]
            position += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                break
        return value, position
