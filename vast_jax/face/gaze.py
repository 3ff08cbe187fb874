"""Where the eyes look, from the iris landmarks of a fitted face."""

import numpy as np

from vast_jax.face.model import FaceModel, LandmarkBasis, gaze_rotation
from vast_jax.face.rasterise import Camera, project

LIMIT = np.radians(35.0)  # an eye hardly turns further
PRIOR = 0.8  # px^2 / rad^2, pull to straight ahead: slight, for an iris moves about 10 px a radian
BLINK = 0.5  # activation of eyeBlink from which the iris is covered and the gaze is held
ITERATIONS = 5


def fit_gaze(
    model: FaceModel,
    basis: LandmarkBasis,
    identity: np.ndarray,
    expression: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    landmarks: np.ndarray,
    camera: Camera,
) -> np.ndarray:
    """Gaze [N, 4]: yaw and pitch of the left, then of the right eye, radians (signs of `model.gaze_rotation`).

    rotation [N, 3, 3] and translation [N, 3] are head to camera; landmarks [N, 478, 2 or 3] crop pixels. Each eye
    turns about its centre until the middle of its iris projects onto the detected one. The median divergence of the
    two eyes over the clip is taken out: it is a fault of landmarks and head shape, for people look at one point.
    """
    seen = np.stack([landmarks[:, iris, :2].mean(1) for iris in basis.iris], axis=1)  # [N, 2, 2]
    centre = basis.eye_centres + np.einsum("i,iec->ec", identity, basis.eye_centres_identity)
    iris = basis.neutral[basis.iris] + np.einsum("i,ielc->elc", identity, basis.identity[:, basis.iris])
    moved = np.einsum("nd,delc->nelc", expression, basis.expression[:, basis.iris])
    arm = (iris + moved).mean(2) - centre  # [N, 2, 3]

    def predicted(gaze: np.ndarray) -> np.ndarray:
        head = np.einsum("neij,nej->nei", gaze_rotation(gaze), arm) + centre
        return project(np.einsum("nij,nej->nei", rotation, head) + translation[:, None], camera)[..., :2]

    gaze, step = np.zeros((len(seen), 2, 2)), 1e-3
    for _ in range(ITERATIONS):  # Gauss-Newton, two unknowns an eye
        now = predicted(gaze)
        slope = np.stack([(predicted(gaze + step * axis) - now) / step for axis in np.eye(2)], axis=-1)
        matrix = slope.swapaxes(-1, -2) @ slope + PRIOR * np.eye(2)
        right = np.einsum("neij,nei->nej", slope, seen - now) - PRIOR * gaze
        gaze = np.clip(gaze + np.linalg.solve(matrix, right[..., None])[..., 0], -LIMIT, LIMIT)
    names = list(model.expression_names)
    blink = [
        expression[:, names.index(f"eyeBlink{side}")] if f"eyeBlink{side}" in names else 0 for side in ("Left", "Right")
    ]
    for eye in range(2):
        gaze[:, eye] = _hold(gaze[:, eye], np.broadcast_to(blink[eye], len(gaze)) < BLINK)
    divergence = np.median(gaze[:, 0] - gaze[:, 1], axis=0)
    gaze += np.array([-0.5, 0.5])[:, None] * divergence
    return np.clip(gaze, -LIMIT, LIMIT).reshape(-1, 4).astype(np.float32)


def _hold(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Interpolates [N, 2] where not `known`; unchanged when nothing is."""
    if not known.any():
        return values
    frames, where = np.arange(len(values)), np.flatnonzero(known)
    return np.stack([np.interp(frames, where, column[where]) for column in values.T], axis=1)
