"""A mesh from elsewhere, checked and brought into the head frame; errors say which array is wrong, and how."""

import numpy as np

from vast_jax.face.model import ORIGIN_FROM_EYES, PART_NAMES, PUPIL_DISTANCE
from vast_jax.types import UserError

UP, FRONT = (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
EYEBALL = 12.0  # mm, radius of an eyeball that is added
LARGEST_OFFSET = 150.0  # mm: no shape moves a vertex further; a full head is as far away from zero
SMALLEST_OFFSET = 0.01  # mm, of the most active shape
MIXED = 0.02  # share of edges that two triangles run through in the same direction


def check_arrays(
    name, neutral, triangles, expression_basis, expression_names, identity_basis, expression_low, jaw_open
) -> dict[str, np.ndarray]:
    """The arrays as float32, triangles as int32, if their shapes fit together and their values are sound."""
    neutral = _numbers(name, "neutral", neutral, ("V", 3), {})
    size = {"V": len(neutral)}
    triangles = np.asarray(triangles)
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
        found = f"{triangles.dtype} {list(triangles.shape)}"
        raise UserError(f"{name}: triangles is {found}, should be whole numbers [F, 3]; split quads in two")
    if len(triangles) == 0 or triangles.min() < 0 or triangles.max() >= len(neutral):
        raise UserError(f"{name}: triangles must name vertices from 0 to {len(neutral) - 1}; does it count from 1?")
    names = np.asarray(expression_names)
    if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) != len(names) or "" in names.tolist():
        raise UserError(f"{name}: expression_names must be one list of different names, an array of strings")
    size["D"] = len(names)
    arrays = {
        "neutral": neutral,
        "triangles": triangles.astype(np.int32),
        "expression_names": names,
        "expression_basis": _numbers(name, "expression_basis", expression_basis, ("D", "V", 3), size),
        "identity_basis": np.zeros((1, len(neutral), 3), np.float32),
        "expression_low": np.zeros(len(names), np.float32),
    }
    if identity_basis is not None:
        arrays["identity_basis"] = _numbers(name, "identity_basis", identity_basis, ("I", "V", 3), size)
    if expression_low is not None:
        low = arrays["expression_low"] = _numbers(name, "expression_low", expression_low, ("D",), size)
        if low.min() < -1 or low.max() > 0:
            raise UserError(f"{name}: expression_low lies between -1 and 0, activations range from there to 1")
    if jaw_open is not None:
        arrays["jaw_open"] = _numbers(name, "jaw_open", jaw_open, ("D",), size)
    elif "jawOpen" not in names:
        raise UserError(
            f"{name}: no expression is named jawOpen; rename it, or give jaw_open [{len(names)}], activations with the "
            "mouth wide open"
        )
    return arrays


def _numbers(name: str, what: str, value, shape: tuple, size: dict[str, int]) -> np.ndarray:
    """`value` as float32 of a shape in which a letter stands for any size, or the one in `size`."""
    value = np.asarray(value)
    wanted = [size.get(n, n) for n in shape]
    fits = value.ndim == len(shape) and all(
        n == m or (isinstance(n, str) and m > 0) for n, m in zip(wanted, value.shape, strict=False)
    )
    if not fits or value.dtype.kind not in "fiu":
        wanted = ", ".join(map(str, wanted))
        raise UserError(f"{name}: {what} is {value.dtype} {list(value.shape)}, should be numbers [{wanted}]")
    value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise UserError(f"{name}: {what} has {np.sum(~np.isfinite(value))} values that are not finite")
    return value


def kinds(name: str, parts: dict[str, np.ndarray], count: int) -> np.ndarray:
    """What each vertex [V] is: a name of PART_NAMES, "leave_out", or "skin" where nothing is said."""
    kind = np.full(count, "skin", f"U{max(map(len, PART_NAMES))}")
    for part, chosen in parts.items():
        chosen = np.asarray(chosen)
        if chosen.dtype == bool and chosen.shape == (count,):
            chosen = np.flatnonzero(chosen)
        numbers = chosen.ndim == 1 and chosen.dtype.kind in "iu"
        if not numbers or (chosen.size and (chosen.min() < 0 or chosen.max() >= count)):
            raise UserError(f"{name}: {part} must be vertex numbers below {count}, or bool [{count}]")
        if len(chosen) and (kind[chosen] != "skin").any():
            raise UserError(f"{name}: {part} names vertices that {kind[chosen][kind[chosen] != 'skin'][0]} names too")
        kind[chosen] = part
    return kind


