"""A picture to judge a track by: detected and fitted landmarks over the frames, the fitted head beside and over."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vast_jax.face.model import FaceModel, gaze_rotation, landmark_basis
from vast_jax.face.rasterise import camera_of, face_mask, place, project, rotation_matrix
from vast_jax.face.shading import shade
from vast_jax.types import CROP, FaceTrack

if TYPE_CHECKING:
    from vast_jax.face.clip_fit import Fit

_DETECTED, _FITTED = (60, 230, 60), (255, 60, 60)  # RGB
_SHIFT = 4  # fractional bits of OpenCV's sub-pixel coordinates


def overlay(track: FaceTrack, frames: Sequence[np.ndarray], model: FaceModel, indices: Sequence[int]) -> np.ndarray:
    """A contact sheet, one column a frame: the crop, landmarks (detected green, fitted red), the shaded head, and its
    face half transparent over the crop: a wrong shape or pose shows at the edges of face, eyes and lips.

    frames: the crops uint8 [256, 256, 3] that belong to `indices`, in that order. Returns uint8 [4 * 256, 256 n, 3].
    """
    indices = np.asarray(indices, int)
    camera = camera_of(track)
    vertices = place(
        model,
        track.identity,
        track.expression[indices],
        track.rotation[indices],
        track.translation[indices],
        track.gaze[indices],
    )
    fitted = project(landmarks_in_camera(model, track, indices), camera)[..., :2]
    heads, faces = shade(model, vertices, camera), face_mask(model, vertices, camera)
    columns = []
    for frame, head, face, seen, found in zip(frames, heads, faces, track.landmarks[indices], fitted, strict=True):
        blend = np.where(face[..., None], frame // 2 + head // 2, frame)
        columns.append(np.concatenate([frame, draw_points(frame, seen, found), head, blend]))
    return np.concatenate(columns, axis=1)


def landmarks_in_camera(model: FaceModel, track: "FaceTrack | Fit", indices: np.ndarray | None = None) -> np.ndarray:
    """The fitted face's landmarks [n, 478, 3], camera frame, mm: those a perfect detector would see."""
    indices = np.arange(len(track.expression)) if indices is None else indices
    basis = landmark_basis(model)
    person = basis.neutral + np.tensordot(track.identity, basis.identity, 1)
    head = person + np.tensordot(track.expression[indices], basis.expression, 1)
    centres = basis.eye_centres + np.tensordot(track.identity, basis.eye_centres_identity, 1)
    turns = gaze_rotation(track.gaze[indices].reshape(-1, 2, 2))
    for iris, centre, turn in zip(basis.iris, centres, turns.swapaxes(0, 1), strict=True):
        head[:, iris] = np.einsum("nij,nlj->nli", turn, head[:, iris] - centre) + centre
    return np.einsum("nij,nlj->nli", rotation_matrix(track.rotation[indices]), head) + track.translation[indices, None]


def draw_points(frame: np.ndarray, detected: np.ndarray, fitted: np.ndarray, scale: int = 1) -> np.ndarray:
    """Detected (green), fitted (red) points [478, 2 or 3] over a crop uint8 [256, 256, 3], `scale` times as large."""
    picture = cv2.resize(frame, (CROP * scale, CROP * scale), interpolation=cv2.INTER_LINEAR)
    for points, colour in ((detected, _DETECTED), (fitted, _FITTED)):
        for x, y in np.round(points[:, :2] * scale * 2**_SHIFT).astype(int):
            cv2.circle(picture, (int(x), int(y)), 2 ** (_SHIFT - 1), colour, -1, cv2.LINE_AA, _SHIFT)
    return picture
