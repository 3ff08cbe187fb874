"""Verifying: all that can be known of a bundle without making a video of it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from vast_jax.data.clips import decode_jpeg
from vast_jax.errors import UserError
from vast_jax.face.model import FaceModel, load_face_model
from vast_jax.generation import avatar_bundle
from vast_jax.generation.prompt import Prompt, load_style
from vast_jax.models import lip_reader, style_model, syncnet_model
from vast_jax.models.recogniser import load_acoustic
from vast_jax.models.renderer import Renderer
from vast_jax.share.model_shapes import check_shapes
from vast_jax.weights import exports
from vast_jax.weights.bundle import AVATAR, MANIFEST, PROMPT, Bundle, check_manifest, check_names, find
from vast_jax.weights.unpacking import looked_into


class Here(NamedTuple):
    """The models in use, which a bundle must fit."""

    face: FaceModel
    acoustic: Any


def models_in_use(face_model: Path | None = None, acoustic_model: str | None = None) -> Here:
    """The face and acoustic model to verify against; None: the shipped ones."""
    return Here(load_face_model(face_model), load_acoustic(acoustic_model))


def verify(source: str | os.PathLike, here: Here, most: int) -> list[str]:
    """Checks a bundle, packed or in a folder, an export of an earlier version, or a style file.

    Args:
      here: as from `models_in_use`.
      most: bytes that a packed bundle may have.

    Returns:
      What was checked, in words.

    Raises:
      UserError: what is wrong with it, or that it was made for other models.
    """
    with looked_into(source, most) as place:
        bundle = find(place)
        said = _check_files(bundle, Path(place).is_dir())
        load(bundle, here)
        return [*said, "arrays have the shapes of the model, every number is finite", "fits the models in use"]


def _check_files(bundle: Bundle, whole_folder: bool) -> list[str]:
    manifest = check_manifest(bundle.folder, *bundle.files) if whole_folder else None
    if manifest is None:
        return [f"no {MANIFEST}: a file alone, or made by an earlier version; `pack` lists the hash of every file"]
    beside = (p for p in bundle.folder.rglob("*") if not p.is_dir() or p.is_symlink())
    found = {path.relative_to(bundle.folder).as_posix() for path in beside}
    check_names(found, bundle.folder)
    extra = sorted(found - {MANIFEST, *manifest["files"]})
    if extra or manifest["kind"] != bundle.kind:
        what = f"{extra[0]}, which {MANIFEST} does not list" if extra else f"no {manifest['kind']}, which it should be"
        raise UserError(f"{bundle.folder} holds {what}: copy or pack it again")
    return [f"{len(found)} files, each with the hash that {MANIFEST} lists"]


def load(bundle: Bundle, here: Here) -> Any:
    """What a bundle holds, loaded by what a command would load it with, and its shapes checked. UserError: no good."""
    if bundle.kind == PROMPT:
        if bundle.card.is_file():
            exports.read_card(bundle.main)
        return _prompt(bundle.main, here)
    if bundle.kind == AVATAR:
        actor = avatar_bundle.load_avatar(bundle.folder, here.face, here.acoustic)
        check_shapes(actor.renderer, actor.params, "renderer", bundle.folder)
        for encoded in actor.template.jpegs:
            decode_jpeg(encoded)
        return actor
    card = exports.read_card(bundle.main)
    exports.expect(card, face_model=here.face.hash, acoustic_model=here.acoustic.hash, source=bundle.main)
    part = card.get("part")
    if part == "renderer":
        return _renderer_start(bundle.main)
    if part not in _LOADERS:
        raise UserError(f"{bundle.main}: weights of the part {part!r}, which this version of vast_jax does not know")
    model = _LOADERS[part](bundle.main)
    check_shapes(model.module, exports.load_part(bundle.main, part)[0], part, bundle.main)
    return model


def _prompt(path: Path, here: Here) -> Prompt:
    prompt = load_style(path)
    card = {"face_model": prompt.face_model, "acoustic_model": prompt.acoustic_model if prompt.has_speech else None}
    exports.expect(card, face_model=here.face.hash, acoustic_model=here.acoustic.hash, source=path)
    if prompt.expression.shape[1] != len(here.face.expression_names):
        raise UserError(f"{path}: {prompt.expression.shape[1]} parameters, which are not those of its face model")
    return prompt


def _renderer_start(path: Path) -> tuple[Renderer, Any]:
    """Weights without anybody's template, from which another renderer may begin."""
    weights, card = exports.load(path)
    config = {name: value for name, value in card["config"].items() if name not in ("region", "composite")}
    renderer = avatar_bundle.renderer_of(config, path)
    check_shapes(renderer, weights.get("renderer", {}), "renderer", path)
    return renderer, weights


_LOADERS: dict[str, Callable[[Path], Any]] = {
    "acoustic": load_acoustic,
    "style": style_model.StyleModel.load,
    "syncnet": syncnet_model.SyncModel.load,
    "lipreader": lip_reader.LipReader.load,
}
