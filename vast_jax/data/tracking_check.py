"""How well a track fits its clip, in pixels, and which frame to look at."""

import numpy as np

from vast_jax.face.landmarks import INNER_LIPS
from vast_jax.face.model import FaceModel
from vast_jax.face.overlay import landmarks_in_camera
from vast_jax.face.rasterise import camera_of, project
from vast_jax.types import FaceTrack

_SAMPLE = 16  # frames


def residual(model: FaceModel, track: FaceTrack) -> float:
    """Mean distance between detected and fitted landmarks over up to 16 frames of the clip, pixels of the crop."""
    valid = np.flatnonzero(track.valid)
    chosen = valid[np.unique(np.linspace(0, len(valid) - 1, _SAMPLE).round().astype(int))]
    fitted = project(landmarks_in_camera(model, track, chosen), camera_of(track))[..., :2]
    return float(np.linalg.norm(fitted - track.landmarks[chosen, :, :2], axis=-1).mean())


def widest_mouth(track: FaceTrack) -> int:
    """The frame with the inner lips farthest apart: where a bad fit shows."""
    upper, lower = INNER_LIPS
    gap = np.linalg.norm(track.landmarks[:, upper] - track.landmarks[:, lower], axis=1)
    return int(np.where(track.valid, gap, -1).argmax())
