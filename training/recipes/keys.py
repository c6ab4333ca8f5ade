"""`musicnn train keys`: a keyed instrument with a partial head, fitted to a sampler's notes for live playing.

See `training.recipes.live` for how it is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from engine.codec import Note, ScoreCodec
from engine.instrument import Instrument
from engine.networks.heads import PartialHead
from engine.networks.spectral import SpectralNetwork
from engine.partials import CarrierTable
from engine.spectral import Stft
from engine.voices.models import PartialKeys
from training.analysis import EnvelopeFit
from training.loudness import even_voicing, key_levels
from training.metrics import log_mel_l1_db, null_snr_db, spectral_convergence
from training.notes import BORDERS, GRID, POWER, RISE, KeyData, NotesConfig, mid_side
from training.recipes.live import HeldOut, LiveConfig, LiveTask, example, finished, well_begun
from training.teacher import BLOCK, Teacher

VALIDATION_NOTES = 16
GAIN_DB = 6.0  # FluidSynth plays at a level that leaves room for an orchestra


@dataclass(frozen=True)
class KeysConfig(LiveConfig):
    """Everything that decides how a keyed instrument is fitted, but for its length."""

    notes: NotesConfig = field(default_factory=NotesConfig)

    def to_json(self) -> dict[str, object]:
        """As it stands in the instrument's card."""
        return asdict(self)


class KeysTask(LiveTask):
    """A `Task`: see `training.fit`."""

    def __init__(self, config: KeysConfig, data: Sequence[KeyData], exponent: float, device: torch.device) -> None:
        self.config, self._data = config, data
        notes = config.notes
        codec = ScoreCodec(Stft(notes.length, notes.hop), notes.sample_rate)
        head = PartialHead(POWER, exponent, 2, notes.carriers, config.noise_bands)
        self.model: SpectralNetwork = well_begun(SpectralNetwork(config.network(codec.features, head.outputs))).to(
            device
        )
        self.carriers = CarrierTable(
            notes.first_key, np.stack([key.hz for key in data]), np.stack([key.harmonic for key in data])
        )
        reference = torch.from_numpy(np.stack([key.reference for key in data])).to(device)
        examples = [example(row, note) for row, key in enumerate(data) for note in key.notes]
        super().__init__(config, codec, head, self.model, examples, reference, self.carriers.hz, BORDERS)
        self._held_out: list[HeldOut] | None = None

    def validate(self) -> dict[str, float]:
        """Mean figures over held-out notes (other velocities and durations), rendered as live playing does."""
        if self._held_out is None:
            self._held_out = self._make_held_out()
        figures = []
        for note in self._held_out:
            sound = self.play(note.row, note.note, note.sound.shape[1])
            figures.append(
                (
                    null_snr_db(sound[0], note.sound[0]), log_mel_l1_db(sound[0], note.sound[0]),
                    spectral_convergence(sound[0], note.sound[0]), null_snr_db(sound[1], note.sound[1]),
                )
            )  # fmt: skip
        null, log_mel, convergence, side = np.mean(figures, axis=0)
        return {
            "null_snr_db": float(null), "logmel_l1_db": float(log_mel), "convergence": float(convergence),
            "side_null_snr_db": float(side),
        }  # fmt: skip

    def play(self, row: int, note: Note, samples: int, chunk: int = 16) -> np.ndarray:
        """One note as (2, samples) mid and side, its release unknown until it happens."""
        data, notes = self._data[row], self.config.notes
        fit = EnvelopeFit(notes.synthesis, data.hz, data.harmonic, self.device)
        sound = self.sounded(row, note, fit, samples, chunk) * self.head.gain(note.velocity)
        return sound.cpu().numpy()

    def instrument(self, name: str, title: str, metadata: Mapping[str, object]) -> Instrument:
        """The instrument as it is fitted so far."""
        carriers = self.carriers.hz, np.stack([key.reference for key in self._data])
        voicing = even_voicing(self.config.notes.keys, key_levels(*carriers))
        model = PartialKeys(
            self.codec, finished(self.network), self.head, self.carriers, self.reference.cpu(),
            self.noise_reference.cpu() if self.head.noise else None, voicing, GRID, RISE,
        )  # fmt: skip
        keys, rate = self.config.notes.keys, self.config.notes.sample_rate
        return Instrument(name, "keys", title, rate, GAIN_DB, keys, model.knobs, model, metadata)

    def _make_held_out(self) -> list[HeldOut]:
        notes, rng = self.config.notes, np.random.default_rng([self.config.notes.seed, 1])
        held_out = []
        rows = np.unique(np.linspace(0, len(self._data) - 1, VALIDATION_NOTES).astype(int))
        with Teacher(notes.program, sample_rate=notes.sample_rate) as teacher:
            for row in rows:
                velocity = int(rng.integers(20, 128))
                release = int(np.exp(rng.uniform(np.log(0.15), np.log(3))) * notes.sample_rate) // BLOCK * BLOCK
                key = self._data[row].key
                taught = {note.velocity for note in self._data[row].notes}
                while velocity in taught:
                    velocity = velocity + 1 if velocity < 127 else 20
                sound = teacher.notes([(0, release, key, velocity)], release + notes.sample_rate)
                held_out.append(HeldOut(int(row), Note(key, velocity, release), mid_side(sound)))
        return held_out
