import os
import sys
import threading

import pytest

from engine.threads import COMPANION, LOOK_AHEAD, ORDINARY, WORKER, prepare_thread

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there a thread's urgency is its own")


def prepared(urgency, processors):
    """What a thread that may use some processors is given: its processors, its policy, and its priority."""
    found = []

    def run():
        os.sched_setaffinity(0, processors)
        prepare_thread(urgency)
        found.extend((os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0).sched_priority))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found


def two_processors():
    processors = sorted(os.sched_getaffinity(0))[:2]
    if len(processors) < 2:
        pytest.skip("there is one processor only")
    if prepared(COMPANION, processors)[1] & ~os.SCHED_RESET_ON_FORK != os.SCHED_RR:
        pytest.skip("real time is not allowed here")
    return set(processors)


def test_of_two_processors_worker_and_look_ahead_have_one_each():
    processors = two_processors()
    worker, ahead = prepared(WORKER, processors)[0], prepared(LOOK_AHEAD, processors)[0]
    assert len(worker) == len(ahead) == 1
    assert worker | ahead == processors


@pytest.mark.parametrize("urgency", [COMPANION, ORDINARY])
def test_others_go_where_there_is_room(urgency):
    processors = two_processors()
    assert prepared(urgency, processors)[0] == processors


def test_the_more_urgent_come_first():
    processors = two_processors()
    priorities = [prepared(urgency, processors)[2] for urgency in (ORDINARY, COMPANION, LOOK_AHEAD, WORKER)]
    assert priorities == sorted(set(priorities)) and priorities[0] == 0


def test_where_there_is_one_processor_it_is_everybodys():
    one = {min(two_processors())}
    assert prepared(WORKER, one)[0] == prepared(LOOK_AHEAD, one)[0] == one
