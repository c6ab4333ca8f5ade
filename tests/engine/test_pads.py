import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InstrumentError
from engine.live import LiveEngine
from engine.midi.events import bend, control, knob, note_off, note_on, panic, tempo
from engine.synth import Synth
from engine.voices.drums import DRUMS, drum_pads
from engine.voices.pads import FADE, RELEASE
from tests.engine.generators import Drums, drums, loops
from tests.engine.test_synth import render

RATE = 44_100
KICK, SNARE, CLOSED, OPEN, TOM = range(36, 41)
STILL = knob(0, "vary", 0)


def hits(events, samples=30_000, instrument=None, **options):
    return render(instrument or drums(), [STILL, *events], samples, **options)


def pitch(sound):
    mono = sound.mean(axis=1)
    return np.abs(np.fft.rfft(mono * np.hanning(len(mono)), 1 << 18)).argmax() * RATE / (1 << 18)


def test_a_key_plays_its_pad_from_that_sample_on():
    sound = hits([note_on(1234, SNARE, 127)])
    wanted = Drums().sound(Drums.pads[1].centre).T
    assert not sound[:1234].any()
    assert np.abs(sound[1234 : 1234 + 22_000] - wanted[:22_000] * (100 / 127) ** 2).max() < 1e-5


def test_velocity_is_level():
    loud, soft = (np.abs(hits([note_on(0, KICK, v)])).max() for v in (127, 64))
    assert soft / loud == pytest.approx((64 / 127) ** 2, rel=0.01)


SCORE = [
    note_on(0, KICK, 100), note_on(3000, CLOSED, 90), note_on(4000, OPEN, 80), note_off(4100, OPEN),
    note_on(6000, CLOSED, 90), bend(6500, 3000), knob(7000, "tune", 60), control(7000, 7, 70), note_on(8001, 70, 90),
    knob(9000, "slider1", 1.5), note_on(9500, SNARE, 110), note_on(9500, SNARE, 30), control(9600, 1, 100),
    knob(11_000, "decay", 40), note_on(11_500, 20, 90), knob(13_000, "gate", 1), note_on(13_500, KICK, 127),
    note_off(14_444, KICK), note_on(15_000, TOM, 100),
]  # fmt: skip


@pytest.mark.parametrize("block", [1, 64, 999])
def test_blocks_of_any_size_give_the_same_sound(block):
    samples = 3000 if block == 1 else 30_000
    wanted = render(drums(), SCORE, samples)
    assert np.abs(wanted).max() > 0.1
    assert np.abs(render(drums(), SCORE, samples, block) - wanted).max() < 1e-4


@pytest.mark.parametrize("block", [64, 300])
def test_live_is_as_offline_where_there_is_time_to_decode(block):
    samples = 30_000
    wanted = render(drums(), SCORE, samples)
    synth = Synth(drums(), limiter=False, live=True)
    synth.schedule(SCORE)
    parts = []
    while synth.position < samples:
        while synth.look_ahead():
            pass
        parts.append(synth.render(min(block, samples - synth.position)))
    assert np.abs(np.concatenate(parts) - wanted).max() < 1e-4
    assert not synth.late


def test_every_hit_varies_and_a_rendering_repeats_itself():
    score = [note_on(at, SNARE, 127) for at in (0, 30_000, 60_000)]
    first, again = (render(drums(), [knob(0, "vary", 1), *score], 90_000) for _ in range(2))
    assert np.array_equal(first, again)
    takes = first.reshape(3, 30_000, 2)
    assert np.abs(takes[0] - takes[1]).max() > 0.05
    assert np.abs(takes[1] - takes[2]).max() > 0.05
    still = hits(score, 90_000).reshape(3, 30_000, 2)
    assert np.array_equal(still[0], still[1])


def test_variation_stays_within_the_pads_spread():
    synth = Synth(drums(), limiter=False)
    synth.schedule([knob(0, "vary", 1), *(note_on(100 * i, SNARE, 127) for i in range(300))])
    synth.render(30_000)
    made = np.array([latent for latent, _ in synth.instrument.model.made])
    assert len(made) == 300
    assert np.allclose(made.std(axis=0), Drums.pads[1].spread, rtol=0.2)
    assert np.allclose(made.mean(axis=0), Drums.pads[1].centre, atol=0.06)


def test_a_slider_is_heard_at_the_next_hit_live_once_it_is_decoded():
    synth = Synth(drums(), limiter=False, live=True)
    synth.schedule([STILL])
    synth.render(64)
    while synth.look_ahead():
        pass
    synth.schedule([knob(0, "slider1", 1.0), note_on(0, SNARE, 127)])
    early = synth.render(20_000)
    assert pitch(early) == pytest.approx(200, rel=0.01)  # nobody had time: it plays what it has, and says so
    assert synth.late == 1
    assert synth.look_ahead()  # one decode, of the pad that was hit last
    synth.schedule([note_on(0, SNARE, 127)])
    assert pitch(synth.render(20_000)) == pytest.approx(400, rel=0.01)


