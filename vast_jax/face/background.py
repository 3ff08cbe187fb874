"""The eroded background: the template's frame with the whole face region cut out (spec 5)."""

import cv2
import numpy as np

# Pixels at the 256 crop by which the hole exceeds the face, so that an opened jaw never meets the template's own chin.
GROW_DOWN, GROW_UP, GROW_SIDE = 20, 4, 8
JITTER_GROW, JITTER_SHIFT, JITTER_TURN = (
    8,
    4.0,
    5.0,
)  # training: up to so many pixels, pixels each way, degrees each way


def grow(face_mask: np.ndarray, down: int = GROW_DOWN, up: int = GROW_UP, side: int = GROW_SIDE) -> np.ndarray:
    """Dilates masks bool [..., H, W] by an ellipse with half-axes `side`, `up` and `down` pixels."""
    kernel = _half_axes_ellipse(down, up, side)
    # OpenCV's dilation reads the mirrored neighbourhood; the anchor is the pixel that grows.
    flat = np.ascontiguousarray(face_mask.reshape(-1, *face_mask.shape[-2:]), np.uint8)
    anchor = (side, down)
    grown = [cv2.dilate(mask, kernel[::-1, ::-1].copy(), anchor=anchor) for mask in flat]
    return np.stack(grown).astype(bool).reshape(face_mask.shape)


def erode(frame: np.ndarray, face_mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the grown face region out of frames.

    Args:
      frame: [..., H, W, 3] of any type in which 0 is the value of the hole.
      face_mask: bool [..., H, W], the raster of the whole face region.

    Returns:
      (background like `frame`, hole bool [..., H, W]).
    """
    hole = grow(face_mask)
    return cut(frame, hole), hole


def cut(frame: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Frames [..., H, W, 3] with 0 inside `hole` bool [..., H, W]."""
    return np.where(hole[..., None], np.zeros((), frame.dtype), frame)


def jitter(hole: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One random dilation, shift and rotation of a clip's holes bool [T, H, W], the same in every frame.

    In training only: the shape of the hole must not betray the mouth inside it (StableFace). The hole never gets
    smaller than it was, so the true face does not show at its edge.
    """
    radius = int(generator.integers(0, JITTER_GROW + 1))
    angle = generator.uniform(-JITTER_TURN, JITTER_TURN)
    shift = generator.uniform(-JITTER_SHIFT, JITTER_SHIFT, 2)
    height, width = hole.shape[-2:]
    rows, columns = np.nonzero(hole.any(0))
    centre = (float(columns.mean()), float(rows.mean())) if len(rows) else (width / 2, height / 2)
    matrix = cv2.getRotationMatrix2D(centre, angle, 1.0)
    matrix[:, 2] += shift
    grown = grow(hole, radius, radius, radius)
    turned = [cv2.warpAffine(mask.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST) for mask in grown]
    return np.stack(turned).astype(bool) | hole


def union_hole(face_masks: np.ndarray) -> np.ndarray:
    """One hole bool [H, W] for a whole clip from its face regions bool [N, H, W]: held-out protocol of spec 10."""
    return grow(np.any(face_masks, axis=0))


def _half_axes_ellipse(down: int, up: int, side: int) -> np.ndarray:
    """uint8 [up + 1 + down, 2 side + 1]: where a pixel grows to; it sits in row `up`, column `side`."""
    y, x = np.mgrid[-up : down + 1, -side : side + 1].astype(float)
    vertical = y / np.where(y > 0, max(down, 0.5), max(up, 0.5))
    return (vertical**2 + (x / max(side, 0.5)) ** 2 <= 1.0).astype(np.uint8)
