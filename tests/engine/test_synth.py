from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.audio.limiter import LOOKAHEAD
from engine.codec import Note, two_sines
from engine.instrument import Instrument
from engine.knobs import HITS, KNOBS, LATENT, LOOPS, SLIDERS, SONG
from engine.midi.events import bend, control, knob, note_off, note_on, panic
from engine.synth import MIN_NOTE_SECONDS, Synth

RATE = 44_100

SCORE = [
    note_on(0, 60, 100), note_on(700, 64, 60), control(900, 64, 127), note_off(2100, 60), bend(3000, 4000),
    note_on(3333, 67, 90), note_off(4000, 64), control(5000, 1, 90), bend(6000, 0), control(7001, 64, 0),
    knob(8000, "brightness", 3.0), control(8500, 7, 60), note_off(9000, 67), note_on(9000, 60, 110), note_off(9050, 60),
    control(9500, 10, 0), note_on(9600, 72, 127), note_off(12_000, 72),
]  # fmt: skip


def render(instrument, events, samples, block=256, *, limiter=False):
    synth = Synth(instrument, limiter=limiter)
    synth.schedule(events)
    parts = []
    while sum(map(len, parts)) < samples:
        parts.append(synth.render(min(block, samples - sum(map(len, parts)))))
    return np.concatenate(parts)


@pytest.mark.parametrize("block", [1, 37, 64, 512, 4096])
def test_blocks_of_any_size_give_the_same_sound(tiny, block):
    samples = 3000 if block == 1 else 16_000
    wanted = render(tiny, SCORE, samples)
    assert np.abs(wanted).max() > 0.01
    assert np.abs(render(tiny, SCORE, samples, block) - wanted).max() < 1e-4


events = st.lists(
    st.one_of(
        st.builds(note_on, st.integers(0, 9000), st.integers(30, 100), st.integers(1, 127)),
        st.builds(note_off, st.integers(0, 9000), st.integers(30, 100)),
        st.builds(control, st.integers(0, 9000), st.sampled_from([1, 7, 10, 11, 64, 66, 67, 120, 123]),
                  st.integers(0, 127)),
        st.builds(bend, st.integers(0, 9000), st.integers(-8192, 8191)),
        st.builds(lambda at, name, share: knob(at, name, KNOBS[name].to_value(share)), st.integers(0, 9000),
                  st.sampled_from(["brightness", "stretch", "attack", "width", "volume"]), st.floats(0, 1)),
    ),
    max_size=14,
)  # fmt: skip


@given(played=events, block=st.integers(50, 3000))
@settings(max_examples=25, deadline=None)
def test_whatever_is_played_blocks_do_not_matter(tiny, played, block):
    wanted = render(tiny, played, 10_000)
    assert np.isfinite(wanted).all()
    assert np.abs(render(tiny, played, 10_000, block) - wanted).max() < 1e-4


def test_a_pedal_may_let_go_of_many_notes_at_once(tiny):
    keys = range(48, 72)
    score = [control(0, 64, 127), *(note_on(10 * key, key, 80) for key in keys)]
    score += [*(note_off(2000 + key, key) for key in keys), control(6000, 64, 0)]
    assert np.abs(render(tiny, score, 12_000, 200) - render(tiny, score, 12_000, 1024)).max() < 1e-4


def test_a_release_leaves_what_was_heard_before_it(tiny):
    held = render(tiny, [note_on(0, 60, 90)], 10_000)
    released = render(tiny, [note_on(0, 60, 90), note_off(5003, 60)], 10_000)
    assert np.array_equal(held[:5003], released[:5003])
    assert np.abs(held[5200:] - released[5200:]).max() > 1e-4


def test_a_voice_sounds_alone_as_it_does_in_company(tiny):
    """Notes are added up, nothing else: a batch of voices is its voices."""
    alone = sum(render(tiny, [note_on(5 * key, key, 90), note_off(4000, key)], 8000) for key in (50, 57, 66))
    score = [e for key in (50, 57, 66) for e in (note_on(5 * key, key, 90), note_off(4000, key))]
    assert np.abs(render(tiny, score, 8000) - alone).max() < 1e-5


def test_an_onset_is_on_its_sample(tiny):
    sound = render(tiny, [note_on(1234, 60, 127)], 4000)
    assert not sound[: 1234 - 768].any()  # a frame that begins with the note reaches back by its window
    late = render(tiny, [note_on(1235, 60, 127)], 4001)
    assert np.abs(sound - late[1:]).max() < 1e-6


