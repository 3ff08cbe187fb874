"""Footage to FaceTrack: landmarks, then one identity for the clip, then expression, pose and gaze a frame."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from vast_jax.face.clip_fit import fit_clip
from vast_jax.face.landmarks import Landmarker, bridge, crop_box, crop_frame, follow_face, longest_run, to_crop
from vast_jax.face.model import FaceModel
from vast_jax.face.rasterise import camera_of
from vast_jax.media import probe, read_frames
from vast_jax.types import FaceTrack, UserError

FOCAL = 1.2  # of the longer side of the source: the camera is unknown, and fixed
MIN_FRAMES = 5  # a shorter track is of no use


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
    fitted = fit_clip(model, track.landmarks, track.valid, camera_of(track))
    return track._replace(**fitted._asdict()), Crops(Path(path), box, run.start, run.stop - run.start)
