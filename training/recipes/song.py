"""`musicnn train song`: an LSTM that says how music goes on, block by block, from a folder of music.

By default a block is eight frames of levels in bands, as principal components; the network says a mixture of Gaussians
and the next block is drawn from it, so that it neither regresses to the mean (silence) nor has one way to go on.
`--preset seed` is the original (a descendant of GRUV): Fourier transforms of blocks of 11025 samples, no overlap, mean
squared error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.bands import Bands
from engine.instrument import Instrument
from engine.knobs import SONG
from engine.networks.generators import SongConfig, SongNetwork
from engine.spectral import Samples, Stft
from engine.voices.continuation import BandBlocks, Blocks, Continuation, SpectrumBlocks
from training.corpus import RATE, Corpus, CorpusError, Item
from training.pictures import top_db
from training.recipes.generate import stored

FIRST_KEY = 48
PART_SECONDS = 600.0  # that are held in memory at once
MOST_BLOCKS, MOST_NUMBERS = 250_000, 150_000_000  # six hours, or 300 MB of memory
FITTED_ROWS = 6_000  # that principal components are computed of
BEGINNINGS, BEGINNING_SECONDS = 8, 4.0
LEVEL_SECONDS, LEVEL_PARTS = 5.0, 40  # that losses of level are measured on
SCALE = 1e-5  # least deviation of a spectrum's number


@dataclass(frozen=True)
class SongRecipe:
    """Everything that decides how a song is fitted, but for its length.

    size: principal components of a block of `frames` frames; frames 0 is spectra of `samples` samples. sequence:
    blocks of a crop, of which the first `heard` are not judged. noise: that is added to what the network hears, so
    that it can go on after its own errors. semitones: by which the data is also played higher and lower.
    """

    length: int = 2048
    hop: int = 512
    bands: int = 128
    high_hz: float = 16_000.0
    frames: int = 8
    size: int = 96
    samples: int = 0
    overlap: int = 0
    cells: int = 256
    layers: int = 2
    mixture: int = 8
    sequence: int = 96
    heard: int = 8
    batch: int = 16
    noise: float = 0.2
    semitones: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0)
    learning_rate: float = 2e-3
    optimiser: str = "adam"
    precision: str = "float32"

    def to_json(self) -> dict[str, Any]:
        """As it stands in the instrument's card."""
        return asdict(self)


