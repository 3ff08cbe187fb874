"""One clip measured: each system's video alone, and beside the real one."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import cv2
import numpy as np

from vast_jax.audio import fit
from vast_jax.data.grid_corpus import is_grid_name
from vast_jax.evaluate.cropped_video import CroppedVideo
from vast_jax.face.eroded_background import hole_of
from vast_jax.face.following import runs
from vast_jax.face.model import FaceModel
from vast_jax.face.mouth_crop import mouth_crops
from vast_jax.metrics.expression import correlation, mean_distance
from vast_jax.metrics.expressiveness import blinks_a_minute, jitter, motion_in_silence, motion_stability, silent_frames
from vast_jax.metrics.image import psnr, ssim_map, ssim_mean
from vast_jax.metrics.inception import inception_features
from vast_jax.metrics.landmarks import aperture_lag, lip_aperture, lmd, lmd_interocular
from vast_jax.metrics.perceptual import LpipsWeights, perceive
from vast_jax.metrics.sharpness import cpbd
from vast_jax.metrics.steadiness import flicker, still_pixels, tremble
from vast_jax.metrics.sync import LEAST, compare, unit
from vast_jax.models.lip_reader import LipReader
from vast_jax.models.recogniser import Recogniser
from vast_jax.models.syncnet_model import SyncModel
from vast_jax.types import Params

REAL = "real"  # the system that the others are measured against
_PEAK_DB = 60.0  # what the PSNR of equal frames, which is infinite, counts as
_MIN_READ = 25  # frames: in a shorter clip no sentence is read


class Instruments(NamedTuple):
    """The models that measure."""

    face: FaceModel
    acoustic: Recogniser
    sync: SyncModel
    lips: LipReader
    lpips: LpipsWeights | None  # None: no LPIPS and no Frechet distance
    inception: Params | None  # None: no FID
    stride: int  # LPIPS and Frechet distances look at every so many frames


class Measured(NamedTuple):
    """What was found of one system's video of a clip."""

    figures: dict[str, float]  # NaN where there is nothing to measure
    words: dict[str, str]  # "greedy" and "grammar": sentences read from the lips, of GRID's clips
    arrays: dict[str, np.ndarray]  # expression [n, D] where seen, features [n, F], sync embeddings, aperture [T]


def measure_clip(
    tools: Instruments, name: str, real: CroppedVideo, made: Mapping[str, CroppedVideo]
) -> dict[str, Measured]:
    """Everything about a clip, the real video under "real".

    Args:
      name: of the clip; one of GRID's tells the sentence.
      real, made: the videos; of each pair the frames that both have are compared.
    """
    hole = hole_of(tools.face, real.track)
    still = still_pixels(real.frames, hole)
    found = {REAL: alone(tools, name, real, real, hole, still)}
    for system, seen in made.items():
        single, beside = alone(tools, name, seen, real, hole, still), pair(tools, seen, real, hole)
        found[system] = single._replace(figures=single.figures | beside)
    for system, (figures, arrays) in _perceived(tools, real, made, hole).items():
        found[system].figures.update(figures)
        found[system].arrays.update(arrays)
    return found


def alone(
    tools: Instruments, name: str, seen: CroppedVideo, real: CroppedVideo, hole: np.ndarray, still: np.ndarray
) -> Measured:
    """Sharpness, sync, lip reading and expressiveness of one video; a mute one is heard with the real one's sound."""
    expression, valid = seen.track.expression, seen.track.valid
    figures = {"frames": len(valid), "frames_without_face": int((~valid).sum())}
    figures |= {
        "cpbd": _mean([cpbd(frame) for frame in seen.frames]),
        "cpbd_hole": _mean([cpbd(frame, hole) for frame in seen.frames]),
        "flicker": flicker(seen.frames, still),
        "jitter": _over_runs(lambda x: jitter(tools.face, x), expression, valid),
        "stability": _over_runs(lambda x: motion_stability(tools.face, x), expression, valid),
        "blinks": _over_runs(lambda x: blinks_a_minute(tools.face, x), expression, valid),
    }
    arrays = {"expression": expression[valid], "aperture": lip_aperture(seen.landmarks)}
    words = {}
    mouths = mouth_crops(seen.frames, seen.landmarks)
    figures["tremble"] = tremble(mouths)
    speech = _speech(seen, real)
    if speech is not None:
        silent = silent_frames(speech, tools.acoustic(speech, len(valid)))
        figures["motion_in_silence"] = motion_in_silence(tools.face, expression, silent & valid)
    if speech is not None and len(valid) >= LEAST:
        faces = mouths if tools.sync.module.layout == "small" else _whole_faces(seen.frames)
        arrays |= {"sync_pictures": tools.sync.pictures(faces), "sync_sounds": tools.sync.sounds(speech)}
        measured = compare(arrays["sync_pictures"], arrays["sync_sounds"], unit(tools.sync))
        arrays["sync_curve"] = measured.curve
        figures |= {
            "sync_distance": measured.distance,
            "sync_confidence": measured.confidence,
            "sync_offset": measured.offset,
        }
    if is_grid_name(name) and len(valid) >= _MIN_READ:
        reading = tools.lips.read(mouths)
        words = {"greedy": " ".join(reading.greedy), "grammar": " ".join(reading.constrained)}
    return Measured(figures, words, arrays)


