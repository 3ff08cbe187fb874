"""ICT-FaceKit (USC Institute for Creative Technologies, MIT licence) as published, or as one file of arrays."""

import re
from pathlib import Path

import numpy as np

from vast_jax.face.model import UNREADABLE
from vast_jax.types import UserError

VERTICES = 26719
# Vertex ranges of the published topology.
PARTS = {
    "mouth_inside": (11248, 13294),  # mouth socket
    "gums": (14062, 16566),
    "tongue": (16566, 17039),
    "upper_teeth": (17039, 19247),
    "lower_teeth": (19247, 21451),
    "eye_left": (21451, 22221),
    "iris_left": (22221, 23021),
    "eye_right": (23021, 23791),
    "iris_right": (23791, 24591),
    "films": (24591, VERTICES),  # lacrimal fluid, blend and occlusion meshes, eyelashes
}
LEFT_OUT = ("iris_left", "iris_right", "films")  # the iris is painted on the eyeball
MERGED = ("browInnerUp", "cheekPuff")  # ARKit has one shape for both sides
NOT_ARKIT = ("PupilDilate", "cheekRaiser")  # one moves nothing but the pupil, the other doubles cheekSquint
NEUTRAL = "generic_neutral_mesh"


def read(path: Path) -> tuple[dict, list[str]]:
    """(arguments of `importers.face_model_arrays`, names of the shapes left out). UserError: it is not ICT-FaceKit."""
    neutral, triangles, identity, shapes = read_folder(path) if path.is_dir() else read_file(path)
    if len(neutral) != VERTICES:
        raise UserError(f"{path}: {len(neutral)} vertices where ICT-FaceKit has {VERTICES}; for another topology, use "
                        "the command `arrays`")  # fmt: skip
    names, basis, left_out = to_arkit(shapes)
    ranges = {name: np.arange(*PARTS[name]) for name in PARTS}
    parts = {name: ranges[name] for name in ("eye_left", "eye_right", "upper_teeth", "lower_teeth", "tongue")}
    parts["mouth_inside"] = np.r_[ranges["mouth_inside"], ranges["gums"]]
    parts["leave_out"] = np.concatenate([ranges[name] for name in LEFT_OUT])
    return {
        "neutral": neutral,
        "triangles": triangles,
        "expression_basis": basis,
        "expression_names": names,
        "identity_basis": identity,
        "parts": parts,
        "name": str(path),
    }, left_out


def to_arkit(shapes: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(ARKit's names [D], offsets [D, V, 3], names left out) of ICT's shapes: _L is Left; pairs of one shape are added.

    Shapes that somebody added under other names are kept.
    """
    kept, left_out = {}, []
    for name, offsets in shapes.items():
        stem, _, side = name.rpartition("_") if name.endswith(("_L", "_R")) else (name, "", "")
        if stem in NOT_ARKIT:
            left_out.append(name)
        elif stem in MERGED:
            kept[stem] = kept.get(stem, 0) + offsets
        else:
            kept[stem + {"L": "Left", "R": "Right", "": ""}[side]] = offsets
    return np.array(list(kept)), np.stack(list(kept.values())), left_out


def read_file(path: Path):
    """(neutral [V, 3], triangles [F, 3], identity offsets [I, V, 3], shapes {ICT's name: offsets [V, 3]}) of a .npz."""
    try:
        with np.load(path, allow_pickle=False) as file:
            neutral, triangles, identity = (file[name] for name in ("neutral", "faces", "identity"))
            shapes = dict(zip(file["expression_names"].tolist(), file["expression"], strict=True))
    except (KeyError, *UNREADABLE) as error:
        raise UserError(f"{path}: not ICT-FaceKit, neither its folder nor its arrays ({error})") from error
    return neutral, triangles, identity, shapes


def read_folder(path: Path):
    """The same of the folder FaceXModel, or of one that holds it: one OBJ a shape, offsets taken here."""
    folder = path / "FaceXModel" if (path / "FaceXModel").is_dir() else path
    files = {file.stem: file for file in sorted(folder.glob("*.obj"))}
    if NEUTRAL not in files:
        raise UserError(f"{path} has no {NEUTRAL}.obj: give ICT-FaceKit's folder FaceXModel")
    neutral, triangles = read_obj(files.pop(NEUTRAL), with_triangles=True)
    identity, shapes = [], {}
    for name, file in files.items():
        vertices = read_obj(file)[0]
        if vertices.shape != neutral.shape:
            raise UserError(f"{file} has {len(vertices)} vertices, {NEUTRAL}.obj has {len(neutral)}: fetch it again")
        if re.fullmatch(r"identity\d+", name):
            identity.append(vertices - neutral)
        else:
            shapes[name] = vertices - neutral
    if not identity or not shapes:
        raise UserError(
            f"{path} has no {'expression shapes' if identity else 'identity000.obj, ...'}: it is incomplete"
        )
    return neutral, triangles, np.stack(identity), shapes


def read_obj(path: Path, with_triangles: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] float32 and triangles [F, 3] (none unless asked for) of a Wavefront OBJ; polygons become fans."""
    vertices, triangles = [], []
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.startswith("v "):
                    vertices.append(line.split()[1:4])
                elif with_triangles and line.startswith("f "):
                    corner = [int(word.partition("/")[0]) - 1 for word in line.split()[1:]]
                    triangles += [(corner[0], corner[k], corner[k + 1]) for k in range(1, len(corner) - 1)]
        return np.array(vertices, np.float32).reshape(-1, 3), np.array(triangles, np.int64).reshape(-1, 3)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable OBJ ({error})") from error
