"""`musicnn train` and `musicnn evaluate`: options in, words and files out."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from engine.errors import MusicNNError
from engine.instrument import CARD_FILE, Instrument, save_instrument
from engine.knobs import parse_settings
from engine.library import folder_of, open_instrument, user_folder
from engine.networks.recurrent import CELLS, width_of
from engine.outputs import write_whole
from engine.stopping import exit_status
from training.card import PICTURE, PICTURE_SECONDS, draw_spectrograms, write_card
from training.cli_generate import add_generators, add_study, evaluate_on_folder
from training.fast_cells import use_fast_cells
from training.fit import FitConfig, Progress, check_free, choose_device, choose_precision, fit
from training.options import (
    Job,
    add_common,
    add_precision,
    add_program,
    cache_folder,
    cache_of,
    reason_of,
    sampled,
    say,
)  # fmt: skip


def add_parsers(commands: Any) -> None:
    """Add `train`, `evaluate` and `study` to the program's commands."""
    parser = commands.add_parser(
        "train", help="fit an instrument", description="Fit an instrument. The recipe says from what and how."
    )
    recipes = parser.add_subparsers(dest="recipe", required=True, metavar="RECIPE")
    _add_keyed(recipes)
    add_generators(recipes, train)
    _add_evaluate(commands)
    add_study(commands)


def _add_keyed(recipes: Any) -> None:
    keys = recipes.add_parser(
        "keys",
        help="a keyed instrument from a sampler: partials, all velocities, live",
        description="Fit a keyed instrument to one program of a General MIDI SoundFont.",
    )
    add_common(keys, "keys")
    add_program(keys)
    keys.add_argument("--first-key", type=int, default=21, metavar="KEY", help="lowest MIDI key (default 21)")
    keys.add_argument("--last-key", type=int, default=108, metavar="KEY", help="highest MIDI key (default 108)")
    _add_cells(keys)
    add_precision(keys)
    keys.set_defaults(run=train, prepare=_prepare_keys)
    morph = recipes.add_parser(
        "morph",
        help="many timbres in one network, and the space between them",
        description="Fit one network to many General MIDI programs; latent knobs move between them.",
    )
    add_common(morph, "morph")
    add_program(morph)
    morph.add_argument("--timbres", metavar="PROGRAM,...", help="General MIDI programs (default: 22 of all families)")
    morph.add_argument("--dims", type=int, default=8, help="dimensions of the space (default 8)")
    _add_cells(morph)
    add_precision(morph)
    morph.set_defaults(run=train, prepare=_prepare_morph)
    nnss = recipes.add_parser(
        "nnss",
        help="Neural Spectral Synthesis as its author described it",
        description="Fit nnss: two sines in, complex bins out. --preset seed takes the original's settings.",
    )
    add_common(nnss, "nnss")
    add_program(nnss)
    nnss.add_argument("--preset", choices=("live", "seed"), default="live", help="settings to begin with")
    nnss.add_argument("--hidden", type=int, help="cells in each direction of each layer")
    nnss.add_argument("--layers", type=int, help="recurrent layers")
    nnss.add_argument("--cell", choices=("lstm", "gru"), help="kind of recurrent cell")
    nnss.add_argument("--length", type=int, help="samples in a frame, at 44.1 kHz")
    nnss.add_argument("--hop", type=int, help="samples between frames, at 44.1 kHz")
    nnss.add_argument("--bins", type=int, help="of a frame that are kept, from 0 Hz up")
    nnss.add_argument("--window", choices=("hann", "kaiser"), help="window of the transform")
    nnss.add_argument("--oversampling", type=int, help="times 44.1 kHz")
    nnss.add_argument("--power", type=float, help="of the magnitudes")
    nnss.add_argument("--context", type=int, help="frames of look-ahead; 0: the whole note, not playable live")
    nnss.set_defaults(run=train, prepare=_prepare_nnss)


def _add_cells(recipe: argparse.ArgumentParser) -> None:
    recipe.add_argument("--hidden", type=int, default=128, help="cells in each direction of each layer (default 128)")
    recipe.add_argument("--cell", choices=CELLS, default="complex_lstm",
                        help="kind of recurrent cell (default complex_lstm)")  # fmt: skip


