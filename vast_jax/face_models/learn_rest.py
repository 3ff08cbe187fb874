"""Learns from footage how people differ and what their faces hold, and gives it to a head (`face.rest`).

    python -m vast_jax.prepare VIDEOS... --out DATA
    python -m vast_jax.face_models.learn_rest --data DATA --head head.npz --out head.npz

The mean landmarks of a clip are the person's identity and the clip's mean expression, both normally distributed about
zero. Expectation maximisation finds the two covariances: given these, the identity of every person and the mean
expression of every clip are normal as well, and their second moments are the next covariances. Poses are those of the
tracks that the footage was prepared with, and what moves in a clip is noise. Clips held out from training are left out.

Of most people there is one clip. What somebody holds throughout it counts as identity there. So the spread of
identities comes out too wide, and that of expressions too narrow. IDENTITY_SPREAD and EXPRESSION_SPREAD set this right.
They were chosen on three people of several clips each: MEAD's M003, and RAVDESS' 8 and 11 as made by other systems.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vast_jax import cli
from vast_jax.data.clips import Clip
from vast_jax.data.pipeline import open_clips
from vast_jax.face.clip_fit import LANDMARK_SIGMA, smooth
from vast_jax.face.fitting import Pose, Problem, expression_prior, identity_prior, linearised, problem
from vast_jax.face.model import ASSET, FaceModel, landmark_basis, load_face_model, save_face_model
from vast_jax.face.rasterise import rotation_matrix
from vast_jax.face.rest import RestPrior
from vast_jax.face.tracking import seen
from vast_jax.face_models.correctives import some_of_each_person
from vast_jax.files import check_writable
from vast_jax.types import UserError

FRAMES = 24  # of a clip, spread over it
ROUNDS = 12
BELIEF = 30  # people, and clips, that the first covariances count for
FIRST_IDENTITY = 3.0  # times the covariance of an identity of which nothing was learned, where it begins
FIRST_EXPRESSION = 0.1
IDENTITY_SPREAD, EXPRESSION_SPREAD = 0.003, 1.0  # times the covariances found: see above


class Evidence(NamedTuple):
    """Normal equations of one clip in the identity and the mean expression; pose and movement are eliminated."""

    matrix: np.ndarray  # [I + D, I + D]
    right: np.ndarray  # [I + D]


def evidence(model: FaceModel, clip: Clip) -> Evidence:
    """What a clip tells, at the poses of its track."""
    known = np.flatnonzero(clip.track.valid)
    frames = known[np.linspace(0, len(known) - 1, FRAMES).round().astype(int)]
    track = clip.track
    observed = seen(track, model)
    target = smooth(observed.landmarks, LANDMARK_SIGMA)[frames]
    matrices = rotation_matrix(track.rotation[frames]).astype(np.float32)
    pose = Pose(track.expression[frames].astype(np.float32), matrices, track.translation[frames].astype(np.float32))
    fixed = problem(model, landmark_basis(model), observed.camera)
    found = _normal_equations(fixed, track.identity.astype(np.float32), pose, target.astype(np.float32))
    return Evidence(*(np.asarray(array, np.float64) for array in found))


@jax.jit
def _normal_equations(fixed: Problem, identity: jax.Array, pose: Pose, target: jax.Array):
    width = len(fixed.expression)
    person = fixed.neutral + jnp.einsum("i,ilc->lc", identity, fixed.identity)

    def frame(pose, target):
        residual, shared, own = linearised(fixed, person, pose, target)
        jacobian = jnp.concatenate([shared, own[:, :-6]], 1)
        turns = jnp.linalg.qr(own[:, -6:])[0]
        rows = jnp.c_[jacobian, jacobian @ jnp.concatenate([identity, pose.expression]) - residual]
        rows = rows - turns @ (turns.T @ rows)
        moving = rows[:, -width - 1 : -1]
        factor = jnp.linalg.cholesky(moving.T @ moving + jnp.diag(fixed.prior))
        calm = rows - moving @ jax.scipy.linalg.cho_solve((factor, True), moving.T @ rows)
        return rows[:, :-1].T @ calm

    both = jax.vmap(frame)(pose, target).sum(0)
    return both[:, :-1], both[:, -1]


def learn(model: FaceModel, people: Sequence[Sequence[Evidence]], rounds: int = ROUNDS) -> RestPrior:
    """The spread of identities and of held expressions, from the clips of each person."""
    count = len(model.identity_basis)
    precision = identity_prior(model)
    first = FIRST_IDENTITY * np.diag(1 / precision), FIRST_EXPRESSION * np.diag(1 / expression_prior(model))
    identity, expression = first
    for _ in range(rounds):
        moments = [BELIEF * first[0], BELIEF * first[1]]
        weights = [BELIEF, BELIEF]
        precisions = np.linalg.inv(identity), np.linalg.inv(expression)
        for clips in people:
            mean, spread = posterior(clips, *precisions)
            share = len(clips) ** -0.5  # of a clip: many clips of one person say little more about people
            moments[0] += np.outer(mean[:count], mean[:count]) + spread[:count, :count]
            weights[0] += 1
            for at in range(count, len(mean), len(expression)):
                own = slice(at, at + len(expression))
                moments[1] += share * (np.outer(mean[own], mean[own]) + spread[own, own])
                weights[1] += share
        identity, expression = (moment / weight for moment, weight in zip(moments, weights, strict=True))
    found = np.linalg.inv(IDENTITY_SPREAD * identity), np.linalg.inv(EXPRESSION_SPREAD * expression)
    return RestPrior(*((array + array.T).astype(np.float32) / 2 for array in found))


def posterior(clips: Sequence[Evidence], identity: np.ndarray, expression: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [I + C D] and covariance of a person's identity and of the mean expressions of the C clips.

    identity, expression: precisions [I, I] and [D, D].
    """
    count, width = len(identity), len(expression)
    matrix = np.zeros((count + len(clips) * width,) * 2)
    right = np.zeros(len(matrix))
    matrix[:count, :count] = identity
    for k, clip in enumerate(clips):
        own = slice(count + k * width, count + (k + 1) * width)
        matrix[:count, :count] += clip.matrix[:count, :count]
        matrix[:count, own] = clip.matrix[:count, count:]
        matrix[own, :count] = clip.matrix[count:, :count]
        matrix[own, own] = clip.matrix[count:, count:] + expression
        right[:count] += clip.right[:count]
        right[own] = clip.right[count:]
    spread = np.linalg.inv(matrix)
    return spread @ right, spread


