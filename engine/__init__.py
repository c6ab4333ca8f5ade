"""Sound: from timed events to audio blocks. No window, no training, no printing."""
