"""Tensors of a safetensors file that anybody may have made: whole, of known types, finite and of bounded size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, deserialize
from torch import Tensor

from engine.bounded import NotRegularError, TooLargeError, read_bounded
from engine.errors import InstrumentError
from engine.texts import shown

MAX_WEIGHT_BYTES, MAX_PROOF_BYTES = 200_000_000, 20_000_000
MAX_HEADER_BYTES = 1_000_000  # the library takes a hundred times that, and builds a table of it
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
WHOLE = {"I64": torch.int64, "I32": torch.int32}
KINDS = {"space.anchors": WHOLE, "carriers.harmonic": WHOLE | FLOATS, "space.harmonic": WHOLE | FLOATS}
"""Types of tensors that may be whole numbers; all others are of floating point. In format 1 every partial was whole."""

LARGEST: Mapping[str, float] = {
    "reference": 100.0, "space.level": 100.0, "carriers.hz": 192_000.0, "space.hz": 192_000.0,
    "carriers.harmonic": 100_000, "space.harmonic": 100_000, "space.anchors": 127,
    "noise": 100.0, "space.noise": 100.0,
}  # fmt: skip
"""Largest magnitudes by name. Shipped instruments have levels up to 1.6 of full scale and carriers up to 16 kHz."""
LARGEST_ELSE = 1000.0
"""Of every other tensor: weights, places in spaces and phases of shipped instruments lie under 8."""


def read_tensors(path: Path, most: int = MAX_WEIGHT_BYTES) -> dict[str, Tensor]:
    """All tensors of a file of up to `most` bytes, checked. Raises InstrumentError."""
    try:
        raw = read_bounded(path, most)
        if int.from_bytes(raw[:8], "little") > MAX_HEADER_BYTES:
            raise ValueError("its header is too long")
        found: list[tuple[str, dict[str, Any]]] = deserialize(raw)  # type: ignore[no-untyped-call]
        del raw
        tensors = {name: _tensor(path, name, entry) for name, entry in found}
    except FileNotFoundError as error:
        raise InstrumentError(f"{path.parent.name} is incomplete: {path.name} is missing") from error
    except TooLargeError as error:
        raise InstrumentError(f"{path} is over {most // 1_000_000} MB, too large for an instrument") from error
    except NotRegularError as error:
        raise InstrumentError(f"{path} is damaged: it is no regular file") from error
    except (OSError, SafetensorError, ValueError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
        raise InstrumentError(f"{path} is damaged: it is not a whole safetensors file") from error
    return tensors


def check_levels(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse magnitudes far beyond those of any sound. Raises InstrumentError."""
    for name, tensor in tensors.items():
        largest = LARGEST.get(name, LARGEST_ELSE)
        # The extremes, not abs(): the smallest whole number has no positive counterpart.
        low, high = (float(x) for x in torch.aminmax(tensor)) if tensor.numel() else (0.0, 0.0)
        if max(-low, high) > largest:
            raise InstrumentError(f"{path} is damaged: {shown(name)} holds numbers over {largest:g}")


def _tensor(path: Path, name: str, entry: Mapping[str, Any]) -> Tensor:
    kinds = KINDS.get(name, FLOATS)
    kind = kinds.get(str(entry["dtype"]))
    if kind is None:
        wanted = "whole" if kinds is WHOLE else "floating-point"
        raise InstrumentError(
            f"{path} cannot be used: {shown(name)} is of type {shown(entry['dtype'])}, not of {wanted} numbers"
        )
    shape = entry["shape"]
    if not math.prod(shape):
        return torch.zeros(shape, dtype=kind)
    tensor = torch.frombuffer(entry["data"], dtype=kind).reshape(shape)
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise InstrumentError(f"{path} is damaged: {shown(name)} holds numbers that are not finite")
    return tensor
