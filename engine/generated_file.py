"""How pads and songs stand in the instrument file: their parts of instrument.json and of weights.safetensors.

    codec     the transform, its bands and how pictures become sounds
    network   the shape of decoder and encoder, or of the network that continues
    head      the pads: titles, choke groups, beats; or the titles of a song's beginnings
    tensors   network.*, space.*, pads.*, for songs also basis.* and seeds.*, all float16 but space and pads

Sizes in the description are checked before anything is built; shapes before any number is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.bands import Bands
from engine.description import SAMPLE_RATE
from engine.networks.generators import GeneratorConfig, SongConfig, SongNetwork, decoder, encoder
from engine.spectral import Stft
from engine.texts import clean_line, is_label, shown
from engine.voices.continuation import BandBlocks, Continuation, SpectrumBlocks
from engine.voices.generated import Pad
from engine.voices.generators import GeneratedPads, LatentSpace, Voicing

MOST_PADS, MOST_WEIGHTS = 128, 50_000_000
LONGEST_TITLE = 100
LONGEST_FRAME, MOST_OVERLAP = (
    1 << 13,
    32,
)  # samples of a frame, and how many frames may lie over each; shipped: 2048, 5.3
HIGHEST_TOP_DB = 20.0  # of a picture; shipped: -5
MOST_CELLS = 60_000_000
"""Frames times bins of all pads' pictures, once for each round of their inversion: all pads are decoded when they are
loaded. Shipped instruments have up to 11 million, which take one core 1.1 s."""
LONGEST_SOUND = 60 * SAMPLE_RATE  # samples of a pad
SHORTEST_BLOCK = 256  # samples of a song's block; shipped: 4096

Description = Mapping[str, Any]
Tensors = Mapping[str, Tensor]


def describe_pads(model: GeneratedPads) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What instrument.json and the weights hold of a model of pads."""
    heads = [{"title": pad.title, "choke": pad.choke, "beats": pad.beats} for pad in model.pads]
    outputs = 0 if model.encoder is None else len(model.encoder.state_dict()["out.bias"])
    description = {
        "codec": {"type": "pads", "voicing": asdict(model.voicing), "bands": describe_bands(model.bands)},
        "network": {"generator": model.config.to_json(), "encoder_outputs": outputs}, "head": {"pads": heads},
    }  # fmt: skip
    tensors = half("network.decoder.", model.decoder)
    if model.encoder is not None:
        tensors |= half("network.encoder.", model.encoder)
    tensors |= {
        f"space.{name}": torch.from_numpy(getattr(model.space, name)) for name in ("mean", "axes", "deviations")
    }
    for name in ("centre", "spread"):
        tensors[f"pads.{name}"] = torch.from_numpy(np.stack([getattr(pad, name) for pad in model.pads]))
    return description, tensors


def build_pads(data: Description, tensors: Tensors) -> GeneratedPads:
    """The model that a checked description and its tensors tell of.

    Raises ValueError, TypeError, KeyError or AttributeError where they do not fit together.
    """
    codec, network, heads = data["codec"], data["network"], data["head"]["pads"]
    config = GeneratorConfig(**network["generator"])
    outputs = network["encoder_outputs"]
    if not isinstance(outputs, int) or (outputs and not config.code <= outputs <= 2 * config.code):
        raise ValueError("'encoder_outputs' is not the code's size or twice that")
    space = LatentSpace(*(numbers(tensors, f"space.{name}") for name in ("mean", "axes", "deviations")))
    centre, spread = numbers(tensors, "pads.centre"), numbers(tensors, "pads.spread")
    if not isinstance(heads, list) or not 0 < len(heads) <= MOST_PADS or not len(heads) == len(centre) == len(spread):
        raise ValueError("the pads' titles and places are not as many")
    pads = tuple(_pad(head, centre[row], spread[row]) for row, head in enumerate(heads))
    writes = fill(lambda: decoder(config), "network.decoder.", tensors)
    listens = fill(lambda: encoder(config, outputs), "network.encoder.", tensors) if outputs else None
    voicing, bands = _voicing(codec["voicing"]), build_bands(codec["bands"])
    model = GeneratedPads(
        config, writes, listens, space, pads, voicing, bands, data["sample_rate"], tuple(data["knobs"])
    )  # fmt: skip
    bins = 1 if bands is None else bands.stft.bins
    if len(pads) * config.frames * voicing.parts * bins * (voicing.iterations + 2) > MOST_CELLS:
        raise ValueError("its sounds take too long to make")
    if model.samples > LONGEST_SOUND:
        raise ValueError(f"its sounds are longer than {LONGEST_SOUND // SAMPLE_RATE} seconds")
    return model


