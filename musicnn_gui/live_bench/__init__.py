"""Measures the running program over a real sound server: JACK with its dummy driver, which keeps real time.

A JACK client beside the program plays it and records it; what the program says of itself comes from its meters file,
and a watch says for how long the machine itself keeps everybody waiting.
"""

from musicnn_gui.live_bench.measurements import PARTS, LiveBenchOptions, run_live_bench

__all__ = ["PARTS", "LiveBenchOptions", "run_live_bench"]
