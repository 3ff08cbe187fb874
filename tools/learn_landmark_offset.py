"""Learns what the landmark detector calls a landmark, minus the mesh point it corresponds to, and keeps it in head.npz.

    python tools/learn_landmark_offset.py VIDEOS... [--head vast_jax/assets/head.npz]

Footage under a research-only licence would pass its limits on to the head: learn from GRID alone (CC-BY 4.0), say
`grid/others` and every 60th clip of `grid/s1`. Held-out clips are skipped. The offset of a landmark is the mean over
people of the fit's residual, in the head frame; fit and offset alternate. It is a property of the detector, so it
belongs to the correspondence and not to the mesh. The parameters keep their
meaning, so the head keeps its hash; but tracks come out a little different: prepare footage anew.
"""

import sys
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import tyro

from vast_jax import cli
from vast_jax.data.splits import is_held_out
from vast_jax.face import clip_fit, tracking
from vast_jax.face.following import bridge, follow_face, longest, stretches
from vast_jax.face.landmarks import Landmarker, crop_box, to_crop
from vast_jax.face.model import ASSET, FaceModel, landmark_basis, load_face_model
from vast_jax.face.rasterise import Camera, project, rotation_matrix
from vast_jax.files import atomic_path
from vast_jax.media import read_frames
from vast_jax.types import UserError

ROUNDS = 3
RIDGE = 0.05  # of the observations: pulls to zero what the views do not show (depth, in frontal footage)
FRAMES = 50  # of a clip


@dataclass(frozen=True)
class Args:
    videos: tyro.conf.Positional[tuple[Path, ...]]
    head: Path = ASSET


def landmarks_of(path: Path, landmarker: Landmarker) -> tuple[np.ndarray, Camera]:
    found = follow_face(islice(read_frames(path), FRAMES), landmarker)
    run = longest(stretches(found.seen, found.cuts))
    landmarks = bridge(found.landmarks[run], found.seen[run])
    if len(landmarks) < FRAMES // 3:
        raise UserError(f"no face found in {path}")
    left, top, side = box = crop_box(landmarks)
    (width, height), scale = found.size, 256 / side
    focal = tracking.FOCAL * max(found.size) * scale
    return to_crop(landmarks, box), Camera(focal, (width / 2 - left) * scale, (height / 2 - top) * scale)


def residual_offset(model: FaceModel, clips: list[tuple[np.ndarray, Camera]]) -> tuple[np.ndarray, float]:
    """(offset [478, 3] mm that would best explain what the fits of all clips leave, mean residual in pixels)."""
    basis = landmark_basis(model)
    matrix, right, errors = np.zeros((478, 3, 3)), np.zeros((478, 3)), []
    for landmarks, camera in clips:
        fit = clip_fit.fit_clip(model, landmarks, np.ones(len(landmarks), bool), camera)
        rotation = rotation_matrix(fit.rotation)
        head = basis.neutral + np.einsum("i,ilc->lc", fit.identity, basis.identity)
        head = head + np.einsum("nd,dlc->nlc", fit.expression, basis.expression)
        points = np.einsum("nij,nlj->nli", rotation, head) + fit.translation[:, None]
        residual = landmarks[..., :2] - project(points, camera)[..., :2]
        x, y, z = np.moveaxis(points, -1, 0)
        zero, scale = np.zeros_like(z), camera.focal / z
        slope = scale[..., None, None] * np.stack(
            [np.stack([zero + 1, zero, -x / z], -1), np.stack([zero, zero + 1, -y / z], -1)], -2
        )
        slope = slope @ rotation[:, None]
        matrix += np.einsum("nlki,nlkj->lij", slope, slope) / len(landmarks)  # every clip, so every person, counts once
        right += np.einsum("nlki,nlk->li", slope, residual) / len(landmarks)
        errors.append(np.linalg.norm(residual[:, :468], axis=-1).mean())
    matrix += RIDGE * np.trace(matrix, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    return np.linalg.solve(matrix, right[..., None])[..., 0], float(np.mean(errors))


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    videos = [path for path in args.videos if not is_held_out(str(path))]
    if not videos:
        raise UserError("no videos left to learn from: the ones given are held out")
    with Landmarker() as landmarker:
        clips = [landmarks_of(path, landmarker) for path in videos]
    model = load_face_model(args.head)
    model = replace(model, landmark_offset=np.zeros((478, 3), np.float32))
    for turn in range(ROUNDS):
        change, error = residual_offset(model, clips)
        print(f"round {turn}: mean residual {error:.3f} px over {len(clips)} clips", file=sys.stderr)
        change[468:] = 0  # irises turn with the gaze
        model = replace(model, landmark_offset=(model.landmark_offset + change).astype(np.float32))
    with np.load(args.head, allow_pickle=False) as file:
        arrays = {**file, "landmark_offset": model.landmark_offset}
    with atomic_path(args.head) as part:
        np.savez_compressed(part, **arrays)


if __name__ == "__main__":
    cli.run(main)
