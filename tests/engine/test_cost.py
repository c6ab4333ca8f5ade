import pytest

from engine.cost import cost_of
from engine.grid import Grid, Strides
from engine.networks.spectral import NetworkConfig, SpectralNetwork

FRAMES = 44_100 / 256


def counted(network, frames, context):
    """Multiplications of a window, counted matrix by matrix."""
    config, total = network.config, 0
    whole = frames + context
    total += whole * config.features * config.front
    for layer in range(config.layers):
        ahead = frames if layer == config.layers - 1 else whole
        for module, count in ((network.body.ahead[layer], ahead), (network.body.back[layer], whole)):
            matrices = [w for w in module.parameters() if w.ndim > 1]
            # A complex product is four real ones, of two numbers each.
            total += count * sum(w.numel() * (2 if w.ndim == 3 else 1) for w in matrices)
    return total + frames * network.out.weight.numel()


@pytest.mark.parametrize("cell", ["lstm", "gru", "complex_lstm", "complex_gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_cost_is_that_of_the_matrices(cell, layers):
    network = SpectralNetwork(NetworkConfig(50, 20, 12, 8, layers, cell, 8))
    cost = cost_of(network, Grid(), FRAMES)
    assert cost["macs_per_frame"] == counted(network, 1, 0)
    assert cost["macs_per_voice_second"] == pytest.approx(counted(network, 16, 8) * 172 / 16, rel=1e-6)
    assert cost["parameters"] == sum(w.numel() for w in network.parameters())


def test_the_network_of_the_first_format_costs_what_was_measured():
    real = SpectralNetwork(NetworkConfig(1026, 512, 256, 256, 2, "lstm", 8))
    assert cost_of(real, Grid(), FRAMES)["macs_per_voice_second"] / 1e6 == pytest.approx(723, rel=0.01)


def test_knots_that_lie_apart_cost_less():
    network = SpectralNetwork(NetworkConfig(50, 20, 12, 8, 2, "complex_lstm", 8))
    dense, sparse = (cost_of(network, grid, FRAMES) for grid in (Grid(), Grid(Strides(((16, 2), (128, 4))))))
    assert sparse["macs_per_frame"] == dense["macs_per_frame"]
    assert sparse["macs_per_voice_second"] / dense["macs_per_voice_second"] == pytest.approx(83 / 172, rel=0.01)
