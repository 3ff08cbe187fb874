"""The landmark detector's habits, and landmarks freed of them.

MediaPipe guesses the depth of a face from its looks, and pulls what it sees towards the faces it knows: on rendered
people of known geometry (`face_models.learn_detector_bias` makes and learns from them) heads come out pitched by 2.3
degrees on average, differently for everybody, and nodding by .6 of the truth. How far each landmark is off can be told
linearly from the detection itself. Two things are kept apart, for on people who are not rendered a frame's deviation is
expression as well: the habit with a person comes from the mean over the clip, that with a pose from where the detection
moves as it does when heads turn. Lips and eyes are moved as wholes, so that their opening stays what was seen.
"""

from typing import NamedTuple

import numpy as np

from vast_jax.face.landmarks import LEFT_EYE, LEFT_IRIS, LIPS, MESH_LANDMARKS, OUTER_EYE_CORNERS, RIGHT_EYE, RIGHT_IRIS

FURTHEST = 3.0  # standard deviations of the rendered people: beyond it nothing is known of the habit
_CHUNK = 256  # frames
_RIGID = ((LIPS, None), (LEFT_EYE, LEFT_IRIS), (RIGHT_EYE, RIGHT_IRIS))  # and what moves with them


class DetectorBias(NamedTuple):
    """A linear map from a detection, upright and in distances of the outer eye corners, to its error; K components."""

    mean: np.ndarray  # [468, 3] float32: of the detections
    components: np.ndarray  # [K, 468, 3] float32: detection minus mean to component values, of deviation 1
    shift: np.ndarray  # [K + 1, 468, 2] float32: true minus detected place, constant first, then for each component
    pose: np.ndarray  # [K, K] float32: component values to the part of them that the head's pose explains


class Upright(NamedTuple):
    """Detections [N, 468, 3] without place, roll and size, and what brings them back."""

    points: np.ndarray
    scale: np.ndarray  # [N] pixels
    rotation: np.ndarray  # [N, 2, 2] from pixels


def upright(landmarks: np.ndarray) -> Upright:
    """Landmarks [N, 478, 3] in pixels, level, in distances of the outer eye corners, about the middle of these; depth
    about its mean over the mesh without lips.
    """
    points = np.asarray(landmarks[:, :MESH_LANDMARKS], np.float64)
    right, left = (points[:, index, :2] for index in OUTER_EYE_CORNERS)
    scale = np.maximum(np.linalg.norm(left - right, axis=1), 1e-6)
    cosine, sine = ((left - right) / scale[:, None]).T
    rotation = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], -2)
    flat = np.einsum("nij,nlj->nli", rotation, points[..., :2] - (left + right)[:, None] / 2)
    depth = points[..., 2] - np.delete(points[..., 2], LIPS, axis=1).mean(1, keepdims=True)
    return Upright(np.concatenate([flat, depth[..., None]], -1) / scale[:, None, None], scale, rotation)


def unbiased(bias: DetectorBias | None, landmarks: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Landmarks [N, 478, 3] of one clip in pixels, as a detector without habits would place them: [N, 478, 2] float32.

    valid: [N] bool, frames that tell who it is. Without a bias the landmarks are as they came.
    """
    if bias is None:
        return np.asarray(landmarks[..., :2], np.float32)
    chunks = [slice(start, start + _CHUNK) for start in range(0, len(landmarks), _CHUNK)]
    values = np.concatenate([_values(bias, upright(landmarks[chunk]).points) for chunk in chunks])
    person = values[valid].mean(0) if valid.any() else values.mean(0)
    values = np.clip(person, -FURTHEST, FURTHEST) + np.clip((values - person) @ bias.pose.T, -FURTHEST, FURTHEST)
    freed = np.array(landmarks[..., :2], np.float32)
    for chunk in chunks:
        seen = upright(landmarks[chunk])
        shift = bias.shift[0] + np.einsum("nk,klc->nlc", values[chunk], bias.shift[1:])
        for region, _ in _RIGID:
            shift[:, region] = shift[:, region].mean(1, keepdims=True)
        shift = np.einsum("nji,nlj->nli", seen.rotation, shift) * seen.scale[:, None, None]
        freed[chunk, :MESH_LANDMARKS] += shift
        for region, iris in _RIGID:
            if iris is not None:
                freed[chunk, iris] += shift[:, region[:1]]
    return freed


def _values(bias: DetectorBias, points: np.ndarray) -> np.ndarray:
    """Component values [N, K] of upright detections [N, 468, 3]."""
    return (points - bias.mean).reshape(len(points), -1) @ bias.components.reshape(len(bias.components), -1).T


def learn(
    detected: np.ndarray, true: np.ndarray, rotation: np.ndarray, components: int = 30, ridge: float = 30.0
) -> DetectorBias:
    """The habit of a detector, from people whose geometry is known, each seen once.

    Args:
      detected, true: [N, 478, 3] and [N, 478, 2 or more], pixels of the same picture.
      rotation: [N, 3] axis-angle of the head, radians.
      components: K, principal components of the detections that tell the error.
      ridge: in people: how many agreeing ones it takes to believe a component.
    """
    seen = upright(detected)
    apart = (true[:, :MESH_LANDMARKS, :2] - detected[:, :MESH_LANDMARKS, :2]) / seen.scale[:, None, None]
    error = np.einsum("nij,nlj->nli", seen.rotation, apart).reshape(len(detected), -1)
    flat = seen.points.reshape(len(detected), -1)
    mean = flat.mean(0)
    _, deviation, vectors = np.linalg.svd(flat - mean, full_matrices=False)
    axes = vectors[:components] / (deviation[:components, None] / np.sqrt(len(flat)))
    values = (flat - mean) @ axes.T
    inputs = np.c_[np.ones(len(values)), values]
    damping = ridge * np.diag(np.r_[0.0, np.ones(components)])
    shift = np.linalg.solve(inputs.T @ inputs + damping, inputs.T @ error)
    # What a pose does to the values, and how a pose is read from them: together, their part that is pose. Roll is gone.
    turn = rotation[:, :2] - rotation[:, :2].mean(0)
    effect = np.linalg.lstsq(turn, values, rcond=None)[0]
    reading = np.linalg.lstsq(values, turn, rcond=None)[0]
    arrays = (
        mean.reshape(MESH_LANDMARKS, 3),
        axes.reshape(components, MESH_LANDMARKS, 3),
        shift.reshape(components + 1, MESH_LANDMARKS, 2),
        (reading @ effect).T,
    )
    return DetectorBias(*(array.astype(np.float32) for array in arrays))
