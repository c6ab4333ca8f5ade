"""A suspend is told from a late thread and from a stopped process by the system's own clocks."""

import os
import signal
import subprocess
import sys
import time

import pytest

from engine.suspend import SuspendWatch, system_clocks


class Clocks:
    """Two clocks that are set by hand."""

    def __init__(self):
        self.always = self.awake = 1000.0
        self.between = lambda: None  # what happens between two readings

    def pair(self):
        def always():
            self.between()
            return self.always

        return always, lambda: self.awake

    def run(self, seconds):
        self.always, self.awake = self.always + seconds, self.awake + seconds


@pytest.fixture
def clocks():
    return Clocks()


def test_a_suspend_is_told_once_with_its_length(clocks):
    watch = SuspendWatch(clocks.pair())
    clocks.run(5)
    assert watch.slept() == 0
    clocks.always += 3600
    clocks.run(1)
    assert watch.slept() == pytest.approx(3600)
    assert watch.slept() == 0


def test_a_late_thread_is_no_suspend_wherever_it_is_late(clocks):
    watch = SuspendWatch(clocks.pair())
    clocks.run(30)
    assert watch.slept() == 0
    clocks.between = lambda: clocks.run(30)  # stopped in the middle of looking
    assert watch.slept() == 0
    clocks.between = lambda: None
    for _ in range(3):
        clocks.run(0.016)
        assert watch.slept() == 0


def test_a_suspend_in_the_middle_of_looking_is_told_by_the_next_look_at_the_latest(clocks):
    watch = SuspendWatch(clocks.pair())

    def sleep():
        clocks.always += 60

    clocks.between = sleep
    first = watch.slept()
    clocks.between = lambda: None
    assert first + watch.slept() == pytest.approx(60)


def test_a_tick_of_a_coarse_clock_is_no_suspend(clocks):
    watch = SuspendWatch(clocks.pair())
    clocks.always += 0.016
    assert watch.slept() == 0


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="Linux's clocks")
def test_a_stopped_process_has_not_been_asleep_by_this_systems_clocks():
    assert system_clocks() is not None
    source = (
        "from engine.suspend import *; import threading, time; watch_stops(); w = SuspendWatch(); slept = 0\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "print('go', was_stopped(), flush=True)\n"
        "end = time.monotonic() + 60\n"
        "while time.monotonic() < end:\n"
        "    time.sleep(0.01); slept += w.slept()\n"
        "    if was_stopped(): print(round(slept), was_stopped(), flush=True); break\n"
    )
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "go False\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(3.0)
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.readline() == "0 False\n"
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
