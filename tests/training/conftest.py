"""Tiny data and instruments, made once: a real teacher, real analysis, real fitting, only smaller."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.instrument import Instrument, load_instrument, save_instrument
from tests.training.short import ShortNotes
from training.fit import FitConfig, Progress, fit
from training.notes import make_notes
from training.recipes.keys import KeysConfig, KeysTask
from training.recipes.nnss import PRESETS, NnssTask
from training.teacher import Teacher

CPU = torch.device("cpu")
RATE = 44_100
SMALL = ShortNotes(first_key=60, last_key=61)


def decaying(hz, seconds=1.0, partials=6):
    """Partials that die away, the high ones sooner: (samples,), RMS near 0.1."""
    t = np.arange(round(seconds * RATE)) / RATE
    waves = [np.exp(-(1 + 0.5 * k) * t) * np.sin(2 * np.pi * k * hz * t + k) / k for k in range(1, partials + 1)]
    return (0.25 * np.sum(waves, axis=0)).astype(np.float32)


def steps(task, count, rate=3e-3):
    """Losses of some steps of fitting."""
    optimiser, rng, losses = torch.optim.Adam(task.model.parameters(), rate), np.random.default_rng(0), []
    for _ in range(count):
        loss = task.loss(rng)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@dataclass(frozen=True)
class Fitted:
    """A task after its fitting, its figures before it, and the instrument as it was loaded again from `folder`."""

    task: KeysTask | NnssTask
    before: dict[str, float]
    progress: Progress
    run: Path
    folder: Path
    instrument: Instrument


@pytest.fixture(autouse=True)
def short_tails(monkeypatch):
    """A network of a few steps has not learned to fall silent, and would be waited for."""
    monkeypatch.setattr("engine.render.LONGEST_TAIL_SECONDS", 0.5)


@pytest.fixture(autouse=True)
def subnormal_numbers():
    """Fitting flushes them to zero for its process; hypothesis, in the tests after it, needs them."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def teacher():
    with Teacher(0) as teacher:
        yield teacher


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """The folder of everything that is rendered and analysed."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def small_notes(cache):
    """Two keys of the piano, and the velocity exponent."""
    return make_notes(SMALL, cache, lambda text: None, workers=1)


@pytest.fixture
def own_cache(small_notes, cache, tmp_path):
    """A copy of the cache, to be damaged."""
    return shutil.copytree(cache, tmp_path / "cache")


def fitted(task, folder, steps, name):
    with torch.no_grad():
        before = task.validate()
    progress = fit(task, folder / "run", FitConfig(steps=steps, warmup=10, report_seconds=0.2), lambda text: None)
    training = {"recipe": name, "program": 0, "config": task.config.to_json()}
    instrument = task.instrument(name, "A tiny one", {"author": "Test", "training": training})
    save_instrument(instrument, folder / name, "A card.")
    return Fitted(task, before, progress, folder / "run", folder / name, load_instrument(folder / name))


@pytest.fixture(scope="session")
def tiny_keys(small_notes, tmp_path_factory):
    data, exponent = small_notes
    torch.manual_seed(0)
    task = KeysTask(KeysConfig(notes=SMALL, front=24, hidden=12, batch=8, crop=64, noise_bands=8), data, exponent, CPU)
    return fitted(task, tmp_path_factory.mktemp("keys"), 150, "tiny-keys")


@pytest.fixture(scope="session")
def tiny_nnss(tmp_path_factory):
    torch.manual_seed(0)
    small = {"length": 1024, "bins": 512, "hidden": 48, "layers": 1, "batch": 8, "crop": 48}
    task = NnssTask(replace(PRESETS["live"], first_key=60, last_key=61, **small), CPU)
    return fitted(task, tmp_path_factory.mktemp("nnss"), 150, "tiny-nnss")
