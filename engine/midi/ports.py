"""Live MIDI input. Opens a named virtual port and any hardware port, and finds lost ones again.

Messages are not called back but fetched: a callback from the sound server's own thread would have to wait for the
interpreter there, and all of the server's clients with it. rtmidi stamps every message as it arrives, so what matters,
the time between events, does not depend on when they are fetched.
"""

from __future__ import annotations

import importlib
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import Any

import mido

from engine.audio.quiet import quiet_libraries
from engine.errors import MidiPortError
from engine.midi.events import Event, control, from_mido
from engine.midi.sysex import from_sysex
from engine.midi.tracks import SYSEX
from engine.threads import COMPANION, prepare_thread

VIRTUAL_NAME = "MusicNN"
AUTO_PORT = "auto"
"""Instead of a port's name: the only one there is."""
INTERFACES = ("LINUX_ALSA", "UNIX_JACK", "")
"""rtmidi's, the preferred one first; the last is the system's own."""
POLL_SECONDS = 1.0
DRIFT = 1e-4  # by which rtmidi's clock and ours may differ
TWICE_SECONDS, KEPT_EVENTS = 0.01, 64
"""What comes through both ports within this time is one event; of so many it is known that they have come."""
QUIET = (64, 123)  # sustain pedal and all notes off: what a port that is gone leaves behind


def stable_name(name: str) -> str:
    """A port's name without the numbers that change when it is plugged in again ("Keys:Keys MIDI 1 20:0")."""
    return re.sub(r"\s*\d+:\d+$", "", name)


class MidiInput:
    """A virtual port that other programs play into, and at most one port that is listened to."""

    def __init__(self, name: str = VIRTUAL_NAME, lost: Callable[[str], None] = lambda name: None) -> None:
        """`lost(name)` is called by the watching thread where the port that is listened to goes away."""
        self._name, self._lost = name, lost
        self._rtmidi: ModuleType | None = None
        self._interface = ""
        self._probe: Any = None  # a client that only looks: a new one for every look would disturb the sound server
        self._present: list[str] = []
        self._virtual: _Port | None = None
        self._port: _Port | None = None
        self._wanted = ""
        self._lock = threading.Lock()  # opening and polling; whoever fetches does not wait for it
        self._left_behind: list[Event] = []
        self._heard: deque[tuple[_Port, Event, float]] = deque(maxlen=KEPT_EVENTS)
        self._stop = threading.Event()
        self._poller: threading.Thread | None = None

    @property
    def connected(self) -> str:
        """Name of the port that is listened to, or nothing."""
        return self._wanted if self._port is not None else ""

    def start(self) -> None:
        """Open the virtual port and begin to watch for the wanted one. Raises MidiPortError where there is no MIDI."""
        try:
            self._rtmidi = importlib.import_module("rtmidi")  # there is no wheel of it for every system
        except ImportError as error:
            raise MidiPortError("no MIDI: the package python-rtmidi is not installed") from error

        problem: BaseException | None = None
        for interface in INTERFACES:
            try:
                with quiet_libraries():
                    self._interface = interface
                    virtual = self._client(self._name)
                    virtual.open_virtual_port(self._name)
                    self._probe = self._client(f"{self._name} probe")
                self._virtual = _Port(virtual)
                break
            except Exception as error:  # noqa: BLE001  # rtmidi raises errors of its own without a common base
                problem = error
        if self._virtual is None:
            raise MidiPortError("no MIDI: the system has no MIDI sequencer that can be opened") from problem
        self._look()
        self._stop.clear()
        self._poller = threading.Thread(target=self._watch, name="MIDI port watcher", daemon=True)
        self._poller.start()

    def fetch(self) -> list[tuple[Event, float]]:
        """What has been played since the last call: events (their sample is 0) and their moments (time.perf_counter).

        For one thread; never waits.
        """
        if not self._lock.acquire(blocking=False):
            return []
        try:
            now = time.perf_counter()
            left, self._left_behind = self._left_behind, []
            events = [(event, now) for event in left]
            for port in (self._virtual, self._port):
                if port is not None:
                    events += self._once(port, port.fetch())
            return events
        finally:
            self._lock.release()

    def _once(self, port: _Port, events: list[tuple[Event, float]]) -> list[tuple[Event, float]]:
        """Without what has come through the other port too: a keyboard may be plugged into both."""
        new = []
        for event, moment in events:
            twins = [
                one for one in self._heard
                if one[0] is not port and one[1] == event and abs(one[2] - moment) < TWICE_SECONDS
            ]  # fmt: skip
            if twins:
                self._heard.remove(twins[0])
            else:
                self._heard.append((port, event, moment))
                new.append((event, moment))
        return new

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
            for client in (self._virtual, self._probe):
                if client is not None:
                    client.delete()
            self._virtual = self._probe = None
            self._present = []

    def _client(self, name: str) -> Any:
        rtmidi: Any = self._rtmidi
        client = rtmidi.MidiIn(
            getattr(rtmidi, f"API_{self._interface}" if self._interface else "API_UNSPECIFIED"), name
        )
        client.ignore_types(sysex=False)  # tuning and drum parts
        return client

    def _watch(self) -> None:
        """rtmidi does not tell of unplugged ports: look at the names once a second."""
        prepare_thread(COMPANION)  # it asks the sound server with the interpreter in its hands
        while not self._stop.wait(POLL_SECONDS):
            with self._lock:
                self._look()
                present = {stable_name(name) for name in self.ports()}
                if self._port is not None and stable_name(self._wanted) not in present:
                    self._close_port()
                    # Its notes would sound for ever: their ends will not come.
                    self._left_behind += [control(0, number, 0, channel) for channel in range(16) for number in QUIET]
                    self._lost(self._wanted)
                elif self._port is None and self._wanted:
                    self._open_port()

    def _look(self) -> None:
        names = dict.fromkeys(self._probe.get_ports()) if self._probe is not None else {}
        self._present = [name for name in names if not name.startswith((self._name, "Midi Through"))]

    def _open_port(self) -> None:
        names = self._probe.get_ports() if self._probe is not None else []
        for index, name in enumerate(names):
            if name in self._present and self._wanted and stable_name(name) == stable_name(self._wanted):
                try:
                    with quiet_libraries():
                        client = self._client(f"{self._name} in")
                        client.open_port(index)
                    self._port = _Port(client)
                    return
                except Exception as error:  # noqa: BLE001  # taken or gone again: tried again at the next look
                    del error

    def _close_port(self) -> None:
        if self._port is not None:
            self._port.delete()
        self._port = None


class _Port:
    """An open rtmidi client, whose messages get moments of our own clock."""

    def __init__(self, client: Any) -> None:
        self._client, self._clock, self._behind, self._last = client, 0.0, float("inf"), 0.0

    def fetch(self) -> list[tuple[Event, float]]:
        events = []
        while message := self._client.get_message():
            data, since = message
            moment = self._moment(since)
            if data[:1] == [SYSEX]:
                events += [(event, moment) for event in from_sysex(bytes(data[1:-1]), 0)]
                continue
            try:
                event = from_mido(mido.Message.from_bytes(data), 0)
            except ValueError:  # what a broken cable makes of a message
                continue
            if event is not None:
                events.append((event, moment))
        return events

    def _moment(self, since: float) -> float:
        """When a message came. rtmidi tells the time since the one before; how its clock stands to ours is learnt from
        the message that was fetched soonest after it had come."""
        now = time.perf_counter()
        self._clock += since
        self._behind = min(self._behind + DRIFT * (now - self._last), now - self._clock)
        self._last = now
        return self._clock + self._behind

    def delete(self) -> None:
        self._client.delete()
