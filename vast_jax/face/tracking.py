"""Footage to FaceTrack: landmarks, then for each stretch one identity, then expression, pose and gaze a frame."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from vast_jax.face.clip_fit import Seen, fit_clips
from vast_jax.face.detector_bias import unbiased
from vast_jax.face.following import SeenFace, bridge, check_choice, follow_face, longest, stretches
from vast_jax.face.landmarks import Landmarker, crop_box, crop_frame, to_crop
from vast_jax.face.model import FaceModel
from vast_jax.face.rasterise import camera_of
from vast_jax.files import sha256
from vast_jax.media import FPS, VideoInfo, probe, read_frames
from vast_jax.types import FaceTrack, Source, UserError

FOCAL = 1.2  # of the longer side of the source: the camera is unknown, and fixed
MIN_FRAMES = 5  # a shorter track is of no use
MIN_STRETCH = FPS  # frames: what `track_all` keeps
MIN_CROP = 64  # source pixels: a smaller face shows too little of its lips
_RECIPE = "5"  # change it when the same video would give another track
_LONGEST = 1920  # pixels: faces are looked for in a picture reduced to it


def recipe(model: FaceModel) -> str:
    """Names all that a track depends on but the video: the tracker, the parameter space, its rest, the landmarks."""
    learned = (*(model.detector_bias or ()), *(model.rest or ()))
    arrays = (model.landmark_triangles, model.landmark_weights, model.landmark_offset, *learned)
    content = b"".join(np.ascontiguousarray(array, np.float32).tobytes() for array in arrays)
    return f"{_RECIPE} {model.hash} {sha256(content)}"


@dataclass(frozen=True)
class Crops:
    """The crops of a tracked clip, decoded anew at each pass so that memory stays flat: yields uint8 [256, 256, 3]."""

    path: Source
    box: np.ndarray  # [3] left, top, side in source pixels
    start: int  # the track's first frame, in frames of the video at 25 fps
    count: int
    size: tuple[int, int]  # width and height of the source

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[np.ndarray]:
        # Only the part of the picture that the crop shows is read; even numbers, for colour is stored for 2x2 pixels.
        (left, top, side), (width, height) = self.box, self.size
        x0, y0 = (int(np.clip(start, 0, end - 2)) // 2 * 2 for start, end in ((left, width), (top, height)))
        x1, y1 = (
            int(np.clip(-(-(start + side) // 2) * 2, low + 2, end))
            for start, low, end in ((left, x0, width), (top, y0, height))
        )
        inside = self.box - np.array([x0, y0, 0], np.float32)
        frames = read_frames(self.path, region=(x0, y0, x1 - x0, y1 - y0))
        for frame in islice(frames, self.start, self.start + self.count):
            yield crop_frame(frame, inside)


@dataclass(frozen=True)
class Stretches:
    """The tracked stretches of a video, each fitted when its turn comes: yields (FaceTrack, Crops)."""

    path: Source
    model: FaceModel
    info: VideoInfo
    found: SeenFace  # in source pixels
    kept: tuple[slice, ...]
    breaks: tuple[str, ...]  # where the video was split, what was left out, and why

    @property
    def source_frames(self) -> int:
        """Frames of the whole video at 25 fps."""
        return len(self.found.seen)

    def __len__(self) -> int:
        return len(self.kept)

    def __iter__(self) -> Iterator[tuple[FaceTrack, Crops]]:
        for run in self.kept:
            landmarks, seen = self.found.landmarks[run], self.found.seen[run]
            stretch = self.found._replace(landmarks=bridge(landmarks.copy(), seen), seen=seen)
            yield _fit(self.path, self.model, self.info, stretch, run.start)


def track_video(
    path: Source, model: FaceModel, landmarker: Landmarker | None = None, face: str = "largest"
) -> tuple[FaceTrack, Crops]:
    """Tracks one face through a video.

    Gaps up to 0.4 s are bridged; of what longer gaps and cuts leave, the longest stretch is kept (`Crops.start` says
    where it begins in the video, `valid` which of its frames were truly seen). face: see `follow_face`.

    UserError: unreadable, no such face, too small a face, or none in half of the video nor for a second on end.
    """
    info, found = _find(path, landmarker, face)
    run = longest(stretches(found.seen, found.cuts))
    length = run.stop - run.start
    if length < MIN_FRAMES or (found.seen.mean() < 0.5 and length < MIN_STRETCH):
        raise _no_face(path, found)
    # Bridged and brought to the crop in place: landmarks are 9 MB a minute.
    stretch = found._replace(landmarks=bridge(found.landmarks[run], found.seen[run]), seen=found.seen[run])
    track, crops = _fit(path, model, info, stretch, run.start)
    if track.crop[2] < MIN_CROP:
        raise UserError(f"{path}: {_too_small(track.crop)}: show the face larger")
    return track, crops


def track_all(path: Source, model: FaceModel, landmarker: Landmarker | None = None, face: str = "largest") -> Stretches:
    """Tracks one face through a video as `track_video` does, but keeps every stretch of a second or more.

    UserError: unreadable, no such face, or not one such stretch.
    """
    info, found = _find(path, landmarker, face)
    runs = stretches(found.seen, found.cuts)
    refused = {}
    for run in runs:
        if run.stop - run.start < MIN_STRETCH:
            refused[run.start] = "too short"
        elif (box := crop_box(found.landmarks[run][found.seen[run]]))[2] < MIN_CROP:
            refused[run.start] = _too_small(box)
    kept = tuple(run for run in runs if run.start not in refused)
    if not kept:
        if small := [reason for reason in refused.values() if reason != "too short"]:
            raise UserError(f"{path}: {small[0]}: show the face larger")
        raise _no_face(path, found)
    return Stretches(path, model, info, found, kept, tuple(_breaks(found, runs, refused)))


def _find(path: Source, landmarker: Landmarker | None, face: str) -> tuple[VideoInfo, SeenFace]:
    """The face in the pixels of the source."""
    check_choice(face)
    if landmarker is None:
        with Landmarker() as landmarker:
            return _find(path, landmarker, face)
    info = probe(path)
    try:
        found = follow_face(read_frames(path, longest=_LONGEST), landmarker, face)
    except UserError as error:
        raise error if str(path) in str(error) else UserError(f"{path}: {error}") from None
    scale = info.width / found.size[0], info.height / found.size[1]
    if scale != (1, 1):
        found.landmarks[:] *= np.array([*scale, scale[0]], np.float32)
    return info, found._replace(size=(info.width, info.height))


def _fit(path: Source, model: FaceModel, info: VideoInfo, stretch: SeenFace, start: int) -> tuple[FaceTrack, Crops]:
    """Fits a stretch without gaps, which begins at frame `start` of the video and lends its landmarks."""
    box = crop_box(stretch.landmarks)
    track = FaceTrack(
        *(None,) * 5,
        landmarks=to_crop(stretch.landmarks, box, out=stretch.landmarks),
        valid=stretch.seen,
        crop=box,
        source_size=np.array(stretch.size, np.int32),
        focal=FOCAL * max(stretch.size),
        fps=float(info.fps),
        face_model=model.hash,
    )
    return fitted(track, model), Crops(path, box, start, len(stretch.seen), stretch.size)


def seen(track: FaceTrack, model: FaceModel) -> Seen:
    """What a face is fitted to: the landmarks that a track holds, freed of the detector's habits."""
    return Seen(unbiased(model.detector_bias, track.landmarks, track.valid), track.valid, camera_of(track))


