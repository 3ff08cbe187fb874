"""Curves to a file: CSV in Live Link Face's layout, or an animated head in glTF."""

from pathlib import Path

import numpy as np

from vast_jax import media
from vast_jax.animation.curves import Curves
from vast_jax.animation.gltf import write_glb
from vast_jax.animation.live_link import write_csv
from vast_jax.face.model import FaceModel


def save(
    path: Path,
    model: FaceModel,
    curves: Curves,
    identity: np.ndarray | None = None,
    arkit_only: bool = False,
    generated: bool = False,
) -> None:
    """Writes CSV or, where the name ends so, a glTF file; `identity` [I] shapes the latter's head, None: the mean."""
    if path.suffix.lower() == ".csv":
        write_csv(path, model, curves, arkit_only)
        return
    identity = np.zeros(len(model.identity_basis), np.float32) if identity is None else identity
    write_glb(path, model, identity, *curves[:4], fps=float(curves.fps), notes=media.AI_GENERATED if generated else {})
