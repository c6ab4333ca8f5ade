"""The measurements: each is one function that returns numbers."""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import DeviceError, MusicNNError
from engine.threads import prepare_thread
from musicnn_gui.live_bench.arithmetic import (
    CONTROL,
    NOTE_OFF,
    NOTE_ON,
    Array,
    Row,
    departure_ms,
    difference_db,
    likeness,
    onset_lag,
    placed,
    separate_notes,
    spread_ms,
)
from musicnn_gui.live_bench.stage import INSTRUMENT, PEDAL, LiveServer, MachineWatch, Stage
from musicnn_gui.live_bench.started import wait
from musicnn_gui.live_bench.tester import JackTester

VOLUME = 7
COUNTS = (24, 32, 40, 48, 64)
AGAIN_SECONDS = 12.0
LOWEST = 21
TAKES = 5
UNTOUCHED_SECONDS, UNDISTURBED = 0.1, 0.99
"""Before a knob is turned, for which the note is compared with what it should be, and how alike they are: where there
was a gap, the note is later from there on, and nothing can be said of the knob."""


@dataclass(frozen=True, slots=True)
class LiveBenchOptions:
    """What is measured and how.

    rate: Hz of the server; block: samples of its period and of the program's; notes: how many the latency is measured
    on; hold_seconds: how long `voices` keys are held; score: None for the demo; parts: names of PARTS.
    """

    rate: int = 48_000
    block: int = 128
    notes: int = 500
    hold_seconds: float = 60.0
    score: Path | None = None
    score_minutes: float = 10.0
    voices: int = 24
    parts: tuple[str, ...] = (
        "machine", "latency", "xruns_score", "voices_held", "load", "live_equals_offline", "memory", "knob_latency",
    )  # fmt: skip
    short: bool = False


def run_live_bench(options: LiveBenchOptions) -> Row:
    """Measure every wanted part, each on a freshly started program; a part that fails says why under "error"."""
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        raise DeviceError(f"there is no measurement {unknown[0]!r} (there are: {', '.join(PARTS)})")
    results: Row = {
        "settings": {
            "rate": options.rate, "block": options.block, "short": options.short, "instrument": INSTRUMENT,
            "period_ms": 1e3 * options.block / options.rate, "cores": os.cpu_count(),
        },
    }  # fmt: skip
    with LiveServer(options.rate, options.block) as server:
        results["settings"]["realtime_server"] = server.realtime
        for name in options.parts:
            try:
                results[name] = PARTS[name](server, options)
            except MusicNNError as error:
                results[name] = {"error": str(error)}
    return results


def machine(server: LiveServer, options: LiveBenchOptions) -> Row:
    """The server and the testers alone: xruns that are there before the program is, in a minute."""
    with JackTester(server.name) as tester, MachineWatch() as watch:
        before, begun, seconds = server.xruns(), time.perf_counter(), 3.0 if options.short else 60.0
        time.sleep(seconds)
        return {"seconds": seconds, **{name: count - before[name] for name, count in server.xruns().items()},
                "xruns_tester": tester.xruns, **watch.since(begun), "block": server.block}  # fmt: skip


