"""Every way to end the program: the signals of a terminal, a system that shuts down, a pipe that closes, a full disk.

Each program here is a process of its own, copied from one that has imported everything: a dozen times torch would be a
minute.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import soundfile

from musicnn_gui import cli

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
PATIENCE = 120.0
TICKS = 480  # in a beat of half a second
NUMBERS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL)
IMPORTED = ["engine.render", "engine.library", "training.cli", "training.recipes.nnss", "matplotlib.figure"]


def program(words, output, errors, ignored):
    """In the other process: `output` is a file, or "" for a pipe that nobody reads."""
    if output:
        target = os.open(output, os.O_WRONLY | os.O_CREAT)
    else:
        closed, target = os.pipe()
        os.close(closed)
    os.dup2(target, 1)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
    sys.stdout = open(1, "w", encoding="utf-8", errors="strict", closefd=False)  # noqa: SIM115
    for number in NUMBERS[:-1]:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(cli.main(words))


class Program:
    """A command that runs."""

    def __init__(self, *words, folder, output=None, ignored=()):
        self.errors = folder / f"errors-{time.monotonic_ns()}"
        self.output = folder / f"output-{time.monotonic_ns()}" if output is None else output
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        arguments = [*map(os.fspath, words)], os.fspath(self.output), self.errors, ignored
        self.process = context.Process(target=program, args=arguments)
        self.process.start()

    def send(self, number):
        os.kill(self.process.pid, number)

    def said(self):
        """Standard error so far."""
        return os.fsdecode(self.errors.read_bytes()) if self.errors.exists() else ""

    def end(self):
        """Exit status and standard error."""
        self.process.join(PATIENCE)
        self.process.kill()
        return self.process.exitcode, self.said()


@pytest.fixture
def start(tmp_path):
    (tmp_path / "said").mkdir()
    programs = []

    def start(*words, **options):
        programs.append(Program(*words, folder=tmp_path / "said", **options))
        return programs[-1]

    yield start
    for program in programs:
        program.process.kill()
        program.process.join()


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def two_notes(path, hours):
    """A MIDI file of two notes far apart."""
    gap = round(hours * 3600 * 2 * TICKS)
    delta = bytes([0x80 | (gap >> 21) & 0x7F, 0x80 | (gap >> 14) & 0x7F, 0x80 | (gap >> 7) & 0x7F, gap & 0x7F])
    track = b"\0\x90\x3c\x40\x60\x80\x3c\0" + delta + b"\x90\x40\x40\x60\x80\x40\0\0\xff\x2f\0"
    head = b"MThd\0\0\0\6\0\0\0\1" + TICKS.to_bytes(2, "big")
    path.write_bytes(head + b"MTrk" + len(track).to_bytes(4, "big") + track)
    return path


def names(folder):
    return [entry.name for entry in folder.iterdir()]


def test_a_rendering_that_is_ended_leaves_no_part_and_keeps_the_old_file(start, tmp_path):
    score = two_notes(tmp_path / "long.mid", 3)
    places = [tmp_path / number.name / ("x.flac" if number == signal.SIGHUP else "x.wav") for number in NUMBERS]
    for place in places:
        place.parent.mkdir()
        place.write_bytes(b"old")
    programs = [start("render", score, place) for place in places]
    for number, place, process in zip(NUMBERS, places, programs, strict=True):
        wait_until(lambda place=place: len(names(place.parent)) > 1, "a part file")
        process.send(number)
    for number, place, process in zip(NUMBERS, places, programs, strict=True):
        status, err = process.end()
        assert place.read_bytes() == b"old"
        if number == signal.SIGKILL:
            assert status == -number and len(names(place.parent)) == 2
        else:
            assert (status, err) == (128 + number, "musicnn: stopped\n")
            assert names(place.parent) == [place.name]
    killed = places[-1]
    again = start("render", two_notes(tmp_path / "short.mid", 0.0001), killed)
    assert again.end() == (0, "")
    assert soundfile.info(killed).frames > 1000 and names(killed.parent) == ["x.wav"]  # what was left is swept


def test_a_program_that_should_outlive_its_terminal_does(start, tmp_path):
    """nohup ignores SIGHUP for it."""
    (tmp_path / "out").mkdir()
    score = two_notes(tmp_path / "s.mid", 0.02)
    process = start("render", score, tmp_path / "out" / "x.wav", ignored=(signal.SIGHUP,))
    wait_until(lambda: names(tmp_path / "out"), "a part file")
    process.send(signal.SIGHUP)
    assert process.end() == (0, "")
    assert soundfile.info(tmp_path / "out" / "x.wav").frames > 1000


def test_what_cannot_be_printed_is_no_traceback(start, tmp_path):
    """A closed pipe, a full disk, and names that are not UTF-8."""
    broken = start("instruments", output="")
    full = start("instruments", output="/dev/full") if os.path.exists("/dev/full") else None
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    missing = start("render", odd / "no.mid", odd / "x.wav")
    nowhere = start("instruments", "check", odd)
    assert broken.end() == (128 + signal.SIGPIPE, "")
    for process, said in ((missing, "caf?/no.mid cannot be read"), (nowhere, "musicnn: "), (full, "No space left")):
        if process is not None:
            status, err = process.end()
            assert status == 1 and err.startswith("musicnn: ") and said in err and err.count("\n") == 1


def test_hours_are_refused_before_they_are_rendered_where_there_is_no_room(start, tmp_path):
    """A megabyte of disk, and a score that would take gigabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "musicnn-test", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system takes root's rights")
    try:
        status, err = start("render", two_notes(tmp_path / "long.mid", 5), folder / "x.wav").end()
        assert status == 1 and "it would be 4.8 GB long, and the disk has room for 1.0 MB" in err
        assert err.count("\n") == 1 and not names(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


TINY = ["train", "nnss", "--hidden", "8", "--layers", "1", "--name", "tiny"]


def test_fitting_ends_at_a_signal_with_a_checkpoint_and_keeps_others_out(start, tmp_path):
    run = tmp_path / "run"
    words = [*TINY, "--out", tmp_path / "out", "--run", run]
    assert start(*words, "--steps", "2").end()[0] == 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        before = (run / "checkpoint.safetensors").stat().st_mtime_ns
        process = start(*words, "--minutes", "10")
        wait_until(lambda process=process: "resuming at step" in process.said(), "the fitting")
        if number == signal.SIGTERM:
            status, err = start(*words, "--minutes", "10").end()
            assert status == 1 and "is being fitted by another process" in err.splitlines()[-1]
        else:
            time.sleep(0.5)
        process.send(number)
        process.send(number)  # a second one does not disturb the saving
        status, err = process.end()
        assert status == 128 + number
        assert err.splitlines()[-1] == f"stopped; the same command goes on from {run}"
        assert (run / "checkpoint.safetensors").stat().st_mtime_ns > before and not list(run.glob(".*.part"))
    assert int(err.split("resuming at step ")[1].split(",")[0]) >= 2
