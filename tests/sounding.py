"""How envelopes sound: as the engine plays them."""

import numpy as np

from engine.sounding import Tone, sounds


def stretches_of(synthesis, turned, hz):
    """Mono stretches (frames, length) of envelopes (frames, carriers) already turned by their carriers' phases."""
    turned = np.asarray(turned, np.complex64)
    tone = Tone(turned[:, None], np.ones_like(turned), (1.0, 0.0, 1.0, 0.0), synthesis.banded(hz))
    ((stretches, _),) = sounds([tone], synthesis.length)
    return stretches[:, 0]
