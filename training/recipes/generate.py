"""What the recipes for pads have in common: one task for autoencoders, variational ones and adversaries.

The loss is a sum of what a recipe's weights choose:

    reconstruction    |picture - decoded code of it|, in units of about 4 dB; or its square, as the seeds had it
    kl                of the code's normal distribution against the standard one (Kingma and Welling 2013)
    adversary         hinge loss of a discriminator on data, decoded random codes and (where there is an encoder)
                      reconstructions, and the decoder's wish to please it (Larsen et al. 2015 put both together)

The discriminator's turn and the decoder's are one step: the one sees the other's weights as constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from engine.bands import Bands
from engine.instrument import Instrument
from engine.knobs import PADS, SLIDERS
from engine.networks.generators import ConvEncoder, GeneratorConfig, LstmDecoder, decoder, encoder
from engine.spectral import Stft
from engine.voices.generators import GeneratedPads, LatentSpace, Voicing, named_pads
from training.pictures import BEATS, Dataset

FIRST_KEY = 36
AVERAGE = 0.995  # of the decoder's weights that plain adversaries are played with
LAPLACE = 0.05  # width that reconstruction is measured in
SCALES = (2048, 512, 128)
GUESSES = 2000
FILLED = 1e-3  # weight of the divergence from which on codes fill their space: what lies between sounds is one


@dataclass(frozen=True)
class GenerateConfig:
    """Everything that decides how pads are fitted, but for its length.

    length, hop: of the transform, samples at 44.1 kHz. bands: 0 for raw sounds at `rate`. frames: of a sound, or
    samples of a raw one. parts: that a sound is coded in. adversary_from: step from which on the adversary speaks;
    until then the decoder learns what sounds look like. listens: whether there is an encoder.
    """

    body: str = "conv"
    code: int = 40
    width: int = 24
    coefficients: int = 0
    length: int = 1024
    hop: int = 256
    bands: int = 128
    high_hz: float = 16_000.0
    curve: str = "db"
    frames: int = 160
    parts: int = 1
    loop: bool = False
    rate: int = 0
    listens: bool = True
    squared: bool = False
    reconstruction: float = 1.0
    kl: float = 0.0
    adversary: float = 0.0
    adversary_body: str = "conv"
    adversary_from: int = 0
    iterations: int = 4
    batch: int = 16
    learning_rate: float = 1e-3
    precision: str = "float32"

    def to_json(self) -> dict[str, Any]:
        """As it stands in the instrument's card."""
        return asdict(self)

    @property
    def generator(self) -> GeneratorConfig:
        """Of the networks."""
        return GeneratorConfig(
            self.body, self.code, self.frames // self.parts, self.bands, self.width, self.coefficients
        )

    def transform(self, top_db: float = 0.0) -> Bands | None:
        """The bands of its pictures, None for raw sounds."""
        if not self.bands:
            return None
        return Bands(Stft(self.length, self.hop), self.bands, self.high_hz, top_db=top_db, curve=self.curve)

    @property
    def voicing(self) -> Voicing:
        """How pictures become sounds."""
        seconds = self.frames / self.rate if self.rate else self.frames * self.hop / 44_100
        return Voicing(self.loop, self.iterations, self.parts, self.rate, 60 * BEATS / seconds if self.loop else 0.0)


class _Model(nn.Module):
    """All that is fitted: decoder, and where the recipe has them encoder and adversary."""

    def __init__(self, config: GenerateConfig) -> None:
        super().__init__()
        self.decoder = decoder(config.generator)
        self.encoder = (
            encoder(config.generator, 2 * config.code if config.kl else config.code) if config.listens else None
        )
        self.adversary = _adversary(config) if config.adversary else None
        self.average = decoder(config.generator) if config.adversary else None
        if self.average is not None:
            self.average.load_state_dict(self.decoder.state_dict())
            self.average.requires_grad_(requires_grad=False)


