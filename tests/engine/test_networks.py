import numpy as np
import pytest
import torch

from engine.networks.heads import BinHead, PartialHead, compress, expand
from engine.networks.playing import CHUNK, LONG, SMALLEST_HALF, PlayingNetwork
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


@pytest.mark.parametrize("commit", [8, LONG])
@pytest.mark.parametrize("exact", [True, False])
def test_a_voice_is_written_alike_whoever_is_beside_it(exact, commit):
    torch.manual_seed(3)
    network = SpectralNetwork(NetworkConfig(6, 4, 0, SMALLEST_HALF, 2, "lstm", 3)).eval().requires_grad_(False)
    playing = PlayingNetwork(network, exact=exact)
    rows = playing.rows(commit)
    frames = [row.numpy() for row in torch.randn(rows, commit + 3, 6)]
    states = [playing.zero_states() for _ in frames]
    whole = playing.window(frames, commit, states)
    for order in ([0], [*range(rows)][-2:], [*range(rows)][::-1]):
        some = playing.window([frames[row] for row in order], commit, [states[row] for row in order])
        for row, written in zip(order, some, strict=True):
            assert torch.allclose(written.raw, whole[row].raw, atol=1e-6, rtol=0)
    wanted = network.window(torch.from_numpy(np.stack(frames)), commit, network.body.zero_states(rows))[0]
    error = torch.stack([written.raw for written in whole]) - wanted
    limit = -100 if playing.precision == "float32" else -35
    assert 10 * torch.log10(error.pow(2).mean() / wanted.pow(2).mean() + 1e-20) < limit


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("hidden", [5, SMALLEST_HALF])
@pytest.mark.parametrize("commit", [4, 8, 20])
def test_a_window_is_the_networks_own_and_can_be_gone_back_into(cell, hidden, commit):
    network = SpectralNetwork(NetworkConfig(6, 4, 4, hidden, 2, cell, 3)).eval().requires_grad_(False)
    playing = PlayingNetwork(network, exact=True)
    frames = np.random.default_rng(0).standard_normal((2, commit + 3, 6)).astype(np.float32)
    written = playing.window(list(frames), commit, [playing.zero_states()] * 2)
    x = torch.from_numpy(frames)
    wanted, after = network.window(x, commit, network.body.zero_states(2))
    for row in range(2):
        assert torch.allclose(written[row].raw, wanted[row], atol=1e-6)
        flat = [part[0, row : row + 1] for state in after for part in state]
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(written[row].states[-1], flat, strict=True))
        assert len(written[row].states) == 1 + -(-commit // CHUNK)
        for index, state in enumerate(written[row].states[:-1]):
            rest = playing.window([frames[row, index * CHUNK :]], commit - index * CHUNK, [state])[0]
            # The frames after it are the same: all that a window knows of its past is in the state.
            assert torch.allclose(rest.raw, written[row].raw[index * CHUNK :], atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("hidden", [12, 128])  # from 128 on in bfloat16, where the processor has it
def test_a_window_is_one_call_whatever_the_cell(cell, hidden, caplog):
    network = SpectralNetwork(NetworkConfig(10, 6, 8, hidden, 2, cell, 4)).eval().requires_grad_(False)
    playing = PlayingNetwork(network)
    frames = [np.ones((12, 10), np.float32)]
    first, again = (playing.window(frames, 8, [playing.zero_states()])[0].raw for _ in range(2))
    assert torch.equal(first, again)
    assert not caplog.records  # it is said where a window cannot be traced
