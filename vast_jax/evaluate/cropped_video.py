"""A video as every metric sees it: cropped to the face, with landmarks, tracked expression and sound.

The crop is that of docs/paper.md, Crop.
"""

import os
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vast_jax import media
from vast_jax.audio import fit
from vast_jax.face.clip_fit import fit_clip
from vast_jax.face.detector_bias import unbiased
from vast_jax.face.following import bridge, follow_face
from vast_jax.face.landmarks import Landmarker, crop_box, to_crop
from vast_jax.face.model import FaceModel
from vast_jax.face.rasterise import camera_of
from vast_jax.face.tracking import FOCAL, MIN_FRAMES, Crops
from vast_jax.types import CROP, FaceTrack, UserError

LONGEST = 60 * media.FPS  # frames of a video that are measured: its crops are held in memory, 0.2 MB each
_ALREADY_CROPPED = 12  # pixels by which a picture of 256 x 256 may miss its own crop and still be taken for it


class CroppedVideo(NamedTuple):
    """A video of T frames."""

    frames: np.ndarray  # [T, 256, 256, 3] uint8
    track: FaceTrack  # fitted; `valid` where the face is seen, `crop` the box in source pixels
    landmarks: np.ndarray  # [T, 478, 3] in pixels of the crop, NaN where no face is seen
    speech: np.ndarray | None  # [640 T] float32 at 16 kHz; None without sound
    size: tuple[int, int]  # width and height of the source, pixels
    cut: bool  # whether the video goes on after the T frames


def crop_video(
    path: str | os.PathLike, face_model: FaceModel, landmarker: Landmarker, like: CroppedVideo | None = None
) -> CroppedVideo:
    """Looks at the first minute of a video.

    The crop is that of the real video (`like`) where the two are of one size, so that pixels compare; otherwise the
    video's own. A picture of 256 x 256 that is such a crop already is taken as it is. The face's identity is fitted to
    this video alone: it takes up what blur does to landmarks, which would else pass for expression.

    Raises:
      UserError: unreadable, too short, or the face is not seen in half of its frames.
    """
    path = Path(path)
    info = media.probe(path)
    found = follow_face(islice(media.read_frames(path), LONGEST), landmarker)
    cut = len(found.seen) == LONGEST and (info.frames or 0) > LONGEST + 1
    if len(found.seen) < MIN_FRAMES or found.seen.mean() < 0.5:
        raise UserError(f"{path}: a face in {int(found.seen.sum())} of {len(found.seen)} frames: too few to measure")
    size, count = found.size, len(found.seen)
    box = _box(found.landmarks[found.seen], size) if like is None or like.size != size else like.track.crop
    landmarks = to_crop(_bridged(found.landmarks, found.seen), box)
    track = FaceTrack(
        *(None,) * 5,
        landmarks=landmarks,
        valid=found.seen,
        crop=box,
        source_size=np.array(size, np.int32),
        focal=FOCAL * max(size),
        fps=float(info.fps),
        face_model=face_model.hash,
    )
    upright = unbiased(face_model.detector_bias, landmarks, found.seen)
    track = track._replace(**fit_clip(face_model, upright, found.seen, camera_of(track))._asdict())
    return CroppedVideo(
        np.stack(list(Crops(path, box, 0, count, size))),
        track,
        np.where(found.seen[:, None, None], landmarks, np.float32(np.nan)),
        fit(media.read_speech(path, seconds=count / media.FPS), count) if info.has_audio else None,
        size,
        cut,
    )


def _box(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    box, whole = crop_box(landmarks), np.array([0, 0, CROP], np.float32)
    return whole if size == (CROP, CROP) and np.abs(box - whole).max() <= _ALREADY_CROPPED else box


def _bridged(landmarks: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Landmarks for every frame: between those seen interpolated, before the first and after the last held."""
    at = np.flatnonzero(seen)
    landmarks = bridge(landmarks.copy(), seen)
    landmarks[: at[0]], landmarks[at[-1] + 1 :] = landmarks[at[0]], landmarks[at[-1]]
    return landmarks
