"""The JACK clients of the tests: no client of JACK's library may live in the process that runs the tests."""

import shutil
import sys
import threading

import numpy as np
import pytest

from engine.errors import DeviceError
from musicnn_gui.live_bench.stage import NAMES, LiveServer
from musicnn_gui.live_bench.tester import JackTester

pytestmark = pytest.mark.skipif(shutil.which("jackd") is None, reason="jackd is not installed")
RATE, BLOCK = 48_000, 256


@pytest.fixture
def busy():
    """Two threads that always want the interpreter."""
    end = threading.Event()

    def spin():
        while not end.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=spin) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield
    end.set()
    for thread in threads:
        thread.join()


def test_clients_come_and_go_beside_busy_threads(busy):
    """In one process, closing a client beside busy threads hung the interpreter at the third time at the latest."""
    with LiveServer(RATE, BLOCK) as server:
        for _ in range(4):
            with JackTester(server.name) as tester:
                tester.record(1.0)
                stamps = tester.now((0x90, 60, 100), (0x80, 60, 0))
                assert len(stamps) == 2
                assert tester.recorded().sound.shape[1] == 2
                assert tester.rate == RATE
    assert "jack" not in sys.modules


def test_a_client_whose_server_died_does_not_disturb_the_next_server():
    """In one process, opening a client of the second server was a segmentation fault."""
    with LiveServer(RATE, BLOCK) as first, JackTester(first.name) as left:
        first.process.kill()
        first.process.wait()
        with LiveServer(RATE, BLOCK, first.name) as second, JackTester(second.name) as tester:
            assert tester.soon() > 0
            with pytest.raises(DeviceError):
                left.play([(left.soon(), bytes((0x90, 60, 100)))])


def test_servers_beside_each_other_have_names_of_their_own():
    with LiveServer(RATE, BLOCK) as one, LiveServer(RATE, BLOCK) as other:
        assert {one.name, other.name} <= set(NAMES)
        assert one.name != other.name
        assert one.process.pid != other.process.pid
        assert one.process.poll() is None and other.process.poll() is None


def test_the_clients_end_with_their_process():
    with LiveServer(RATE, BLOCK) as server:
        with JackTester(server.name) as tester:
            tester._process.kill()
            tester._process.join()
            with pytest.raises(DeviceError, match="process has ended"):
                tester.now((0x90, 60, 100))
        with JackTester(server.name) as tester:
            assert np.all(tester.play([(0, b"\x90\x3c\x64")]) > 0)


def test_without_a_server_one_sentence_says_so():
    with pytest.raises(DeviceError, match="the JACK server does not answer"), JackTester("no-such-server"):
        pass
