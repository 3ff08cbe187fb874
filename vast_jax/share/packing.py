"""Packing: an export or a style file becomes a bundle with card, model card and manifest."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from vast_jax import __version__
from vast_jax.errors import UserError
from vast_jax.files import atomic_path, check_writable, sha256
from vast_jax.share.about import about
from vast_jax.share.model_card import model_card
from vast_jax.untrusted import read_json, safetensors_layout
from vast_jax.weights import archive
from vast_jax.weights.bundle import (
    AVATAR,
    CONSENT_NOTICE,
    LICENSE,
    MANIFEST,
    PROMPT,
    README,
    TEMPLATE,
    Bundle,
    check_manifest,
    copy_files,
    find,
    write_manifest,
)

_NO_LICENCE = ("", "that of the footage")  # what an export says where nobody has said more


def pack(
    source: Path, out: Path, licence: str | None = None, consent: str | None = None, author: str | None = None
) -> Path:
    """Makes a bundle.

    Args:
      source: the folder of an avatar or of exported weights, a .safetensors file with its card, or a .style file.
      out: a new folder, or a file that ends in .zip.
      licence, consent, author: written to the card; needed (an avatar's consent: that of the person it shows) where
        it does not have them.

    Returns:
      The file whose hash stands for all: `out`, or its manifest.

    Raises:
      UserError: not something to share, damaged, or without licence or consent; `out` is there already.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; choose another name")
    check_writable(out.parent)
    bundle = find(source)
    check_manifest(bundle.folder, *(() if bundle.kind == PROMPT else (bundle.main.name, bundle.card.name)))
    card = _card(bundle, {"licence": licence, "consent": consent, "author": author})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        names = _fill(folder, bundle, card, out.name.removesuffix(archive.SUFFIX))
        if out.suffix == archive.SUFFIX:
            archive.pack(folder, [*names, MANIFEST], out)
            return out
        with atomic_path(out) as part:
            shutil.copytree(folder, part)
    return out / MANIFEST


def _card(bundle: Bundle, given: Mapping[str, str | None]) -> dict:
    """The card with what is given; UserError where a licence or a consent is wanting."""
    safetensors_layout(bundle.main)
    digest = sha256(bundle.main)
    if bundle.kind == PROMPT:
        card = read_json(bundle.card) if bundle.card.is_file() else {"part": "prompt", "version": __version__}
        card |= {"sha256": digest, "data": about(bundle).card.get("data")}
    else:
        if not bundle.card.is_file():
            raise UserError(f"{bundle.main} has no card: {bundle.card.name} must lie beside it")
        card = read_json(bundle.card)
        if card.get("sha256") != digest:
            raise UserError(f"{bundle.main} is not the file that {bundle.card.name} describes (sha256 differs)")
    card |= {name: " ".join(value.split()) for name, value in given.items() if value and value.strip()}
    if card.get("licence", "") in _NO_LICENCE:
        raise UserError(f"{bundle.main}: say by --licence on what terms it may be used, such as 'CC-BY-4.0'")
    if bundle.kind == AVATAR:
        if card.get("consent", "") in ("", CONSENT_NOTICE):
            who = f"that {card.get('person')} agreed to be shared as an avatar, and for what"
            raise UserError(f"{bundle.main}: say by --consent {who}, such as 'I am the person shown; any use'")
        missing = [name for name in TEMPLATE if name not in bundle.files]
        if missing:
            raise UserError(f"{bundle.folder} is not a whole avatar ({missing[0]} is missing): export it again")
        card["manifest"] = MANIFEST
    return card


def _fill(folder: Path, bundle: Bundle, card: Mapping, name: str) -> list[str]:
    """Writes a bundle's files; returns their names, without the manifest."""
    kept = (bundle.main.name, *(n for n in (*TEMPLATE, LICENSE) if n in bundle.files))
    copy_files(kept, bundle.folder, folder)
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    (folder / bundle.card.name).write_text(text, encoding="utf-8", newline="\n")
    told = about(find(folder))
    (folder / README).write_text(model_card(told, name, bundle.main.name), encoding="utf-8", newline="\n")
    names = [*kept, bundle.card.name, README]
    write_manifest(folder, bundle.kind, names)
    return names
