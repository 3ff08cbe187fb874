"""What the renderer learns from: windows of one person's clips, with the mesh images drawn on the fly."""

import os
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from vast_jax import scene
from vast_jax.data import pipeline
from vast_jax.data.clips import Clip
from vast_jax.face.background import GROW_DOWN, GROW_SIDE, GROW_UP, jitter
from vast_jax.face.model import FaceModel, load_face_model
from vast_jax.types import UserError

MARGIN = 10  # pixels around the landmarks of mouth and eyes
LARGEST_EXTENT = 1.1  # of a hole, in regions
_LIPS = (0, 17, 37, 61, 84, 267, 291, 314)  # MediaPipe: corners, and what is highest and lowest; so of the eyes
_FEATURES = (_LIPS, (33, 133, 145, 159), (263, 362, 374, 386))
_BROWS, _CHIN = (105, 334), 152


def footage(
    data_dir: str | os.PathLike, split: str, person: str | None, face_model: str | None = None, least: int = 1
) -> Sequence[Clip]:
    """The clips of a split that show a person; of whoever has most frames to train on, if none is named.

    `face_model` is the file of the face model that the data was prepared with; None: the shipped one.

    Raises:
      UserError: fewer than `least` such clips, or clips tracked with another face model.
    """
    clips = _clips(os.fspath(data_dir), split, face_model)
    if person is None:
        frames: dict[str, int] = {}
        for clip in _clips(os.fspath(data_dir), "train", face_model):
            frames[clip.person] = frames.get(clip.person, 0) + len(clip)
        person = max(sorted(frames), key=frames.__getitem__)
    kept = [clip for clip in clips if clip.person == person and clip.track.valid.any()]
    if len(kept) < least:
        people = ", ".join(sorted({clip.person for clip in clips})[:8])
        raise UserError(f"{data_dir} has no {split} clip of the person {person!r} (there are: {people})")
    return kept


@lru_cache(maxsize=4)
def _clips(data_dir: str, split: str, face_model: str | None) -> Sequence[Clip]:
    try:
        clips = pipeline.open_clips(data_dir, split)
    except UserError:
        if split == "train":
            raise
        return ()  # all of a user's own footage may be for training
    if clips[0].track.face_model != load_face_model(face_model).hash:
        raise UserError(f"{data_dir} was prepared with another face model: prepare it again, or use --face-model")
    return clips


@lru_cache(maxsize=4)
def texture_of(data_dir: str, person: str | None, face_model: str | None) -> np.ndarray:
    """The person's own colours on the mesh (`scene.texture_of`), measured on the training clips."""
    return scene.texture_of(load_face_model(face_model), footage(data_dir, "train", person, face_model))


class Examples:
    """Makes an example of a window of a clip, cut to `region` pixels (H = W) around the clip's hole:

    mesh uint8 [T, H, W, 7], with a texture 10, and frames uint8 [T, H, W, 3]; hole uint8 [H, W, 1] with a soft edge,
    255 where it is open; ppg float32 [T, 9, 41]; boxes int32 [3, 4] (top, left, bottom, right) of the mouth and of
    either eye over the window.
    """

    def __init__(self, model: FaceModel, frames: int, region: int, texture: np.ndarray | None = None):
        self.model, self.frames, self.region, self.texture = model, frames, region, texture
        self._holes: dict[str, np.ndarray] = {}

    def hole(self, clip: Clip) -> np.ndarray:
        """The clip's hole, bool [256, 256], drawn once."""
        if clip.name not in self._holes:
            self._holes[clip.name] = np.packbits(scene.hole_of(self.model, clip.track))
        return np.unpackbits(self._holes[clip.name]).reshape(scene.SIZE, scene.SIZE).astype(bool)

    def __call__(self, window: pipeline.Window, rng: np.random.Generator) -> pipeline.Example:
        clip, length = window.clip, self.frames
        start = window.start + int(rng.integers(-(length // 2), length // 2 + 1))
        start = int(np.clip(start, 0, len(clip) - length))
        at = slice(start, start + length)
        if not clip.track.valid[at].all():
            at = slice(window.start, window.stop)
        track = scene.subset(clip.track, at)
        whole = self.hole(clip)
        view = scene.window_around(whole, self.region)
        return {
            "mesh": np.ascontiguousarray(view.cut(scene.draw_mesh(self.model, track, track.expression, self.texture))),
            "frames": np.ascontiguousarray(view.cut(clip.frames(at.start, at.stop))),
            "hole": scene.soften(jitter(whole[None], rng)[0], view),
            "ppg": scene.ppg_windows(clip.ppg)[at].astype(np.float32),
            "boxes": np.stack([_box(track.landmarks[:, points, :2] - (view.left, view.top)) for points in _FEATURES]),
        }


def _box(points: np.ndarray) -> np.ndarray:
    """Around points [T, n, 2] of all frames: top, left, bottom, right, int32."""
    low, high = points.min((0, 1)) - MARGIN, points.max((0, 1)) + MARGIN
    return np.array([low[1], low[0], high[1], high[0]]).round().astype(np.int32)


def training_windows(clips: Sequence[Clip], frames: int, region: int) -> list[pipeline.Window]:
    """The windows of `frames` frames of all clips that are long enough and whose hole fits the region.

    Raises:
      UserError: there is none.
    """
    long = [clip for clip in clips if len(clip) >= frames]
    found = pipeline.windows([clip for clip in long if _extent(clip) <= LARGEST_EXTENT * region], frames)
    if not found:
        reason = f"keeps to a region of {region} pixels" if long else f"has {frames} frames"
        raise UserError(f"none of the {len(clips)} clips {reason}: try --part.region 256 or --part.clip-frames 4")
    return found


def _extent(clip: Clip) -> float:
    """Pixels that the hole spans about, by the landmarks alone, which costs nothing."""
    points = clip.track.landmarks[clip.track.valid]
    width = points[..., 0].max() - points[..., 0].min() + 2 * GROW_SIDE
    height = points[:, _CHIN, 1].max() - points[:, _BROWS, 1].min() + GROW_UP + GROW_DOWN
    return float(max(width, height))
