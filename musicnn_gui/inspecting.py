"""`musicnn inspect`: what is in a MIDI file."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

from engine.description import SAMPLE_RATE


def add_inspect(commands: Any) -> None:
    """Register the command."""
    inspect = commands.add_parser(
        "inspect", help="say what is in a MIDI file",
        description="Notes, length, tracks, programs of a MIDI file, and what was mended to read it.",
    )  # fmt: skip
    inspect.add_argument("input", type=Path, metavar="FILE.mid")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    inspect.set_defaults(run=_inspect)


def contents(path: Path) -> dict[str, Any]:
    """What is in a file. Raises InputFileError where nothing in it can be played."""
    from engine.midi.content import music_seconds, programs  # noqa: PLC0415
    from engine.midi.files import read_score  # noqa: PLC0415
    from engine.midi.programs import PROGRAMS  # noqa: PLC0415

    score = read_score(path, SAMPLE_RATE)
    used = programs(score)
    return {
        "notes": score.notes,
        "seconds": round(music_seconds(score), 3),
        "length": round(score.seconds, 3),
        "title": score.title,
        "tracks": [
            {"title": track.title, "channel": track.channel + 1, "notes": track.notes} for track in score.tracks
        ],
        "channels": [channel + 1 for channel in used],
        "drums": [channel + 1 for channel in sorted(score.drums)],
        "programs": {
            str(channel + 1): [
                {
                    "program": number + 1,
                    "name": f"Drum kit {number + 1}" if channel in score.drums else PROGRAMS[number],
                }
                for number in numbers
            ]
            for channel, numbers in used.items()
        },
        "repairs": [warning[:1].upper() + warning[1:] + "." for warning in score.warnings],
    }


def _inspect(arguments: argparse.Namespace) -> int:
    found = contents(arguments.input)
    if arguments.json:
        print(json.dumps(found, indent=1, ensure_ascii=True))
        return 0
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal need not have the letters of every title
    print(f"title     {found['title'] or '(none)'}")
    print(f"length    {found['seconds']:.3f} s, {found['notes']} notes")
    for track in found["tracks"]:
        print(f"track     {track['title']}: channel {track['channel']}, {track['notes']} notes")
    for channel, asked in found["programs"].items():
        print(f"program   channel {channel}: {', '.join(program['name'] for program in asked)}")
    for sentence in found["repairs"]:
        print(f"repaired  {sentence}")
    return 0
