"""Model cards: how an instrument was made and what it reached, with a picture of it beside its teacher."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PICTURE = "spectrogram.png"
SAID = ("vae", "gan", "raw", "beat", "lstm-gan", "seed")  # options that are not the recipe's first choice
PICTURE_SECONDS = 12.0  # more would hide what a second holds
FIGURES = ("logmel_l1_db", "mss_db", "convergence", "null_snr_db", "pitch_cents")


def write_card(title: str, metadata: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown text of a card. metadata: of the instrument; results: what `musicnn evaluate --json` prints."""
    training = metadata.get("training", {})
    shown = {name: value for name, value in training.items() if name not in ("config", "held_out")}
    lines = [
        f"# {title}", "", str(metadata.get("description", "")), "",
        f"- Author: {metadata.get('author', 'unknown')}", f"- Date: {metadata.get('date', 'unknown')}",
        f"- Licence: {metadata.get('licence', 'unknown')}", f"- Recipe: `{_recipe(training)}`", "",
    ]  # fmt: skip
    if results:
        beside = "the data" if "data" in training else "the teacher"
        lines += [f"## Figures against {beside}", "", "Reproduce with `musicnn evaluate` (`--help` names each).", ""]
        files = [row for row in results if "file" in row]
        if files:
            lines += ["| file | " + " | ".join(FIGURES) + " | bands within |", "|---" * (len(FIGURES) + 2) + "|"]
            lines += [*(_row(row) for row in files), ""]
        lines += [line for row in results if "file" not in row for line in _section(row)]
    if any("file" in row or "timbres" in row for row in results):
        lines += [f"![teacher, network, difference]({PICTURE})", ""]
    if any("folder" in row for row in results):
        lines += [f"![data, network]({PICTURE})", ""]
    lines += ["## How it was fitted", "", *(f"- {name}: {value}" for name, value in shown.items())]
    held_out = ", ".join(f"{name} {value:.3g}" for name, value in training.get("held_out", {}).items())
    lines += [f"- held-out data while fitting: {held_out}", "", "![loss](loss.png)", ""]
    lines += ["```json", json.dumps(training.get("config", {}), indent=1), "```", ""]
    return "\n".join(lines)


def _recipe(training: Mapping[str, Any]) -> str:
    program = training.get("program")
    program = f" --program {program}" if isinstance(program, int) and program >= 0 else ""
    program += " FOLDER" if "data" in training else ""
    program += "".join(f" --{name} {training[name]}" for name in ("model", "preset") if training.get(name) in SAID)
    config = training.get("config", {})
    program += "".join(
        f" --{name} {config[name]}"
        for name in ("hidden", "cell")
        if name in config and {"notes", "timbres"} & set(config)
    )
    precision = config.get("precision")
    return (
        f"musicnn train {training.get('recipe', '?')}{program} --steps {training.get('steps', '?')} "
        f"--seed {training.get('seed', '?')}" + (f" --precision {precision}" if precision else "")
    )


def _row(row: Mapping[str, Any]) -> str:
    worst = max((abs(value) for value in row["bands_db"].values()), default=0.0)
    values = " | ".join(f"{row[name]:.3g}" for name in FIGURES)
    return f"| {row['file']} | {values} | {worst:.2f} dB |"


def _section(row: Mapping[str, Any]) -> list[str]:
    """One result that is not a file's, as a list; a table of timbres as a table."""
    if "timbres" in row:
        rows = {**row["timbres"], "mean": row["mean"]}
        names = list(row["mean"])
        lines = ["| timbre | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        lines += [
            f"| {timbre} | " + " | ".join(f"{r[name]:.3g}" for name in names) + " |" for timbre, r in rows.items()
        ]
        return [*lines, ""]
    if "folder" in row:
        return [*(f"- {name}: {_text(value)}" for name, value in row.items()), ""]
    title = "Single notes" if "notes" in row else "Every key" if "keys" in row else "The space of timbres"
    return [f"{title}:", "", *(f"- {name}: {_text(value)}" for name, value in row.items() if name != "keys"), ""]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(number)}" for name, number in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def draw_spectrograms(
    sound: NDArray[np.float32], teacher: NDArray[np.float32], path: Path, sample_rate: int, title: str,
    seconds: float = PICTURE_SECONDS,
) -> None:  # fmt: skip
    """Draw teacher, network and their difference, mono and level-matched, one over the other, into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  # slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    length = min(len(sound), len(teacher), round(seconds * sample_rate))
    a, b = sound[:length].mean(axis=1), teacher[:length].mean(axis=1)
    a = a * np.sqrt(np.mean(b**2) / (np.mean(a**2) + 1e-20))
    figure = Figure(figsize=(11, 9), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(3, 1, sharex=True, sharey=True)
    top = None
    for axes, signal, name in zip(rows, (b, a, a - b), ("teacher", "network", "difference"), strict=True):
        level = _spectrogram(signal)
        top = level.max() if top is None else top
        extent = (0, length / sample_rate, 0, sample_rate / 2000)
        axes.imshow(level, origin="lower", aspect="auto", extent=extent, vmin=top - 90, vmax=top, cmap="magma")
        axes.set_title(name, fontsize=10)
        axes.set_ylabel("kHz")
        axes.set_ylim(0, 16)
    rows[-1].set_xlabel("seconds")
    figure.suptitle(title, fontsize=10, wrap=True)
    figure.savefig(path, dpi=80)


def draw_pair(made: NDArray[np.float32], data: NDArray[np.float32], path: Path, sample_rate: int, title: str) -> None:
    """Draw sounds (samples,) of the data and of the network, one over the other, into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, signal, name in zip(figure.subplots(2, 1), (data, made), ("data", "network"), strict=True):
        level = _spectrogram(signal)
        extent = (0, len(signal) / sample_rate, 0, sample_rate / 2000)
        top = level.max()
        axes.imshow(level, origin="lower", aspect="auto", extent=extent, vmin=top - 80, vmax=top, cmap="magma")
        axes.set_title(name, fontsize=10)
        axes.set_ylabel("kHz")
        axes.set_ylim(0, 16)
    figure.supxlabel("seconds", fontsize=10)
    figure.suptitle(title, fontsize=10, wrap=True)
    figure.savefig(path, dpi=80)


def _spectrogram(signal: NDArray[np.float32], length: int = 2048, hop: int = 512) -> NDArray[np.float64]:
    padded = np.pad(signal, length // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    return np.asarray(20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(length), axis=1)).T + 1e-7))
