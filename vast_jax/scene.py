"""What the renderer is shown of a clip: where the hole is, the window around it, mesh images and PPG windows."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vast_jax.data.clips import Clip
from vast_jax.face.background import union_hole
from vast_jax.face.mesh_image import measure_texture, mesh_images
from vast_jax.face.model import FaceModel, vertices
from vast_jax.face.rasterise import SIZE, Camera, camera_of, face_mask, place, project, rotation_matrix, triangles_of
from vast_jax.types import FaceTrack

FEATHER = 6  # pixels outside the hole over which generated and real picture are blended
PPG_FRAMES = 9  # of the PPG window around a frame: 0.36 s
TEXTURE_FRAMES = 300  # that a person's colours are measured on
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


class Window(NamedTuple):
    """The square of the 256 crop that the renderer sees and draws."""

    top: int
    left: int
    size: int

    def cut(self, images: np.ndarray) -> np.ndarray:
        """The window of images [..., 256, 256, C]: a view [..., size, size, C]."""
        return images[..., self.top : self.top + self.size, self.left : self.left + self.size, :]


def subset(track: FaceTrack, frames: Sequence[int] | np.ndarray | slice) -> FaceTrack:
    """The track of some frames, in that order."""
    fields = ("expression", "rotation", "translation", "gaze", "landmarks", "valid")
    return track._replace(**{name: getattr(track, name)[frames] for name in fields})


def poses(track: FaceTrack, order: Iterable[int] | None = None) -> Iterator[FaceTrack]:
    """A track frame by frame, each as a track of one: in its own order, or in another."""
    return (subset(track, [i]) for i in (range(len(track.valid)) if order is None else order))


def draw_mesh(
    model: FaceModel, track: FaceTrack, expression: np.ndarray, texture: np.ndarray | None = None
) -> np.ndarray:
    """Mesh images uint8 [N, 256, 256, 7] of the track's N poses with another expression [N, D]; with a texture 10."""
    return mesh_images(model, _place(model, track, expression), camera_of(track), texture)


def texture_of(model: FaceModel, clips: Sequence[Clip], frames: int = TEXTURE_FRAMES) -> np.ndarray:
    """A person's colours on the mesh (`measure_texture`), of at most so many frames spread over the clips."""
    all_frames = [(clip, t) for clip in clips for t in np.flatnonzero(clip.track.valid)]
    chosen = [all_frames[i] for i in np.linspace(0, len(all_frames) - 1, min(frames, len(all_frames))).astype(int)]

    def seen() -> Iterator[tuple[np.ndarray, np.ndarray, Camera]]:
        for clip, t in chosen:
            track = subset(clip.track, [t])
            yield clip.frame(t), _place(model, track, track.expression)[0], camera_of(track)

    return measure_texture(model, seen())


def hole_of(model: FaceModel, track: FaceTrack) -> np.ndarray:
    """The union of a clip's holes over its frames as they are, bool [256, 256]: what is measured (spec 10)."""
    union = np.zeros((SIZE, SIZE), bool)
    for start in range(0, len(track.valid), _CHUNK * _HOLE_STEP):
        part = subset(track, slice(start, start + _CHUNK * _HOLE_STEP, _HOLE_STEP))
        union |= face_mask(model, _place(model, part, part.expression), camera_of(part)).any(0)
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
    holes = np.zeros((len(placed), SIZE, SIZE), np.uint8)
    for hole, points in zip(holes, project(placed, camera_of(track))[..., :2].astype(np.float32), strict=True):
        grown = cv2.convexHull(points) + _MARGIN  # an ellipse around every corner
        cv2.fillConvexPoly(hole, cv2.convexHull(grown.reshape(-1, 2).round().astype(np.int32)), 1)
    return holes.astype(bool)


def window_around(hole: np.ndarray, size: int) -> Window:
    """The window of `size` pixels in whose middle the hole lies, as far as the crop's edges allow."""
    if size >= SIZE or not hole.any():
        return Window((SIZE - size) // 2, (SIZE - size) // 2, size)
    corner = [(np.flatnonzero(hole.any(axis))[[0, -1]].sum() + 1 - size) // 2 for axis in (1, 0)]
    return Window(*(int(np.clip(value, 0, SIZE - size)) for value in corner), size)


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
        nearest = np.minimum(np.round(wanted / cell).astype(int) * cell, SIZE - size)
        corner = nearest if corner is None else np.where(abs(wanted - corner) > _LEEWAY * cell, nearest, corner)
        window = Window(int(corner[0]), int(corner[1]), size)
        yield pose, window.cut(soften(closed(hole, window))), window


def cut_off(hole: np.ndarray, window: Window) -> float:
    """The share of a hole bool [256, 256] that the window does not hold."""
    return 1.0 - float(window.cut(hole[..., None]).sum()) / max(1, int(hole.sum()))


def closed(hole: np.ndarray, window: Window) -> np.ndarray:
    """The hole without what lies so near the window's edge that its own would be cut off: there the template stays."""
    if window.size >= SIZE:
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


def ppg_windows(ppg: np.ndarray) -> np.ndarray:
    """PPG [N, A] to the windows around each frame, [N, PPG_FRAMES, A], a view; the ends repeat their frame."""
    reach = PPG_FRAMES // 2
    padded = np.pad(ppg, ((reach, reach), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, PPG_FRAMES, axis=0).swapaxes(1, 2)


def _place(model: FaceModel, track: FaceTrack, expression: np.ndarray) -> np.ndarray:
    return place(model, track.identity, expression, track.rotation, track.translation, track.gaze)
