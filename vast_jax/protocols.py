"""What `vast_jax.evaluate` measures, on clips held out from every training: three protocols (spec 10).

A clip that fails is named with its fault and does not end the evaluation.
"""

import bisect
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from vast_jax.data.clips import Clip, decode_jpeg, encode_jpeg
from vast_jax.face.landmarks import Landmarker
from vast_jax.face.model import FaceModel
from vast_jax.media import FPS
from vast_jax.metrics.expression import correlation, mean_distance, mesh_lip_aperture, metric_coordinates
from vast_jax.metrics.image import psnr, ssim_map, ssim_mean
from vast_jax.metrics.landmarks import interocular, lip_aperture, lmd

CONTROL_STRIDE = 3  # the landmarks of the control that renders the mean expression are taken every so many frames
PROMPT_FOLDERS = ("mead", "generated", "speeches", "talkshow", "emotion_silent", "silent")
EMOTIONS = {"angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised"}  # in MEAD's names
STYLE_SPEECHES = 5  # each spoken under every prompt
_STYLE_REGIONS = ("mouth", "face")

Say = Callable[[str], None]
Render = Callable[[Clip, np.ndarray], np.ndarray]  # clip (template), expression [N, D] -> uint8 [N, 256, 256, 3]


class Outcome(NamedTuple):
    """What a protocol found."""

    figures: dict[str, float]  # over all that was measured
    rows: dict[str, dict[str, float]]  # of each clip or prompt
    failed: dict[str, str]  # clip -> what went wrong


def render_quality(
    clips: Sequence[Clip],
    render: Render,
    hole: Callable[[Clip], np.ndarray],
    mean_expression: np.ndarray,
    landmarker: Landmarker,
    say: Say,
    keep: Callable[[str, dict[str, np.ndarray]], None] = lambda *_: None,
) -> Outcome:
    """The renderer driven by the tracked expression of its person's held-out clips, beside the mean expression [D].

    Args:
      clips: each is its own template (identity, pose, background outside the hole).
      render: the renderer; its frames pass the same JPEG as the real ones before they are measured.
      hole: the pixels that were generated, bool [256, 256], of a clip: the union over its frames.
      keep: is given each clip's name and its frames, {"real", "tracked expression", "mean expression"}.

    Returns:
      LMD and LMD-m in pixels of the 256 crop, SSIM in the frame and SSIM and PSNR inside the hole; the same of the
      control; the correlation of the lip aperture.
    """

    def measure(clip: Clip) -> dict[str, float]:
        seen, mask = clip.track.valid, hole(clip)
        still = np.broadcast_to(mean_expression, clip.track.expression.shape)
        real = clip.frames()
        tracked, mean = (_through_jpeg(render(clip, expression)) for expression in (clip.track.expression, still))
        keep(clip.name, {"real": real, "tracked expression": tracked, "mean expression": mean})
        real, tracked, mean = real[seen], tracked[seen], mean[seen]
        points, found = (_landmarks(landmarker, frames) for frames in (real, tracked))
        both = np.isfinite(points).all((1, 2)) & np.isfinite(found).all((1, 2))
        row = dict(zip(("lmd", "lmd_m"), lmd(found, points), strict=True))
        row["lmd_m_interocular"] = row["lmd_m"] / float(np.nanmedian(interocular(points)))
        row["lip_correlation"] = correlation(lip_aperture(found[both]), lip_aperture(points[both]))
        row["frames"], row["frames_without_landmarks"] = len(real), int((~both).sum())
        row |= _fidelity(tracked, real, mask)
        row |= {f"{name}_mean_expression": value for name, value in _fidelity(mean, real, mask).items()}
        some = slice(None, None, CONTROL_STRIDE)
        row["lmd_m_mean_expression"] = lmd(_landmarks(landmarker, mean[some]), points[some])[1]
        return row

    outcome = _each(clips, measure, say, ("lmd_m", "ssim_hole", "ssim_hole_mean_expression"))
    return _with_share(outcome, "share_ssim_hole_above_mean", "ssim_hole_mean_expression", "ssim_hole")


