from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.codec import Note, ScoreCodec
from engine.grid import Grid, Strides
from engine.instrument import Instrument, load_instrument, prove, save_instrument
from engine.knobs import KNOBS, LATENT
from engine.midi.events import knob, note_off, note_on
from engine.motion import Motion
from engine.networks.heads import PartialHead
from engine.networks.spectral import NetworkConfig, SpectralNetwork
from engine.noise import band_of_bin, carrier_bands, carrier_factor, power_in_bands
from engine.spectral import Stft
from engine.synth import Synth
from engine.timbres import TimbreSpace
from engine.units import key_to_hz
from engine.voices.morph import MorphKeys

RATE = 44_100
ANCHORS = np.array([48, 60, 72])
PARTIALS, BODY, BANDS = 6, 2, 4


def make_space(timbres=5, dims=3, seed=0):
    """Partials of every anchor key, detuned by a few cents for each timbre, with levels that fall differently."""
    rng = np.random.default_rng(seed)
    harmonic = np.concatenate([np.arange(1, PARTIALS + 1), np.zeros(BODY, np.int64)])
    cents = rng.uniform(-4, 4, timbres)
    keys = np.array([key_to_hz(key) for key in ANCHORS])
    partials = keys[None, :, None] * harmonic[:PARTIALS] * 2 ** (cents[:, None, None] / 1200)
    body = np.broadcast_to([90.0, 5000.0], (timbres, len(ANCHORS), BODY))
    level = rng.uniform(0.01, 0.05, (timbres, len(ANCHORS), 2, PARTIALS + BODY))
    phase = rng.uniform(-np.pi, np.pi, level.shape)
    noise = rng.uniform(0.001, 0.01, (timbres, len(ANCHORS), 2, BANDS))
    points = rng.normal(size=(timbres, dims))
    names = tuple(f"timbre {index}" for index in range(timbres))
    hz = np.concatenate([partials, body], axis=2)
    exponents, voicing = rng.uniform(1, 3, timbres), rng.uniform(-3, 3, (timbres, len(ANCHORS)))
    motion = np.tile(Motion(5.0, 0.04, 1.0, 0.3, 4.0, (0, 5, 10, 20, 20)).numbers(), (*voicing.shape, 1))
    tables = level, phase, exponents, noise, motion, voicing
    return TimbreSpace(names, points, ANCHORS, hz, harmonic, *tables), cents


def make_instrument(seed=0, bands=BANDS):
    torch.manual_seed(seed)
    space, _ = make_space(seed=seed)
    space = replace(space, noise=space.noise[..., :bands])
    codec = ScoreCodec(Stft(1024, 256), RATE)
    head = PartialHead(0.4, 2.0, 2, PARTIALS + BODY, bands)
    network = SpectralNetwork(NetworkConfig(codec.features + space.dims, head.outputs, 16, 12, 2, "complex_gru", 8))
    network.eval().requires_grad_(requires_grad=False)
    network.out.weight.mul_(20)
    model = MorphKeys(codec, network, head, space, Grid(Strides(((16, 2),))), 64)
    return Instrument("morph", "keys", "Morph", RATE, 0.0, range(48, 73), model.knobs, model, {})


def test_a_named_timbre_lies_where_its_positions_say():
    space, _ = make_space()
    for index, name in enumerate(space.names):
        assert np.allclose(space.point(space.positions(name)), space.points[index])


def test_axes_are_ordered_orthogonal_and_one_standard_deviation_long():
    space, _ = make_space(timbres=40, dims=4)
    lengths = np.linalg.norm(space.axes, axis=1)
    assert np.all(np.diff(lengths) <= 0)
    unit = space.axes / lengths[:, None]
    assert np.allclose(unit @ unit.T, np.eye(len(unit)), atol=1e-9)
    spread = ((space.points - space.centre) @ unit.T).std(axis=0)
    assert np.allclose(spread, lengths)


def test_at_a_timbre_its_own_tables_are_found():
    space, _ = make_space()
    for index in range(len(space.names)):
        point = space.points[index]
        for place, key in enumerate(ANCHORS):
            assert np.allclose(space.frequencies(point, key), space.hz[index, place])
            measured = space.level[index, place] * np.exp(1j * space.phase[index, place])
            assert np.allclose(space.reference(point, key), measured)


