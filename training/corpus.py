"""Folders of audio: mp3, wav, flac and ogg files of any rate, mono or stereo, of any length.

Every file is decoded once, block by block, to mono at RATE and kept as float16 numbers in a cache, under the digest
of its content: a second run, a moved folder or a copy of a file costs no decoding, and a run that was stopped goes on
where it was. Files are read from the cache as memory maps. What cannot be used is skipped and listed with the reason.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from engine.audio.files import READABLE
from engine.errors import MusicNNError

RATE = 44_100
SUFFIXES = READABLE
AUDIO_SUFFIXES = (*SUFFIXES, ".m4a", ".m4p", ".aac", ".wma", ".aiff", ".aif", ".opus")
BLOCK = 1 << 18
SILENCE_DB = -60.0
SHORTEST_SECONDS = 0.02
LISTED = 10

Mono = NDArray[np.float32]


class CorpusError(MusicNNError):
    """A folder of audio holds nothing to learn from, or cannot be decoded into the cache."""


@dataclass(frozen=True, slots=True)
class Item:
    """A decoded file. name: its path in the folder. kind: the folder it lies in. peak, power: of its samples."""

    name: str
    kind: str
    cached: Path
    samples: int
    peak: float
    power: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.samples / RATE

    def read(self, start: int = 0, samples: int | None = None) -> Mono:
        """Samples (n,) from `start` on, fewer at the end. Raises CorpusError where the cache has vanished."""
        try:
            whole = np.memmap(self.cached, np.float16, "r", shape=(self.samples,))
            return np.asarray(whole[start : None if samples is None else start + samples], np.float32)
        except (OSError, ValueError) as error:
            raise CorpusError(f"the decoded {self.name} has vanished from {self.cached.parent}: start again") from error


@dataclass(frozen=True, slots=True)
class Corpus:
    """What a folder holds: the files that can be used, and why the others cannot."""

    folder: Path
    items: tuple[Item, ...]
    skipped: tuple[tuple[str, str], ...]

    @property
    def seconds(self) -> float:
        """Length of all of it."""
        return sum(item.seconds for item in self.items)

    def statistics(self) -> Iterator[str]:
        """What there is, in lines for the user."""
        lengths = np.array([item.seconds for item in self.items])
        levels = np.array([10 * np.log10(item.power + 1e-20) for item in self.items])
        yield f"{len(self.items)} files, {self.seconds / 60:.1f} minutes, {len(self.skipped)} skipped"
        for name, values, unit in (("lengths", lengths, "s"), ("levels", levels, "dB")):
            least, median, most = values.min(), np.median(values), values.max()
            yield f"{name} from {least:.2f} over {median:.2f} (median) to {most:.2f} {unit}"
        kinds = Counter(item.kind for item in self.items)
        if len(kinds) > 1:
            most = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(LISTED))
            yield f"kinds by folder: {most}{' ...' if len(kinds) > LISTED else ''}"
        for name, reason in self.skipped[:LISTED]:
            yield f"skipped {name}: {reason}"
        if len(self.skipped) > LISTED:
            yield f"... and {len(self.skipped) - LISTED} more"


def read_corpus(folder: Path, cache: Path, report: Callable[[str], None], least: int = 2) -> Corpus:
    """Decode what `folder` holds into `cache`, but what is there already; report progress.

    least: how few files are still enough. Raises CorpusError for a folder that does not exist or holds too little,
    and where the cache cannot be written (a full disk); what was decoded before is kept.
    """
    if not folder.is_dir():
        raise CorpusError(f"there is no folder {folder}")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    items: list[Item] = []
    skipped: list[tuple[str, str]] = []
    every = max(1, len(paths) // 10)
    for number, path in enumerate(paths, 1):
        name = path.relative_to(folder).as_posix()
        try:
            items.append(_item(path, name, cache))
        except _Unusable as error:
            skipped.append((name, str(error)))
        if number % every == 0 and len(paths) >= LISTED:
            report(f"read {number} of {len(paths)} files")
    if len(items) < least:
        found = "no audio file" if not items else f"only {len(items)} usable audio file" + "s" * (len(items) > 1)
        why = f" ({skipped[0][0]}: {skipped[0][1]})" if skipped else ""
        raise CorpusError(f"{folder} holds {found} of {', '.join(SUFFIXES)}, {least} are needed{why}")
    return Corpus(folder, tuple(items), tuple(skipped))


class _Unusable(Exception):  # noqa: N818  # no error of the program: the file is listed and skipped
    """Why a file is skipped."""


def _item(path: Path, name: str, cache: Path) -> Item:
    if path.suffix.lower() not in SUFFIXES:
        raise _Unusable(f"{path.suffix} cannot be read (often DRM): convert it to one of {', '.join(SUFFIXES)}")
    try:
        target = cache / "audio" / f"{_digest(path)}.f16"
    except OSError as error:
        raise _Unusable(f"it cannot be read: {error.strerror or error}") from error
    note = target.with_suffix(".json")
    figures = _noted(note, target)
    if figures is None:
        figures = _decode(path, target)
        _store(note, lambda part: part.write_text(json.dumps(figures), encoding="utf-8"))
    if figures["samples"] < SHORTEST_SECONDS * RATE:
        raise _Unusable("it is shorter than 20 ms")
    if figures["peak"] <= 10 ** (SILENCE_DB / 20):
        raise _Unusable("it is silent")
    kind = Path(name).parent.name
    return Item(name, kind, target, int(figures["samples"]), float(figures["peak"]), float(figures["power"]))


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _noted(note: Path, target: Path) -> dict[str, float] | None:
    """Figures of a file that has been decoded before, if its numbers are still all there."""
    try:
        figures: dict[str, float] = json.loads(note.read_text(encoding="utf-8"))
        return figures if target.stat().st_size == 2 * figures["samples"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _decode(path: Path, target: Path) -> dict[str, float]:
    """Write a file's samples to the cache; return their number, peak and power."""
    count, peak, square = 0, 0.0, 0.0
    try:
        with soundfile.SoundFile(path) as sound:
            stream = _resampled(sound)

            def write(part: Path) -> None:
                nonlocal count, peak, square
                with part.open("wb") as file:
                    for block in stream:
                        kept = np.clip(block, -1000, 1000).astype(np.float16)  # far over full scale is no music
                        kept.tofile(file)
                        wide = kept.astype(np.float64)
                        count += len(kept)
                        peak = max(peak, float(np.abs(wide).max(initial=0.0)))
                        square += float(wide @ wide)

            _store(target, write)
    except soundfile.LibsndfileError as error:
        raise _Unusable("it is no audio that can be read, whatever its name says") from error
    if not np.isfinite(square):
        raise _Unusable("it holds numbers that are not finite")
    return {"samples": count, "peak": peak, "power": square / max(1, count)}


def _resampled(sound: soundfile.SoundFile) -> Iterator[Mono]:
    """Blocks of mono samples (n,) at RATE."""
    stream = soxr.ResampleStream(sound.samplerate, RATE, 1, dtype="float32", quality="HQ")
    while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
        yield stream.resample_chunk(np.nan_to_num(block).mean(axis=1, dtype=np.float32))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _store(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file of the cache whole or not at all. Raises CorpusError where the disk does not take it."""
    part = target.with_name(f".{os.getpid()}.{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.replace(target)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise CorpusError(f"{target.parent} cannot hold the decoded audio: {reason}") from error
    finally:
        part.unlink(missing_ok=True)


def settings(corpus: Corpus) -> dict[str, object]:
    """What tells one corpus from another, so that a run is only gone on with on its own data."""
    digest = hashlib.blake2b("".join(sorted(item.cached.stem for item in corpus.items)).encode(), digest_size=8)
    return {"files": len(corpus.items), "minutes": round(corpus.seconds / 60, 1), "digest": digest.hexdigest()}
