"""Face landmarks of a picture (MediaPipe, 478 a face) and the square crop that everything downstream sees."""

import os
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from vast_jax.types import CROP, UserError

EYE_DISTANCE = 72.0  # pixels between the outer eye corners in the crop, clip median (docs/paper.md, Crop)
EYE_MIDPOINT = (128.0, 112.0)  # pixels, where their midpoint comes to lie
OUTER_EYE_CORNERS = (33, 263)  # subject's right, left
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
MESH_LANDMARKS = 468  # the last ten are irises, which turn with the gaze
RIGHT_IRIS, LEFT_IRIS = np.arange(468, 473), np.arange(473, 478)  # centre first, then four points of the rim
INNER_LIPS = (13, 14)  # middle of the upper and of the lower lip: their distance is the lip gap


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


def crop_box(landmarks: np.ndarray) -> np.ndarray:
    """The fixed square of a clip from [N, 478, 3] source pixels: float32 (left, top, side), whole pixels.

    See docs/paper.md, Crop. It may reach beyond the picture.
    """
    right, left = (landmarks[:, i, :2] for i in OUTER_EYE_CORNERS)
    scale = np.median(np.linalg.norm(left - right, axis=1)) / EYE_DISTANCE
    corner = np.median((left + right) / 2, axis=0) - scale * np.array(EYE_MIDPOINT)
    return np.round([*corner, max(scale * CROP, 8)]).astype(np.float32)


def to_crop(landmarks: np.ndarray, box: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """[..., 478, 3] float32 from source pixels to crop pixels (z scaled alike), in `out` if given."""
    moved = np.subtract(np.asarray(landmarks, np.float32), np.array([box[0], box[1], 0], np.float32), out=out)
    moved *= np.float32(CROP / box[2])
    return moved


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
