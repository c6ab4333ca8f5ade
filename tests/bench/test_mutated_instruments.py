"""Ten thousand damaged copies of the shipped instruments: each is refused in a sentence, or plays what is sound.

    nice -n 5 pytest -s --override-ini addopts= tests/bench/test_mutated_instruments.py

MUTATIONS: how many (10000). FIRST_MUTATION: number of the first (0). WORKERS: processes (2).
A number is the seed of its mutation, so that one that failed can be looked at alone.
"""

import collections
import faulthandler
import gc
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from engine.errors import InstrumentError, MusicNNError
from engine.instrument import load_instrument, prove
from engine.library import folders
from engine.midi.events import note_off, note_on
from engine.synth import Synth
from tests.mutations import mutate

COUNT, FIRST = int(os.environ.get("MUTATIONS", "10000")), int(os.environ.get("FIRST_MUTATION", "0"))
SECONDS, MOST_RSS_MB, LOUDEST = 10.0, 1000, 4.0  # seconds of processor time: other programs may take the rest
PROVED = 4  # every so many of those that are accepted are proved, which costs as much as all the rest
WORKERS, REPLACED = int(os.environ.get("WORKERS", "2")), 200  # processes, and mutations of each
LOST_SECONDS = 300.0  # until a mutation counts as lost with its worker
FINE = ("refused", "plays", "plays, proved", "plays, but disproved")
NAMES = ("piano", "morph", "drums", "loops", "sliders", "song")


class Hang(BaseException):
    """It takes too long."""


def _late(signum, frame):
    raise Hang


def begin():
    torch.set_num_threads(1)
    signal.signal(signal.SIGPROF, _late)


def played(instrument, place):
    """The loudest sample of a note on a key, 0-1 of the instrument's; infinite where one is not finite."""
    synth = Synth(instrument)
    key = instrument.keys[int(place * len(instrument.keys))]
    synth.schedule([note_on(0, key, 100), note_off(1000, key)])
    sound = np.concatenate([synth.render(1024) for _ in range(3)])
    return (float(np.abs(sound).max()) if np.isfinite(sound).all() else float("inf")), synth.faulty


def one(job):
    """Try one mutation: what came of it, seconds, loudest sample, memory."""
    seed, shelf = job
    folder = Path(shelf) / f"case-{seed}"
    name, how = mutate(seed, [Path(shelf) / name for name in NAMES], folder)
    loudest, faulty, begun = 0.0, 0, time.process_time()
    faulthandler.dump_traceback_later(12 * SECONDS, exit=True)  # where a library hangs, or waits, no signal helps
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        instrument = load_instrument(folder)
        loudest, faulty = played(instrument, random.Random(seed).random())
        outcome = "plays" if seed % PROVED else _proved(instrument, folder)
    except InstrumentError as error:
        outcome = "refused" if len(str(error)) < 1100 and str(error).isprintable() else f"odd sentence: {error!r}"
    except (Exception, Hang) as error:  # noqa: BLE001  # this is what is looked for
        outcome = f"{type(error).__name__}: {str(error)[:200]}"
        if isinstance(error, MusicNNError):
            outcome = f"not an InstrumentError: {outcome}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        shutil.rmtree(folder, ignore_errors=True)
        gc.collect()
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seed, name, how, outcome, time.process_time() - begun, loudest, faulty, rss_mb


def _proved(instrument, folder):
    try:
        prove(instrument, folder)
    except InstrumentError:
        return "plays, but disproved"
    return "plays, proved"


def test_mutated_instruments_are_refused_or_play_what_is_sound():
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    shelf = Path(tempfile.mkdtemp(dir=parent, prefix="musicnn-"))
    failures, outcomes = [], collections.Counter()
    worst = {"seconds": 0.0, "loudest": 0.0, "rss": 0.0}
    faulty = 0
    try:
        for name in NAMES:
            shutil.copytree(folders()[-1] / name, shelf / name)
        jobs = [(seed, str(shelf)) for seed in range(FIRST, FIRST + COUNT)]
        context = multiprocessing.get_context("spawn")
        # A worker is replaced now and then: what is measured is one instrument, not hundreds one after another.
        with context.Pool(WORKERS, begin, maxtasksperchild=REPLACED) as pool:
            results = pool.imap(one, jobs)
            for number in range(1, COUNT + 1):
                result = results.next(timeout=LOST_SECONDS)  # a worker that was ended gives none
                _, _, how, outcome, seconds, loudest, silenced, rss = result
                fine = outcome in FINE
                outcomes[how, outcome if fine else "FAILED"] += 1
                worst = {"seconds": max(worst["seconds"], seconds), "loudest": max(worst["loudest"], loudest),
                         "rss": max(worst["rss"], rss)}  # fmt: skip
                faulty += bool(silenced)
                if not fine or loudest > LOUDEST or rss > MOST_RSS_MB:
                    failures.append(result)
                    print(f"FAILED {result}", flush=True)
                if number % 500 == 0:
                    print(f"{number} {worst} faulty {faulty} failures {len(failures)}", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(shelf, ignore_errors=True)
    for (how, outcome), count in sorted(outcomes.items()):
        print(f"{how:12} {outcome:22} {count}")
    print(f"worst: {worst}; instruments in which the guard silenced voices: {faulty}")
    assert not failures
