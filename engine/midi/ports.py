"""Live MIDI input. Opens a named virtual port and any hardware port, and finds lost ones again.

Messages are not called back but fetched: a callback from the sound server's own thread would have to wait for the
interpreter there, and all of the server's clients with it. rtmidi stamps every message as it arrives, so what matters,
the time between events, does not depend on when they are fetched.
"""

from __future__ import annotations

import importlib
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from engine.audio.quiet import quiet_libraries
from engine.errors import MidiPortError
from engine.midi.events import Event
from engine.midi.guard import JackGuard
from engine.midi.sysex import exclusive_events
from engine.midi.touched import Touched
from engine.midi.wire import Message, event_of, messages, thinned
from engine.threads import COMPANION, prepare_thread

log = logging.getLogger(__name__)

VIRTUAL_NAME = "MusicNN"
AUTO_PORT = "auto"
"""Instead of a port's name: the only one there is."""
JACK = "UNIX_JACK"
INTERFACES = ("LINUX_ALSA", JACK, "")
"""rtmidi's, the preferred one first; the last is the system's own."""
POLL_SECONDS, GUARD_SECONDS = 1.0, 0.1
DRIFT = 1e-4  # by which rtmidi's clock and ours may differ
TWICE_SECONDS, KEPT_EVENTS = 0.01, 64
"""What comes through both ports within this time is one event; of so many it is known that they have come."""
QUEUE_LIMIT = 1 << 17
"""Messages that rtmidi keeps for us, 4 MB: more than two seconds of 50,000 a second. It drops what comes beyond."""
MOST_FETCHED = 4096  # messages of a port in one fetch: the rest waits for the next block
MOST_EXCLUSIVE = 64  # events of exclusive messages of one fetch: the last ones
UNFETCHED_SECONDS = 1.5
"""After which messages that nobody has fetched are thrown away: while there is no sound output, or in a flood."""


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
        self._fetched = time.monotonic()
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
                    self._virtual = self._opened(self._name, lambda client: client.open_virtual_port(self._name))
                    self._probe = self._client(f"{self._name} probe", 1)
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
            self._fetched = time.monotonic()
            events: list[tuple[Event, float]] = []
            for port in (self._virtual, self._port):
                if port is not None:
                    events += self._once(port, port.fetch())
            return events
        finally:
            self._lock.release()

    def left_behind(self) -> list[Event]:
        """What lets go of the keys, pedals and wheels that a port held as it was closed, or went away.

        For the thread that fetches; it is no player's doing, so no knob follows it.
        """
        if not self._left_behind or not self._lock.acquire(blocking=False):
            return []
        try:
            left, self._left_behind = self._left_behind, []
            return left
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
            if self._virtual is not None:
                self._virtual.close()
            if self._probe is not None:
                self._probe.delete()
            self._virtual = self._probe = None
            self._present = []

    def _client(self, name: str, limit: int = QUEUE_LIMIT) -> Any:
        rtmidi: Any = self._rtmidi
        api = getattr(rtmidi, f"API_{self._interface}" if self._interface else "API_UNSPECIFIED")
        client = rtmidi.MidiIn(api, name, queue_size_limit=limit)
        client.ignore_types(sysex=False)  # tuning and drum parts
        return client

    def _opened(self, name: str, open_it: Callable[[Any], object]) -> _Port:
        guard = JackGuard(self._rtmidi, self._name) if self._interface == JACK else None
        port = _Port(self._client(name), guard)
        try:
            open_it(port.client)
            if guard is not None:
                guard.protect()
        except BaseException:
            port.close()
            raise
        return port

    def _watch(self) -> None:
        """rtmidi does not tell of unplugged ports: look at the names once a second."""
        prepare_thread(COMPANION)  # it asks the sound server with the interpreter in its hands
        complained, looked = False, time.monotonic()
        while not self._stop.wait(GUARD_SECONDS):
            try:
                with self._lock:
                    for port in (self._virtual, self._port):
                        if port is not None:
                            port.end_exclusive()
                    if time.monotonic() - looked >= POLL_SECONDS:
                        looked = time.monotonic()
                        self._check()
                        complained = False
            except Exception:  # rtmidi's errors have no common base; it is tried again at the next look
                if not complained:
                    log.exception("MIDI ports cannot be listed")
                complained = True

    def _check(self) -> None:
        """Are the ports still there, and is what they send fetched?"""
        self._look()
        present = {stable_name(name) for name in self._present}
        if self._port is not None and stable_name(self._wanted) not in present:
            self._close_port()
            self._lost(self._wanted)
        elif self._port is None and self._wanted:
            self._open_port()
        if time.monotonic() - self._fetched > UNFETCHED_SECONDS:
            for port in (self._virtual, self._port):
                if port is not None and port.discard():
                    self._left_behind += port.touched.undo()

    def _look(self) -> None:
        names = dict.fromkeys(self._probe.get_ports()) if self._probe is not None else {}
        self._present = [name for name in names if not name.startswith((self._name, "Midi Through"))]

    def _open_port(self) -> None:
        names = self._probe.get_ports() if self._probe is not None else []
        for index, name in enumerate(names):
            if name in self._present and self._wanted and stable_name(name) == stable_name(self._wanted):
                try:
                    with quiet_libraries():
                        self._port = self._opened(f"{self._name} in", partial(_open, index))
                    return
                except Exception as error:  # noqa: BLE001  # taken or gone again: tried again at the next look
                    del error

    def _close_port(self) -> None:
        """The ends of its notes will not come any more: nothing that it holds may stay."""
        if self._port is not None:
            self._left_behind += self._port.touched.undo()
            self._port.close()
        self._port = None


