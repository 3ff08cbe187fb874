"""How faces blink and wander while they talk, measured on training clips, and the same clips without their blinks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.ndimage import gaussian_filter1d

from vast_jax.data.clips import Clip
from vast_jax.face.model import FaceModel
from vast_jax.models.liveliness import AFTER, BEFORE, Liveliness, blink_spans, eye_closures

MEMORY = 12  # frames that a wandering remembers, half a second
TREMBLE = 1.0  # frames, deviation of a Gaussian: faster wandering than it leaves is the tracker's noise
FOLLOWS = 0.3  # deviations that a parameter moves in a blink at least to be part of it


class Calm(NamedTuple):
    """A clip without its blinks."""

    expression: np.ndarray  # [T, D] float32
    begins: np.ndarray  # frames at which a blink begins; may lie before the first


def _peaks(face: FaceModel, expression: np.ndarray) -> np.ndarray:
    """Frames of an expression [T, D] in which a blink is deepest; none for a face model without eyeBlink shapes."""
    closure = expression @ eye_closures(face)
    return np.array([begin + int(np.argmax(closure[begin:end])) for begin, end in blink_spans(closure)], int)


def calm(face: FaceModel, clip: Clip, moved: Sequence[int]) -> Calm:
    """The clip with the `moved` parameters led straight from before each blink to after it."""
    expression = np.array(clip.track.expression, np.float32)
    peaks = _peaks(face, expression)
    blinking = np.zeros(len(expression), bool)
    for peak in peaks:
        blinking[max(peak - BEFORE + 1, 0) : peak + AFTER] = True
    open_eyed = np.flatnonzero(~blinking)
    if len(open_eyed):
        for column in moved:
            expression[:, column] = np.interp(np.arange(len(expression)), open_eyed, expression[open_eyed, column])
    return Calm(expression, peaks - BEFORE + 1)


def blinked(face: FaceModel, clips: Sequence[Clip], weak: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The average blink [BEFORE + 1 + AFTER, D], the upper quartile of its deepest frame [D], and what takes part.

    Of the `weak` parameters those that leave the line between before and after by 0.3 of their deviation; none in clips
    without a blink.
    """
    around = np.arange(-BEFORE, AFTER + 1)
    found = []
    for clip in clips:
        peaks = _peaks(face, clip.track.expression)
        peaks = peaks[(peaks >= BEFORE) & (peaks + AFTER < len(clip))]
        found.extend(clip.track.expression[peak + around] for peak in peaks)
    weak = np.asarray(weak)
    if not found:
        nothing = np.zeros((len(around), len(face.expression_names)))
        return nothing, nothing[0], weak[:0]
    blink, thorough = np.mean(found, axis=0), np.quantile([x[BEFORE] for x in found], 0.75, axis=0)
    usual = np.concatenate([clip.track.expression for clip in clips]).std(0)
    return blink, thorough, weak[np.abs(_departure(blink)[BEFORE, weak]) > FOLLOWS * usual[weak]]


def measure(
    face: FaceModel, clips: Sequence[Clip], share: Sequence[float], mean: np.ndarray, std: np.ndarray, weak: np.ndarray
) -> Liveliness:
    """Of the `weak` parameters in deviations `std` from their `mean` [D], clips counting by their `share`.

    The wandering: correlation of the parameters about each clip's own mean, blinks and tremble taken out, its principal
    axes, and for each axis the autoregression of half a second that has its autocorrelation (Yule and Walker). The
    blink: the average of all, but shut as their more thorough quarter are.
    """
    blink, thorough, moved = blinked(face, clips, weak)
    x = [((calm(face, clip, moved).expression - mean) / std)[:, weak] for clip in clips]
    x = [gaussian_filter1d(values - values.mean(0), TREMBLE, axis=0) for values in x]
    weights = np.asarray(share) / [len(values) for values in x]
    covariance = sum(weight * values.T @ values for weight, values in zip(weights, x, strict=True))
    deviation = np.sqrt(np.maximum(np.diag(covariance), 1e-6))
    size, axes = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    size = np.sqrt(np.maximum(size, 1e-6))
    lags = np.zeros((MEMORY + 1, len(weak)))
    for weight, values in zip(weights, x, strict=True):
        alone = (values / deviation) @ axes / size
        for lag in range(min(MEMORY + 1, len(alone))):
            lags[lag] += weight * (alone[lag:] * alone[: len(alone) - lag]).sum(0)
    lags[0] = np.maximum(lags[0], 1e-3)  # an axis of parameters that never move
    lags[1:] /= (1 + 1e-3) * lags[0]  # as if a little of it were noise: else a slow axis is all but unstable
    lags[0] = 1
    memory = np.stack([solve_toeplitz(column[:MEMORY], column[1:]) for column in lags.T])
    innovation = np.sqrt(np.maximum(1 - (memory * lags[1:].T).sum(1), 1e-6))
    closures = eye_closures(face)
    lids = (closures[weak] > 0).astype(float)
    wave = _departure(blink)[:, weak] @ lids
    wave = np.clip(wave / max(wave.max(), 1e-6), 0, 1)[1:-1]
    shut = np.where(lids > 0, (thorough - mean)[weak], _departure(blink)[BEFORE, weak]) / std[weak]
    shut = np.where(np.isin(weak, moved), shut, 0)
    return Liveliness(size[:, None] * axes.T, memory, innovation, wave, shut, lids, closures)


def _departure(blink: np.ndarray) -> np.ndarray:
    """From the line between its first and its last frame."""
    return blink - np.linspace(blink[0], blink[-1], len(blink))
