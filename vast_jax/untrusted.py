"""Files that somebody else made, read with limits: what does not fit is a UserError before anything is allocated.

JSON, safetensors and .npz of plain arrays are all there is, and nothing that is read can run: no pickle, no `eval` (the
header of a .npy is matched, not evaluated). Arrays are stored uncompressed, so none can be larger than its file.
"""

import io
import json
import math
import os
import re
import struct
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vast_jax.errors import UserError

LARGEST_FILE = 1 << 30  # bytes
LARGEST_TEXT = 1 << 20  # bytes of a JSON file, or of the header of a safetensors file
_DEEPEST, _MEMBERS, _DIMENSIONS = 32, 64, 8
_DTYPES = {
    "BOOL": np.bool_,
    **{f"{kind}{8 * size}": np.dtype(f"{kind.lower()}{size}") for kind in "IU" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": np.dtype(f"f{size}") for size in (2, 4, 8)},
}
_NAME = re.compile(r"\w[\w.-]{0,99}(/\w[\w.-]{0,99}){0,15}", re.ASCII)
_NPY_HEADER = re.compile(
    rb"\{'descr': '([<|](?:b1|[iu][1248]|f[248]|U[1-9]\d{0,3}))', 'fortran_order': (?:False|True), "
    rb"'shape': \((|\d{1,12},|\d{1,12}(?:, \d{1,12})+)\), \} *\n"
)
_UNREADABLE_ZIP = zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError, struct.error, KeyError, OverflowError


class Layout(NamedTuple):
    """What a stored array is, without its values."""

    dtype: np.dtype
    shape: tuple[int, ...]


def content(path: str | os.PathLike, most: int = LARGEST_FILE) -> bytes:
    """A file's bytes. UserError: not a file, unreadable, or of more than `most` bytes."""
    size = size_of(path, most)
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


def size_of(path: str | os.PathLike, most: int = LARGEST_FILE) -> int:
    """A file's size in bytes. UserError: not a file, or of more than `most` bytes."""
    try:
        there, size = os.path.isfile(path), os.path.getsize(path)
    except (OSError, ValueError):
        there, size = False, 0
    if not there:
        raise UserError(f"{path}: no such file")
    if size > most:
        raise UserError(f"{path} is too large to be what it should be: {size} bytes, at most {most}")
    return size


def read_json(path: str | os.PathLike, what: str = "a card of weights") -> dict[str, Any]:
    """The object of a JSON file; NaN and Infinity, which figures may be, become None. UserError: not `what`."""
    return parse_json(content(path, LARGEST_TEXT), path, what)


def parse_json(text: bytes, source: str | os.PathLike, what: str) -> dict[str, Any]:
    """As `read_json`, of bytes; a name that comes twice, absurd depth and text that is no Unicode are refused."""
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_once,
            parse_float=lambda digits: float(digits) if math.isfinite(float(digits)) else None,
            parse_constant=lambda _: None,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair cannot be shown to anybody
        if not isinstance(value, dict) or _depth(value) > _DEEPEST:
            raise ValueError
    except (ValueError, RecursionError):
        raise UserError(f"{source} is not {what}: copy or export it again") from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name twice")
    return out


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def safetensors_layout(path: str | os.PathLike) -> tuple[dict[str, Layout], dict[str, str]]:
    """The arrays of a safetensors file and its notes, from its header alone.

    Raises:
      UserError: not one, or its header and its size disagree.
    """
    size = size_of(path)
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else LARGEST_TEXT + 1
        if length > min(LARGEST_TEXT, size - 8):
            raise UserError(
                f"{path} is not a readable safetensors file (its header is cut off or absurd): copy it again"
            )
        header = parse_json(file.read(length), path, "a readable safetensors file")
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise UserError(f"{path} is not a readable safetensors file (its notes are no text): copy it again")
    arrays, spans = {}, []
    for name, entry in header.items():
        layout, span = _entry(entry) if _NAME.fullmatch(name) else (None, None)
        if layout is None:
            raise UserError(f"{path} is not a readable safetensors file (no array: {name[:60]!r}): copy it again")
        arrays[name] = layout
        spans.append(span)
    end = 0
    for first, last in sorted(spans):
        if first != end:
            raise UserError(f"{path} is not a readable safetensors file (arrays overlap or leave gaps): copy it again")
        end = last
    if end != size - 8 - length:
        raise UserError(f"{path} is not a readable safetensors file (of another size than it says): copy it again")
    return arrays, notes


def _entry(entry: Any) -> tuple[Layout | None, tuple[int, int] | None]:
    """An array's layout and its bytes; None where the entry of a header is none or does not add up."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return None, None
    dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
    numbers = [*shape, *span] if isinstance(shape, list) and isinstance(span, list) and len(span) == 2 else [None]
    if any(type(number) is not int or not 0 <= number <= LARGEST_FILE for number in numbers):
        return None, None
    if not isinstance(dtype, str) or dtype not in _DTYPES or len(shape) > _DIMENSIONS:
        return None, None
    layout = Layout(np.dtype(_DTYPES[dtype]), tuple(shape))
    whole = math.prod(shape) * layout.dtype.itemsize == span[1] - span[0]
    return (layout, tuple(span)) if whole else (None, None)


def read_safetensors(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file, and its notes. UserError: see `safetensors_layout`; NaN or infinity in it."""
    import safetensors.numpy  # here, for what only looks at a header needs none of it

    layout, notes = safetensors_layout(path)
    try:
        arrays = safetensors.numpy.load(content(path))
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path} is not a readable safetensors file ({error}): copy it again") from None
    refuse_non_finite(arrays, path)
    return {name: arrays[name] for name in layout}, notes


