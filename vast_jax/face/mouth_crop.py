"""The mouth alone, upright and of one scale over a clip: what SyncNet and the lip reader see."""

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from vast_jax.face.landmarks import OUTER_EYE_CORNERS

MOUTH_CROP = 96  # pixels, side of the crop
MOUTH_SIDE = 4 / 3  # outer eye corners' distances: 96 pixels in the crop of `landmarks.EYE_DISTANCE`, no resampling
STEADY = 5.0  # frames of Gaussian smoothing: the crop follows the head, not the lips
LIP_CORNERS = (61, 291)  # subject's right, left


def mouth_crops(frames: np.ndarray, landmarks: np.ndarray, size: int = MOUTH_CROP) -> np.ndarray:
    """Crops the mouth of a clip, levelled by the eyes.

    Args:
      frames: [T, H, W, 3] uint8.
      landmarks: [T, 478, 2 or more] in pixels of the frames. Frames with a NaN (no face seen) are interpolated.
      size: of the crops, pixels.

    Returns:
      [T, size, size, 3] uint8. The middle between the lips' corners is the centre, the scale the clip's median.

    Raises:
      ValueError: no frame has landmarks.
    """
    right, left = (_bridged(landmarks[:, index, :2]) for index in OUTER_EYE_CORNERS)
    across = left - right
    scale = size / (MOUTH_SIDE * np.median(np.linalg.norm(across, axis=1)))
    across = gaussian_filter1d(across, STEADY, axis=0, mode="nearest")
    corners = _bridged(landmarks[:, LIP_CORNERS, :2].mean(1))
    centre = gaussian_filter1d(corners, STEADY, axis=0, mode="nearest")
    cosine, sine = (across / np.linalg.norm(across, axis=1, keepdims=True)).T * scale
    crops = []
    for frame, (x, y), c, s in zip(frames, centre, cosine, sine, strict=True):
        turn = np.array([[c, s], [-s, c]])
        shift = (size - 1) / 2 - turn @ (x, y)
        crops.append(
            cv2.warpAffine(
                frame, np.c_[turn, shift], (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        )
    return np.stack(crops)


def _bridged(points: np.ndarray) -> np.ndarray:
    """[T, 2] with NaN rows interpolated, held at the ends."""
    points = np.asarray(points, np.float64)
    seen = np.isfinite(points).all(1)
    if not seen.any():
        raise ValueError("no frame shows a face")
    at = np.arange(len(points))
    return np.stack([np.interp(at, at[seen], axis[seen]) for axis in points.T], 1)
