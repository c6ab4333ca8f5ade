"""`musicnn train sliders | loops | oneshots | song | material`: options in, prepared fittings out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from engine.errors import MusicNNError
from engine.instrument import CARD_FILE
from engine.library import folder_of, open_instrument
from engine.outputs import write_whole
from training.card import PICTURE, draw_pair, write_card
from training.fit import choose_precision
from training.material import KINDS, make_material
from training.options import Job, add_common, add_precision, cache_of, reason_of, say

DESCRIPTIONS = {
    "sliders": "Sounds from sliders: an autoencoder of spectrograms, and the principal axes of what it knows.",
    "loops": "Bars of rhythm that a network makes, each from a place in a space of bars.",
    "oneshots": "Hits that a network makes, each from a place in a space of hits.",
    "song": "A song that goes on and on: the network writes what could come next.",
}
MODELS = {"loops": ("vae", "gan", "raw", "beat"), "oneshots": ("gan", "lstm-gan")}
MODEL_HELP = {
    "loops": "vae or gan on spectrograms, raw on samples, beat by beat (default vae)",
    "oneshots": "gan on spectrograms, lstm-gan on cepstra (default gan)",
}
FEW_SOUNDS, SHORT_SECONDS = 50, 60.0  # below which the user is told, before the fitting
ADVERSARY_BETAS = (0.5, 0.99)


def add_generators(recipes: Any, train: Callable[[argparse.Namespace], int]) -> None:
    """Add the recipes that learn from a folder of audio, and the one that makes such a folder."""
    for name, text in DESCRIPTIONS.items():
        parser = recipes.add_parser(name, help=text[0].lower() + text[1:].rstrip("."), description=text)
        parser.add_argument("folder", type=Path, metavar="FOLDER", help="of wav, aiff, flac, mp3 or ogg files")
        add_common(parser, name)
        parser.add_argument("--preset", choices=("default", "seed"), default="default",
                            help="seed takes the original document's settings")  # fmt: skip
        if name in MODELS:
            parser.add_argument("--model", choices=MODELS[name], default=MODELS[name][0], help=MODEL_HELP[name])
        add_precision(parser)
        parser.set_defaults(run=train, prepare=_prepare_song if name == "song" else _prepare_pads)
    material = recipes.add_parser(
        "material", help="a folder of audio to try the others on, played by the sampler from patterns of its own",
        description="Make a folder of audio: one-shots of drum kits, loops, sounds or pieces.",
    )  # fmt: skip
    material.add_argument("folder", type=Path, metavar="FOLDER")
    material.add_argument("--kind", choices=KINDS, default="oneshots", help="of files (default oneshots)")
    material.add_argument("--count", type=int, default=480, help="of loops or pieces (default 480)")
    material.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    material.set_defaults(run=_make_material)


def _make_material(arguments: argparse.Namespace) -> int:
    if arguments.count < 1:
        raise MusicNNError("--count must be over 0")
    count = make_material(arguments.folder, arguments.kind, arguments.count, arguments.seed, say)
    say(f"{count} files in {arguments.folder}")
    return 0


def _prepare_pads(arguments: argparse.Namespace, device: torch.device) -> Job:
    from training.corpus import read_corpus, settings  # noqa: PLC0415  # --help should not wait for it
    from training.pictures import bar_data, hit_data, raw_bar_data, top_db  # noqa: PLC0415
    from training.recipes.generate import GenerateTask  # noqa: PLC0415
    from training.recipes.presets import PRESETS  # noqa: PLC0415

    model = getattr(arguments, "model", "autoencoder")
    precision, reason = choose_precision(arguments.precision, device)
    say(reason)
    config = replace(PRESETS[arguments.recipe][model][arguments.preset], precision=precision)
    corpus = read_corpus(arguments.folder, cache_of(arguments), say)
    for line in corpus.statistics():
        say(line)
    bands = config.transform()
    loudest = 0.0 if bands is None else top_db(corpus, bands)
    bands = config.transform(loudest)
    if bands is None:
        data = raw_bar_data(corpus, config.frames, say)
    elif config.loop:
        data = bar_data(corpus, bands, config.frames, say)
    else:
        data = hit_data(corpus, bands, config.frames)
    count, held = len(data.whole), len(data.held_out)
    say(f"{count} sounds of {len(data.titles)} kinds, {held if held < count else 'none'} of them held out")
    if count < FEW_SOUNDS:
        say(f"{count} sounds are few: what is made will hardly differ from them; a hundred or more are better")
    source = {"model": model, "preset": arguments.preset, "data": settings(corpus)}
    return Job(
        GenerateTask(config, data, loudest, device), DESCRIPTIONS[arguments.recipe], config.to_json(),
        config.learning_rate, source, source, ADVERSARY_BETAS if config.adversary else (0.9, 0.999),
    )  # fmt: skip


def _prepare_song(arguments: argparse.Namespace, device: torch.device) -> Job:
    from training.corpus import read_corpus, settings  # noqa: PLC0415
    from training.recipes.song import PRESETS, SongTask, song_data  # noqa: PLC0415

    precision, reason = choose_precision(arguments.precision, device)
    say(reason)
    config = replace(PRESETS[arguments.preset], precision=precision)
    corpus = read_corpus(arguments.folder, cache_of(arguments), say, least=1)
    for line in corpus.statistics():
        say(line)
    data = song_data(corpus, config, say)
    if corpus.seconds < SHORT_SECONDS:
        say(f"{corpus.length} is short: what is made will hardly differ from it; ten minutes or more are better")
    source = {"preset": arguments.preset, "data": settings(corpus)}
    return Job(
        SongTask(config, data, device), DESCRIPTIONS["song"], config.to_json(), config.learning_rate, source, source,
        optimiser=config.optimiser,
    )  # fmt: skip


def evaluate_on_folder(arguments: argparse.Namespace) -> int:
    """`musicnn evaluate INSTRUMENT FOLDER`: what pads or a song play, against the audio that they learned from."""
    from training.corpus import read_corpus  # noqa: PLC0415
    from training.evaluate_generated import evaluate_generated, examples  # noqa: PLC0415

    instrument = open_instrument(arguments.instrument)
    if instrument.kind == "keys":
        raise MusicNNError(f"{instrument.name} is an instrument of keys: it is measured on MIDI files, not on a folder")
    if len(arguments.files) > 1:
        raise MusicNNError("name one folder of audio")
    corpus = read_corpus(arguments.files[0], cache_of(arguments), say)
    result = {"folder": arguments.files[0].name, **evaluate_generated(instrument, corpus, say)}
    if arguments.card:
        folder = folder_of(arguments.instrument)
        try:
            made, data = examples(instrument, corpus, say)
            draw_pair(made, data, folder / PICTURE, instrument.sample_rate, instrument.title)
            write_whole(folder / CARD_FILE, write_card(instrument.title, instrument.metadata, [result]))
        except OSError as error:
            raise MusicNNError(f"{folder} cannot be written: {reason_of(error)}") from error
    if arguments.json:
        print(json.dumps([result], indent=1))
    else:
        for name, value in result.items():
            print(f"{name:>20}  {value:.3f}" if isinstance(value, float) else f"{name:>20}  {value}")
    return 0


def add_study(commands: Any) -> None:
    """Add `study` to the program's commands."""
    parser = commands.add_parser("study", help="experiments that print a table and draw a picture")
    studies = parser.add_subparsers(dest="study", required=True, metavar="STUDY")
    griffin_lim = studies.add_parser(
        "griffin-lim", help="sound of magnitudes: frame lengths, rounds, methods",
        description="Take the phases from a sound's spectrogram and find them again, in every way.",
    )  # fmt: skip
    griffin_lim.add_argument("file", type=Path, metavar="FILE", help="of audio; its first seconds are used")
    griffin_lim.add_argument("--picture", type=Path, metavar="OUT.png", help="draw it too")
    griffin_lim.add_argument("--json", action="store_true", help="print JSON")
    griffin_lim.set_defaults(run=_study_griffin_lim)


def _study_griffin_lim(arguments: argparse.Namespace) -> int:
    from training.studies.griffin_lim import draw, study, table  # noqa: PLC0415

    rows = study(arguments.file, say)
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        print("\n".join(table(rows)))
    if arguments.picture is not None:
        try:
            draw(rows, arguments.picture)
        except (OSError, ValueError) as error:
            raise MusicNNError(f"{arguments.picture} cannot be drawn: {reason_of(error)}") from error
    return 0
