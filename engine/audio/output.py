"""The way to the sound device: a worker thread renders into a ring, a callback in C drains it.

    render worker (Python)            writes blocks into the ring while it is less than `ahead` blocks full
    audio callback (C, rtmixer)       copies from the ring, nothing else; never waits for Python

rtmixer ends its "play this ring" action when the ring runs dry: that is how an underrun (xrun) is noticed and counted
here; the action is put back at once. Closing a stream can hang where its server has died, so it happens in a thread
that nobody waits for long.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.audio.quiet import quiet_libraries
from engine.audio.resampler import Resampler
from engine.errors import DeviceError
from engine.pickling import quickly_pickled
from engine.threads import WORKER, prepare_thread

if TYPE_CHECKING:
    from engine.spectral import Samples

log = logging.getLogger(__name__)

# Asking JACK whether it is there must not start a server.
os.environ.setdefault("JACK_NO_START_SERVER", "1")

CHANNELS = 2
AHEAD = {64: 4, 128: 2, 256: 4, 512: 2, 1024: 2}
"""Blocks that the ring holds: 5 ms for those who choose short blocks, to be quick; 21 ms otherwise, to be safe: now and
then a system keeps a thread waiting for 10 ms."""
AHEAD_RATE = 48_000  # of the blocks above; at another rate the ring holds about the same time
BLOCK_SIZES = tuple(AHEAD)
CLOSE_SECONDS = 2.0
SWITCH_INTERVAL = 0.0005
"""Seconds after which a busy Python thread must let another in. Shorter is worse: the others ask the worker too, each
turn costs as much, and who waits wakes up that often (notes at 128 frames: 0.02 ms had 67 xruns where 0.5 ms had 4)."""
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


@quickly_pickled
@dataclass(frozen=True, slots=True)
class OutputMeters:
    """How the stream does.

    load: time spent on rendering over time rendered, mean of the last second; worst_load: of the worst block in it.
    xruns: times that the ring ran dry since the stream was opened: the engine was too late, and there was a gap.
    device_xruns: times that the device or the sound server missed a block, whoever on it was too late.
    latency_ms: ring, resampling and device together.
    """

    running: bool = False
    load: float = 0.0
    worst_load: float = 0.0
    xruns: int = 0
    latency_ms: float = 0.0
    sample_rate: int = 0
    block: int = 0
    device: str = ""
    device_xruns: int = 0


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


def ring_samples(block: int, rate: int) -> int:
    """Samples of a device that the ring holds: whole blocks, two at least."""
    return block * max(2, -(-AHEAD[block] * rate // AHEAD_RATE))


class AudioOutput:
    """One output stream. `open` and `close` are called by one thread; `meters` may be read by any."""

    def __init__(
        self, render: Callable[[int], Samples], sample_rate: int,
        interrupted: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`render(samples)` -> (samples, 2) at `sample_rate`; called by the worker thread alone.

        It also calls `interrupted()` after a gap.
        """
        self._render, self._engine_rate, self._interrupted = render, sample_rate, interrupted
        self.meters = OutputMeters()
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self._stream: Any = None

    @property
    def running(self) -> bool:
        """Whether a stream is open and its server alive."""
        return self._worker is not None and self._worker.is_alive() and not self._stop.is_set()

    @property
    def event_delay(self) -> int:
        """The engine's samples in a block, rounded up: by so much, events are late enough to keep their distances."""
        return -(-self.meters.block * self._engine_rate // max(1, self.meters.sample_rate))

    def open(self, device: Device, block: int = 256) -> None:
        """Start playing through a device. Raises DeviceError."""
        self.close()
        if block not in BLOCK_SIZES:
            raise ValueError(f"block of {block} samples is not one of {BLOCK_SIZES}")
        try:
            stream, ring, rate = self._open_stream(device, block)
        except (_portaudio().PortAudioError, ValueError, OSError) as error:
            raise DeviceError(f"{device.title} cannot be opened: {_reason(error)}") from error
        self._stream = stream
        self._stop = threading.Event()
        feeder = _Feeder(
            stream, ring, self._render, self._interrupted, self._engine_rate, rate, block,
            self._publish, self._stop,
        )  # fmt: skip
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

    def _open_stream(self, device: Device, block: int) -> tuple[Any, Any, int]:
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
        return stream, rtmixer.RingBuffer(4 * CHANNELS, 1 << (4 * ring_samples(block, rate)).bit_length()), rate

    def _publish(self, meters: OutputMeters) -> None:
        now = self.meters
        self.meters = replace(meters, sample_rate=now.sample_rate, block=now.block, device=now.device)


class _Feeder:
    """The render worker's loop."""

    def __init__(
        self, stream: Any, ring: Any, render: Callable[[int], Samples],
        interrupted: Callable[[], None], engine_rate: int, rate: int, block: int,
        publish: Callable[[OutputMeters], None],
        stop: threading.Event,
    ) -> None:  # fmt: skip
        self._stream, self._ring, self._render = stream, ring, render
        self._interrupted = interrupted
        self._engine_rate, self._rate, self._block, self._target = engine_rate, rate, block, ring_samples(block, rate)
        self._publish, self._stop = publish, stop
        self._resampler = Resampler(engine_rate, rate, CHANNELS) if rate != engine_rate else None
        self._xruns = self._device_xruns = 0
        self._counted: Any = None

    @property
    def latency_ms(self) -> float:
        """Of ring, resampling and device."""
        resampling = self._resampler.delay / self._engine_rate if self._resampler else 0.0
        return 1000 * (self._target / self._rate + resampling + _seconds(self._stream.latency))

    def run(self) -> None:
        """Render until stopped, or until the stream dies."""
        prepare_thread(WORKER)
        try:
            self._run()
        except Exception:
            log.exception("the stream broke")  # whatever a dying server raises, the stream is gone
        self._publish(self._meters(running=False))

    def _run(self) -> None:
        busy, worst, rendered, since = 0.0, 0.0, 0, time.perf_counter()
        self._fill()
        action = self._stream.play_ringbuffer(self._ring)
        self._stream.start()
        self._interrupted()  # from here on samples are asked for at their rate
        while not self._stop.is_set() and self._stream.active:
            if self._target - self._ring.read_available >= self._block // 2:
                seconds, samples = self._write_block(self._target - self._ring.read_available)
                busy, rendered = busy + seconds, rendered + samples
                worst = max(worst, seconds * self._engine_rate / samples)
            else:
                time.sleep(min(0.001, self._block / self._rate / 4))
            if action not in self._stream.actions:
                self._xruns += 1
                self._fill()
                action = self._stream.play_ringbuffer(self._ring)
                self._interrupted()
            now = time.perf_counter()
            if now - since > METER_SECONDS and rendered:
                self._count_missed()
                self._publish(self._meters(busy * self._engine_rate / rendered, worst))
                busy, worst, rendered, since = 0.0, 0.0, 0, now

    def _meters(self, load: float = 0.0, worst: float = 0.0, *, running: bool = True) -> OutputMeters:
        return OutputMeters(running, load, worst, self._xruns, self.latency_ms, device_xruns=self._device_xruns)

    def _fill(self) -> None:
        while self._ring.read_available < self._target:
            self._write_block(min(self._block, self._target - self._ring.read_available))

    def _write_block(self, wanted: int) -> tuple[float, int]:
        """Render and write so many samples, or one more; return the seconds that it took and the engine's samples.

        Exactly what is missing: the ring's depth is a part of the delay between a key and its sound, and must not move.
        """
        samples = self._resampler.needed(wanted) if self._resampler else wanted
        start = time.perf_counter()
        block = self._render(max(1, samples))
        if self._resampler is not None:
            block = self._resampler.process(block)
        seconds = time.perf_counter() - start
        if len(block):
            self._ring.write(np.ascontiguousarray(block, np.float32))
        return seconds, max(1, samples)

    def _count_missed(self) -> None:
        """The device's own dropouts, which rtmixer counts in its callback and hands out on demand."""
        if self._counted is not None and self._counted not in self._stream.actions:
            self._device_xruns += int(self._counted.stats.output_underflows)
            self._counted = None
        if self._counted is None:
            self._counted = self._stream.fetch_and_reset_stats()


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