def test_live_every_pad_sounds_at_once():
    instrument = drums()
    synth = Synth(instrument, live=True)
    made = len(instrument.model.made)
    assert made == len(Drums.pads)
    synth.schedule(note_on(0, key, 100) for key in instrument.keys)
    synth.render(64)
    assert synth.sounding == 5
    assert len(instrument.model.made) == made  # nothing is decoded while it is rendered


def test_keys_beyond_the_pads_play_the_last_one_in_tune_or_not():
    above = [note_on(0, TOM, 1), note_on(0, SNARE, 1), note_on(3000, TOM + 12, 127)]
    assert pitch(hits(above, 20_000)) == pytest.approx(400, rel=0.01)
    assert pitch(hits([knob(0, "follow", 0), *above], 20_000)) == pytest.approx(200, rel=0.01)
    below = [note_on(0, SNARE, 1), note_on(3000, KICK - 12, 127)]
    assert pitch(hits(below, 20_000)) == pytest.approx(100, rel=0.02)


def test_tune_and_bend_move_the_pitch():
    struck = note_on(0, SNARE, 127)
    assert pitch(hits([knob(0, "tune", 100), struck])) == pytest.approx(200 * 2 ** (1 / 12), rel=0.005)
    assert pitch(hits([bend(0, -8192), struck])) == pytest.approx(200 * 2 ** (-2 / 12), rel=0.005)


def test_a_hit_plays_through_or_ends_with_its_key_and_the_pedal():
    struck = [note_on(0, KICK, 127), note_off(5000, KICK)]
    through, gated = hits(struck), hits([knob(0, "gate", 1), *struck])
    assert np.array_equal(through, hits(struck[:1]))
    assert np.array_equal(gated[:5000], through[:5000])
    assert not gated[5000 + RELEASE + 1 :].any()
    held = hits([knob(0, "gate", 1), control(0, 64, 127), *struck, control(9000, 64, 0)])
    assert np.array_equal(held[:9000], through[:9000])
    assert not held[9000 + RELEASE + 1 :].any()


def test_hats_choke_each_other_without_a_click():
    sound = hits([note_on(0, OPEN, 127), note_on(4000, CLOSED, 1)], 12_000)
    free = hits([note_on(0, OPEN, 127)], 12_000)
    assert np.array_equal(sound[:4000], free[:4000])
    assert np.abs(free[4000 + FADE : 6000]).max() > 10 * np.abs(sound[4000 + FADE : 6000]).max()
    assert np.abs(np.diff(sound, axis=0)).max() <= np.abs(np.diff(free, axis=0)).max() * 1.01
    kick = hits([note_on(0, OPEN, 127), note_on(4000, KICK, 1)], 12_000)
    assert np.abs(kick[4000 + FADE : 6000]).max() > 0.01  # another group chokes nothing


def test_attack_and_decay_shape_a_hit():
    plain = hits([note_on(0, KICK, 127)])
    slow = hits([knob(0, "attack", 200), note_on(0, KICK, 127)])
    assert np.abs(slow[:400]).max() < 0.1 * np.abs(plain[:400]).max()
    damped = hits([knob(0, "decay", 60), note_on(0, KICK, 127)])
    assert np.abs(damped[6000:8000]).max() < 0.5 * np.abs(plain[6000:8000]).max()


def test_too_many_hits_end_the_oldest_without_a_click():
    synth = Synth(drums(), polyphony=3, limiter=False)
    synth.schedule([STILL, *(note_on(300 * i, KICK, 127) for i in range(1, 20))])
    sound = synth.render(8000)
    assert synth.sounding == 3
    onset = np.abs(np.diff(hits([note_on(300, KICK, 127)]), axis=0)).max()
    assert np.abs(np.diff(sound, axis=0)).max() < 1.1 * onset
    synth.render(30_000)
    assert synth.sounding == 0


events = st.lists(
    st.one_of(
        st.builds(note_on, st.integers(0, 9000), st.integers(20, 90), st.integers(1, 127)),
        st.builds(note_off, st.integers(0, 9000), st.integers(20, 90)),
        st.builds(control, st.integers(0, 9000), st.sampled_from([1, 7, 10, 64, 120, 123]), st.integers(0, 127)),
        st.builds(bend, st.integers(0, 9000), st.integers(-8192, 8191)),
        st.builds(lambda at, value: knob(at, "slider2", value), st.integers(0, 9000), st.floats(-5, 5)),
        st.builds(lambda at, value: knob(at, "tempo", value), st.integers(0, 9000), st.floats(30, 300)),
        st.builds(lambda at, value: knob(at, "gate", value), st.integers(0, 9000), st.floats(0, 1)),
    ),
    max_size=14,
)  # fmt: skip


