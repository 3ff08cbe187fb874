"""A moving face as curves: activations, pose and gaze over time, at any frame rate."""

from fractions import Fraction
from math import ceil
from typing import NamedTuple

import numpy as np

from vast_jax import media
from vast_jax.types import UserError

NTSC = Fraction(1000, 1001)  # 29.97 is 30 times this
LOBES = 3  # of the Lanczos kernel on each side: flat up to lip movements of 8 Hz, hardly any alias above 12.5
MAX_FPS = 1000


class Curves(NamedTuple):
    """A moving face, row i at i / fps seconds (N rows, D expression parameters)."""

    expression: np.ndarray  # [N, D] float32
    rotation: np.ndarray  # [N, 3] float32, axis-angle, head to camera, radians, axes of FaceTrack
    translation: np.ndarray  # [N, 3] float32, mm
    gaze: np.ndarray  # [N, 4] float32, yaw and pitch of the left, then of the right eye, radians
    fps: Fraction

    @classmethod
    def of(cls, expression, rotation=None, translation=None, gaze=None, fps: Fraction | int = media.FPS) -> "Curves":
        """Curves whose head rests, or whose eyes look straight ahead, where nothing else is said."""

        def rows(values, width: int) -> np.ndarray:
            return np.asarray(np.zeros((len(expression), width)) if values is None else values, np.float32)

        return cls(rows(expression, 0), rows(rotation, 3), rows(translation, 3), rows(gaze, 4), Fraction(fps))


def frame_rate(fps: float | Fraction) -> Fraction:
    """The exact rate that is meant: 29.97 is 30000/1001, 23.976 is 24000/1001. UserError: none that makes sense."""
    if not 0 < fps <= MAX_FPS:
        raise UserError(f"{fps} frames a second: a frame rate lies between 0 and {MAX_FPS}")
    for exact in (Fraction(round(fps)), Fraction(ceil(fps)) * NTSC):
        if exact and -2e-4 < fps / exact - 1 < 2e-4:
            return exact
    return Fraction(fps).limit_denominator(1000)


def resample(curves: Curves, fps: float | Fraction) -> Curves:
    """The same movement at another rate; its duration N / fps is kept to half a frame.

    Lanczos interpolation, which is a low-pass filter too when the rate falls. Ends are held, activations stay within
    [0, 1], or [-1, 1] where a curve has two signs, and at an unchanged rate every row comes back as it was.
    """
    rate = frame_rate(fps)
    if rate == curves.fps:
        return curves
    count = max(1, round(len(curves.expression) * rate / curves.fps))
    low = -1.0 * (curves.expression.min(0) < 0)
    step = float(curves.fps / rate)
    expression, rotation, translation, gaze = (_resample(values, step, count) for values in curves[:4])
    return Curves(np.clip(expression, low.astype(np.float32), 1), rotation, translation, gaze, rate)


def _resample(values: np.ndarray, step: float, count: int) -> np.ndarray:
    """Values [N, C] at the rows 0, step, 2 step, ...: [count, C]."""
    position, width = np.arange(count) * step, max(1.0, step)  # rows of the input: the wider, the lower the pass
    first = np.floor(position).astype(int) - ceil(LOBES * width) + 1
    total, result = np.zeros(count), np.zeros((count, values.shape[1]))
    for tap in range(2 * ceil(LOBES * width)):
        offset = (position - first - tap) / width
        weight = np.where(np.abs(offset) < LOBES, np.sinc(offset) * np.sinc(offset / LOBES), 0)
        total += weight
        result += weight[:, None] * values[np.clip(first + tap, 0, len(values) - 1)]
    return (result / total[:, None]).astype(np.float32)


def fit_length(curves: Curves, count: int) -> Curves:
    """The first `count` rows; the last one is held where there are fewer."""
    at = np.minimum(np.arange(count), len(curves.expression) - 1)
    expression, rotation, translation, gaze = (values[at] for values in curves[:4])
    return Curves(expression, rotation, translation, gaze, curves.fps)
