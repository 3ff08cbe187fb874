"""What the renderer is shown of a clip: where the hole is, the window around it, mesh images and PPG windows."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vast_jax.data.clips import Clip
from vast_jax.face.background import union_hole
from vast_jax.face.mesh_image import measure_texture, mesh_images
from vast_jax.face.model import FaceModel
from vast_jax.face.rasterise import SIZE, Camera, camera_of, face_mask, place
from vast_jax.types import FaceTrack

FEATHER = 6  # pixels outside the hole over which generated and real picture are blended
PPG_FRAMES = 9  # of the PPG window around a frame: 0.36 s
TEXTURE_FRAMES = 300  # that a person's colours are measured on
_HOLE_STEP = 3  # every so many frames are drawn for the hole: it is grown by more than a face moves between them
_CHUNK = 32  # frames whose vertices are in memory at once


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
    """The hole of a clip, bool [256, 256]: the union over its frames, so that its shape tells nothing of the mouth."""
    union = np.zeros((SIZE, SIZE), bool)
    for start in range(0, len(track.valid), _CHUNK * _HOLE_STEP):
        part = subset(track, slice(start, start + _CHUNK * _HOLE_STEP, _HOLE_STEP))
        union |= face_mask(model, _place(model, part, part.expression), camera_of(part)).any(0)
    return union_hole(union[None])


def window_around(hole: np.ndarray, size: int) -> Window:
    """The window of `size` pixels in whose middle the hole lies, as far as the crop's edges allow."""
    if size >= SIZE or not hole.any():
        return Window((SIZE - size) // 2, (SIZE - size) // 2, size)
    corner = [(np.flatnonzero(hole.any(axis))[[0, -1]].sum() + 1 - size) // 2 for axis in (1, 0)]
    return Window(*(int(np.clip(value, 0, SIZE - size)) for value in corner), size)


def cut_off(hole: np.ndarray, window: Window) -> float:
    """The share of a hole bool [256, 256] that the window does not hold."""
    return 1.0 - float(window.cut(hole[..., None]).sum()) / max(1, int(hole.sum()))


def soften(hole: np.ndarray, window: Window) -> np.ndarray:
    """The hole in the window with a soft edge, uint8 [size, size, 1]: 255 inside, falling to 0 over `FEATHER` pixels.

    The edge lies outside the hole, for inside it the template must not be seen. A window smaller than the crop cuts
    the hole off before its own edge, where the template takes over.
    """
    hole = window.cut(hole[..., None])[..., 0].copy()
    edge = FEATHER + 1
    if window.size < SIZE:
        hole[:edge] = hole[-edge:] = hole[:, :edge] = hole[:, -edge:] = False
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
