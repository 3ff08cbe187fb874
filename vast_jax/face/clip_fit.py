"""A face fitted to the landmarks of clips: one identity for a person, then expression, pose and gaze a frame."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vast_jax.face.fitting import CHUNK, Pose, Problem, fit_frames, fit_identity, initial_pose, problem, refine_identity
from vast_jax.face.gaze import fit_gaze
from vast_jax.face.model import FaceModel, landmark_basis
from vast_jax.face.rasterise import Camera, rotation_matrix, rotation_vectors

LANDMARK_SIGMA = 0.4  # frames; more blurs the closing of the lips (at .6 their gap loses a twentieth of its range)
POSE_SIGMA = 1.0  # frames
IDENTITY_FRAMES = 24  # frames of a clip that tell the identity, spread over it
MOST_FRAMES, LEAST_FRAMES = 600, 4  # of all clips of a person, as long as these leave each clip so many
FIRST_STAGE = 6.0  # times the expression prior in a first fit of them to the mean face, which is to find their poses


class Fit(NamedTuple):
    """A face fitted to N frames of landmarks."""

    identity: np.ndarray  # [I]
    expression: np.ndarray  # [N, D] activations in their range
    rotation: np.ndarray  # [N, 3] axis-angle, head to camera
    translation: np.ndarray  # [N, 3] mm
    gaze: np.ndarray  # [N, 4] radians


class Seen(NamedTuple):
    """What was seen of one clip."""

    landmarks: np.ndarray  # [N, 478, 2 or 3] crop pixels
    valid: np.ndarray  # [N] bool: others must still hold plausible (interpolated) landmarks, and tell no identity
    camera: Camera  # crop pixels


def fit_clip(model: FaceModel, landmarks: np.ndarray, valid: np.ndarray, camera: Camera) -> Fit:
    """Fits the face to one clip: see `Seen`."""
    return fit_clips(model, [Seen(landmarks, valid, camera)])[0]


def fit_clips(model: FaceModel, clips: Sequence[Seen]) -> list[Fit]:
    """Fits one face to several clips of one person: they share the identity."""
    basis = landmark_basis(model)
    problems = [problem(model, basis, clip.camera) for clip in clips]
    targets = [smooth(np.asarray(clip.landmarks[..., :2], np.float32), LANDMARK_SIGMA) for clip in clips]
    count = min(IDENTITY_FRAMES, max(LEAST_FRAMES, MOST_FRAMES // len(clips)))
    samples = [_sample(np.asarray(clip.valid, bool), count) for clip in clips]
    seen = [target[sample] for target, sample in zip(targets, samples, strict=True)]
    identity, means, first = _identity(problems, seen)
    fits = []
    for k, (fixed, target, sample) in enumerate(zip(problems, targets, samples, strict=True)):
        centre = np.clip(means[k], fixed.low, 1)
        fixed = fixed._replace(centre=centre)
        nearest = np.abs(np.arange(len(target))[:, None] - sample).argmin(1)
        start = Pose(*(np.asarray(field[k])[nearest] for field in first))
        start = start._replace(expression=np.tile(centre, (len(target), 1)))
        fits.append(_fit(model, fixed, identity, start, target))
    return fits


def _fit(model: FaceModel, fixed: Problem, identity: np.ndarray, start: Pose, target: np.ndarray) -> Fit:
    """Every frame of one clip of a known person."""
    pose = _in_chunks(fixed, identity, start, target, free_pose=1.0)
    # A head is heavy: its pose is smoothed, and the expression fitted again to what that leaves.
    rotation = smooth(rotation_vectors(pose.rotation), POSE_SIGMA)
    translation = smooth(pose.translation, POSE_SIGMA)
    matrices = rotation_matrix(rotation).astype(np.float32)
    pose = _in_chunks(
        fixed, identity, Pose(pose.expression, matrices, translation), target, free_pose=0.0, iterations=4
    )
    basis = landmark_basis(model)
    gaze = fit_gaze(model, basis, identity, pose.expression, matrices, translation, target, fixed.camera)
    return Fit(identity, pose.expression, rotation, translation, gaze)


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian of `sigma` frames along the first axis, edges repeated."""
    from scipy.ndimage import gaussian_filter1d  # here, for an avatar that only speaks does without

    return gaussian_filter1d(values, sigma, axis=0, mode="nearest")


def _sample(valid: np.ndarray, count: int) -> np.ndarray:
    """`count` frames that tell the identity."""
    known = np.flatnonzero(valid) if valid.any() else np.arange(len(valid))
    return known[np.linspace(0, len(known) - 1, count).round().astype(int)]


def _identity(problems: Sequence[Problem], seen: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, Pose]:
    """The person's identity [I], the mean expression [C, D] of each clip, and the poses of the frames seen."""
    first = []
    for fixed, target in zip(problems, seen, strict=True):
        strict = fixed._replace(prior=FIRST_STAGE * fixed.prior)
        nobody = np.zeros(len(fixed.identity), np.float32)
        first.append(_in_chunks(strict, nobody, initial_pose(fixed, target), target, free_pose=1.0))
    pose = Pose(*(np.stack(fields) for fields in zip(*first, strict=True)))
    cameras = Camera(*(np.stack(fields) for fields in zip(*(fixed.camera for fixed in problems), strict=True)))
    identity, means, pose = fit_identity(problems[0], cameras, pose, np.stack(seen))
    identity, pose = refine_identity(problems[0], cameras, identity, pose, np.stack(seen))
    return np.asarray(identity, np.float32), np.asarray(means, np.float32), pose


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
