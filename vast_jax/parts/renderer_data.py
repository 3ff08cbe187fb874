"""What the renderer learns from: windows of one person's clips, with the mesh images drawn on the fly."""

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from vast_jax.audio import ppg_windows
from vast_jax.data import pipeline
from vast_jax.data.clips import Clip
from vast_jax.face.eroded_background import Window, envelope_of, holes_of, jitter, soften
from vast_jax.face.mesh_image import draw_mesh, measure_texture
from vast_jax.face.model import FaceModel, load_face_model
from vast_jax.face.rasterise import Camera, camera_of, place_track
from vast_jax.types import CROP, UserError, subset

MARGINS = (24, 10, 10)  # pixels around the landmarks of mouth and eyes: chin and cheeks speak too
SHIFT = 16  # pixels by which mouth or eyes may lie off the middle of a patch
TEXTURE_FRAMES = 300  # that a person's colours are measured on
_LIPS = (0, 17, 37, 61, 84, 267, 291, 314)  # MediaPipe: corners, and what is highest and lowest; so of the eyes
_FEATURES = (_LIPS, (33, 133, 145, 159), (263, 362, 374, 386))


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


def texture_of_clips(model: FaceModel, clips: Sequence[Clip], frames: int = TEXTURE_FRAMES) -> np.ndarray:
    """A person's colours on the mesh (`measure_texture`), of at most so many frames spread over the clips."""
    all_frames = [(clip, t) for clip in clips for t in np.flatnonzero(clip.track.valid)]
    chosen = [all_frames[i] for i in np.linspace(0, len(all_frames) - 1, min(frames, len(all_frames))).astype(int)]

    def seen() -> Iterator[tuple[np.ndarray, np.ndarray, Camera]]:
        for clip, t in chosen:
            track = subset(clip.track, [t])
            yield clip.frame(t), place_track(model, track, track.expression)[0], camera_of(track)

    return measure_texture(model, seen())


@lru_cache(maxsize=4)
def texture_of(data_dir: str, person: str | None, face_model: str | None) -> np.ndarray:
    """The person's own colours on the mesh (`texture_of_clips`), measured on the training clips."""
    return texture_of_clips(load_face_model(face_model), footage(data_dir, "train", person, face_model))


class Examples:
    """Makes an example of a window of a clip, cut to `patch` pixels (H = W): a share of them around the mouth, of the
    others as many around the eyes as anywhere in the hole.

    mesh uint8 [T, H, W, 7], with a texture 10, and frames uint8 [T, H, W, 3]; hole uint8 [T, H, W, 1] with a soft
    edge, 255 where it is open; ppg float32 [T, 9, 41]; boxes int32 [3, 4] (top, left, bottom, right) of the mouth and
    of either eye over the window, which may lie outside.
    """

    def __init__(
        self, model: FaceModel, frames: int, patch: int, texture: np.ndarray | None = None, mouth_share: float = 0.5
    ):
        self.model, self.frames, self.patch, self.texture, self.mouth_share = model, frames, patch, texture, mouth_share
        self._envelopes: dict[str, np.ndarray] = {}

    def envelope(self, clip: Clip) -> np.ndarray:
        """Of the clip's face (`envelope_of`), measured once."""
        if clip.name not in self._envelopes:
            self._envelopes[clip.name] = envelope_of(self.model, clip.track)
        return self._envelopes[clip.name]

    def __call__(self, window: pipeline.Window, rng: np.random.Generator) -> pipeline.Example:
        clip, length = window.clip, self.frames
        start = window.start + int(rng.integers(-(length // 2), length // 2 + 1))
        start = int(np.clip(start, 0, len(clip) - length))
        at = slice(start, start + length)
        if not clip.track.valid[at].all():
            at = slice(window.start, window.stop)
        track = subset(clip.track, at)
        holes = jitter(holes_of(self.envelope(clip), track), rng)
        features = zip(_FEATURES, MARGINS, strict=True)
        boxes = np.stack([_box(track.landmarks[:, points, :2], margin) for points, margin in features])
        view = self._view(holes.any(0), boxes, rng)
        return {
            "mesh": np.ascontiguousarray(view.cut(draw_mesh(self.model, track, track.expression, self.texture))),
            "frames": np.ascontiguousarray(view.cut(clip.frames(at.start, at.stop))),
            "hole": np.stack([view.cut(soften(hole)) for hole in holes]),
            "ppg": ppg_windows(clip.ppg)[at].astype(np.float32),
            "boxes": boxes - np.array([view.top, view.left] * 2, np.int32),
        }

    def _view(self, hole: np.ndarray, boxes: np.ndarray, rng: np.random.Generator) -> Window:
        """Which patch of the crop is looked at."""
        rows, columns = np.nonzero(hole)
        anywhere = (rows.min(), columns.min(), rows.max(), columns.max())
        others = (1 - self.mouth_share) / 2
        chosen = (boxes[0], boxes[1:].mean(0), None)[rng.choice(3, p=(self.mouth_share, others, others))]
        if chosen is None:
            middle = rng.uniform(anywhere[:2], anywhere[2:])
        else:
            middle = (chosen[:2] + chosen[2:]) / 2 + rng.uniform(-SHIFT, SHIFT, 2)
        corner = np.clip((middle - self.patch / 2).round(), 0, CROP - self.patch).astype(int)
        return Window(int(corner[0]), int(corner[1]), self.patch)


def _box(points: np.ndarray, margin: int) -> np.ndarray:
    """Around points [T, n, 2] of all frames: top, left, bottom, right, int32."""
    low, high = points.min((0, 1)) - margin, points.max((0, 1)) + margin
    return np.array([low[1], low[0], high[1], high[0]]).round().astype(np.int32)


def training_windows(clips: Sequence[Clip], frames: int) -> list[pipeline.Window]:
    """The windows of `frames` frames of all clips that are long enough.

    Raises:
      UserError: there is none.
    """
    found = pipeline.windows([clip for clip in clips if len(clip) >= frames], frames)
    if not found:
        raise UserError(f"none of the {len(clips)} clips has {frames} frames: try --part.clip-frames 4")
    return found