def _voicing(data: Any) -> Voicing:
    voicing = Voicing(**data)
    if not isinstance(voicing.loop, bool):
        raise ValueError("'loop' is not true or false")
    if not all(isinstance(value, int) for value in (voicing.iterations, voicing.parts, voicing.raw_rate)):
        raise ValueError("iterations, parts or raw_rate is not a whole number")
    return voicing


def _pad(head: Any, centre: np.ndarray, spread: np.ndarray) -> Pad:
    title, choke, beats = head["title"], head["choke"], head["beats"]
    if not is_label(title, LONGEST_TITLE):
        raise ValueError("a pad's title is no short text")
    if (
        not isinstance(choke, int)
        or not isinstance(beats, int | float)
        or not 0 <= choke <= 128
        or not 0 <= beats <= 64
    ):
        raise ValueError(f"pad {shown(title)} has a choke group or a length that there is not")
    return Pad(title, centre, spread, choke, float(beats))


def describe_bands(bands: Bands | None) -> dict[str, Any] | None:
    """Bands and their transform for instrument.json."""
    if bands is None:
        return None
    stft = bands.stft
    return {
        "length": stft.length, "hop": stft.hop, "count": bands.count, "high_hz": bands.high_hz,
        "top_db": bands.top_db, "range_db": bands.range_db, "curve": bands.curve,
    }  # fmt: skip


def build_bands(data: Any) -> Bands | None:
    """The bands that a description names. Raises ValueError or TypeError."""
    if data is None:
        return None
    rest = dict(data)
    length, hop = rest.pop("length"), rest.pop("hop")
    if not all(isinstance(value, int) for value in (length, hop, rest.get("count"))) or length > LONGEST_FRAME:
        raise ValueError("the bands' transform is of no size that there is")
    if hop * MOST_OVERLAP < length:
        raise ValueError(f"a hop of {shown(hop)} samples is under 1/{MOST_OVERLAP} of a frame of {length}")
    bands = Bands(Stft(length, hop), **rest)
    if bands.top_db > HIGHEST_TOP_DB:
        raise ValueError(f"a picture's top of {bands.top_db} dB is over {HIGHEST_TOP_DB:g} dB")
    return bands


def half(prefix: str, network: nn.Module) -> dict[str, Tensor]:
    """A network's tensors by name, as float16."""
    return {f"{prefix}{name}": tensor.half() for name, tensor in network.state_dict().items()}


def fill(build: Callable[[], nn.Module], prefix: str, tensors: Tensors) -> nn.Module:
    """A network with the tensors whose names begin with `prefix`; nothing is allocated before their shapes fit."""
    with torch.device("meta"):
        network = build()
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if wanted != {name: tuple(tensor.shape) for name, tensor in own.items()}:
        raise ValueError("the weights are another network's")
    if sum(tensor.numel() for tensor in own.values()) > MOST_WEIGHTS:
        raise ValueError("the network is too large")
    network = build()  # buffers that are not stored are computed
    network.load_state_dict({name: tensor.float() for name, tensor in own.items()})
    return network.eval().requires_grad_(requires_grad=False)


def numbers(tensors: Tensors, name: str) -> np.ndarray:
    """A tensor as float32. Raises KeyError."""
    return np.asarray(tensors[name].float().numpy())


