"""What the synth needs of the voices of one instrument, whatever they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

from engine.codec import Heard
from engine.guard import LOUDEST
from engine.spectral import Samples
from engine.voices.generated import PadsModel, SongModel
from engine.voices.keys import KeysBank
from engine.voices.models import KeysModel
from engine.voices.pads import PadsBank
from engine.voices.song import SongBank

if TYPE_CHECKING:
    from engine.instrument import Instrument


class Bank(Protocol):
    """The sounding notes of one instrument. A note's number is the synth's; it is not used again.

    One thread, the render worker, calls everything but `look_ahead`, which any may call.
    """

    @property
    def sounding(self) -> int:
        """How many voices sound."""

    @property
    def late(self) -> int:
        """How often something was heard later, or otherwise, than it should because it was not ready."""

    @property
    def faulty(self) -> int:
        """How many voices were ended because what they wrote was no sound, see `engine.guard`."""

    @property
    def prepared(self) -> float:
        """Share of the notes whose beginnings are computed, 0-1; for others a hand has to wait a little longer."""

    def announce(self, key: int, velocity: float, channel: int = 0, samples: int = 0) -> None:
        """A note will probably begin in so many samples."""

    def start(self, number: int, key: int, velocity: float, channel: int = 0) -> list[int]:
        """Begin a note now; return the numbers of notes that had to give way."""

    def release(self, number: int) -> None:
        """Let a note go now."""

    def silence(self, number: int) -> None:
        """End a note within a short fade."""

    def touch(self, channel: int, left: float, right: float, semitones: float, knobs: Mapping[str, float]) -> None:
        """From now on a channel sounds so: gains, bend and vibrato, knobs."""

    def render(self, samples: int, left_in_block: int | None = None) -> tuple[Samples, list[int]]:
        """The next samples (2, samples), and the numbers of the notes that have ended in them.

        left_in_block: samples from here to the end of the block that these are a part of, if it goes on.
        """

    def look_ahead(self) -> bool:
        """Compute a piece of the future; return whether there was anything to do."""

    def heard(self) -> tuple[Heard, ...]:
        """What the network hears from now on, for display; see `engine.codec.two_sines`."""


def new_bank(instrument: Instrument, polyphony: int, *, live: bool) -> Bank:
    """Silent voices for an instrument. Takes the time of the first sounds that have to be ready."""
    match instrument.kind:
        case "pads":
            return PadsBank(cast(PadsModel, instrument.model), instrument.keys, polyphony, live=live)
        case "song":
            return SongBank(cast(SongModel, instrument.model), instrument.keys, live=live)
    bank = KeysBank(cast(KeysModel, instrument.model), instrument.keys, polyphony, live=live)
    bank.allow(LOUDEST / instrument.gain)
    return bank
