"""The built-in avatar: the face model itself, smooth-shaded, so that nobody needs footage to begin."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import numpy as np
from safetensors.numpy import load_file

from vast_jax.face.model import FaceModel
from vast_jax.face.rasterise import SIZE as CROP
from vast_jax.face.rasterise import Camera, place
from vast_jax.face.shading import shade
from vast_jax.generate import Performance, loop
from vast_jax.media import FPS

SIZE = 512  # pixels, width and height
# A portrait lens that holds the whole head: focal length in pixels of a 256 crop, distance in mm.
_CAMERA, _DISTANCE = Camera(focal=2.7 * CROP, cx=CROP / 2, cy=0.5 * CROP), 900.0


class HeadAvatar:
    """The mean head, with the small head movement of a real talker (`assets/head_motion.safetensors`)."""

    name = "the built-in head"

    def __init__(self, face_model: FaceModel, size: int = SIZE):
        self.model, self.size = face_model, (size, size)
        self.motion = load_file(resources.files("vast_jax") / "assets" / "head_motion.safetensors")

    def frames(self, performance: Performance) -> Iterator[np.ndarray]:
        """Yields T frames, uint8 [size, size, 3], a second's worth of memory at a time."""
        n_frames = len(performance.expression)
        order = loop(len(self.motion["rotation"]), n_frames)
        identity = np.zeros(len(self.model.identity_basis), np.float32)
        cores = os.cpu_count() or 1
        with ThreadPoolExecutor(cores) as pool:  # shading is compiled code that leaves the interpreter free
            for start in range(0, n_frames, FPS):
                at = order[start : start + FPS]
                vertices = place(
                    self.model,
                    identity,
                    performance.expression[start : start + FPS],
                    self.motion["rotation"][at],
                    self.motion["translation"][at] + np.float32([0, 0, _DISTANCE]),
                    self.motion["gaze"][at],
                )
                for pictures in pool.map(self._shade, np.array_split(vertices, cores)):
                    yield from pictures

    def _shade(self, vertices: np.ndarray) -> np.ndarray:
        return shade(self.model, vertices, _CAMERA, self.size[0])
