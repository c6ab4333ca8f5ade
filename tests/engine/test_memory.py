"""Memory that a process keeps for itself."""

import subprocess
import sys

import pytest

PROGRAM = """
from engine.memory import keep_memory, reserve_memory, rss_mb
keep_memory()
before = rss_mb()
reserve_memory(32)
reserved = rss_mb()
import resource
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
import ctypes
blocks = [ctypes.create_string_buffer(200_000) for _ in range(120)]
for block in blocks:
    ctypes.memset(block, 1, 200_000)
print(reserved - before, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the system's own way has to do")
def test_what_is_reserved_is_there_without_asking_the_system():
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout.split()
    reserved, faults = float(told[0]), int(told[1])
    assert reserved > 30
    assert faults < 120  # 24 MB of new memory would have been 5,900 pages
