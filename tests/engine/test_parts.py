import dataclasses

import numpy as np
import pytest

from engine.errors import InstrumentError
from engine.instrument import check_part
from engine.live import LiveEngine
from engine.midi.events import Kind, control, knob, note_off, note_on, tempo
from engine.midi.files import Score, parse_score
from engine.render import RenderOptions, render_array
from engine.synth import Synth
from engine.transport import Transport
from tests.engine.generators import drums, loops, song
from tests.engine.test_synth import render

RATE = 44_100
SCORE = [note_on(0, 60, 100, 0), note_on(2000, 64, 90, 3), note_off(9000, 60, 0), note_off(9000, 64, 3)]


def render_parts(main, parts, events, samples, block=256):
    synth = Synth(main, limiter=False)
    for channel, instrument in parts.items():
        synth.set_instrument(instrument, channel)
    synth.schedule(events)
    return np.concatenate([synth.render(block) for _ in range(samples // block)])


def test_parts_are_the_sum_of_what_each_would_play(tiny, fading):
    both = render_parts(tiny, {3: fading}, SCORE, 12_800)
    alone = render(tiny, [e for e in SCORE if e.channel == 0], 12_800)
    other = render(fading, [e for e in SCORE if e.channel == 3], 12_800)
    assert np.abs(other).max() > 0.01
    assert np.abs(both - alone - other).max() < 1e-5


def test_each_part_has_knobs_of_its_own(tiny, fading):
    synth = Synth(tiny, limiter=False)
    synth.set_instrument(fading, 3)
    synth.schedule([knob(0, "brightness", 3.0), knob(0, "tune", 50.0, 3), knob(0, "attack", 200.0, 5)])
    synth.render(64)
    assert synth.knobs["brightness"] == 3.0 and synth.part(3).knobs["brightness"] == 0.0
    assert synth.part(3).knobs["tune"] == 50.0 and synth.knobs["tune"] == 0.0
    assert synth.knobs["attack"] == 200.0  # a channel without a part of its own is the main one's


def test_volume_is_of_everything_or_of_a_part(tiny, fading):
    plain, other = (render_parts(tiny, {3: fading}, [*turned, *SCORE], 12_800)
                    for turned in ([], [knob(0, "volume", -6, 3)]))  # fmt: skip
    alone = render_parts(tiny, {3: fading}, SCORE[::2], 12_800)
    assert np.allclose((other - alone)[1000:], (plain - alone)[1000:] * 10 ** (-6 / 20), atol=1e-4)
    quiet = render_parts(tiny, {3: fading}, [knob(0, "volume", -6), *SCORE], 12_800)
    assert np.allclose(quiet[1000:], plain[1000:] * 10 ** (-6 / 20), atol=1e-4)


def test_a_part_comes_and_goes_while_notes_sound(tiny, fading):
    synth = Synth(tiny, limiter=False)
    synth.schedule([note_on(0, 60, 100, 0), note_on(0, 67, 100, 3), control(0, 7, 80, 3)])
    synth.render(2000)
    synth.set_instrument(fading, 3)
    parts = [synth.render(2000)]
    assert synth.sounding == 1  # the other channel's note goes on
    synth.schedule([note_on(0, 67, 100, 3)])
    parts.append(synth.render(500))
    assert synth.sounding == 2
    synth.set_instrument(None, 3)
    parts.append(synth.render(2000))
    assert synth.sounding == 1
    synth.schedule([note_on(0, 67, 100, 3), note_off(100, 67, 3), note_off(200, 60)])
    parts.append(synth.render(4000))
    loudest = max(np.abs(np.diff(render(i, [note_on(9, 67, 100)], 4000), axis=0)).max() for i in (tiny, fading))
    assert np.abs(np.diff(np.concatenate(parts), axis=0)).max() < 1.5 * loudest
    synth.set_instrument(fading)  # another main one
    synth.render(1000)
    assert synth.sounding == 0
    assert synth.instrument is fading


def test_taking_away_a_part_that_is_not_there_ends_the_channels_notes_only(tiny):
    synth = Synth(tiny, limiter=False)
    synth.schedule([note_on(0, 60, 100, 0), note_on(0, 67, 100, 3)])
    synth.render(1000)
    synth.set_instrument(None, 3)
    synth.render(1000)
    assert synth.sounding == 1


def test_a_part_of_another_rate_is_refused(tiny):
    with pytest.raises(ValueError, match="48000"):
        Synth(tiny).set_instrument(dataclasses.replace(tiny, sample_rate=48_000), 2)


def test_only_pads_can_have_the_drum_channel(tiny):
    check_part(9, drums())
    check_part(3, tiny)
    for instrument in (tiny, song()):
        with pytest.raises(InstrumentError, match="channel 10 has drums"):
            check_part(9, instrument)


def test_three_kinds_play_together_live_and_in_a_rendering(tiny):
    events = (
        tempo(0, 100), note_on(0, 60, 100), note_on(10, 36, 120, 9), note_on(20, 60, 100, 1), note_on(30, 60, 90, 2),
        note_off(20_000, 60), note_off(20_000, 60, 1), note_off(20_000, 60, 2),
    )  # fmt: skip
    made = {9: drums(), 1: loops(), 2: song()}
    options = RenderOptions({}, limiter=False, parts={n: (i, {"volume": -3.0}) for n, i in made.items()})
    rendered = render_array(Score(events, 20_000, RATE), tiny, options)
    engine = LiveEngine(tiny)
    for channel, instrument in made.items():
        engine.load_part(channel, instrument)
        engine.turn("volume", -3.0, channel)
    for event in events:
        engine.send(event)
    for _ in range(80):
        engine.look_ahead()
    engine.render(256)
    assert engine.snapshot.voices == 4
    assert np.abs(rendered).max() > 0.1
    assert np.isfinite(rendered).all()


def test_a_score_tells_its_tempo(tiny):
    """60 beats a minute, then 90: as MIDI files say it."""
    track = bytes.fromhex("00ff51030f4240 00903c40 8360803c40 00ff51030a2c2a 00903c40 8360803c40 00ff2f00")
    data = bytes.fromhex("4d546864 00000006 0000 0001 01e0 4d54726b") + len(track).to_bytes(4) + track
    score = parse_score(data, RATE)
    tempos = [(event.sample, round(event.value, 2)) for event in score.events if event.kind is Kind.TEMPO]
    assert tempos == [(0, 60.0), (RATE, 90.0)]
    synth = Synth(tiny)
    synth.set_instrument(loops(), 5)
    synth.schedule(score.events)
    synth.render(RATE)
    assert synth.part(5).knobs["tempo"] == 60.0
    synth.render(64)
    assert synth.part(5).knobs["tempo"] == pytest.approx(90, abs=0.01)
    assert "tempo" not in synth.knobs
    transport = Transport()
    transport.load(score)
    transport.seek(RATE + 1000)
    transport.play()
    chased = [event.value for event in transport.advance(0, 64) if event.kind is Kind.TEMPO]
    assert chased == [pytest.approx(90, abs=0.01)]
