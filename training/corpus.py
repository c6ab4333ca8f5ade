"""Folders of audio: wav, aiff, flac, mp3 and ogg files of any rate, mono or stereo, of any length.

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from engine.audio.files import READABLE, sound_name
from engine.bounded import not_a_file
from engine.errors import MusicNNError

RATE = 44_100
SUFFIXES = READABLE
PROTECTED = (".m4p", ".aax", ".aa")
FOREIGN = (".m4a", ".mp4", ".aac", ".wma", ".alac", ".ape", ".wv", ".mpc", ".ra", ".dsf")
AUDIO_SUFFIXES = (*SUFFIXES, *PROTECTED, *FOREIGN)
NAMED = "wav, aiff, flac, mp3 or ogg"
BLOCK = 1 << 18
SILENCE_DB = -60.0
SHORTEST_SECONDS = 0.02
LISTED = 10
NAMED_IN_SENTENCE = 3

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

    @property
    def length(self) -> str:
        """The same in words."""
        return f"{self.seconds / 60:.1f} minutes" if self.seconds >= 60 else f"{self.seconds:.1f} seconds"

    def statistics(self) -> Iterator[str]:
        """What there is, in lines for the user."""
        lengths = np.array([item.seconds for item in self.items])
        levels = np.array([10 * np.log10(item.power + 1e-20) for item in self.items])
        yield f"{_files(len(self.items))}, {self.length}, {len(self.skipped)} skipped"
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
    _check_folder(folder)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    items: list[Item] = []
    skipped: list[tuple[str, str]] = []
    every = max(1, len(paths) // 10)
    for number, path in enumerate(paths, 1):
        name = os.fsencode(path.relative_to(folder).as_posix()).decode(errors="replace")
        try:
            items.append(_item(path, name, cache))
        except _Unusable as error:
            skipped.append((name, str(error)))
        if number % every == 0 and len(paths) >= LISTED:
            report(f"read {number} of {len(paths)} files")
    if len(items) < least:
        found = "no audio file that can be used" if not items else f"only {_files(len(items))} that can be used"
        why = f" ({_named(skipped)})" if skipped else ""
        raise CorpusError(f"{folder} holds {found}, {least} of {NAMED} are needed{why}")
    return Corpus(folder, tuple(items), tuple(skipped))


def _check_folder(folder: Path) -> None:
    """Raise CorpusError for what is no folder, or cannot be looked into."""
    try:
        os.scandir(folder).close()
    except NotADirectoryError as error:
        inside = f": name the folder that it lies in, {folder.parent}" if folder.is_file() else ""
        raise CorpusError(f"{folder} is a file, not a folder{inside}") from error
    except FileNotFoundError as error:
        raise CorpusError(f"there is no folder {folder}") from error
    except (OSError, ValueError) as error:
        raise CorpusError(f"{folder} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _named(skipped: Sequence[tuple[str, str]]) -> str:
    """What cannot be used and why, the first of it by name."""
    text = "; ".join(f"{name}: {reason}" for name, reason in skipped[:NAMED_IN_SENTENCE])
    more = len(skipped) - NAMED_IN_SENTENCE
    return f"{text}; and {more} more" if more > 0 else text


class _Unusable(Exception):  # noqa: N818  # no error of the program: the file is listed and skipped
    """Why a file is skipped."""


def _item(path: Path, name: str, cache: Path) -> Item:
    suffix = path.suffix.lower()
    problem = not_a_file(path)
    if problem:
        raise _Unusable(problem)
    if path.name.startswith("._"):
        raise _Unusable("it holds what a Mac notes of another file, no sound")
    if suffix in PROTECTED:
        raise _Unusable(f"{suffix} files are protected (DRM) and cannot be read")
    if suffix in FOREIGN:
        raise _Unusable(f"{suffix} files cannot be read: convert it to {NAMED}")
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
    kind = PurePosixPath(name).parent.name
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
        with soundfile.SoundFile(sound_name(path)) as sound:
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
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:  # the latter of soxr, for odd rates
        raise _Unusable("it is no audio that can be read, whatever its name says") from error
    if not count:
        raise _Unusable("it is empty, or cut short before its sound")
    if not np.isfinite(square):
        raise _Unusable("it holds numbers that are not finite")
    return {"samples": count, "peak": peak, "power": square / max(1, count)}


def _resampled(sound: soundfile.SoundFile) -> Iterator[Mono]:
    """Blocks of mono samples (n,) at RATE."""
    stream = soxr.ResampleStream(sound.samplerate, RATE, 1, dtype="float32", quality="HQ")
    while len(block := sound.read(max(1, BLOCK // sound.channels), dtype="float32", always_2d=True)):
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
