from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from engine import _native
from engine.networks.heads import BinHead, PartialHead, compress, expand
from engine.networks.playing import native_network
from engine.networks.recurrent import CELLS, LookaheadRecurrent
from engine.networks.spectral import NetworkConfig, SpectralNetwork


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("frames", "chunk"), [(16, 4), (19, 8), (5, 8), (24, 24)])
def test_training_computes_what_live_playing_computes(cell, layers, frames, chunk):
    """`segment` does all windows at once; `window`, called again and again, is what is played."""
    network, context = LookaheadRecurrent(6, 5, layers, cell), 3
    x, ahead = torch.randn(2, frames, 6), torch.randn(2, context, 6)
    fast, fast_states = network.segment(x, ahead, chunk, network.zero_states(2))
    joined, states, parts = torch.cat([x, ahead], 1), network.zero_states(2), []
    for start in range(0, frames, chunk):
        commit = min(chunk, frames - start)
        part, states = network.window(joined[:, start : start + commit + context], commit, states)
        parts.append(part)
    assert torch.allclose(fast, torch.cat(parts, 1), atol=1e-6)
    for a, b in zip(fast_states, states, strict=True):
        assert all(torch.allclose(p, q, atol=1e-6) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_one_window_over_everything_is_torchs_own_bidirectional_network(cell):
    ours = LookaheadRecurrent(6, 5, 2, cell)
    theirs = (torch.nn.LSTM if cell == "lstm" else torch.nn.GRU)(6, 5, 2, batch_first=True, bidirectional=True)
    state = {}
    for layer in range(2):
        for direction, suffix in ((ours.ahead[layer], ""), (ours.back[layer], "_reverse")):
            for name, value in direction.state_dict().items():
                state[name.replace("l0", f"l{layer}") + suffix] = value
    theirs.load_state_dict(state)
    x = torch.randn(3, 11, 6)
    assert torch.allclose(ours(x), theirs(x)[0], atol=1e-6)


def test_a_batch_is_its_voices_one_by_one():
    network = SpectralNetwork(NetworkConfig(6, 4, 3, 5, 2, "lstm", 3)).eval()
    x = torch.randn(4, 12, 6)
    whole = network.window(x, 9, network.body.zero_states(4))[0]
    single = torch.cat([network.window(row[None], 9, network.body.zero_states(1))[0] for row in x])
    assert torch.allclose(whole, single, atol=1e-6)


def test_nothing_beyond_the_context_reaches_a_frame():
    network = SpectralNetwork(NetworkConfig(6, 4, 0, 5, 2, "gru", 3)).eval()
    x = torch.randn(1, 12, 6)
    other = x.clone()
    other[:, 11:] += 1
    states = network.body.zero_states(1)
    assert torch.equal(network.window(x[:, :11], 8, states)[0], network.window(other[:, :11], 8, states)[0])


@pytest.mark.parametrize(
    "change", [{"hidden": 0}, {"hidden": 10**6}, {"features": -1}, {"layers": 0}, {"cell": "rnn"}, {"context": 1000},
               {"hidden": 2.5}]
)  # fmt: skip
def test_sizes_out_of_range_are_refused(change):
    with pytest.raises(ValueError):
        NetworkConfig(**({"features": 6, "outputs": 4} | change))


def test_the_nnss_seed_is_the_originals_network():
    network = SpectralNetwork(NetworkConfig(2048, 2048, 0, 1000, 2, "lstm", 0))
    # Keras counts one bias vector where torch has two.
    lstm = sum(4 * 1000 * (inputs + 1000 + 2) * 2 for inputs in (2048, 2000))
    assert sum(p.numel() for p in network.parameters()) == lstm + 2000 * 2048 + 2048


@pytest.mark.parametrize("power", [0.125, 0.4, 1.0])
def test_compression_comes_back(power):
    values = torch.randn(50, dtype=torch.complex64)
    assert torch.allclose(expand(compress(values, power), power), values, atol=1e-4)


def test_an_output_of_one_is_the_reference():
    head = PartialHead(0.4, 2.0, 2, 3)
    reference = torch.randn(2, 3, dtype=torch.complex64)
    raw = torch.view_as_real(torch.ones(4, 2, 3, dtype=torch.complex64)).flatten(1)
    assert torch.allclose(head.envelopes(raw, reference), reference.expand(4, 2, 3), atol=1e-5)
    assert head.gain(127) == 1
    assert head.gain(63.5) == pytest.approx(0.25)


def test_a_bin_head_undoes_the_power_normalisation():
    head = BinHead(5, 1 / 8)
    spectrum = torch.randn(3, 5, dtype=torch.complex64)
    normal = compress(spectrum, 1 / 8)
    raw = torch.cat([normal.real, normal.imag], 1)
    assert torch.allclose(head.spectrum(raw), spectrum, atol=1e-3)


@pytest.mark.parametrize(
    "arguments", [(0.0, 2, 2, 3), (0.4, -1, 2, 3), (0.4, 2, 3, 3), (0.4, 2, 2, 0), (0.4, 2, 2, 9999)]
)
def test_heads_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError):
        PartialHead(*arguments)


