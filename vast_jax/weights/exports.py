"""Shareable weights: safetensors with a JSON card."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from flax import traverse_util

from vast_jax import __version__, untrusted
from vast_jax.files import atomic_path, sha256
from vast_jax.types import UserError
from vast_jax.weights.bundle import MANIFEST, TEMPLATE, check_manifest
from vast_jax.weights.unpacking import opened

_STEP = ".step"  # behind the name of an array of int8: what 1 stands for

CARD: dict[str, Any] = {
    "part": None,  # name of the part, such as "style"
    "config": {},  # of the model, enough to build it
    "face_model": None,  # hash of the face model whose parameters the weights speak of; None if of none
    "acoustic_model": None,  # hash of the acoustic model whose PPG they heard; None if of none
    "data": "",  # what they were trained on
    "licence": "",
    "figures": {},  # of the last evaluation
}


def export(
    directory: str | os.PathLike, name: str, params: Mapping[str, Any], card: Mapping[str, Any], dtype=np.float16
) -> Path:
    """Writes NAME.safetensors and NAME.json to share.

    Args:
        directory: made if missing.
        name: of both files, without suffix.
        params: nested dict of arrays, stored under flat names "a/b/c". Floating arrays are stored as `dtype`, but for
            those under "constants" and those it cannot hold, which stay float32; others keep their type. Only matrices
            become int8, each with a float32 step for every column beside it, and the others float16.
        card: what the weights are (see `CARD`); "version" and "sha256" (of the weights) are added.
        dtype: of the stored weights.

    Returns:
        Path of the safetensors file.
    """
    path = Path(directory) / f"{name}.safetensors"
    flat: dict[str, np.ndarray] = {}
    for key, leaf in traverse_util.flatten_dict(dict(params)).items():
        flat |= _storable("/".join(key), leaf, np.dtype(dtype))
    with atomic_path(path) as part:
        safetensors.numpy.save_file(flat, part)
    card = {**CARD, **card, "version": __version__, "sha256": sha256(path)}
    with atomic_path(path.with_suffix(".json")) as part:
        part.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _storable(name: str, leaf: Any, dtype: np.dtype) -> dict[str, np.ndarray]:
    """An array as it is stored, by name; an int8 matrix, or a stack of them, with the step of each column."""
    array = np.ascontiguousarray(leaf)
    if array.dtype.kind in "biu":
        return {name: array}
    array = array.astype(np.float32)  # bfloat16, float64
    if name.startswith("constants/"):
        return {name: array}
    if dtype == np.int8 and array.ndim > 1:
        step = np.maximum(np.abs(array).max(tuple(range(array.ndim - 1))), 1e-12) / np.float32(127)
        return {name: np.round(array / step).astype(np.int8), name + _STEP: step}
    dtype = np.dtype(np.float16) if dtype == np.int8 else dtype
    fits = np.max(np.abs(array), initial=0) <= np.finfo(dtype).max
    return {name: array.astype(dtype) if fits else array}


def _exact(flat: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Undoes `_storable`. UserError: steps that are not one a column."""
    out = dict(flat)
    for name in [name for name, array in flat.items() if array.dtype == np.int8 and name + _STEP in flat]:
        array, step = flat[name], out.pop(name + _STEP)
        if step.shape != array.shape[-1:] or step.dtype != np.float32:
            raise UserError(f"{path}: {name} has steps of another shape than its columns; export it again")
        out[name] = array.astype(np.float32) * step
    return out


