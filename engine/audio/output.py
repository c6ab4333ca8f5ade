"""The way to the sound device: a worker thread renders into a ring, a callback in C drains it.

    render worker (Python)            writes blocks into the ring while it is less than `ahead` blocks full
    audio callback (C, rtmixer)       copies from the ring, nothing else; never waits for Python

rtmixer ends its "play this ring" action when the ring runs dry: that is how an underrun (xrun) is noticed and counted
here; the action is put back at once. Closing a stream can hang where its server has died, so it happens in a thread
that nobody waits for long.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.audio.quiet import quiet_libraries
from engine.errors import DeviceError

if TYPE_CHECKING:
    from engine.spectral import Samples

# Asking JACK whether it is there must not start a server.
os.environ.setdefault("JACK_NO_START_SERVER", "1")

BLOCK_SIZES = (64, 128, 256, 512, 1024)
CHANNELS = 2
AHEAD = 3  # blocks in the ring
DEEP_SECONDS = 0.1
"""In the ring while a score plays: nobody waits for its notes, and a pedal that lets go of many is much work."""
CLOSE_SECONDS = 2.0
SWITCH_INTERVAL = 0.0005  # seconds after which a busy Python thread must let the worker in
METER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Device:
    """A sound output. index: PortAudio's; valid until the devices are scanned again."""

    index: int
    name: str
    host: str
    sample_rate: int

    @property
    def title(self) -> str:
        """As it is chosen from a list."""
        return f"{self.name} ({self.host})"


@dataclass(frozen=True, slots=True)
class OutputMeters:
    """How the stream does.

    load: time spent on rendering over time rendered, mean of the last second; worst_load: of the worst block in it.
    xruns: since the stream was opened. latency_ms: ring and device together.
    """

    running: bool = False
    load: float = 0.0
    worst_load: float = 0.0
    xruns: int = 0
    latency_ms: float = 0.0
    sample_rate: int = 0
    block: int = 0
    device: str = ""


def _portaudio() -> Any:
    try:
        with quiet_libraries():
            import sounddevice  # noqa: PLC0415  # loads PortAudio, which may be missing
    except OSError as error:
        raise DeviceError("no sound: the PortAudio library is missing (Debian: apt install libportaudio2)") from error
    return sounddevice


def devices() -> list[Device]:
    """All sound outputs, the default one first. Empty where there is none. Raises DeviceError without PortAudio."""
    sounddevice = _portaudio()
    hosts = sounddevice.query_hostapis()
    default = sounddevice.default.device[1]
    found = [
        Device(index, info["name"], hosts[info["hostapi"]]["name"], int(info["default_samplerate"]))
        for index, info in enumerate(sounddevice.query_devices())
        if info["max_output_channels"] >= CHANNELS
    ]
    return sorted(found, key=lambda device: device.index != default)


def rescan() -> list[Device]:
    """Look for devices again; no stream may be open."""
    sounddevice = _portaudio()
    with quiet_libraries():
        sounddevice._terminate()
        sounddevice._initialize()
    return devices()