def _open(index: int, client: Any) -> None:
    client.open_port(index)


class _Port:
    """An open rtmidi client, whose messages get moments of our own clock."""

    def __init__(self, client: Any, guard: JackGuard | None = None) -> None:
        self.client, self._guard = client, guard
        self._clock, self._behind, self._last = 0.0, float("inf"), 0.0
        self._backlog = 0  # messages fetched since the queue was last empty
        self._exclusive: list[tuple[Event, float]] = []  # what exclusive messages meant, until it is handed out
        self.touched = Touched()

    def fetch(self) -> list[tuple[Event, float]]:
        """Events and their moments; of a flood, what must be heard of it."""
        fetched, emptied = self._get(MOST_FETCHED)
        events, self._exclusive = self._exclusive[-MOST_EXCLUSIVE:], []
        for message, moment in thinned(fetched):
            event = event_of(message)
            if event is not None:
                self.touched.hear(event)
                events.append((event, moment))
        if emptied and self._backlog >= QUEUE_LIMIT:  # some were dropped: maybe the end of a note
            events += [(event, time.perf_counter()) for event in self.touched.undo()]
        if emptied:
            self._backlog = 0
        return events

    def discard(self) -> bool:
        """Throw away what waits; return whether it was anything."""
        fetched, _ = self._get(QUEUE_LIMIT)
        self._backlog, self._exclusive = 0, []
        return bool(fetched)

    def close(self) -> None:
        """Close the port, then give the client back."""
        try:
            if self._guard is not None:
                self._guard.close()
            self.client.close_port()
        finally:
            self.client.delete()

    def end_exclusive(self) -> None:
        """Let what follows an exclusive message without an end be heard."""
        if self._guard is not None:
            self._guard.end_exclusive()

    def _get(self, most: int) -> tuple[list[tuple[Message, float]], bool]:
        """At most so many packets, and whether there are no more.

        rtmidi tells the time since the packet before; how its clock stands to ours is learnt from the packet that was
        fetched soonest after it had come.
        """
        fetched, exclusive = list[tuple[Message, float]](), list[tuple[Event, float]]()
        clock, get, emptied, received = self._clock, self.client.get_message, False, False
        for _ in range(most):
            packet = get()
            if packet is None:
                emptied = True
                break
            self._backlog, received = self._backlog + 1, True
            data, since = packet
            clock += since
            fetched += [(message, clock) for message in messages(data)]
            exclusive += [(event, clock) for event in exclusive_events(data)]
        if not received:
            return [], emptied
        if self._guard is not None:
            self._guard.alive()
        now, self._clock = time.perf_counter(), clock
        self._behind = min(self._behind + DRIFT * (now - self._last), now - clock)
        self._last = now
        self._exclusive += [(event, moment + self._behind) for event, moment in exclusive]
        return [(message, moment + self._behind) for message, moment in fetched], emptied
