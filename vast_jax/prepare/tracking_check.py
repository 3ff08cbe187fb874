"""How well a track fits its clip, in pixels, which frames not to trust, and which to look at."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vast_jax.face.detector_bias import unbiased
from vast_jax.face.landmarks import INNER_LIPS, LIPS
from vast_jax.face.model import FaceModel
from vast_jax.face.overlay import landmarks_in_camera
from vast_jax.face.rasterise import camera_of, project, rotation_matrix
from vast_jax.types import CROP, FaceTrack

MAX_RESIDUAL = 2.5  # pixels of the crop: a clip beyond it is badly fitted
MAX_YAW = 40  # degrees: beyond it half of the mouth is guessed
_MARGIN = 5.0  # pixels of the crop
_OUTLIER, _OUTLIER_LEAST = 2.0, 2.5  # times the clip's median residual; pixels
_CHUNK = 256  # frames


class Residual(NamedTuple):
    """Mean distance of fitted landmarks from detected ones freed of the detector's habits, a frame, crop pixels."""

    all: np.ndarray  # [N] float32, over all landmarks
    lips: np.ndarray  # [N] float32


def residual(model: FaceModel, track: FaceTrack) -> Residual:
    """How far the fitted face is from its landmarks, in every frame."""
    parts, detected = [], unbiased(model.detector_bias, track.landmarks, track.valid)
    for start in range(0, len(track.valid), _CHUNK):
        frames = np.arange(start, min(start + _CHUNK, len(track.valid)))
        fitted = project(landmarks_in_camera(model, track, frames), camera_of(track))[..., :2]
        distance = np.linalg.norm(fitted - detected[frames, :, :2], axis=-1)
        parts.append((distance.mean(1), distance[:, LIPS].mean(1)))
    return Residual(*(np.concatenate(values).astype(np.float32) for values in zip(*parts, strict=True)))


def trusted(track: FaceTrack, errors: Residual) -> np.ndarray:
    """Frames [N] bool in which the face was seen and is fitted about as well as usual in this clip: where a hand, a
    microphone or a profile misleads the landmarks, they make no face that the model could fit.
    """
    usual = np.median(errors.all[track.valid])
    return track.valid & (errors.all <= max(_OUTLIER * usual, _OUTLIER_LEAST))


def faults(track: FaceTrack, errors: Residual) -> Iterator[str]:
    """What is wrong with a clip, in words; thresholds are the names above."""
    missing = int((~track.valid).sum())
    if missing:
        yield f"{missing} frames without a face, bridged"
    if suspicious := _share(track.valid & ~trusted(track, errors)):
        yield f"badly fitted in {suspicious}"
    error = float(np.median(errors.all[track.valid]))
    if error > MAX_RESIDUAL:
        yield f"the mesh is {error:.1f} pixels off its landmarks"
    if track.crop[2] < CROP / 2:
        yield f"small face: a crop of {track.crop[2]:.0f} pixels blown up to {CROP}"
    if profile := _share(np.abs(yaw(track)) > MAX_YAW):
        yield f"turned by more than {MAX_YAW} degrees in {profile}"
    if outside := _share(leaves_crop(track)):
        yield f"the face leaves the crop in {outside}"


def _share(flags: np.ndarray) -> str:
    """Such as "3 frames (4%)", or nothing."""
    count = int(flags.sum())
    return f"{count} frame{'s' * (count > 1)} ({100 * flags.mean():.0f}%)" if count else ""


def yaw(track: FaceTrack) -> np.ndarray:
    """Degrees [N] by which the head is turned from the camera's axis: positive towards the image right."""
    forward = -rotation_matrix(np.asarray(track.rotation, np.float64))[..., 2]
    return np.degrees(np.arctan2(forward[:, 0], -forward[:, 2]))


def leaves_crop(track: FaceTrack) -> np.ndarray:
    """Whether the face reaches beyond the crop [N] bool."""
    points = track.landmarks[..., :2]
    return ((points < -_MARGIN) | (points > CROP + _MARGIN)).any((1, 2))


def widest_mouth(track: FaceTrack) -> int:
    """The frame with the inner lips farthest apart: where a bad fit shows."""
    upper, lower = INNER_LIPS
    gap = np.linalg.norm(track.landmarks[:, upper] - track.landmarks[:, lower], axis=1)
    return int(np.where(track.valid, gap, -1).argmax())
