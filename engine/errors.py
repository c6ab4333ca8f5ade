"""The errors that a user can act on. Each one's text is a single clear sentence, ready to be shown."""

from engine.texts import printable


class MusicNNError(Exception):
    """Base of everything that this project raises on purpose."""

    def __str__(self) -> str:
        """The sentence without control characters, which names of files and texts in them may hold."""
        return printable(super().__str__())


class InputFileError(MusicNNError):
    """A file that was asked for cannot be read or understood."""


class OutputFileError(MusicNNError):
    """A file cannot be written where it was asked for."""


class InstrumentError(MusicNNError):
    """An instrument folder is incomplete, damaged, foreign or too large."""


class DeviceError(MusicNNError):
    """A sound device cannot be opened or has gone."""


class MidiPortError(MusicNNError):
    """A MIDI port cannot be opened or has gone."""


def sentence(text: str) -> str:
    """An error's text as it is shown: with a capital letter and a full stop."""
    if text.partition(" ")[0].isalpha():  # a file's name stays as it is written
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
