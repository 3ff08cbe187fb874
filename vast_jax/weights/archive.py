"""A bundle in one file: a .zip of exactly one form, so that nothing can hide in it.

A zip, because every system opens it without us. Stored, not deflated, which would save a third of an avatar's 7 MB: a
file can never be larger than its archive, and the same contents are the same bytes wherever they are packed. What is
written follows from names and contents alone; what is read must be, but for the contents, byte for byte what would have
been written. So there are no comments, links, folders, attributes, dates, gaps, second directories or other methods.
"""

import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vast_jax.errors import UserError
from vast_jax.files import atomic_path
from vast_jax.untrusted import size_of
from vast_jax.weights.bundle import LARGEST, MANIFEST, MOST_FILES, check_names

SUFFIX = ".zip"
_LONGEST_NAME = 128
_END = struct.Struct("<4s4H2IH")
_DAY, _VERSION, _UNIX, _MODE = 0x21, 20, 3 << 8, 0o100644 << 16  # 1 January 1980; a plain file
_COPIED = 1 << 20  # bytes at once


class Entry(NamedTuple):
    name: str
    size: int
    crc: int


def _head(entry: Entry) -> bytes:
    name = entry.name.encode("ascii")
    fields = (b"PK\3\4", _VERSION, 0, 0, 0, _DAY, entry.crc, entry.size, entry.size, len(name), 0)
    return struct.pack("<4s5H3I2H", *fields) + name


def _row(entry: Entry, offset: int) -> bytes:
    name = entry.name.encode("ascii")
    fields = (b"PK\1\2", _UNIX | _VERSION, _VERSION, 0, 0, 0, _DAY, entry.crc, entry.size, entry.size, len(name))
    return struct.pack("<4s6H3I5H2I", *fields, 0, 0, 0, 0, _MODE, offset) + name


def _directory(entries: list[Entry]) -> bytes:
    """All that follows the files."""
    rows, offset = b"", 0
    for entry in entries:
        rows += _row(entry, offset)
        offset += len(_head(entry)) + entry.size
    return rows + _END.pack(b"PK\5\6", 0, 0, len(entries), len(entries), len(rows), offset, 0)


def pack(folder: Path, names: list[str], out: Path) -> None:
    """Writes files of a folder as an archive, the manifest first. UserError: too large for one."""
    order = sorted(names, key=lambda name: (name != MANIFEST, name))
    entries = [Entry(name, size_of(folder / name, LARGEST), _crc(folder / name)) for name in order]
    if sum(entry.size for entry in entries) > LARGEST:
        raise UserError(f"{folder} is larger than {LARGEST >> 20} MiB: share the folder as it is (--out without .zip)")
    with atomic_path(out) as part, open(part, "wb") as file:
        for entry in entries:
            file.write(_head(entry))
            with open(folder / entry.name, "rb") as source:
                shutil.copyfileobj(source, file)
        file.write(_directory(entries))


def _crc(path: Path) -> int:
    crc = 0
    with open(path, "rb") as file:
        while piece := file.read(_COPIED):
            crc = zlib.crc32(piece, crc)
    return crc


def entries_of(path: str | os.PathLike, most: int = LARGEST) -> list[Entry]:
    """What an archive holds. UserError: not one that `pack` wrote, or of more than `most` bytes."""
    size = size_of(path, most)
    try:
        with open(path, "rb") as file:
            return _entries(file, size, path)
    except (struct.error, UnicodeDecodeError, OSError):
        raise _foreign(path) from None


def _foreign(path: str | os.PathLike) -> UserError:
    return UserError(
        f"{path} is damaged, or no bundle that `python -m vast_jax.share pack` wrote: fetch it again, or unpack it "
        "yourself and pack the folder"
    )


def _entries(file: BinaryIO, size: int, path: str | os.PathLike) -> list[Entry]:
    if size < _END.size:
        raise _foreign(path)
    file.seek(size - _END.size)
    _, _, _, count, _, length, start, _ = _END.unpack(file.read(_END.size))
    if start + length + _END.size != size or not 0 < count <= MOST_FILES or length > count * (46 + _LONGEST_NAME):
        raise _foreign(path)
    file.seek(start)
    directory, entries, at = file.read(length + _END.size), [], 0
    for _ in range(count):
        crc, stored, _, name = struct.unpack_from("<3IH", directory, at + 16)
        entries.append(Entry(directory[at + 46 : at + 46 + name].decode("ascii"), stored, crc))
        at += 46 + name
    check_names((entry.name for entry in entries), path)
    if directory != _directory(entries):
        raise _foreign(path)
    offset = 0
    for entry in entries:
        head = _head(entry)
        file.seek(offset)
        if file.read(len(head)) != head:
            raise _foreign(path)
        offset += len(head) + entry.size
    if offset != start:
        raise _foreign(path)
    return entries


def unpack(path: str | os.PathLike, out: Path, most: int = LARGEST) -> None:
    """Writes an archive's files to a new folder. UserError: see `entries_of`; damaged. Then `out` is not whole."""
    entries = entries_of(path, most)
    out.mkdir(parents=True)
    with open(path, "rb") as file:
        for entry in entries:
            file.seek(len(_head(entry)), os.SEEK_CUR)
            target = out / entry.name
            target.parent.mkdir(exist_ok=True)
            left, crc = entry.size, 0
            with open(target, "xb") as new:
                while piece := file.read(min(left, _COPIED)):
                    left, crc = left - new.write(piece), zlib.crc32(piece, crc)
            if left or crc != entry.crc:
                raise UserError(f"{path} is damaged ({entry.name}): fetch it again")
