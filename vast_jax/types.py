"""The few types that cross files."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vast_jax.errors import Unwritable as Unwritable
from vast_jax.errors import UserError as UserError

CROP = 256  # pixels: the side of the square crop of a face that everything inside the project sees

Array = Any  # numpy or JAX array
Batch = Mapping[str, Array]  # always with "mask" where lengths differ
Params = Mapping[str, Any]
Metrics = Mapping[str, Array]


class Segment(NamedTuple):
    """A part of a long video, read without decoding what lies before it."""

    path: Path
    start: float  # seconds, best a multiple of 1/25: then frames are those that the whole video gives there
    stop: float  # seconds

    def __str__(self) -> str:
        return f"{self.path} from {self.start:.2f} to {self.stop:.2f} s"


Source = str | os.PathLike | Segment  # what can be read as a video


class FaceTrack(NamedTuple):
    """A parametric face over one clip at 25 frames a second (N frames, I identity and D expression parameters).

    Camera: OpenCV axes (x right, y down, z forward), `focal` in source pixels (1.2 times the longer side of the
    source), principal point at the centre of the source, then seen through the square `crop`.
    """

    identity: np.ndarray  # [I] float32, coefficients of the identity basis
    expression: np.ndarray  # [N, D] float32, activations of the expression basis
    rotation: np.ndarray  # [N, 3] float32, axis-angle, head to camera, radians
    translation: np.ndarray  # [N, 3] float32, head origin in the camera frame, mm
    gaze: np.ndarray  # [N, 4] float32, yaw and pitch of the left, then of the right eye, radians
    landmarks: np.ndarray  # [N, 478, 3] float32, MediaPipe landmarks in crop pixels
    valid: np.ndarray  # [N] bool, whether a face was seen
    crop: np.ndarray  # [3] float32, left, top, side of the square crop in source pixels
    source_size: np.ndarray  # [2] int32, width and height of the source, pixels
    focal: float  # source pixels
    fps: float  # of the source, before resampling to 25
    face_model: str  # hash of the face model the parameters belong to


class Players(NamedTuple):
    """The players of a part, each with its parameters and its loss.

    A VAE has one player, a GAN two. `losses` is ordered: the players are updated in that order in every step.
    """

    init: Callable[[Array, Batch], Mapping[str, Params]]  # (key, batch) -> {player: params}
    losses: Mapping[str, Callable[[Mapping[str, Params], Batch, Array, Array], tuple[Array, Metrics]]]
    # player -> (all params, batch, key, progress in [0, 1]) -> (loss, metrics), as a `training.example_loss.OfExamples`


def subset(track: FaceTrack, frames: Sequence[int] | np.ndarray | slice) -> FaceTrack:
    """The track of some frames, in that order."""
    fields = ("expression", "rotation", "translation", "gaze", "landmarks", "valid")
    return track._replace(**{name: getattr(track, name)[frames] for name in fields})


def poses(track: FaceTrack, order: Iterable[int] | None = None) -> Iterator[FaceTrack]:
    """A track frame by frame, each as a track of one: in its own order, or in another."""
    return (subset(track, [i]) for i in (range(len(track.valid)) if order is None else order))
