"""Sounds from places in a space."""

import time

import numpy as np
import pytest
import torch

from engine.errors import InstrumentError
from engine.networks.generators import GeneratorConfig, SongConfig, cosines, decoder, encoder
from engine.voices.generators import LatentSpace, cut_end, hit_picture, loop_picture, named_pads, onset
from tests.engine.generated import CODE, RATE, tiny_pads

EVERY = [
    {"body": "conv"}, {"body": "dense"}, {"body": "lstm"}, {"body": "conv", "loop": True},
    {"body": "raw", "loop": True}, {"body": "conv", "loop": True, "parts": 2},
]  # fmt: skip


@pytest.mark.parametrize("settings", EVERY)
def test_a_place_and_a_seed_make_one_sound(settings):
    model = tiny_pads(**settings)
    place = model.pads[1].centre
    sound = model.sound(place, seed=5)
    assert sound.shape[0] == 2 and 0 < sound.shape[1] <= model.samples
    assert np.isfinite(sound).all() and np.abs(sound).max() > 1e-4
    assert np.array_equal(sound, model.sound(place, seed=5))
    if settings["body"] != "raw":
        assert not np.array_equal(sound, model.sound(place, seed=6))
    moved = place.copy()
    moved[0] += 3
    assert not np.array_equal(model.written(place), model.written(moved))


@pytest.mark.parametrize("settings", EVERY)
def test_a_sound_that_somebody_brings_gets_a_place(settings):
    model = tiny_pads(**settings)
    for length in (100, 4000, 60_000):
        noise = np.random.default_rng(0).standard_normal((2, length)).astype(np.float32) * 0.1
        place = model.encode(noise)
        assert place.shape == (model.axes,) and np.isfinite(place).all() and np.abs(place).max() <= 8


def test_what_cannot_be_listened_to_is_refused():
    deaf, model = tiny_pads(listens=False), tiny_pads()
    with pytest.raises(InstrumentError, match="cannot listen"):
        deaf.encode(np.ones((2, 1000), np.float32))
    for sound in (np.zeros((2, 1000)), np.zeros((2, 0)), np.full((2, 1000), np.nan)):
        with pytest.raises(InstrumentError, match="nothing in this sound"):
            model.encode(sound.astype(np.float32))
    for latent in (np.zeros(CODE + 1, np.float32), np.full(CODE, np.inf, np.float32)):
        with pytest.raises(ValueError, match="finite numbers"):
            model.sound(latent)


def test_the_ends_of_every_slider_are_safe():
    model = tiny_pads()
    for sign in (-1, 1):
        sound = model.sound(np.full(model.axes, sign * 1e6, np.float32))
        assert np.isfinite(sound).all()


def test_sliders_are_principal_axes():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    codes = (rng.standard_normal((5000, 5)) * [5, 3, 1, 0.5, 0.1]) @ turn + 7
    space = LatentSpace.of(codes.astype(np.float32))
    assert np.allclose(space.deviations, [5, 3, 1, 0.5, 0.1], rtol=0.05)
    assert np.allclose(np.abs((space.axes * turn).sum(1)), 1, atol=0.02)
    assert np.allclose(space.latent(codes).std(axis=0), 1, atol=0.01)
    assert np.allclose(space.code(space.latent(codes)), codes, atol=1e-4)
    flat = codes.copy()
    flat[:, :] = flat[:, :1]
    assert len(LatentSpace.of(flat.astype(np.float32)).deviations) == 1
    with pytest.raises(ValueError, match="all codes are the same"):
        LatentSpace.of(np.ones((4, 3), np.float32))


def test_a_loop_of_any_tempo_has_the_same_picture():
    bands = tiny_pads().bands
    t = np.arange(44_100) / 44_100
    bar = np.sin(2 * np.pi * 2000 * t) * (np.arange(44_100) % 11_025 < 3000)
    slow = np.sin(2 * np.pi * 2000 * np.arange(88_200) / RATE) * (np.arange(88_200) % 22_050 < 6000)
    a, b = (loop_picture(x.astype(np.float32), bands, 64) for x in (bar, slow))
    assert a.shape == b.shape == (64, 32) and np.abs(a - b)[:, 8:20].mean() < 0.08
    turned = loop_picture(np.roll(bar, 11_025).astype(np.float32), bands, 64)
    assert np.abs(turned - a).mean() < 0.02  # it goes round


def test_hits_begin_at_their_onset_and_end_in_silence():
    late = np.concatenate([np.zeros(5000), np.exp(-np.arange(20_000) / 2000)]).astype(np.float32)
    assert onset(late) == 5000 and onset(np.zeros(10, np.float32)) == 0
    picture = hit_picture(late, tiny_pads().bands, 32)
    assert picture.shape == (32, 32) and picture[4].sum() > picture[-1].sum()
    cut = cut_end(late, RATE)
    assert len(cut) == pytest.approx(5000 + 2000 * np.log(1000) + 441, abs=20) and abs(cut[-1]) < 1e-6


def test_a_decoders_encoder_takes_what_it_writes():
    for body, frames, bands in (("conv", 48, 32), ("dense", 10, 7), ("lstm", 16, 16), ("raw", 512, 0)):
        config = GeneratorConfig(body, 5, frames, bands, 8, 4 if body == "lstm" else 0)
        wrote = decoder(config)(torch.randn(3, 5))
        assert wrote.shape == ((3, frames, bands) if bands else (3, frames))
        assert encoder(config, 9)(wrote).shape == (3, 9)


def test_the_cosine_transform_keeps_lengths():
    whole = cosines(16, 16)
    assert torch.allclose(whole @ whole.T, torch.eye(16), atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"body": "huge"},
        {"frames": 31},
        {"code": 0},
        {"bands": 4096},
        {"body": "lstm"},
        {"body": "raw"},
        {"width": 1 << 20},
    ],
)
def test_networks_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError):
        GeneratorConfig(**({"body": "conv", "code": 4, "frames": 32, "bands": 32, "width": 8} | wrong))
    with pytest.raises(ValueError):
        SongConfig(10, 5000, 1, 1)


def test_a_sound_takes_less_than_a_tenth_of_a_second():
    model = tiny_pads()
    torch.set_num_threads(1)
    model.sound(model.pads[0].centre)
    began = time.process_time()
    for seed in range(5):
        model.sound(model.pads[0].centre, seed)
    assert (time.process_time() - began) / 5 < 0.1


@pytest.mark.parametrize("typical", [False, True])
def test_a_pads_centre_is_its_kinds_mean_or_most_typical_sound(typical):
    latents = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    labels = np.arange(30) % 2
    for number, pad in enumerate(named_pads(("a", "b"), latents, labels, typical=typical)):
        own = latents[labels == number]
        distances = np.square(own - own.mean(axis=0)).sum(axis=1)
        expected = own[distances.argmin()] if typical else own.mean(axis=0)
        assert np.allclose(pad.centre, expected) and np.allclose(pad.spread, own.std(axis=0))
