"""What a person's footage will teach a renderer, and where it will be weak: said before hours are spent on it."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vast_jax.data.clips import Clip
from vast_jax.data.pipeline import spread
from vast_jax.face.model import FaceModel
from vast_jax.face.rasterise import rotation_matrix
from vast_jax.media import FPS
from vast_jax.metrics.landmarks import interocular, lip_aperture
from vast_jax.metrics.sharpness import cpbd
from vast_jax.models.liveliness import eye_closures
from vast_jax.reporting import image_grid, save_png
from vast_jax.types import CROP

LOOKED_AT = 60  # frames whose pixels are judged
# Below or above these something will be weak: (figure, least, most, what is said).
_LIMITS = (
    (
        "seconds",
        20,
        np.inf,
        "under 20 s of footage: most sounds are seen once or never; a minute is better, three good",
    ),
    ("mouth_opens", 0.12, np.inf, "the mouth hardly opens: wide vowels and the inside of the mouth will be guesses"),
    ("mouth_widens", 0.1, np.inf, "no smile or stretch of the lips: a smiling prompt will look like a guess"),
    ("mouth_narrows", 0.1, np.inf, "the lips are never rounded: 'oo' and 'w' will be guesses"),
    ("eyes_shut", 0.5, np.inf, "no blink is seen: shut eyes will be guesses"),
    ("yaw_degrees", 0, 40, "the head turns far: calm, frontal footage makes a better avatar"),
    ("pitch_degrees", 0, 30, "the head nods far: calm, frontal footage makes a better avatar"),
    ("brightness", 50, 215, "the face is very dark or very bright: its colours are cut off"),
    ("brightness_varies", 0, 12, "the light changes over the footage: the avatar will have a mean of it"),
    ("magnified", 0, 1.5, "the face is small in the video and was magnified: the avatar will be as soft as that"),
    ("cpbd", 0.1, 1, "the footage is blurred: the avatar will be no sharper"),
    ("with_speech", 0.9, 1, "part of the footage has no speech: the inside of the mouth is learned from the rest"),
)


def preflight(clips: Sequence[Clip], model: FaceModel, out_dir: str | os.PathLike) -> list[str]:
    """Looks at a person's training clips; writes preflight.md and preflight.png into a folder.

    Returns:
      What to print: the figures in a line each, and one for everything that will be weak.
    """
    figures = measure(clips, model)
    weak = weaknesses(figures)
    lines = [
        f"footage  {figures['seconds']:.0f} s of {clips[0].person} in {len(clips)} clip{'s' * (len(clips) > 1)}, "
        f"{figures['with_speech']:.0%} with speech",
        f"head     turns over {figures['yaw_degrees']:.0f} degrees, nods over {figures['pitch_degrees']:.0f}",
        f"mouth    opens to {figures['mouth_opens']:.2f} of the distance of the eyes, "
        f"widens by {figures['mouth_widens']:.0%}, narrows by {figures['mouth_narrows']:.0%}",
        f"picture  magnified {figures['magnified']:.1f} times, sharpness {figures['cpbd']:.2f} (CPBD), "
        f"brightness {figures['brightness']:.0f} of 255, varies by {figures['brightness_varies']:.0f}",
    ]
    lines += [f"weak     {reason}" for reason in weak]
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    save_png(out / "preflight.png", _picture(clips, model))
    table = [f"| {name.replace('_', ' ')} | {value:.2f} |" for name, value in figures.items()]
    text = ["# Footage", "", "| | |", "| --- | ---: |", *table, "", *(f"- {reason}" for reason in weak), "", _PICTURE]
    (out / "preflight.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    return lines


_PICTURE = (
    "![the extremes](preflight.png) Widest open, spread, rounded, shut eyes; left, right, up, down: the extremes."
)


def measure(clips: Sequence[Clip], model: FaceModel) -> dict[str, float]:
    """Figures of a person's clips.

    Returns:
      seconds; yaw_degrees, pitch_degrees: the span of nine tenths of the frames; mouth_opens: the 95th percentile of
      the gap of the inner lips over the distance of the eyes; mouth_widens, mouth_narrows: how far the 99th and the
      first percentile of its width are from the median, over the median; eyes_shut: how far the most shut 0.5% of the
      frames have the eyes closed, of 1; brightness of the face and how much it varies over the frames (deviation), of
      255; magnified: the crop's pixels over the video's; cpbd of the crop; with_speech: share of the frames.
    """
    yaw, pitch, gap, width, shut = np.concatenate([_movement(clip, model) for clip in clips], axis=1)
    narrow, usual, wide = np.percentile(width, [1, 50, 99])
    chosen = spread([(clip, t) for clip in clips for t in np.flatnonzero(clip.track.valid)], LOOKED_AT)
    frames = [clip.frame(t) for clip, t in chosen]
    bright = [_face(clip, t, frame).mean() for (clip, t), frame in zip(chosen, frames, strict=True)]
    seen = [int(clip.track.valid.sum()) for clip in clips]
    return {
        "seconds": sum(seen) / FPS,
        "yaw_degrees": float(np.ptp(np.percentile(yaw, [5, 95]))),
        "pitch_degrees": float(np.ptp(np.percentile(pitch, [5, 95]))),
        "mouth_opens": float(np.percentile(gap, 95)),
        "mouth_widens": float(wide / usual - 1),
        "mouth_narrows": float(1 - narrow / usual),
        "eyes_shut": float(np.percentile(shut, 99.5)),
        "brightness": float(np.mean(bright)),
        "brightness_varies": float(np.std(bright)),
        "magnified": float(np.median([CROP / clip.track.crop[2] for clip in clips])),
        "cpbd": _mean_of_known([cpbd(frame) for frame in frames]),
        "with_speech": sum(n for n, clip in zip(seen, clips, strict=True) if clip.has_speech) / sum(seen),
    }


def _mean_of_known(values: Sequence[float]) -> float:
    """Of those that are no NaN; NaN if all are, as of frames without an edge."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def weaknesses(figures: dict[str, float]) -> list[str]:
    """What such footage will be weak at, in words."""
    return [said for name, least, most, said in _LIMITS if not least <= figures[name] <= most]


