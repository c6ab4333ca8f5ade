"""A sound server that dies under open MIDI ports: nothing in the engine's process may wait for it."""

import os
import shutil
import subprocess
import sys

import pytest

from musicnn_gui.live_bench.stage import LiveServer
from tests.live.conftest import PERIOD, RATE

PORTS = """
import os, sys, time
from engine.midi.ports import JACK, MidiInput
midi = MidiInput()
midi.start()
assert midi._interface == JACK
time.sleep(0.5)
heard = midi._virtual._get(100)
print("open", flush=True)
sys.stdin.readline()
for _ in range(20_000):
    midi._virtual.end_exclusive()
print("alive", flush=True)
os._exit(0)
"""


@pytest.mark.skipif(shutil.which("jackd") is None, reason="jackd is not installed")
def test_the_guard_of_a_port_does_not_wait_for_a_dead_server():
    """rtmidi's buffer was full after 3,000 messages, and its busy loop held the interpreter lock for ever."""
    with LiveServer(RATE, PERIOD) as server:
        environment = os.environ | {"JACK_DEFAULT_SERVER": server.name, "JACK_NO_START_SERVER": "1"}
        command = [sys.executable, "-c", PORTS]
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout.readline() == "open\n"
            server.process.kill()
            server.process.wait()
            said, _ = process.communicate("go\n", timeout=60)
            assert said == "alive\n"
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
