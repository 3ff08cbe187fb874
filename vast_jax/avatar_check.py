"""Whether the pieces of an avatar's bundle belong together, before anything is drawn with them."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from vast_jax.data.clips import Clip, picture_size
from vast_jax.face.mesh_image import LAYERS, TEXTURE_SIDE
from vast_jax.face.model import FaceModel
from vast_jax.face.rasterise import SIZE
from vast_jax.models.renderer import Renderer
from vast_jax.types import UserError
from vast_jax.weights import model_config


def check_whole(
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
        if picture_size(encoded) != (SIZE, SIZE):
            raise UserError(f"{source}: a picture of its template is not {SIZE} pixels a side; export it again")
