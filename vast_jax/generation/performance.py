"""What an avatar is to do, and what every avatar can do."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from vast_jax.animation.curves import Curves
from vast_jax.face.model import FaceModel
from vast_jax.models.recogniser import Recogniser
from vast_jax.models.style_model import StyleModel


class Models(NamedTuple):
    """What every avatar shares."""

    face: FaceModel
    acoustic: Recogniser
    style: StyleModel


class Performance(NamedTuple):
    """What an avatar is to do (T frames at 25 fps)."""

    expression: np.ndarray  # [T, D] float32
    ppg: np.ndarray  # [T, 41] float32


class Avatar(Protocol):
    """Somebody who can be shown: the built-in head, or one trained from footage."""

    name: str
    size: tuple[int, int]  # width and height of the frames, pixels

    footage_range: np.ndarray | None  # [2, D], lowest and highest activations of its footage; None: it has none

    def frames(self, performance: Performance) -> Iterator[np.ndarray]:
        """Yields T frames, uint8 [H, W, 3]."""

    def own_style(self, models: Models) -> np.ndarray:
        """The style vector [S] of the avatar itself: where intensity 0 leads."""

    def moving_as(self, curves: Curves) -> "Avatar":
        """The avatar with the head and gaze of curves, where it is free to move."""

    def movement(self, performance: Performance) -> tuple[np.ndarray, Curves]:
        """Its identity [I], and the curves of all that `frames` shows, T rows at 25 fps."""


def loop(n_template: int, n_frames: int) -> np.ndarray:
    """Indices [n_frames] that play a template forth and back for as long as needed: no jump at the turns."""
    if n_template == 1:
        return np.zeros(n_frames, int)
    phase = np.arange(n_frames) % (2 * n_template - 2)
    return np.minimum(phase, 2 * n_template - 2 - phase)
