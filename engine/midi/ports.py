"""Live MIDI input: stamp and hand on. Opens a named virtual port and any hardware port, and finds lost ones again."""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from engine.audio.quiet import quiet_libraries
from engine.errors import MidiPortError
from engine.midi.events import Event, from_mido

VIRTUAL_NAME = "MusicNN"
BACKENDS = ("mido.backends.rtmidi/LINUX_ALSA", "mido.backends.rtmidi/UNIX_JACK", "mido.backends.rtmidi")
POLL_SECONDS = 1.0


def stable_name(name: str) -> str:
    """A port's name without the numbers that change when it is plugged in again ("Keys:Keys MIDI 1 20:0")."""
    return re.sub(r"\s*\d+:\d+$", "", name)


class MidiInput:
    """A virtual port that other programs play into, and at most one port that is listened to.

    `receive` is called from MIDI's own thread with each event (its sample is 0) and must only enqueue it.
    """

    def __init__(self, receive: Callable[[Event], None], name: str = VIRTUAL_NAME) -> None:
        self._receive, self._name = receive, name
        self._backend: Any = None
        self._probe: Any = None  # a client that only looks: a new one for every look would disturb the sound server
        self._present: list[str] = []
        self._virtual: Any = None
        self._port: Any = None
        self._wanted = ""
        self._lock = threading.Lock()  # opening and polling; never held by the MIDI thread
        self._stop = threading.Event()
        self._poller: threading.Thread | None = None

    @property
    def connected(self) -> str:
        """Name of the port that is listened to, or nothing."""
        return self._wanted if self._port is not None else ""

    def start(self) -> None:
        """Open the virtual port and begin to watch for the wanted one. Raises MidiPortError where there is no MIDI."""
        try:
            rtmidi: Any = importlib.import_module("rtmidi")  # there is no wheel of it for every system
            from mido.backends.backend import Backend  # noqa: PLC0415
        except ImportError as error:
            raise MidiPortError("no MIDI: the package python-rtmidi is not installed") from error

        problem: BaseException | None = None
        for path in BACKENDS:
            try:
                with quiet_libraries():
                    backend = Backend(path, load=True)
                    self._virtual = backend.open_input(self._name, client_name=self._name, callback=self._heard)
                    self._probe = rtmidi.MidiIn(_api(rtmidi, path), name=f"{self._name} probe")
                self._backend = backend
                break
            except Exception as error:  # noqa: BLE001  # rtmidi raises errors of its own without a common base
                problem = error
        if self._backend is None:
            raise MidiPortError("no MIDI: the system has no MIDI sequencer that can be opened") from problem
        self._look()
        self._stop.clear()
        self._poller = threading.Thread(target=self._watch, name="MIDI port watcher", daemon=True)
        self._poller.start()

    def ports(self) -> list[str]:
        """Names of the ports that can be listened to, without our own."""
        return list(self._present)

    def connect(self, name: str) -> None:
        """Listen to a port from now on, and again whenever it comes back; "" listens to none."""
        with self._lock:
            self._wanted = name
            self._close_port()
            self._open_port()

    def close(self) -> None:
        """Close everything."""
        self._stop.set()
        if self._poller is not None:
            self._poller.join(2 * POLL_SECONDS)
        with self._lock:
            self._close_port()
            _close(self._virtual)
            if self._probe is not None:
                self._probe.delete()
            self._virtual = self._backend = self._probe = None
            self._present = []

    def _heard(self, message: Any) -> None:
        event = from_mido(message, 0)
        if event is not None:
            self._receive(event)

    def _watch(self) -> None:
        """rtmidi does not tell of unplugged ports: look at the names once a second."""
        while not self._stop.wait(POLL_SECONDS):
            with self._lock:
                self._look()
                present = {stable_name(name) for name in self.ports()}
                if self._port is not None and stable_name(self._wanted) not in present:
                    self._close_port()
                elif self._port is None and self._wanted:
                    self._open_port()

    def _look(self) -> None:
        names = dict.fromkeys(self._probe.get_ports()) if self._probe is not None else {}
        self._present = [name for name in names if not name.startswith((self._name, "Midi Through"))]

    def _open_port(self) -> None:
        for name in self.ports():
            if self._wanted and stable_name(name) == stable_name(self._wanted):
                try:
                    self._port = self._backend.open_input(name, callback=self._heard)
                    return
                except Exception as error:  # noqa: BLE001  # taken or gone again: tried again at the next look
                    del error

    def _close_port(self) -> None:
        _close(self._port)
        self._port = None


def _api(rtmidi: ModuleType, path: str) -> int:
    """rtmidi's number of the interface that one of BACKENDS names."""
    _, _, name = path.partition("/")
    return int(getattr(rtmidi, f"API_{name}") if name else rtmidi.API_UNSPECIFIED)


def _close(port: Any) -> None:
    if port is not None:
        port.callback = None  # a callback during closing would run into freed memory
        port.close()
