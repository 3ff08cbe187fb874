"""Other face models: a head file (docs/face_models.md) from ICT-FaceKit, or from plain arrays of any linear model.

python -m vast_jax.face_models.importers ict FOLDER_OR_NPZ --out head.npz
python -m vast_jax.face_models.importers arrays ARRAYS.npz --out head.npz
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import imageio.v3 as imageio
import numpy as np
import tyro

from vast_jax import cli
from vast_jax.face.model import UNREADABLE, face_model, landmarks, space_hash
from vast_jax.face_models import ict_facekit
from vast_jax.face_models.anatomy import bare, dress
from vast_jax.face_models.correspondence import Correspondence, describe, find_correspondence
from vast_jax.face_models.foreign_mesh import (
    FRONT,
    UP,
    check_arrays,
    compact,
    kinds,
    outwards,
    to_head_frame,
    with_eyeballs,
)
from vast_jax.files import atomic_path
from vast_jax.types import UserError

OPEN = 0.5  # of jaw_open, where the lips are told from the mouth
WORST = 2.5  # px of the 256 crop: landmarks that explain the pictures no better than this are wrong
REQUIRED = ("neutral", "triangles", "expression_basis", "expression_names")
OPTIONAL = ("identity_basis", "expression_low", "jaw_open", "eye_centres", "up", "front")
PARTS = ("eye_left", "eye_right", "upper_teeth", "lower_teeth", "tongue", "mouth_inside", "leave_out")


@dataclass(frozen=True)
class Ict:
    """Reads ICT-FaceKit: its folder FaceXModel as published, or the same model as one file of arrays."""

    source: tyro.conf.Positional[Path]
    out: Path = Path("head.npz")
    picture: Path | None = None  # shows the landmarks that were found; default: beside the output


@dataclass(frozen=True)
class Arrays:
    """Reads a .npz of plain arrays: neutral, triangles, expression_basis, expression_names and what else there is."""

    source: tyro.conf.Positional[Path]
    out: Path = Path("head.npz")
    picture: Path | None = None  # shows the landmarks that were found; default: beside the output


def face_model_arrays(
    neutral: np.ndarray,
    triangles: np.ndarray,
    expression_basis: np.ndarray,
    expression_names: np.ndarray,
    identity_basis: np.ndarray | None = None,
    parts: dict[str, np.ndarray] | None = None,
    *,
    expression_low: np.ndarray | None = None,
    jaw_open: np.ndarray | None = None,
    eye_centres: np.ndarray | None = None,
    up: np.ndarray = UP,
    front: np.ndarray = FRONT,
    name: str = "the face model",
) -> tuple[dict[str, np.ndarray], Correspondence]:
    """All arrays of a head file, from those of a linear face model in any unit and frame; and its landmarks' picture.

    Args:
      neutral: [V, 3] the mean head.
      triangles: [F, 3] vertex numbers.
      expression_basis: [D, V, 3] offsets from the mean head at full activation.
      expression_names: [D], ARKit's where the shape is ARKit's.
      identity_basis: [I, V, 3] offsets a standard deviation of people; None for a rig of one person.
      parts: vertex numbers, or bool [V], of PARTS; eye_left and eye_right (the subject's) unless eye_centres are given.
      expression_low: [D] least activation, 0 or, for a shape with two signs, -1; None is all 0.
      jaw_open: [D] activations with the mouth wide open; None is the shape jawOpen.
      eye_centres: [2, 3] of a mesh without eyeballs, left and right: it is given some.
      up, front: [3] where the crown and where the face points to in the file's frame.
      name: what errors call the model.

    UserError: something is missing, of the wrong shape or meaning, or no face can be seen on the head.
    """
    arrays = check_arrays(
        name, neutral, triangles, expression_basis, expression_names, identity_basis, expression_low, jaw_open
    )
    kind = kinds(name, parts or {}, len(arrays["neutral"]))
    if eye_centres is not None:
        arrays, kind = with_eyeballs(name, arrays, kind, eye_centres)
    arrays, kind = compact(name, arrays, kind)
    arrays = outwards(name, to_head_frame(name, arrays, kind, up, front), kind)
    jaw = arrays.pop("jaw_open", None)
    try:
        first = find_correspondence(arrays | bare(kind), jaw)  # no lips known yet
        arrays |= _dressed(arrays, kind, first, jaw)
        found = find_correspondence(arrays, jaw)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    for key in arrays:
        if key.startswith("paint_") or key in ("identity_basis", "expression_basis"):
            arrays[key] = arrays[key].astype(np.float16)
    space = space_hash(*(arrays[key] for key in ("expression_names", "identity_basis", "expression_basis")))
    return arrays | found.arrays | {"hash": np.array(space)}, found


def _dressed(
    arrays: dict[str, np.ndarray], kind: np.ndarray, found: Correspondence, jaw: np.ndarray | None
) -> dict[str, np.ndarray]:
    model = face_model(arrays | bare(kind) | found.arrays, "")
    if jaw is None:
        jaw = np.eye(len(model.expression_names))[model.expression_names.index("jawOpen")]
    opened = model.neutral + np.tensordot(OPEN * jaw, model.expression_basis, 1)
    points, opened_points = landmarks(model, np.stack([model.neutral, opened]))
    return dress(kind, model.neutral, opened, points, opened_points)


def read_arrays(path: Path) -> dict:
    """The arguments of `face_model_arrays` from a .npz. UserError: not one, pickled, or names missing or unknown."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except UNREADABLE as error:
        raise UserError(f"{path}: not a .npz of plain arrays ({error})") from error
    if "landmark_triangles" in arrays:
        raise UserError(f"{path} is a head file already: use it as it is")
    missing = [name for name in REQUIRED if name not in arrays]
    if missing:
        raise UserError(f"{path} has no {', '.join(missing)}: see docs/face_models.md for what an import needs")
    unknown = [name for name in arrays if name not in REQUIRED + OPTIONAL + PARTS]
    if unknown:
        raise UserError(f"{path}: unknown {', '.join(unknown)}; an import reads {', '.join(OPTIONAL + PARTS)} besides")
    parts = {name: arrays.pop(name) for name in PARTS if name in arrays}
    return arrays | {"parts": parts, "name": str(path)}


def write(arrays: dict[str, np.ndarray], found: Correspondence, out: Path, picture: Path | None = None) -> None:
    """Writes the picture, then the head file. UserError: the landmarks do not fit (the picture is there to see why)."""
    picture = picture or out.with_suffix(".jpg")
    with atomic_path(picture) as part:
        imageio.imwrite(part, found.sheet)
    if found.error.mean() > WORST:
        raise UserError(f"the landmarks found fit badly ({describe(found.error)}): look at {picture}; no head written")
    with atomic_path(out) as part:
        np.savez_compressed(part, **arrays)
    print(f"{describe(found.error)}: see {picture}")
    vertices, identity, expression = (len(arrays[name]) for name in ("neutral", "identity_basis", "expression_basis"))
    print(f"{out}: {vertices} vertices, {identity} identity and {expression} expression parameters")


def main() -> None:
    commands = (
        Annotated[Ict, tyro.conf.subcommand("ict", prefix_name=False)]
        | Annotated[Arrays, tyro.conf.subcommand("arrays", prefix_name=False)]
    )
    arguments = cli.parse(commands, prog="python -m vast_jax.face_models.importers")
    if arguments.out.suffix != ".npz":
        raise UserError(f"{arguments.out}: a head file's name ends in .npz")
    if isinstance(arguments, Ict):
        inputs, left_out = ict_facekit.read(arguments.source)
        print(f"left out, for ARKit has no such shapes: {', '.join(left_out) or 'none'}", file=sys.stderr)
    else:
        inputs = read_arrays(arguments.source)
    write(*face_model_arrays(**inputs), arguments.out, arguments.picture)


if __name__ == "__main__":
    cli.run(main)
