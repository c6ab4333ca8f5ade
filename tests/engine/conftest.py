"""Tiny instruments, so that the engine's promises are tested in seconds: a random network that sounds and dies away."""

import numpy as np
import pytest
import torch

from engine.codec import NnssCodec, ScoreCodec
from engine.instrument import Instrument
from engine.networks.heads import BinHead, PartialHead
from engine.networks.spectral import NetworkConfig, SpectralNetwork
from engine.partials import CarrierTable
from engine.spectral import Stft
from engine.units import key_to_hz
from engine.voices.models import BinKeys, PartialKeys

RATE = 44_100
FIRST_KEY, LAST_KEY = 36, 96


def _network(config, scale):
    torch.manual_seed(7)
    network = SpectralNetwork(config)
    network.eval().requires_grad_(requires_grad=False)
    network.out.weight.mul_(scale)
    return network


@pytest.fixture(scope="session")
def tiny():
    """Eight partials and two body carriers; released notes fall silent through their bias on the released input."""
    codec, head = ScoreCodec(Stft(1024, 256), RATE), PartialHead(0.4, 2.0, 2, 10)
    keys = np.arange(FIRST_KEY, LAST_KEY + 1)
    hz = np.array([[key_to_hz(int(key)) * k for k in range(1, 9)] + [120.0, 3000.0] for key in keys])
    harmonic = np.tile(np.array([*range(1, 9), 0, 0]), (len(keys), 1))
    reference = torch.full((len(keys), 2, 10), 0.01, dtype=torch.complex64)
    network = _network(NetworkConfig(codec.features, head.outputs, 24, 16, 2, "lstm", 8), 6.0)
    model = PartialKeys(codec, network, head, CarrierTable(FIRST_KEY, hz, harmonic), reference)
    return Instrument("tiny", "keys", "Tiny", RATE, 0.0, range(FIRST_KEY, LAST_KEY + 1), model.knobs, model, {})


@pytest.fixture(scope="session")
def tiny_bins():
    """nnss's head, little."""
    codec, head = NnssCodec(Stft(512, 128), bins=257, power=0.5), BinHead(257, 0.5)
    network = _network(NetworkConfig(codec.features, head.outputs, 0, 12, 2, "gru", 4), 1.0)
    model = BinKeys(codec, network, head)
    return Instrument("bins", "keys", "Bins", RATE, -20.0, range(51, 78), model.knobs, model, {})


@pytest.fixture(scope="session")
def piano():
    """The shipped one."""
    from engine.library import open_instrument

    torch.set_num_threads(1)
    return open_instrument("piano")