def speech_to_expression(
    face: FaceModel, style, train: Sequence[Clip], held_out: Sequence[Clip], chosen: Sequence[Clip], say: Say
) -> tuple[Outcome, dict[str, np.ndarray]]:
    """The whole pipeline from speech, on one person's held-out clips, up to the expression.

    The prompt is the next training clip in name order; the speech the clip's own, and as a control that of the next
    held-out clip; a second control is the mean expression of the training clips.

    Args:
      style: as `parts.style.load_style_model` gives it.
      train, held_out: all clips of the person, by name.
      chosen: those of the held-out clips to measure.

    Returns:
      Mouth error (mean distance of the mouth region's vertices from the tracked expression, mm) and correlation of
      the lip aperture for own and other speech; and the expression from own speech of each clip [T, D].
    """
    average = mean_expression(train)
    names = [clip.name for clip in train]
    generated = {}

    def measure(clip: Clip) -> dict[str, float]:
        prompt = train[bisect.bisect(names, clip.name) % len(train)]
        other = held_out[([c.name for c in held_out].index(clip.name) + 1) % len(held_out)]
        manner = style.encode(prompt.track.expression, prompt.ppg, prompt.has_speech)
        own, foreign = (style.decode(ppg, manner, 0) for ppg in (clip.ppg, other.ppg))
        generated[clip.name] = own
        length = min(len(clip), len(other))  # the same frames for both
        at = np.flatnonzero(clip.track.valid[:length])
        true = clip.track.expression[at]
        still = np.broadcast_to(average, true.shape)
        aperture = mesh_lip_aperture(face, clip.track.identity, true)
        row = {}
        for name, values in (("own", own[at]), ("other", foreign[at]), ("mean_expression", still)):
            row[f"mouth_error_mm_{name}"] = mean_distance(face, values, true)
        for name, values in (("own", own[at]), ("other", foreign[at])):
            row[f"lip_correlation_{name}"] = correlation(mesh_lip_aperture(face, clip.track.identity, values), aperture)
        return row

    outcome = _each(chosen, measure, say, ("mouth_error_mm_own", "mouth_error_mm_other"))
    outcome = _with_share(outcome, "share_own_below_other", "mouth_error_mm_own", "mouth_error_mm_other")
    outcome = _with_share(outcome, "share_own_below_mean", "mouth_error_mm_own", "mouth_error_mm_mean_expression")
    return outcome, generated


def style_matters(face: FaceModel, style, prompts: Sequence[Clip], speeches: Sequence[Clip], say: Say) -> Outcome:
    """How far the prompt changes what the face does with the same speech.

    Each prompt is cut into halves. Between: the halves of two prompts, of another person or another emotion, first
    with first and second with second. Within: the two halves of one prompt. So all styles come from equally long
    windows, and what the noise of a window does is in both.

    Returns:
      Medians and means over pairs of the distance of the expressions (mean over speeches and frames of the root mean
      square over the vertices of mouth and face, mm), and the ratio of the medians, between over within.
    """
    to_millimetres = metric_coordinates(face, *_STYLE_REGIONS)
    spoken: dict[str, np.ndarray] = {}  # prompt -> [2 halves, all frames of all speeches, D], millimetres

    def speak(prompt: Clip) -> dict[str, float]:
        track, middle = prompt.track, len(prompt) // 2
        if middle < FPS:
            raise ValueError("too short to have halves of a second")
        halves = []
        for part in (slice(0, middle), slice(middle, 2 * middle)):
            manner = style.encode(track.expression[part], prompt.ppg[part], prompt.has_speech)
            halves.append(np.concatenate([style.decode(speech.ppg, manner, 0) for speech in speeches]))
        spoken[prompt.name] = np.stack(halves) @ to_millimetres
        first, second = spoken[prompt.name]
        return {"within_mm": _apart(first, second)}

    outcome = _each(prompts, speak, say, ("within_mm",))
    manners = {prompt.name: (prompt.person, _emotion(prompt.name)) for prompt in prompts}
    between: dict[str, list[float]] = {name: [] for name in spoken}
    distances = []
    for one, two in itertools.combinations(spoken, 2):
        if manners[one] != manners[two]:
            apart = np.mean([_apart(a, b) for a, b in zip(spoken[one], spoken[two], strict=True)])
            distances.append(apart)
            between[one].append(apart)
            between[two].append(apart)
    for name, row in outcome.rows.items():
        row["between_mm"] = float(np.median(between[name])) if between[name] else float("nan")
    figures = outcome.figures | {"speeches": len(speeches), "pairs": len(distances)}
    if distances:
        figures |= {"between_mm_median": float(np.median(distances)), "between_mm_mean": float(np.mean(distances))}
        figures["ratio_of_medians"] = figures["between_mm_median"] / max(figures["within_mm_median"], 1e-9)
    return _with_share(outcome._replace(figures=figures), "share_within_below_between", "within_mm", "between_mm")


