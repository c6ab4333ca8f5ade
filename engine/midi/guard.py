"""A silent second source for every MIDI input on JACK, against two faults of rtmidi's reading there.

With one source connected, JACK hands out that program's own buffer, which it may rewrite while rtmidi reads it, where
this process is late: rtmidi then follows a pointer to nowhere, and the process ends. With two sources JACK mixes them
into a buffer of the input's own.

And a system exclusive message that never ends swallows everything after it: rtmidi waits for its F7. The second source
sends one again and again, as long as they arrive: where the server has died nobody empties rtmidi's buffer, and once it
is full, rtmidi waits for room in a busy loop, with the interpreter lock in its hands.
"""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger(__name__)

END_OF_EXCLUSIVE = 0xF7
MOST_UNHEARD = 100  # that are sent without any message coming in: a thirtieth of what rtmidi's buffer holds


class JackGuard:
    """Made before its input is opened, which `protect` then is told of."""

    def __init__(self, rtmidi: Any, name: str) -> None:
        """name: of the program, with which the names of its JACK clients begin."""
        self._name = name
        self._out = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, f"{name} guard")
        self._before = set(self._out.get_ports())
        self._unheard = 0

    def protect(self) -> None:
        """Connect to the port that has been opened since this was made."""
        for index, port in enumerate(self._out.get_ports()):
            if port not in self._before and port.startswith(self._name):
                self._out.open_port(index, "silence")
                return
        log.warning("the MIDI input on JACK is not guarded: its port was not found")

    def end_exclusive(self) -> None:
        """End a system exclusive message that goes on; of no meaning otherwise."""
        if self._out.is_port_open() and self._unheard < MOST_UNHEARD:
            self._unheard += 1
            self._out.send_message([END_OF_EXCLUSIVE])

    def alive(self) -> None:
        """The guarded input has received something: the server runs."""
        self._unheard = 0

    def close(self) -> None:
        """Disconnect, then give the client back."""
        try:
            self._out.close_port()
        finally:
            self._out.delete()
