"""`musicnn train morph`: one network for many timbres, and the space between them.

An auto-decoder: every timbre has a point that is learned together with the network, as its input beside the two sines.
A little noise on the points and a pull towards the middle keep the space between them usable. Carriers and reference
levels between the timbres are interpolated from tables (`engine.timbres`); the network writes how they move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.codec import Note, ScoreCodec
from engine.instrument import Instrument
from engine.networks.heads import PartialHead, compress, expand
from engine.networks.spectral import SpectralNetwork
from engine.spectral import Stft
from engine.timbres import TimbreSpace
from engine.units import key_to_hz
from engine.voices.morph import MorphKeys
from training.analysis import EnvelopeFit
from training.fit import evaluating
from training.losses import magnitude_and_turn, spectral_magnitudes
from training.loudness import even_voicing, key_levels, smooth_line
from training.metrics import log_mel_l1_db, null_snr_db, spectral_convergence
from training.notes import GRID, POWER, RISE, mid_side
from training.recipes.live import Crop, Example, HeldOut, LiveConfig, LiveTask, example, finished, padded, well_begun
from training.teacher import BLOCK, Teacher
from training.timbres import BORDERS, TimbreKey, TimbresConfig

GAIN_DB = 6.0
SPECTRAL_WEIGHT, SPECTRAL_POWER, SPECTRAL_SHARE = 2.0, 0.7, 2
TUNED = 8
LEVEL_KNOTS, LARGEST_GAIN = 88, 4.0
SPREAD = 1.0  # RMS distance of the first points from the middle


@dataclass(frozen=True)
class MorphConfig(LiveConfig):
    """Everything that decides how a morphing instrument is fitted, but for its length.

    dims: of a point. noise: standard deviation that is added to the points in fitting, relative to SPREAD.
    pull: weight of the points' mean square in the loss.
    spectral_from: step from which on carriers are also compared together.
    """

    timbres: TimbresConfig = field(default_factory=TimbresConfig)
    dims: int = 8
    noise: float = 0.1
    pull: float = 1e-3
    spectral_from: int = 3200

    def to_json(self) -> dict[str, object]:
        """As it stands in the instrument's card."""
        return asdict(self)


class _MorphModel(nn.Module):
    """The network and the timbres' points."""

    def __init__(self, network: SpectralNetwork, points: Tensor) -> None:
        super().__init__()
        self.network = network
        self.points = nn.Parameter(points)


