"""`musicnn train sliders | loops | oneshots | song | material`: options in, prepared fittings out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from engine.errors import MusicNNError
from training.fit import choose_precision
from training.material import KINDS, make_material
from training.options import Job, add_common, add_precision, cache_of, say

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
ADVERSARY_BETAS = (0.5, 0.99)


def add_generators(recipes: Any, train: Callable[[argparse.Namespace], int]) -> None:
    """Add the recipes that learn from a folder of audio, and the one that makes such a folder."""
    for name, text in DESCRIPTIONS.items():
        parser = recipes.add_parser(name, help=text[0].lower() + text[1:].rstrip("."), description=text)
        parser.add_argument("folder", type=Path, metavar="FOLDER", help="of mp3, wav, flac or ogg files")
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
    say(f"{len(data.whole)} sounds of {len(data.titles)} kinds, {len(data.held_out)} of them held out")
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
    source = {"preset": arguments.preset, "data": settings(corpus)}
    return Job(
        SongTask(config, data, device), DESCRIPTIONS["song"], config.to_json(), config.learning_rate, source, source,
        optimiser=config.optimiser,
    )  # fmt: skip