def _cells(arguments: argparse.Namespace) -> dict[str, Any]:
    """Sizes of the network; a front layer is as wide as the state."""
    if arguments.cell == "complex_lstm":
        say(use_fast_cells(cache_of(arguments)))
    return {"front": width_of(arguments.cell, arguments.hidden), "hidden": arguments.hidden, "cell": arguments.cell}


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="measure an instrument against its teacher",
        description="Render MIDI files with an instrument and with the sampler that it learned from, and compare.",
    )
    evaluate.add_argument("instrument", metavar="INSTRUMENT", help="name of an instrument, or a folder")
    evaluate.add_argument("files", nargs="*", type=Path, metavar="FILE.mid",
                          help="scores to compare on; for pads and songs their folder of audio")  # fmt: skip
    evaluate.add_argument("--keys", action="store_true", help="also every key for itself: pitch, onset, attack")
    evaluate.add_argument("--notes", type=int, default=0, metavar="N", help="also N random single notes")
    evaluate.add_argument("--timbres", type=int, default=0, metavar="N", help="also N notes of every learned timbre")
    evaluate.add_argument("--axes", action="store_true", help="also what each latent knob changes")
    evaluate.add_argument("--points", type=int, default=0, metavar="N", help="also N random points between the timbres")
    evaluate.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE",
                          help="measure with a knob turned: what a part of the sound adds")  # fmt: skip
    evaluate.add_argument("--card", action="store_true", help="write the figures and a picture into its model card")
    evaluate.add_argument("--cache", type=Path, metavar="FOLDER", help="decoded audio (default: your cache folder)")
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    evaluate.set_defaults(run=_evaluate)


def train(arguments: argparse.Namespace) -> int:
    """Fit what a recipe prepares, and save it."""
    device, reason = choose_device(arguments.device)
    say(reason)
    run = arguments.run_folder or cache_folder() / "runs" / arguments.name
    check_free(run)
    if not 0 <= getattr(arguments, "program", 0) <= 127:
        raise MusicNNError(f"program {arguments.program} is not in 0..127")
    torch.manual_seed(arguments.seed)
    torch.set_flush_denormal(True)
    try:
        minutes = 60.0 if arguments.minutes is None and arguments.steps is None else arguments.minutes
        given = {} if arguments.learning_rate is None else {"learning_rate": arguments.learning_rate}
        config = FitConfig(steps=arguments.steps, minutes=minutes, seed=arguments.seed, **given)
        job: Job = arguments.prepare(arguments, device)
        config = replace(config, betas=job.betas, optimiser=job.optimiser)
        config = config if given else replace(config, learning_rate=job.learning_rate)
    except ValueError as error:
        raise MusicNNError(str(error)) from error
    except (OSError, SafetensorError) as error:
        raise MusicNNError(f"{cache_of(arguments)} cannot be used for data: {reason_of(error)}") from error
    say(f"checkpoints and loss curve in {run}")
    said = {"recipe": arguments.recipe, "seed": arguments.seed, **job.tag, "config": job.config}
    try:
        progress = fit(job.task, run, config, say, json.dumps(said, sort_keys=True))
    except KeyboardInterrupt as error:
        say(f"stopped; the same command goes on from {run}")
        return exit_status(error)
    except (OSError, SafetensorError) as error:
        raise MusicNNError(f"{run} cannot be written: {reason_of(error)}") from error
    folder = _save(arguments, job, config, progress, run, str(device))
    say(f"saved {folder}")
    return 0


def _save(
    arguments: argparse.Namespace, job: Job, config: FitConfig, progress: Progress, run: Path, device: str
) -> Path:
    held_out = progress.figures[-1][1] if progress.figures else {}
    training = {
        "recipe": arguments.recipe, **job.source,
        "seed": arguments.seed, "steps": progress.step, "minutes": round(progress.seconds / 60, 1), "device": device,
        "learning_rate": config.learning_rate, "held_out": held_out, "config": job.config,
    }  # fmt: skip
    metadata: dict[str, Any] = {
        "author": arguments.author, "licence": arguments.licence, "description": job.description,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(), "training": training,
    }  # fmt: skip
    title = arguments.title or arguments.name
    from training.loudness import matched  # noqa: PLC0415  # playing needs none of what it imports

    instrument = matched(job.task.instrument(arguments.name, title, metadata))
    folder: Path = (arguments.out or user_folder()) / arguments.name
    try:
        save_instrument(instrument, folder, write_card(title, metadata, []))
        shutil.copyfile(run / "loss.png", folder / "loss.png")
    except (OSError, SafetensorError) as error:
        raise MusicNNError(f"{folder} cannot be written: {reason_of(error)}") from error
    return folder


