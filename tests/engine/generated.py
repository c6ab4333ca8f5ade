"""Tiny pads and songs that no one has fitted, for tests of what plays and stores them."""

import numpy as np
import torch

from engine.bands import Bands
from engine.instrument import Instrument
from engine.knobs import PADS, SLIDERS, SONG
from engine.networks.generators import GeneratorConfig, SongConfig, SongNetwork, decoder, encoder
from engine.spectral import Stft
from engine.voices.continuation import BandBlocks, Continuation, SpectrumBlocks
from engine.voices.generators import GeneratedPads, LatentSpace, Voicing, named_pads

RATE = 44_100
CODE = 6
KNOBS = (*SLIDERS[:CODE], *(name for name in PADS if name not in SLIDERS))


def _half(network):
    """As it is stored."""
    network.load_state_dict({name: value.half().float() for name, value in network.state_dict().items()})
    return network.eval().requires_grad_(requires_grad=False)


def tiny_pads(body="conv", *, loop=False, listens=True, parts=1):
    torch.manual_seed(3)
    raw = body == "raw"
    config = GeneratorConfig(body, CODE // parts, 2048 if raw else 32, 0 if raw else 32, 8, 12 if body == "lstm" else 0)
    writes, rng = decoder(config), np.random.default_rng(0)
    if body == "lstm":
        writes.mean += torch.linspace(4.0, 0.0, 12)
    elif not raw:
        writes.out.bias.data += 0.7
    writes = _half(writes)
    codes = rng.standard_normal((60, CODE)).astype(np.float32) * np.arange(CODE, 0, -1)
    space = LatentSpace.of(codes)
    pads = named_pads(("kick", "hat", "open hat"), space.latent(codes), np.arange(60) % 3, beats=4.0 if loop else 0.0)
    bands = None if raw else Bands(Stft(512, 128), 32, 12_000.0)
    voicing = Voicing(loop, 2, parts, 11_025 if raw else 0, 120.0 if loop else 0.0)
    heard = _half(encoder(config, config.code)) if listens else None
    return GeneratedPads(config, writes, heard, space, pads, voicing, bands, RATE, KNOBS)


def pads_instrument(**settings):
    model = tiny_pads(**settings)
    return Instrument("hits", "pads", "Hits", RATE, 0.0, range(36, 39), KNOBS, model, {"author": "nobody"})


def tiny_song(kind="bands", mixture=3):
    torch.manual_seed(4)
    rng = np.random.default_rng(0)
    if kind == "bands":
        bands, size = Bands(Stft(1024, 256), 32, 12_000.0), 10
        basis = np.linalg.qr(rng.standard_normal((8 * 32, size)))[0].T.astype(np.float16).astype(np.float32)
        codec = BandBlocks(bands, 8, np.full(8 * 32, 0.6, np.float32), basis, np.linspace(1, 0.2, size, dtype="f"))
    else:
        size = 2 * ((1000 + 200) // 2 + 1)
        codec = SpectrumBlocks(1000, 200, np.zeros(size, np.float32), np.full(size, 1e-3, np.float32))
    network = _half(SongNetwork(SongConfig(size, 24, 1, mixture)))
    seeds = [rng.standard_normal((12, size)).astype(np.float16).astype(np.float32) for _ in range(2)]
    return Continuation(network, codec, ("one", "two"), tuple(seeds), SONG)


def song_instrument(**settings):
    return Instrument("song", "song", "Song", RATE, 0.0, range(48, 50), SONG, tiny_song(**settings), {})
