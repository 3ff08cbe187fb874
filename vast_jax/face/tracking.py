"""Footage to FaceTrack: landmarks, then one identity for the clip, then expression, pose and gaze a frame."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from vast_jax.face.fitting import CHUNK, IDENTITY_STAGE, Pose, Problem, fit_frames, fit_identity, initial_pose, problem
from vast_jax.face.gaze import fit_gaze
from vast_jax.face.landmarks import Landmarker, bridge, crop_box, crop_frame, follow_face, longest_run, to_crop
from vast_jax.face.model import FaceModel, landmark_basis
from vast_jax.face.rasterise import Camera, camera_of
from vast_jax.media import probe, read_frames
from vast_jax.types import FaceTrack, UserError

LANDMARK_SIGMA = 0.6  # frames; more blurs the closing of the lips (at 1 the gap at b, p, m doubles)
POSE_SIGMA = 1.0  # frames
IDENTITY_FRAMES = 16  # frames that vote for the identity: two thirds neutral ones, the rest spread over the yaw
FOCAL = 1.2  # of the longer side of the source: the camera is unknown, and fixed
MIN_FRAMES = 5  # a shorter track is of no use


class Fit(NamedTuple):
    """A face fitted to N frames of landmarks."""

    identity: np.ndarray  # [I]
    expression: np.ndarray  # [N, D] in [0, 1]
    rotation: np.ndarray  # [N, 3] axis-angle, head to camera
    translation: np.ndarray  # [N, 3] mm
    gaze: np.ndarray  # [N, 4] radians


@dataclass(frozen=True)
class Crops:
    """The crops of a tracked clip, decoded anew at each pass so that memory stays flat: yields uint8 [256, 256, 3]."""

    path: Path
    box: np.ndarray  # [3] left, top, side in source pixels
    start: int  # the track's first frame, in frames of the video at 25 fps
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame in islice(read_frames(self.path), self.start, self.start + self.count):
            yield crop_frame(frame, self.box)


def track_video(
    path: str | os.PathLike, model: FaceModel, landmarker: Landmarker | None = None, face: str = "largest"
) -> tuple[FaceTrack, Crops]:
    """Tracks one face through a video.

    Gaps up to 0.4 s are bridged; of what longer gaps leave, the longest stretch is kept (`Crops.start` says where it
    begins in the video, `valid` which of its frames were truly seen). UserError: unreadable, or no face in half of it.
    """
    info = probe(path)
    if landmarker is None:
        with Landmarker() as landmarker:
            found = follow_face(read_frames(path), landmarker, face)
    else:
        found = follow_face(read_frames(path), landmarker, face)
    landmarks, usable = bridge(found.landmarks, found.seen)
    run = longest_run(usable)
    if found.seen.mean() < 0.5 or run.stop - run.start < MIN_FRAMES:
        percent = round(100 * found.seen.mean())
        raise UserError(f"no face found in {path} (seen in {percent}% of its frames): show one face, large and frontal")
    landmarks = landmarks[run]
    box = crop_box(landmarks)
    track = FaceTrack(
        *(None,) * 5,
        landmarks=to_crop(landmarks, box),
        valid=found.seen[run],
        crop=box,
        source_size=np.array(found.size, np.int32),
        focal=FOCAL * max(found.size),
        fps=float(info.fps),
        face_model=model.hash,
    )
    fitted = fit(model, track.landmarks, track.valid, camera_of(track))
    return track._replace(**fitted._asdict()), Crops(Path(path), box, run.start, run.stop - run.start)


def fit(model: FaceModel, landmarks: np.ndarray, valid: np.ndarray, camera: Camera) -> Fit:
    """Fits the face to landmarks [N, 478, 2 or 3] in crop pixels; camera in crop pixels too.

    Frames that are not `valid` must still hold plausible (interpolated) landmarks; they do not vote for the identity.
    """
    basis = landmark_basis(model)
    fixed = problem(model, basis, camera)
    target = smooth(landmarks[..., :2].astype(np.float32), LANDMARK_SIGMA)
    identity, start = _identity(fixed, target, np.asarray(valid, bool))
    pose = _in_chunks(fixed, identity, start, target, free_pose=1.0)
    # A head is heavy: its pose is smoothed, and the expression fitted again to what that leaves.
    rotation = smooth(rotation_vectors(pose.rotation), POSE_SIGMA)
    translation = smooth(pose.translation, POSE_SIGMA)
    matrices = np.stack([cv2.Rodrigues(vector.astype(np.float64))[0] for vector in rotation]).astype(np.float32)
    pose = _in_chunks(
        fixed, identity, Pose(pose.expression, matrices, translation), target, free_pose=0.0, iterations=4
    )
    expression = np.clip(pose.expression, 0, 1)
    gaze = fit_gaze(model, basis, identity, expression, matrices, translation, target, camera)
    return Fit(identity, expression, rotation, translation, gaze)


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian of `sigma` frames along the first axis, edges repeated."""
    radius = max(1, round(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(values.dtype)
    padded = np.concatenate([values[:1].repeat(radius, 0), values, values[-1:].repeat(radius, 0)])
    return sum(weight * padded[i : i + len(values)] for i, weight in enumerate(kernel))


def rotation_vectors(matrices: np.ndarray) -> np.ndarray:
    """Axis-angle [N, 3] of rotation matrices [N, 3, 3]."""
    return np.stack([cv2.Rodrigues(np.asarray(m, np.float64))[0][:, 0] for m in matrices]).astype(np.float32)


def _identity(fixed: Problem, target: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, Pose]:
    """The clip's identity [I], and a start for every frame: the pose of a first fit, the median expression."""
    mean_head = np.zeros(len(fixed.identity), np.float32)
    strict = fixed._replace(prior=fixed.prior * IDENTITY_STAGE)
    sample = np.unique(np.linspace(0, len(target) - 1, 2 * CHUNK).round().astype(int))
    known = sample[valid[sample]]
    sample = known if len(known) else sample
    first = _in_chunks(strict, mean_head, initial_pose(fixed, target[sample]), target[sample], free_pose=1.0)
    effort = (first.expression**2 * strict.prior).sum(1)
    neutral = np.argsort(effort, kind="stable")
    by_yaw = np.argsort(rotation_vectors(first.rotation)[:, 1], kind="stable")
    spread = by_yaw[np.linspace(0, len(by_yaw) - 1, IDENTITY_FRAMES // 3).round().astype(int)]
    chosen = np.concatenate([np.resize(neutral, IDENTITY_FRAMES - len(spread)), spread])
    pose = Pose(*(array[chosen] for array in first))
    identity, pose = fit_identity(strict, pose, target[sample][chosen])
    identity = np.asarray(identity, np.float32)
    nearest = np.abs(np.arange(len(target))[:, None] - sample).argmin(1)
    start = Pose(*(array[nearest] for array in first))
    middle = np.median(np.asarray(pose.expression), axis=0).clip(0, 1).astype(np.float32)
    return identity, start._replace(expression=np.tile(middle, (len(target), 1)))


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
