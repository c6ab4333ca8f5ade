"""instrument.json: what an instrument is, checked before anything of it is used. Light: a list of instruments needs no
network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.bounded import NotRegularError, TooLargeError, parse_json, read_bounded
from engine.errors import InstrumentError
from engine.knobs import KNOBS
from engine.texts import clean_line, clean_strings, is_label, shown

FORMAT = 2
KINDS = ("keys", "pads", "song")
JSON_FILE, WEIGHTS_FILE = "instrument.json", "weights.safetensors"
MAX_JSON_BYTES = 1_000_000
SAMPLE_RATE = 44_100
COSTS = ("macs_per_frame", "macs_per_voice_second", "parameters")
SWITCH = "loop"  # the only truth value of a description

FIELDS: Mapping[str, type] = {
    "format": int, "kind": str, "title": str, "sample_rate": int, "gain_db": float, "keys": list, "knobs": list,
    "codec": dict, "network": dict, "head": dict, "metadata": dict,
}  # fmt: skip
"""What instrument.json holds. metadata: author, date, licence, description, training, figures."""


LOWEST_GAIN_DB, HIGHEST_GAIN_DB = -60, 30
"""Of gain_db. Shipped instruments have 0 to 6 dB."""
LONGEST_NAME = 255  # of a folder


def read_description(folder: Path) -> dict[str, Any]:
    """instrument.json alone, checked, its texts cleaned; enough for a list of instruments. Raises InstrumentError."""
    path = folder / JSON_FILE
    if not is_label(folder.name, LONGEST_NAME):
        raise InstrumentError(f"{folder} is no instrument: its name holds characters that cannot be shown")
    data = _read(path)
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
    data["title"] = clean_line(data["title"]) or folder.name
    data["knobs"] = list(dict.fromkeys(data["knobs"]))
    data["metadata"] = clean_strings(data["metadata"])
    return data


def presets_of(description: Mapping[str, Any]) -> list[str]:
    """Names of the timbres that an instrument has learned; none where it has one only."""
    names = description["codec"].get("timbres")
    return [name for name in names if is_label(name)] if isinstance(names, list) else []


def cost_in(description: Mapping[str, Any]) -> dict[str, int]:
    """What an instrument's file says of its network's cost, see `engine.cost`; nothing where it does not."""
    cost = description.get("cost")
    if not isinstance(cost, dict):
        return {}
    return {name: cost[name] for name in COSTS if isinstance(cost.get(name), int)}


def _read(path: Path) -> Any:
    try:
        return parse_json(read_bounded(path, MAX_JSON_BYTES))
    except TooLargeError as error:
        raise InstrumentError(
            f"{path} is over {MAX_JSON_BYTES // 1000} kB: it is no instrument's description"
        ) from error
    except NotRegularError as error:
        raise InstrumentError(f"{path} is damaged: it is no regular file") from error
    except OSError as error:
        raise InstrumentError(f"{path.parent} is no instrument: {JSON_FILE} cannot be read") from error
    except ValueError as error:
        raise InstrumentError(f"{path} is damaged: it is not JSON that can be used") from error


def _check_description(path: Path, data: Mapping[str, Any]) -> None:
    if data["kind"] not in KINDS:
        raise InstrumentError(f"{path} is of kind {shown(data['kind'])}, which is not one of {', '.join(KINDS)}")
    if data["sample_rate"] != SAMPLE_RATE:
        raise InstrumentError(
            f"{path}: only instruments at {SAMPLE_RATE} Hz can be played, not {shown(data['sample_rate'])}"
        )
    if data["format"] < 1:
        raise InstrumentError(f"{path} is damaged: there is no format {shown(data['format'])}")
    if not LOWEST_GAIN_DB <= data["gain_db"] <= HIGHEST_GAIN_DB:
        raise InstrumentError(f"{path}: gain_db is not in {LOWEST_GAIN_DB}..{HIGHEST_GAIN_DB}")
    keys = data["keys"]
    whole = len(keys) == 2 and all(isinstance(key, int) and not isinstance(key, bool) for key in keys)
    if not whole or not 0 <= keys[0] <= keys[1] <= 127:
        raise InstrumentError(f"{path}: 'keys' is not a first and a last MIDI key")
    unknown = [name for name in data["knobs"] if not isinstance(name, str) or name not in KNOBS]
    if unknown:
        raise InstrumentError(f"{path} has a knob {shown(unknown[0])} that this MusicNN does not know")
    for group in ("codec", "network", "head"):
        if (name := _boolean(data[group])) is not None:
            raise InstrumentError(f"{path} is damaged: {shown(name)} in '{group}' is true or false, not a number")


def _boolean(value: Any, name: str = "") -> str | None:
    """The name of a value that is true or false where only numbers can be; Python would count with it."""
    if isinstance(value, bool):
        return None if name == SWITCH else name
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else ((name, part) for part in value)
        return next((found for key, part in inner if (found := _boolean(part, str(key))) is not None), None)
    return None
