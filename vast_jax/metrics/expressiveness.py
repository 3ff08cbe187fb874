"""How much and how naturally a face moves: diversity (the paper's Dvt), jitter, motion in silence, blinks."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist, pdist

from vast_jax.audio import SAMPLES_PER_FRAME, SILENCE
from vast_jax.face.model import FaceModel, split_by_mouth_offset
from vast_jax.media import FPS
from vast_jax.models.liveliness import LONGEST_BLINK, blink_spans, eye_closures

SILENT_BELOW, SILENT_BELOW_ALONE = 15.0, 30.0  # dB under a clip's loud frames: with the posteriors' word, and without
SILENT_ANYWAY = -60.0  # dB of full scale
SILENCE_MARGIN = 3  # frames of a silence next to speech, in which the mouth still or already moves
_ROWS = 512  # frames compared with all others at once
_STILL = 1e-6  # deviation of a feature that does not vary


def parameter_groups(model: FaceModel) -> dict[str, np.ndarray]:
    """Indices of the expression parameters: "all", and those "strong"-ly and "weak"-ly tied to speech (paper, 3.4)."""
    strong, weak = split_by_mouth_offset(model)
    return {"all": np.arange(len(model.expression_names)), "strong": strong, "weak": weak}


def frame_diversity(sequence: np.ndarray) -> float:
    """Mean Euclidean distance of all pairs of frames of a sequence [T, D], in activations; NaN for fewer than two."""
    frames = np.asarray(sequence, np.float64)
    if len(frames) < 2:
        return float("nan")
    total = sum(cdist(frames[start : start + _ROWS], frames).sum() for start in range(0, len(frames), _ROWS))
    return float(total / (len(frames) * (len(frames) - 1)))


def sequence_diversity(sequences: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> float:
    """Mean distance of all pairs of sequences [T, D], each as the mean and deviation over time of its parameters.

    The features [2D] are first centred and divided by their deviation over the `reference`, the true sequences, as in
    Bailando (Li Siyao et al., CVPR 2022); those that do not vary over it are left out. NaN for fewer than two.
    """
    features, true = (np.stack([np.r_[x.mean(0), x.std(0)] for x in group]) for group in (sequences, reference))
    scale = true.std(0)
    varies = scale > _STILL
    if len(features) < 2 or not varies.any():
        return float("nan")
    return float(pdist(features[:, varies] / scale[varies]).mean())  # centring does not change a distance


def diversity(
    sequences: Sequence[np.ndarray], reference: Sequence[np.ndarray], groups: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Dvt of expression sequences [T, D] for groups of parameters, as of `parameter_groups`.

    Returns, of each group:
      dvt_frame_GROUP: 100 mean_{i<j} |x_i - x_j| / sqrt(D) within a sequence, mean over sequences. The paper does not
        define its Dvt; only ratios to that of the true sequences compare.
      dvt_raw_GROUP: the same without 100 / sqrt(D).
      dvt_sequence_GROUP: `sequence_diversity`.
      A group without parameters is left out.
    """
    figures = {}
    for name, columns in groups.items():
        if not len(columns):
            continue
        raw = np.mean([frame_diversity(x[:, columns]) for x in sequences])
        figures[f"dvt_frame_{name}"] = float(100 * raw / np.sqrt(len(columns)))
        figures[f"dvt_raw_{name}"] = float(raw)
        figures[f"dvt_sequence_{name}"] = sequence_diversity(
            [x[:, columns] for x in sequences], [x[:, columns] for x in reference]
        )
    return figures


def jitter(model: FaceModel, expression: np.ndarray, region: str = "mouth") -> float:
    """Mean length of the acceleration of a region's vertices, mm per frame squared; expression [T, D], T >= 3.

    Acceleration: x[t + 1] - 2 x[t] + x[t - 1]. Head motion is not in it. NaN for fewer than three frames.
    """
    offset = _moved(model, np.diff(expression, n=2, axis=0), region)
    return float(np.linalg.norm(offset, axis=-1).mean()) if len(offset) else float("nan")


def motion_stability(model: FaceModel, expression: np.ndarray, region: str = "mouth") -> float:
    """Motion stability index: mean over a region's vertices of 1 / variance of the acceleration; higher is steadier.

    After Ling et al., "StableFace", 2022 ("reciprocal of the variance of acceleration"), there of landmarks in pixels,
    here of vertices in mm without head motion: only figures from here compare. The variance is over frames, summed over
    x, y and z; unit: mm per frame squared, to the -2. Vertices that never accelerate are left out; NaN if none do.
    """
    acceleration = _moved(model, np.diff(expression, n=2, axis=0), region)
    if len(acceleration) < 2:
        return float("nan")
    variance = acceleration.var(0).sum(-1)
    variance = variance[variance > _STILL**2]
    return float((1 / variance).mean()) if len(variance) else float("nan")


def silent_frames(speech: np.ndarray, ppg: np.ndarray | None = None, margin: int = SILENCE_MARGIN) -> np.ndarray:
    """Frames in which nobody speaks, bool [T].

    A frame is silent if silence (SIL) has a posterior above 0.5 and its level is 15 dB or more under the clip's loud
    frames (95th percentile); without posteriors if it is 30 dB or more under them. Levels under -60 dB of full scale
    are always low enough. Then `margin` frames next to speech are taken off each silence, because the mouth opens
    before a sound and closes after it; at the clip's ends none are.

    Args:
      speech: [640 T] in [-1, 1), 16 kHz.
      ppg: posteriors [T, 41] of the same clip.
    """
    frames = np.asarray(speech, np.float64).reshape(-1, SAMPLES_PER_FRAME)
    level = 10 * np.log10(np.square(frames).mean(1) + 1e-10)
    below = SILENT_BELOW_ALONE if ppg is None else SILENT_BELOW
    silent = level <= max(np.percentile(level, 95) - below, SILENT_ANYWAY)
    if ppg is not None:
        silent &= ppg[:, SILENCE] > 0.5
    return binary_erosion(silent, np.ones(2 * margin + 1), border_value=1)


def motion_in_silence(model: FaceModel, expression: np.ndarray, silent: np.ndarray, region: str = "lips") -> float:
    """Mean speed in mm/s of a region's vertices between neighbouring frames both silent; NaN if there are none.

    Expression [T, D], `silent` bool [T] as of `silent_frames`. Head motion is not in it.
    """
    pairs = silent[1:] & silent[:-1]
    offset = _moved(model, np.diff(expression, axis=0)[pairs], region)
    return float(FPS * np.linalg.norm(offset, axis=-1).mean()) if len(offset) else float("nan")


def count_blinks(closure: np.ndarray, longest: float = LONGEST_BLINK) -> int:
    """How many `blink_spans` there are."""
    return len(blink_spans(closure, longest))


def blinks_a_minute(model: FaceModel, expression: np.ndarray) -> float:
    """`count_blinks` a minute of an expression [T, D]; NaN without eyeBlinks. People blink 10 to 30 times talking."""
    closures = eye_closures(model)
    if not closures.any() or not len(expression):
        return float("nan")
    return 60 * FPS * count_blinks(expression @ closures) / len(expression)


def _moved(model: FaceModel, change: np.ndarray, region: str) -> np.ndarray:
    """What changes of the expression [N, D] do to a region's vertices, mm, [N, vertices, 3]."""
    basis = model.expression_basis[:, model.regions[region]]
    return np.tensordot(np.asarray(change, np.float32), basis, 1)