@given(st.lists(st.floats(-4, 4), min_size=3, max_size=3), st.integers(48, 72))
@settings(max_examples=60, deadline=None)
def test_everywhere_keys_are_as_well_in_tune_as_the_timbres_are(positions, key):
    space, cents = make_space()
    hz = space.frequencies(space.point(positions), key)
    off = 1200 * np.log2(hz[:PARTIALS] / (key_to_hz(key) * np.arange(1, PARTIALS + 1)))
    assert np.abs(off).max() <= np.abs(cents).max() + 1e-6


@given(st.lists(st.floats(-4, 4), min_size=3, max_size=3), st.sampled_from(range(48, 73)))
@settings(max_examples=60, deadline=None)
def test_everywhere_levels_lie_within_what_was_measured(positions, key):
    space, _ = make_space()
    level = np.abs(space.reference(space.point(positions), key))
    assert np.all(level <= space.level.max(axis=(0, 1)) * 1.000001)
    assert np.all(level >= space.level.min(axis=(0, 1)) * 0.999999)


def test_weights_add_up_to_one_and_prefer_the_nearest():
    space, _ = make_space()
    point = space.points[2] * 0.9 + space.points[0] * 0.1
    weights = space.weights(point)
    assert weights.sum() == pytest.approx(1)
    assert weights.argmax() == np.linalg.norm(space.points - point, axis=1).argmin()


def test_a_partial_that_one_timbre_lacks_is_left_to_the_others():
    space, _ = make_space()
    hz = space.hz.copy()
    hz[0, :, PARTIALS - 1] = 0
    mended = replace(space, hz=hz)
    middle = space.point([0.1, 0.2, 0.3])
    sixth = mended.frequencies(middle, 60)[PARTIALS - 1]
    assert 1200 * abs(np.log2(sixth / (PARTIALS * key_to_hz(60)))) < 5


@pytest.mark.parametrize("table", ["points", "anchors", "hz", "harmonic", "level", "phase", "exponents"])
def test_tables_that_do_not_fit_are_refused(table):
    space, _ = make_space()
    with pytest.raises(ValueError, match="timbre space"):
        replace(space, **{table: getattr(space, table)[:-1]})


