"""How well the tracker finds the truth again in synthetic footage: python -m vast_jax.synthesis.measure

Prints a line for each clip and the medians, then the same as JSON. Every clip is fitted twice: from the landmarks that
the detector finds in the compressed video (what users get), and from perfect landmarks (columns "fit"), which leaves
the faults of the fit alone. Conventions are in the docstring of `compare`.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vast_jax import cli
from vast_jax.face.clip_fit import fit_clip
from vast_jax.face.landmarks import LEFT_EYE, LIPS, RIGHT_EYE, Landmarker
from vast_jax.face.model import PUPIL_DISTANCE, FaceModel, gaze_rotation, load_face_model, vertices
from vast_jax.face.rasterise import camera_of, rotation_matrix
from vast_jax.face.tracking import FOCAL, track_video
from vast_jax.files import atomic_path
from vast_jax.metrics.expression import correlation, mesh_lip_aperture
from vast_jax.metrics.landmarks import umeyama
from vast_jax.synthesis import __main__ as command
from vast_jax.synthesis.clips import Truth, truth, write_clip
from vast_jax.synthesis.scene import Scene
from vast_jax.types import CROP, FaceTrack

BLINK = 0.5  # activation of eyeBlink from which no gaze is compared


@dataclass(frozen=True)
class Args(command.Args):
    """Tracks synthetic clips and compares with their truth."""

    out: Path | None = None
    """Where to keep the clips; by default they are thrown away."""
    clips: int = 12
    """How many; each shows another person."""
    seconds: float = 3.0
    """Length of a clip."""
    seed: int = 100
    """The same seed makes the same clips."""
    json: Path | None = None
    """File for the figures, besides the printed ones."""


class Fitted(NamedTuple):
    """What is compared with the truth: N frames of a fitted face."""

    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    gaze: np.ndarray


def main(argv: list[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: report(cli.parse(Args, argv, prog="python -m vast_jax.synthesis.measure")))


def report(options: Args) -> dict:
    """Makes, tracks and compares the clips; prints a table and JSON, and returns what the JSON says."""
    model, rows = load_face_model(), []
    with tempfile.TemporaryDirectory() as scratch, Landmarker() as landmarker:
        folder = options.out or Path(scratch)
        for number in range(options.clips):
            scene = command.scene_of(options, number, model)
            rows.append(measure(scene, model, folder / f"synthetic_{options.seed}_{number:03d}.mp4", landmarker))
            if not number:
                print(_line("clip", list(rows[0])))
            print(_line(f"{number:4d}", [f"{value:.2f}" for value in rows[-1].values()]), flush=True)
    medians = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
    print(_line("med.", [f"{value:.2f}" for value in medians.values()]))
    settings = {name: value for name, value in vars(options).items() if not isinstance(value, Path)}
    figures = {"options": settings, "face_model": model.hash, "median": medians, "clips": rows}
    text = json.dumps(figures, indent=1)
    print(text)
    if options.json:
        with atomic_path(options.json) as part:
            part.write_text(text)
    return figures


def measure(scene: Scene, model: FaceModel, path: Path, landmarker: Landmarker) -> dict[str, float]:
    """Writes a scene's clip to `path`, tracks it, and compares with the truth; also fits perfect landmarks."""
    write_clip(path, scene, model)
    known = truth(scene, model)
    track, crops = track_video(path, model, landmarker)
    frames = slice(crops.start, crops.start + len(track.valid))
    figures = {"seen": float(track.valid.sum() / len(known.landmarks))}
    figures |= compare(model, known.track, Fitted(*track[:5]), frames) | residuals(known, track, frames)
    assumed = known.track._replace(focal=FOCAL * max(scene.size))
    fit = Fitted(*fit_clip(model, assumed.landmarks, assumed.valid, camera_of(assumed)))
    alone = compare(model, known.track, fit, slice(None))
    return figures | {f"fit {name}": value for name, value in alone.items()}


