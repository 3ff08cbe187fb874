"""A made-up talker: clips of random pictures with a track of the real face model, and an avatar of random weights."""

import dataclasses
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
from random_params import random_weights

from vast_jax.data.clips import Clip, encode_jpeg
from vast_jax.face.model import landmarks, load_face_model
from vast_jax.face.rasterise import camera_of, place, project
from vast_jax.generation.avatar import TrainedAvatar
from vast_jax.models.renderer import Renderer
from vast_jax.parts import renderer_data
from vast_jax.types import FaceTrack

ACOUSTIC = SimpleNamespace(hash="acoustic")


def made_up_clip(name: str = "grid/s1/abc", frames: int = 6, seed: int = 0, shift: float = 0.0) -> Clip:
    """A face of about 110 x 160 pixels in the middle of noise; `shift` mm to the right over the clip."""
    model, rng = load_face_model(), np.random.default_rng(seed)
    track = FaceTrack(
        identity=np.zeros(len(model.identity_basis), np.float32),
        expression=rng.uniform(0, 0.3, (frames, len(model.expression_basis))).astype(np.float32),
        rotation=np.zeros((frames, 3), np.float32),
        translation=np.linspace([0, 0, 400], [shift, 0, 400], frames).astype(np.float32),
        gaze=np.zeros((frames, 4), np.float32),
        landmarks=np.zeros((frames, 478, 3), np.float32),
        valid=np.ones(frames, bool),
        crop=np.array([0, 0, 256], np.float32),
        source_size=np.array([256, 256], np.int32),
        focal=1.2 * 256,
        fps=25.0,
        face_model=model.hash,
    )
    points = landmarks(model, place(model, *track[:5]))
    track = track._replace(landmarks=project(points, camera_of(track)).astype(np.float32))
    pictures = rng.integers(0, 255, (frames, 32, 32, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    ppg = rng.dirichlet(np.ones(41), frames).astype(np.float32)
    speech = np.zeros(640 * frames, np.int16)
    return Clip(name, "s1", "", track, speech, True, ppg, ACOUSTIC.hash, [encode_jpeg(image) for image in pictures])


def made_up_avatar(clips, region: int = 176, **changes) -> TrainedAvatar:
    model, renderer = load_face_model(), Renderer((4, 4, 8), 4, textured=True)
    params = random_weights(renderer, *(jnp.zeros((1, 1, 16, 16, c)) for c in (10, 3, 1)), jnp.zeros((1, 1, 9, 41)))
    texture = renderer_data.texture_of_clips(model, clips)
    actor = TrainedAvatar.of(renderer, params["params"], clips, model, region, composite=True, texture=texture)
    return dataclasses.replace(actor, **changes)