def _movement(clip: Clip, model: FaceModel) -> np.ndarray:
    """Of the frames that show a face [5, n]: yaw and pitch in degrees, lip gap and width of the mouth over the distance
    of the eyes, and how far these are shut."""
    valid = clip.track.valid
    points = clip.track.landmarks[valid]
    ahead = rotation_matrix(clip.track.rotation[valid])[:, :, 2]  # where the head's z axis, its back, points
    yaw, pitch = np.degrees(np.arctan2(ahead[:, 0], ahead[:, 2])), np.degrees(np.arcsin(ahead[:, 1]))
    width = np.linalg.norm(points[:, 61, :2] - points[:, 291, :2], axis=1) / interocular(points)
    shut = clip.track.expression[valid] @ eye_closures(model)
    return np.stack([yaw, pitch, lip_aperture(points), width, shut])


def _face(clip: Clip, t: int, frame: np.ndarray) -> np.ndarray:
    """The pixels in the box of the landmarks."""
    points = clip.track.landmarks[t, :, :2]
    left, top, right, bottom = np.clip([*points.min(0), *points.max(0)], 0, CROP).round().astype(int)
    return frame[top:bottom, left:right]


def _picture(clips: Sequence[Clip], model: FaceModel) -> np.ndarray:
    """The extremes of mouth, eyes and pose."""
    where = [(clip, t) for clip in clips for t in np.flatnonzero(clip.track.valid)]
    yaw, pitch, gap, width, shut = np.concatenate([_movement(clip, model) for clip in clips], axis=1)
    at = [gap.argmax(), width.argmax(), width.argmin(), shut.argmax()]
    at += [yaw.argmin(), yaw.argmax(), pitch.argmin(), pitch.argmax()]
    frames = [where[i][0].frame(where[i][1]) for i in at]
    return image_grid([frames[:4], frames[4:]])
