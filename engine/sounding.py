"""What frames of several voices sound like: one call into torch for all of them, see `engine.scripting`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import List, Tuple  # noqa: UP035  # what TorchScript reads

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

    order: the carriers that sound by frequency, int64. edges: five numbers for each band, its first bin and the one
    after its last, its first carrier in that order and the one after its last, and whether a mirror image reaches it
    (1) or not (0). real, imaginary: of each band (carriers, bins); the same tensor where none does.
    """

    order: Tensor
    edges: list[int]
    real: list[Tensor]
    imaginary: list[Tensor]


@dataclass(frozen=True, slots=True)
class Tone:
    """Frames of one voice.

    envelopes: (frames, channels, carriers), one channel or mid and side. turns: (frames, carriers), what they are
    multiplied by, their carriers' phases among it. sides: gains of mid and side on the left, then on the right. noise:
    spectra (frames, left and right, bins) that are added, None for none.
    """

    envelopes: NDArray[np.complex64]
    turns: NDArray[np.complex64]
    sides: tuple[float, float, float, float]
    lobes: BandedLobes
    noise: NDArray[np.complex64] | None = None


def sounds(tones: Sequence[Tone], length: int) -> list[tuple[Samples, Samples]]:
    """Of each tone its stretches (frames, 2, length), and these overlapped and added, one every length / 4 samples:
    (2, (frames + 3) * length / 4). All tones have as many channels and carriers."""
    stretches, sound = _scripted(
        torch.from_numpy(np.concatenate([tone.envelopes for tone in tones])),
        torch.from_numpy(np.concatenate([tone.turns for tone in tones])),
        torch.tensor([tone.sides for tone in tones]).view(-1, 2, 2),
        [len(tone.turns) for tone in tones],
        [tone.lobes.order for tone in tones],
        [tone.lobes.edges for tone in tones],
        [tone.lobes.real for tone in tones],
        [tone.lobes.imaginary for tone in tones],
        [torch.zeros(0) if tone.noise is None else torch.view_as_real(torch.from_numpy(tone.noise)) for tone in tones],
        length,
    )
    return [(one.numpy(), other.numpy()) for one, other in zip(stretches, sound, strict=True)]


def _sounds(
    envelopes: Tensor,
    turns: Tensor,
    sides: Tensor,
    counts: List[int],  # noqa: UP006
    orders: List[Tensor],  # noqa: UP006
    edges: List[List[int]],  # noqa: UP006
    reals: List[List[Tensor]],  # noqa: UP006
    imaginaries: List[List[Tensor]],  # noqa: UP006
    noises: List[Tensor],  # noqa: UP006
    length: int,
) -> Tuple[List[Tensor], List[Tensor]]:  # noqa: UP006
    """See `sounds`: the tones' frames one after the other. Every operation costs 2 to 5 us however little it has to do,
    so all tones share as many as can be."""
    frames, channels, carriers = envelopes.size(0), envelopes.size(1), envelopes.size(2)
    bins, hop = length // 2 + 1, length // 4
    parts = torch.view_as_real(envelopes * turns.unsqueeze(1))
    sides = torch.repeat_interleave(sides, torch.tensor(counts), 0)
    if channels > 1:  # now, while it is an eighth of the numbers that the sound will be
        parts = torch.bmm(sides, parts.view(frames, 2, -1)).view(frames, 2, carriers, 2)
    parts = parts.transpose(2, 3).reshape(-1, carriers)  # a row of real parts, a row of imaginary ones, and so on
    spectrum = torch.zeros([parts.size(0), bins])
    row = 0
    for index in range(len(counts)):
        rows = 2 * channels * counts[index]
        part = parts[row : row + rows].index_select(1, orders[index])
        out = spectrum[row : row + rows]
        edge = edges[index]
        for band in range(len(reals[index])):
            low, high, first, last, mirrored = edge[5 * band : 5 * band + 5]
            if mirrored == 0:
                torch.mm(part[:, first:last], reals[index][band], out=out[:, low:high])
            else:
                torch.mm(part[0::2, first:last], reals[index][band], out=out[0::2, low:high])
                torch.mm(part[1::2, first:last], imaginaries[index][band], out=out[1::2, low:high])
        if noises[index].numel() > 0:
            out += noises[index].permute(0, 1, 3, 2)[:, :channels].reshape(rows, bins)
        row += rows
    pairs = spectrum.view(-1, 2, bins)
    stretches = torch.fft.irfft(torch.complex(pairs[:, 0], pairs[:, 1]), length).view(frames, channels, length)
    if channels == 1:
        stretches = stretches * sides[:, :, :1]
    made: List[Tensor] = []  # noqa: UP006
    added: List[Tensor] = []  # noqa: UP006
    for one in torch.split(stretches, counts):
        made.append(one)
    if min(counts) == max(counts):
        for one in _overlapped(stretches.view(len(counts), counts[0], 2, length), hop).unbind(0):
            added.append(one)
    else:
        for one in made:
            added.append(_overlapped(one.unsqueeze(0), hop)[0])
    return made, added


def _overlapped(stretches: Tensor, hop: int) -> Tensor:
    """Stretches (tones, frames, 2, length), one every hop, added up: (tones, 2, samples)."""
    tones, frames = stretches.size(0), stretches.size(1)
    quarters = stretches.view(tones, frames, 2, 4, hop).permute(3, 0, 2, 1, 4)
    sound = torch.zeros([tones, 2, frames + 3, hop])
    for quarter in range(4):
        sound[:, :, quarter : quarter + frames] += quarters[quarter]
    return sound.view(tones, 2, -1)


_scripted = Scripted(_sounds)