def latency(server: LiveServer, options: LiveBenchOptions) -> Row:
    """Time from a key's message at the MIDI port to its sound at the speakers, less the instrument's own attack."""
    count = min(options.notes, 16) if options.short else options.notes
    with Stage(server, prepared=not options.short) as stage:
        tester = stage.tester
        messages, ons = separate_notes(0, count, tester.soon(1.0), server.rate)
        # A first note wakes whatever sleeps; it is not counted.
        tester.now((NOTE_ON, 60, 100))
        tester.now((NOTE_OFF, 60, 0))
        tester.record((messages[-1][0] - messages[0][0]) / server.rate + 3.0)
        time.sleep(0.1)
        order = sorted(range(len(messages)), key=lambda index: messages[index][0])
        stamps = np.zeros(len(messages), np.int64)
        stamps[order] = tester.play(messages)
        time.sleep(0.3)
        recording = tester.recorded()
        troubles = stage.troubles() | {"unsent": tester.trouble}
        claimed = stage.since()[-1]["latency_ms"]
    mono = recording.sound.astype(np.float64).mean(axis=1)
    keys = [messages[index][1][1] for index in ons]
    notes = _offline_notes(sorted(set(keys)), 100, server.rate)
    lags = [
        onset_lag(mono, int(stamps[index]) - recording.start, notes[key], server.rate)
        for index, key in zip(ons, keys, strict=True)
    ]
    heard = [lag for lag in lags if lag is not None]
    offsets = np.array([stamps[index] for index in ons]) % server.block
    # JACK's MIDI reaches the program with the moment of its period: what is left of the jitter then is the program's.
    periods = [lag + 1e3 * offset / server.rate for lag, offset in zip(lags, offsets, strict=True) if lag is not None]
    return {
        "n": len(lags), "missing": len(lags) - len(heard), **spread_ms(heard),
        "jitter_from_period_ms": spread_ms(periods)["jitter_ms"], "program_says_ms": claimed,
        "rate": server.rate, "block": server.block, "period_ms": round(1e3 * server.block / server.rate, 3),
        "different_offsets": len(set(offsets.tolist())), "gaps": recording.gaps, "skipped": recording.skipped,
        **troubles,
    }  # fmt: skip


def xruns_score(server: LiveServer, options: LiveBenchOptions) -> Row:
    """Play a score and count every kind of interruption."""
    from musicnn_gui.assets import DEMO  # noqa: PLC0415

    limit = 8.0 if options.short else 60 * options.score_minutes
    with Stage(server, options.score or Path(str(DEMO)), play=True) as stage:
        wait(lambda: stage.program.row()["playing"], 10.0, "the program does not play the score")
        begun = time.monotonic()
        stage.tester.record(limit + 5.0, channels=1)  # one side is enough to see that nothing was delivered
        while time.monotonic() - begun < limit and stage.program.row()["playing"]:
            pass
        seconds = time.monotonic() - begun
        recording = stage.tester.recorded()
        troubles = stage.troubles()
        rows = stage.since()
        sample_rate = _open_instrument().sample_rate
        places = [round(row["score_position"] / sample_rate, 1) for row, _ in stage.xruns()]  # of the score
        peak = float(np.abs(recording.sound).max(initial=0.0))
    return {
        "seconds": round(seconds, 1), **troubles, "xruns_at_s": places,
        "mean_load": round(float(np.mean([row["load"] for row in rows])), 3), "gaps": recording.gaps,
        "skipped": recording.skipped, "peak": round(peak, 3), "block": server.block,
    }  # fmt: skip


def voices_held(server: LiveServer, options: LiveBenchOptions) -> Row:
    """Hold many keys: the wanted number for long, then more and more until an xrun.

    An xrun is one of the program's: its ring ran dry.
    """
    with Stage(server) as stage:
        first = _hold(stage, options.voices, 5.0 if options.short else options.hold_seconds)
        if options.short:
            return first
        results = [first]
        for count in COUNTS:
            if count > options.voices or not _clean(first):
                stage.silence()
                results.append(_hold(stage, count, 20.0))
                if not _clean(results[-1]):
                    break
    most = max((result["held"] for result in results if _clean(result)), default=0)
    return first | {"most": most, "counts": results[1:]}


def _clean(result: Row) -> bool:
    quiet = not result["xruns"]
    return quiet and result["least_voices"] >= result["held"]


