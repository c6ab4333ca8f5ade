"""What has a deadline, in C++: see engine/native."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Affine = tuple[Array, Array]
"""A matrix (outputs, inputs) and what is added to its product, (outputs,)."""
Direction = tuple[Affine, Affine]
"""The input's and the state's share of one direction of a recurrent layer."""

def kernel_names() -> list[str]:
    """Kinds of arithmetic that this processor has, the fastest first."""

class Network:
    """The network of a keyed instrument, see `engine.networks.spectral`."""

    def __init__(
        self,
        cell: str,
        cells: int,
        front: Affine | None,
        layers: list[tuple[Direction, Direction]],
        out: Affine,
        kernels: str = "",
    ) -> None:
        """layers: forward and backward direction of each; its blocks in the order of the cell's definition.

        Raises ValueError where the cell or the kernels are unknown, or sizes do not fit each other.
        """

    @property
    def states(self) -> int:
        """Numbers in a voice's state."""

    def window(self, input: Array, commit: int, before: Array) -> tuple[Array, Array]:
        """The next window of some voices, see `LookaheadRecurrent.window`. Lets the interpreter go.

        input: (voices, commit + context, features). before: (voices, states). Returns the output (voices, commit,
        outputs) and the states after each frame (voices, commit, states). What a voice gets does not depend on the
        others. Raises ValueError where sizes do not fit.
        """
