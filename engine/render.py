"""File to file: a score through the synth into an audio file, faster than it plays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.audio.files import AudioWriter
from engine.errors import InstrumentError
from engine.guard import faulty_sentence
from engine.instrument import Instrument
from engine.midi.events import knob
from engine.midi.files import Score
from engine.spectral import Samples
from engine.synth import Synth

BLOCK = 1024
LONGEST_TAIL_SECONDS = 30.0
FADE_SECONDS = 2.0  # of a tail that does not end by itself


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How a score is rendered. knobs: values by name; rate: of the file, None for the instrument's own.

    parts: instruments that channels (0-15) have of their own, and their knobs.
    """

    knobs: Mapping[str, float]
    limiter: bool = True
    rate: int | None = None
    parts: Mapping[int, tuple[Instrument, Mapping[str, float]]] = field(default_factory=dict)


def render_blocks(
    score: Score, instrument: Instrument, options: RenderOptions, receive: Callable[[Samples, float], bool]
) -> int:
    """Render a score block by block until it has died away; return how many voices were no sound (`engine.guard`).

    `receive` gets (samples, 2) and the share that is done, 0-1; it returns False to stop.
    """
    synth = Synth(instrument, limiter=options.limiter)
    synth.schedule(knob(0, name, value) for name, value in options.knobs.items())
    for channel, (part, knobs) in options.parts.items():
        synth.set_instrument(part, channel)
        synth.schedule(knob(0, name, value, channel) for name, value in knobs.items())
    synth.schedule(score.events)
    delay = skip = synth.delay
    longest = score.length + round(LONGEST_TAIL_SECONDS * synth.sample_rate)
    fade = min(round(FADE_SECONDS * synth.sample_rate), longest - score.length)  # of the tail, not of the score
    while synth.position < score.length + delay or (synth.sounding and synth.position < longest):
        block = synth.render(BLOCK)
        if synth.position > longest - fade:  # a note that its instrument never ends
            left = np.arange(longest - synth.position + len(block), longest - synth.position, -1, dtype=np.float32)
            block *= np.clip(left / fade, 0, 1)[:, None]
        dropped = min(skip, len(block))
        skip -= dropped
        if not receive(block[dropped:], min(1.0, synth.position / max(1, score.length))):
            break
    return synth.faulty


def render_array(score: Score, instrument: Instrument, options: RenderOptions) -> Samples:
    """The rendering as one array (samples, 2) at the instrument's rate."""
    blocks: list[Samples] = []

    def receive(block: Samples, done: float) -> bool:
        blocks.append(block)
        return True

    render_blocks(score, instrument, options, receive)
    return np.concatenate(blocks) if blocks else np.zeros((0, 2), np.float32)


def render_file(
    score: Score,
    instrument: Instrument,
    path: Path | str,
    options: RenderOptions,
    progress: Callable[[float], bool] = lambda done: True,
    warn: Callable[[str], None] = lambda text: None,
) -> bool:
    """Render into a .wav (24 bit) or .flac file; return whether it was finished.

    `progress` gets the share that is done and returns False to cancel; a cancelled or failed rendering leaves nothing
    behind. `warn` gets a sentence where notes were silenced that are no sound. Raises OutputFileError (before anything
    is rendered, for what the disk has no room for), and InstrumentError where all of them were.
    """
    finished, heard = True, False
    tail = round(LONGEST_TAIL_SECONDS * instrument.sample_rate) + 2 * BLOCK
    writer = AudioWriter(path, instrument.sample_rate, options.rate, frames=score.length, tail=tail)

    def receive(block: Samples, done: float) -> bool:
        nonlocal finished, heard
        writer.write(block)
        heard = heard or bool(block.any())
        finished = progress(done)
        return finished

    try:
        faulty = render_blocks(score, instrument, options, receive)
        if faulty and finished and not heard:
            raise InstrumentError(f"{path} is not written: {faulty_sentence(faulty)}, and nothing else is heard")
    except BaseException:
        writer.abandon()
        raise
    if finished:
        writer.close()
        if faulty:
            warn(faulty_sentence(faulty))
    else:
        writer.abandon()
    return finished
