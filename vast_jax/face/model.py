"""The parametric face: a linear head (identity and ARKit-named expression) with eyes that turn.

Head frame: millimetres, x to the image right (the subject's left), y down, z forward away from the camera, so that
the face looks along -z; the origin lies in the middle of the head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import NamedTuple, TypeVar
from zipfile import BadZipFile

import numpy as np

from vast_jax.face.detector_bias import DetectorBias
from vast_jax.face.rest import RestPrior
from vast_jax.files import atomic_path, sha256
from vast_jax.types import Array, UserError

ASSET = Path(__file__).parent.parent / "assets" / "head.npz"
PUPIL_DISTANCE = 63.0  # mm, adult mean
ORIGIN_FROM_EYES = np.array([0.0, 25.0, 70.0])  # mm, head frame: from the middle of the eyes to the middle of the head
PART_NAMES = (
    "skin",
    "lips",
    "brows",
    "eye_left",
    "eye_right",
    "upper_teeth",
    "lower_teeth",
    "tongue",
    "mouth_inside",
    "scalp",
    "body",
)
UNREADABLE = OSError, ValueError, EOFError, AttributeError, TypeError, BadZipFile  # what np.load raises, or its result
_T = TypeVar("_T", DetectorBias, RestPrior)
IRIS_LANDMARKS = (tuple(range(473, 478)), tuple(range(468, 473)))  # of the left, then of the right eye


@dataclass(frozen=True, eq=False)
class FaceModel:
    """V vertices, F triangles, I identity and D expression parameters."""

    neutral: np.ndarray  # [V, 3] float32, mm
    identity_basis: np.ndarray  # [I, V, 3] float32, mm per standard deviation of people
    expression_basis: np.ndarray  # [D, V, 3] float32, mm per unit activation
    expression_names: tuple[str, ...]  # D names, ARKit's where the shape is ARKit's
    expression_low: np.ndarray  # [D] float32: activations range from here, 0 or, where a shape has two signs, -1, to 1
    triangles: np.ndarray  # [F, 3] int32, counter-clockwise seen from outside
    part: np.ndarray  # [V] uint8, index into PART_NAMES
    regions: dict[str, np.ndarray]  # name -> [V] bool
    paint: dict[str, np.ndarray]  # name -> [V] float32 in [0, 1], soft masks and "hair" in mm, for the built-in avatar
    eye_centres: np.ndarray  # [2, 3] float32, left and right, of the mean head
    landmark_triangles: np.ndarray  # [478, 3] int32 vertex indices
    landmark_weights: np.ndarray  # [478, 3] float32 barycentric
    landmark_offset: np.ndarray  # [478, 3] float32, mm: what the detector calls the landmark, minus the mesh point
    hash: str  # names the parameter space: a file with the same hash differs in looks or landmarks at most
    learned_identity: int = 0  # how many of I, the last ones, were learned from footage by `face_models.correctives`
    learned_expression: int = 0  # how many of D, the last ones
    detector_bias: DetectorBias | None = None  # of the landmarks' detector against this model's landmarks
    rest: RestPrior | None = None  # how people differ and what they hold; None: nothing was learned of it

    def extended(self, identity: np.ndarray, expression: np.ndarray, expression_names: Sequence[str]) -> "FaceModel":
        """This model with learned shapes behind its own: identity [I', V, 3], expression [D', V, 3], -1 to 1, in mm."""
        names = (*self.expression_names, *expression_names)
        identity = np.concatenate([self.identity_basis, identity]).astype(np.float16)
        expression = np.concatenate([self.expression_basis, expression]).astype(np.float16)
        return replace(
            self,
            identity_basis=identity.astype(np.float32),  # as the file will hold them
            expression_basis=expression.astype(np.float32),
            expression_names=names,
            expression_low=np.r_[self.expression_low, -np.ones(len(expression_names))].astype(np.float32),
            hash=space_hash(np.array(names), identity, expression),
            learned_identity=self.learned_identity + len(identity) - len(self.identity_basis),
            learned_expression=self.learned_expression + len(expression_names),
            rest=None,  # it spoke of other parameters
        )


class LandmarkBasis(NamedTuple):
    """The face model at the 478 landmarks alone: point = neutral + identity . b + expression . e (irises before gaze).

    With gaze, iris landmarks `iris[eye]` turn about `eye_centres[eye]` + identity . b.
    """

    neutral: np.ndarray  # [478, 3] float32, offset included
    identity: np.ndarray  # [I, 478, 3] float32
    expression: np.ndarray  # [D, 478, 3] float32
    iris: np.ndarray  # [2, 5] int32, landmark numbers of the left and right iris
    eye_centres: np.ndarray  # [2, 3] float32
    eye_centres_identity: np.ndarray  # [I, 2, 3] float32


@lru_cache(maxsize=2)
def load_face_model(path: str | PathLike | None = None) -> FaceModel:
    """Reads a face model file; None means the shipped head. Raises UserError if it cannot be read."""
    path = Path(path or ASSET)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        return face_model(arrays, str(arrays["hash"]) if "hash" in arrays else sha256(path))
    except (KeyError, *UNREADABLE) as error:
        why = "not an .npz file" if "pickle" in str(error) else error
        raise UserError(f"{path} is not a readable face model ({why}); reinstall vast_jax or name another") from error


def face_model(arrays: dict[str, np.ndarray], hash: str) -> FaceModel:
    """The face model of a file's arrays (docs/face_models.md). KeyError: one is missing."""
    regions = {name[7:]: arrays[name].astype(bool) for name in arrays if name.startswith("region_")}
    paint = {name[6:]: arrays[name].astype(np.float32) for name in arrays if name.startswith("paint_")}
    floats = ("neutral", "identity_basis", "expression_basis", "eye_centres", "landmark_weights", "landmark_offset")
    return FaceModel(
        **{name: np.ascontiguousarray(arrays[name], np.float32) for name in floats},
        expression_names=tuple(str(name) for name in arrays["expression_names"]),
        expression_low=arrays.get("expression_low", np.zeros(len(arrays["expression_names"]))).astype(np.float32),
        triangles=arrays["triangles"].astype(np.int32),
        part=arrays["part"].astype(np.uint8),
        regions=regions,
        paint=paint,
        landmark_triangles=arrays["landmark_triangles"].astype(np.int32),
        hash=hash,
        learned_identity=int(arrays.get("learned_identity", 0)),
        learned_expression=int(arrays.get("learned_expression", 0)),
        detector_bias=_several(DetectorBias, "detector_bias", arrays),
        rest=_several(RestPrior, "rest", arrays),
    )


