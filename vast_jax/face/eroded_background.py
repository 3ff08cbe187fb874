"""The eroded background: where the hole in a template's frames is, and the window around it (docs/paper.md, Renderer).

In a hole the frame is cut away and the renderer draws; around it the template's own pixels stay.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from vast_jax.face.model import FaceModel, vertices
from vast_jax.face.rasterise import camera_of, face_mask, place_track, project, rotation_matrix, triangles_of
from vast_jax.types import CROP, FaceTrack, subset

# Pixels at the 256 crop by which the hole exceeds the face, so that an opened jaw never meets the template's own chin.
GROW_DOWN, GROW_UP, GROW_SIDE = 20, 4, 8
JITTER_GROW, JITTER_SHIFT, JITTER_TURN = 8, 4.0, 5.0  # training: up to so many pixels, pixels and degrees each way
FEATHER = 6  # pixels outside the hole over which generated and real picture are blended
_HOLE_STEP = 3  # every so many frames are drawn for the hole: it is grown by more than a face moves between them
_LEEWAY = 0.75  # of a cell, by which the hole may be off the middle of its window
_CHUNK = 32  # frames whose vertices are in memory at once


def _fibonacci(count: int) -> np.ndarray:
    """Directions spread evenly over the sphere, [count, 3]."""
    z = 1 - (2 * np.arange(count) + 1) / count
    turn = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    return np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], 1).astype(np.float32)


_DIRECTIONS = _fibonacci(300)  # in which an envelope reaches as far as the face: to half a millimetre elsewhere
# Pixels around it that are open too: below, where a jaw opens wider than the template's; else little, for what lies
# beside the face has to be guessed there.
_DOWN, _UP, _SIDE = 14, 4, 4
_AROUND = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_MARGIN = np.stack([_SIDE * np.cos(_AROUND), np.sin(_AROUND) * np.where(np.sin(_AROUND) > 0, _DOWN, _UP)], 1).astype(
    np.float32
)


def grow(face_mask: np.ndarray, down: int = GROW_DOWN, up: int = GROW_UP, side: int = GROW_SIDE) -> np.ndarray:
    """Dilates masks bool [..., H, W] by an ellipse with half-axes `side`, `up` and `down` pixels."""
    kernel = _half_axes_ellipse(down, up, side)
    # OpenCV's dilation reads the mirrored neighbourhood; the anchor is the pixel that grows.
    flat = np.ascontiguousarray(face_mask.reshape(-1, *face_mask.shape[-2:]), np.uint8)
    anchor = (side, down)
    grown = [cv2.dilate(mask, kernel[::-1, ::-1].copy(), anchor=anchor) for mask in flat]
    return np.stack(grown).astype(bool).reshape(face_mask.shape)


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
    """One hole bool [H, W] for a whole clip from its face regions bool [N, H, W]: docs/paper.md, Protocol."""
    return grow(np.any(face_masks, axis=0))


def _half_axes_ellipse(down: int, up: int, side: int) -> np.ndarray:
    """uint8 [up + 1 + down, 2 side + 1]: where a pixel grows to; it sits in row `up`, column `side`."""
    y, x = np.mgrid[-up : down + 1, -side : side + 1].astype(float)
    vertical = y / np.where(y > 0, max(down, 0.5), max(up, 0.5))
    return (vertical**2 + (x / max(side, 0.5)) ** 2 <= 1.0).astype(np.uint8)


class Window(NamedTuple):
    """The square of the 256 crop that the renderer sees and draws."""

    top: int
    left: int
    size: int

    def cut(self, images: np.ndarray) -> np.ndarray:
        """The window of images [..., 256, 256, C]: a view [..., size, size, C]."""
        return images[..., self.top : self.top + self.size, self.left : self.left + self.size, :]


def hole_of(model: FaceModel, track: FaceTrack) -> np.ndarray:
    """The union of a clip's holes over its frames as they are, bool [256, 256] (docs/paper.md, Protocol)."""
    union = np.zeros((CROP, CROP), bool)
    for start in range(0, len(track.valid), _CHUNK * _HOLE_STEP):
        part = subset(track, slice(start, start + _CHUNK * _HOLE_STEP, _HOLE_STEP))
        union |= face_mask(model, place_track(model, part, part.expression), camera_of(part)).any(0)
    return union_hole(union[None])


