import numpy as np
import pytest
import torch

from engine.networks.heads import BinHead, PartialHead, compress, expand
from engine.networks.playing import SMALLEST_HALF, PlayingNetwork
from engine.networks.recurrent import LookaheadRecurrent
from engine.networks.spectral import NetworkConfig, SpectralNetwork


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.mark.parametrize("cell", ["lstm", "gru"])
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
        part, states, _ = network.window(joined[:, start : start + commit + context], commit, states)
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


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_replay_finds_the_states_inside_windows(cell):
    network = LookaheadRecurrent(6, 5, 2, cell)
    windows = []
    for commit in (4, 7, 5):
        x = torch.randn(1, commit + 3, 6)
        begin = [tuple(torch.randn(1, 1, 5) for _ in state) for state in network.zero_states(1)]
        windows.append((x, begin, network.window(x, commit, begin)[2]))
    counts = [2, 0, 5]
    for (_, begin, fed), count in zip(windows, counts, strict=True):
        states = network.replay(fed, count, begin)
        for layer in range(2):
            wanted = begin[layer]
            if count:
                hidden = wanted if cell == "lstm" else wanted[0]
                after = network.ahead[layer](fed[layer][:, :count], hidden)[1]
                wanted = after if cell == "lstm" else (after,)
            assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(states[layer], wanted, strict=True))


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


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_replayed_to_its_end_a_window_ends_as_it_did(cell, layers):
    network = LookaheadRecurrent(6, 5, layers, cell)
    begin = [tuple(torch.randn(1, 1, 5) for _ in state) for state in network.zero_states(1)]
    _, after, fed = network.window(torch.randn(1, 9 + 4, 6), 9, begin)
    for a, b in zip(network.replay(fed, 9, begin), after, strict=True):
        assert all(torch.allclose(p, q, atol=1e-6) for p, q in zip(a, b, strict=True))
    # On the way there: to some frame, and from there on over what the window was fed with.
    for count in range(1, 9):
        middle = network.replay(fed, count, begin)
        rest = [layer[:, count:] for layer in fed]
        for a, b in zip(network.replay(rest, 9 - count, middle), after, strict=True):
            assert all(torch.allclose(p, q, atol=1e-6) for p, q in zip(a, b, strict=True))


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


@pytest.mark.parametrize("exact", [True, False])
def test_a_voice_is_written_alike_whoever_is_beside_it(exact):
    torch.manual_seed(3)
    network = SpectralNetwork(NetworkConfig(6, 4, 0, SMALLEST_HALF, 2, "lstm", 3)).eval().requires_grad_(False)
    playing = PlayingNetwork(network, exact=exact)
    frames = [row.numpy() for row in torch.randn(playing.rows, 8 + 3, 6)]
    states = [playing.zero_states() for _ in frames]
    whole = playing.window(frames, 8, states)
    for order in ([0], [3, 0], [*range(playing.rows)][::-1]):
        some = playing.window([frames[row] for row in order], 8, [states[row] for row in order])
        for row, written in zip(order, some, strict=True):
            assert torch.allclose(written.raw, whole[row].raw, atol=1e-6, rtol=0)
    wanted = network.window(torch.from_numpy(np.stack(frames)), 8, network.body.zero_states(playing.rows))[0]
    error = torch.stack([written.raw for written in whole]) - wanted
    limit = -100 if playing.precision == "float32" else -35
    assert 10 * torch.log10(error.pow(2).mean() / wanted.pow(2).mean() + 1e-20) < limit


def test_going_back_in_half_the_precision_is_going_on_from_there():
    torch.manual_seed(3)
    network = SpectralNetwork(NetworkConfig(6, 4, 0, SMALLEST_HALF, 2, "lstm", 3)).eval().requires_grad_(False)
    playing = PlayingNetwork(network)
    frames = np.random.default_rng(0).standard_normal((16 + 3, 6)).astype(np.float32)
    written = playing.window([frames], 16, [playing.zero_states()])[0]
    middle = playing.replay(written.fed, 6, playing.zero_states())
    directly = playing.window([frames[: 6 + 3]], 6, [playing.zero_states()])[0].states
    for found, wanted in zip(middle[0], directly[0], strict=True):  # the first layer knows nothing of what comes
        assert torch.allclose(found.float(), wanted.float(), atol=0.02)
    assert playing.replay(written.fed, 0, middle)[0][0] is middle[0][0]
