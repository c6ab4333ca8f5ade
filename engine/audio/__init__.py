"""The last stretch: limiting, recording, and the way to the sound device."""
