"""Tiny instruments, so that the engine's promises are tested in seconds: a random network that sounds and dies away."""

import numpy as np
import pytest
import torch

from engine.codec import NnssCodec, ScoreCodec
from engine.grid import Grid, Strides
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
    """Eight partials and two body carriers, complex cells, several rates, noise, an onset that rises."""
    codec, head = ScoreCodec(Stft(1024, 256), RATE), PartialHead(0.4, 2.0, 2, 10, 6)
    keys = np.arange(FIRST_KEY, LAST_KEY + 1)
    hz = np.array([[key_to_hz(int(key)) * k for k in range(1, 9)] + [120.0, 3000.0] for key in keys])
    harmonic = np.tile(np.array([*range(1, 9), 0, 0]), (len(keys), 1))
    reference = torch.full((len(keys), 2, 10), 0.01, dtype=torch.complex64)
    network = _network(NetworkConfig(codec.features, head.outputs, 24, 8, 2, "complex_lstm", 8), 9.0)
    grid = Grid(Strides(((8, 2), (24, 4))), Strides(((6, 2), (12, 4))))
    noise, voicing = torch.full((len(keys), 2, 6), 0.002), 3.0 * np.sin(keys)
    table = CarrierTable(FIRST_KEY, hz, harmonic)
    model = PartialKeys(codec, network, head, table, reference, noise, voicing, grid, 64)
    return Instrument("tiny", "keys", "Tiny", RATE, 0.0, range(FIRST_KEY, LAST_KEY + 1), model.knobs, model, {})


@pytest.fixture(scope="session")
def fading():
    """Four partials and two body carriers that die away within a quarter of a second, released or not.

    One unit of the last forward layer forgets its beginning at a steady rate, and the loudness is how much of it is
    left; the others, at random, colour the sound by key, velocity and release, and are shut by the first.
    """
    codec, head = ScoreCodec(Stft(256, 64), RATE), PartialHead(0.25, 2.0, 2, 6)
    hidden, forgets = 8, 1 / 80
    network = _network(NetworkConfig(codec.features, head.outputs, 12, hidden, 2, "lstm", 4), 4.0)
    network.front.weight.mul_(3)
    last, out = network.body.ahead[1], network.out
    last.weight_ih_l0.mul_(2)
    gates = [gate * hidden for gate in range(4)]  # of the first unit: in, forget, new, out
    for table in (last.weight_ih_l0, last.weight_hh_l0, last.bias_hh_l0):
        table[gates] = 0
    odds = float(np.log(forgets / (1 - forgets)))
    last.bias_ih_l0[gates] = torch.tensor([odds, -odds, 5.0, 5.0])
    end = float(np.tanh(np.tanh(5.0)) / (1 + np.exp(-5.0)))  # where the first unit's output settles
    last.weight_hh_l0[3 * hidden + 1 :, 0] = -4 / end
    start = torch.view_as_real(torch.exp(2j * np.pi * torch.rand(head.outputs // 2))).flatten()
    out.weight[:, 0] = -start / end
    out.weight[:, hidden:] = 0  # the backward layer knows no age
    out.bias[:] = start
    keys = np.arange(40, 80)
    hz = np.array([[key_to_hz(int(key)) * k for k in range(1, 5)] + [150.0, 2500.0] for key in keys])
    harmonic = np.tile([1, 2, 3, 4, 0, 0], (len(keys), 1))
    reference = torch.full((len(keys), 2, 6), 0.05, dtype=torch.complex64)
    model = PartialKeys(codec, network, head, CarrierTable(40, hz, harmonic), reference)
    return Instrument("fading", "keys", "Fading", RATE, 0.0, range(40, 80), model.knobs, model, {})


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
