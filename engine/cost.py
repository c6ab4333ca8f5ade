"""What a network costs to play, in real multiplications."""

from __future__ import annotations

from collections.abc import Mapping

from engine.grid import Grid
from engine.networks.spectral import SpectralNetwork

WINDOW = 16  # knots that are heard of a window; its context comes on top


def cost_of(network: SpectralNetwork, grid: Grid, frames_per_second: float) -> Mapping[str, int]:
    """macs_per_frame: each frame computed once. macs_per_voice_second: for the first second of a held voice, in windows
    of WINDOW frames and their context. parameters: numbers in the network's weights."""
    config, body = network.config, network.body
    share = (WINDOW + config.context) / WINDOW
    total = config.features * config.front * share + 2 * body.width * config.outputs
    for layer, macs in enumerate(body.macs_of_layers):
        ahead = 1.0 if layer == config.layers - 1 else share  # the last layer's future is not asked for
        total += macs / 2 * (ahead + share)
    knots = grid.held.index(round(frames_per_second))
    parameters = sum(weights.numel() for weights in network.parameters())
    second = round(total * knots)
    return {"macs_per_frame": network.macs_per_frame, "macs_per_voice_second": second, "parameters": parameters}
