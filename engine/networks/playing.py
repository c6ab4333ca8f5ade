"""A network as it is played: in native code, with the weights of the definition."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from engine import _native
from engine.networks.complex_cells import ComplexGRU, ComplexLSTM
from engine.networks.spectral import SpectralNetwork


def native_network(network: SpectralNetwork, kernels: str = "") -> _native.Network:
    """The same network; kernels: one of `_native.kernel_names()`, by default the first."""
    config = network.config
    with torch.inference_mode():
        front = None if network.front is None else _affine(network.front.weight, network.front.bias)
        pairs = zip(network.body.ahead, network.body.back, strict=True)
        layers = [(_direction(ahead), _direction(back)) for ahead, back in pairs]
        out = _affine(network.out.weight, network.out.bias)
    return _native.Network(config.cell, config.hidden, front, layers, out, kernels)


def _affine(weight: Tensor, bias: Tensor) -> _native.Affine:
    return weight.numpy(force=True), bias.numpy(force=True)


def _direction(cell: nn.Module) -> _native.Direction:
    """The input's and the state's matrices of one direction, and their biases."""
    if isinstance(cell, ComplexLSTM | ComplexGRU):
        recurrent = cell.recurrent_matrix()
        bias = torch.zeros(len(recurrent))
        if isinstance(cell, ComplexGRU):
            bias[-len(cell.recurrent_bias) :] = cell.recurrent_bias
        return _affine(cell.input_matrix(), cell.bias), _affine(recurrent, bias)
    weights = cast("list[Tensor]", cast(nn.LSTM, cell).all_weights[0])
    return _affine(weights[0], weights[2]), _affine(weights[1], weights[3])
