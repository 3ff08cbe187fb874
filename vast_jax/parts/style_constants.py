"""What normalises expression and weighs its errors, measured once on the training clips."""

from collections.abc import Sequence

import numpy as np

from vast_jax.data.clips import Clip
from vast_jax.face.model import FaceModel, landmark_basis, landmarks
from vast_jax.models.closing import Closing
from vast_jax.models.style_model import StyleModel

DRAWN_AXES = 16
# Of MediaPipe's landmarks: inner lips facing each other, corners of the mouth, lips' outer middles and the chin.
_GAPS, _WIDTHS, _POINTS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402)), ((78, 308), (61, 291)), (0, 17, 152)


def measure(model: FaceModel, clips: Sequence[Clip], share: np.ndarray) -> dict[str, np.ndarray]:
    """Of clips that are drawn by their `share`.

    Returns:
      mean, std, low, high [D] of the activations; weight [D] of each parameter's error, by the millimetres its standard
      deviation moves the face; lips [D, L], normalised expression to lip measures in their standard deviations.
    """
    x = np.concatenate([clip.track.expression for clip in clips]).astype(np.float64)
    lengths = [len(clip) for clip in clips]
    share = np.repeat(share / lengths, lengths) * np.concatenate([clip.track.valid for clip in clips])
    share /= share.sum()
    mean = share @ x
    # A floor, for a parameter that hardly ever moves must not have its tracking noise blown up to full weight: 0.02 of
    # a shape that moves the face by 10 mm is 0.2 mm, less than the tracker's own error.
    std = np.maximum(np.sqrt(share @ np.square(x - mean)), 0.02)
    millimetres = std * np.linalg.norm(model.expression_basis[:, model.regions["face"]], axis=-1).max(1)
    weight = np.clip(millimetres / millimetres.mean(), 0.1, 4.0)
    measures = _lip_measures(model)
    spread = np.sqrt(share @ np.square((x - mean) @ measures))
    low, high = np.quantile(x, (5e-4, 1 - 5e-4), axis=0)
    constants = {"mean": mean, "std": std, "low": low, "high": high, "weight": weight / weight.mean()}
    constants["lips"] = std[:, None] * measures / np.maximum(spread, 0.1)
    return {name: value.astype(np.float32) for name, value in constants.items()}


def spread_of_styles(style: StyleModel, clips: Sequence[Clip], share: np.ndarray) -> dict[str, np.ndarray]:
    """How the clips' styles are spread, once the model is trained: for `StyleModel.draw`.

    drawn_mean [S] and drawn_axes [R, S], principal axes of one deviation each. z and manner belong together: drawn each
    from its own prior, they gave faces with one eye shut.
    """
    every = np.stack([style.encode(clip.track.expression, clip.ppg, clip.has_speech) for clip in clips])
    centre = share @ every
    _, size, axes = np.linalg.svd(np.sqrt(share)[:, None] * (every - centre), full_matrices=False)
    axes = (size[:, None] * axes)[:DRAWN_AXES]
    return {"drawn_mean": centre.astype(np.float32), "drawn_axes": axes.astype(np.float32)}


def closing(model: FaceModel, clips: Sequence[Clip], share: np.ndarray, strong: np.ndarray) -> Closing:
    """How lips close: by what `strong` parameters do as the gap changes, a regression within clips.

    Lips meet where the gap is less than the neutral head's by all of it.
    """
    gap, covariance = lip_gap(model), np.zeros(len(model.expression_names))
    for clip, of_clip in zip(clips, share, strict=True):
        x = np.asarray(clip.track.expression, np.float64)[clip.track.valid]
        x = x - x.mean(0)
        covariance[strong] += of_clip * (x[:, strong] * (x @ gap)[:, None]).mean(0)
    neutral = landmarks(model, model.neutral[None])[0]
    opened = np.mean([neutral[lower, 1] - neutral[upper, 1] for upper, lower in _GAPS])
    return Closing(gap, covariance / max(covariance @ gap, 1e-9), -opened)


def lip_gap(model: FaceModel) -> np.ndarray:
    """By how much each parameter opens the lips, mm, [D]."""
    return _lip_measures(model)[:, : len(_GAPS)].mean(1).astype(np.float32)


def _lip_measures(model) -> np.ndarray:
    """[D, L] linear map, activations to lip measures in mm: gaps and widths, height and depth of lips and chin."""
    at = landmark_basis(model).expression  # [D, 478, 3]
    gaps = [at[:, lower, 1] - at[:, upper, 1] for upper, lower in _GAPS]
    widths = [at[:, right, 0] - at[:, left, 0] for left, right in _WIDTHS]
    points = [at[:, point, axis] for point in _POINTS for axis in (1, 2)]
    return np.stack([*gaps, *widths, *points], axis=1).astype(np.float64)
