"""The window's end of the engine, with a process that does as it is told instead of the engine."""

import os
import signal
import threading
import time

import pytest

from engine import client as module
from engine import threads
from engine.client import GIVEN_UP, RESTARTED, EngineClient
from engine.midi.events import control
from engine.reports import Snapshot, State

PATIENCE = 60


def obedient(pipe, faults=None):
    """Echo what comes as messages; play from the first event on."""
    while True:
        try:
            name, _ = pipe.recv()
        except EOFError:
            return
        if name == "close":
            return
        if name == "panic":
            time.sleep(3600)  # hangs: reads nothing any more
        if name == "play":
            pipe.send(("state", (State(Snapshot(position=64), None, 0.0, [], None, 0.0),)))
        pipe.send(("message", (f"{name} {os.getpid()}", False)))


class Told:
    def __init__(self):
        self.texts, self.changed = [], threading.Condition()

    def __call__(self, name, arguments):
        with self.changed:
            self.texts.append(arguments[0] if name == "message" else name)
            self.changed.notify()

    def wait(self, start, count=1):
        """The last text that begins so, when there are so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.all(start)) >= count, PATIENCE), self.texts
            return self.all(start)[-1]

    def all(self, start):
        return [text for text in self.texts if text.startswith(start)]


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def client(told, monkeypatch):
    monkeypatch.setattr(module, "serve", obedient)
    monkeypatch.setattr(module, "MOST_FALLS", 1)
    monkeypatch.setattr(threads, "START_METHOD", "spawn")
    client = EngineClient(told)
    client.start("piano", {}, "", 256, "")
    told.wait("open_output")
    yield client
    client.close()


def fall(client, told, count):
    """Kill the process, and wait for the next one."""
    pid = int(told.wait("open_output").split()[1])
    os.kill(pid, signal.SIGKILL)
    told.wait("restarted", count)
    told.wait("open_output", count + 1)


def test_an_engine_that_had_played_is_started_again_however_often_it_falls(client, told, monkeypatch):
    monkeypatch.setattr(module, "STEADY_SECONDS", 0.0)
    for count in range(2):
        client.play()
        told.wait("play", count + 1)
        fall(client, told, count + 1)
    assert len(told.all(RESTARTED)) == 2


def test_an_engine_that_falls_before_it_plays_is_given_up(client, told):
    fall(client, told, 1)
    os.kill(int(told.all("open_output")[-1].split()[1]), signal.SIGKILL)
    told.wait(GIVEN_UP)
    assert len(told.all("restarted")) == 1


def test_nobody_waits_for_an_engine_that_hangs(client, told, monkeypatch):
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.5)
    client.panic()

    def play():
        for n in range(4000):  # more than a pipe takes
            client.play_event(control(0, 1, n % 128))

    player = threading.Thread(target=play, daemon=True)
    player.start()
    player.join(PATIENCE)
    assert not player.is_alive()
    process = client._process
    client.close()
    assert not process.is_alive()


def test_threads_and_process_end_with_the_client(client, told):
    process = client._process
    client.close()
    assert process.exitcode == 0
    assert not client._reader.is_alive()
    assert not client._writer.is_alive()


def test_an_engine_that_hangs_after_it_has_played_is_ended_and_started_again(client, told, monkeypatch):
    monkeypatch.setattr(module, "MOST_SILENT", 3)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.2)
    first = told.wait("load").split()[1]
    time.sleep(1.5)
    assert not told.all(RESTARTED)  # it has not played yet: loading takes its time
    client.play()
    told.wait("play")
    client.panic()
    told.wait(RESTARTED)
    assert told.wait("load", 2).split()[1] != first
