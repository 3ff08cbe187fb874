"""A bundle: what is shared, in a folder of its own, with a manifest that lists the size and hash of every file.

avatar   renderer.safetensors  renderer.json  template/clip.npz  template/frames.bin
weights  NAME.safetensors  NAME.json (card)
prompt   NAME.style  NAME.json (card)
each with README.md (the model card), manifest.json and, if there is one, LICENSE
"""

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from vast_jax.errors import UserError
from vast_jax.files import atomic_path, sha256
from vast_jax.untrusted import read_json, size_of

MANIFEST, README, LICENSE = "manifest.json", "README.md", "LICENSE"
TEMPLATE = ("template/clip.npz", "template/frames.bin")
LARGEST = 1 << 30  # bytes of a bundle, unless told otherwise
MOST_FILES = 16
AVATAR, WEIGHTS, PROMPT = "avatar", "weights", "prompt"
# What `avatar_bundle.save_avatar` writes for want of the person's own word; not a consent.
CONSENT_NOTICE = "Shows a real person: use it with that person's consent, and say that it is AI-generated."
_FORMAT = "vast_jax bundle 1"
_MAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(safetensors|json|style)")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)\..*", re.IGNORECASE)  # names that Windows keeps to itself
_HASH = re.compile(r"[0-9a-f]{64}")


class Bundle(NamedTuple):
    """What a folder or file holds that can be shared."""

    kind: str  # AVATAR, WEIGHTS or PROMPT
    main: Path  # the .safetensors or .style file
    files: tuple[str, ...]  # all that belongs to it, below `folder`; without the manifest

    @property
    def folder(self) -> Path:
        return self.main.parent

    @property
    def card(self) -> Path:
        return self.main.with_suffix(".json")


def allowed(name: str) -> bool:
    """Whether a file of this name may be in a bundle: no path leads anywhere else, no suffix is of a program."""
    if name in (MANIFEST, README, LICENSE, *TEMPLATE):
        return True
    return _MAIN.fullmatch(name) is not None and not _DEVICES.fullmatch(name)


def check_names(names: Iterable[str], source: str | os.PathLike) -> None:
    """UserError where a name may not be in a bundle, or two are the same where case does not count."""
    names = list(names)
    if len(names) > MOST_FILES:
        raise UserError(f"{source}: holds {len(names)} files, a bundle at most {MOST_FILES}")
    for name in names:
        if not allowed(name):
            raise UserError(f"{source}: holds {name[:80]!r}, which no bundle of vast_jax holds; it is left alone")
    if len({name.lower() for name in names}) != len(names):
        raise UserError(f"{source}: holds two files of one name")


def find(source: str | os.PathLike) -> Bundle:
    """What can be shared of a folder, a .safetensors or a .style file. UserError: nothing, or several things."""
    source = Path(source)
    if source.is_dir():
        mains = sorted(p for p in source.iterdir() if p.suffix in (".safetensors", ".style"))
        if len(mains) != 1:
            found = ", ".join(path.name for path in mains[:4]) or "none"
            raise UserError(
                f"{source} must hold one .safetensors or .style file (found: {found}): name the file itself"
            )
        main = mains[0]
    elif source.is_file() and source.suffix in (".safetensors", ".style"):
        main = source
    else:
        what = "is neither" if source.exists() else "no such file or folder:"
        raise UserError(f"{source}: {what} a bundle, an export of vast_jax, a .safetensors nor a .style file")
    if not allowed(main.name):
        raise UserError(f"{main}: a shared file's name has letters, digits, - and _ only: rename it and its card")
    extras = [name for name in TEMPLATE if (main.parent / name).exists()] if main.name == "renderer.safetensors" else []
    kind = PROMPT if main.suffix == ".style" else AVATAR if extras else WEIGHTS
    beside = [main.with_suffix(".json").name, README, LICENSE] if source.is_dir() else [main.with_suffix(".json").name]
    return Bundle(kind, main, tuple(name for name in (main.name, *extras, *beside) if (main.parent / name).is_file()))


def copy_files(names: Iterable[str], source: Path, target: Path) -> None:
    """Copies files of a bundle's folder to another, which is made if missing."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def write_manifest(folder: str | os.PathLike, kind: str, names: Iterable[str]) -> Path:
    """Lists files of a folder with their sizes and hashes in its manifest.json."""
    folder = Path(folder)
    files = {name: {"size": size_of(folder / name), "sha256": sha256(folder / name)} for name in sorted(names)}
    with atomic_path(folder / MANIFEST) as part:
        part.write_text(
            json.dumps({"format": _FORMAT, "kind": kind, "files": files}, indent=2) + "\n", encoding="utf-8"
        )
    return folder / MANIFEST


def read_manifest(folder: str | os.PathLike) -> dict[str, Any] | None:
    """The manifest of a folder: "kind" and "files", {name: {"size", "sha256"}}; None if it has none.

    Raises:
      UserError: damaged, of a later version, or names that no bundle has.
    """
    path = Path(folder) / MANIFEST
    if not path.exists():
        return None
    manifest = read_json(path, "a manifest of vast_jax")
    files = manifest.get("files")
    if manifest.get("format") != _FORMAT or manifest.get("kind") not in (AVATAR, WEIGHTS, PROMPT):
        raise UserError(f"{path} is not a manifest that this version of vast_jax knows: copy it again, or update")
    if not isinstance(files, dict) or not all(map(_is_entry, files.values())) or MANIFEST in files:
        raise UserError(f"{path} is not a manifest of vast_jax: copy or pack it again")
    check_names(files, path)
    return manifest


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or set(entry) != {"size", "sha256"} or type(entry["size"]) is not int:
        return False
    return isinstance(entry["sha256"], str) and _HASH.fullmatch(entry["sha256"]) is not None


def check_manifest(folder: str | os.PathLike, *needed: str) -> dict[str, Any] | None:
    """`read_manifest`, with every file it lists as it says. UserError: one is missing or another, or not listed."""
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    for name in needed:
        if name not in manifest["files"]:
            raise UserError(f"{Path(folder) / MANIFEST} does not list {name}: copy or pack the whole folder again")
    for name, entry in manifest["files"].items():
        path = Path(folder) / name
        if not path.is_file():
            raise UserError(f"{path} is missing, which {MANIFEST} lists: copy the whole folder")
        if size_of(path) != entry["size"] or sha256(path) != entry["sha256"]:
            raise UserError(f"{path} is not the file that {MANIFEST} lists (sha256 differs): copy or pack it again")
    return manifest
