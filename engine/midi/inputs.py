"""Reading a file that somebody names: regular files and pipes, never more than so many bytes, never for ever.

Other files of users are read by `engine.bounded`; of scores alone, pipes are welcome."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

from engine.bounded import NotRegularError, TooLargeError, not_a_file, read_bounded
from engine.errors import InputFileError

PATIENCE_SECONDS = 10.0  # without a byte from a pipe
PIECE = 1 << 16
OPEN_SECONDS = 2.0  # until somebody writes into a pipe
OPEN_PAUSE = 0.02  # between two looks for somebody who writes


def read_input(path: Path, most: int, what: str) -> bytes:
    """The bytes of a file or pipe.

    Raises InputFileError, in one sentence, for what is missing, a folder, a device, larger than `most` bytes, or a
    pipe that nothing comes out of. what: as it is called in the sentence, as "a MIDI file".
    """
    too_large = InputFileError(f"{path.name} is over {most // 1_000_000} MB, too large for {what}")
    try:
        data = _read_pipe(path, most) if path.is_fifo() else read_bounded(path, most)
    except TooLargeError as error:
        raise too_large from error
    except NotRegularError as error:
        raise InputFileError(f"{path} cannot be read: {not_a_file(path)}") from error
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a name that no file can have
        raise InputFileError(f"{path!r} cannot be read: {error}") from error
    if len(data) > most:
        raise too_large
    return data


def _read_pipe(path: Path, most: int) -> bytes:
    data = bytearray()
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # waits for no writer
    try:
        last = time.monotonic()
        while len(data) <= most:
            left = last + PATIENCE_SECONDS - time.monotonic()
            if left <= 0:
                raise InputFileError(f"{path} cannot be read: nothing comes out of the pipe")
            try:
                piece = os.read(pipe, PIECE)
            except BlockingIOError:  # somebody has it open, but has not written yet
                select.select([pipe], [], [], left)
                continue
            if piece:
                data += piece
                last = time.monotonic()
            elif data:
                break
            elif time.monotonic() - last > OPEN_SECONDS:
                raise InputFileError(f"{path} cannot be read: nothing comes out of the pipe")
            else:
                time.sleep(OPEN_PAUSE)  # nobody has opened it for writing yet
        return bytes(data)
    finally:
        os.close(pipe)
