"""Damage to instrument folders: copies of sound ones in which one file is changed, by chance but repeatably."""

import copy
import json
import os
import random
import struct

import numpy as np

WEIGHTS, PROOF, DESCRIPTION = "weights.safetensors", "proof.safetensors", "instrument.json"
FLOATS = {"F32": np.float32, "F64": np.float64, "F16": np.float16}
SPECIAL = (float("nan"), float("inf"), float("-inf"), 3e38, -3e38, 6e4, 999.0, -999.0, 50.0, 1e-45, -0.0, 0.0)
DTYPES = ("F8_E4M3", "F8_E5M2", "C64", "BOOL", "I64", "I32", "U8", "F64", "F16", "BF16", "F4", "X", "", None, 7)
VALUES = (
    None, True, False, 0, 1, -1, 2, 3, 127, 128, 1 << 15, 1 << 31, 1 << 62, 1 << 64, 10**400, 0.5, -0.0, 1e-300, 1e300,
    float("nan"), float("inf"), "", "x", "\ud800", "\x1b[31mred\x07", "x" * 900_000, "tune", "hann", [], {}, [[]], [1],
    {"a": 1}, [0] * 1000,
)  # fmt: skip


def split(data):
    """Header and numbers of a safetensors file."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])


def joined(header, body):
    """The file again, whatever the header says."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(body)


