"""A packed bundle used in place: unpacked once to the user's cache, under the hash of its file."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from vast_jax.errors import UserError
from vast_jax.files import atomic_path, sha256
from vast_jax.weights import archive
from vast_jax.weights.bundle import LARGEST, MANIFEST, check_manifest


def opened(path: str | os.PathLike, cache: Path | None = None) -> Path:
    """The folder of a packed bundle, in `cache` (none: the user's); any other path as it is.

    Raises:
      UserError: damaged, or no bundle; the cache cannot be written.
    """
    path = Path(path)
    if path.suffix != archive.SUFFIX or not path.is_file():
        return path
    folder = (cache or Path(platformdirs.user_cache_dir("vast_jax")) / "bundles") / sha256(path)
    if folder.is_dir():
        return folder
    try:
        with atomic_path(folder) as part:
            unpack_checked(path, part)
    except OSError as error:
        if not folder.is_dir():  # else another process was faster
            why = f"cannot be unpacked to the cache ({error.strerror})"
            raise UserError(f"{path} {why}: fetch it to a folder, python -m vast_jax.share fetch") from None
    return folder


def unpack_checked(path: str | os.PathLike, out: Path, most: int = LARGEST) -> None:
    """Unpacks a bundle to a new folder and checks it against its manifest. UserError: damaged, or none."""
    archive.unpack(path, out, most)
    manifest = check_manifest(out)
    listed = {MANIFEST, *(manifest or {"files": ()})["files"]}
    extra = sorted({entry.name for entry in archive.entries_of(path, most)} - listed)
    if manifest is None or extra:
        raise UserError(f"{path}: {', '.join(extra) or MANIFEST} {'not in its manifest' if manifest else 'is missing'}")


@contextlib.contextmanager
def looked_into(path: str | os.PathLike, most: int = LARGEST) -> Iterator[Path]:
    """A bundle's folder for as long as the block takes; the cache is left alone."""
    path = Path(path)
    if path.suffix != archive.SUFFIX or not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as scratch, named(path, Path(scratch) / "bundle"):
        unpack_checked(path, Path(scratch) / "bundle", most)
        yield Path(scratch) / "bundle"


@contextlib.contextmanager
def named(source: str | os.PathLike, *places: Path) -> Iterator[None]:
    """In a UserError of the block, the source in the place of the scratch folders that hold it."""
    try:
        yield
    except UserError as error:
        said = str(error)
        for place in places:
            said = said.replace(str(place), str(source))
        raise UserError(said) from None