PRESETS: Mapping[str, SongRecipe] = {
    "default": SongRecipe(),
    "seed": SongRecipe(
        frames=0, size=0, samples=11_025, cells=1024, layers=1, mixture=0, sequence=40, heard=0, noise=0.0,
        semitones=(0.0,), batch=8, learning_rate=1e-3, optimiser="rmsprop",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class SongData:
    """pieces: blocks (blocks, size) of each file, float16. titles: of the files. gain_db: what blocks lose of the
    level of the sound that they were taken from."""

    codec: BandBlocks | SpectrumBlocks
    pieces: tuple[NDArray[np.float16], ...]
    titles: tuple[str, ...]
    gain_db: float


def song_data(corpus: Corpus, recipe: SongRecipe, report: Callable[[str], None]) -> SongData:
    """Blocks of a corpus. Raises CorpusError where no file is long enough for one crop."""
    codec = _band_codec(corpus, recipe) if recipe.frames else _spectrum_codec(corpus, recipe)
    pieces: list[NDArray[np.float16]] = []
    titles = []
    for item, semitones, mono in _parts(corpus, recipe.semitones):
        blocks = codec.of(mono)
        if len(blocks) > recipe.sequence:
            pieces.append(np.clip(blocks, -100, 100).astype(np.float16))
            titles.append(item.name if not semitones else "")
        if sum(map(len, pieces)) > min(MOST_BLOCKS, MOST_NUMBERS // codec.size):
            report("learning from the first of it only: the whole is too much to hold in memory")
            break
    if not pieces:
        seconds = (recipe.sequence + 2) * codec.samples / RATE
        raise CorpusError(
            f"{corpus.folder} holds no file of {seconds:.0f} seconds or more: there is nothing to go on with"
        )
    report(f"{sum(map(len, pieces))} blocks of {codec.samples / RATE:.3f} s in {len(pieces)} pieces")
    return SongData(codec, tuple(pieces), tuple(titles), lost_db(codec, _some(corpus, LEVEL_SECONDS)))


def lost_db(codec: BandBlocks | SpectrumBlocks, sounds: Iterable[Samples]) -> float:
    """By how much sounds (samples,) that were blocks are softer than they were: components that are left out take
    power along, and the mean of a band in dB lies under that of its power."""
    before = after = 0.0
    for mono in islice(sounds, LEVEL_PARTS):
        rng = np.random.default_rng(0)
        again = codec.sound(codec.start(rng), codec.of(mono), rng)[0]
        before += float(np.square(mono[: len(again)]).sum())
        after += float(np.square(again).sum())
    return 10 * math.log10(before / after) if before and after else 0.0


def _parts(corpus: Corpus, shifts: Sequence[float]) -> Iterator[tuple[Item, float, Samples]]:
    """Every file in parts, first all as they are, then all higher or lower, by playing them faster or slower."""
    part = round(PART_SECONDS * RATE)
    for semitones in sorted(shifts, key=abs):
        for item in corpus.items:
            for start in range(0, item.samples, part):
                mono = item.read(start, part)
                yield item, semitones, mono if not semitones else soxr.resample(mono, 2 ** (semitones / 12), 1.0)


def _some(corpus: Corpus, seconds: float) -> Iterator[Samples]:
    """Stretches from all over the corpus."""
    for item in corpus.items[:: max(1, len(corpus.items) // 100)]:
        length = round(seconds * RATE)
        for start in np.linspace(0, max(0, item.samples - length), 4).astype(int):
            yield item.read(int(start), length)


def _band_codec(corpus: Corpus, recipe: SongRecipe) -> BandBlocks:
    stft = Stft(recipe.length, recipe.hop)
    bands = Bands(stft, recipe.bands, recipe.high_hz, top_db=top_db(corpus, Bands(stft, recipe.bands, recipe.high_hz)))
    rows = []
    for mono in _some(corpus, 4.0):
        picture = bands.levels(stft.analyse(mono))
        rows.append(picture[: len(picture) // recipe.frames * recipe.frames].reshape(-1, recipe.frames * recipe.bands))
    table = np.concatenate(rows)[:: max(1, sum(map(len, rows)) // FITTED_ROWS)]
    size = min(recipe.size, len(table) - 1, table.shape[1])
    if size < 1:
        raise CorpusError(f"{corpus.folder} holds too little sound to learn from")
    mean = table.mean(axis=0)
    _, values, basis = np.linalg.svd(table - mean, full_matrices=False)
    deviations = np.maximum(values[:size] / np.sqrt(len(table) - 1), 1e-6)
    basis = basis[:size].astype(np.float16).astype(np.float32)  # as it is saved
    return BandBlocks(bands, recipe.frames, mean.astype(np.float32), basis, deviations.astype(np.float32))


def _spectrum_codec(corpus: Corpus, recipe: SongRecipe) -> SpectrumBlocks:
    numbers = 2 * ((recipe.samples + recipe.overlap) // 2 + 1)
    plain = SpectrumBlocks(
        recipe.samples, recipe.overlap, np.zeros(numbers, np.float32), np.ones(numbers, np.float32)
    )  # fmt: skip
    table = np.concatenate([plain.spectra(mono) for mono in _some(corpus, 8.0)])
    if len(table) < 2:
        raise CorpusError(f"{corpus.folder} holds too little sound to learn from")
    deviations = np.maximum(table.std(axis=0), SCALE)
    return SpectrumBlocks(recipe.samples, recipe.overlap, table.mean(axis=0), deviations.astype(np.float32))


class SongTask:
    """A `Task`: see `training.fit`."""

    def __init__(self, recipe: SongRecipe, data: SongData, device: torch.device) -> None:
        self.recipe, self.data, self.device = recipe, data, device
        self._network = SongNetwork(SongConfig(data.codec.size, recipe.cells, recipe.layers, recipe.mixture)).to(device)
        self.model: torch.nn.Module = self._network
        self._held_out = max(1, recipe.sequence + 1)

    def loss(self, rng: np.random.Generator, step: int = 0) -> Tensor:
        """Of a batch of crops; the last crop of every piece is never among them."""
        lengths = np.array([max(1, len(piece) - 2 * self._held_out) for piece in self.data.pieces])
        chosen = rng.choice(len(lengths), self.recipe.batch, p=lengths / lengths.sum())
        return self._judged([(int(n), int(rng.integers(lengths[n]))) for n in chosen], self.recipe.noise)

    def validate(self) -> dict[str, float]:
        """Loss at the ends of pieces, per number of a block."""
        ends = [(n, max(0, len(piece) - self._held_out)) for n, piece in enumerate(self.data.pieces)][:32]
        return {"loss": float(self._judged(ends, 0.0))}

    def _judged(self, places: Sequence[tuple[int, int]], noise: float) -> Tensor:
        recipe = self.recipe
        crops = np.stack([self.data.pieces[n][start : start + recipe.sequence + 1] for n, start in places])
        blocks = torch.from_numpy(crops.astype(np.float32)).to(self.device)
        heard = blocks[:, :-1] + noise * torch.randn_like(blocks[:, :-1])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            out = self._network(heard)[0]
        out, wanted = out.float()[:, recipe.heard :], blocks[:, 1 + recipe.heard :]
        if not recipe.mixture:
            error: Tensor = (out - wanted).square().mean()
            return error
        weights, means, deviations = self._network.mixture(out)
        errors = (wanted[..., None, :] - means) * torch.exp(-deviations)
        chances = (
            weights - (0.5 * errors.square() + deviations).sum(-1) - wanted.shape[-1] * 0.5 * math.log(2 * math.pi)
        )
        loss: Tensor = -chances.logsumexp(-1).mean() / wanted.shape[-1]
        return loss

    def instrument(self, name: str, title: str, metadata: Mapping[str, object]) -> Instrument:
        """The instrument as it is fitted so far, with beginnings from all over the data."""
        network = stored(self._network)
        assert isinstance(network, SongNetwork)
        whole = [number for number, own in enumerate(self.data.titles) if own]
        chosen = np.unique(np.linspace(0, len(whole) - 1, min(BEGINNINGS, len(whole))).astype(int))
        count = round(BEGINNING_SECONDS * RATE / self.data.codec.samples)
        titles, beginnings = [], []
        for number in (whole[index] for index in chosen):
            piece = self.data.pieces[number]
            start = max(0, len(piece) // 4 // 4 * 4)
            titles.append(self.data.titles[number].rsplit(".", 1)[0])
            beginnings.append(_rows(piece[start : start + count]))
        model = Continuation(network, self.data.codec, tuple(titles), tuple(beginnings))
        keys = range(FIRST_KEY, FIRST_KEY + len(titles))
        return Instrument(name, "song", title, RATE, self.data.gain_db, keys, SONG, model, metadata)


def _rows(piece: NDArray[np.float16]) -> Blocks:
    return np.ascontiguousarray(piece, np.float32)