def pair(tools: Instruments, seen: CroppedVideo, real: CroppedVideo, hole: np.ndarray) -> dict[str, float]:
    """Fidelity to the real video, frame by frame: pixels, landmarks, lips and expression."""
    count = min(len(seen.frames), len(real.frames))
    made, true = seen.frames[:count], real.frames[:count]
    similarity, similarity_hole = [], []
    for a, b in zip(made, true, strict=True):
        similar = ssim_map(a, b)
        similarity.append(ssim_mean(similar))
        similarity_hole.append(ssim_mean(similar, hole))
    points, target = seen.landmarks[:count], real.landmarks[:count]
    both = seen.track.valid[:count] & real.track.valid[:count]
    apertures = lip_aperture(points), lip_aperture(target)
    lag, follows = aperture_lag(*apertures)
    distance, relative = lmd(points, target), lmd_interocular(points, target)
    return {
        "ssim": _mean(similarity),
        "ssim_hole": _mean(similarity_hole),
        "psnr": _mean([min(psnr(a, b), _PEAK_DB) for a, b in zip(made, true, strict=True)]),
        "psnr_hole": _mean([min(psnr(a, b, hole), _PEAK_DB) for a, b in zip(made, true, strict=True)]),
        "lmd": distance[0],
        "lmd_m": distance[1],
        "lmd_interocular": relative[0],
        "lmd_m_interocular": relative[1],
        "lip_correlation": correlation(apertures[0][both], apertures[1][both]) if both.sum() > 2 else float("nan"),
        "lip_lag": lag if np.isfinite(follows) else float("nan"),
        "mouth_error": mean_distance(
            tools.face, seen.track.expression[:count][both], real.track.expression[:count][both]
        ),
        "frames_compared": count,
    }


def _perceived(
    tools: Instruments, real: CroppedVideo, made: Mapping[str, CroppedVideo], hole: np.ndarray
) -> dict[str, tuple[dict[str, float], dict[str, np.ndarray]]]:
    """LPIPS, and features of the real and every made video, for some frames that all have."""
    count = min(len(seen.frames) for seen in (real, *made.values()))
    at = np.arange(tools.stride // 2, count, tools.stride) if tools.stride else np.arange(0)
    at = at if len(at) or not tools.stride else np.array([count // 2])
    found = {system: ({}, {}) for system in (REAL, *made)}
    if tools.lpips is not None and len(at):
        seen = [perceive(tools.lpips, real.frames[t], np.stack([m.frames[t] for m in made.values()]), hole) for t in at]
        for i, system in enumerate(found):
            figures, arrays = found[system]
            if system != REAL:
                figures["lpips"] = _mean([frame.lpips[i] for frame in seen])
                figures["lpips_hole"] = _mean([frame.lpips_hole[i] for frame in seen])
            arrays["vgg"] = np.stack([frame.features[i] for frame in seen])
            arrays["vgg_hole"] = np.stack([frame.features_hole[i] for frame in seen])
    if tools.inception is not None and len(at):
        for system, video in {REAL: real, **made}.items():
            found[system][1]["inception"] = inception_features(tools.inception, video.frames[at])
    return found


def _speech(seen: CroppedVideo, real: CroppedVideo) -> np.ndarray | None:
    """The video's own sound, or that of the real one where it is as long to a frame."""
    if seen.speech is not None or real.speech is None:
        return seen.speech
    return fit(real.speech, len(seen.frames)) if abs(len(real.frames) - len(seen.frames)) <= 1 else None


def _over_runs(measure: Callable[[np.ndarray], float], expression: np.ndarray, valid: np.ndarray) -> float:
    """A figure of an expression's motion over the stretches in which the face is seen, weighted by their length."""
    found = [(measure(expression[run]), run.stop - run.start) for run in runs(valid, np.zeros_like(valid))]
    values, lengths = np.array([pair for pair in found if np.isfinite(pair[0])]).reshape(-1, 2).T
    return float(np.average(values, weights=lengths)) if len(values) else float("nan")


def _whole_faces(frames: np.ndarray) -> np.ndarray:
    """What the published SyncNet sees: 224 pixels, about its own crop (of a face detector's box, 0.4 beyond it)."""
    return np.stack([cv2.resize(frame, (224, 224), interpolation=cv2.INTER_AREA) for frame in frames])


def _mean(values: list[float]) -> float:
    values = np.asarray(values, float)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