@pytest.mark.parametrize("make", [drums, loops])
@given(played=events, block=st.integers(50, 3000))
@settings(max_examples=15, deadline=None)
def test_whatever_is_played_blocks_do_not_matter(make, played, block):
    wanted = render(make(), played, 10_000)
    assert np.isfinite(wanted).all()
    assert np.abs(render(make(), played, 10_000, block) - wanted).max() < 1e-4


# --- drums by General MIDI ---


def test_drum_keys_find_their_pads():
    found = drum_pads([pad.title for pad in Drums.pads])
    assert found[36] == (0, 0) and found[35][0] == 0
    assert found[38][0] == 1 and found[42][0] == 2 and found[46] == (3, 0) and found[44][0] == 2
    assert {found[key][0] for key in (41, 43, 45, 47, 48, 50)} == {4}
    assert found[41][1] < found[45][1] < found[50][1]  # one tom plays them all, at several pitches
    assert 49 not in found  # there is no cymbal
    assert set(found) <= set(DRUMS)
    assert drum_pads(["kick"])[36] == (0, 0)
    assert drum_pads([]) == {}


def test_the_drum_channel_plays_where_pads_are_there_and_is_silent_else(tiny):
    score = [STILL, note_on(0, 36, 127, 9), note_on(0, 49, 127, 9)]
    assert np.array_equal(render(drums(), score, 5000), hits([note_on(0, KICK, 127)], 5000))
    assert not render(tiny, score, 5000).any()
    synth = Synth(tiny, limiter=False)
    synth.set_instrument(drums(), 9)
    synth.schedule([knob(0, "vary", 0, 9), *score[1:]])
    assert np.array_equal(synth.render(5000), hits([note_on(0, KICK, 127)], 5000))
    assert synth.sounding == 1  # a key without a pad is no voice


# --- loops ---


def test_a_loop_goes_round_until_its_key_is_let_go():
    instrument = loops()
    own = instrument.model.sound(instrument.model.pads[0].centre)
    sound = hits([knob(0, "sync", 0), note_on(0, 60, 127), note_off(150_000, 60)], 160_000, loops(), block=1000)
    length = own.shape[1]
    gain = (100 / 127) ** 2
    assert np.abs(sound[:length].T - own * gain).max() < 1e-5
    assert np.abs(sound[length:150_000].T - own[:, : 150_000 - length] * gain).max() < 1e-5
    assert not sound[150_000 + RELEASE + 1 :].any()


@pytest.mark.parametrize("bpm", [90, 140])
def test_a_loop_keeps_to_the_scores_tempo(bpm):
    sound = hits([tempo(0, bpm), note_on(0, 60, 127)], 4 * RATE, loops(), block=512).mean(axis=1)
    beat = 60 / bpm * RATE
    for number in range(1, 6):
        due = round(number * beat)
        before, after = np.abs(sound[due - 700 : due - 100]).max(), np.abs(sound[due - 30 : due + 300]).max()
        assert after > 5 * before, number


def test_sliders_are_heard_from_a_loops_next_pass_on():
    score = [knob(0, "sync", 0), note_on(0, 60, 127)]
    plain = hits(score, 180_000, loops(), block=1000)
    turned = hits([*score, knob(30_000, "slider1", 1.0)], 180_000, loops(), block=1000)
    length = 2 * RATE
    assert np.array_equal(turned[: length - 200], plain[: length - 200])
    assert pitch(turned[length + RATE // 2 : length + RATE]) == pytest.approx(400, rel=0.01)
    assert pitch(plain[length + RATE // 2 : length + RATE]) == pytest.approx(200, rel=0.01)


# --- listening ---


def test_pads_start_from_a_sound_that_is_brought_along():
    engine = LiveEngine(drums())
    sound = Drums().sound(np.array([1.7, -1.0, 0], np.float32))
    engine.play_event(note_on(0, SNARE, 1))
    engine.render(64)
    values = engine.listen(sound)
    assert values["slider1"] == pytest.approx(1.7, abs=0.05)  # the snare stands at 0
    assert values["slider2"] == pytest.approx(-1.5, abs=0.3)
    engine.render(64)
    assert engine.snapshot.knobs["slider1"] == values["slider1"]
    with pytest.raises(InstrumentError, match="too short"):
        engine.listen(sound[:, :100])


def test_notes_cannot_start_from_a_sound(fading):
    with pytest.raises(InstrumentError, match="only pads and songs"):
        LiveEngine(fading).listen(np.zeros((2, 9999), np.float32))


def test_panic_ends_hits_that_were_let_go_and_ring_on():
    score = [note_on(0, SNARE, 127), note_off(300, SNARE)]
    assert np.abs(hits(score)[2000:]).max() > 0.01
    assert not hits([*score, panic(1000)])[1000 + FADE :].any()