def _hold(stage: Stage, count: int, seconds: float) -> Row:
    """Strike `count` keys 50 ms apart and hold them for `seconds` after the last.

    A piano's notes die away: each key is struck again every AGAIN_SECONDS, in turn, so that none has ended before.
    """
    lowest, tester = max(LOWEST, 48 - count // 2), stage.tester  # low notes sound longest
    stage.begin()  # takes its time
    frame = tester.soon()
    tester.play((frame + round(0.05 * i * tester.rate), bytes((NOTE_ON, lowest + i, 90))) for i in range(count))
    struck = len(stage.program.rows())
    frame = tester.soon()
    again = [(frame + round(AGAIN_SECONDS * (i + 1) / count * tester.rate), lowest + i % count)
             for i in range(int(count * seconds / AGAIN_SECONDS))]  # fmt: skip
    tester.play((at, bytes((kind, key, 90))) for at, key in again for kind in (NOTE_OFF, NOTE_ON))
    time.sleep(max(0.0, seconds - (tester.soon() - frame) / tester.rate))
    troubles = stage.troubles()
    rows = stage.program.rows()[struck:]
    tester.now(*((NOTE_OFF, lowest + i, 0) for i in range(count)))
    return {
        "held": count, "seconds": seconds, **troubles, "mean_load": round(float(np.mean([r["load"] for r in rows])), 3),
        "least_voices": min(row["voices"] for row in rows),
    }  # fmt: skip


def load(server: LiveServer, options: LiveBenchOptions) -> Row:
    """The meters' load while 16 keys are held, after they have settled."""
    count, seconds = 16, 3.0 if options.short else 10.0
    with Stage(server) as stage:
        stage.tester.now(*((NOTE_ON, 44 + 2 * i, 90) for i in range(count)))
        time.sleep(3.0)
        stage.begin()
        time.sleep(seconds)
        troubles = stage.troubles()
        rows = stage.since()
    values = [row["load"] for row in rows]
    return {
        "voices": min(row["voices"] for row in rows), "seconds": seconds, "load": round(float(np.mean(values)), 4),
        "highest": round(max(values), 4), "block": server.block, **troubles,
    }  # fmt: skip


def live_equals_offline(server: LiveServer, options: LiveBenchOptions) -> Row:
    """A score played by the program against the same score rendered into an array."""
    from engine.midi.files import read_score  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="musicnn-score-") as folder:
        path = Path(folder) / "chords.mid"
        seconds = write_chords(path)
        takes, recording = 0, None
        while takes < TAKES and (recording is None or recording.skipped):
            takes += 1  # where the server left something out, what was played is not known
            with Stage(server, path, play=True) as stage:
                stage.tester.record(seconds + 4.0)
                time.sleep(seconds + 2.0)
                recording = stage.tester.recorded()
                troubles = stage.troubles()
        assert recording is not None
        instrument = _open_instrument()
        offline = _render(read_score(path, instrument.sample_rate), instrument)
    result = difference_db(recording.sound.astype(np.float64), _at_rate(offline, instrument.sample_rate, server.rate),
                           server.rate)  # fmt: skip
    return {**result, "takes": takes, "gaps": recording.gaps, "skipped": recording.skipped, **troubles}


def write_chords(path: Path) -> float:
    """Write a short score of chords with a pedal, after two seconds of rest; returns its length in seconds."""
    mido: Any = importlib.import_module("mido")  # it has no types
    track = mido.MidiTrack()
    track.append(mido.MetaMessage("set_tempo", tempo=500_000))
    track.append(mido.Message("control_change", control=PEDAL, value=0, time=0))
    wait = 4 * 480  # two seconds of rest: nobody has to be quick to hear the beginning
    chords = ((48, 64, 67, 72), (45, 60, 64, 69), (53, 60, 65, 69), (43, 59, 62, 67, 74))
    for round_, velocity in ((0, 80), (1, 100)):
        for index, chord in enumerate(chords):
            pedal = (round_ + index) % 2
            track.append(mido.Message("control_change", control=PEDAL, value=127 * pedal, time=wait))
            wait = 0
            for i, key in enumerate(chord):
                track.append(mido.Message("note_on", note=key, velocity=velocity - 7 * i, time=13 * i))
            for i, key in enumerate(chord):
                track.append(mido.Message("note_off", note=key, velocity=0, time=0 if i else 700))
            wait = 300
    track.append(mido.Message("control_change", control=PEDAL, value=0, time=480))
    score = mido.MidiFile(type=0, ticks_per_beat=480)
    score.tracks.append(track)
    score.save(path)
    return float(score.length)