def play(instrument, events, samples=12_000, block=256):
    synth = Synth(instrument, limiter=False)
    synth.schedule(events)
    return np.concatenate([synth.render(block) for _ in range(samples // block)])


def test_it_can_be_saved_loaded_proved_and_sounds_the_same(tmp_path):
    instrument = make_instrument()
    save_instrument(instrument, tmp_path / "morph", "A card.")
    again = load_instrument(tmp_path / "morph")
    assert prove(again, tmp_path / "morph") < -60
    assert again.presets == instrument.presets
    assert set(again.presets) == set(instrument.model.space.names)
    events = [note_on(0, 60, 90), note_off(6000, 60)]
    a, b = play(instrument, events), play(again, events)
    assert np.abs(a).max() > 1e-4
    assert np.abs(a - b).max() < 1e-5 * np.abs(a).max()


def test_every_latent_knob_is_declared_and_heard():
    instrument = make_instrument()
    latent = [name for name in instrument.knobs if name in LATENT]
    assert len(latent) == 3
    plain = play(instrument, [note_on(0, 60, 90)])
    for name in latent:
        turned = play(instrument, [knob(0, name, 2.0), note_on(0, 60, 90)])
        assert np.abs(turned - plain).max() > 0.01 * np.abs(plain).max()


def test_a_latent_knob_turned_in_a_note_leaves_what_was_heard_and_changes_the_rest():
    instrument = make_instrument()
    plain = play(instrument, [note_on(0, 60, 90)], samples=20_000)
    turned = play(instrument, [note_on(0, 60, 90), knob(8192, "latent1", KNOBS["latent1"].high)], samples=20_000)
    assert np.array_equal(plain[:8192], turned[:8192])
    heard = np.flatnonzero(np.abs(plain - turned).max(axis=1) > 0.01 * np.abs(plain).max())
    assert heard[0] - 8192 < 0.03 * RATE


def test_turning_back_and_forth_ends_where_a_still_knob_is():
    """What was dropped leaves no trace: at rest the note sounds as if only the last turn had been made."""
    instrument = make_instrument()
    moves = [knob(4096 + 100 * step, "latent1", step % 3) for step in range(40)]
    wild = play(instrument, [note_on(0, 60, 90), *moves, knob(9000, "latent1", 0.0)], samples=60_000)
    still = play(instrument, [note_on(0, 60, 90)], samples=60_000)
    assert np.isfinite(wild).all()
    tail = slice(50_000, None)
    assert 0.3 < np.sqrt(np.mean(wild[tail] ** 2)) / np.sqrt(np.mean(still[tail] ** 2)) < 3


@pytest.mark.parametrize("block", [64, 441, 1024])
def test_any_block_size_gives_the_same_sound(block):
    instrument = make_instrument()
    events = [note_on(100, 60, 90), knob(3000, "latent2", 1.5), note_on(3100, 67, 70), note_off(9000, 60)]
    a, b = play(instrument, events, 20_000, 256), play(instrument, events, 20_000, block)
    length = min(len(a), len(b))
    assert np.abs(a[:length] - b[:length]).max() < 1e-4


def noise_alone(levels, events, samples, knobs=MappingProxyType({})):
    """What breath adds to a sound whose carriers stand still, (samples, 2), and the noise levels (channels, bands).

    levels: logarithms relative to what noise is measured by, (bands,).
    """
    instrument = make_instrument()
    out = instrument.model.network.out
    out.weight.zero_()
    out.bias.zero_()
    out.bias[: 4 * (PARTIALS + BODY) : 2] = 1  # every carrier at its reference
    out.bias[4 * (PARTIALS + BODY) :] = torch.tensor(np.tile(levels, 2), dtype=torch.float32)
    plain = [knob(0, "voicing", 0), knob(0, "vibrato", 0), knob(0, "width", 1)]
    sounds = [
        play(instrument, [*plain, knob(0, "breath", breath), *events], samples)
        for breath in (0.0, knobs.get("breath", 1.0))
    ]
    return sounds[1] - sounds[0], instrument


def measured_by(instrument, velocity):
    """Levels of noise (channels, bands) where the network writes 0 for it."""
    space, point = instrument.model.space, instrument.model.space.point(())
    gain, hz = space.gain(point, velocity), torch.from_numpy(space.frequencies(point, 60))
    reference = torch.from_numpy(space.reference(point, 60)) * gain
    synthesis = instrument.model.synthesis
    power = power_in_bands(
        reference.abs().pow(2).float(), carrier_bands(hz.numpy(), BANDS, synthesis), carrier_factor(BANDS, synthesis)
    )
    return np.sqrt(power.numpy() + (space.noise_level(point, 60) * gain) ** 2)


@pytest.mark.parametrize("breath", [0.5, 1.0, 2.0])
def test_noise_has_the_level_of_its_bands(breath):
    sound, instrument = noise_alone([0.5] * BANDS, [note_on(0, 60, 90)], 100_000, {"breath": breath})
    levels = np.exp(0.5) * breath * measured_by(instrument, 90)
    shares = np.bincount(band_of_bin(BANDS, 513, RATE)) / 513
    gain = float(np.sqrt((sound[2048:] ** 2).mean() / ((levels**2).sum(axis=0) * shares).sum()))
    channel = (100 / 127) ** 2  # a channel's volume
    assert gain == pytest.approx(channel, rel=0.03)


def test_noise_of_a_band_stays_in_it():
    sound, _ = noise_alone([-7, 1, -7, -7], [note_on(0, 60, 90)], 60_000)
    power = np.abs(np.fft.rfft(sound[2048:, 0])) ** 2
    hz = np.fft.rfftfreq(len(sound) - 2048, 1 / RATE)
    bins = np.flatnonzero(band_of_bin(BANDS, 513, RATE) == 1) * RATE / 1024
    assert power[(hz > bins[0] - 100) & (hz < bins[-1] + 100)].sum() > 0.98 * power.sum()


def test_noise_is_the_notes_own_and_always_the_same():
    def noise(key, velocity):
        return noise_alone([0] * BANDS, [note_on(0, key, velocity)], 9000)[0]

    one = noise(60, 90)
    assert np.array_equal(one, noise(60, 90))
    for other in (noise(61, 90), noise(60, 91)):
        assert abs(np.corrcoef(one[:, 0], other[:, 0])[0, 1]) < 0.3


@pytest.mark.parametrize("latent", [(), (1.0, -0.5, 2.0), (-3.0, 3.0, 3.0)])
def test_native_code_knows_the_space_of_timbres(latent):
    instrument = make_instrument()
    space = instrument.model.space
    native = instrument.model.native(instrument.keys)
    for key in (48, 50, 60, 61, 72):
        hz, re, im, noise, exponent, voicing, motion = native.tables(key, list(latent))
        point = space.point(latent)
        assert np.allclose(hz, space.frequencies(point, key), rtol=1e-9)
        reference = space.reference(point, key).ravel()
        assert np.allclose(np.array(re) + 1j * np.array(im), reference, atol=1e-6)
        assert np.allclose(noise, space.noise_level(point, key).ravel(), rtol=1e-6)
        assert (64 / 127) ** exponent == pytest.approx(space.gain(point, 64))
        assert voicing == pytest.approx(space.voicing_of(point, key))
        assert np.allclose(motion, space.motion_of(point, key).numbers())
        inputs = native.inputs(key, 68, None, [0, 5, 40], list(latent))
        wanted = instrument.model.inputs(Note(key, 68), np.array([0, 5, 40]), latent)
        assert np.abs(inputs - wanted).max() < 2e-4


def test_breath_is_heard_and_only_where_there_are_noise_bands():
    assert "breath" not in make_instrument(bands=0).knobs
    instrument = make_instrument()
    assert "breath" in instrument.knobs
    score = [note_on(0, 60, 90), note_off(6000, 60)]
    plain, none, more = (play(instrument, [knob(0, "breath", x), *score]) for x in (1.0, 0.0, 2.0))
    assert np.array_equal(plain, play(instrument, score))
    for turned in (plain, more):
        assert np.isfinite(turned).all()
        assert np.abs(turned - none).max() > 0.02 * np.abs(none).max()


@pytest.mark.parametrize("name", ["vibrato", "ensemble", "voicing"])
def test_what_was_measured_is_heard_and_only_where_it_was(name):
    instrument = make_instrument()
    assert name in instrument.knobs
    score = [note_on(0, 60, 90), note_off(9000, 60)]
    plain = play(instrument, score)
    for value in {KNOBS[name].low, KNOBS[name].high} - {KNOBS[name].default}:
        turned = play(instrument, [knob(0, name, value), *score])
        assert np.isfinite(turned).all()
        assert np.abs(turned - plain).max() > 0.02 * np.abs(plain).max()
        assert np.abs(turned).max() < 4 * np.abs(plain).max()
    space = instrument.model.space
    still = replace(space, motion=np.zeros_like(space.motion), voicing=np.zeros_like(space.voicing))
    assert name not in replace_space(instrument, still).knobs


def replace_space(instrument, space):
    model = instrument.model
    return MorphKeys(model.codec, model.network, model.head, space, model.grid, model.synthesis.rise)


@pytest.mark.parametrize("block", [64, 1000])
def test_a_note_that_swings_is_the_same_whatever_the_blocks(block):
    instrument = make_instrument()
    events = [knob(0, "ensemble", 1), note_on(0, 60, 90), note_on(3000, 67, 50), note_off(7000, 60)]
    whole, cut = Synth(instrument, limiter=False), Synth(instrument, limiter=False)
    for synth in (whole, cut):
        synth.schedule(events)
    wanted = whole.render(12_000)
    sound = np.concatenate([cut.render(block) for _ in range(12_000 // block)])
    assert np.abs(sound - wanted[: len(sound)]).max() < 1e-4 * max(1, np.abs(wanted).max())
