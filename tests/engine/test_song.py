import numpy as np
import pytest

from engine.errors import InstrumentError
from engine.live import LiveEngine, LookAhead
from engine.midi.events import control, knob, note_off, note_on, panic
from engine.synth import Synth
from engine.voices.song import FADE, RELEASE
from tests.engine.generators import Endless, song
from tests.engine.test_live import wait_for
from tests.engine.test_synth import render

RATE = 44_100
LOW, HIGH, OWN, BEYOND = range(60, 64)
EVEN = knob(0, "temperature", 0)


def hz(sound):
    mono = sound.mean(axis=1)
    return np.abs(np.fft.rfft(mono * np.hanning(len(mono)), 1 << 18)).argmax() * RATE / (1 << 18)


def test_a_key_begins_its_seed_and_the_song_goes_on_without_seams():
    sound = render(song(), [EVEN, note_on(1000, HIGH, 127)], 5 * RATE, 512)
    assert not sound[:1000].any()
    wanted = 0.3 * (100 / 127) ** 2 * np.sin(2 * np.pi * 440 * np.arange(5 * RATE - 1000) / RATE)
    assert np.abs(sound[1000 + FADE :, 0] - wanted[FADE:]).max() < 1e-5


SCORE = [
    note_on(500, LOW, 100), knob(20_000, "temperature", 1.5), note_off(50_000, LOW), note_on(55_000, BEYOND, 90),
    control(60_000, 7, 60), note_on(90_000, HIGH, 127), note_on(100_000, LOW, 80), note_off(100_000, HIGH),
    knob(101_000, "temperature", 0.2), note_off(110_000, LOW), note_on(140_000, BEYOND + 9, 100),
]  # fmt: skip


