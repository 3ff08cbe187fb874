"""Synthetic footage for anyone without any: python -m vast_jax.synthesis --out DIR --clips 10 --seconds 4 --seed 0

Each clip is a video of a made-up person who talks, and an .npz that says everything about it. The folder is footage
like any other: python -m vast_jax.prepare DIR --out DATA
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vast_jax import cli
from vast_jax.face.model import FaceModel, load_face_model
from vast_jax.face.tracking import FOCAL
from vast_jax.files import check_writable
from vast_jax.synthesis.clips import write_clip
from vast_jax.synthesis.scene import Realism, Scene, random_scene
from vast_jax.types import UserError


@dataclass(frozen=True)
class Args:
    """Makes synthetic clips of people who do not exist, with the truth about every frame."""

    out: Path
    """Folder for the clips."""
    clips: int = 10
    """How many; each shows another person."""
    seconds: float = 4.0
    """Length of a clip."""
    seed: int = 0
    """The same seed makes the same clips; clip n of a seed does not depend on how many there are."""
    size: int = 512
    """Height in pixels."""
    width: int | None = None
    """Width in pixels; the height unless given."""
    eye_distance: float | None = None
    """Pixels between the eyes; drawn for each clip unless given."""
    realism: Realism = "realistic"
    """How much noise, blur and compression there is; "hard" puts things before the face as well."""
    clean: bool = False
    """The same as --realism clean."""
    yaw: float = 25.0
    """Degrees that heads turn to either side at most."""
    pitch: float = 12.0
    """Degrees that heads nod at most."""
    focal: float = FOCAL
    """Focal length, times the longer side; the tracker assumes the default."""
    one_person: bool = False
    """All clips show the same person in the same place and light: footage for an avatar."""


def scene_of(options: Args, number: int, model: FaceModel) -> Scene:
    """Clip `number`'s scene."""
    return random_scene(
        np.random.default_rng([options.seed, number]),
        model,
        "clean" if options.clean else options.realism,
        options.seconds,
        (options.width or options.size, options.size),
        options.eye_distance,
        options.yaw,
        options.pitch,
        options.focal,
        person=np.random.default_rng([options.seed]) if options.one_person else None,
    )


def main(argv: list[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: make(cli.parse(Args, argv, prog="python -m vast_jax.synthesis")))


def make(options: Args) -> list[Path]:
    """Writes the clips and returns their paths. UserError: an option out of range, or a file that cannot be written."""
    if options.clips < 1:
        raise UserError(f"{options.clips} clips are none: ask for 1 or more")
    check_writable(options.out)
    model = load_face_model()
    paths = [options.out / f"synthetic_{options.seed}_{number:03d}.mp4" for number in range(options.clips)]
    for number, path in enumerate(paths):
        scene = scene_of(options, number, model)
        write_clip(path, scene, model)
        print(f"{path}: {len(scene.expression)} frames, {scene.size[0]}x{scene.size[1]}", file=sys.stderr)
    return paths


if __name__ == "__main__":
    main()
