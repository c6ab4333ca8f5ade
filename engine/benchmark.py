"""What playing costs: time to render over time rendered. 1 is real time; a fraction of it is what one core spends."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch

from engine.instrument import Instrument
from engine.midi.events import note_on
from engine.midi.files import Score
from engine.render import BLOCK, RenderOptions, render_array
from engine.synth import Synth

VOICES = (1, 2, 4, 8, 16, 32)
LIVE_BLOCK = 256
WARM_BLOCKS, BLOCKS, REPEATS = 16, 344, 3  # 344 blocks of 256 samples are two seconds


def bench_render(instrument: Instrument, score: Score) -> dict[str, Any]:
    """Render a whole score with all threads that torch has."""
    start = time.perf_counter()
    sound = render_array(score, instrument, RenderOptions({}))
    seconds = time.perf_counter() - start
    length = len(sound) / instrument.sample_rate
    return {
        "title": score.title, "notes": score.notes, "audio_seconds": round(length, 2), "seconds": round(seconds, 2),
        "real_time": round(seconds / length, 4), "threads": torch.get_num_threads(), "block": BLOCK,
    }  # fmt: skip


def bench_voices(instrument: Instrument) -> list[dict[str, Any]]:
    """Held notes, one thread, blocks as live: for each number of voices the median and the worst block's cost."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_held(instrument, voices) for voices in VOICES]
    finally:
        torch.set_num_threads(threads)


def _held(instrument: Instrument, voices: int) -> dict[str, Any]:
    """Every run is two seconds of chords, whose notes begin a few blocks apart as a player's do."""
    totals, blocks = [], []
    for _ in range(REPEATS):
        synth = Synth(instrument)
        keys = [key for key in instrument.keys if 36 <= key <= 84] or list(instrument.keys)
        order = sorted(keys, key=lambda key: (key * 29) % 97)  # spread over the keyboard, no key twice
        for index in range(voices):
            synth.schedule([note_on(index * 3 * LIVE_BLOCK // 2, order[index % len(order)], 90)])
        for _ in range(WARM_BLOCKS + voices * 2):
            synth.render(LIVE_BLOCK)
        costs = []
        for _ in range(BLOCKS):
            start = time.perf_counter()
            synth.render(LIVE_BLOCK)
            costs.append((time.perf_counter() - start) * instrument.sample_rate / LIVE_BLOCK)
        totals.append(sum(costs) / len(costs))
        blocks += costs
    return {
        "voices": voices, "real_time": round(median(totals), 4), "median_block": round(median(blocks), 4),
        "worst_block": round(max(blocks), 4), "block": LIVE_BLOCK,
    }  # fmt: skip
