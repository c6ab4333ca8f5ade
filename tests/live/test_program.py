"""The real program on a real sound server: a MIDI key in, sound out."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.live.conftest import RATE

NOTE_ON, NOTE_OFF, CONTROL = 0x90, 0x80, 0xB0


def strongest_hz(sound):
    """Frequency of the strongest partial, interpolated on the logarithm of a Hann spectrum."""
    mono = sound.mean(axis=1) * np.hanning(len(sound))
    level = np.log(np.abs(np.fft.rfft(mono, 8 * len(mono))) + 1e-12)
    top = int(level.argmax())
    left, middle, right = level[top - 1 : top + 2]
    return (top + 0.5 * (left - right) / (left - 2 * middle + right)) * RATE / (8 * len(mono))


def test_the_program_reports_ready_and_ends_cleanly(program):
    assert program.ready.startswith("ready after")
    assert program.end() == 0
    assert "Traceback" not in program.errors.read_text()


def test_a_midi_key_becomes_that_note_and_nothing_else(player):
    silence = player.record(0.3)
    assert np.abs(silence).max() < 1e-4
    sound = player.record(1.0, (NOTE_ON, 69, 100))
    assert np.abs(sound).max() > 0.01
    loud = np.flatnonzero(np.abs(sound).max(axis=1) > 1e-3)
    steady = sound[loud[0] + RATE // 10 : loud[0] + RATE // 2]
    cents = 1200 * np.log2(strongest_hz(steady) / 440.0)
    # The strongest partial may be an upper one: it is in tune with the key either way.
    nearest = cents - 1200 * np.log2(max(1, round(2 ** (cents / 1200))))
    assert abs(nearest) < 12
    player.record(1.5, (NOTE_OFF, 69, 0))
    assert np.abs(player.record(0.3)).max() < 1e-3


def test_the_pedal_holds_a_note(player):
    player.record(0.2, (CONTROL, 64, 127), (NOTE_ON, 60, 90))
    held = player.record(0.8, (NOTE_OFF, 60, 0))
    assert np.sqrt(np.mean(held[-RATE // 4 :] ** 2)) > 1e-3
    player.record(1.5, (CONTROL, 64, 0))
    assert np.abs(player.record(0.3)).max() < 1e-3


def test_volume_follows_the_controller(player):
    levels = []
    for value in (127, 40):
        player.send(CONTROL, 7, value)
        sound = player.record(0.6, (NOTE_ON, 64, 90))
        levels.append(np.sqrt(np.mean(sound[RATE // 10 :] ** 2)))
        player.record(1.2, (NOTE_OFF, 64, 0))
    player.send(CONTROL, 7, 100)
    wanted = 40 * np.log10(40 / 127)
    assert 20 * np.log10(levels[1] / levels[0]) == pytest.approx(wanted, abs=1.5)


@pytest.mark.parametrize("platform", ["offscreen", "minimal"])
def test_without_any_server_the_program_still_opens(platform, tmp_path):
    """No sound device, no MIDI: one start as on a machine that has neither."""
    environment = os.environ | {
        "JACK_DEFAULT_SERVER": "no-such-server", "JACK_NO_START_SERVER": "1", "QT_QPA_PLATFORM": platform,
    }  # fmt: skip
    command = [sys.executable, "-m", "musicnn_gui.cli", "play", "--quit-when-ready"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ready after")
    assert "Traceback" not in done.stderr