def envelope_of(model: FaceModel, track: FaceTrack) -> np.ndarray:
    """The face of a clip with all that it does, rigid: points [P, 3] about it in the head's frame, mm.

    The hull of these posed in a frame is where the face may be, whatever the mouth does: it tells nothing of the words.
    """
    face = np.unique(triangles_of(model, "face"))
    furthest = np.full(len(_DIRECTIONS), -np.inf, np.float32)
    points = np.zeros((len(_DIRECTIONS), 3), np.float32)
    for start in range(0, len(track.valid), _CHUNK * _HOLE_STEP):
        expression = track.expression[start : start + _CHUNK * _HOLE_STEP : _HOLE_STEP]
        for seen in vertices(model, track.identity, expression)[:, face]:  # a frame's products fit the cache
            reach = _DIRECTIONS @ seen.T
            at = reach.argmax(1)
            most = np.take_along_axis(reach, at[:, None], 1)[:, 0]
            further = most > furthest
            furthest[further], points[further] = most[further], seen[at[further]]
    return points


def holes_of(envelope: np.ndarray, track: FaceTrack) -> np.ndarray:
    """The hole in each frame of a track, bool [N, 256, 256]: the posed envelope and a margin around it."""
    matrix = rotation_matrix(track.rotation).astype(np.float32)
    placed = envelope @ matrix.swapaxes(1, 2) + track.translation[:, None]
    holes = np.zeros((len(placed), CROP, CROP), np.uint8)
    for hole, points in zip(holes, project(placed, camera_of(track))[..., :2].astype(np.float32), strict=True):
        grown = cv2.convexHull(points) + _MARGIN  # an ellipse around every corner
        cv2.fillConvexPoly(hole, cv2.convexHull(grown.reshape(-1, 2).round().astype(np.int32)), 1)
    return holes.astype(bool)


def window_around(hole: np.ndarray, size: int) -> Window:
    """The window of `size` pixels in whose middle the hole lies, as far as the crop's edges allow."""
    if size >= CROP or not hole.any():
        return Window((CROP - size) // 2, (CROP - size) // 2, size)
    corner = [(np.flatnonzero(hole.any(axis))[[0, -1]].sum() + 1 - size) // 2 for axis in (1, 0)]
    return Window(*(int(np.clip(value, 0, CROP - size)) for value in corner), size)


def views(
    envelope: np.ndarray, frames: Iterable[FaceTrack], size: int, cell: int
) -> Iterator[tuple[FaceTrack, np.ndarray, Window]]:
    """The hole in each of a sequence of poses (tracks of a frame), and the window of `size` pixels that follows it.

    Windows lie `cell` pixels apart, so that what is remembered of one can be moved to the next, and stay as long as
    the hole is about in the middle.

    Yields:
      The pose, its hole uint8 [size, size, 1] with a soft edge (`soften`), its window.
    """
    corner = None
    for pose in frames:
        hole = holes_of(envelope, pose)[0]
        wanted = np.array(window_around(hole, size)[:2])
        nearest = np.minimum(np.round(wanted / cell).astype(int) * cell, CROP - size)
        corner = nearest if corner is None else np.where(abs(wanted - corner) > _LEEWAY * cell, nearest, corner)
        window = Window(int(corner[0]), int(corner[1]), size)
        yield pose, window.cut(soften(closed(hole, window))), window


def cut_off(hole: np.ndarray, window: Window) -> float:
    """The share of a hole bool [256, 256] that the window does not hold."""
    return 1.0 - float(window.cut(hole[..., None]).sum()) / max(1, int(hole.sum()))


def closed(hole: np.ndarray, window: Window) -> np.ndarray:
    """The hole without what lies so near the window's edge that its own would be cut off: there the template stays."""
    if window.size >= CROP:
        return hole
    edge = FEATHER + 1
    inside = Window(window.top + edge, window.left + edge, window.size - 2 * edge)
    kept = np.zeros_like(hole)
    inside.cut(kept[..., None])[:] = inside.cut(hole[..., None])
    return kept


def soften(hole: np.ndarray) -> np.ndarray:
    """A hole bool [256, 256] with a soft edge, uint8 [256, 256, 1]: 255 inside, falling to 0 over `FEATHER` pixels.

    The edge lies outside the hole, for inside it the template must not be seen.
    """
    full = hole.astype(np.uint8) * 255
    mean = cv2.blur(full, (2 * FEATHER + 1, 2 * FEATHER + 1), borderType=cv2.BORDER_CONSTANT).astype(np.uint16)
    return np.maximum(full, np.minimum(2 * mean, 254)).astype(np.uint8)[..., None]  # 255 is the hole alone
