"""instrument.json: what an instrument is, checked before anything of it is used. Light: a list of instruments needs no
network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import InstrumentError
from engine.knobs import KNOBS

FORMAT = 1
KINDS = ("keys", "pads", "song")
JSON_FILE = "instrument.json"
MAX_JSON_BYTES = 1_000_000
SAMPLE_RATE = 44_100

FIELDS: Mapping[str, type] = {
    "format": int, "kind": str, "title": str, "sample_rate": int, "gain_db": float, "keys": list, "knobs": list,
    "codec": dict, "network": dict, "head": dict, "metadata": dict,
}  # fmt: skip
"""What instrument.json holds. metadata: author, date, licence, description, training, figures."""


def read_description(folder: Path) -> dict[str, Any]:
    """instrument.json alone, checked; enough for a list of instruments. Raises InstrumentError."""
    path = folder / JSON_FILE
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InstrumentError(f"{path} is over {MAX_JSON_BYTES // 1000} kB: it is no instrument's description")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InstrumentError(f"{folder} is no instrument: {JSON_FILE} cannot be read") from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InstrumentError(f"{path} is damaged: it is not JSON") from error
    if not isinstance(data, dict):
        raise InstrumentError(f"{path} is damaged: it does not hold an object")
    if isinstance(data.get("format"), int) and data["format"] > FORMAT:
        raise InstrumentError(
            f"{folder.name} was made for a newer MusicNN (format {data['format']}): update to play it"
        )
    for name, kind in FIELDS.items():
        value = data.get(name)
        if not (isinstance(value, kind) or (kind is float and isinstance(value, int))) or isinstance(value, bool):
            raise InstrumentError(f"{path} is damaged: '{name}' is missing or not of its kind")
    _check_description(path, data)
    return data


def _check_description(path: Path, data: Mapping[str, Any]) -> None:
    if data["kind"] not in KINDS:
        raise InstrumentError(f"{path} is of kind {data['kind']!r}, which is not one of {', '.join(KINDS)}")
    if data["sample_rate"] != SAMPLE_RATE:
        raise InstrumentError(f"{path}: only instruments at {SAMPLE_RATE} Hz can be played, not {data['sample_rate']}")
    if data["format"] < 1:
        raise InstrumentError(f"{path} is damaged: there is no format {data['format']}")
    if not -60 <= data["gain_db"] <= 60:
        raise InstrumentError(f"{path}: gain_db is not in -60..60")
    keys = data["keys"]
    if len(keys) != 2 or not all(isinstance(key, int) for key in keys) or not 0 <= keys[0] <= keys[1] <= 127:
        raise InstrumentError(f"{path}: 'keys' is not a first and a last MIDI key")
    unknown = [name for name in data["knobs"] if not isinstance(name, str) or name not in KNOBS]
    if unknown:
        raise InstrumentError(f"{path} has a knob {unknown[0]!r} that this MusicNN does not know")
