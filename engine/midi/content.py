"""What a score asks for, and what of it an instrument does not play: said before it is missed."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import InputFileError
from engine.midi.endings import play_through
from engine.midi.events import Kind
from engine.midi.files import Score
from engine.midi.programs import PIANOS, PROGRAMS

MOST_NAMED = 4
PADS = "pads"  # the kind of instrument that plays drum parts


def music_seconds(score: Score) -> float:
    """When the last note is let go by its key and the pedals."""
    return play_through(score.events).released / score.sample_rate


def programs(score: Score) -> dict[int, list[int]]:
    """Of every channel with notes the programs (0-127) that they are played with, in order."""
    now: dict[int, int] = {}
    used: dict[int, list[int]] = {}
    for event in score.events:
        if event.kind is Kind.PROGRAM:
            now[event.channel] = event.number
        elif event.kind is Kind.NOTE_ON:
            own = used.setdefault(event.channel, [])
            program = now.get(event.channel, 0)
            if program not in own:
                own.append(program)
    return dict(sorted(used.items()))


def not_followed(score: Score, kind: str, parts: Mapping[int, str]) -> list[str]:
    """What of a score will not sound as it asks for, a sentence each.

    kind: of the main instrument. parts: kinds of the instruments that channels (0-15) have of their own.
    Raises InputFileError where nothing would sound.
    """
    used = programs(score)
    own = {channel: parts.get(channel, parts.get(9, kind) if channel in score.drums else kind) for channel in used}
    silent = [channel for channel in used if channel in score.drums and own[channel] != PADS]
    if silent and len(silent) == len(used):
        raise InputFileError(
            f"the score holds only drums, {_channels(silent)}: an instrument of pads, such as drums, plays them"
        )
    said = []
    if silent:
        said.append(f"the drums, {_channels(silent)}, are not played: give them an instrument of pads of their own")
    asked = [
        f"{PROGRAMS[program]} (channel {channel + 1})"
        for channel, numbers in used.items()
        for program in numbers
        if channel not in score.drums and channel not in parts and program not in PIANOS
    ]
    if asked:
        more = f" and {len(asked) - MOST_NAMED} more" if len(asked) > MOST_NAMED else ""
        said.append(f"programs are not followed, one instrument plays all: {', '.join(asked[:MOST_NAMED])}{more}")
    return said


def _channels(channels: list[int]) -> str:
    return f"channel{'s' * (len(channels) > 1)} {', '.join(str(channel + 1) for channel in channels)}"
