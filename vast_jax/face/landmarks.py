"""Face landmarks of a video (MediaPipe, 478 a frame) and the square crop that everything downstream sees."""

import os
from collections.abc import Iterable
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from vast_jax.media import FPS
from vast_jax.types import UserError

CROP = 256  # pixels, side of the crop
EYE_DISTANCE = 72.0  # pixels between the outer eye corners in the crop, clip median (spec 10)
EYE_MIDPOINT = (128.0, 112.0)  # pixels, where their midpoint comes to lie
OUTER_EYE_CORNERS = (33, 263)  # subject's right, left
MAX_GAP = round(0.4 * FPS)  # frames without a face that are bridged
MIN_RUN = 3  # frames in a row that make a face
MODEL_PATH = Path(__file__).parents[1] / "assets" / "face_landmarker.task"

# MediaPipe's topology. "Left" and "right" are the subject's.
LIPS = np.r_[
    0, 13, 14, 17, 37, 39, 40, 61, 78, 80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181,
    185, 191, 267, 269, 270, 291, 308, 310, 311, 312, 314, 317, 318, 321, 324, 375, 402, 405, 409, 415,
]  # fmt: skip
LEFT_EYE = np.r_[249, 263, 362, 373, 374, 380, 381, 382, 384, 385, 386, 387, 388, 390, 398, 466]
RIGHT_EYE = np.r_[7, 33, 133, 144, 145, 153, 154, 155, 157, 158, 159, 160, 161, 163, 173, 246]
CONTOUR = np.r_[
    10, 21, 54, 58, 67, 93, 103, 109, 127, 132, 136, 148, 149, 150, 152, 162, 172, 176,
    234, 251, 284, 288, 297, 323, 332, 338, 356, 361, 365, 377, 378, 379, 389, 397, 400, 454,
]  # fmt: skip
RIGHT_IRIS, LEFT_IRIS = np.arange(468, 473), np.arange(473, 478)  # centre first, then four points of the rim
INNER_LIPS = (13, 14)  # middle of the upper and of the lower lip: their distance is the lip gap

_CHOICES = {
    "largest": lambda faces: max(range(len(faces)), key=lambda i: _size(faces[i])),
    "left": lambda faces: min(range(len(faces)), key=lambda i: faces[i][:, 0].mean()),
    "right": lambda faces: max(range(len(faces)), key=lambda i: faces[i][:, 0].mean()),
}


class Landmarker:
    """MediaPipe's face landmarker in IMAGE mode: no memory between frames, hence no delay at a closing lip.

    A context manager. UserError: model file missing, or the system libraries MediaPipe wants.
    """

    def __init__(self, path: str | os.PathLike | None = None, num_faces: int = 4):
        path = Path(path or MODEL_PATH)
        if not path.is_file():
            raise UserError(f"the face landmarker {path} is missing: reinstall vast_jax")
        try:
            with _quiet():
                import mediapipe  # slow to import, and only needed here
                from mediapipe.tasks import python as tasks
                from mediapipe.tasks.python import vision

                options = vision.FaceLandmarkerOptions(
                    base_options=tasks.BaseOptions(model_asset_path=str(path)), num_faces=num_faces
                )
                self._landmarker = vision.FaceLandmarker.create_from_options(options)
        except (OSError, ImportError) as error:
            if "EGL" in str(error) or "GLES" in str(error):
                raise UserError(
                    "MediaPipe needs libEGL and libGLESv2: on Debian or Ubuntu `apt-get install libegl1 libgles2`"
                ) from error
            raise
        self._image = lambda rgb: mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._landmarker.close()

    def detect(self, rgb: np.ndarray) -> list[np.ndarray]:
        """uint8 [H, W, 3] -> one float32 [478, 3] a face: x, y, z in pixels of `rgb` (less z is nearer)."""
        height, width = rgb.shape[:2]
        result = self._landmarker.detect(self._image(np.ascontiguousarray(rgb)))
        scale = np.array([width, height, width], np.float32)
        return [np.array([(p.x, p.y, p.z) for p in face], np.float32)[:478] * scale for face in result.face_landmarks]


class SeenFace(NamedTuple):
    """One face over a whole video at 25 fps."""

    landmarks: np.ndarray  # [N, 478, 3] float32, source pixels; zeros where not seen
    seen: np.ndarray  # [N] bool
    size: tuple[int, int]  # width and height of the source, pixels


def follow_face(frames: Iterable[np.ndarray], landmarker: Landmarker, face: str = "largest") -> SeenFace:
    """Landmarks of one face through `frames` (uint8 [H, W, 3] each), which are not kept.

    face: "largest", "left" or "right" in the first frame that shows any; later the one nearest to where it was.
    After a gap too long to bridge the choice is made anew. UserError: unknown `face`.
    """
    if face not in _CHOICES:
        raise UserError(f"unknown face {face!r}: choose one of {', '.join(_CHOICES)}")
    rows, seen, size, previous, missed = [], [], (0, 0), None, 0
    for frame in frames:
        size = frame.shape[1], frame.shape[0]
        faces = _detect_near(landmarker, frame, previous)
        index = _nearest(faces, previous) if previous is not None else _CHOICES[face](faces) if faces else None
        seen.append(index is not None)
        missed = 0 if seen[-1] else missed + 1
        if seen[-1]:
            previous = faces[index]
        elif missed > MAX_GAP:
            previous = None
        rows.append(faces[index] if seen[-1] else np.zeros((478, 3), np.float32))
    return SeenFace(np.array(rows, np.float32).reshape(-1, 478, 3), _steady(np.array(seen, bool)), size)


