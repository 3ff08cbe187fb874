"""Learns from footage what the named shapes of a head cannot do, and adds it.

    python -m vast_jax.prepare VIDEOS... --out DATA
    python -m vast_jax.face_models.correctives --data DATA --count 20 --out head.npz

The head is fitted to the landmarks of prepared clips; what the fit leaves over is taken apart into
- a constant offset of each landmark, the same for everybody: where the detector sees it, minus the mesh point it was
  embedded at. It belongs to the correspondence, not to the mesh;
- shapes of people that the identity basis lacks (`--identity`), from all that is left;
- shapes of faces in motion that the expression basis lacks (`--count`): the correctives, from what changes in a clip.
Each is a principal component, even or odd under mirroring, spread over the mesh by a bi-Laplacian, which follows the
surface and so keeps the upper lip apart from the lower one. Clips held out from training are left out here as well.
A model that is given learned shapes already loses them first, so that learning again never piles up.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from vast_jax import cli
from vast_jax.data.clips import Clip
from vast_jax.data.pipeline import open_clips
from vast_jax.face.clip_fit import fit_clip
from vast_jax.face.fitting import landmark_weights
from vast_jax.face.landmarks import MESH_LANDMARKS
from vast_jax.face.model import ASSET, FaceModel, landmark_basis, load_face_model, save_face_model, without_learned
from vast_jax.face.overlay import landmarks_in_camera
from vast_jax.face.rasterise import Camera, project, rotation_matrix
from vast_jax.face.tracking import seen
from vast_jax.face_models.spreading import Spreader
from vast_jax.files import check_writable
from vast_jax.types import UserError

ROUNDS = 2  # fit and offset alternate
RIDGE = 0.05  # of the observations: pulls to zero what the views do not show (depth, in frontal footage)
FRAMES = 25  # of a clip, spread over it
EXPRESSION_RANGE = 3.0  # standard deviations: an activation of 1


class Observed(NamedTuple):
    """The landmarks of one clip."""

    landmarks: np.ndarray  # [N, 478, 2 or 3] crop pixels
    valid: np.ndarray  # [N] bool
    camera: Camera
    person: str  # people count alike, however many clips they have


class Shapes(NamedTuple):
    """Displacements of the mesh's landmarks, one standard deviation each."""

    fields: np.ndarray  # [K, 468, 3] mm, head frame
    odd: np.ndarray  # [K] bool: changes its sign when mirrored


def learn(model: FaceModel, clips: Sequence[Observed], count: int = 20, identity: int = 60, log=None) -> FaceModel:
    """The model with its landmark offset, `identity` more identity and `count` more expression parameters.

    The new expression parameters come last and range over [-1, 1], which is three standard deviations of what was
    seen. Raises UserError if the clips do not hold that many.
    """
    model = without_learned(model)
    model = replace(model, landmark_offset=np.zeros((478, 3), np.float32))
    people = [clip.person for clip in clips]
    for _ in range(ROUNDS):
        leftovers = [leftover(model, clip) for clip in clips]
        change = landmark_offset(leftovers, people)
        model = replace(model, landmark_offset=model.landmark_offset + change)
        if log:
            log(f"mean residual {np.mean([left.pixels for left in leftovers]):.3f} pixels over {len(clips)} clips")
    leftovers = [leftover(model, clip) for clip in clips]
    weight = _share(people, [len(left.fields) for left in leftovers])
    mirror = mirrored_landmarks(model)
    still = principal_shapes(np.concatenate([left.fields for left in leftovers]), weight, mirror, identity)
    moving = [left.fields - left.fields.mean(0) for left in leftovers]
    moving = principal_shapes(np.concatenate(moving), weight, mirror, count)
    spread = Spreader(model)
    names = [f"corrective{'Odd' if odd else ''}{k + 1:02d}" for k, odd in enumerate(moving.odd)]
    return model.extended(
        identity=spread(still.fields),
        expression=EXPRESSION_RANGE * spread(moving.fields),
        expression_names=names,
    )


class Leftover(NamedTuple):
    """What a fit leaves of a clip's landmarks, in F of its frames."""

    fields: np.ndarray  # [F, 468, 3] mm, head frame: the smallest displacement that explains each pixel
    slopes: np.ndarray  # [F, 468, 2, 3] pixels a mm in the head frame
    residual: np.ndarray  # [F, 468, 2] pixels
    pixels: float  # mean length of the residual


def leftover(model: FaceModel, clip: Observed) -> Leftover:
    """Fits the model to a clip and returns what is left."""
    fit = fit_clip(model, clip.landmarks, clip.valid, clip.camera)
    known = np.flatnonzero(clip.valid)
    frames = known[np.unique(np.linspace(0, len(known) - 1, FRAMES).round().astype(int))]
    points = landmarks_in_camera(model, fit, frames)[:, :MESH_LANDMARKS]
    residual = clip.landmarks[frames, :MESH_LANDMARKS, :2] - project(points, clip.camera)[..., :2]
    x, y, z = np.moveaxis(points, -1, 0)
    zero, scale = np.zeros_like(z), clip.camera.focal / z
    slopes = [np.stack([zero + 1, zero, -x / z], -1), np.stack([zero, zero + 1, -y / z], -1)]
    slopes = scale[..., None, None] * np.stack(slopes, -2) @ rotation_matrix(fit.rotation[frames])[:, None]
    gram = slopes @ slopes.swapaxes(-1, -2)
    fields = (slopes.swapaxes(-1, -2) @ np.linalg.solve(gram, residual[..., None]))[..., 0]
    return Leftover(fields, slopes, residual, float(np.linalg.norm(residual, axis=-1).mean()))


