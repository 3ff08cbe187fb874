"""A face fitted to the landmarks of a clip: one identity for the clip, then expression, pose and gaze a frame."""

from typing import NamedTuple

import numpy as np

from vast_jax.face.fitting import CHUNK, Pose, Problem, fit_frames, fit_identity, initial_pose, problem
from vast_jax.face.gaze import fit_gaze
from vast_jax.face.model import FaceModel, landmark_basis
from vast_jax.face.rasterise import Camera, rotation_matrix, rotation_vectors

LANDMARK_SIGMA = 0.4  # frames; more blurs the closing of the lips (at .6 their gap loses a twentieth of its range)
POSE_SIGMA = 1.0  # frames
IDENTITY_ROUNDS = 2  # who it is and which frames are calm, in turns
IDENTITY_FRAMES = 16  # frames that vote for the identity: two thirds calm ones, the rest spread over the yaw
IDENTITY_STAGE = 6.0  # times the expression prior in them, so that identity explains what never moves
CALM_FRAMES, CALM = 8, 10.0  # times that again in the calmest of them, which are taken to be nearly at rest


class Fit(NamedTuple):
    """A face fitted to N frames of landmarks."""

    identity: np.ndarray  # [I]
    expression: np.ndarray  # [N, D] activations in their range
    rotation: np.ndarray  # [N, 3] axis-angle, head to camera
    translation: np.ndarray  # [N, 3] mm
    gaze: np.ndarray  # [N, 4] radians


def fit_clip(model: FaceModel, landmarks: np.ndarray, valid: np.ndarray, camera: Camera) -> Fit:
    """Fits the face to landmarks [N, 478, 2 or 3] in crop pixels; camera in crop pixels too.

    Frames that are not `valid` must still hold plausible (interpolated) landmarks; they do not vote for the identity.
    """
    basis = landmark_basis(model)
    fixed = problem(model, basis, camera)
    target = smooth(np.asarray(landmarks[..., :2], np.float32), LANDMARK_SIGMA)
    identity, start = _identity(fixed, target, np.asarray(valid, bool))
    pose = _in_chunks(fixed, identity, start, target, free_pose=1.0)
    # A head is heavy: its pose is smoothed, and the expression fitted again to what that leaves.
    rotation = smooth(rotation_vectors(pose.rotation), POSE_SIGMA)
    translation = smooth(pose.translation, POSE_SIGMA)
    matrices = rotation_matrix(rotation).astype(np.float32)
    pose = _in_chunks(
        fixed, identity, Pose(pose.expression, matrices, translation), target, free_pose=0.0, iterations=4
    )
    gaze = fit_gaze(model, basis, identity, pose.expression, matrices, translation, target, camera)
    return Fit(identity, pose.expression, rotation, translation, gaze)


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian of `sigma` frames along the first axis, edges repeated."""
    from scipy.ndimage import gaussian_filter1d  # here, for an avatar that only speaks does without

    return gaussian_filter1d(values, sigma, axis=0, mode="nearest")


def _identity(fixed: Problem, target: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, Pose]:
    """The clip's identity [I], and a start for every frame: the pose of a first fit, the median expression."""
    strict = fixed._replace(prior=IDENTITY_STAGE * fixed.prior)
    sample = np.unique(np.linspace(0, len(target) - 1, 2 * CHUNK).round().astype(int))
    known = sample[valid[sample]]
    sample = known if len(known) else sample
    seen, identity = target[sample], np.zeros(len(fixed.identity), np.float32)
    first = _in_chunks(strict, identity, initial_pose(fixed, seen), seen, free_pose=1.0)
    for _ in range(IDENTITY_ROUNDS):  # who it is tells which frames are at rest, and these tell who it is
        chosen = _votes(strict, first)
        prior = np.tile(strict.prior, (len(chosen), 1))
        prior[:CALM_FRAMES] *= CALM
        pose = Pose(*(array[chosen] for array in first))
        identity, pose = fit_identity(strict, pose, seen[chosen], prior)
        identity = np.asarray(identity, np.float32)
        first = _in_chunks(strict, identity, first, seen, free_pose=1.0, iterations=4)
    nearest = np.abs(np.arange(len(target))[:, None] - sample).argmin(1)
    start = Pose(*(array[nearest] for array in first))
    middle = np.median(first.expression, axis=0)
    return identity, start._replace(expression=np.tile(middle, (len(target), 1)))


def _votes(fixed: Problem, pose: Pose) -> np.ndarray:
    """The frames that tell the identity: two thirds by least expression, calmest first; others spread over the yaw."""
    calmest = np.argsort((pose.expression**2 * fixed.prior).sum(1), kind="stable")
    by_yaw = np.argsort(rotation_vectors(pose.rotation)[:, 1], kind="stable")
    spread = by_yaw[np.linspace(0, len(by_yaw) - 1, IDENTITY_FRAMES // 3).round().astype(int)]
    return np.concatenate([np.resize(calmest, IDENTITY_FRAMES - len(spread)), spread])


def _in_chunks(
    fixed: Problem, identity: np.ndarray, start: Pose, target: np.ndarray, free_pose: float, iterations: int = 10
) -> Pose:
    """`fit_frames` in chunks of one size: the last is padded with its last frame, so nothing is compiled twice."""
    parts = []
    for begin in range(0, len(target), CHUNK):
        index = np.minimum(np.arange(begin, begin + CHUNK), len(target) - 1)
        pose = Pose(*(array[index] for array in start))
        pose = fit_frames(fixed, identity, pose, target[index], np.float32(free_pose), np.int32(iterations))
        parts.append([np.asarray(array)[: len(target) - begin] for array in pose])
    return Pose(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