def _steady(seen: np.ndarray) -> np.ndarray:
    """Without runs shorter than MIN_RUN: damaged frames show the detector a face now and then."""
    edges = np.flatnonzero(np.diff(np.r_[False, seen, False])).reshape(-1, 2)
    steady = np.zeros_like(seen)
    for start, stop in edges[edges[:, 1] - edges[:, 0] >= MIN_RUN]:
        steady[start:stop] = True
    return steady


def _detect_near(landmarker: Landmarker, frame: np.ndarray, previous: np.ndarray | None) -> list[np.ndarray]:
    """Faces of the whole frame; failing that, of a closer look, for the detector misses faces that are small in it."""
    faces = landmarker.detect(frame)
    height, width = frame.shape[:2]
    if faces or min(height, width) < 2 * CROP // 3:
        return faces
    if previous is not None:
        centre, side = previous[:, :2].mean(0), 3 * _size(previous)
        windows = [(*(centre - side / 2), side)]
    else:
        side = min(height, width) / 2
        windows = [(x, y, side) for y in (0, side / 2) for x in np.arange(0, width - side + 1, side / 2)]
    for left, top, side in windows:
        x0, y0, x1, y1 = (
            round(v) for v in (max(left, 0), max(top, 0), min(left + side, width), min(top + side, height))
        )
        if x1 - x0 < 32 or y1 - y0 < 32:
            continue
        offset = np.array([x0, y0, 0], np.float32)
        if faces := [face + offset for face in landmarker.detect(frame[y0:y1, x0:x1])]:
            return faces
    return []


def _size(face: np.ndarray) -> float:
    return float(np.ptp(face[:, :2], axis=0).max())


def _nearest(faces: list[np.ndarray], previous: np.ndarray) -> int | None:
    """The face within half a face of `previous` and of like size: else the picture was cut, or it left."""
    size = _size(previous)
    gaps = [np.linalg.norm((face - previous)[:, :2].mean(0)) / size + abs(np.log(_size(face) / size)) for face in faces]
    return int(np.argmin(gaps)) if gaps and min(gaps) < 0.5 else None


def bridge(landmarks: np.ndarray, seen: np.ndarray, max_gap: int = MAX_GAP) -> tuple[np.ndarray, np.ndarray]:
    """Interpolates gaps of at most `max_gap` frames between seen frames: ([N, 478, 3], usable [N])."""
    known = np.flatnonzero(seen)
    landmarks, usable = landmarks.copy(), seen.copy()
    for before, after in pairwise(known):
        if 1 < after - before <= max_gap + 1:
            weight = (np.arange(before + 1, after) - before)[:, None, None] / (after - before)
            landmarks[before + 1 : after] = (1 - weight) * landmarks[before] + weight * landmarks[after]
            usable[before + 1 : after] = True
    return landmarks, usable


def longest_run(usable: np.ndarray) -> slice:
    """The longest stretch of True; the first of equals; empty when there is none."""
    edges = np.flatnonzero(np.diff(np.r_[False, usable, False]))
    runs = edges.reshape(-1, 2)
    if not len(runs):
        return slice(0, 0)
    start, stop = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return slice(int(start), int(stop))


def crop_box(landmarks: np.ndarray) -> np.ndarray:
    """The fixed square of a clip (spec 10) from [N, 478, 3] source pixels: float32 (left, top, side), whole pixels.

    It may reach beyond the picture.
    """
    right, left = (landmarks[:, i, :2] for i in OUTER_EYE_CORNERS)
    scale = np.median(np.linalg.norm(left - right, axis=1)) / EYE_DISTANCE
    corner = np.median((left + right) / 2, axis=0) - scale * np.array(EYE_MIDPOINT)
    return np.round([*corner, max(scale * CROP, 8)]).astype(np.float32)


def to_crop(landmarks: np.ndarray, box: np.ndarray) -> np.ndarray:
    """[..., 478, 3] from source pixels to crop pixels (z scaled alike)."""
    return ((landmarks - np.array([box[0], box[1], 0])) * (CROP / box[2])).astype(np.float32)


def crop_frame(rgb: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The square `box` (left, top, side) of uint8 [H, W, 3] as uint8 [256, 256, 3]; edge pixels fill the outside."""
    left, top, side = (round(float(v)) for v in box)
    height, width = rgb.shape[:2]
    x0, y0 = np.clip([left, top], 0, [width - 1, height - 1])
    x1, y1 = np.clip([left + side, top + side], [x0 + 1, y0 + 1], [width, height])
    part = rgb[y0:y1, x0:x1]
    pad = [max(0, v) for v in (y0 - top, top + side - y1, x0 - left, left + side - x1)]
    if any(pad):
        part = cv2.copyMakeBorder(part, *pad, cv2.BORDER_REPLICATE)
        part = part[max(0, top - y0) :, max(0, left - x0) :][:side, :side]
    return cv2.resize(part, (CROP, CROP), interpolation=cv2.INTER_AREA if side > CROP else cv2.INTER_CUBIC)


@contextmanager
def _quiet():
    """MediaPipe's C++ side writes its start-up notes straight to file descriptor 2."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