@pytest.mark.parametrize("block", [64, 1000, 40_000])
def test_blocks_of_any_size_and_looking_ahead_give_the_same_sound(block):
    samples = 160_000
    wanted = render(song(), SCORE, samples)
    assert np.abs(wanted).max() > 0.1
    assert np.abs(render(song(), SCORE, samples, block) - wanted).max() < 1e-4
    synth = Synth(song(), limiter=False, live=True)
    synth.schedule(SCORE)
    parts = []
    while synth.position < samples:
        for _ in range(block // 100 + 1):
            synth.look_ahead()
        parts.append(synth.render(min(block, 2000, samples - synth.position)))
    assert np.abs(np.concatenate(parts) - wanted).max() < 1e-4
    assert not synth.late


def test_a_rendering_repeats_itself_but_a_seed_begun_again_goes_on_otherwise():
    score = [note_on(0, LOW, 127), note_off(30_000, LOW), note_on(60_000, LOW, 127)]
    first, again = (render(song(), score, 90_000) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.abs(first[FADE:30_000] - first[60_000 + FADE : 90_000]).max() > 0.02


def test_letting_go_fades_and_another_key_goes_on_from_there():
    score = [EVEN, note_on(0, LOW, 127), note_off(30_000, LOW), note_on(80_000, BEYOND, 127)]
    sound = render(song(), score, 120_000, 700)
    level = [np.abs(sound[at : at + 500]).max() for at in (29_000, 36_000, 42_000, 30_000 + RELEASE, 90_000)]
    assert level[0] > level[1] > level[2] > level[3] == 0
    assert level[4] == pytest.approx(level[0], rel=0.01)
    left = 30_000 + RELEASE  # so much of the song was heard
    wanted = 0.3 * (100 / 127) ** 2 * np.sin(2 * np.pi * 220 * (left + np.arange(40_000)) / RATE)
    assert np.abs(sound[80_000 + FADE :, 0] - wanted[FADE:]).max() < 1e-5


def test_a_key_that_goes_on_while_the_song_still_fades_takes_it_over():
    score = [EVEN, note_on(0, LOW, 127), note_off(30_000, LOW), note_on(33_000, BEYOND, 127)]
    sound = render(song(), score, 60_000)
    wanted = 0.3 * (100 / 127) ** 2 * np.sin(2 * np.pi * 220 * np.arange(60_000) / RATE)
    assert np.abs(sound[33_000 + FADE :, 0] - wanted[33_000 + FADE :]).max() < 1e-5
    assert np.abs(np.diff(sound[1000:], axis=0)).max() < 1.01 * np.abs(np.diff(wanted)).max()


def test_another_seed_takes_over_without_a_click():
    sound = render(song(), [EVEN, note_on(0, LOW, 127), note_on(30_000, HIGH, 127)], 60_000)
    assert hz(sound[5000:30_000]) == pytest.approx(220, rel=0.01)
    assert hz(sound[31_000:]) == pytest.approx(440, rel=0.01)
    tone = 0.3 * (100 / 127) ** 2 * 2 * np.pi / RATE * (220 + 440)
    assert np.abs(np.diff(sound, axis=0)).max() < tone


def test_temperature_is_heard_one_lead_later():
    sound = render(song(), [EVEN, note_on(0, LOW, 127), knob(50_000, "temperature", 1.5)], 120_000)
    noise = np.abs(np.diff(sound[:, 0], n=3))
    assert noise[50_000 : 50_000 + 20_000].max() < 1e-3
    assert noise[50_000 + 33_000 :].max() > 0.02


def test_panic_silences_at_once():
    sound = render(song(), [EVEN, note_on(0, LOW, 127), panic(20_000)], 30_000)
    assert not sound[20_000 + FADE + 1 :].any()


def test_where_nobody_writes_ahead_the_song_fades_pauses_and_goes_on():
    synth = Synth(song(), limiter=False, live=True)
    synth.schedule([EVEN, note_on(0, LOW, 127)])
    synth.render(64)
    parts = [synth.render(256) for _ in range(300)]  # longer than what was written at first
    assert synth.late == 1
    while synth.look_ahead():
        pass
    parts += [synth.render(256) for _ in range(40)]
    sound = np.concatenate(parts)
    assert not sound[200 * 256 : 300 * 256].any()
    assert np.abs(sound[310 * 256 :]).max() > 0.1
    assert np.abs(np.diff(sound, axis=0)).max() < 0.3 * 2 * np.pi * 220 / RATE * 1.5


def test_the_players_own_sound_is_gone_on_with():
    engine = LiveEngine(song())
    tone = 0.5 * np.sin(2 * np.pi * 330 * np.arange(RATE) / RATE).astype(np.float32)
    assert engine.listen(np.stack([tone, tone])) == {}
    engine.turn("temperature", 0)
    for key in (OWN, BEYOND):
        engine.play_event(note_on(0, key, 127))
        blocks = []
        for _ in range(80):
            engine.look_ahead()
            blocks.append(engine.render(256))
        assert hz(np.concatenate(blocks)) == pytest.approx(330, rel=0.01)
    with pytest.raises(InstrumentError, match="too short"):
        engine.listen(np.zeros((2, 10), np.float32))


def test_foresight_threads_write_ahead_what_is_played():
    engine = LiveEngine(song())
    ahead = LookAhead(engine)
    ahead.start()
    try:
        engine.turn("temperature", 0)
        engine.render(64)
        bank = engine._synth.part().bank
        wait_for(lambda: 1 in bank._onsets and not bank._onsets[1].temperature and not bank._onsets[1].asked)
        engine.send(note_on(0, HIGH, 127))
        engine.render(64)
        heard = []
        for _ in range(50):
            wait_for(lambda: bank._voices[0].take.ready > 10_000)
            heard.append(engine.render(2048))
    finally:
        ahead.stop()
    assert hz(np.concatenate(heard)) == pytest.approx(440, rel=0.01)
    assert bank.late == 0


def test_a_song_without_seeds_is_silent_until_it_has_heard_one():
    instrument = song()
    instrument.model.seeds = ()
    synth = Synth(instrument, limiter=False)
    synth.schedule([note_on(0, 60, 100)])
    assert not synth.render(3000).any()
    assert synth.sounding == 0
    bank = synth.part().bank
    bank.begin_from(bank.begin(Endless().next((220.0, 0), 0, np.random.default_rng(0))[0]))
    synth.schedule([note_on(0, 60, 100)])
    assert synth.render(3000).any()