def _adversary(config: GenerateConfig) -> nn.Module:
    body: nn.Module = (
        LstmAdversary(config.generator) if config.adversary_body == "lstm" else ConvEncoder(config.generator, 1)
    )
    for module in list(body.modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            spectral_norm(module)
    return body


class LstmAdversary(nn.Module):
    """Hears cepstra frame after frame and says at the end what it takes them for."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.lstm = nn.LSTM(config.coefficients, config.width, 1, batch_first=True)
        self.out = nn.Linear(config.width, 1)

    def forward(self, cepstra: Tensor) -> Tensor:
        """(batch, frames, coefficients) -> (batch, 1)."""
        out: Tensor = self.out(self.lstm(cepstra)[0][:, -1])
        return out


class GenerateTask:
    """A `Task`: see `training.fit`."""

    def __init__(self, config: GenerateConfig, data: Dataset, top_db: float, device: torch.device) -> None:
        self.config, self.data, self.device = config, data, device
        self._bands = config.transform(top_db)
        model = _Model(config).to(device)
        if isinstance(model.decoder, LstmDecoder):
            _standardise(model.decoder, data)
            if isinstance(model.average, LstmDecoder):
                model.average.load_state_dict(model.decoder.state_dict())
        self.model: nn.Module = model
        self._parts = model

    def loss(self, rng: np.random.Generator, step: int = 0) -> Tensor:
        """Of one random batch."""
        config, model = self.config, self._parts
        real = self._split(
            torch.from_numpy(self.data.batch(rng.choice(self.data.taught, config.batch))).to(self.device)
        )
        total = torch.zeros((), device=self.device)
        fakes = []
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            if model.encoder is not None:
                code, divergence = self._coded(model.encoder(real))
                wrote = model.decoder(code)
                total = config.reconstruction * self.distance(wrote, real) + config.kl * divergence
                fakes.append(wrote)
            if model.adversary is not None:
                if model.encoder is None or config.kl:
                    fakes.append(model.decoder(torch.randn(len(real), config.code, device=self.device)))
                if step >= config.adversary_from:
                    total = total + config.adversary * self._contest(model.adversary, torch.cat(fakes), real)
        self._follow()
        return total.float()

    def distance(self, wrote: Tensor, real: Tensor) -> Tensor:
        """What reconstruction is judged by."""
        wrote, real = wrote.float(), real.float()
        if self.config.squared:
            return F.mse_loss(wrote, real) / LAPLACE**2
        if not self.config.bands:
            return 5 * F.l1_loss(wrote, real) + spectral_distance(wrote, real)
        return F.l1_loss(wrote, real) / LAPLACE

    def validate(self) -> dict[str, float]:
        """Reconstruction of held-out sounds, in dB (or as waveform), against the mean sound's; see the evaluation."""
        model, numbers = self._parts, self.data.held_out[:256]
        real = self._split(torch.from_numpy(self.data.batch(numbers)).to(self.device))
        if model.encoder is None:
            fake = self._player()(torch.randn(64, self.config.code, device=self.device))
            own, wanted = (float(pictures.std(0, correction=0).mean()) for pictures in (fake, real))
            return {"spread of pictures": own, "of the data": wanted}
        wrote = self._player()(model.encoder(real)[:, : self.config.code])
        mean = self._split(torch.from_numpy(self.data.batch(self.data.taught).mean(0, keepdims=True)).to(self.device))
        mean = mean.repeat(len(numbers), *[1] * (mean.dim() - 1))
        own, means = float((wrote - real).abs().mean()), float((mean - real).abs().mean())
        scale = self._bands.range_db if self._bands is not None and self._bands.curve == "db" else 1.0
        return {"reconstruction_l1": own * scale, "mean_sound_l1": means * scale, "ratio": own / means}

    def instrument(self, name: str, title: str, metadata: Mapping[str, object]) -> Instrument:
        """The instrument as it is fitted so far."""
        model, config = self._parts, self.config
        codes, labels = self._codes() if model.encoder is not None else self._guessed()
        space = LatentSpace.of(codes)
        beats = float(BEATS) if config.loop else 0.0
        pads = named_pads(self.data.titles, space.latent(codes), labels, beats=beats, typical=config.kl < FILLED)
        writes, listens = stored(self._player()), None if model.encoder is None else stored(model.encoder)
        shown = SLIDERS[: min(len(SLIDERS), len(space.deviations))]
        knobs = (*shown, *(name for name in PADS if name not in SLIDERS))
        pads_model = GeneratedPads(
            config.generator, writes, listens, space, pads, config.voicing, self._bands, knobs=knobs
        )  # fmt: skip
        keys = range(FIRST_KEY, FIRST_KEY + len(pads))
        return Instrument(name, "pads", title, 44_100, 0.0, keys, knobs, pads_model, metadata)

    def _player(self) -> nn.Module:
        """The decoder that is played."""
        return self._parts.decoder if self._parts.average is None else self._parts.average

    def _split(self, whole: Tensor) -> Tensor:
        """Sounds as parts: (batch, ...) -> (batch * parts, ...)."""
        return whole.reshape(len(whole) * self.config.parts, -1, *whole.shape[2:])

    def _coded(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """A code drawn from what the encoder says, and its divergence from the standard normal one."""
        if not self.config.kl:
            return out, out.new_zeros(())
        mean, log_variance = out.float().chunk(2, dim=1)
        log_variance = log_variance.clamp(-12, 4)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return mean + torch.randn_like(mean) * (0.5 * log_variance).exp(), divergence

    def _contest(self, adversary: nn.Module, fakes: Tensor, real: Tensor) -> Tensor:
        """Both sides' losses: hinge for the adversary, its applause for the decoder."""
        heard, shown = self._shown(real), self._shown(fakes)
        own = F.relu(1 - adversary(heard)).mean() + F.relu(1 + adversary(shown.detach())).mean()
        constant = {name: value.detach() for name, value in adversary.state_dict(keep_vars=True).items()}
        applause: Tensor = functional_call(adversary, constant, (shown,)).mean()
        return own - applause

    def _shown(self, pictures: Tensor) -> Tensor:
        """What the adversary sees: pictures, floor included, or cepstra."""
        body = self._parts.decoder
        if self.config.adversary_body == "lstm" and isinstance(body, LstmDecoder):
            return (pictures.float() @ body.basis.T - body.mean) / body.deviation
        return pictures.clamp(min=-0.02)  # what lies under the floor is not heard

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the played decoder follow the fitted one."""
        if self._parts.average is not None:
            for own, new in zip(self._parts.average.parameters(), self._parts.decoder.parameters(), strict=True):
                own.lerp_(new, 1 - AVERAGE)

    @torch.no_grad()
    def _codes(self) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Codes (items, code * parts) of what was taught, and their labels."""
        taught, model = self.data.taught, self._parts
        assert model.encoder is not None
        rows = []
        for start in range(0, len(taught), 64):
            real = self._split(torch.from_numpy(self.data.batch(taught[start : start + 64])).to(self.device))
            rows.append(model.encoder(real)[:, : self.config.code].reshape(-1, self.config.parts * self.config.code))
        return torch.cat(rows).cpu().numpy(), self.data.labels[taught]

    @torch.no_grad()
    def _guessed(self) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Random codes, and the kind whose mean picture each one's is nearest to."""
        codes = torch.randn(GUESSES, self.config.code, generator=torch.Generator().manual_seed(0))
        means = [self.data.batch(np.flatnonzero(self.data.labels == n)).mean(0) for n in range(len(self.data.titles))]
        labels = []
        for start in range(0, GUESSES, 100):
            wrote = self._player()(codes[start : start + 100].to(self.device)).cpu().numpy()
            labels.append(np.argmin([np.abs(wrote - mean).mean(axis=(1, 2)) for mean in means], axis=0))
        found = np.concatenate(labels)
        for number in set(range(len(means))) - set(found.tolist()):
            found[number] = number  # a kind that nothing is like still has a pad
        return codes.numpy(), found


def spectral_distance(wrote: Tensor, real: Tensor) -> Tensor:
    """Mean difference of log magnitudes and of magnitudes at several frame lengths (Yamamoto et al. 2020)."""
    total = wrote.new_zeros(())
    for length in SCALES:
        window = torch.hann_window(length, device=wrote.device)
        a, b = (
            torch.stft(x, length, length // 4, window=window, return_complex=True).abs() + 1e-4 for x in (wrote, real)
        )
        total = total + F.l1_loss(a.log(), b.log()) + torch.linalg.norm(a - b) / torch.linalg.norm(b)
    return total / len(SCALES)


def _standardise(body: LstmDecoder, data: Dataset) -> None:
    """Mean and deviation of every cepstral coefficient of the data."""
    some = data.taught[:: max(1, len(data.taught) // 1000)]
    cepstra = torch.from_numpy(data.batch(some)).to(body.basis.device) @ body.basis.T
    body.mean.copy_(cepstra.mean((0, 1)))
    body.deviation.copy_(cepstra.std((0, 1)) + 1e-4)


def stored(network: nn.Module) -> nn.Module:
    """A network as an instrument holds it: its numbers rounded to float16, as they are saved."""
    import copy  # noqa: PLC0415

    own = copy.deepcopy(network).cpu().eval().requires_grad_(requires_grad=False)
    for name, value in own.state_dict().items():
        if value.is_floating_point():
            own.state_dict()[name].copy_(value.half().float())
    return own
