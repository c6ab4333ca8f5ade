"""MIDI files for tests."""

import mido


def write_midi(path, notes=((60, 80, 0.0, 0.5), (61, 100, 0.25, 0.4)), channel=0):
    """A type 0 file of notes (key, velocity, start, seconds), at a thousand ticks a second; returns the path.

    A note may have a channel of its own, as its fifth number.
    """
    messages = []
    for key, velocity, start, seconds, *own in notes:
        where = own[0] if own else channel
        messages.append((round(1000 * start), 1, mido.Message("note_on", channel=where, note=key, velocity=velocity)))
        messages.append((round(1000 * (start + seconds)), 0, mido.Message("note_off", channel=where, note=key)))
    file = mido.MidiFile(type=0, ticks_per_beat=500)
    track, now = file.add_track(), 0
    for tick, _, message in sorted(messages, key=lambda row: row[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    file.save(path)
    return path
