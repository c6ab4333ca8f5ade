"""MIDI: timed events, channel state, files and live ports."""