def with_eyeballs(name: str, arrays: dict[str, np.ndarray], kind: np.ndarray, eye_centres) -> tuple[dict, np.ndarray]:
    """Adds eyeballs about two centres [2, 3]; they move with people as the skin around them does on average."""
    centres = _numbers(name, "eye_centres", eye_centres, (2, 3), {})
    if np.isin(kind, ("eye_left", "eye_right")).any():
        raise UserError(f"{name}: give eye_left and eye_right, or eye_centres of a mesh that has none, not both")
    radius = EYEBALL / PUPIL_DISTANCE * np.linalg.norm(centres[0] - centres[1])
    ball, faces = _sphere()
    arrays = dict(arrays)
    for centre, part in zip(centres, ("eye_left", "eye_right"), strict=True):
        count = len(arrays["neutral"])
        near = np.linalg.norm(arrays["neutral"] - centre, axis=1) < 1.6 * radius
        if not near.any():
            raise UserError(f"{name}: no vertex is near the {part} of eye_centres: are they in the unit of neutral?")
        shift = arrays["identity_basis"][:, near].mean(1, keepdims=True).repeat(len(ball), 1)
        still = np.zeros((len(arrays["expression_basis"]), len(ball), 3), np.float32)
        arrays["neutral"] = np.concatenate([arrays["neutral"], (centre + radius * ball).astype(np.float32)])
        arrays["identity_basis"] = np.concatenate([arrays["identity_basis"], shift], 1)
        arrays["expression_basis"] = np.concatenate([arrays["expression_basis"], still], 1)
        arrays["triangles"] = np.concatenate([arrays["triangles"], (faces + count).astype(np.int32)])
        kind = np.concatenate([kind, np.full(len(ball), part, kind.dtype)])
    return arrays, kind