def _prepare_keys(arguments: argparse.Namespace, device: torch.device) -> Job:
    from training.notes import NotesConfig, make_notes  # noqa: PLC0415  # --help should not wait for librosa
    from training.recipes.keys import KeysConfig, KeysTask  # noqa: PLC0415

    if not 0 <= arguments.first_key < arguments.last_key <= 127:
        raise MusicNNError("--first-key and --last-key are MIDI keys, the first below the last")
    notes = NotesConfig(
        program=arguments.program, first_key=arguments.first_key, last_key=arguments.last_key, seed=arguments.seed
    )
    precision, reason = choose_precision(arguments.precision, device)
    say(reason)
    config = KeysConfig(notes=notes, noise_bands=notes.noise, precision=precision, **_cells(arguments))
    data, exponent = make_notes(notes, cache_of(arguments), say)
    null = sum(key.null_db for key in data) / len(data)
    say(f"{sum(len(key.notes) for key in data)} notes of {len(data)} keys; the analysis alone nulls at {null:.1f} dB")
    description = f"General MIDI program {arguments.program} of FluidR3, written by a network note by note."
    return Job(
        KeysTask(config, data, exponent, device), description, config.to_json(), 3e-3, **sampled(arguments.program)
    )


def _prepare_morph(arguments: argparse.Namespace, device: torch.device) -> Job:
    from training.recipes.morph import MorphConfig, MorphTask  # noqa: PLC0415
    from training.timbres import PROGRAMS, TimbresConfig, make_timbres  # noqa: PLC0415

    programs = dict(PROGRAMS)
    if arguments.timbres is not None:
        names = {program: name for name, program in PROGRAMS.items()}
        try:
            wanted = [int(word) for word in arguments.timbres.split(",")]
        except ValueError:
            raise MusicNNError("--timbres are General MIDI programs with commas between them") from None
        if len(wanted) < 2 or not all(0 <= program <= 127 for program in wanted):
            raise MusicNNError("--timbres needs two or more programs in 0..127")
        programs = {names.get(program, f"program {program}"): program for program in wanted}
    timbres = TimbresConfig(programs=programs, seed=arguments.seed)
    precision, reason = choose_precision(arguments.precision, device)
    say(reason)
    config = MorphConfig(timbres=timbres, dims=arguments.dims, precision=precision, **_cells(arguments))
    data = make_timbres(timbres, cache_of(arguments), say)
    null = sum(key.null_db for key in data) / len(data)
    say(f"{len(data)} keys of {len(programs)} timbres; the analysis alone nulls at {null:.1f} dB")
    description = "Many timbres of FluidR3 in one network, and everything that lies between them."
    return Job(MorphTask(config, data, device), description, config.to_json(), 3e-3, **sampled(-1))