def memory(server: LiveServer, options: LiveBenchOptions) -> Row:
    """Megabytes of the program after its start and after half a minute of playing."""
    seconds = 5.0 if options.short else 30.0
    with Stage(server, prepared=not options.short) as stage:
        ready = stage.program.row()["rss_mb"]
        messages, _ = separate_notes(1, round(seconds / 0.12), stage.tester.soon(), server.rate)
        stage.tester.play(messages)
        played = stage.program.row()["rss_mb"]
    return {"ready_mb": ready, "played_mb": played, "grown_mb": round(played - ready, 1), "seconds": seconds}


def knob_latency(server: LiveServer, options: LiveBenchOptions) -> Row:
    """Time from a volume message at the MIDI port to a tenth of its effect on the sound."""
    times: list[float | None] = []
    disturbed = 0  # by the server, which left periods out, or by a gap of the program's own between note and knob
    count = 5 if options.short else 20
    rng = np.random.default_rng(2)
    note = _offline_notes([60], 100, server.rate, seconds=2.0)[60]
    with Stage(server) as stage:
        tester = stage.tester
        for _ in range(count):
            tester.now((CONTROL, VOLUME, 100), (CONTROL, PEDAL, 127))
            tester.record(2.0)
            frame = tester.soon(0.1) + int(rng.integers(server.block))
            turn = frame + round(0.5 * server.rate) + int(rng.integers(server.block))
            stamps = tester.play([(frame, bytes((NOTE_ON, 60, 100))), (turn, bytes((CONTROL, VOLUME, 20)))])
            time.sleep(0.35)
            recording = tester.recorded()
            tester.now((NOTE_OFF, 60, 0), (CONTROL, PEDAL, 0))
            time.sleep(0.5)
            if recording.skipped:
                disturbed += 1
                continue
            mono = recording.sound.astype(np.float64).mean(axis=1)
            struck, turned = (int(stamp) - recording.start for stamp in stamps)
            lag = onset_lag(mono, struck, note, server.rate)
            if lag is None:
                times.append(None)
                continue
            expected = placed(note, struck + lag * server.rate / 1e3, len(mono))
            until = slice(turned - round(UNTOUCHED_SECONDS * server.rate), turned)
            if likeness(mono[until], expected[until]) < UNDISTURBED:
                disturbed += 1
                continue
            times.append(departure_ms(mono, expected, turned, server.rate))
        troubles = stage.troubles()
    heard = [value for value in times if value is not None]
    return {
        "n": len(times), "missing": len(times) - len(heard), "disturbed": disturbed, **spread_ms(heard),
        "block": server.block, **troubles,
    }  # fmt: skip


PARTS: dict[str, Callable[[LiveServer, LiveBenchOptions], Row]] = {
    "machine": machine, "latency": latency, "xruns_score": xruns_score, "voices_held": voices_held, "load": load,
    "live_equals_offline": live_equals_offline, "memory": memory, "knob_latency": knob_latency,
}  # fmt: skip


def _open_instrument() -> Any:
    from engine.library import open_instrument  # noqa: PLC0415  # slow to import

    prepare_thread()
    return open_instrument(INSTRUMENT)


def _render(score: Any, instrument: Any) -> Array:
    from engine.render import RenderOptions, render_array  # noqa: PLC0415

    return render_array(score, instrument, RenderOptions({})).astype(np.float64)


def _at_rate(sound: Array, source: int, rate: int) -> Array:
    import soxr  # noqa: PLC0415

    resampled: Array = soxr.resample(sound, source, rate, quality="VHQ")
    return resampled


def _offline_notes(keys: Iterable[int], velocity: int, rate: int, seconds: float = 0.06) -> dict[int, Array]:
    """Each key's note as the instrument makes it from the message on, one channel at `rate`, `seconds` held."""
    from engine.midi.events import note_off, note_on  # noqa: PLC0415
    from engine.midi.files import Score  # noqa: PLC0415

    instrument = _open_instrument()
    source = instrument.sample_rate
    length = round(seconds * source)
    notes = {}
    for key in keys:
        score = Score((note_on(0, key, velocity), note_off(length, key)), length, source)
        notes[key] = _at_rate(_render(score, instrument), source, rate).mean(axis=1)
    return notes
