"""Learns the landmark detector's habits on rendered people.

    python -m vast_jax.face_models.learn_detector_bias --out head.npz

Shows the detector one picture of each of many made-up people, whose landmarks are known, and writes the face model with
what `face.detector_bias.learn` finds. Six minutes with two processes.
"""

import functools
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vast_jax import cli
from vast_jax.data.workers import run_jobs
from vast_jax.face.detector_bias import learn
from vast_jax.face.landmarks import Landmarker
from vast_jax.face.model import ASSET, load_face_model, save_face_model
from vast_jax.files import check_writable
from vast_jax.media import FPS
from vast_jax.synthesis.clips import truth
from vast_jax.synthesis.rendering import render
from vast_jax.synthesis.scene import random_scene
from vast_jax.types import UserError

LEAST = 100  # people
_JOB = 50


@dataclass(frozen=True)
class Args:
    """Learns the habits of the landmark detector on rendered people, and writes the face model with them."""

    out: Path
    """The face model to write."""
    head: Path = ASSET
    """The face model to begin with."""
    people: int = 1600
    """How many to show the detector."""
    components: int = 30
    """Principal components of a detection that tell its error."""
    seed: int = 2000
    """The same seed makes the same people."""
    workers: int = os.cpu_count() or 1
    """Processes."""


def show(job: tuple[Path, range]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Detected [478, 3] and true [478, 2] landmarks in pixels and the head's rotation [3] of people, by their seeds."""
    path, seeds = job
    model, found = load_face_model(path), []
    for seed in seeds:
        scene = random_scene(np.random.default_rng(seed), model, seconds=1 / FPS)
        faces = _landmarker().detect(next(iter(render(scene, model))))
        if faces:
            found.append((faces[0], truth(scene, model).landmarks[0], scene.rotation[0]))
    return found


@functools.cache
def _landmarker() -> Landmarker:
    return Landmarker(num_faces=1)


def main(argv: list[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: _main(cli.parse(Args, argv, prog="python -m vast_jax.face_models.learn_detector_bias")))


def _main(options: Args) -> None:
    if options.people < LEAST:
        raise UserError(f"{options.people} people tell nothing: ask for {LEAST} or more")
    check_writable(options.out.parent)
    model, stop = load_face_model(options.head), options.seed + options.people
    jobs = [(options.head, range(first, min(first + _JOB, stop))) for first in range(options.seed, stop, _JOB)]
    found = {}
    for (_, seeds), people in run_jobs(show, jobs, options.workers):
        found[seeds.start] = people or []
        print(f"{sum(map(len, found.values()))} of {options.people} people", file=sys.stderr, flush=True)
    detected, true, rotation = map(
        np.array, zip(*(person for key in sorted(found) for person in found[key]), strict=True)
    )
    save_face_model(options.out, replace(model, detector_bias=learn(detected, true, rotation, options.components)))


if __name__ == "__main__":
    main()