def _sphere(rows: int = 14, columns: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere but for pinholes at its poles: vertices [n, 3] and triangles [m, 3] seen from outside."""
    polar, turn = np.linspace(0.01, np.pi - 0.01, rows)[:, None], np.arange(columns) * 2 * np.pi / columns
    x, y, z = np.sin(polar) * np.cos(turn), np.cos(polar) + 0 * turn, np.sin(polar) * np.sin(turn)
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = number[:-1], np.roll(number, -1, 1)[:-1], number[1:], np.roll(number, -1, 1)[1:]
    triangles = np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)])
    return np.stack([x, y, z], -1).reshape(-1, 3), triangles.reshape(-1, 3)


def compact(name: str, arrays: dict[str, np.ndarray], kind: np.ndarray) -> tuple[dict, np.ndarray]:
    """Without the vertices that are left out or belong to no triangle."""
    triangles = arrays["triangles"][(kind[arrays["triangles"]] != "leave_out").all(1)]
    for eye in ("eye_left", "eye_right"):
        if not (kind[triangles] == eye).all(1).any():
            raise UserError(f"{name}: no triangle belongs to {eye}: give its vertex numbers, or eye_centres [2, 3] "
                            "if the mesh has no eyeballs")  # fmt: skip
    keep = np.unique(triangles)
    number = np.zeros(len(kind), np.int32)
    number[keep] = np.arange(len(keep))
    arrays = arrays | {"triangles": number[triangles], "neutral": arrays["neutral"][keep]}
    arrays |= {basis: arrays[basis][:, keep] for basis in ("identity_basis", "expression_basis")}
    return arrays, kind[keep]


def to_head_frame(name: str, arrays: dict[str, np.ndarray], kind: np.ndarray, up, front) -> dict[str, np.ndarray]:
    """In mm, turned to the head frame, with eye_centres; eyeballs move by gaze alone, so no expression moves them."""
    up, front = _numbers(name, "up", up, (3,), {}), _numbers(name, "front", front, (3,), {})
    right = np.cross(up, front)  # the image's right, the subject's left
    if np.linalg.norm(right) < 0.1 * np.linalg.norm(up) * np.linalg.norm(front) + 1e-9:
        raise UserError(f"{name}: up {up.tolist()} and front {front.tolist()} must point different ways")
    down, right = -up / np.linalg.norm(up), right / np.linalg.norm(right)
    turn = np.stack([right, down, np.cross(right, down)])
    neutral = arrays["neutral"] @ turn.T
    eyes = np.stack([_middle(neutral[kind == eye]) for eye in ("eye_left", "eye_right")])
    distance = np.linalg.norm(eyes[0] - eyes[1])
    if not distance > 0:
        raise UserError(f"{name}: both eyes are at one place")
    if (eyes[0] - eyes[1])[0] < 0.7 * distance:
        raise UserError(f"{name}: the left eye is not at the subject's left: check eye_left and eye_right, up and "
                        "front, and that the axes are right-handed")  # fmt: skip
    scale = PUPIL_DISTANCE / distance
    place = eyes.mean(0) * scale + ORIGIN_FROM_EYES
    arrays = arrays | {
        "neutral": (neutral * scale - place).astype(np.float32),
        "eye_centres": (eyes * scale - place).astype(np.float32),
    }
    for basis in ("identity_basis", "expression_basis"):
        arrays[basis] = (arrays[basis] @ (scale * turn.T)).astype(np.float32)
        largest = np.linalg.norm(arrays[basis], axis=-1).max()
        if largest > LARGEST_OFFSET:
            raise UserError(f"{name}: {basis} moves a vertex by {largest:.0f} mm: it must hold offsets from neutral, "
                            "in the same unit")  # fmt: skip
    if largest < SMALLEST_OFFSET:
        raise UserError(f"{name}: expression_basis moves nothing: it must be in the unit of neutral")
    arrays["expression_basis"][:, np.isin(kind, ("eye_left", "eye_right"))] = 0
    x, y, z = (arrays["neutral"] - arrays["eye_centres"].mean(0)).T
    nose = (kind == "skin") & (np.abs(x) < 15) & (y > 15) & (y < 60)
    if not nose.any() or not -60 < z[nose].min() < -5:
        raise UserError(f"{name}: there is no nose before and below the eyes: check up and front")
    return arrays


def _middle(points: np.ndarray) -> np.ndarray:
    """The centre of the sphere through points [n, 3] in the least squares sense: eyeballs may be open at the back."""
    mean = points.mean(0)
    offset = (points - mean).astype(np.float64)
    matrix = np.c_[2 * offset, np.ones(len(offset))]
    return mean + np.linalg.lstsq(matrix, (offset**2).sum(1), rcond=None)[0][:3]


def outwards(name: str, arrays: dict[str, np.ndarray], kind: np.ndarray) -> dict[str, np.ndarray]:
    """With every part's triangles counter-clockwise seen from outside. UserError: a part is wound in both ways."""
    triangles, points = arrays["triangles"].copy(), arrays["neutral"].astype(np.float64)
    groups = {part: {part} for part in kind} | {"skin": {"skin", "mouth_inside"}}
    groups.pop("mouth_inside", None)
    for part, members in groups.items():
        rows = np.flatnonzero(np.isin(kind[triangles], list(members)).all(1))
        own = triangles[rows]
        if not len(own):
            continue
        edges = np.concatenate([own[:, [0, 1]], own[:, [1, 2]], own[:, [2, 0]]]).astype(np.int64)
        twice = 1 - len(np.unique(edges[:, 0] * len(points) + edges[:, 1])) / len(edges)
        if twice > MIXED:
            raise UserError(
                f"{name}: the triangles of the {part} are wound in both ways: make their normals consistent"
            )
        a, b, c = (points[own] - points[np.unique(own)].mean(0)).swapaxes(0, 1)
        if (a * np.cross(b, c)).sum() < 0:
            triangles[rows] = own[:, ::-1]
    return arrays | {"triangles": triangles}
