"""Files written whole or not at all, and their hashes."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vast_jax.errors import Unwritable

# What the libraries that write say of a full disk, some without the system's number.
_FULL = {
    "no space left": errno.ENOSPC,
    "disk quota": errno.EDQUOT,
    "read-only file system": errno.EROFS,
    "file too large": errno.EFBIG,
}


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a path beside `path` to write a file or folder to; it takes `path`'s name only if the block succeeds.

    Unwritable: there is no room, or it may not be written there.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error.errno) from error
    try:
        part = folder / path.name  # the same suffix: ffmpeg and others choose the format by it
        with room_for(path):
            yield part
        if part.is_dir() and path.is_dir():
            os.replace(path, folder / "replaced")
        if part.is_file():
            part.chmod(0o666 & ~_umask())  # some writers make files that only their owner may read
        os.replace(part, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def room_for(path: str | os.PathLike) -> Iterator[None]:
    """While `path` is written. Unwritable: what says, in whatever words, that it has no room."""
    try:
        yield
    except Exception as error:
        number = full(error)
        if number is None:
            raise
        raise _unwritable(path, number) from error


def full(error: BaseException) -> int | None:
    """The system's number of what an error says of the disk: full, or to be read only; None if it says neither."""
    number = getattr(error, "errno", None)
    if number in _FULL.values():
        return number
    said = str(error).lower()
    return next((number for words, number in _FULL.items() if words in said), None)


def check_writable(folder: str | os.PathLike) -> None:
    """Unwritable where a folder is none, may not be written, or could not be made: said before long work, not after."""
    folder = Path(folder)
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        raise _unwritable(folder, errno.ENOTDIR)
    if hasattr(os, "statvfs") and os.statvfs(there).f_flag & os.ST_RDONLY:
        raise _unwritable(folder, errno.EROFS)
    if not os.access(there, os.W_OK | os.X_OK):
        raise _unwritable(folder, errno.EACCES)


def _unwritable(path: str | os.PathLike, number: int | None) -> Unwritable:
    number = errno.ENOTDIR if number == errno.EEXIST else number or errno.EIO  # a file where a folder should be made
    return Unwritable(number, os.strerror(number), os.fspath(path))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256(source: str | os.PathLike | bytes) -> str:
    """Hex digest of a file's content, or of bytes."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with open(source, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