def _several(kind: type[_T], prefix: str, arrays: dict[str, np.ndarray]) -> _T | None:
    """The arrays of a tuple that a file may hold."""
    names = [f"{prefix}_{name}" for name in kind._fields]
    return kind(*(arrays[name].astype(np.float32) for name in names)) if names[0] in arrays else None


def space_hash(expression_names: np.ndarray, identity_basis: np.ndarray, expression_basis: np.ndarray) -> str:
    """Names a parameter space: SHA-256 of the names and the bases, float16 as in the file."""
    return sha256(b"".join(array.tobytes() for array in (expression_names, identity_basis, expression_basis)))


def save_face_model(path: str | PathLike, model: FaceModel) -> None:
    """Writes a face model file, bases in float16 (docs/face_models.md describes the format)."""
    number = np.uint16 if len(model.neutral) < 1 << 16 else np.int32
    arrays = {
        "neutral": model.neutral,
        "identity_basis": model.identity_basis.astype(np.float16),
        "expression_basis": model.expression_basis.astype(np.float16),
        "expression_names": np.array(model.expression_names),
        "expression_low": model.expression_low,
        "triangles": model.triangles.astype(number),
        "part": model.part,
        **{f"region_{name}": value for name, value in model.regions.items()},
        **{f"paint_{name}": value.astype(np.float16) for name, value in model.paint.items()},
        "eye_centres": model.eye_centres,
        "landmark_triangles": model.landmark_triangles.astype(number),
        "landmark_weights": model.landmark_weights,
        "landmark_offset": model.landmark_offset,
        "hash": np.array(model.hash),
        "learned_identity": np.array(model.learned_identity),
        "learned_expression": np.array(model.learned_expression),
    }
    if bias := model.detector_bias:
        arrays |= {f"detector_bias_{name}": value.astype(np.float16) for name, value in bias._asdict().items()}
    if rest := model.rest:
        arrays |= {f"rest_{name}": value for name, value in rest._asdict().items()}
    with atomic_path(path) as part:
        np.savez_compressed(part, **arrays)


def without_learned(model: FaceModel) -> FaceModel:
    """The model as it was before `face_models.correctives` gave it learned shapes; its landmark offset is kept."""
    identity = model.identity_basis[: len(model.identity_basis) - model.learned_identity]
    count = len(model.expression_names) - model.learned_expression
    bare = replace(
        model,
        identity_basis=identity,
        expression_basis=model.expression_basis[:count],
        expression_names=model.expression_names[:count],
        expression_low=model.expression_low[:count],
        learned_identity=0,
        learned_expression=0,
    )
    nothing = np.zeros((0, *model.neutral.shape), np.float32)
    return bare.extended(nothing, nothing, ()) if model.learned_identity or model.learned_expression else model


