"""Files written whole or not at all, and their hashes."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a path beside `path` to write a file or folder to; it takes `path`'s name only if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        part = folder / path.name  # the same suffix: ffmpeg and others choose the format by it
        yield part
        if part.is_dir() and path.is_dir():
            os.replace(path, folder / "replaced")
        if part.is_file():
            part.chmod(0o666 & ~_umask())  # some writers make files that only their owner may read
        os.replace(part, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
