"""Synthetic clips on disk: a video with its made-up speech, and beside it the truth about every frame."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vast_jax import media
from vast_jax.audio import SAMPLE_RATE
from vast_jax.face.landmarks import crop_box, to_crop
from vast_jax.face.model import FaceModel
from vast_jax.face.overlay import landmarks_in_camera
from vast_jax.face.rasterise import project
from vast_jax.files import atomic_path
from vast_jax.synthesis.rendering import render
from vast_jax.synthesis.scene import Scene
from vast_jax.synthesis.sound import voice
from vast_jax.synthesis.speech import Phone
from vast_jax.types import FaceTrack, UserError

METADATA = {
    "title": "Synthetic talking head",
    "comment": media.AI_GENERATED["comment"],
    "description": json.dumps({"ai_generated": True, "generator": "vast_jax.synthesis"}),
}


class Truth(NamedTuple):
    """What is exactly known about a clip of N frames."""

    track: FaceTrack  # as a perfect tracker would return it, with the true focal length
    landmarks: np.ndarray  # [N, 478, 2] float32, those of a perfect detector, in pixels of the picture
    phones: tuple[Phone, ...]


def truth(scene: Scene, model: FaceModel) -> Truth:
    """The truth about a scene. Its vertices: `face.rasterise.place(model, *truth.track[:5])`, which wants them all."""
    count = len(scene.expression)
    width, height = scene.size
    track = FaceTrack(
        identity=scene.identity,
        expression=scene.expression,
        rotation=scene.rotation,
        translation=scene.translation,
        gaze=scene.gaze,
        landmarks=np.zeros((count, 478, 3), np.float32),
        valid=np.ones(count, bool),
        crop=np.array([0, 0, max(width, height)], np.float32),
        source_size=np.array([width, height], np.int32),
        focal=float(scene.focal),
        fps=float(media.FPS),
        face_model=model.hash,
    )
    points = project(landmarks_in_camera(model, track), scene.camera)
    depth = points[..., 2] - scene.translation[:, None, 2]  # MediaPipe's z: relative, scaled like x
    seen = np.concatenate([points[..., :2], (depth * scene.focal / scene.translation[:, None, 2])[..., None]], -1)
    box = crop_box(seen)
    return Truth(track._replace(landmarks=to_crop(seen, box), crop=box), seen[..., :2].astype(np.float32), scene.phones)


def speech(scene: Scene) -> np.ndarray:
    """The scene's sound, float32 [640 N] in [-1, 1] at 16 kHz."""
    return voice(scene.phones, scene.seconds, scene.pitch, np.random.default_rng(scene.seed))


def write_clip(path: str | os.PathLike, scene: Scene, model: FaceModel) -> Path:
    """Writes the video `path` (.mp4) with its sound, and the truth beside it; returns the truth's path (.npz).

    Raises:
      UserError: the name does not end in .mp4, or ffmpeg's complaint.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise UserError(f"{path}: a clip's name must end in .mp4")
    sound = speech(scene), SAMPLE_RATE
    media.write_video(path, render(scene, model), scene.size, sound, METADATA, crf=scene.sensor.crf)
    save_truth(path.with_suffix(".npz"), truth(scene, model))
    return path.with_suffix(".npz")


def save_truth(path: str | os.PathLike, truth: Truth) -> None:
    """Writes a truth as .npz: the track's fields by their names, `picture_landmarks`, and the phones."""
    arrays = truth.track._asdict() | {"picture_landmarks": truth.landmarks}
    arrays["phone_names"] = np.array([phone.name for phone in truth.phones])
    arrays["phone_times"] = np.array([phone[1:] for phone in truth.phones], np.float64).reshape(-1, 2)
    with atomic_path(path) as part:
        np.savez_compressed(part, **arrays)


def load_truth(path: str | os.PathLike) -> Truth:
    """What `save_truth` wrote. UserError: missing or not such a file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            value = {key: file[key] if file[key].ndim else file[key].item() for key in file.files}
        names, times = value.pop("phone_names"), value.pop("phone_times")
        phones = tuple(Phone(str(name), *map(float, time)) for name, time in zip(names, times, strict=True))
        landmarks = value.pop("picture_landmarks")
        return Truth(FaceTrack(**value), landmarks, phones)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise UserError(f"{path} is not the truth about a synthetic clip ({error}): make it anew") from error