def gaze_rotation(gaze: Array, xp=np) -> Array:
    """Rotation matrices [..., 3, 3] of gaze angles [..., 2] = (yaw, pitch) in radians.

    Positive yaw looks to the image right (the subject's left), positive pitch looks down. `xp` is numpy or jax.numpy.
    """
    cy, sy = xp.cos(gaze[..., 0]), xp.sin(gaze[..., 0])
    cp, sp = xp.cos(gaze[..., 1]), xp.sin(gaze[..., 1])
    zero = xp.zeros_like(cy)
    # Ry(-yaw) @ Rx(pitch) applied to (0, 0, -1) gives (sin yaw cos pitch, sin pitch, -cos yaw cos pitch).
    rows = [[cy, -sy * sp, -sy * cp], [zero, cp, -sp], [sy, cy * sp, cy * cp]]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def vertices(model: FaceModel, identity: np.ndarray, expression: np.ndarray, gaze: np.ndarray | None = None):
    """Vertices [N, V, 3] float32 in mm, head frame, of one identity [I] in N expressions [N, D].

    `gaze` [N, 4]: yaw and pitch of the left, then of the right eye, radians; None looks straight ahead.
    """
    identity = np.asarray(identity, np.float32)
    expression = np.asarray(expression, np.float32)
    person = model.neutral + np.einsum("i,ivc->vc", identity, model.identity_basis, optimize=True)
    count = len(model.expression_basis)
    moved = expression @ model.expression_basis.reshape(count, -1)
    moved = person + moved.reshape(len(expression), *person.shape)
    if gaze is not None:
        rotation = gaze_rotation(np.asarray(gaze, np.float32).reshape(-1, 2, 2))
        for eye, name in enumerate(("eye_left", "eye_right")):
            ball = np.flatnonzero(model.regions[name])
            shift = person[ball].mean(0) - model.neutral[ball].mean(0)
            centre = model.eye_centres[eye] + shift
            moved[:, ball] = np.einsum("nij,nvj->nvi", rotation[:, eye], moved[:, ball] - centre) + centre
    return moved


def landmarks(model: FaceModel, vertices: np.ndarray) -> np.ndarray:
    """MediaPipe's 478 landmarks [N, 478, 3] in mm of vertices [N, V, 3] in the head frame."""
    corners = vertices[:, model.landmark_triangles]  # [N, 478, 3 corners, 3]
    return np.einsum("lk,nlkc->nlc", model.landmark_weights, corners) + model.landmark_offset


@lru_cache(maxsize=2)
def landmark_basis(model: FaceModel) -> LandmarkBasis:
    """The linear face model at the landmarks alone, what a tracker needs."""

    def at(field: np.ndarray) -> np.ndarray:
        return np.einsum("lk,...lkc->...lc", model.landmark_weights, field[..., model.landmark_triangles, :])

    balls = [model.regions[name] for name in ("eye_left", "eye_right")]
    return LandmarkBasis(
        neutral=at(model.neutral) + model.landmark_offset,
        identity=at(model.identity_basis),
        expression=at(model.expression_basis),
        iris=np.asarray(IRIS_LANDMARKS, np.int32),
        eye_centres=model.eye_centres,
        eye_centres_identity=np.stack([model.identity_basis[:, ball].mean(1) for ball in balls], axis=1),
    )


def mouth_offset(model: FaceModel) -> np.ndarray:
    """How far [D] mm each expression parameter moves the mouth region at most (paper, section 3.4).

    The shapes are linear with range [0, 1] or [-1, 1], so full activation is the furthest point of the range.
    """
    return np.linalg.norm(model.expression_basis[:, model.regions["mouth"]], axis=-1).max(1)


def split_by_mouth_offset(model: FaceModel, threshold_mm: float = 2.0, count: int | None = None):
    """Splits the expression parameters into those strongly and weakly tied to speech (paper, section 3.4).

    Args:
      threshold_mm: parameters that move the mouth region by at least this are strong.
      count: the number of strong parameters instead of a threshold (85 of 233 in the paper).

    Returns:
      (strong, weak): int32 index arrays, each in ascending order; together a partition of range(D).
    """
    offset = mouth_offset(model)
    order = np.argsort(-offset, kind="stable")
    count = int((offset >= threshold_mm).sum()) if count is None else count
    return np.sort(order[:count]).astype(np.int32), np.sort(order[count:]).astype(np.int32)
