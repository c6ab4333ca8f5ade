"""The instrument file: one folder, one format for all instruments. Loading runs no code from it.

    NAME/instrument.json        what it is: see `engine.description`
    NAME/weights.safetensors    the network's weights ("network.*") and, for partial heads, the carrier table
    NAME/proof.safetensors      a short note: what the network heard and wrote, and how it sounded
    NAME/card.md                how it was made and what it reached, for people

Everything is checked before anything is used: sizes before reading, names and shapes before building, the numbers
after. What is wrong is said in one sentence. instrument.json alone is read by `engine.description`.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.bounded import is_regular
from engine.codec import NnssCodec, Note, ScoreCodec
from engine.cost import cost_of
from engine.description import FORMAT, JSON_FILE, SAMPLE_RATE, WEIGHTS_FILE, read_description
from engine.errors import InstrumentError
from engine.generated_file import build_pads, build_song, describe_pads, describe_song, prove_pads, prove_song
from engine.grid import Grid
from engine.knobs import HITS, KNOBS, LATENT, LOOPS
from engine.midi.events import DRUM_CHANNEL
from engine.motion import NUMBERS as MOTION
from engine.networks.heads import BinHead, PartialHead
from engine.networks.spectral import NetworkConfig, SpectralNetwork
from engine.noise import LEAST_BINS
from engine.partials import CarrierTable
from engine.spectral import Stft
from engine.tensors import MAX_PROOF_BYTES, check_levels, read_tensors
from engine.texts import is_label, shown
from engine.timbres import TimbreSpace
from engine.units import db_to_gain
from engine.voices.continuation import Continuation
from engine.voices.generated import PadsModel, SongModel
from engine.voices.generators import GeneratedPads
from engine.voices.keys import KeysBank
from engine.voices.models import UNTOUCHED, BinKeys, PartialKeys
from engine.voices.morph import MorphKeys

KeysModel = PartialKeys | BinKeys  # MorphKeys is a PartialKeys
Model = KeysModel | GeneratedPads | Continuation
PROOF_FILE, CARD_FILE = "proof.safetensors", "card.md"
LONGEST_FRAME = 1 << 16  # samples of a codec's frame, oversampled; the original's has 16384
MOST_LOBES = 1 << 19  # carriers times bins, of which two tables are kept for each key; the piano has an eighth of it
PROOF_SAMPLES = 8192
SPACE_NUMBERS = ("points", "hz", "harmonic", "level", "phase", "exponents", "noise", "motion", "voicing")
SPACE_WHOLE = ("anchors",)
PROOF_TOLERANCE_DB = -60.0


@dataclass(frozen=True)
class Instrument:
    """A loaded instrument, ready to be played.

    name: of its folder. gain_db: brings a forte chord near full scale. keys: first and last one the network knows.
    """

    name: str
    kind: str
    title: str
    sample_rate: int
    gain_db: float
    keys: range
    knobs: tuple[str, ...]
    model: Model
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def gain(self) -> float:
        """`gain_db` as a factor."""
        return db_to_gain(self.gain_db)

    @property
    def codec(self) -> NnssCodec | ScoreCodec | None:
        """The two-sine signal that its network hears; None where it hears none."""
        return self.model.codec if isinstance(self.model, PartialKeys | BinKeys) else None

    @property
    def pads(self) -> tuple[str, ...]:
        """Titles of the keys from the first on: of pads, of a song's seeds; none of notes."""
        match self.kind:
            case "pads":
                return tuple(pad.title for pad in cast(PadsModel, self.model).pads)
            case "song":
                return cast(SongModel, self.model).seeds
        return ()

    @cached_property
    def presets(self) -> Mapping[str, Mapping[str, float]]:
        """Settings of the latent knobs by the names of the learned timbres; empty where there is one only."""
        if not isinstance(self.model, MorphKeys):
            return {}
        space, latent = self.model.space, [name for name in self.knobs if name in LATENT]
        return {
            name: {knob: KNOBS[knob].clip(float(x)) for knob, x in zip(latent, space.positions(name), strict=False)}
            for name in space.names
        }