def compare(model: FaceModel, known: FaceTrack, fitted: Fitted, frames: slice) -> dict[str, float]:
    """Figures of a fitted face against the truth, for the `frames` of the truth that were fitted.

    Medians over frames, except for correlations:
      pose: angle of the rotation between fitted and true head, degrees; "bias" is the angle of the clip's mean such
        rotation, and "rest" the median angle with the mean taken out.
      jaw, blink: Pearson's correlation of jawOpen and of eyeBlink (mean of both eyes) with the truth; "blink max" is
        the highest fitted eyeBlink; "gap" is the correlation of the lip aperture, whichever shapes make it.
      mouth: distance of the mouth region's vertices in mm, both heads scaled to 63 mm between the eyes' centres and
        aligned rigidly by their face regions frame by frame; "move" is the same with the clip's mean distance vector
        of each vertex taken out, so what is wrong in the shape of the person does not count.
      gaze: angle between the directions in which an eye looks, camera frame, degrees, eyes open, mean of both.
      depth: fitted over true distance of the head.
    """
    true = Fitted(known.identity, *(array[frames] for array in known[1:5]))
    angles = rotation_angles(fitted.rotation, true.rotation)
    names = list(model.expression_names)
    jaw, left, right = (names.index(name) for name in ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight"))
    first, second = (_heads(model, face) for face in (fitted, true))
    face, mouth = model.regions["face"], model.regions["mouth"]
    _, turn, _ = umeyama(first[:, face], second[:, face])
    aligned = np.einsum("nij,nvj->nvi", turn, first[:, mouth] - first[:, face].mean(1, keepdims=True))
    apart = aligned + second[:, face].mean(1, keepdims=True) - second[:, mouth]
    blink = [face.expression[:, [left, right]].mean(1) for face in (fitted, true)]
    return {
        **angles,
        "jaw": correlation(fitted.expression[:, jaw], true.expression[:, jaw]),
        "blink": correlation(*blink),
        "blink max": float(blink[0].max()),
        "gap": correlation(*(mesh_lip_aperture(model, face.identity, face.expression) for face in (fitted, true))),
        "mouth": float(np.median(np.linalg.norm(apart, axis=-1).mean(1))),
        "move": float(np.median(np.linalg.norm(apart - apart.mean(0), axis=-1).mean(1))),
        "gaze": _gaze_error(fitted, true, blink[1] < BLINK),
        "depth": float(np.median(fitted.translation[:, 2] / true.translation[:, 2])),
    }


def rotation_angles(fitted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Degrees between rotations, axis-angle [N, 3]: median, of their mean difference, and median without that."""
    change = rotation_matrix(fitted) @ rotation_matrix(true).swapaxes(1, 2)
    u, _, vt = np.linalg.svd(change.sum(0))
    mean = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt  # the chordal mean
    rest = change @ mean.T
    return {
        "pose": float(np.median(_angle(change))),
        "bias": float(_angle(mean)),
        "rest": float(np.median(_angle(rest))),
    }


def residuals(known: Truth, track: FaceTrack, frames: slice) -> dict[str, float]:
    """Detected against perfect landmarks, pixels of the 256 crop, medians; "steady" without the clip's mean."""
    left, top, side = track.crop
    perfect = (known.landmarks[frames] - [left, top]) * (CROP / side)
    apart = (track.landmarks[..., :2] - perfect)[track.valid]
    moving = apart - apart.mean(0)
    eyes = np.r_[LEFT_EYE, RIGHT_EYE]

    def middle(gap: np.ndarray) -> float:
        return float(np.median(np.linalg.norm(gap, axis=-1).mean(1)))

    return {
        "px": middle(apart),
        "px lips": middle(apart[:, LIPS]),
        "px eyes": middle(apart[:, eyes]),
        "px steady": middle(moving),
    }


def _angle(matrices: np.ndarray) -> np.ndarray:
    trace = np.trace(matrices, axis1=-2, axis2=-1)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def _heads(model: FaceModel, face: Fitted) -> np.ndarray:
    """Vertices [N, V, 3] in the head frame, scaled to 63 mm between the eyes' centres."""
    points = vertices(model, face.identity, face.expression)
    centres = [points[0, model.regions[name]].mean(0) for name in ("eye_left", "eye_right")]
    return points * (PUPIL_DISTANCE / np.linalg.norm(centres[0] - centres[1]))


def _gaze_error(fitted: Fitted, true: Fitted, open: np.ndarray) -> float:
    def directions(face: Fitted) -> np.ndarray:
        ahead = -gaze_rotation(face.gaze.reshape(-1, 2, 2).astype(np.float64))[..., 2]
        return np.einsum("nij,nej->nei", rotation_matrix(face.rotation), ahead)

    cosine = np.clip((directions(fitted) * directions(true)).sum(-1), -1, 1)
    return float(np.median(np.degrees(np.arccos(cosine)).mean(1)[open]))


def _line(first: str, cells: list[str]) -> str:
    return first + "".join(f"{cell:>12}" for cell in cells)


if __name__ == "__main__":
    main()
