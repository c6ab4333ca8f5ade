"""`musicnn`: the program's commands. Results go to standard output, everything else to standard error."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.audio.output import BLOCK_SIZES
from engine.errors import InputFileError, MusicNNError
from engine.stopping import exit_status, stopping
from musicnn_gui.inspecting import add_inspect

if TYPE_CHECKING:
    from engine.instrument import Instrument

DESCRIPTION = "A desktop instrument whose sound a neural network makes while you play."
BROKEN_PIPE = 128 + 13  # exit status, as of a program that SIGPIPE has ended
EPILOG = "Without a command, the window opens. 'musicnn COMMAND --help' tells more of each."


def build_parser() -> argparse.ArgumentParser:
    """Every command and option."""
    from training.cli import add_parsers  # noqa: PLC0415  # the window opens without it

    parser = argparse.ArgumentParser("musicnn", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"musicnn {version('musicnn')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    play = commands.add_parser("play", help="open the window (the default)", description="Open the window.")
    _add_play(play)
    render = commands.add_parser(
        "render", help="render a MIDI file", description="Render a MIDI file into a .wav (24 bit) or .flac file."
    )
    render.add_argument("input", type=Path, metavar="IN.mid")
    render.add_argument("output", type=Path, metavar="OUT.wav")
    render.add_argument("--instrument", default="piano", metavar="NAME", help="name or folder (default piano)")
    render.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE", help="set a knob; repeatable")
    render.add_argument("--preset", metavar="NAME", help="a named place of the latent knobs")
    render.add_argument(
        "--part", action="append", default=[], metavar="CHANNEL=NAME",
        help="an instrument for one channel (1-16) alone; channel 10 has drums; repeatable",
    )  # fmt: skip
    render.add_argument("--rate", type=int, metavar="HZ", help="sample rate of the file (default 44100)")
    render.add_argument("--no-limiter", action="store_true", help="leave peaks as they are")
    render.set_defaults(run=_render)
    add_inspect(commands)
    _add_instruments(commands)
    add_parsers(commands)
    bench = commands.add_parser(
        "bench", help="measure what playing costs",
        description="render, voices: time to render over time rendered. live: the running program on a JACK server of "
        "its own (packages jackd2 and JACK-Client): latency, xruns, voices, load, memory.",
    )  # fmt: skip
    bench.add_argument("what", choices=("render", "voices", "live"), help="a whole score, held notes, or the program")
    bench.add_argument("--instrument", default="piano", metavar="NAME", help="name or folder (default piano)")
    bench.add_argument("--file", type=Path, metavar="FILE.mid", help="score to render or play (default: the demo)")
    bench.add_argument("--json", action="store_true", help="print JSON")
    bench.add_argument("--block", type=int, default=128, choices=BLOCK_SIZES, help="live: of the device")
    bench.add_argument("--rate", type=int, default=48_000, metavar="HZ", help="live: of the device")
    bench.add_argument("--minutes", type=float, default=10.0, help="live: how long the score is played")
    bench.add_argument("--part", action="append", metavar="NAME", help="live: only this measurement; repeatable")
    bench.add_argument("--short", action="store_true", help="live: a quick look instead of figures")
    bench.set_defaults(run=_bench)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status. What goes wrong is said in one sentence."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if isinstance(sys.stdout, io.TextIOWrapper):  # titles may hold what the terminal's encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words[0] if words else ""
    if command.startswith("--") and command not in ("--help", "--version"):
        words = ["play", *words]  # its options alone
    if not words or words[0] == "play":
        parser = argparse.ArgumentParser("musicnn play", description=DESCRIPTION)
        _add_play(parser)
        parsed = parser.parse_args(words[1:])
    else:
        parsed = build_parser().parse_args(words)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    try:
        with stopping():
            status: int = parsed.run(parsed)
            sys.stdout.flush()
        return status
    except MusicNNError as error:
        print(f"musicnn: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print("musicnn: stopped", file=sys.stderr)
        return exit_status(error)
    except BrokenPipeError:
        _close_output()
        return BROKEN_PIPE
    except OSError as error:  # of standard output, or a place that no command has foreseen
        print(f"musicnn: {error.filename or 'the output'}: {error.strerror or error}", file=sys.stderr)
        _close_output()
        return 1


def _close_output() -> None:
    """What could not be written is not tried again when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _add_play(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE.mid", help="score to open")
    parser.add_argument("--instrument", metavar="NAME", help="name or folder (default: the last one)")
    parser.add_argument("--block", type=int, choices=BLOCK_SIZES, help="samples in a block (default: the last)")
    parser.add_argument("--play", action="store_true", help="start the score at once")
    parser.add_argument(
        "--meters", type=Path, metavar="FILE", help="write how it goes into a file, a JSON line each 0.5 s"
    )
    parser.add_argument("--quit-when-ready", action="store_true", help="say 'ready' and leave: for tests")
    parser.set_defaults(run=_play)


def _play(arguments: argparse.Namespace) -> int:
    try:
        import PySide6.QtWidgets  # noqa: F401, PLC0415  # slow to import; the first to say which library is missing

        from musicnn_gui.app import PlayOptions, run  # noqa: PLC0415
    except ImportError as error:
        raise MusicNNError(f"the window cannot be opened: {error}") from error

    options = PlayOptions(
        arguments.file,
        arguments.instrument,
        arguments.block,
        arguments.play,
        arguments.meters,
        arguments.quit_when_ready,
    )
    return run(options)


def _render(arguments: argparse.Namespace) -> int:
    from engine.knobs import MASTER, parse_settings  # noqa: PLC0415
    from engine.midi.content import not_followed  # noqa: PLC0415
    from engine.midi.files import read_score  # noqa: PLC0415
    from engine.render import RenderOptions, render_file  # noqa: PLC0415
    from engine.threads import prepare_thread  # noqa: PLC0415

    prepare_thread()
    instrument = _opened(arguments.instrument)
    try:
        knobs = parse_settings(arguments.knob, (*MASTER, *instrument.knobs))
        if arguments.preset is not None:
            knobs = _preset(instrument, arguments.preset) | knobs
    except ValueError as error:
        raise MusicNNError(str(error)) from error
    score = read_score(arguments.input, instrument.sample_rate)
    parts = dict(_part(text) for text in arguments.part)
    missing = not_followed(score, instrument.kind, {channel: part.kind for channel, (part, _) in parts.items()})
    for warning in (*score.warnings, *missing):
        print(f"musicnn: {arguments.input.name}: {warning}", file=sys.stderr)
    options = RenderOptions(knobs, limiter=not arguments.no_limiter, rate=arguments.rate, parts=parts)
    bar = _Bar(f"{arguments.input.name} -> {arguments.output.name}")
    warnings: list[str] = []
    try:
        render_file(score, instrument, arguments.output, options, bar.show, warnings.append)
    finally:
        bar.end()
    for warning in warnings:
        _warn(warning)
    return 0


def _warn(text: str) -> None:
    print(f"musicnn: {text}", file=sys.stderr)


def _opened(name: str) -> Instrument:
    """An instrument; what is wrong with others of its name is said."""
    from engine.library import open_first  # noqa: PLC0415

    opened = open_first(name)
    if opened.notice:
        _warn(opened.notice)
    return opened.instrument


def _part(text: str) -> tuple[int, tuple[Instrument, dict[str, float]]]:
    """The channel, from 0 on, and the instrument that "CHANNEL=NAME" says."""
    from engine.instrument import check_part  # noqa: PLC0415

    number, _, name = text.partition("=")
    if not name or not number.isdecimal() or not 1 <= int(number) <= 16:
        raise MusicNNError(f"--part needs a channel in 1..16, '=' and an instrument, not {text!r}")
    channel, instrument = int(number) - 1, _opened(name)
    check_part(channel, instrument)
    return channel, (instrument, {})


def _preset(instrument: Instrument, name: str) -> dict[str, float]:
    if name not in instrument.presets:
        names = ", ".join(instrument.presets) or "none"
        raise ValueError(f"{instrument.name} has no preset {name!r} (it has: {names})")
    return dict(instrument.presets[name])


class _Bar:
    """A percentage on a terminal; nothing elsewhere."""

    def __init__(self, title: str) -> None:
        self._title, self._shown = title, -1
        self._visible = sys.stderr.isatty()

    def show(self, done: float) -> bool:
        percent = int(100 * done)
        if self._visible and percent != self._shown:
            self._shown = percent
            print(f"\r{self._title}  {percent:3d} %", end="", file=sys.stderr, flush=True)
        return True

    def end(self) -> None:
        if self._visible:
            print(file=sys.stderr)


def _add_instruments(commands: Any) -> None:
    instruments = commands.add_parser(
        "instruments", help="list and check instruments", description="List the instruments, or check one."
    )
    instruments.add_argument("--json", action="store_true", help="print JSON")
    instruments.set_defaults(run=_list)
    actions = instruments.add_subparsers(dest="action", metavar="ACTION")
    check = actions.add_parser("check", help="say what is wrong with an instrument", description="Load and prove one.")
    check.add_argument("path", metavar="PATH", help="folder of an instrument, or its name")
    check.set_defaults(run=_check)


def _list(arguments: argparse.Namespace) -> int:
    from engine.description import cost_in, presets_of  # noqa: PLC0415
    from engine.knobs import KNOBS  # noqa: PLC0415
    from engine.library import instruments  # noqa: PLC0415

    rows = []
    for entry in instruments():
        if entry.description is None:
            print(f"musicnn: {entry.problem}", file=sys.stderr)
            continue
        knobs = [
            {"name": k.name, "title": k.title, "low": k.low, "high": k.high, "default": k.default, "unit": k.unit}
            for k in (KNOBS[name] for name in entry.description["knobs"])
        ]
        rows.append(
            {
                "name": entry.name, "kind": entry.description["kind"], "title": entry.description["title"],
                "knobs": knobs, "folder": str(entry.folder), "keys": entry.description["keys"],
                "presets": presets_of(entry.description), "cost": cost_in(entry.description),
                "metadata": entry.description["metadata"],
            }
        )  # fmt: skip
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        print(f"{row['name']:<20} {row['kind']:<6} {row['title']}")
        print(f"{'':<20} knobs: {', '.join(knob['name'] for knob in row['knobs'])}")
    if not rows:
        print("no instruments were found", file=sys.stderr)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from engine.instrument import load_instrument, prove  # noqa: PLC0415
    from engine.library import folder_of  # noqa: PLC0415

    folder = folder_of(arguments.path)  # a broken one of that name, although another would be played
    instrument = load_instrument(folder)
    error_db = prove(instrument, folder)
    print(f"{instrument.name} is sound: {instrument.title}, keys {instrument.keys[0]}-{instrument.keys[-1]}, "
          f"proof reproduced to {error_db:.0f} dB")  # fmt: skip
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    from engine.benchmark import bench_render, bench_voices  # noqa: PLC0415
    from engine.library import open_instrument  # noqa: PLC0415
    from engine.midi.files import read_score  # noqa: PLC0415
    from musicnn_gui.assets import DEMO  # noqa: PLC0415

    if arguments.what == "live":
        return _bench_live(arguments)
    instrument = open_instrument(arguments.instrument)
    if arguments.what == "voices":
        if arguments.file is not None:
            raise InputFileError("bench voices plays held notes, no file")
        rows = bench_voices(instrument)
    else:
        rows = [bench_render(instrument, read_score(arguments.file or DEMO, instrument.sample_rate))]
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            print("  ".join(f"{name} {value}" for name, value in row.items()))
    return 0


def _bench_live(arguments: argparse.Namespace) -> int:
    from musicnn_gui.live_bench import PARTS, LiveBenchOptions, run_live_bench  # noqa: PLC0415

    options = LiveBenchOptions(
        rate=arguments.rate, block=arguments.block, score=arguments.file, score_minutes=arguments.minutes,
        parts=tuple(arguments.part or PARTS), short=arguments.short,
    )  # fmt: skip
    results = run_live_bench(options)
    if arguments.json:
        print(json.dumps(results, indent=1))
        return 0
    for part, row in results.items():
        print(part)
        for name, value in row.items():
            print(f"  {name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
