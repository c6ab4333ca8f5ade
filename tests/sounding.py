"""How envelopes sound: as the engine plays them."""

import numpy as np

from engine import _native


def stretches_of(synthesis, turned, hz):
    """Mono stretches (frames, length) of envelopes (frames, carriers) already turned by their carriers' phases."""
    values = np.zeros((4, len(hz)), np.float32)
    made = []
    for row in np.asarray(turned, np.complex64):
        values[0], values[1] = row.real, row.imag
        made.append(_native.stretch(synthesis.length, synthesis.sample_rate, np.asarray(hz, np.float64), values)[0])
    return np.stack(made)
