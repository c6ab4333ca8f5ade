import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.codec import Note
from engine.midi.events import bend, control, knob, note_off, note_on
from engine.synth import Synth
from engine.voices.keys import SILENT, KeysBank
from engine.voices.models import Raw
from engine.voices.voice import DAMPED, FADE, GUESSED
from engine.voices.writing import MOST_RELEASED
from tests.engine.test_timbres import make_instrument

BLOCK = 256


def render(instrument, events, samples, sizes=(BLOCK,), looks=0, **options):
    """`looks`: how many pieces of the future an idle moment between two blocks has time for."""
    synth = Synth(instrument, limiter=False, live=looks > 0, **options)
    synth.schedule(events)
    parts = []
    while synth.position < samples:
        parts.append(synth.render(min(sizes[len(parts) % len(sizes)], samples - synth.position)))
        for _ in range(looks):
            if not synth.look_ahead():
                break
    return np.concatenate(parts)


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


@given(events=played, sizes=st.lists(st.integers(30, 2500), min_size=1, max_size=6), looks=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_few_voices_are_shared_alike_whatever_the_blocks_and_however_far_ahead(fading, events, sizes, looks):
    """Which voice gives way to a new note is part of the sound."""
    wanted = render(fading, events, 9000, polyphony=3)
    assert np.abs(render(fading, events, 9000, sizes, looks, polyphony=3) - wanted).max() < 1e-4


def test_a_voice_that_gives_way_is_chosen_by_what_is_heard_not_by_what_is_foreseen(tiny):
    """Many notes on few voices: the network has written further ahead in live playing than in rendering a file."""
    rng = np.random.default_rng(0)
    events, now = [], 0
    for _ in range(60):
        now += int(rng.integers(1, 3000))
        key = int(rng.integers(36, 97))
        events.append(note_on(now, key, int(rng.integers(1, 128))))
        if rng.random() < 0.7:
            events.append(note_off(now + int(rng.integers(1, 9000)), key))
    wanted = render(tiny, events, now, polyphony=5)
    assert np.abs(wanted).max() > 0.01
    assert np.abs(render(tiny, events, now, looks=9, polyphony=5) - wanted).max() < 1e-4


@pytest.mark.parametrize("count", [1, 4, 12])
@pytest.mark.parametrize("size", [64, 333])
def test_keys_let_go_together_in_live_playing_sound_as_in_a_file(fading, count, size):
    struck = [note_on(40 * index, 42 + 3 * index, 127) for index in range(count)]
    events = [*struck, *(note_off(450, 42 + 3 * index) for index in range(count))]
    wanted = render(fading, events, 6000)
    assert np.abs(render(fading, struck, 6000) - wanted).max() > 4e-4  # the release is heard, LEAD samples late
    assert np.abs(render(fading, events, 6000, (size,), looks=9) - wanted).max() < 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_knobs_that_the_network_hears_are_followed_alike_whatever_the_blocks(seed):
    """They move on while the network still follows the last move: when it looks again must not depend on blocks."""
    instrument, rng = make_instrument(), np.random.default_rng(seed)
    events, now = [note_on(100, 60, 90), note_on(3100, 67, 70), note_off(9000, 60)], 100
    while now < 12_000:
        now += int(rng.integers(20, 2000))
        events.append(knob(now, f"latent{rng.integers(1, 4)}", float(rng.uniform(-2, 2))))
    wanted = render(instrument, events, 15_000)
    for sizes, looks in (((64,), 0), ((4096,), 0), ((37, 2000), 1), ((256,), 9)):
        assert np.abs(render(instrument, events, 15_000, sizes, looks) - wanted).max() < 1e-4, (sizes, looks)


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


def test_looking_ahead_comes_to_an_end(fading):
    bank = KeysBank(fading.model, fading.keys, live=True)
    assert not bank.look_ahead()
    for number in range(9):
        bank.start(number, 45 + number, 90)
    bank.render(64)
    steps = 0
    while bank.look_ahead():
        steps += 1
        assert steps < 100
    assert steps > 0


def test_looking_ahead_goes_on_when_a_note_begins_that_was_announced(piano):
    """All that it begins with is ready, so the worker computes nothing: it has to say so all the same."""
    bank = KeysBank(piano.model, piano.keys, live=True)

    def look():
        while bank.look_ahead():
            pass

    in_another_thread(look)
    bank.announce(60, 90.0)
    in_another_thread(look)
    bank.wait_for_events(0)
    bank.start(0, 60, 90.0)
    bank.render(BLOCK)
    voice = bank._voices[0]
    first = voice.written
    assert bank._news.is_set()
    in_another_thread(look)
    assert voice.written > first > 0


def test_a_touch_of_one_channel_leaves_the_others_alone(fading):
    def second(touched):
        bank = KeysBank(fading.model, fading.keys)
        bank.start(0, 60, 100, channel=1)
        bank.render(300)
        bank.touch(touched, 0.0, 0.0, 0.0, {})
        return bank.render(2000)[0]

    assert np.abs(second(2)).max() > 0.01
    assert not second(1)[:, 500:].any()


def in_another_thread(call):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_where_nobody_looks_ahead_any_more_frames_are_guessed_and_then_written(piano):
    """The thread that looks ahead is stuck for ever: nobody waits for it, and what is heard is much the same."""
    bank, alone = (KeysBank(piano.model, piano.keys, live=live) for live in (True, False))
    for one in (bank, alone):
        one.start(0, 60, 90.0)
    in_another_thread(bank.look_ahead)
    heard, wanted = (np.concatenate([one.render(BLOCK)[0] for _ in range(200)], axis=1) for one in (bank, alone))
    assert bank.late >= 4  # of 32 guessed frames and 32 written ones each, for 32 blocks
    assert alone.late == 0
    error = np.sum((heard - wanted) ** 2) / np.sum(wanted**2)
    assert 10 * np.log10(error + 1e-12) < -15


def test_what_a_stuck_thread_hands_in_late_is_still_used(piano):
    bank = KeysBank(piano.model, piano.keys, live=True)
    bank.start(0, 60, 90.0)
    in_another_thread(bank.look_ahead)
    voice = bank._voices[0]
    bank.render(BLOCK)
    work = [bank._extended(voice)]  # begun by the other thread, and not handed in
    bank._mark(work, busy=True)
    end = voice.end
    while voice.end == end:
        bank.render(BLOCK)
    assert voice.end == end + GUESSED and voice.written == end
    in_another_thread(lambda: bank._look_at(work))
    assert voice.end == voice.written == end + work[0].size and not voice.busy
    assert np.isfinite(bank.render(20 * BLOCK)[0]).all()


def test_in_short_blocks_a_note_that_is_not_ready_begins_later_as_a_whole(tiny):
    bank, other = (KeysBank(tiny.model, tiny.keys, live=True) for _ in range(2))
    bank.start(0, 60, 90.0)
    voice = bank._voices[0]
    onset = voice.heard, voice.latent
    bank._onsets_busy.add(onset)  # another thread writes it
    assert not bank.render(128)[0].any()
    assert (voice.position, bank.late) == (0, 1)
    bank._onsets_busy.discard(onset)
    other.start(0, 60, 90.0)
    assert np.allclose(bank.render(2000)[0], other.render(2000)[0], atol=1e-6)
    assert bank.late == 1


def test_notes_are_shed_only_where_the_network_is_late(tiny):
    bank = KeysBank(tiny.model, tiny.keys, live=True)
    for number in range(16):
        bank.start(number, 40 + number, 100.0)
    bank.render(1000)
    for number in range(12):
        bank.release(number)
    bank.render(1000)
    in_another_thread(lambda: [bank.look_ahead() for _ in range(500)])
    assert bank.shed() == []
    while not any(bank._is_late(voice) for voice in bank._voices):
        bank.render(64)
    assert bank.shed() == [0, 1]  # an eighth of them, the oldest released ones first
    assert {voice.number for voice in bank._voices if voice.fade is not None} == {0, 1}


def test_a_window_that_comes_at_the_last_moment_needs_no_bridge(piano, monkeypatch):
    """Between the end of the patience and the next look another thread may hand it in."""
    bank = KeysBank(piano.model, piano.keys, live=True)
    bank.start(0, 60, 90.0)
    in_another_thread(bank.look_ahead)
    bank.render(BLOCK)
    voice = bank._voices[0]
    work, patience = [bank._extended(voice)], bank._done.wait
    bank._mark(work, busy=True)

    def hand_in_too_late(seconds):
        assert not patience(seconds)
        bank._calculate(work)
        bank._mark(work, busy=False)
        bank._take(work)
        return False

    monkeypatch.setattr(bank._done, "wait", hand_in_too_late)
    end = voice.end
    while voice.end == end:
        bank.render(BLOCK)
    assert voice.end == end + work[0].size
    assert bank.late == 0


def ratio_db(a, b):
    return 10 * np.log10(np.sum(b**2) / (np.sum((a - b) ** 2) + 1e-20))


def test_what_is_guessed_goes_on_as_a_held_note_does(piano):
    model, note = piano.model, Note(55, 80.0)
    with torch.inference_mode():
        knots = np.arange(120)
        raw = model.network(torch.from_numpy(model.inputs(note, knots, ()))[None])[0]
    written = model.decode(Raw(raw.numpy(), note, (), knots))
    guessed = model.guess(written[:96], 8)
    assert guessed.shape == written[96:104].shape and guessed.dtype == written.dtype
    assert ratio_db(guessed, written[96:104]) > 10
    loud = np.abs(written[95]) > 1e-6
    assert np.all(np.abs(guessed[:, loud]) <= 1.001 * np.abs(written[95][loud]))  # nothing ever grows
    assert np.allclose(model.guess(written[:1], 3), written[:1], atol=1e-7)  # nothing is known but one frame


def test_the_true_frames_are_heard_again_as_soon_as_they_are_written(piano):
    bank, alone = (KeysBank(piano.model, piano.keys, live=live) for live in (True, False))
    for one in (bank, alone):
        one.start(0, 60, 90.0)
    in_another_thread(bank.look_ahead)
    for _ in range(60):
        bank.render(BLOCK), alone.render(BLOCK)
    assert bank._voices[0].guess is not None and bank.behind == 1
    in_another_thread(lambda: [bank.look_ahead() for _ in range(9)])
    for _ in range(40):
        in_another_thread(lambda: [bank.look_ahead() for _ in range(9)])
        heard, wanted = bank.render(BLOCK)[0], alone.render(BLOCK)[0]
    assert bank.behind == 0
    assert ratio_db(heard, wanted) > 40


def test_a_change_that_nobody_computes_is_made_without_the_network(piano):
    """A pedal lets go of more than there is time for: no block waits, and all notes end."""
    bank = KeysBank(piano.model, piano.keys, live=True)
    for number in range(12):
        bank.start(number, 48 + number, 90.0)
    in_another_thread(bank.look_ahead)
    bank.render(4000)
    for number in range(12):
        bank.release(number)
    calls = []
    bank._changes = lambda changing: calls.append(changing) or []  # nobody may
    for _ in range(12):
        bank.render(BLOCK)
    assert not calls
    assert all(voice.damped for voice in bank._voices)
    assert len(ends(bank, 60)) == 12


def test_notes_that_others_drown_are_let_go_without_the_network(piano):
    sounds = {}
    for faint in (True, False):
        bank = KeysBank(piano.model, piano.keys)
        for number, velocity in ((0, 127.0), (1, 6.0)):
            bank.start(number, 48 + 7 * number, velocity)
        bank.render(6000)
        if not faint:
            bank._drowned = lambda voices, most=0: set()
        bank.release(1)
        sounds[faint] = np.concatenate([bank.render(BLOCK)[0] for _ in range(80)], axis=1)
        assert [voice.damped for voice in bank._voices if voice.number] in ([faint], [])
    assert ratio_db(sounds[True], sounds[False]) > 45


def test_of_many_notes_that_are_let_go_at_once_the_loudest_are_released_by_the_network(piano):
    bank = KeysBank(piano.model, piano.keys)
    for number in range(MOST_RELEASED + 5):
        bank.start(number, 40 + number, 60.0 + 3 * (number * 7 % 11))
    bank.render(9000)
    levels = {voice.number: bank._level(voice) for voice in bank._voices}
    for number in levels:
        bank.release(number)
    bank.render(BLOCK)
    loudest = sorted(levels, key=lambda number: -levels[number])[:MOST_RELEASED]
    assert {voice.number for voice in bank._voices if not voice.damped} == set(loudest)


def test_a_damped_note_sounds_the_same_however_far_ahead_the_network_was(piano):
    sounds = []
    for ahead in (False, True):
        bank = KeysBank(piano.model, piano.keys, live=ahead)
        bank.start(0, 50, 90.0)
        parts = [bank.render(BLOCK)[0]]
        for _ in range(20):
            while ahead and bank.look_ahead():
                pass
            parts.append(bank.render(BLOCK)[0])
        bank._damp(bank._voices[0])
        bank._happened()
        while ahead and bank.look_ahead():
            pass
        sounds.append(np.concatenate([*parts, *(bank.render(BLOCK)[0] for _ in range(DAMPED // BLOCK + 1))], axis=1))
        assert not bank.sounding
    assert np.abs(sounds[0] - sounds[1]).max() < 1e-5 * np.abs(sounds[0]).max()


def test_a_damped_note_is_silenced_without_a_step(piano):
    bank = KeysBank(piano.model, piano.keys)
    bank.start(0, 60, 100.0)
    bank.render(5000)
    bank._damp(bank._voices[0])
    bank._happened()
    before = bank.render(5000)[0]
    bank.silence(0)
    after, ended = bank.render(400)
    assert (
        np.abs(np.diff(np.concatenate([before, after], axis=1), axis=1)).max() <= np.abs(np.diff(before, axis=1)).max()
    )
    assert ended == [0] and not after[:, FADE:].any()


def test_of_notes_that_are_shed_those_struck_again_go_before_soft_ones(tiny):
    bank = KeysBank(tiny.model, tiny.keys, live=True)
    for number, key in enumerate([60, 62, 64, 60, 67, 69, 71, 72]):
        bank.start(number, key, 100.0)
    bank.render(1000)
    while not any(bank._is_late(voice) for voice in bank._voices):
        bank.render(64)
    assert bank.shed() == [0]
    assert bank._voices[0].damped
