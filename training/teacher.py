"""A sampler as teacher: FluidSynth plays exact MIDI, and the network learns from the sound.

FluidSynth takes events only at the borders of its blocks of 64 samples. Events are therefore put on that grid and the
sound is fetched block by block; then a repeated note is the same to rounding, and its phases can be learned. (Its own
file player adds about a millisecond of jitter.) The float output is read, so that soft notes keep their precision.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.errors import MusicNNError
from engine.midi.channel import ALL_SOUND_OFF
from engine.midi.events import Event, Kind

BLOCK = 64
CHANNELS = 16
MIN_NOTE_SAMPLES = 441  # FluidSynth holds every note for at least 10 ms
SOUNDFONT_VARIABLE = "MUSICNN_SOUNDFONT"
SOUNDFONTS = (
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/soundfonts/FluidR3_GM.sf2",
    "/usr/local/share/soundfonts/FluidR3_GM.sf2",
)


class TeacherError(MusicNNError):
    """FluidSynth or its SoundFont is missing or does not work."""


def find_soundfont() -> Path:
    """The General MIDI SoundFont to learn from: the one that MUSICNN_SOUNDFONT names, else FluidR3.

    Raises TeacherError where there is none.
    """
    named = os.environ.get(SOUNDFONT_VARIABLE)
    for candidate in [named] if named else SOUNDFONTS:
        if Path(candidate).is_file():
            return Path(candidate)
    if named:
        raise TeacherError(f"the SoundFont {named}, named by {SOUNDFONT_VARIABLE}, does not exist")
    raise TeacherError(
        "the SoundFont FluidR3_GM.sf2 was not found: install Debian's fluid-soundfont-gm, "
        f"or name another one in {SOUNDFONT_VARIABLE}"
    )


def soundfont_tag() -> str:
    """What is added to the name of cached data: nothing for FluidR3, else which SoundFont it comes from."""
    path = find_soundfont()
    return "" if path.name == Path(SOUNDFONTS[0]).name else f"-{path.stem}-{path.stat().st_size}"


class Teacher:
    """One General MIDI program of a SoundFont, dry: reverb and chorus are off."""

    def __init__(
        self, program: int = 0, *, bank: int = 0, sample_rate: int = 44_100, soundfont: Path | None = None
    ) -> None:
        self._library = _library()
        path = soundfont or find_soundfont()
        self.sample_rate = sample_rate
        self._synth = self._library.Synth(gain=0.6, samplerate=float(sample_rate))
        for name in ("synth.reverb.active", "synth.chorus.active"):
            self._synth.setting(name, 0)
        self._font = self._synth.sfload(str(path))
        if self._font < 0:
            self.close()
            raise TeacherError(f"{path} is not a SoundFont that FluidSynth can load")
        self._preset = (bank, program)
        self.reset()
        # The very first note of a synthesiser begins a little differently from all later ones: let it pass unheard.
        self._synth.noteon(0, 60, 1)
        self._fetch(BLOCK)
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the synthesiser."""
        self._synth.delete()

    def reset(self) -> None:
        """Silence everything and forget all controllers."""
        for channel in range(CHANNELS):
            self._synth.cc(channel, ALL_SOUND_OFF, 0)
        # Without a block in between, FluidSynth 2.3's reset brings the silenced notes back, in their release.
        self._fetch(BLOCK)
        self._library.fluid_synth_system_reset(self._synth.synth)
        for channel in range(CHANNELS):
            if self._synth.program_select(channel, self._font, *self._preset) < 0:
                bank, program = self._preset
                raise TeacherError(f"the SoundFont has no program {program} in bank {bank}")

    def render(self, events: Iterable[Event], samples: int) -> NDArray[np.float32]:
        """Play events from silence; return (samples, 2).

        Raises ValueError for an event that is not on the grid of BLOCK samples or comes before the one before it.
        """
        self.reset()
        out: list[NDArray[np.float32]] = [np.zeros((0, 2), np.float32)]
        position = 0
        for event in events:
            if event.sample % BLOCK or event.sample < position:
                raise ValueError(f"event at sample {event.sample} is off the grid of {BLOCK} or out of order")
            if event.sample >= samples:
                break
            if event.sample > position:
                out.append(self._fetch(event.sample - position))
                position = event.sample
            self._send(event)
        out.append(self._fetch(-(-(samples - position) // BLOCK) * BLOCK))
        return np.concatenate(out)[:samples]

    def notes(self, notes: Sequence[tuple[int, int, int, int]], samples: int) -> NDArray[np.float32]:
        """Play (on, off, key, velocity) with times in samples on the grid; return (samples, 2)."""
        events = [Event(on, Kind.NOTE_ON, 0, key, velocity) for on, _, key, velocity in notes]
        events += [Event(off, Kind.NOTE_OFF, 0, key) for _, off, key, _ in notes]
        # At the same sample a note ends before the next one begins.
        events.sort(key=lambda event: (event.sample, event.kind is Kind.NOTE_ON))
        return self.render(events, samples)

    def _send(self, event: Event) -> None:
        match event.kind:
            case Kind.NOTE_ON:
                self._synth.noteon(event.channel, event.number, int(event.value))
            case Kind.NOTE_OFF:
                self._synth.noteoff(event.channel, event.number)
            case Kind.CONTROL:
                if event.number not in (0, 32):  # the teacher keeps its one program
                    self._synth.cc(event.channel, event.number, int(event.value))
            case Kind.BEND:
                self._synth.pitch_bend(event.channel, int(event.value))
            case Kind.PRESSURE:
                self._library.fluid_synth_channel_pressure(self._synth.synth, event.channel, int(event.value))
            case _:
                pass

    def _fetch(self, samples: int) -> NDArray[np.float32]:
        """The next samples, (samples, 2), in blocks: FluidSynth would otherwise round its own way."""
        out = np.zeros((samples, 2), np.float32)
        write = self._library.fluid_synth_write_float
        for start in range(0, samples, BLOCK):
            address = out[start:].ctypes.data
            write(self._synth.synth, min(BLOCK, samples - start), address, 0, 2, address, 1, 2)
        return out


def _library() -> Any:
    """pyfluidsynth with the two calls that it leaves out."""
    library = _import_fluidsynth()
    if not hasattr(library, "fluid_synth_write_float"):
        pointer, number = ctypes.c_void_p, ctypes.c_int
        library.fluid_synth_write_float = library.cfunc(  # type: ignore[attr-defined]
            "fluid_synth_write_float", number, ("synth", pointer, 1), ("len", number, 1),
            ("lout", pointer, 1), ("loff", number, 1), ("lincr", number, 1),
            ("rout", pointer, 1), ("roff", number, 1), ("rincr", number, 1),
        )  # fmt: skip
    if not hasattr(library, "fluid_synth_channel_pressure"):
        library.fluid_synth_channel_pressure = library.cfunc(  # type: ignore[attr-defined]
            "fluid_synth_channel_pressure", ctypes.c_int,
            ("synth", ctypes.c_void_p, 1), ("chan", ctypes.c_int, 1), ("val", ctypes.c_int, 1),
        )  # fmt: skip
    return library


def _import_fluidsynth() -> ModuleType:
    try:
        import fluidsynth  # noqa: PLC0415  # only fitting and judging need it
    except ModuleNotFoundError as error:
        raise TeacherError("the teacher needs pyfluidsynth: install the project with its extra 'training'") from error
    except (ImportError, OSError) as error:
        raise TeacherError("the FluidSynth library was not found: install Debian's libfluidsynth3") from error
    return fluidsynth
