"""What the recipes for pads learn from: every hit or bar of a corpus as a picture of levels, or as samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from engine.bands import Bands
from engine.spectral import Samples
from engine.voices.generators import SILENT_DB, fitted, hit_picture, loop_picture
from training.corpus import RATE, Corpus, CorpusError, Item
from training.material import read_tempo

MOST_ITEMS = 12_000
HELD_OUT = 10  # every tenth item is never fitted to
BEATS = 4
KINDS = 16  # as many pads as have their own key
LONG_LOOP = 30.0  # seconds, from which on a file is a track whose beats are looked for
TRACK_SECONDS = 600.0
SLOWEST, FASTEST = 70.0, 180.0


@dataclass(frozen=True)
class Dataset:
    """whole: (items, frames, bands) or (items, samples), float16. labels: (items,), numbers of `titles`."""

    whole: NDArray[np.float16]
    titles: tuple[str, ...]
    labels: NDArray[np.intp]

    @property
    def taught(self) -> NDArray[np.intp]:
        """Numbers of the items that are fitted to."""
        return np.setdiff1d(np.arange(len(self.whole)), _every_tenth(len(self.whole)))

    @property
    def held_out(self) -> NDArray[np.intp]:
        """Numbers of the others; where there are too few for that, the same."""
        others = _every_tenth(len(self.whole))
        return others if len(others) else self.taught

    def batch(self, numbers: NDArray[np.intp]) -> NDArray[np.float32]:
        """Items as they are fitted to."""
        return self.whole[numbers].astype(np.float32)


def hits(corpus: Corpus, samples: int) -> Iterator[tuple[Item, Samples]]:
    """Every file's hit, `samples` long; a file of over twice that length is cut into many."""
    length = samples
    pieces = [max(1, item.samples // length) if item.samples > 2 * length else 1 for item in corpus.items]
    share = min(1.0, MOST_ITEMS / sum(pieces))
    for item, count in zip(corpus.items, pieces, strict=True):
        starts = np.unique(np.linspace(0, count - 1, max(1, round(count * share))).astype(int)) * length
        for start in starts:
            mono = item.read(int(start), 2 * length)  # an onset may come late
            if np.abs(mono).max(initial=0.0) > 10 ** (SILENT_DB / 20):
                yield item, mono


def bars(corpus: Corpus, report: Callable[[str], None]) -> Iterator[tuple[Item, Samples]]:
    """Bars of four beats: of loops, whose names or lengths tell their tempo, and of tracks, where beats are found."""
    for item in corpus.items:
        spans = _track_bars(item, report) if item.seconds > LONG_LOOP else _loop_bars(item)
        for start, samples in spans:
            mono = item.read(start, samples)
            if np.abs(mono).max(initial=0.0) > 10 ** (SILENT_DB / 20):
                yield item, mono


def _loop_bars(item: Item) -> list[tuple[int, int]]:
    """Start and length of the bars of a loop: a loop holds a whole number of beats, and best of bars."""
    tempo = read_tempo(item.name) or _guessed_tempo(item)
    beats = max(1, round(item.seconds * tempo / 60))
    bar = item.samples / max(1, round(beats / BEATS))
    return [(round(start), round(bar)) for start in np.arange(max(1, round(beats / BEATS))) * bar]


def _guessed_tempo(item: Item) -> float:
    """The tempo that a loop's length allows and that lies nearest to what librosa hears."""
    import librosa  # noqa: PLC0415  # slow to import

    mono = np.tile(item.read(), max(1, round(8 / item.seconds)))
    heard = float(np.atleast_1d(librosa.feature.tempo(y=mono, sr=RATE))[0])
    allowed = [60 * beats / item.seconds for beats in (1, 2, 4, 8, 16, 32, 64)]
    inside = [tempo for tempo in allowed if SLOWEST <= tempo <= FASTEST] or [heard]
    return min(inside, key=lambda tempo: abs(np.log2(tempo / heard)))


def _track_bars(item: Item, report: Callable[[str], None]) -> list[tuple[int, int]]:
    import librosa  # noqa: PLC0415

    report(f"looking for the beats of {item.name}")
    mono = item.read(0, round(TRACK_SECONDS * RATE))
    beats = np.atleast_1d(librosa.beat.beat_track(y=mono, sr=RATE, units="samples")[1])
    starts = beats[::BEATS]
    spans = np.diff(starts)
    usual = float(np.median(spans)) if len(spans) else 0.0
    even = [abs(span - usual) < 0.05 * usual for span in spans]  # a lost beat would be a broken bar
    return [(int(start), int(span)) for start, span, kept in zip(starts, spans, even, strict=False) if kept]


def hit_data(corpus: Corpus, bands: Bands, frames: int) -> Dataset:
    """Pictures of hits. Raises CorpusError where there are too few."""
    samples = (frames + 1) * bands.stft.hop - bands.stft.length
    rows = ((item.kind, hit_picture(mono, bands, frames)) for item, mono in hits(corpus, samples))
    return _dataset(rows, corpus)


def bar_data(corpus: Corpus, bands: Bands, frames: int, report: Callable[[str], None]) -> Dataset:
    """Pictures of bars, every one with the same number of frames, whatever its tempo."""
    rows = ((item.kind, loop_picture(mono, bands, frames)) for item, mono in bars(corpus, report))
    return _dataset(rows, corpus)


def raw_bar_data(corpus: Corpus, samples: int, report: Callable[[str], None]) -> Dataset:
    """Bars as samples (samples,), played faster or slower until they are all as long."""
    rows = (
        (item.kind, fitted(soxr.resample(mono, len(mono), samples), samples)) for item, mono in bars(corpus, report)
    )
    return _dataset(rows, corpus)


def _dataset(rows: Iterator[tuple[str, NDArray[np.float32]]], corpus: Corpus) -> Dataset:
    kinds: list[str] = []
    wholes: list[NDArray[np.float16]] = []
    for kind, whole in rows:
        kinds.append(kind)
        wholes.append(whole.astype(np.float16))
        if len(wholes) >= MOST_ITEMS:
            break
    if len(wholes) < 2:
        raise CorpusError(f"{corpus.folder} holds {len(wholes)} usable sounds: two are the least to learn from")
    order = _order(len(wholes))
    table = np.stack([wholes[index] for index in order])
    titles, labels = _labels([kinds[index] for index in order], table)
    return Dataset(table, titles, labels)


def _order(count: int) -> NDArray[np.intp]:
    """Any fixed order, so that what is held out is of all kinds."""
    return np.random.default_rng(0).permutation(count)


def _every_tenth(count: int) -> NDArray[np.intp]:
    return np.arange(HELD_OUT - 1, count, HELD_OUT)


def held_out_rows(count: int) -> NDArray[np.intp]:
    """Which of so many sounds, in the corpus's order, no recipe is fitted to."""
    return np.sort(_order(count)[_every_tenth(count)])


def _labels(kinds: Sequence[str], whole: NDArray[np.float16]) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """Kinds by folder; where there is one folder only, groups of what sounds alike."""
    counts = Counter(kinds)
    if len(counts) > 1:
        titles = tuple(sorted(kind for kind, _ in counts.most_common(KINDS)))
        return titles, np.array([titles.index(kind) if kind in titles else -1 for kind in kinds], np.intp)
    from sklearn.cluster import KMeans  # noqa: PLC0415  # comes with librosa

    groups = max(1, min(8, len(whole) // 4))
    flat = whole.reshape(len(whole), -1)[:, :: max(1, whole[0].size // 2000)].astype(np.float32)
    labels = KMeans(groups, n_init=2, random_state=0).fit_predict(flat)
    return tuple(f"group {number + 1}" for number in range(groups)), np.asarray(labels, np.intp)


def top_db(corpus: Corpus, bands: Bands) -> float:
    """The level that a picture's 1 stands for: that of the loudest moments, in whole dB."""
    items = corpus.items[:: max(1, len(corpus.items) // 200)]
    levels = [bands.decibels(bands.levels(bands.stft.analyse(item.read(0, RATE)))).max() for item in items]
    return float(np.ceil(np.percentile(levels, 99)))