def landmark_offset(leftovers: Sequence[Leftover], people: Sequence[str]) -> np.ndarray:
    """The constant [478, 3] mm that explains most of what the fits of all clips leave; zero for the irises."""
    matrix, right = np.zeros((MESH_LANDMARKS, 3, 3)), np.zeros((MESH_LANDMARKS, 3))
    for left, share in zip(leftovers, _share(people, np.ones(len(people), int)), strict=True):
        matrix += share * np.einsum("nlki,nlkj->lij", left.slopes, left.slopes) / len(left.slopes)
        right += share * np.einsum("nlki,nlk->li", left.slopes, left.residual) / len(left.slopes)
    matrix += RIDGE * np.trace(matrix, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    offset = np.zeros((478, 3), np.float32)
    offset[:MESH_LANDMARKS] = np.linalg.solve(matrix, right[..., None])[..., 0]
    return offset


def principal_shapes(fields: np.ndarray, weight: np.ndarray, mirror: np.ndarray, count: int) -> Shapes:
    """The `count` strongest principal components of fields [M, 468, 3], even and odd ones under mirroring apart.

    Args:
      weight: [M], how much each field counts.
      mirror: [468], each landmark's partner on the other side.

    A face and its mirror image are equally likely, so their covariance has no other components. Lips and eyes count
    by the precision that the tracker gives them.
    """
    flip = np.array([-1.0, 1.0, 1.0])
    importance = landmark_weights()[:MESH_LANDMARKS, None]
    other = fields[:, mirror] * flip
    found = []
    for odd in (False, True):
        half = (fields - other if odd else fields + other) / 2
        rows = (half * importance).reshape(len(half), -1) * np.sqrt(weight / weight.sum())[:, None]
        _, deviation, vectors = np.linalg.svd(rows, full_matrices=False)
        found += [
            (s, odd, s * v.reshape(MESH_LANDMARKS, 3) / importance) for s, v in zip(deviation, vectors, strict=True)
        ]
    found = sorted(found, key=lambda item: -item[0])[:count]
    if len(found) < count or (count and found[-1][0] < 1e-9):
        raise UserError(
            f"the footage holds fewer than {count} independent shapes: prepare more of it, or ask for fewer"
        )
    fields = np.array([field for _, _, field in found]).reshape(count, MESH_LANDMARKS, 3)
    return Shapes(fields, np.array([odd for _, odd, _ in found], bool))


def mirrored_landmarks(model: FaceModel) -> np.ndarray:
    """Each mesh landmark's partner [468] on the other side of the head; its own on the middle line."""
    points = landmark_basis(replace(model, landmark_offset=np.zeros((478, 3), np.float32))).neutral[:MESH_LANDMARKS]
    distance = np.linalg.norm((points * [-1, 1, 1])[:, None] - points[None], axis=-1)
    partner = linear_sum_assignment(distance)[1]
    return np.where(partner[partner] == np.arange(len(partner)), partner, np.arange(len(partner)))


def _share(people: Sequence[str], frames: Sequence[int]) -> np.ndarray:
    """Weight of every frame of every clip, so that people count alike: sum over all is 1."""
    total = {person: sum(n for p, n in zip(people, frames, strict=True) if p == person) for person in people}
    weight = [1 / total[person] / len(total) for person in people]
    return np.repeat(weight, frames)


@dataclass(frozen=True)
class Args:
    """Learns the shapes that a head lacks from prepared footage, and writes the head with them."""

    data: Path
    """Folder of prepared clips."""
    out: Path
    """The head to write."""
    head: Path = ASSET
    """The head to begin with."""
    count: int = 20
    """Expression parameters to add: 20 give 72 in all, 181 the paper's 233."""
    identity: int = 60
    """Identity parameters to add."""
    clips: tuple[str, ...] = ()
    """Beginnings of the names of the clips to learn from; none: all."""
    clips_a_person: int = 40
    """At most so many clips of one person, evenly spread over their names."""


def some_of_each_person(clips: Sequence[Clip], most: int) -> list[Clip]:
    """At most `most` clips of a person, evenly spread over their names."""
    of_person: dict[str, list[Clip]] = {}
    for clip in sorted(clips, key=lambda clip: clip.name):
        of_person.setdefault(clip.person, []).append(clip)
    return [mine[k] for mine in of_person.values() for k in np.unique(np.linspace(0, len(mine) - 1, most).astype(int))]


def observed(clip: Clip, model: FaceModel) -> Observed:
    return Observed(*seen(clip.track, model), clip.person)


def main(argv: list[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: _main(cli.parse(Args, argv, prog="python -m vast_jax.face_models.correctives")))


def _main(options: Args) -> None:
    check_writable(options.out.parent)
    clips = [clip for clip in open_clips(options.data, "train") if clip.name.startswith(options.clips or ("",))]
    clips = some_of_each_person(clips, options.clips_a_person)
    if not clips:
        raise UserError(f"{options.data}: no clip to learn from; held-out ones are left out")

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    head = load_face_model(options.head)
    model = learn(head, [observed(clip, head) for clip in clips], options.count, options.identity, say)
    save_face_model(options.out, model)
    say(f"{options.out}: {len(model.identity_basis)} identity and {len(model.expression_names)} expression parameters")


if __name__ == "__main__":
    main()
