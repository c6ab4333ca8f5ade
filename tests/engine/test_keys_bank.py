import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.midi.events import bend, control, knob, note_off, note_on
from engine.synth import Synth
from engine.voices.keys import KeysBank
from tests.engine.test_timbres import make_instrument
from tests.engine.unhurried import unhurried

BLOCK = 256
FADE, LEAD, MOST_RELEASED, SILENT = 256, 512, 16, 3e-5  # of engine/native/bank.cpp


def render(instrument, events, samples, sizes=(BLOCK,), **options):
    synth = Synth(instrument, limiter=False, **options)
    synth.schedule(events)
    parts = []
    while synth.position < samples:
        parts.append(synth.render(min(sizes[len(parts) % len(sizes)], samples - synth.position)))
    return np.concatenate(parts)


def render_live(instrument, events, samples, sizes=(BLOCK,), **options):
    """The same live; events are known some blocks ahead."""

    def play(pause):
        synth = Synth(instrument, limiter=False, live=True, **options)
        waiting, parts = sorted(events, key=lambda event: event.sample), []
        while synth.position < samples:
            size = min(sizes[len(parts) % len(sizes)], samples - synth.position)
            coming = [event for event in waiting if event.sample < synth.position + 4 * size]
            waiting = waiting[len(coming) :]
            synth.schedule(coming)
            pause()
            parts.append(synth.render(size))
        return np.concatenate(parts), synth.late

    return unhurried(play)


def ends(bank, blocks, size=BLOCK):
    """Numbers of the notes that end within some blocks."""
    return [number for _ in range(blocks) for number in bank.render(size)[1]]


keys, times = st.integers(30, 90), st.integers(0, 6000)
played = st.lists(
    st.one_of(
        st.builds(note_on, times, keys, st.integers(1, 127)),
        st.builds(note_on, times, keys, st.integers(1, 127)),
        st.builds(note_off, times, keys),
        st.builds(control, times, st.sampled_from([1, 7, 10, 11, 64, 66, 67, 120, 123]), st.integers(0, 127)),
        st.builds(bend, times, st.integers(-8192, 8191)),
        st.builds(knob, times, st.sampled_from(["brightness", "stretch", "decay"]), st.floats(-1, 1)),
    ),
    max_size=24,
)


