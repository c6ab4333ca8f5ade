"""Complex cells against their equations, written out with complex numbers."""

import numpy as np
import pytest
import torch

from engine.networks.complex_cells import ComplexGRU, ComplexLSTM, phi, use_scan
from training.fast_cells import use_fast_cells

FEATURES, CELLS, BLOCKS = 6, 5, 2


@pytest.fixture(params=["plain", "compiled"])
def scan(request, tmp_path_factory):
    """Both implementations of the LSTM."""
    if request.param == "compiled":
        said = use_fast_cells(tmp_path_factory.getbasetemp() / "cells")
        if "no C compiler" in said:
            pytest.skip(said)
        assert "slower" not in said
    yield
    use_scan(None)


def made(kind, seed=0):
    torch.manual_seed(seed)
    cell = kind(FEATURES, CELLS, BLOCKS)
    with torch.no_grad():
        for weights in cell.parameters():
            weights.add_(0.2 * torch.randn(weights.shape))
    return cell


def numbers(block):
    """A block (..., 2n) as complex numbers (..., n)."""
    block = np.asarray(block, np.float64)
    n = block.shape[-1] // 2
    return block[..., :n] + 1j * block[..., n:]


def complex_inputs(x):
    """Features in blocks as complex numbers."""
    return np.concatenate([numbers(part) for part in np.split(np.asarray(x), BLOCKS, -1)], -1)


def weights_of(cell):
    values = {name: value.detach().double().numpy() for name, value in cell.named_parameters()}
    for name in ("input", "recurrent"):
        values[name] = values[name][..., 0] + 1j * values[name][..., 1]
    return values


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def bounded(z):
    return z / np.sqrt(1 + np.abs(z) ** 2)


def parts(z):
    return np.concatenate([z.real, z.imag])


@pytest.mark.usefixtures("scan")
def test_an_lstm_is_its_equations():
    cell, x = made(ComplexLSTM), torch.randn(1, 9, 2 * FEATURES, requires_grad=True)
    out, (h_after, c_after) = cell(x)
    w, n = weights_of(cell), CELLS
    h = c = np.zeros(n, complex)
    for frame, got in zip(x[0].detach().numpy(), out[0].detach().numpy(), strict=True):
        gates = sigmoid(w["gates_input"] @ frame + w["gates_recurrent"] @ parts(h) + w["bias"][: 3 * n])
        z = w["input"] @ complex_inputs(frame) + w["recurrent"] @ h + numbers(w["bias"][3 * n :])
        c = gates[n : 2 * n] * c + gates[:n] * bounded(z)
        h = gates[2 * n :] * bounded(c)
        assert np.allclose(numbers(got), h, atol=1e-5)
    assert np.allclose(numbers(h_after[0, 0].detach()), h, atol=1e-5)
    assert np.allclose(numbers(c_after[0, 0].detach()), c, atol=1e-5)


def test_a_gru_is_its_equations():
    cell, x = made(ComplexGRU), torch.randn(1, 9, 2 * FEATURES)
    out, after = cell(x)
    w, n = weights_of(cell), CELLS
    h = np.zeros(n, complex)
    for frame, got in zip(x[0].numpy(), out[0].detach().numpy(), strict=True):
        gates = sigmoid(w["gates_input"] @ frame + w["gates_recurrent"] @ parts(h) + w["bias"][: 2 * n])
        own = w["input"] @ complex_inputs(frame) + numbers(w["bias"][2 * n :])
        z = own + gates[:n] * (w["recurrent"] @ h + numbers(w["recurrent_bias"]))
        h = gates[n:] * h + (1 - gates[n:]) * bounded(z)
        assert np.allclose(numbers(got), h, atol=1e-5)
    assert np.allclose(numbers(after[0, 0].detach()), h, atol=1e-5)


@pytest.mark.usefixtures("scan")
@pytest.mark.parametrize("kind", [ComplexLSTM, ComplexGRU])
def test_gradients_are_finite_differences(kind):
    cell, x = made(kind).float(), torch.randn(2, 6, 2 * FEATURES, requires_grad=True)

    def loss():
        out, after = cell(x)
        states = after if isinstance(after, tuple) else (after,)
        return (out.sin() * torch.arange(out.numel()).reshape(out.shape).cos()).sum() + sum(
            s.cos().sum() for s in states
        )

    loss().backward()
    rng, step = np.random.default_rng(0), 1e-2
    for values in (*cell.parameters(), x):
        flat, gradient = values.data.view(-1), values.grad.reshape(-1)
        for index in rng.integers(flat.numel(), size=4):
            old, differences = float(flat[index]), []
            for change in (step, -step):
                flat[index] = old + change
                with torch.set_grad_enabled(True):
                    differences.append(float(loss().detach()))
            flat[index] = old
            wanted = (differences[0] - differences[1]) / (2 * step)
            assert float(gradient[index]) == pytest.approx(wanted, abs=0.02, rel=0.02)


@pytest.mark.parametrize("kind", [ComplexLSTM, ComplexGRU])
def test_cells_whose_gates_hear_nothing_turn_and_reflect_with_their_input(kind):
    """Without biases of z, and gates that are constant, a cell commutes with a rotation; with real A and R, also with
    a conjugation."""
    cell, x = made(kind), torch.randn(1, 7, 2 * FEATURES)
    with torch.no_grad():
        cell.gates_input.zero_(), cell.gates_recurrent.zero_()
        cell.bias[-2 * CELLS :] = 0
        if kind is ComplexGRU:
            cell.recurrent_bias.zero_()
        z, turn = complex_inputs(x), np.exp(0.7j)

        def run(values):
            blocks = [parts_of(part) for part in np.split(values, BLOCKS, -1)]
            return numbers(cell(torch.from_numpy(np.concatenate(blocks, -1)).float())[0])

        def parts_of(part):
            return np.concatenate([part.real, part.imag], -1)

        assert np.allclose(run(z * turn), run(z) * turn, atol=1e-5)
        cell.input[..., 1] = 0
        cell.recurrent[..., 1] = 0
        assert np.allclose(run(z.conj()), run(z).conj(), atol=1e-5)


@pytest.mark.usefixtures("scan")
def test_extreme_inputs_stay_finite_and_bounded():
    cell = made(ComplexLSTM)
    x = torch.tensor([1e4, -1e4, 1e6]).repeat(4).reshape(1, 1, 12).expand(1, 20, 12).clone().requires_grad_()
    out, _ = cell(x)
    assert out.isfinite().all()
    assert np.abs(numbers(out.detach())).max() <= 1.001
    out.sum().backward()
    assert x.grad.isfinite().all()


def test_phi_keeps_the_angle_and_bounds_the_magnitude():
    z = torch.randn(50, 2 * CELLS) * 10
    before, after = numbers(z), numbers(phi(z))
    assert np.allclose(np.angle(before), np.angle(after), atol=1e-5)
    assert np.all(np.abs(after) < 1)


def test_without_a_compiler_fitting_goes_on(monkeypatch, tmp_path):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "slower" in use_fast_cells(tmp_path)
    monkeypatch.setenv("CC", "/bin/false")
    assert "could not" in use_fast_cells(tmp_path)