def prove_pads(model: GeneratedPads, written: Tensor | None = None) -> dict[str, Tensor]:
    """The sound of the first pad: its latent, what the decoder writes, and how that sounds.

    written: what is made to sound instead; phases hang on comparisons of levels, which another processor's rounding
    could turn, so a proof is checked against its own picture.
    """
    latent = model.pads[0].centre
    now = model.written(latent)
    shown = now.astype(np.float16).astype(np.float32) if written is None else written.float().numpy()
    if shown.shape != now.shape:
        raise ValueError("its picture is of another shape")
    return {
        "latent": torch.from_numpy(latent), "written": torch.from_numpy(now.astype(np.float16)),
        "sound": torch.from_numpy(model.sounding(shown, seed=0)),
    }  # fmt: skip


def describe_song(model: Continuation) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What instrument.json and the weights hold of a song."""
    codec = model.codec
    tensors = half("network.", model.network)
    for number, rows in enumerate(model.beginnings):
        tensors[f"seeds.{number}"] = torch.from_numpy(rows).half()
    tensors |= {f"basis.{name}": torch.from_numpy(getattr(codec, name)) for name in ("mean", "deviations")}
    if isinstance(codec, BandBlocks):
        tensors["basis.rows"] = torch.from_numpy(codec.basis).half()
        kind = {"type": "bands", "frames": codec.frames, "bands": describe_bands(codec.bands)}
    else:
        kind = {"type": "spectrum", "samples": codec.samples, "overlap": codec.overlap}
    description = {"codec": kind, "network": model.network.config.to_json(), "head": {"seeds": list(model.seeds)}}
    return description, tensors


def build_song(data: Description, tensors: Tensors) -> Continuation:
    """The model that a checked description and its tensors tell of. Raises as `build_pads` does."""
    kind, titles = data["codec"], data["head"]["seeds"]
    if not isinstance(titles, list) or len(titles) > MOST_PADS or not all(isinstance(title, str) for title in titles):
        raise ValueError("'seeds' is not a list of titles")
    titles = [clean_line(title, LONGEST_TITLE) for title in titles]
    config = SongConfig(**data["network"])
    mean, deviations = numbers(tensors, "basis.mean"), numbers(tensors, "basis.deviations")
    codec: BandBlocks | SpectrumBlocks
    if kind["type"] == "bands":
        bands = build_bands(kind["bands"])
        if bands is None:
            raise ValueError("a song of bands names none")
        if not isinstance(kind["frames"], int):
            raise ValueError("a block's frames are not a whole number")
        codec = BandBlocks(bands, kind["frames"], mean, numbers(tensors, "basis.rows"), deviations)
    elif kind["type"] == "spectrum":
        if not isinstance(kind["samples"], int) or not isinstance(kind["overlap"], int):
            raise ValueError("a block's samples or overlap is not a whole number")
        codec = SpectrumBlocks(kind["samples"], kind["overlap"], mean, deviations)
    else:
        raise ValueError(f"codec {shown(kind['type'])} is not one of bands, spectrum")
    if codec.samples < SHORTEST_BLOCK:
        raise ValueError(f"a block of {codec.samples} samples is under {SHORTEST_BLOCK}")
    network = fill(lambda: SongNetwork(config), "network.", tensors)
    assert isinstance(network, SongNetwork)
    beginnings = [numbers(tensors, f"seeds.{number}") for number in range(len(titles))]
    return Continuation(network, codec, tuple(titles), beginnings, tuple(data["knobs"]))


PROOF_BLOCKS = 4


def prove_song(model: Continuation, written: Tensor | None = None) -> dict[str, Tensor]:
    """The first beginning, continued by what is most likely: the blocks, and how they (or `written`) sound."""
    rng = np.random.default_rng(0)
    state, blocks = model.begin(0), []
    for _ in range(PROOF_BLOCKS):
        blocks.append(model.drawn(state.said, 0.0, rng))
        state = model.next(state, 0.0, rng)[1]
    now = np.stack(blocks).astype(np.float16)
    shown = now.astype(np.float32) if written is None else written.float().numpy()
    if shown.shape != now.shape:
        raise ValueError("its blocks are of another shape")
    sound = model.codec.sound(model.codec.start(rng), shown, np.random.default_rng(0))[0]
    return {"written": torch.from_numpy(now), "sound": torch.from_numpy(sound)}