def fitted(track: FaceTrack, model: FaceModel) -> FaceTrack:
    """A track with the face fitted, anew or for the first time, to the landmarks that it holds."""
    return fitted_together([track], model)[0]


def fitted_together(tracks: Sequence[FaceTrack], model: FaceModel) -> list[FaceTrack]:
    """The same for several tracks of one person, who gets one identity in all of them."""
    fits = fit_clips(model, [seen(track, model) for track in tracks])
    return [track._replace(**fit._asdict(), face_model=model.hash) for track, fit in zip(tracks, fits, strict=True)]


def _no_face(path: Source, found: SeenFace) -> UserError:
    run, frames = longest(stretches(found.seen, found.cuts)), len(found.seen)
    if frames < MIN_FRAMES:
        return UserError(f"{path} has only {frames} frames: give a video of a second or more")
    return UserError(
        f"no face found in {path} (seen in {round(100 * found.seen.mean())}% of its frames, "
        f"{run.stop - run.start} on end): show one face, large and frontal"
    )


def _too_small(box: np.ndarray) -> str:
    return f"the face is too small (a crop of {box[2]:.0f} pixels, at least {MIN_CROP} are needed)"


def _breaks(found: SeenFace, runs: list[slice], refused: dict[int, str]) -> Iterator[str]:
    """One line for each cut, gap and stretch left out, in order."""
    end = 0
    for run in [*runs, slice(len(found.seen), len(found.seen))]:
        if run.start > end:
            yield f"no face {_span(end, run.start)}"
        elif 0 < run.start < len(found.seen):
            yield f"cut at {run.start / FPS:.2f} s (frame {run.start})"
        if run.start in refused:
            yield f"left out {_span(run.start, run.stop)}: {refused[run.start]}"
        end = run.stop


def _span(start: int, stop: int) -> str:
    return f"from {start / FPS:.2f} to {stop / FPS:.2f} s (frames {start} to {stop - 1})"