def test_a_very_short_note_is_held_for_ten_milliseconds(tiny):
    shortest = round(MIN_NOTE_SECONDS * RATE)
    short = render(tiny, [note_on(0, 60, 90), note_off(5, 60)], 6000)
    ten = render(tiny, [note_on(0, 60, 90), note_off(shortest, 60)], 6000)
    assert np.abs(short - ten).max() < 1e-6


def test_polyphony_is_kept_and_stolen_voices_fade(tiny):
    synth = Synth(tiny, polyphony=4, limiter=False)
    synth.schedule(note_on(300 * index, 40 + index, 90) for index in range(12))
    loudest_step, previous = 0.0, np.zeros(2)
    for _ in range(80):
        block = synth.render(64)
        steps = np.abs(np.diff(np.vstack([previous, block]), axis=0))
        loudest_step, previous = max(loudest_step, float(steps.max())), block[-1]
        assert synth.sounding <= 4 + 4  # at most as many again are fading out
    unlimited = render(tiny, [note_on(300 * index, 40 + index, 90) for index in range(12)], 80 * 64)
    assert loudest_step < 3 * np.abs(np.diff(unlimited, axis=0)).max()


def test_panic_ends_everything_at_once(tiny):
    synth = Synth(tiny, limiter=False)
    synth.schedule([control(0, 64, 127), note_on(0, 60, 127), note_on(0, 64, 127), panic(4000)])
    synth.render(4000)
    synth.render(512)
    assert synth.sounding == 0
    assert not synth.render(256).any()


def test_silence_costs_no_voices(piano):
    synth = Synth(piano, limiter=False)
    synth.schedule([note_on(0, 72, 90), note_off(10_000, 72)])
    for _ in range(200):
        synth.render(1024)
        if synth.position > 20_000 and not synth.sounding:
            return
    raise AssertionError("the note never died away")


@pytest.mark.parametrize("key", [0, 20, 109, 127])
def test_keys_beyond_the_instruments_sound_at_their_own_pitch(piano, key):
    sound = render(piano, [note_on(0, key, 100)], 22_050).mean(axis=1)
    assert np.isfinite(sound).all()
    hz = 440 * 2 ** ((key - 69) / 12)
    spectrum = np.abs(np.fft.rfft(sound[4000:] * np.hanning(len(sound) - 4000), 1 << 18))
    frequencies = np.arange(len(spectrum)) * RATE / (1 << 18)
    if hz > 1000:  # one partial rules up there
        assert abs(1200 * np.log2(frequencies[spectrum.argmax()] / hz)) < 30
    assert np.abs(sound).max() > 1e-4


TESTED_ELSEWHERE = {*LATENT, "soft", "breath", "vibrato", "ensemble", "voicing"}  # all but soft in test_timbres
OF_OTHER_KINDS = {*SLIDERS, "vary", *HITS, *LOOPS, *SONG}


@pytest.mark.parametrize("name", sorted(set(KNOBS) - TESTED_ELSEWHERE - OF_OTHER_KINDS))
def test_every_knob_is_heard_and_bounded(piano, name):
    score = [note_on(0, 60, 90), note_off(9000, 60)]
    plain = render(piano, score, 12_000)
    row = KNOBS[name]
    for value in {row.low, row.high} - {row.default}:
        turned = render(piano, [knob(0, name, value), *score], 12_000)
        assert np.isfinite(turned).all()
        assert np.abs(turned - plain).max() > 0.02 * np.abs(plain).max(), value
        assert np.abs(turned).max() < 20 * np.abs(plain).max()
    assert np.array_equal(render(piano, [knob(0, name, row.default), *score], 12_000), plain)


def test_the_soft_pedal_softens_by_its_knob(tiny):
    score = [control(0, 67, 127), note_on(0, 60, 100)]
    plain = render(tiny, score, 6000)
    assert np.array_equal(plain, render(tiny, [note_on(0, 60, 100)], 6000))
    soft = render(tiny, [knob(0, "soft", 6.0), *score], 6000)
    assert 0.2 < np.sqrt(np.mean(soft**2) / np.mean(plain**2)) < 0.9


def test_a_bend_of_two_semitones_is_two_semitones(piano):
    def pitch(events):
        sound = render(piano, events, 30_000).mean(axis=1)[8000:]
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 19))
        return spectrum.argmax() * RATE / (1 << 19)

    plain = pitch([note_on(0, 69, 100)])
    bent = pitch([bend(0, 8191), note_on(0, 69, 100)])
    assert 1200 * np.log2(bent / plain) == pytest.approx(200, abs=3)


