"""A million random live messages, valid, cut short and garbage, through the port's own parsing and the engine with its
sound, as fast as it goes; then everything is let go of.

    pytest -s --override-ini addopts= tests/bench/test_random_messages.py

MUSICNN_MESSAGES (1000000): how many, over all instruments together.
"""

import os
import random

import numpy as np
import pytest
import torch

from engine.library import open_instrument
from engine.live import LiveEngine
from engine.memory import keep_memory, rss_mb
from engine.midi.ports import MidiInput, _Port
from tests.messages import RandomMessages

MESSAGES = int(os.environ.get("MUSICNN_MESSAGES", "1000000"))
INSTRUMENTS = ("piano", "morph", "drums", "loops", "song")
BLOCK, MOST_IN_BLOCK, TAIL_SECONDS = 256, 400, 10
GROWN_MB = 30.0


class Feed:
    """An open rtmidi client that is always full of random messages."""

    def __init__(self, source):
        self.waiting, self._source = [], source

    def fill(self, count):
        self.waiting = [(packet, 1e-5) for packet in self._source.packets(count)]

    def get_message(self):
        return self.waiting.pop() if self.waiting else None


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_million_random_messages_end_in_silence(name):
    keep_memory()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    rng = random.Random(name)
    source = RandomMessages(rng)
    feed, midi, engine = Feed(source), MidiInput(), LiveEngine(open_instrument(name))
    midi._virtual = _Port(feed)
    engine.sources.append(midi.fetch)
    sent, loudest, weights, wanted = 0, 0.0, [], MESSAGES // len(INSTRUMENTS)
    while sent < wanted:
        feed.fill(rng.randrange(MOST_IN_BLOCK))
        sent += len(feed.waiting)
        block = engine.render(BLOCK)
        engine.look_ahead()
        assert np.isfinite(block).all()
        loudest = max(loudest, float(np.abs(block).max()))
        if len(weights) <= 10 * sent // wanted:
            weights.append(rss_mb())
    feed.waiting = [(packet, 0.0) for packet in reversed(source.let_go())]
    for _ in range(TAIL_SECONDS * engine.sample_rate // BLOCK):
        engine.look_ahead()
        block = engine.render(BLOCK)
    grown = weights[-1] - weights[len(weights) // 2]
    print(
        f"\n{name}: {sent} packets, loudest {loudest:.2f}, {engine.snapshot.voices} voices left, last block "
        f"{np.abs(block).max():.1e}; memory {weights[0]:.0f} MB at first, {weights[-1]:.0f} at last, {grown:+.1f} in "
        f"the second half; late {engine.snapshot.late}"
    )
    assert loudest > 0.001  # random volumes are low
    assert not engine._faults
    assert engine.snapshot.voices == 0
    assert not engine.snapshot.keys_down
    assert np.abs(block).max() < 1e-4
    assert grown < GROWN_MB