class AudioOutput:
    """One output stream. `open` and `close` are called by one thread; `meters` may be read by any."""

    def __init__(
        self, render: Callable[[int], Samples], sample_rate: int, idle: Callable[[], bool] = lambda: False,
        relaxed: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        """`render(samples)` -> (samples, 2) at `sample_rate`; called by the worker thread alone.

        `idle()` is called where the ring is full; it does a short piece of work and returns whether there was any.
        `relaxed()` says whether latency does not matter now: the ring is kept deeper then.
        """
        self._render, self._engine_rate, self._idle, self._relaxed = render, sample_rate, idle, relaxed
        self.meters = OutputMeters()
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self._stream: Any = None

    @property
    def running(self) -> bool:
        """Whether a stream is open and its server alive."""
        return self._worker is not None and self._worker.is_alive() and not self._stop.is_set()

    def open(self, device: Device, block: int = 256, ahead: int = AHEAD) -> None:
        """Start playing through a device; `ahead` blocks are kept in the ring. Raises DeviceError."""
        self.close()
        if block not in BLOCK_SIZES:
            raise ValueError(f"block of {block} samples is not one of {BLOCK_SIZES}")
        try:
            stream, ring, rate = self._open_stream(device, block, ahead)
        except (_portaudio().PortAudioError, ValueError, OSError) as error:
            raise DeviceError(f"{device.title} cannot be opened: {_reason(error)}") from error
        self._stream = stream
        self._stop = threading.Event()
        feeder = _Feeder(
            stream,
            ring,
            self._render,
            self._idle,
            self._relaxed,
            self._engine_rate,
            rate,
            block,
            ahead,
            self._publish,
            self._stop,
        )
        self.meters = OutputMeters(
            running=True, sample_rate=rate, block=block, device=device.title, latency_ms=feeder.latency_ms
        )
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._worker = threading.Thread(target=feeder.run, name="render worker", daemon=True)
        self._worker.start()

    def close(self) -> None:
        """Stop playing. Returns within CLOSE_SECONDS even where the sound server has died."""
        self._stop.set()
        if self._worker is not None:
            self._worker.join(CLOSE_SECONDS)
        stream, self._stream, self._worker = self._stream, None, None
        if stream is not None:
            closer = threading.Thread(target=_close_quietly, args=(stream,), name="stream closer", daemon=True)
            closer.start()
            closer.join(CLOSE_SECONDS)
        self.meters = OutputMeters()

    def _open_stream(self, device: Device, block: int, ahead: int) -> tuple[Any, Any, int]:
        import rtmixer  # noqa: PLC0415  # needs PortAudio

        sounddevice, rate = _portaudio(), device.sample_rate
        try:  # the engine's own rate, where the device takes it
            sounddevice.check_output_settings(
                device=device.index, channels=CHANNELS, dtype="float32", samplerate=self._engine_rate
            )
            rate = self._engine_rate
        except sounddevice.PortAudioError:
            pass
        stream = rtmixer.Mixer(device=device.index, channels=CHANNELS, samplerate=rate, blocksize=block, latency="low")
        size = 1 << max(10, (4 * ahead * block).bit_length(), int(2 * DEEP_SECONDS * rate + block).bit_length())
        return stream, rtmixer.RingBuffer(4 * CHANNELS, size), rate

    def _publish(self, load: float, worst: float, xruns: int, alive: bool, latency_ms: float) -> None:
        now = self.meters
        self.meters = OutputMeters(alive, load, worst, xruns, latency_ms, now.sample_rate, now.block, now.device)


class _Feeder:
    """The render worker's loop."""

    def __init__(
        self, stream: Any, ring: Any, render: Callable[[int], Samples], idle: Callable[[], bool],
        relaxed: Callable[[], bool], engine_rate: int, rate: int, block: int, ahead: int,
        publish: Callable[[float, float, int, bool, float], None], stop: threading.Event,
    ) -> None:  # fmt: skip
        self._stream, self._ring, self._render, self._idle = stream, ring, render, idle
        self._engine_rate, self._rate, self._block, self._target = engine_rate, rate, block, ahead * block
        self._publish, self._stop, self._relaxed = publish, stop, relaxed
        self._shallow, self._deep = self._target, max(self._target, round(DEEP_SECONDS * rate))
        self._resampler: Any = None
        self.resampling_ms = 0.0
        if rate != engine_rate:
            import soxr  # noqa: PLC0415

            # LQ delays by half a millisecond (HQ by 14) and passes what lies under 17 kHz.
            self._resampler = soxr.ResampleStream(engine_rate, rate, CHANNELS, dtype="float32", quality="LQ")
            self.resampling_ms = 0.5

    @property
    def latency_ms(self) -> float:
        """Of ring, resampling and device, at this moment."""
        return 1000 * (self._target / self._rate + _seconds(self._stream.latency)) + self.resampling_ms

    def run(self) -> None:
        """Render until stopped, or until the stream dies."""
        import torch  # noqa: PLC0415  # slow to import: only who plays needs it

        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        xruns, busy, worst, rendered, since = 0, 0.0, 0.0, 0, time.perf_counter()
        self._fill()
        action = self._stream.play_ringbuffer(self._ring)
        self._stream.start()
        while not self._stop.is_set() and self._stream.active:
            self._target = self._deep if self._relaxed() else self._shallow
            if self._ring.read_available < self._target:
                seconds, samples = self._write_block()
                busy, rendered = busy + seconds, rendered + samples
                worst = max(worst, seconds * self._engine_rate / samples)
            else:
                start = time.perf_counter()
                if self._idle():
                    busy += time.perf_counter() - start
                else:
                    time.sleep(self._block / self._rate / 4)
            if action not in self._stream.actions:
                xruns += 1
                self._fill()
                action = self._stream.play_ringbuffer(self._ring)
            now = time.perf_counter()
            if now - since > METER_SECONDS and rendered:
                self._publish(busy * self._engine_rate / rendered, worst, xruns, True, self.latency_ms)
                busy, worst, rendered, since = 0.0, 0.0, 0, now
        self._publish(0.0, 0.0, xruns, False, self.latency_ms)

    def _fill(self) -> None:
        while self._ring.read_available < self._target:
            self._write_block()

    def _write_block(self) -> tuple[float, int]:
        """Render and write about one block; return the seconds that it took and the engine's samples in it."""
        samples = max(1, round(self._block * self._engine_rate / self._rate))
        start = time.perf_counter()
        block = self._render(samples)
        seconds = time.perf_counter() - start
        if self._resampler is not None:
            block = self._resampler.resample_chunk(block)
        if len(block):
            self._ring.write(np.ascontiguousarray(block, np.float32))
        return seconds, samples


def _close_quietly(stream: Any) -> None:
    try:
        stream.abort()
        stream.close()
    except Exception as error:  # noqa: BLE001  # whatever a dying server raises, the stream is gone
        del error


def _seconds(latency: Any) -> float:
    return float(latency[1] if isinstance(latency, tuple) else latency)


def _reason(error: BaseException) -> str:
    """PortAudio's own words without its codes."""
    return str(error.args[0] if error.args else error).split("[")[0].removeprefix("Error opening Mixer: ").strip()