@pytest.mark.parametrize("change", [{"front": 2.0}, {"layers": 2.0}, {"context": 8.0}, {"outputs": "4"}])
def test_sizes_are_whole_numbers(change):
    with pytest.raises(ValueError, match="whole number"):
        NetworkConfig(**({"features": 6, "outputs": 4} | change))


@pytest.mark.parametrize("arguments", [(257.0, 0.5), (0, 0.5), (257, 0), (257, 1e-300), (257, 2), (257, float("nan"))])
def test_bin_heads_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="bin head"):
        BinHead(*arguments)


@pytest.mark.parametrize("arguments", [(0.4, 2, 2.0, 3), (0.4, 2, 2, 3.0)])
def test_partial_heads_have_whole_numbers_of_channels_and_carriers(arguments):
    with pytest.raises(ValueError, match="whole number"):
        PartialHead(*arguments)


def lively(cell, hidden, *, front=0, layers=2, outputs=4):
    """A network whose numbers are large enough that errors would show."""
    torch.manual_seed(hidden)
    network = SpectralNetwork(NetworkConfig(6, outputs, front, hidden, layers, cell, 3)).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.copy_(torch.randn_like(parameter) * (0.5 if parameter.ndim == 1 else 1.5 / parameter.shape[1] ** 0.5))
    return network


def noise(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("kernels", _native.kernel_names())
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("hidden", "front", "layers"), [(5, 0, 1), (16, 4, 2), (37, 8, 3), (128, 64, 2)])
def test_native_code_computes_what_the_definition_does(kernels, cell, hidden, front, layers):
    network = lively(cell, hidden, front=front, layers=layers, outputs=33)
    native = native_network(network, kernels)
    for voices, commit in ((1, 1), (2, 8), (5, 3), (6, 4), (7, 2), (13, 20)):
        frames = noise(voices, commit + 3, 6)
        before, states = np.zeros((voices, native.states), np.float32), network.body.zero_states(voices)
        for _ in range(2):
            wanted, states = network.window(torch.from_numpy(frames), commit, states)
            raw, after = native.window(frames, commit, before)
            assert np.abs(raw - wanted.numpy()).max() < 1e-5 * max(1, np.abs(raw).max())
            before = np.ascontiguousarray(after[:, -1])
            flat = torch.cat([part[0] for state in states for part in state], 1).numpy()
            assert np.abs(before - flat).max() < 1e-5


@pytest.mark.parametrize("kernels", _native.kernel_names())
@pytest.mark.parametrize("cell", CELLS)
def test_a_voice_is_written_alike_whoever_is_beside_it(kernels, cell):
    native = native_network(lively(cell, 40, front=8), kernels)
    frames, states = noise(20, 11, 6), noise(20, native.states)
    raw, after = native.window(frames, 8, states)
    for order in ([0], [18, 19], [*range(20)][::-1], [3, 7, 11], [*range(6)], [*range(5)], [1, 2, 3, 4], [*range(7)]):
        some, others = native.window(frames[order], 8, states[order])
        assert np.array_equal(some, raw[order]) and np.array_equal(others, after[order])


@pytest.mark.parametrize("cell", CELLS)
def test_a_window_can_be_gone_back_into_at_every_frame(cell):
    native = native_network(lively(cell, 5))
    frames = noise(1, 23, 6)
    raw, after = native.window(frames, 20, np.zeros((1, native.states), np.float32))
    for index in range(19):
        rest, _ = native.window(frames[:, index + 1 :].copy(), 19 - index, after[:, index].copy())
        # The frames after it are the same: all that a window knows of its past is in the state.
        assert np.abs(rest - raw[:, index + 1 :]).max() < 1e-5


def test_many_threads_may_write_at_once():
    native = native_network(lively("complex_lstm", 24))
    work = [(noise(1, 40 + index, 6), 37 + index, np.zeros((1, native.states), np.float32)) for index in range(16)]
    alone = [native.window(*one)[0] for one in work]
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda one: native.window(*one)[0], work * 10)
    for one, other in zip(alone * 10, together, strict=True):
        assert np.array_equal(one, other)


def test_sizes_that_do_not_fit_are_refused_by_native_code():
    network = lively("lstm", 5)
    native = native_network(network)
    frames, state = noise(1, 11, 6), np.zeros((1, native.states), np.float32)
    with pytest.raises(ValueError, match="network's sizes"):
        native.window(frames[:, :, :5].copy(), 8, state)
    with pytest.raises(ValueError, match="network's sizes"):
        native.window(frames, 8, state[:, 1:].copy())
    for commit in (0, 12):
        with pytest.raises(ValueError, match="network's sizes"):
            native.window(frames, commit, state)
    with pytest.raises(ValueError, match="no kernels 'abacus'"):
        native_network(network, "abacus")
    weight, bias = np.zeros((5, 6), np.float32), np.zeros(5, np.float32)
    with pytest.raises(ValueError, match="'rnn' is not one of"):
        _native.Network("rnn", 5, None, [], (weight, bias))
    with pytest.raises(ValueError, match="one layer or more"):
        _native.Network("lstm", 5, None, [], (weight, bias))
    direction = (weight, bias), (weight, bias)
    with pytest.raises(ValueError, match="size of its neighbours"):
        _native.Network("lstm", 5, None, [(direction, direction)], (weight, bias))