class MorphTask(LiveTask):
    """A `Task`: see `training.fit`."""

    def __init__(self, config: MorphConfig, data: Sequence[TimbreKey], device: torch.device) -> None:
        self.config, self._data = config, data
        timbres = config.timbres
        codec = ScoreCodec(Stft(timbres.length, timbres.hop), timbres.sample_rate)
        exponent = float(np.median([key.exponent for key in data]))  # the space has one for every timbre
        head = PartialHead(POWER, exponent, 2, timbres.carriers, config.noise_bands)
        network = well_begun(SpectralNetwork(config.network(codec.features + config.dims, head.outputs)))
        model = _MorphModel(network, torch.from_numpy(first_points(data, config.dims)).float()).to(device)
        self.model: nn.Module = model
        self._points = model.points
        self._timbre = torch.tensor([key.timbre for key in data], device=device)
        reference = torch.from_numpy(np.stack([key.reference for key in data])).to(device)
        examples = [example(row, note) for row, key in enumerate(data) for note in key.notes]
        hz = np.stack([key.hz for key in data])
        super().__init__(config, codec, head, model.network, examples, reference, hz, BORDERS)
        self._held_out: list[HeldOut] | None = None
        self._lobes: dict[int, tuple[Tensor, Tensor]] = {}

    def condition(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """The frames, and beside each the point of the row's timbre, blurred while fitting."""
        points = self._points[self._timbre[rows]]
        if self.model.training:
            points = points + self._blur[rows]
        return torch.cat([inputs, points[:, None].expand(-1, inputs.shape[1], -1)], 2)

    def heard_key(self, example: Example, rng: np.random.Generator) -> int:
        """A random key of those that lie nearest to the one that was played: so the network knows every key."""
        timbres = self.config.timbres
        key = example.note.key + round(float(rng.uniform(-0.5, 0.5)) * timbres.step)
        return int(np.clip(key, timbres.first_key, timbres.last_key))

    def distance(self, output: Tensor, wanted: Tensor, crops: Sequence[Crop], step: int) -> Tensor:
        """Of magnitudes and turns: most of these timbres waver in ways that one network cannot keep in step with.

        From `spectral_from` steps on also of the spectra that the carriers have together: those that lie within one
        lobe of the window must keep in step with each other, or they cancel.
        """
        loss = magnitude_and_turn(output, wanted)
        if step < self.config.spectral_from:
            return loss
        some = len(crops) // SPECTRAL_SHARE or 1  # it is half as dear as the network
        rows = [crop.example.row for crop in crops[:some]]
        knots = np.stack([crop.example.knots[crop.start :][: output.shape[1]] for crop in crops[:some]])
        spectra = self._spectra((output[:some, :, 0], wanted[:some, :, 0]), rows, knots)
        return loss + SPECTRAL_WEIGHT * spectral_magnitudes(spectra[0], spectra[1], SPECTRAL_POWER)

    def _spectra(self, compressed: Sequence[Tensor], rows: Sequence[int], knots: NDArray[np.int64]) -> list[Tensor]:
        """Spectrum frames (batch, knots, bins) of one channel's envelopes, each (batch, knots, carriers, 2).

        rows: of the data, for each of the batch. knots: its frames, (batch, knots).
        """
        synthesis = self.config.timbres.synthesis
        centres = (knots + 1) * synthesis.hop - synthesis.length // 2
        hz = np.stack([self._data[row].hz for row in rows])
        angles = (centres[:, :, None] * hz[:, None] / synthesis.sample_rate) % 1
        turn = torch.from_numpy(np.exp(2j * np.pi * angles).astype(np.complex64)).to(self.device)
        real, imaginary = (torch.stack([self._lobes_of(row)[part] for row in rows]).to(self.device) for part in (0, 1))
        turned = [expand(torch.view_as_complex(one.contiguous()), POWER) * turn for one in compressed]
        return [torch.complex(one.real @ real, one.imag @ imaginary) for one in turned]

    def _lobes_of(self, row: int) -> tuple[Tensor, Tensor]:
        if row not in self._lobes:
            real, imaginary = self.config.timbres.synthesis.lobes(self._data[row].hz)
            self._lobes[row] = torch.from_numpy(real), torch.from_numpy(imaginary)
        return self._lobes[row]

    def parts(self, rng: np.random.Generator, step: int = 0) -> list[Callable[[], Tensor]]:
        """Those of the crops, and the pull of the points towards the middle."""
        # One for the whole of each row's crop, another for every batch.
        spread = self.config.noise * SPREAD
        blur = rng.standard_normal((len(self._data), self.config.dims)).astype(np.float32) * spread
        self._blur = torch.from_numpy(blur).to(self.device)
        parts = super().parts(rng, step)
        return [partial(self._pulled, part) for part in parts]

    def _pulled(self, part: Callable[[], Tensor]) -> Tensor:
        return part() + self.config.pull * self._points.pow(2).mean()

    def validate(self) -> dict[str, float]:
        """Mean figures over held-out notes (other velocities and durations) of every timbre, as played live."""
        if self._held_out is None:
            self._held_out = self._make_held_out()
        figures = []
        for note in self._held_out:
            sound = self.play(note.row, note.note, note.sound.shape[1])
            a, b = sound[0], note.sound[0]
            figures.append((null_snr_db(a, b), log_mel_l1_db(a, b), spectral_convergence(a, b)))
        null, log_mel, convergence = np.mean(figures, axis=0)
        return {"null_snr_db": float(null), "logmel_l1_db": float(log_mel), "convergence": float(convergence)}

    def play(self, row: int, note: Note, samples: int, chunk: int = 16) -> NDArray[np.float32]:
        """One note as (2, samples) mid and side, its release unknown until it happens."""
        data = self._data[row]
        fit = EnvelopeFit(self.config.timbres.synthesis, data.hz, self.config.timbres.harmonic, self.device)
        sound = self.sounded(row, note, fit, samples, chunk) * (note.velocity / 127) ** data.exponent
        return np.asarray(sound.cpu().numpy())

    def levels(self) -> NDArray[np.float64]:
        """Gain of each key of the data (rows,) at which the network's long note is as loud as the teacher's.

        An average of possible sounds, which is what a network writes where it is unsure, is softer than any of them.
        """
        context = self.config.context
        gains = np.ones(len(self._data))
        taught = [row for row, key in enumerate(self._data) if key.notes]
        for start in range(0, len(taught), self.config.batch):
            rows = taught[start : start + self.config.batch]
            notes = [self._data[row].notes[0] for row in rows]
            knots = GRID.after(0, LEVEL_KNOTS + context)
            pairs = zip(rows, notes, strict=True)
            inputs = torch.cat([self.heard(row, Note(note.key, note.velocity), knots) for row, note in pairs])
            raw = self.network.segment(inputs[:, :-context], inputs[:, -context:], 16)[0]
            relative = self.head.relative(raw)[:, :, 0] * compress(self.reference[rows], POWER)[:, None, 0]
            targets = [padded(note.target[:, 0].flatten(1), LEVEL_KNOTS) for note in notes]
            wanted = torch.stack(targets).float().reshape(len(rows), LEVEL_KNOTS, -1, 2).to(self.device)
            places = np.broadcast_to(knots[:LEVEL_KNOTS], (len(rows), LEVEL_KNOTS))
            spectra = self._spectra((torch.view_as_real(relative), wanted), rows, places)
            own, teachers = (one.abs().pow(2).sum((1, 2)) for one in spectra)
            gains[rows] = torch.sqrt(teachers / (own + 1e-20)).clamp(1 / LARGEST_GAIN, LARGEST_GAIN).cpu().numpy()
        for row, key in enumerate(self._data):
            if not key.notes:
                same = [other for other in taught if self._data[other].timbre == key.timbre]
                gains[row] = gains[min(same, key=lambda other: abs(self._data[other].key - key.key))]
        return gains

    def space(self) -> TimbreSpace:
        """The space of timbres as it is fitted so far, its levels as they were measured."""
        timbres = self.config.timbres
        shape = len(timbres.programs), len(timbres.anchors)
        hz = np.stack([in_tune(key, timbres.harmonic) for key in self._data]).reshape(*shape, -1)
        reference = np.stack([key.reference for key in self._data]).reshape(*shape, 2, -1)
        points = self._points.detach().cpu().double().numpy()
        exponents = np.array([key.exponent for key in self._data]).reshape(shape).mean(axis=1)
        noise = self.noise_reference.cpu().double().numpy().reshape(*shape, 2, -1)
        motion = np.stack([key.motion for key in self._data]).reshape(*shape, -1)
        names = tuple(timbres.programs)
        level, phase = np.abs(reference).astype(np.float64), np.angle(reference).astype(np.float64)
        levels = np.stack([key_levels(*tables) for tables in zip(hz, reference, strict=True)])
        # All timbres are as loud as they are on average, key by key: turning a latent knob is no turn at the volume.
        wanted = np.mean([smooth_line(timbres.anchors, of_timbre) for of_timbre in levels], axis=0)
        voicing = np.stack([even_voicing(timbres.anchors, of_timbre, wanted) for of_timbre in levels])
        anchors, measured = np.array(timbres.anchors), (level, phase, exponents, noise, motion, voicing)
        return TimbreSpace(names, points, anchors, hz, timbres.harmonic, *measured)

    def instrument(self, name: str, title: str, metadata: Mapping[str, object]) -> Instrument:
        """The instrument as it is fitted so far."""
        space = self.space()
        with evaluating(self.model):
            gains = self.levels().reshape(space.level.shape[:2])
        space = replace(space, level=space.level * gains[:, :, None, None])
        model = MorphKeys(self.codec, finished(self.network), self.head, space, GRID, RISE)
        timbres = self.config.timbres
        keys = range(timbres.first_key, timbres.last_key + 1)
        return Instrument(name, "keys", title, timbres.sample_rate, GAIN_DB, keys, model.knobs, model, metadata)

    def _make_held_out(self) -> list[HeldOut]:
        timbres, rng = self.config.timbres, np.random.default_rng([self.config.timbres.seed, 1])
        anchors, held_out = len(timbres.anchors), []
        for index, program in enumerate(timbres.programs.values()):
            with Teacher(program, sample_rate=timbres.sample_rate) as teacher:
                sounding = [i for i in range(anchors) if self._data[index * anchors + i].notes]
                for place in rng.choice(sounding, min(2, len(sounding)), replace=False):
                    velocity = int(rng.integers(30, 128))
                    release = round(float(np.exp(rng.uniform(np.log(0.2), np.log(2)))) * timbres.sample_rate)
                    release = release // BLOCK * BLOCK
                    row, key = index * anchors + int(place), timbres.anchors[int(place)]
                    taught = {note.velocity for note in self._data[row].notes}
                    while velocity in taught:
                        velocity = velocity + 1 if velocity < 127 else 30
                    sound = teacher.notes([(0, release, key, velocity)], release + timbres.sample_rate // 2)
                    held_out.append(HeldOut(row, Note(key, velocity, release), mid_side(sound)))
        return held_out


def in_tune(key: TimbreKey, harmonic: NDArray[np.float64]) -> NDArray[np.float64]:
    """Carriers (carriers,) with the partials moved together so that the first TUNED, by level, are in tune on average.

    Samplers are not: FluidR3's choir is up to 36 cents flat, its violin up to 22 sharp. Mixed timbres would beat.
    """
    low = (harmonic > 0) & (harmonic <= TUNED) & (key.hz > 0)
    cents = 1200 * np.log2(key.hz[low] / (harmonic[low] * key_to_hz(key.key)))
    off = float(np.average(cents, weights=np.abs(key.reference[0, low]) + 1e-12))
    return np.where(harmonic > 0, key.hz * 2 ** (-off / 1200), key.hz)


def first_points(data: Sequence[TimbreKey], dims: int) -> NDArray[np.float64]:
    """Where the points begin: principal components of the timbres' mean spectra in dB, RMS SPREAD, (timbres, dims)."""
    count = max(key.timbre for key in data) + 1
    rows = []
    for timbre in range(count):
        levels = np.stack([np.abs(key.reference[0]) for key in data if key.timbre == timbre])
        rows.append((20 * np.log10(levels / levels.max(axis=1, keepdims=True) + 1e-4)).ravel())
    centred = np.stack(rows) - np.mean(rows, axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((count, dims))
    used = min(dims, count)
    points[:, :used] = (u * s)[:, :used]
    return np.asarray(points * SPREAD / (np.sqrt((points**2).mean()) + 1e-12))
