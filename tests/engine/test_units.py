import doctest
import importlib
import pkgutil

import pytest

import engine
from engine.units import cents_between, db_to_gain, gain_to_db, key_to_hz, semitones_to_ratio

MODULES = [module.name for module in pkgutil.walk_packages(engine.__path__, "engine.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples_to_test():
    assert doctest.testmod(importlib.import_module("engine.units")).attempted > 3


@pytest.mark.parametrize("key", range(128))
def test_an_octave_doubles_and_a_semitone_is_a_hundred_cents(key):
    assert key_to_hz(key + 12) == pytest.approx(2 * key_to_hz(key))
    assert cents_between(key_to_hz(key + 1), key_to_hz(key)) == pytest.approx(100)
    assert key_to_hz(key) * semitones_to_ratio(69 - key) == pytest.approx(440)


def test_decibels_and_factors_are_inverse():
    for db in (-60.0, -6.0, 0.0, 12.0):
        assert gain_to_db(db_to_gain(db)) == pytest.approx(db)
