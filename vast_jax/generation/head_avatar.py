"""The built-in avatar: the face model itself, smooth-shaded, so that nobody needs footage to begin."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import numpy as np
from safetensors.numpy import load_file

from vast_jax.animation.curves import Curves
from vast_jax.face.model import FaceModel
from vast_jax.face.rasterise import Camera, place
from vast_jax.face.shading import shade
from vast_jax.generation.generate import style_of
from vast_jax.generation.performance import Models, Performance, loop
from vast_jax.generation.prompt import DEMO_STYLE, read_prompt
from vast_jax.media import FPS
from vast_jax.types import CROP

SIZE = 512  # pixels, width and height
# A portrait lens that holds the whole head: focal length in pixels of a 256 crop, distance in mm.
_CAMERA, _DISTANCE = Camera(focal=2.7 * CROP, cx=CROP / 2, cy=0.5 * CROP), 900.0


class HeadAvatar:
    """The mean head, with the small head movement of a real talker (`assets/head_motion.safetensors`)."""

    name = "the built-in head"
    footage_range = None

    def __init__(self, face_model: FaceModel, size: int = SIZE, motion: Mapping[str, np.ndarray] | None = None):
        self.model, self.size = face_model, (size, size)
        self.identity = np.zeros(len(face_model.identity_basis), np.float32)
        self.motion = motion or load_file(str(resources.files("vast_jax") / "assets" / "head_motion.safetensors"))

    def own_style(self, models: Models) -> np.ndarray:
        """That of the demo, which is neutral."""
        return style_of(models, read_prompt(DEMO_STYLE, models.face, models.acoustic))

    def moving_as(self, curves: Curves) -> "HeadAvatar":
        """The head as curves move it, or with its own movement where they say nothing of head and gaze."""
        if not (curves.rotation.any() or curves.gaze.any()):
            return self
        motion = {name: getattr(curves, name) for name in ("rotation", "translation", "gaze")}
        return HeadAvatar(self.model, self.size[0], motion)

    def movement(self, performance: Performance) -> tuple[np.ndarray, Curves]:
        """The mean identity, and all that is seen."""
        at = loop(len(self.motion["rotation"]), len(performance.expression))
        shown = (self.motion[name][at] for name in ("rotation", "translation", "gaze"))
        return self.identity, Curves.of(performance.expression, *shown)

    def frames(self, performance: Performance) -> Iterator[np.ndarray]:
        """Yields T frames, uint8 [size, size, 3], a second's worth of memory at a time."""
        n_frames = len(performance.expression)
        order = loop(len(self.motion["rotation"]), n_frames)
        cores = os.cpu_count() or 1
        with ThreadPoolExecutor(cores) as pool:  # shading is compiled code that leaves the interpreter free
            for start in range(0, n_frames, FPS):
                at = order[start : start + FPS]
                vertices = place(
                    self.model,
                    self.identity,
                    performance.expression[start : start + FPS],
                    self.motion["rotation"][at],
                    self.motion["translation"][at] + np.array([0, 0, _DISTANCE], np.float32),
                    self.motion["gaze"][at],
                )
                for pictures in pool.map(self._shade, np.array_split(vertices, cores)):
                    yield from pictures

    def _shade(self, vertices: np.ndarray) -> np.ndarray:
        return shade(self.model, vertices, _CAMERA, self.size[0])