def test_pan_moves_the_sound_and_volume_scales_it(tiny):
    left = render(tiny, [control(0, 10, 0), note_on(0, 60, 90)], 5000)
    centre = render(tiny, [note_on(0, 60, 90)], 5000)
    assert np.abs(left[:, 1]).max() < 1e-6 * np.abs(left[:, 0]).max()
    assert np.abs(left[:, 0] - centre[:, 0]).max() < 1e-6
    half = render(tiny, [control(0, 7, 50), note_on(0, 60, 90)], 5000)
    assert np.allclose(half, centre * (50 / 100) ** 2, atol=1e-6)


def test_channels_do_not_disturb_each_other(tiny):
    alone = render(tiny, [note_on(0, 60, 90)], 5000)
    beside = render(tiny, [control(0, 7, 0, channel=3), bend(0, 5000, channel=3), note_on(0, 60, 90)], 5000)
    assert np.array_equal(alone, beside)


def test_drums_are_left_to_drum_kits(tiny):
    assert not render(tiny, [note_on(0, 60, 90, channel=9)], 3000).any()


def test_the_limiter_keeps_its_ceiling_and_only_delays_what_is_under_it(tiny):
    loud = [knob(0, "volume", 12.0), *(note_on(0, key, 127) for key in range(36, 97))]
    limited = render(tiny, loud, 12_000, limiter=True)
    assert np.abs(render(tiny, loud, 12_000)).max() > 1
    assert np.abs(limited).max() <= 10 ** (-1 / 20) + 1e-5
    quiet = [knob(0, "volume", -30.0), note_on(2000, 60, 80)]
    plain, passed = render(tiny, quiet, 8000), render(tiny, quiet, 8000, limiter=True)
    assert np.array_equal(passed[LOOKAHEAD:], plain[:-LOOKAHEAD])


def test_another_instrument_takes_over_within_a_fade(tiny, tiny_bins):
    synth = Synth(tiny, limiter=False)
    synth.schedule([note_on(0, 60, 100)])
    synth.render(4000)
    synth.set_instrument(tiny_bins)
    synth.render(512)
    assert synth.sounding == 0
    synth.schedule([note_on(5000, 60, 100)])
    assert np.abs(synth.render(6000)).max() > 0
    assert set(synth.knobs) == {"volume", *tiny_bins.knobs}


def test_an_instrument_of_another_rate_is_refused(tiny):
    other = Instrument("x", "keys", "X", 48_000, 0.0, tiny.keys, tiny.knobs, tiny.model, {})
    with pytest.raises(ValueError, match="48000"):
        Synth(tiny).set_instrument(other)


def test_nnss_plays_with_any_block_size_too(tiny_bins):
    score = [note_on(100, 60, 90), note_on(900, 64, 90), note_off(4000, 60), note_off(5000, 64)]
    wanted = render(tiny_bins, score, 9000)
    assert np.abs(wanted).max() > 0
    assert np.abs(render(tiny_bins, score, 9000, 77) - wanted).max() < 1e-4


def test_what_the_network_hears_can_be_shown_block_by_block(tiny):
    """The voices of successive blocks become the signal that one long block would have."""
    synth, codec = Synth(tiny), tiny.model.codec
    synth.schedule([note_on(0, 60, 90), note_on(300, 67, 50), note_off(900, 60)])
    blocks = []
    for samples in (256, 100, 344, 1200, 600):
        blocks.append((samples, synth.heard()))
        synth.render(samples)
    shown = two_sines(codec, blocks)
    assert len(shown) == 2500
    first, second = Note(60, 92), Note(67, 52)  # the network hears velocities in steps of 8
    assert not shown[:256].any()  # a note is shown from the next block on
    assert np.allclose(shown[256:356], codec.signal(first, 256, 100), atol=1e-6)
    both = codec.signal(first, 356, 344) + codec.signal(second, 56, 344)
    assert np.allclose(shown[356:700], both, atol=1e-6)
    both = codec.signal(replace(first, release=900), 1900, 600) + codec.signal(second, 1600, 600)
    assert np.allclose(shown[1900:], both, atol=1e-6)
    assert len(two_sines(codec, [])) == 0


@pytest.mark.parametrize("end", [panic(3300), control(3300, 120, 0)])
def test_what_was_let_go_and_rings_on_is_silenced_too(tiny, end):
    score = [note_on(0, 60, 127), note_off(3000, 60)]
    over = 3300 + 512
    assert np.abs(render(tiny, score, 8000)[over:]).max() > 1e-3
    assert not render(tiny, [*score, end], 8000)[over:].any()


def test_all_sound_off_is_for_its_channel_alone(tiny):
    score = [note_on(0, 60, 127), note_off(3000, 60), control(3300, 120, 0, 1)]
    assert np.array_equal(render(tiny, score, 8000), render(tiny, score[:2], 8000))