def load(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads what `export` wrote.

    Args:
        path: the safetensors file, or a folder with exactly one, or one that `vast_jax.share pack` wrote.

    Returns:
        (params, card): nested dict of numpy arrays, floating ones as float32; the card.

    Raises:
        UserError: missing, unreadable, without its card, or not the weights that the card, or a manifest beside them,
            describes.
    """
    path = _weights_file(opened(path))
    card = read_card(path)
    needed = (path.name, path.with_suffix(".json").name, *(TEMPLATE if card.get("manifest") else ()))
    manifest = check_manifest(path.parent, *needed)
    if manifest is None and card.get("manifest"):
        raise UserError(f"{path.parent} lacks {MANIFEST}, which lists its files: copy the whole folder")
    found = manifest["files"][path.name]["sha256"] if manifest else sha256(path)
    if found != card["sha256"]:
        name = path.with_suffix(".json").name
        raise UserError(f"{path} is not the file that {name} describes (sha256 differs): copy both again")
    flat, _ = untrusted.read_safetensors(path)
    flat = {name: leaf.astype(np.float32) if leaf.dtype.kind == "f" else leaf for name, leaf in flat.items()}
    flat = _exact(flat, path)
    untrusted.refuse_non_finite(flat, path)  # float64 beyond float32
    try:
        return traverse_util.unflatten_dict(flat, sep="/"), card
    except TypeError:
        raise UserError(f"{path}: an array has the name of a group of arrays; export it again") from None


def read_card(path: Path) -> dict[str, Any]:
    """The card of a file of weights. UserError: missing, or not a card."""
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        raise UserError(f"{path} has no card: {card_path.name} must lie beside it")
    card = untrusted.read_json(card_path)
    texts = ("part", "data", "licence", "consent", "person", "version", "face_model", "acoustic_model", "sha256")
    whole = all(isinstance(card.get(name, ""), str | None) for name in texts)
    if not whole or not card.get("sha256") or not all(isinstance(card.get(n, {}), dict) for n in ("config", "figures")):
        raise UserError(f"{card_path} is not a card of weights: copy or export it again")
    return {"config": {}, "figures": {}} | card


def load_part(path: str | os.PathLike, part: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Reads the weights of one part, as `load` does.

    Returns:
        (params, constants, card): of {part: params, "constants": ...}.

    Raises:
        UserError: as `load`, or weights of another part.
    """
    weights, card = load(path)
    expect(card, part=part, source=path)
    params, constants = weights.get(part), weights.get("constants", {})
    if not isinstance(params, dict) or not isinstance(constants, dict):
        raise UserError(f"{path}: its arrays are not named as those of the part {part!r} are; export it again")
    return params, constants, card


def _weights_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder of weights")
    files = sorted(path.glob("*.safetensors"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise UserError(f"{path} must hold exactly one .safetensors file (found: {found}): name the file itself")
    return files[0]


def expect(
    card: Mapping[str, Any],
    *,
    part: str | None = None,
    face_model: str | None = None,
    acoustic_model: str | None = None,
    source: str | os.PathLike = "these weights",
) -> None:
    """Checks that weights are what is needed; a value of None, here or in the card, fits everything.

    Args:
        card: as `load` gives it.
        part: name of the part they must be of.
        face_model: hash of the face model whose parameters they must speak of.
        acoustic_model: hash of the acoustic model whose PPG they must have heard.
        source: where they come from, for the message.

    Raises:
        UserError: naming the mismatch.
    """
    if part is not None and card.get("part") != part:
        raise UserError(f"{source}: weights of the part {card.get('part')!r} where those of {part!r} are needed")
    for key, needed in (("face_model", face_model), ("acoustic_model", acoustic_model)):
        have = card.get(key)
        if have is not None and needed is not None and have != needed:
            raise UserError(
                f"{source}: trained with another {key.replace('_', ' ')} ({have[:12]}, here {needed[:12]}): "
                f"use the {key.replace('_', ' ')} it was trained with, or train it again"
            )


def overlay(params: Mapping[str, Any], weights: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The params of all players with those that `weights` has replaced by them.

    Args:
        params: {player: params}.
        weights: exported params: {player: params} of one or more players, or the params of the first player alone.
        source: where the weights come from, for the message.

    Raises:
        UserError: naming the first array that is missing or has another shape.
    """
    weights = {name: value for name, value in weights.items() if name != "constants"}
    if not set(weights) <= set(params):
        weights = {next(iter(params)): weights}
    out = dict(params)
    for player, new in weights.items():
        old, new = traverse_util.flatten_dict(dict(params[player]), sep="/"), traverse_util.flatten_dict(new, sep="/")
        for name in sorted({*old, *new}):
            shapes = [np.shape(tree[name]) if name in tree else "none" for tree in (new, old)]
            if shapes[0] != shapes[1]:
                raise UserError(f"{source} do not fit the model: {player}/{name} is {shapes[0]}, needed {shapes[1]}")
        out[player] = traverse_util.unflatten_dict(new, sep="/")
    return out
