"""An avatar in a folder to share, written and read; before anything is drawn its pieces are held against each other.

DIR/renderer.safetensors, renderer.json (card), template/ (a clip as `data.clips.save_clip` writes it), manifest.json
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from vast_jax.data.clips import Clip, load_clip, picture_size, save_clip
from vast_jax.face.mesh_image import LAYERS, TEXTURE_SIDE
from vast_jax.face.model import FaceModel
from vast_jax.generation.avatar import TrainedAvatar
from vast_jax.models.renderer import REDUCTION, Renderer
from vast_jax.types import CROP, UserError
from vast_jax.weights import exports, model_config
from vast_jax.weights.bundle import AVATAR, MANIFEST, TEMPLATE, write_manifest
from vast_jax.weights.unpacking import opened


def save_avatar(
    avatar: TrainedAvatar,
    directory: str | os.PathLike,
    constants: Mapping[str, np.ndarray] = MappingProxyType({}),
    figures: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Writes the bundle of an avatar, with further constants and figures of its training."""
    fields = ("widths", "ppg_features", "recurrence_kernel", "upsampling", "normalised", "textured")
    config = {name: getattr(avatar.renderer, name) for name in fields}
    card = dict(avatar.card) | dict(
        part="renderer",
        manifest=MANIFEST,
        config=config | {"region": avatar.region, "composite": avatar.composite},
        face_model=avatar.face_model.hash,
        acoustic_model=avatar.acoustic_model,
        person=avatar.person,
        figures=dict(figures),
    )
    save_clip(Path(directory) / "template", avatar.template)
    own = {"texture": avatar.texture, "reach": avatar.footage_range}
    constants = dict(constants) | {name: value for name, value in own.items() if value is not None}
    exports.export(directory, "renderer", {"renderer": avatar.params, "constants": constants}, card)
    write_manifest(directory, AVATAR, ("renderer.safetensors", "renderer.json", *TEMPLATE))


def renderer_of(config: Mapping, source: str | os.PathLike = "these weights") -> Renderer:
    """The renderer of a card's config. UserError: none that there can be."""
    return model_config.build(Renderer, config, source)


def load_avatar(directory: str | os.PathLike, face_model: FaceModel, acoustic) -> TrainedAvatar:
    """Reads a bundle.

    Args:
      directory: as `save_avatar` left it, or the file that `vast_jax.share pack` made of it.
      face_model: the face model in use.
      acoustic: the acoustic model in use, as from `recogniser.load_acoustic`.

    Raises:
      UserError: missing or damaged, or trained with another face or acoustic model.
    """
    directory = opened(directory)
    if not directory.is_dir():
        raise UserError(f"{directory}: no such avatar; train.py configs/renderer.py leaves one in RUN/export")
    params, constants, card = exports.load_part(directory, "renderer")
    exports.expect(card, face_model=face_model.hash, acoustic_model=acoustic.hash, source=str(directory))
    if missing := [name for name in TEMPLATE if not (directory / name).is_file()]:
        raise UserError(f"{directory} is not a whole avatar ({missing[0]} is missing): export or copy it again")
    template = load_clip(directory / "template")
    config = dict(card["config"])
    region, keep = config.pop("region", None), config.pop("composite", None)
    if type(region) is not int or region not in range(REDUCTION, CROP + 1, REDUCTION) or type(keep) is not bool:
        raise UserError(f"{directory}: its card asks for region = {repr(region)[:60]}, which no avatar has")
    renderer = renderer_of(config, directory)
    _check_whole(renderer, constants, template, card, face_model, directory)
    about = {name: card.get(name) for name in ("data", "licence", "consent", "figures")}
    texture = constants["texture"] if renderer.textured else None
    drawn = (renderer, params, face_model, template, card["person"], region, keep, texture)
    return TrainedAvatar(*drawn, constants.get("reach"), card.get("acoustic_model"), about)


def _check_whole(
    renderer: Renderer,
    constants: Mapping[str, np.ndarray],
    template: Clip,
    card: Mapping[str, Any],
    face_model: FaceModel,
    source: str | os.PathLike,
) -> None:
    """UserError where the pieces of a bundle do not belong together."""
    if not isinstance(card.get("person"), str):
        raise UserError(f"{source}: its card does not say which person it shows; export it again")
    track, count = template.track, len(face_model.expression_names)
    if track.face_model != face_model.hash:
        raise UserError(f"{source}: its template was tracked with another face model; export it again")
    if track.expression.shape[1] != count or len(track.identity) != len(face_model.identity_basis):
        raise UserError(f"{source}: its template has parameters that the face model does not know; export it again")
    if min(track.focal, track.crop[2], track.source_size.min(), track.translation[:, 2].min()) <= 0:
        raise UserError(f"{source}: its template has no camera before which a face could be; export it again")
    texture = {"texture": (LAYERS, TEXTURE_SIDE, TEXTURE_SIDE, 3)} if renderer.textured else {}
    model_config.check_constants(constants, texture, source, optional={"reach": (2, count)})
    if renderer.textured and constants["texture"].dtype != np.uint8:
        raise UserError(f"{source}: its texture is no picture; export it again")
    for encoded in template.jpegs:
        if picture_size(encoded) != (CROP, CROP):
            raise UserError(f"{source}: a picture of its template is not {CROP} pixels a side; export it again")
