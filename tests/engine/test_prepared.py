import numpy as np
import pytest

from engine.codec import Note
from engine.midi.events import knob, note_on
from engine.networks.playing import Written
from engine.synth import Synth
from engine.voices import prepared
from engine.voices.keys import KeysBank
from engine.voices.prepared import Prepared, heard_velocity
from tests.engine.test_timbres import make_instrument


@pytest.mark.parametrize(("velocity", "heard"), [(1, 4), (7.9, 4), (8, 12), (64, 68), (127, 124), (127.9, 124)])
def test_the_network_hears_velocities_in_steps(velocity, heard):
    assert heard_velocity(velocity) == heard


def test_every_velocity_is_heard_nearly_as_it_is():
    assert max(abs(heard_velocity(velocity) - velocity) for velocity in range(1, 128)) <= prepared.VELOCITY_STEP / 2


def test_velocities_of_one_step_differ_in_level_alone(tiny):
    """The level is not the network's affair: it is exact. (Each velocity has noise of its own.)"""
    sounds = []
    for velocity in (96, 103):
        synth = Synth(tiny, limiter=False)
        synth.schedule([knob(0, "breath", 0), note_on(0, 60, velocity)])
        sounds.append(synth.render(6000))
    gain = tiny.model.head.gain(103) / tiny.model.head.gain(96)
    assert gain > 1.01
    assert np.allclose(sounds[1], sounds[0] * gain, atol=1e-6)


def test_a_note_that_was_prepared_sounds_as_one_that_was_not(tiny):
    played = [note_on(0, 60, 90), note_on(700, 64, 33)]
    sounds = []
    for ready in (False, True):
        synth = Synth(tiny, limiter=False, live=True)
        while ready and synth.prepare_onset():
            pass
        synth.schedule(played)
        sounds.append(np.concatenate([synth.render(500) for _ in range(12)]))
    assert np.abs(sounds[0]).max() > 0.005
    assert np.abs(sounds[1] - sounds[0]).max() < 1e-5


def test_a_prepared_note_begins_without_the_network(tiny, monkeypatch):
    bank = KeysBank(tiny.model, tiny.keys, live=True)
    assert bank.prepared == 0
    while bank.prepare_onset():
        pass
    assert bank.prepared == 1
    written, window = [], tiny.model.playing.window
    monkeypatch.setattr(tiny.model.playing, "window", lambda *what, **how: written.append(what) or window(*what, **how))
    for key in (tiny.keys[0], 60, tiny.keys[-1]):
        bank.start(key, key, 77.0)
        assert np.abs(bank.render(300)[0]).max() > 0
    assert not written


def test_knobs_that_the_network_hears_have_everything_prepared_anew():
    morphing = make_instrument()
    synth = Synth(morphing, limiter=False, live=True)
    assert synth.prepare_onset()
    name = next(name for name in morphing.knobs if name.startswith("latent"))
    synth.schedule([knob(0, name, 1.0)])
    synth.render(256)
    assert not synth.prepare_onset()  # it may go on moving
    for _ in range(180):
        synth.render(256)
    assert synth.prepare_onset()
    assert synth.prepared < 0.1


def test_no_more_is_kept_than_there_is_room_for(tiny, monkeypatch):
    monkeypatch.setattr(prepared, "MOST", 5)
    kept = Prepared(tiny.keys, tiny.model.playing)
    network = tiny.model.playing
    frames = tiny.model.inputs(Note(60, 68), tiny.model.grid.after(0, 16 + network.context), ())
    raw = network.window([frames], 16, [network.zero_states()])[0]
    for key in range(40, 50):
        kept.keep((Note(key, 68), ()), Written(raw.raw, raw.states))
    assert len(kept) == 5 and (Note(49, 68), ()) in kept and (Note(40, 68), ()) not in kept
    again = kept.get((Note(49, 68), ()))
    assert again is not None and np.array_equal(again.raw, raw.raw)
    assert np.array_equal(again.states[-1], raw.states[-1]) and len(again.states) == len(raw.states)
    assert np.abs(np.stack(again.states) - np.stack(raw.states)).max() < 1e-3
    assert kept.get((Note(40, 68), ())) is None