def check_part(channel: int, instrument: Instrument) -> None:
    """Raise InstrumentError where an instrument cannot have a channel (0-15) for itself."""
    if channel == DRUM_CHANNEL and instrument.kind != "pads":
        raise InstrumentError(
            f"channel {DRUM_CHANNEL + 1} has drums: pads can play it, but {instrument.title} is of kind "
            f"{instrument.kind!r}"
        )


def load_instrument(folder: Path | str) -> Instrument:
    """Read, check and build an instrument. Raises InstrumentError, in one sentence."""
    folder = Path(folder)
    data = read_description(folder)
    tensors = read_tensors(folder / WEIGHTS_FILE)
    check_levels(folder / WEIGHTS_FILE, tensors)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of absurd numbers, which are refused for what comes of them
            model = _build(data, tensors)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, RuntimeError, MemoryError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error).split("\n")[0]
        raise InstrumentError(f"{folder.name} does not fit together: {reason}") from error
    keys = range(data["keys"][0], data["keys"][1] + 1)
    knobs = tuple(name for name in data["knobs"] if name in model.knobs)
    knobs += tuple(name for name in _played(model) if name not in knobs)
    return Instrument(
        folder.name, data["kind"], data["title"], data["sample_rate"], float(data["gain_db"]), keys, knobs, model,
        data["metadata"],
    )  # fmt: skip


def _played(model: Model) -> tuple[str, ...]:
    """Knobs that an instrument has whatever its file says: those of how pads are played."""
    if not isinstance(model, GeneratedPads):
        return ()
    return (*HITS, *LOOPS) if any(pad.beats for pad in model.pads) else HITS