def _leaves(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield from _leaves(part, (*path, name))


def _near(rng, value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        kind = type(value)
        return rng.choice([kind(value + 1), kind(value - 1), -value, value * 2, value // 2, value * 1000, value + 0.5])
    if isinstance(value, str):
        return rng.choice([value[:-1], value + "x", value * 1000, value.upper()])
    if isinstance(value, list):
        return rng.choice([value[:-1], value * 2, value[::-1], [value]])
    return rng.choice([{}, list(value or {}), {**(value or {}), "more": 1}])


def json_value(rng, folder, others):
    path = folder / DESCRIPTION
    data = json.loads(path.read_bytes())
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = (
            [place for place in _leaves(data) if place and place[0] != "metadata"] if isinstance(data, dict) else []
        )
        if not places:
            break
        place = rng.choice(places if rng.random() < 0.97 else [("metadata",)])
        inner = data
        for step in place[:-1]:
            inner = inner[step]
        if rng.random() < 0.1 and isinstance(inner, dict):
            del inner[place[-1]]
        else:
            inner[place[-1]] = copy.deepcopy(rng.choice(VALUES)) if rng.random() < 0.5 else _near(rng, inner[place[-1]])
    path.unlink()
    path.write_text(json.dumps(data))


def json_text(rng, folder, others):
    text = bytearray((folder / DESCRIPTION).read_bytes())
    match rng.randrange(5):
        case 0:
            for _ in range(rng.randrange(1, 5)):
                text[rng.randrange(len(text))] = rng.randrange(256)
        case 1:
            text = text[: rng.randrange(len(text))]
        case 2:
            deep = rng.choice((20, 100, 900, 5000, 100_000))
            text = text[:-2] + b',"more":' + b"[" * deep + b"]" * deep + b"}"
        case 3:
            text = text.replace(
                rng.choice((b"0", b"1", b"2")), rng.choice((b"NaN", b"-Infinity", b"1e999", b"9" * 5000)), 1
            )
        case 4:
            text += bytes(rng.randrange(1, 2_000_000))
    _write(folder / DESCRIPTION, text)


def header(rng, folder, others):
    path = folder / rng.choice((WEIGHTS, WEIGHTS, PROOF))
    table, body = split(path.read_bytes())
    name = rng.choice([name for name in table if name != "__metadata__"])
    entry = table[name]
    match rng.randrange(6):
        case 0:
            entry["dtype"] = rng.choice(DTYPES)
        case 1:
            entry["shape"] = rng.choice(
                [[], [0], [1], [-1], [1 << 40, 1 << 40], entry["shape"][::-1], "x", None, [0, 1 << 62]]
            )
        case 2:
            entry["data_offsets"] = rng.choice([[0, 0], [5, 1], [-8, 8], [0, 1 << 62], [0], None, [0, len(body)]])
        case 3:
            table[rng.choice(("x", "network.x", "\x1b[2J", "\ud800", "", name + "2"))] = table.pop(name)
        case 4:  # another type, rightly declared
            first, last = entry["data_offsets"]
            size = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "U8": 1, "BOOL": 1, "F8_E4M3": 1}
            kind = rng.choice(list(size))
            count = (last - first) // size.get(entry["dtype"], 4)
            _resize(table, entry, body, bytes(count * size[kind]))
            entry["dtype"] = kind
        case 5:
            table["__metadata__"] = rng.choice([None, {}, {"a": 1}, {"a": "x" * 2_000_000}, []])
    _write(path, joined(table, body))


def _resize(table, entry, body, new):
    first, last = entry["data_offsets"]
    body[first:last] = new
    by = len(new) - (last - first)
    for other in table.values():
        if (
            other is not entry
            and isinstance(other, dict)
            and "data_offsets" in other
            and other["data_offsets"][0] >= last
        ):
            other["data_offsets"] = [offset + by for offset in other["data_offsets"]]
    entry["data_offsets"] = [first, first + len(new)]


def file_bytes(rng, folder, others):
    path = folder / rng.choice((WEIGHTS, PROOF))
    data = bytearray(path.read_bytes())
    reach = rng.choice((8, 2000, len(data)))
    for _ in range(rng.choice((1, 3, 20))):
        data[rng.randrange(min(reach, len(data)))] = rng.randrange(256)
    _write(path, data)


def numbers(rng, folder, others):
    path = folder / rng.choice((WEIGHTS, WEIGHTS, WEIGHTS, PROOF))
    table, body = split(path.read_bytes())
    names = [name for name, entry in table.items() if entry.get("dtype") in FLOATS]
    for name in rng.sample(names, rng.choice((1, 1, 2, len(names)))):
        first, last = table[name]["data_offsets"]
        values = np.frombuffer(bytes(body[first:last]), FLOATS[table[name]["dtype"]]).copy()
        with np.errstate(all="ignore"):
            match rng.randrange(5):
                case 0:
                    values[rng.randrange(len(values))] = rng.choice(SPECIAL)
                case 1:
                    values[:] = rng.choice(SPECIAL)
                case 2:
                    values *= np.asarray(rng.choice((0, -1, 3, 10, 100, 300, 1e6)), values.dtype)
                case 3:
                    chance = np.random.default_rng(rng.randrange(1 << 30))
                    values[:] = chance.standard_normal(len(values)) * rng.choice((1e-40, 1, 30, 900))
                case 4:
                    values = np.roll(values, rng.randrange(1, 100))
        body[first:last] = values.tobytes()
    _write(path, joined(table, body))


def truncated(rng, folder, others):
    path = folder / rng.choice((WEIGHTS, PROOF))
    data = path.read_bytes()
    _write(
        path,
        data[: rng.choice((0, 7, 8, 9, 500, rng.randrange(len(data)), len(data) - 1))] + bytes(rng.choice((0, 0, 99))),
    )


def swapped(rng, folder, others):
    name, other = rng.choice((WEIGHTS, PROOF, DESCRIPTION)), rng.choice(others)
    (folder / name).unlink()
    os.link(other / name, folder / name)


def no_file(rng, folder, others):
    path = folder / rng.choice((WEIGHTS, PROOF, DESCRIPTION, "card.md"))
    path.unlink()
    match rng.randrange(6):
        case 0:
            os.mkfifo(path)
        case 1:
            path.mkdir()
        case 2:
            path.symlink_to("/dev/zero")
        case 3:
            path.symlink_to(path)
        case 4:
            path.symlink_to(folder)
        case 5:
            with path.open("wb") as file:
                file.truncate(3_000_000_000)


def _write(path, data):
    path.unlink()  # it may be a hard link
    path.write_bytes(data)


MUTATIONS = (json_value, json_value, json_value, json_text, header, header, file_bytes, numbers, numbers, numbers,
             truncated, swapped, no_file)  # fmt: skip


def mutate(seed, originals, folder):
    """A damaged copy of one of the originals, by hard links; return its name and what was done to it."""
    rng = random.Random(seed)
    original, how = rng.choice(originals), rng.choice(MUTATIONS)
    folder.mkdir(parents=True)
    for name in (WEIGHTS, PROOF, DESCRIPTION, "card.md"):
        os.link(original / name, folder / name)
    how(rng, folder, originals)
    return original.name, how.__name__