@given(events=played, sizes=st.lists(st.integers(30, 2500), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_few_voices_are_shared_alike_whatever_the_blocks(fading, events, sizes):
    """Which voice gives way to a new note is part of the sound."""
    wanted = render(fading, events, 9000, polyphony=3)
    assert np.abs(render(fading, events, 9000, sizes, polyphony=3) - wanted).max() < 1e-4


def many_notes(seed, count):
    rng, events, now = np.random.default_rng(seed), [], 0
    for _ in range(count):
        now += int(rng.integers(1, 3000))
        key = int(rng.integers(36, 97))
        events.append(note_on(now, key, int(rng.integers(1, 128))))
        if rng.random() < 0.7:
            events.append(note_off(now + int(rng.integers(1, 9000)), key))
    return events, now


@pytest.mark.parametrize("sizes", [(256,), (64, 333, 1000)])
def test_live_playing_sounds_as_a_file(tiny, sizes):
    """Many notes on few voices: the network has written further ahead in live playing than in rendering a file."""
    events, end = many_notes(0, 40)
    wanted = render(tiny, events, end, polyphony=5)
    assert np.abs(wanted).max() > 0.01
    assert np.abs(render_live(tiny, events, end, sizes, polyphony=5) - wanted).max() < 1e-6


@pytest.mark.parametrize("count", [1, 4, 12])
@pytest.mark.parametrize("size", [64, 333])
def test_keys_let_go_together_in_live_playing_sound_as_in_a_file(fading, count, size):
    struck = [note_on(40 * index, 42 + 3 * index, 127) for index in range(count)]
    events = [*struck, *(note_off(450, 42 + 3 * index) for index in range(count))]
    wanted = render(fading, events, 6000)
    assert np.abs(render(fading, struck, 6000) - wanted).max() > 4e-4  # the release is heard
    assert np.abs(render_live(fading, events, 6000, (size,)) - wanted).max() < 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_knobs_that_the_network_hears_are_followed_alike_whatever_the_blocks(seed):
    """They move on while the network still follows the last move: when it looks again must not depend on blocks."""
    instrument, rng = make_instrument(), np.random.default_rng(seed)
    events, now = [note_on(100, 60, 90), note_on(3100, 67, 70), note_off(9000, 60)], 100
    while now < 12_000:
        now += int(rng.integers(20, 2000))
        events.append(knob(now, f"latent{rng.integers(1, 4)}", float(rng.uniform(-2, 2))))
    wanted = render(instrument, events, 15_000)
    for sizes in ((64,), (4096,), (37, 2000)):
        assert np.abs(render(instrument, events, 15_000, sizes) - wanted).max() < 1e-4, sizes
    assert np.abs(render_live(instrument, events, 15_000) - wanted).max() < 1e-4


def test_every_note_ends_once_and_after_the_last_one_there_is_silence(fading):
    bank = KeysBank(fading.model, fading.keys)
    for number in range(6):
        bank.start(number, 45 + 5 * number, 90)
    for number in (0, 2, 4):
        bank.release(number)
    ended = ends(bank, 60)
    assert sorted(ended) == list(range(6))
    assert bank.sounding == 0
    sound, gone = bank.render(500)
    assert not sound.any()
    assert not gone


def test_what_is_cut_off_at_a_notes_end_cannot_be_heard(fading):
    """A voice ends when all that is left of it lies under -90 dB of full scale."""
    synth = Synth(fading, limiter=False)
    synth.schedule([note_on(0, 60, 127), note_off(900, 60)])
    last = np.zeros((1, 2))
    while synth.position == 0 or synth.sounding:
        block = synth.render(16)
        if synth.sounding:
            last = block
    assert np.abs(last).max() < 2 * SILENT


def test_a_released_voice_gives_way_before_a_held_one(fading):
    bank = KeysBank(fading.model, fading.keys, polyphony=3)
    for number, key in enumerate((50, 57, 64)):
        assert bank.start(number, key, 100) == []
        bank.render(64)
    bank.release(1)
    bank.render(300)
    assert bank.start(3, 70, 100) == [1]


def test_of_held_voices_the_softest_gives_way(fading):
    bank = KeysBank(fading.model, fading.keys, polyphony=3)
    for number, velocity in enumerate((100, 12, 127)):
        bank.start(number, 60, velocity)
    bank.render(500)
    assert bank.start(3, 70, 100) == [1]


@pytest.mark.parametrize("polyphony", [1, 2, 5])
def test_never_more_voices_than_allowed_but_for_those_that_fade(fading, polyphony):
    bank = KeysBank(fading.model, fading.keys, polyphony)
    alive = set()
    for number in range(12):
        alive -= set(bank.start(number, 45 + number, 90))
        alive.add(number)
        assert len(alive) <= polyphony
        alive -= set(ends(bank, 1, FADE))
        assert bank.sounding == len(alive)  # a fade lasts no longer
        assert bank.sounding <= polyphony


def test_a_silenced_note_is_gone_after_its_fade(fading):
    bank = KeysBank(fading.model, fading.keys)
    bank.start(0, 60, 127)
    bank.render(700)
    bank.silence(0)
    fade, ended = bank.render(FADE)
    assert ended == [0]
    assert np.abs(np.diff(fade, axis=1)).max() < 0.05  # no step
    assert not bank.render(100)[0].any()


def test_a_touch_of_one_channel_leaves_the_others_alone(fading):
    def second(touched):
        bank = KeysBank(fading.model, fading.keys)
        bank.start(0, 60, 100, channel=1)
        bank.render(300)
        bank.touch(touched, 0.0, 0.0, 0.0, {})
        return bank.render(2000)[0]

    assert np.abs(second(2)).max() > 0.01
    assert not second(1)[:, 500:].any()


def ratio_db(a, b):
    return 10 * np.log10(np.sum(b**2) / (np.sum((a - b) ** 2) + 1e-20))


def test_without_a_pause_live_playing_goes_on_and_comes_back(piano):
    """Blocks are wanted as fast as can be: nothing is waited for, and what is late fades as it did."""
    bank, alone = (KeysBank(piano.model, piano.keys, live=live) for live in (True, False))
    for one in (bank, alone):
        one.start(0, 60, 90.0)
    while not np.abs(bank.render(BLOCK)[0]).max():
        time.sleep(0.001)
    alone.render(BLOCK)
    for _ in range(400):
        heard, wanted = (one.render(BLOCK)[0] for one in (bank, alone))
        assert np.isfinite(heard).all()
        assert np.abs(heard).max() <= 1.5 * np.abs(wanted).max() + 0.01
    assert bank.late > 0 and alone.late == 0
    end = time.monotonic() + 60
    while time.monotonic() < end:  # the true frames are heard again as soon as they are written
        time.sleep(0.005)
        late = bank.late
        heard, wanted = (one.render(BLOCK)[0] for one in (bank, alone))
        if bank.late == late and ratio_db(heard, wanted) > 40:
            break
    else:
        raise AssertionError("it does not come back")


def test_a_note_that_is_not_ready_begins_later_as_a_whole(tiny):
    """In the first block after its start nobody can have written it."""
    bank, other = KeysBank(tiny.model, tiny.keys, live=True), KeysBank(tiny.model, tiny.keys)
    bank.start(0, 96, 3.0)  # prepared last
    other.start(0, 96, 3.0)
    while not (block := bank.render(64)[0]).any():
        time.sleep(0.001)
    time.sleep(0.2)
    heard = np.concatenate([block, bank.render(1000)[0]], axis=1)
    wanted = other.render(1064)[0]
    assert np.abs(heard - wanted).max() < 1e-6


def test_beginnings_are_prepared_in_the_background(tiny):
    bank = KeysBank(tiny.model, tiny.keys, live=True)
    end = time.monotonic() + 60
    while bank.prepared < 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    bank.start(0, 60, 90.0)
    assert bank.render(64)[0].any() or bank.render(256)[0].any()
    assert bank.late == 0


def test_notes_that_others_drown_are_let_go_without_the_network(piano):
    """What is left of a note 40 dB under another fades, and the difference is not heard."""
    sounds = []
    for alone in (False, True):
        bank = KeysBank(piano.model, piano.keys)
        bank.start(1, 55, 6.0)
        if not alone:
            bank.start(0, 48, 127.0)
        bank.render(6000)
        bank.release(1)
        sounds.append(np.concatenate([bank.render(BLOCK)[0] for _ in range(80)], axis=1))
    bank = KeysBank(piano.model, piano.keys)
    bank.start(0, 48, 127.0)
    bank.render(6000)
    loud = np.concatenate([bank.render(BLOCK)[0] for _ in range(80)], axis=1)
    assert np.abs(sounds[0] - loud).max() > 0  # it does sound
    assert ratio_db(sounds[0], loud + sounds[1]) > 45


def test_of_many_notes_that_are_let_go_at_once_the_others_fade(piano):
    """A pedal lets go of more than the network is asked for: all of them end."""
    bank = KeysBank(piano.model, piano.keys)
    count = MOST_RELEASED + 15
    for number in range(count):
        bank.start(number, 40 + number, 60.0 + 3 * (number * 7 % 11))
    bank.render(9000)
    for number in range(count):
        bank.release(number)
    assert sorted(ends(bank, 800)) == list(range(count))


def test_a_fading_note_is_silenced_without_a_step(piano):
    """A note that fades without the network, since another drowns it, is silenced from where it is."""
    bank = KeysBank(piano.model, piano.keys)
    bank.start(0, 100, 4.0)
    bank.start(1, 40, 127.0)
    bank.render(5000)
    bank.release(0)
    bank.render(3000)
    bank.silence(1)
    bank.render(300)
    before = bank.render(1000)[0]
    bank.silence(0)
    after, ended = bank.render(400)
    steps = np.abs(np.diff(np.concatenate([before, after], axis=1), axis=1)).max()
    assert steps <= 1.01 * np.abs(np.diff(before, axis=1)).max()
    assert ended in ([0], []) and not after[:, FADE:].any()


def test_many_voices_fade_at_once_and_no_place_is_missing(tiny):
    bank, rng = KeysBank(tiny.model, tiny.keys, polyphony=4), np.random.default_rng(0)
    for number in range(300):
        bank.start(number, int(rng.integers(36, 97)), float(rng.integers(1, 128)))
        assert np.isfinite(bank.render(int(rng.integers(1, 20)))[0]).all()
    assert bank.sounding <= 24


def test_a_long_part_is_rendered_in_one(tiny):
    one, other = (KeysBank(tiny.model, tiny.keys) for _ in range(2))
    for bank in (one, other):
        bank.start(0, 60, 100)
        bank.render(777)
        bank.release(0)
    whole = one.render(50_000)[0]
    parts = np.concatenate([other.render(100)[0] for _ in range(500)], axis=1)
    assert np.array_equal(whole, parts)


@pytest.mark.parametrize("release", [None, 3000, 40])
def test_the_native_codec_is_the_definition(tiny, release):
    from engine.codec import Note

    frames = [0, 1, 2, 3, 4, 5, 11, 12, 13, 14, 30, 200, 5000, 20_000]
    for key, velocity in ((36, 4.0), (60, 68.0), (96, 124.0)):
        native = tiny.model.native(tiny.keys).inputs(key, velocity, release, frames, [])
        wanted = tiny.model.inputs(Note(key, velocity, release), np.array(frames), ())
        assert np.abs(native - wanted).max() < 2e-4


@pytest.mark.parametrize("kind", ["linear", "exact"])
@pytest.mark.parametrize("oversampling", [1, 2, 8])
def test_the_native_nnss_codec_is_the_definition(kind, oversampling):
    import torch

    from engine.codec import NnssCodec, Note
    from engine.networks.heads import BinHead
    from engine.networks.spectral import NetworkConfig, SpectralNetwork
    from engine.spectral import Stft
    from engine.voices.models import BinKeys

    codec = NnssCodec(Stft(512 * oversampling, 128 * oversampling), oversampling, 200, 0.5, kind)
    network = SpectralNetwork(NetworkConfig(codec.features, 400, 0, 4, 1, "lstm", 2))
    with torch.no_grad():
        model = BinKeys(codec, network, BinHead(200, 0.5))
        native = model.native(range(40, 90))
    for release in (None, 3000):
        got = native.inputs(60, 64, release, list(range(40)), [])
        wanted = model.inputs(Note(60, 64, release), np.arange(40), ())
        assert np.abs(got - wanted).max() < 2e-3 * np.abs(wanted).max()