def save_instrument(instrument: Instrument, folder: Path, card: str) -> None:
    """Write an instrument with its proof. Raises OSError where the folder cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    model = instrument.model
    parts, tensors = _describe(model)
    description: dict[str, Any] = {
        "format": FORMAT, "kind": instrument.kind, "title": instrument.title, "sample_rate": instrument.sample_rate,
        "gain_db": instrument.gain_db, "keys": [instrument.keys[0], instrument.keys[-1]],
        "knobs": list(instrument.knobs), **parts, "metadata": dict(instrument.metadata),
    }  # fmt: skip
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    for contents, name in ((weights, WEIGHTS_FILE), (make_proof(instrument), PROOF_FILE)):
        save_file(contents, folder / name)
        (folder / name).chmod(0o644)  # safetensors keeps it to the writer
    (folder / CARD_FILE).write_text(card, encoding="utf-8")
    # Last: a folder without a description is no instrument yet.
    (folder / JSON_FILE).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def _describe(model: Model) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """codec, network and head of the description, and the weights."""
    if isinstance(model, GeneratedPads):
        return describe_pads(model)
    if isinstance(model, Continuation):
        return describe_song(model)
    description: dict[str, Any] = {
        "codec": _codec_json(model), "network": model.network.config.to_json(), "head": model.head.to_json(),
        "cost": dict(cost_of(model.network, model.grid, SAMPLE_RATE / model.codec.hop)),
    }  # fmt: skip
    tensors = {f"network.{name}": tensor for name, tensor in model.network.state_dict().items()}
    if isinstance(model, MorphKeys):
        space = model.space
        for table in (*SPACE_NUMBERS, *SPACE_WHOLE):
            tensors[f"space.{table}"] = torch.from_numpy(np.asarray(getattr(space, table)))
        for table in ("space.level", "space.phase", "space.noise"):
            tensors[table] = tensors[table].float()  # the largest tables; their precision is plenty
    elif isinstance(model, PartialKeys):
        tensors["carriers.hz"] = torch.from_numpy(model.carriers.hz)
        tensors["carriers.harmonic"] = torch.from_numpy(model.carriers.harmonic)
        tensors["reference"], tensors["noise"] = torch.view_as_real(model.reference), model.noise
        if model.voicing is not None:
            tensors["voicing"] = torch.from_numpy(model.voicing)
        description["codec"]["first_key"] = model.carriers.first_key
    return description, tensors


def make_proof(instrument: Instrument) -> dict[str, Tensor]:
    """What the middle key sounds like, released after a while: input and output of the network, and the sound.

    Of pads the first one, of songs their first beginning, continued.
    """
    if isinstance(instrument.model, GeneratedPads):
        return prove_pads(instrument.model)
    if isinstance(instrument.model, Continuation):
        return prove_song(instrument.model)
    return _prove_keys(instrument, instrument.model)


def _prove_keys(instrument: Instrument, model: KeysModel) -> dict[str, Tensor]:
    key, velocity, release = (instrument.keys[0] + instrument.keys[-1]) // 2, 80, PROOF_SAMPLES // 2
    note = Note(key, velocity)
    with torch.inference_mode():
        network = model.network
        latent = model.latent(UNTOUCHED)
        frames = torch.from_numpy(model.inputs(note, model.grid.after(0, 12 + network.config.context), latent))
        written = network.window(frames[None], 12, network.body.zero_states(1))[0][0]
    bank = KeysBank(model, instrument.keys)
    bank.start(0, key, velocity)
    first = bank.render(release)[0]
    bank.release(0)
    sound = np.concatenate([first, bank.render(PROOF_SAMPLES - release)[0]], axis=1)
    return {"frames": frames, "written": written.clone(), "sound": torch.from_numpy(sound)}


def prove(instrument: Instrument, folder: Path) -> float:
    """Reproduce the stored proof; return the largest error in dB under the proof's power.

    Raises InstrumentError where the proof is missing, or differs by more than PROOF_TOLERANCE_DB.
    """
    stored = read_tensors(folder / PROOF_FILE, MAX_PROOF_BYTES)
    if (folder / CARD_FILE).exists() and not is_regular(folder / CARD_FILE):
        raise InstrumentError(f"{folder.name} is damaged: {CARD_FILE} is no regular file")
    worst, first_format = -math.inf, read_description(folder)["format"] == 1
    for name, now in _proof_again(instrument, stored).items():
        then = stored.get(name)
        if first_format and name == "written" and then is not None and then.ndim == now.ndim:
            then = then[..., : now.shape[-1]]  # without what was noise then
        if then is None or then.shape != now.shape:
            raise InstrumentError(f"{folder.name} has a proof that belongs to another instrument")
        power, error = float(then.double().pow(2).sum()), float((then.double() - now.double()).pow(2).sum())
        level = 10 * math.log10((error + 1e-30) / (power + 1e-30))
        worst = max(worst, math.inf if math.isnan(level) else level)  # max() would pass over a NaN
    if worst > PROOF_TOLERANCE_DB:
        raise InstrumentError(f"{folder.name} does not sound as it did when it was made (off by {worst:.0f} dB)")
    return worst


def _proof_again(instrument: Instrument, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    model = instrument.model
    if isinstance(model, PartialKeys | BinKeys):
        return make_proof(instrument)
    try:
        written = stored["written"]
        return prove_pads(model, written) if isinstance(model, GeneratedPads) else prove_song(model, written)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise InstrumentError(f"{instrument.name} has a proof that belongs to another instrument") from error


def _build(data: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Model:
    if data["kind"] == "pads":
        return build_pads(data, tensors)
    if data["kind"] == "song":
        return build_song(data, tensors)
    if data["format"] == 1:
        data, tensors = _as_format_2(data, tensors)
    codec, kind = dict(data["codec"]), data["codec"]["type"]
    config = NetworkConfig(**data["network"])
    weights = {n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")}
    with torch.device("meta"):  # nothing is allocated before the file's shapes are known to fit
        network = SpectralNetwork(config)
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if wanted != found:
        raise ValueError("the weights are another network's")
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    network.eval().requires_grad_(requires_grad=False)
    if not isinstance(codec["length"], int) or codec["length"] > LONGEST_FRAME:
        raise ValueError(f"a frame of {shown(codec['length'])} samples is not a whole number up to {LONGEST_FRAME}")
    stft = Stft(codec["length"], codec["hop"], codec.get("window", "hann"))
    if kind == "nnss":
        nnss = NnssCodec(stft, codec["oversampling"], codec["bins"], codec["power"], codec["interpolation"])
        return BinKeys(nnss, network, BinHead(**data["head"]))
    if kind != "score":
        raise ValueError(f"codec {shown(kind)} is not one of score, nnss")
    score, head = ScoreCodec(stft, data["sample_rate"]), PartialHead(**data["head"])
    if head.carriers * stft.bins > MOST_LOBES:
        raise ValueError(f"{head.carriers} carriers of {stft.bins} bins are too many")
    grid, rise = Grid.from_json(codec.get("grid")), codec.get("rise", 0)
    if head.noise * LEAST_BINS > stft.bins:
        raise ValueError(f"{head.noise} noise bands are too many for {stft.bins} bins")
    if "timbres" in codec:
        return MorphKeys(score, network, head, _space(codec["timbres"], tensors), grid, rise)
    carriers = CarrierTable(
        int(codec["first_key"]), tensors["carriers.hz"].double().numpy(), tensors["carriers.harmonic"].double().numpy()
    )
    reference = torch.view_as_complex(tensors["reference"].float().contiguous())
    voicing = tensors["voicing"].double().numpy() if "voicing" in tensors else None
    return PartialKeys(score, network, head, carriers, reference, tensors["noise"].float(), voicing, grid, rise)


def _as_format_2(
    data: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
    """An instrument of format 1, in which every frame was a knot, no onset rose, and noise was another thing whose
    default was silence: its numbers, the last ones of a frame, are left out."""
    head, network, tensors = dict(data["head"]), dict(data["network"]), dict(tensors)
    if bands := int(head.pop("noise", 0)) * int(head.get("channels", 0)):
        network["outputs"] -= bands
        for name in ("network.out.weight", "network.out.bias"):
            tensors[name] = tensors[name][:-bands]
    if "space.level" in tensors:
        tensors["space.noise"] = torch.zeros((*tensors["space.level"].shape[:3], 0))
        tensors["space.voicing"] = torch.zeros(tensors["space.level"].shape[:2])
        tensors["space.motion"] = torch.zeros((*tensors["space.level"].shape[:2], MOTION))
    elif "carriers.hz" in tensors:
        tensors["noise"] = torch.zeros(len(tensors["carriers.hz"]), int(head["channels"]), 0)
    return {**data, "head": head, "network": network}, tensors


def _space(names: Any, tensors: Mapping[str, Tensor]) -> TimbreSpace:
    if not isinstance(names, list) or not all(is_label(name) for name in names):
        raise ValueError("'timbres' is not a list of short names")
    numbers = {name: tensors[f"space.{name}"].double().numpy() for name in SPACE_NUMBERS}
    whole = {name: tensors[f"space.{name}"].long().numpy() for name in SPACE_WHOLE}
    return TimbreSpace(tuple(names), **numbers, **whole)


def _codec_json(model: KeysModel) -> dict[str, Any]:
    stft = model.codec.stft
    common = {"length": stft.length, "hop": stft.hop, "window": stft.window}
    if isinstance(model, PartialKeys):
        written = {"grid": model.grid.to_json(), "rise": model.synthesis.rise}
        timbres = {"timbres": list(model.space.names)} if isinstance(model, MorphKeys) else {}
        return {"type": "score", **common, **written, **timbres}
    codec = model.codec
    return {
        "type": "nnss", **common, "oversampling": codec.oversampling, "bins": codec.bins, "power": codec.power,
        "interpolation": codec.interpolation,
    }  # fmt: skip
