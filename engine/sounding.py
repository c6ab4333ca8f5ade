"""What frames of several voices sound like: one call into torch for all of them, see `engine.scripting`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import List  # noqa: UP035  # what TorchScript reads

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.scripting import Scripted
from engine.spectral import Samples


@dataclass(frozen=True, slots=True)
class BandedLobes:
    """Lobes (see `engine.partials.PartialSynthesis.lobes`) in bands of bins: a carrier reaches only a few of them, and
    what is not zero has a fifth of the size.

    order: the carriers that sound by frequency, int64. edges: four numbers for each band, its first bin and the one
    after its last, and its first carrier in that order and the one after its last. real, imaginary: of each band
    (carriers, bins); the same tensor where no mirror image reaches.
    """

    order: Tensor
    edges: list[int]
    real: list[Tensor]
    imaginary: list[Tensor]


@dataclass(frozen=True, slots=True)
class Tone:
    """Frames of one voice.

    envelopes: (frames, channels, carriers), one channel or mid and side. turns: (frames, carriers), what they are
    multiplied by, their carriers' phases among it. sides: gains of mid and side on the left, then on the right.
    """

    envelopes: NDArray[np.complex64]
    turns: NDArray[np.complex64]
    sides: tuple[float, float, float, float]
    lobes: BandedLobes


def sounds(tones: Sequence[Tone], length: int) -> list[tuple[Samples, Samples]]:
    """Of each tone its stretches (frames, 2, length), and these overlapped and added, one every length / 4 samples:
    (2, (frames + 3) * length / 4)."""
    made = _scripted(
        [torch.from_numpy(tone.envelopes) for tone in tones],
        [torch.from_numpy(tone.turns) for tone in tones],
        [list(tone.sides) for tone in tones],
        [tone.lobes.order for tone in tones],
        [tone.lobes.edges for tone in tones],
        [tone.lobes.real for tone in tones],
        [tone.lobes.imaginary for tone in tones],
        length,
    )
    return [(made[index].numpy(), made[index + 1].numpy()) for index in range(0, len(made), 2)]


def _sounds(
    envelopes: List[Tensor],  # noqa: UP006
    turns: List[Tensor],  # noqa: UP006
    sides: List[List[float]],  # noqa: UP006
    orders: List[Tensor],  # noqa: UP006
    edges: List[List[int]],  # noqa: UP006
    reals: List[List[Tensor]],  # noqa: UP006
    imaginaries: List[List[Tensor]],  # noqa: UP006
    length: int,
) -> List[Tensor]:  # noqa: UP006
    """See `sounds`. The stretches and the sound of the first tone, then those of the next."""
    out: List[Tensor] = []  # noqa: UP006
    bins, hop = length // 2 + 1, length // 4
    for index in range(len(envelopes)):
        frames, channels = envelopes[index].size(0), envelopes[index].size(1)
        turned = (envelopes[index] * turns[index].unsqueeze(1)).index_select(2, orders[index])
        parts = torch.view_as_real(turned).permute(3, 0, 1, 2).contiguous()  # real and imaginary go separate ways
        side = sides[index]
        if channels > 1:  # now, while it is an eighth of the numbers that the sound will be
            mid, wide = parts[:, :, 0], parts[:, :, 1]
            parts = torch.stack([mid * side[0] + wide * side[1], mid * side[2] + wide * side[3]], 2)
        rows = frames * channels
        both = parts.reshape(2, rows, -1)
        real, imaginary = torch.zeros([rows, bins]), torch.zeros([rows, bins])
        for band in range(len(reals[index])):
            edge = edges[index][4 * band : 4 * band + 4]
            torch.mm(both[0, :, edge[2] : edge[3]], reals[index][band], out=real[:, edge[0] : edge[1]])
            torch.mm(both[1, :, edge[2] : edge[3]], imaginaries[index][band], out=imaginary[:, edge[0] : edge[1]])
        stretches = torch.fft.irfft(torch.complex(real, imaginary), length).view(frames, channels, length)
        if channels == 1:
            stretches = torch.cat([stretches * side[0], stretches * side[2]], 1)
        quarters = stretches.view(frames, 2, 4, hop).permute(2, 1, 0, 3)
        sound = torch.zeros([2, frames + 3, hop])
        for quarter in range(4):
            sound[:, quarter : quarter + frames] += quarters[quarter]
        out.append(stretches)
        out.append(sound.view(2, -1))
    return out


_scripted = Scripted(_sounds)