def refuse_non_finite(arrays: Mapping[str, np.ndarray], source: str | os.PathLike) -> None:
    """UserError where a floating array holds NaN or infinity."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(f"{source}: {name} holds numbers that are not finite: copy or export it again")


def npz_layout(path: str | os.PathLike) -> dict[str, Layout]:
    """The arrays of an uncompressed .npz, from their headers alone. UserError: not one, or its sizes disagree."""
    return {name: layout for name, (layout, _) in _npz(path, False).items()}


def read_npz(path: str | os.PathLike, most: int = LARGEST_FILE) -> dict[str, np.ndarray]:
    """The arrays of an uncompressed .npz. UserError: see `npz_layout`; damaged, or NaN or infinity in it."""
    arrays = {name: array for name, (_, array) in _npz(path, True, most).items()}
    refuse_non_finite(arrays, path)
    return arrays


def _npz(
    path: str | os.PathLike, values: bool, most: int = LARGEST_FILE
) -> dict[str, tuple[Layout, np.ndarray | None]]:
    size, out = size_of(path, most), {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MEMBERS or sum(member.file_size for member in members) > size:
                raise ValueError("its sizes disagree")
            for member in members:
                name = Path(member.filename).stem
                if member.compress_type != zipfile.ZIP_STORED or f"{name}.npy" != member.filename or name in out:
                    raise ValueError("a member that is no plain array")
                with archive.open(member) as file:
                    out[name] = _npy(file, member.file_size, values)
    except _UNREADABLE_ZIP as error:
        raise UserError(
            f"{path} is not a file of plain arrays, or damaged ({error}): copy or export it again"
        ) from None
    return out


def _npy(file: io.BufferedIOBase, size: int, values: bool) -> tuple[Layout, np.ndarray | None]:
    """An array of a .npy of `size` bytes, as numpy writes it; ValueError for anything else."""
    start = file.read(10)
    if len(start) != 10 or start[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("a member that is no plain array")
    length = struct.unpack("<H", start[8:])[0]
    match = _NPY_HEADER.fullmatch(file.read(length))
    if match is None:
        raise ValueError("an array of another kind than numbers and text")
    dtype, shape = np.dtype(match[1].decode()), tuple(int(n) for n in match[2].split(b",") if n.strip())
    if len(shape) > _DIMENSIONS or math.prod(shape) * dtype.itemsize != size - 10 - length:
        raise ValueError("an array of another size than it says")
    if not values:
        return Layout(dtype, shape), None
    order = "F" if b"True" in match[0] else "C"
    data = file.read()
    if dtype.kind == "U":
        codes = np.frombuffer(data, "<u4")
        if ((codes > sys.maxunicode) | (codes >> 11 == 0x1B)).any():  # no character, or half of a surrogate pair
            raise ValueError("text that is none")
    flat = np.frombuffer(data, dtype)
    return Layout(dtype, shape), np.array(flat.reshape(shape, order=order))
