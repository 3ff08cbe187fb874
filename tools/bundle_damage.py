"""Damage to the contents of a bundle's files, by accident and on purpose, drawn at random; for `fuzz`."""

import io
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Files = dict[str, bytes]
Rng = np.random.Generator
_NOT_FINITE = (b"\x00\x7c", b"\x00\xfc", b"\x00\x7e")  # float16 inf, -inf, NaN
_RAW = ("1e999", "NaN", "-Infinity", "[" * 3000 + "]" * 3000, '"\\ud800"', "9" * 5000, '{"a":1,"a":2}')
_VALUES = (None, True, False, -1, 0, 1, 7, 10**9, 2**63, 1.5, -0.5, "", "x", "../x", "x" * 100_000, "\x1b[2J", [], {})
_MORE = ([1], [10**9], [None], ["a"], [4, 4, 8], [[1]], {"a": 1}, [1] * 5000, 1e300, "0" * 64)


class Trap:
    """A pickle of this writes a file when it is loaded: no reader may do so."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def flip(rng: Rng, content: bytes) -> bytes:
    """A few bits turned over."""
    out = bytearray(content)
    for at in rng.integers(0, max(len(out), 1), rng.integers(1, 9)) if out else ():
        out[at] ^= 1 << int(rng.integers(8))
    return bytes(out)


def cut(rng: Rng, content: bytes) -> bytes:
    """An end missing, often a short one."""
    most = len(content) if rng.random() < 0.5 else min(len(content), 64)
    return content[: len(content) - int(rng.integers(0, most + 1))]


def longer(rng: Rng, content: bytes) -> bytes:
    return content + rng.bytes(int(rng.integers(1, 1000)))


def edited_json(rng: Rng, content: bytes) -> bytes:
    """A value somewhere in it replaced by one of any type, or a name dropped, doubled or changed."""
    tree = json.loads(content)
    inner: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in pairs:
            inner.append((node, key))
            walk(value)

    walk(tree)
    node, key = inner[rng.integers(len(inner))]
    what, mark = rng.integers(4), "@@"
    if what == 0 and isinstance(node, dict):
        del node[key]
    elif what == 1 and isinstance(node, dict):
        node[key + "x"] = node.pop(key)
    elif what == 2:
        node[key] = mark
        return json.dumps(tree).replace(f'"{mark}"', _RAW[rng.integers(len(_RAW))]).encode()
    else:
        values = (*_VALUES, *_MORE)
        node[key] = values[rng.integers(len(values))]
    return json.dumps(tree).encode()


def edited_header(rng: Rng, content: bytes) -> bytes:
    """A safetensors file with its header edited, or the header's length."""
    (length,) = struct.unpack("<Q", content[:8])
    if rng.random() < 0.2:
        lengths = (0, 1, length - 1, length + 1, len(content), 2**31, 2**63, 2**64 - 1)
        return struct.pack("<Q", lengths[rng.integers(len(lengths))]) + content[8:]
    header = json.loads(content[8 : 8 + length])
    names = [name for name in header if name != "__metadata__"]
    entry = header[names[rng.integers(len(names))]]
    match rng.integers(5):
        case 0:
            entry["dtype"] = str(rng.choice(["F16", "F32", "F64", "BF16", "U8", "I64", "BOOL", "O", ""]))
        case 1:
            entry["shape"] = [[10**9, 10**9], [-1], entry["shape"][::-1], [*entry["shape"], 1], [0], []][
                rng.integers(6)
            ]
        case 2:
            entry["data_offsets"] = [[0, 10**12], [-1, 4], [4, 0], [0, 4]][rng.integers(4)]
        case 3:
            other = names[rng.integers(len(names))]
            header[other], header[names[0]] = header[names[0]], header[other]
        case _:
            text = edited_json(rng, content[8 : 8 + length])
            return struct.pack("<Q", len(text)) + text + content[8 + length :]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def not_finite(rng: Rng, content: bytes) -> bytes:
    """NaN or infinity, if what is hit is a float16."""
    (length,) = struct.unpack("<Q", content[:8])
    at = 8 + length + 2 * int(rng.integers(0, max((len(content) - 8 - length) // 2, 1)))
    return content[:at] + _NOT_FINITE[rng.integers(3)] + content[at + 2 :]


def edited_npz(rng: Rng, content: bytes) -> bytes:
    """Arrays of another shape, type or value, too few or too many, compressed, twice, or with a header that lies."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = dict(file)
    name, out = list(arrays)[rng.integers(len(arrays))], io.BytesIO()
    array, save = arrays[name], np.savez
    match rng.integers(9):
        case 0:
            arrays[name] = array[..., None]
        case 1:
            arrays[name] = (
                array.astype(rng.choice(["U3", "f8", "i1", "?", "c8"])) if array.dtype.kind != "U" else array[None]
            )
        case 2:
            fill = (np.nan, np.inf, -1e30, 0, 1e9)[rng.integers(5)] if array.dtype.kind == "f" else -1
            arrays[name] = np.full_like(array, fill) if array.dtype.kind in "fi" else np.array("\x1b[2J\n")
        case 3:
            del arrays[name]
        case 4:
            arrays["more"] = array
        case 5:
            save = np.savez_compressed
        case 6:
            arrays[name] = array[: len(array) // 2] if array.ndim else np.zeros(0)
        case _:
            np.savez(out, **arrays)
            return _lying_npz(rng, out.getvalue(), f"{name}.npy")
    save(out, **arrays)
    return out.getvalue()


def _lying_npz(rng: Rng, content: bytes, name: str) -> bytes:
    """An .npz one of whose members is a bomb, a pickle, twice there, or says that it is huge."""
    out, what = io.BytesIO(), rng.integers(5)
    with warnings.catch_warnings(), zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        warnings.simplefilter("ignore")  # of names that come twice
        for member in old.infolist():
            data = old.read(member)
            if member.filename == name and what == 0:
                new.writestr(name, bytes(50_000_000), zipfile.ZIP_DEFLATED)
                continue
            if member.filename == name and what == 1:
                buffer = io.BytesIO()
                np.save(buffer, np.array([{}], object), allow_pickle=True)
                data = buffer.getvalue()
            if member.filename == name and what == 2:
                shape = rng.choice(
                    ["(999999999999,)", "(-1,)", "(2,)*9", "(" * 200, "()", "(1000000, 1000000, 1000000)"]
                )
                head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
                data = b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + data[128:]
            if member.filename == name and what == 3:
                new.writestr("../" + name, data)
            new.writestr(name if what == 4 else member.filename, data)
    return out.getvalue()


def other_picture(rng: Rng, content: bytes) -> bytes:
    """The first picture of frames.bin, made one of another kind or size; as long as before, if it can be."""
    out = io.BytesIO()
    side = int(rng.choice([16, 255, 512]))
    kind = str(rng.choice(["png", "jpeg", "gif", "bmp"]))
    Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(out, kind)
    return out.getvalue() + content[len(out.getvalue()) :]


def damaged(rng: Rng, files: Files, trap: Path) -> tuple[str, Files]:
    """What was done, and the files after it."""
    out = dict(files)
    names = [name for name in out if out[name]]
    name = names[rng.integers(len(names))]
    other = names[rng.integers(len(names))]
    by_suffix: dict[str, list[Callable[[Rng, bytes], bytes]]] = {
        "json": [edited_json] * 4,
        "safetensors": [edited_header, edited_header, not_finite],
        "style": [edited_header, edited_header, not_finite],
        "npz": [edited_npz] * 3,
        "bin": [other_picture],
    }
    ways = [flip, cut, longer, *by_suffix.get(name.rpartition(".")[2], ())]
    match rng.integers(12):
        case 0:
            out[name], out[other] = out[other], out[name]
            return f"{name} and {other} swapped", out
        case 1:
            out[name] = pickle.dumps(Trap(trap))
            return f"a pickle as {name}", out
        case 2:
            extra = str(rng.choice(["run.py", "x.pkl", "a/b.so", "template/more.bin", "second.safetensors", ".hidden"]))
            out[extra] = pickle.dumps(Trap(trap))
            return f"{extra} added", out
        case 3:
            del out[name]
            return f"{name} missing", out
        case 4:
            out[name] = (b"", bytes(len(out[name])), b"{}", b"[" * 100_000, b"\xff\xfe")[rng.integers(5)]
            return f"{name} made nothing", out
        case _:
            way = ways[rng.integers(len(ways))]
            out[name] = way(rng, out[name])
            return f"{way.__name__} {name}", out