@dataclass(frozen=True)
class Args:
    """Learns from prepared footage how people differ and what they hold, and writes the head with it."""

    data: Path
    """Folder of prepared clips of many people."""
    out: Path
    """The head to write; its parameter space stays, and so does its hash."""
    head: Path = ASSET
    """The head to begin with, the one that the clips were prepared with."""
    clips_a_person: int = 6
    """At most so many clips of one person, evenly spread over their names."""


def main(argv: list[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: _main(cli.parse(Args, argv, prog="python -m vast_jax.face_models.learn_rest")))


def _main(options: Args) -> None:
    check_writable(options.out.parent)
    head = load_face_model(options.head)
    clips = some_of_each_person(open_clips(options.data, "train"), options.clips_a_person)
    if any(clip.track.face_model != head.hash for clip in clips):
        raise UserError(f"{options.data} was prepared with another face model than {options.head}: prepare it again")
    people: dict[str, list[Evidence]] = {}
    for clip in clips:
        if clip.track.valid.any():
            people.setdefault(clip.person, []).append(evidence(head, clip))
    save_face_model(options.out, replace(head, rest=learn(head, list(people.values()))))
    print(f"{options.out}: learned from {len(clips)} clips of {len(people)} people", file=sys.stderr)


if __name__ == "__main__":
    main()
