"""Random live MIDI: valid messages most of all, and what broken cables and programs make of them."""

NUMBERS = (0, 1, 2, 6, 7, 10, 11, 32, 38, 64, 65, 66, 67, 74, 98, 99, 100, 101, 120, 121, 123, 126)


class RandomMessages:
    """Packets as a port delivers them."""

    def __init__(self, rng):
        self._rng = rng

    def packets(self, count):
        return [self._packet() for _ in range(count)]

    def let_go(self):
        """All pedals up, all notes off, wheels in the middle, on all channels."""
        ends = ((0xB0, 64, 0), (0xB0, 66, 0), (0xB0, 1, 0), (0xE0, 0, 64), (0xD0, 0), (0xB0, 123, 0))
        return [[end[0] | channel, *end[1:]] for channel in range(16) for end in ends]

    def _packet(self):
        rng, kind = self._rng, self._rng.random()
        if kind < 0.8:
            return self._message()
        if kind < 0.9:
            return self._message()[: rng.randrange(3)]
        if kind < 0.95:
            return self._message() + self._message()[rng.randrange(2) :]
        return [rng.randrange(256) for _ in range(rng.randrange(8))]

    def _message(self):
        rng = self._rng
        status = rng.choice((0x80, 0x90, 0x90, 0xA0, 0xB0, 0xB0, 0xC0, 0xD0, 0xE0, 0xE0)) | rng.randrange(16)
        kind = status & 0xF0
        if kind in (0xC0, 0xD0):
            return [status, rng.randrange(128)]
        if kind == 0xB0:
            return [status, rng.choice(NUMBERS) if rng.random() < 0.8 else rng.randrange(128), rng.randrange(128)]
        return [status, rng.randrange(128), rng.randrange(128)]