def mean_expression(clips: Sequence[Clip]) -> np.ndarray:
    """Mean expression [D] of all frames of the clips that show a face."""
    return np.concatenate([clip.track.expression[clip.track.valid] for clip in clips]).mean(0)


def _each(
    clips: Sequence[Clip], measure: Callable[[Clip], dict[str, float]], say: Say, shown: Sequence[str]
) -> Outcome:
    """Measures every clip; medians and means of every figure over those that did not fail."""
    rows, failed = {}, {}
    for count, clip in enumerate(clips, 1):
        try:
            rows[clip.name] = measure(clip)
            words = "  ".join(f"{name} {rows[clip.name][name]:.3f}" for name in shown)
        except Exception as error:  # whatever is wrong with one clip, the others count
            failed[clip.name] = words = f"{type(error).__name__}: {error}"
        say(f"{count:3d}/{len(clips)} {clip.name}  {words}")
    figures: dict[str, float] = {"clips": len(rows)}
    for name in next(iter(rows.values()), {}):
        values = np.array([row[name] for row in rows.values()])
        if name.startswith("frames"):
            figures[name] = int(values.sum())
        elif np.isfinite(values).any():
            figures[f"{name}_median"], figures[f"{name}_mean"] = float(np.nanmedian(values)), float(np.nanmean(values))
    return Outcome(figures, rows, failed)


def _with_share(outcome: Outcome, name: str, smaller: str, larger: str) -> Outcome:
    """Adds the share of rows in which one figure is below another."""
    if not outcome.rows:
        return outcome
    share = float(np.mean([row[smaller] < row[larger] for row in outcome.rows.values()]))
    return outcome._replace(figures=outcome.figures | {name: share})


def _fidelity(generated: np.ndarray, real: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    maps = [ssim_map(a, b) for a, b in zip(generated, real, strict=True)]
    return {
        "ssim": float(np.mean([ssim_mean(similarity) for similarity in maps])),
        "ssim_hole": float(np.mean([ssim_mean(similarity, mask) for similarity in maps])),
        "psnr_hole": float(np.mean([psnr(a, b, mask) for a, b in zip(generated, real, strict=True)])),
    }


def _landmarks(landmarker: Landmarker, frames: np.ndarray) -> np.ndarray:
    """The landmarks of each frame's first face, [N, 478, 3]; NaN where none is seen."""
    none = np.full((478, 3), np.nan, np.float32)
    return np.stack([next(iter(landmarker.detect(frame)), none) for frame in frames])


def _through_jpeg(frames: np.ndarray) -> np.ndarray:
    return np.stack([decode_jpeg(encode_jpeg(frame)) for frame in frames])


def _apart(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(first - second, axis=-1).mean())


def _emotion(name: str) -> str:
    return next((word for word in name.split("/")[-1].split("_") if word in EMOTIONS), "")
