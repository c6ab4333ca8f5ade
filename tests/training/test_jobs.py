import os
import signal
import subprocess
import sys
import time

import pytest

from engine.errors import MusicNNError
from training.jobs import run_jobs


def write(path, text):
    path.write_text(f"{text} {os.getpid()}")


def fail(path):
    raise ValueError("no luck")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_every_call_is_made_in_another_process_and_counted(tmp_path):
    calls, told = [(tmp_path / str(index), index) for index in range(5)], []
    run_jobs(write, calls, 2, told.append)
    assert told == [1, 2, 3, 4, 5]
    written = [(tmp_path / str(index)).read_text().split() for index in range(5)]
    assert [int(text) for text, _ in written] == list(range(5))
    assert str(os.getpid()) not in {process for _, process in written}


def test_what_a_call_raises_is_raised(tmp_path):
    with pytest.raises(ValueError, match="no luck"):
        run_jobs(fail, [(tmp_path,)] * 3, 1, lambda done: None)


def test_a_killed_process_is_said_in_one_sentence():
    with pytest.raises(MusicNNError, match="killed"):
        run_jobs(die, [()], 1, lambda done: None)


INTERRUPTED = """
import sys, time
from pathlib import Path
from training.jobs import run_jobs

def slow(path):
    path.write_text("begun")
    time.sleep(600)

if __name__ == "__main__":
    try:
        run_jobs(slow, [(Path(sys.argv[1]) / str(index),) for index in range(50)], 2, print)
    except KeyboardInterrupt:
        print("stopped")
"""


def test_ctrl_c_ends_all_of_it_at_once(tmp_path):
    """As from a terminal: the whole group of processes is interrupted."""
    script = tmp_path / "slow.py"
    script.write_text(INTERRUPTED)
    done = tmp_path / "done"
    done.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, script, done], env=environment, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while not any(done.iterdir()) and time.monotonic() < end:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)  # ten minutes a job otherwise
    finally:
        process.kill()
    assert out.strip() == "stopped"
    assert err == ""
    assert len(list(done.iterdir())) <= 2