def _prepare_nnss(arguments: argparse.Namespace, device: torch.device) -> Job:
    from training.recipes.nnss import PRESETS, NnssTask  # noqa: PLC0415

    config = replace(PRESETS[arguments.preset], program=arguments.program)
    names = {field.name for field in dataclasses.fields(config)} - {"program", "learning_rate"}
    given = {name: getattr(arguments, name, None) for name in names}
    config = replace(config, **{name: value for name, value in given.items() if value is not None})
    if arguments.bins is None:  # a shorter frame has fewer
        config = replace(config, bins=min(config.bins, max(1, config.length * config.oversampling // 2)))
    description = "Neural Spectral Synthesis: two sines in, complex spectrum bins out."
    return Job(
        NnssTask(config, device), description, config.to_json(), config.learning_rate, **sampled(arguments.program)
    )


def _evaluate(arguments: argparse.Namespace) -> int:
    if any(path.is_dir() for path in arguments.files):
        return evaluate_on_folder(arguments)
    beside_teacher = bool(arguments.files or arguments.keys or arguments.notes)
    space = bool(arguments.timbres or arguments.axes or arguments.points)
    if not beside_teacher and not space:
        raise MusicNNError("nothing to evaluate: name MIDI files, or ask for --keys or --notes N")
    instrument = open_instrument(arguments.instrument)
    if instrument.kind != "keys":
        raise MusicNNError(
            f"{instrument.name} is measured against a folder of audio: name the one that it learned from"
        )
    if space and not instrument.presets:
        raise MusicNNError(f"{instrument.name} has one timbre: --timbres, --axes and --points are for many")
    if arguments.knob and arguments.card:
        raise MusicNNError("a card tells how an instrument sounds as it is: leave out --knob or --card")
    try:
        knobs = parse_settings(arguments.knob, instrument.knobs)
    except ValueError as error:
        raise MusicNNError(str(error)) from error
    results: list[dict[str, Any]] = _evaluate_space(arguments, instrument, knobs) if space else []
    if beside_teacher:
        results += _evaluate_beside(arguments, instrument, knobs)
    if arguments.card:
        _write_card(arguments, instrument, results)
    if arguments.json:
        print(json.dumps(_finite(results), indent=1))
    return 0


def _write_card(arguments: argparse.Namespace, instrument: Instrument, results: list[dict[str, Any]]) -> None:
    from training.evaluate import both_renderings, open_teacher  # noqa: PLC0415
    from training.evaluate_space import tour  # noqa: PLC0415

    folder = folder_of(arguments.instrument)
    try:
        if arguments.files:
            with open_teacher(instrument) as teacher:
                sound, wanted = both_renderings(instrument, arguments.files[0], teacher)
            title, seconds = arguments.files[0].name, PICTURE_SECONDS
        elif instrument.presets:
            sound, wanted = tour(instrument)
            title = f"three keys each of {', '.join(instrument.presets)}"
            seconds = len(sound) / instrument.sample_rate
        if arguments.files or instrument.presets:
            draw_spectrograms(sound, wanted, folder / PICTURE, instrument.sample_rate, title, seconds)
        write_whole(folder / CARD_FILE, write_card(instrument.title, instrument.metadata, results))
    except OSError as error:
        raise MusicNNError(f"{folder} cannot be written: {error.strerror or error}") from error


def _evaluate_space(
    arguments: argparse.Namespace, instrument: Instrument, knobs: Mapping[str, float]
) -> list[dict[str, Any]]:
    from training.evaluate_space import evaluate_axes, evaluate_points, evaluate_timbres  # noqa: PLC0415

    results: list[dict[str, Any]] = []
    if arguments.timbres:
        results.append(evaluate_timbres(instrument, arguments.timbres, knobs))
        for name, row in results[-1]["timbres"].items():
            _show({name: row}, arguments.json)
        _show({"mean": results[-1]["mean"]}, arguments.json)
    if arguments.axes:
        results.append({"axes_logmel_change_db": evaluate_axes(instrument)})
        _show(results[-1], arguments.json)
    if arguments.points:
        results.append(evaluate_points(instrument, arguments.points))
        _show(results[-1], arguments.json)
    return results


def _evaluate_beside(
    arguments: argparse.Namespace, instrument: Instrument, knobs: Mapping[str, float]
) -> list[dict[str, Any]]:
    from training.evaluate import (  # noqa: PLC0415
        evaluate_file,
        evaluate_keys,
        evaluate_notes,
        open_teacher,
        uneven_db,
    )

    results: list[dict[str, Any]] = []
    with open_teacher(instrument) as teacher:
        for path in arguments.files:
            results.append(evaluate_file(instrument, path, teacher, knobs))
            _show(results[-1], arguments.json)
        if arguments.keys:
            rows = [dataclasses.asdict(row) for row in evaluate_keys(instrument, teacher, instrument.keys)]
            steps = {
                "worst_onset_step_db": max(row["onset_step_db"] for row in rows),
                "neighbouring_keys_db": uneven_db(instrument),
            }
            results.append({"keys": rows, **_worst(rows, ("pitch_cents", "onset_ms", "attack_ms")), **steps})
            _show({k: v for k, v in results[-1].items() if k != "keys"}, arguments.json)
        if arguments.notes:
            results.append({"notes": arguments.notes, **evaluate_notes(instrument, teacher, arguments.notes, knobs)})
            _show(results[-1], arguments.json)
    return results


def _worst(rows: list[dict[str, Any]], names: Iterable[str]) -> dict[str, Any]:
    """The key that differs most in each figure, and by how much; how much half and 95 % of the keys differ at most."""
    worst: dict[str, Any] = {}
    for name in names:
        sizes = [math.inf if math.isnan(row[name]) else abs(row[name]) for row in rows]
        row = rows[sizes.index(max(sizes))]
        worst[f"worst_{name}"] = {"key": row["key"], "value": row[name]}
        worst[f"median_{name}"], worst[f"p95_{name}"] = (
            float(np.percentile(sizes, share, method="higher"))
            for share in (50, 95)  # one of them may be infinite
        )
    return worst


def _finite(value: Any) -> Any:
    """The same with null in place of what is no number: JSON has no word for it."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(result: dict[str, Any], quiet: bool) -> None:
    """One result, a line each."""
    if quiet:
        return
    for name, value in result.items():
        print(f"{name:>16}  {_text(value)}")
    print()


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(number)}" for key, number in value.items())
    return f"{value:.3f}" if isinstance(value, float) else str(value)
