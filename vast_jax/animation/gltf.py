"""The head as an animated glTF file (one .glb): morph targets with ARKit's names, turning eyes, head movement.

glTF 2.0: metres, y up, the face looks along +z. From our axes (mm, y down, z back) that is half a turn about x.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vast_jax import __version__
from vast_jax.animation.arkit import TO_ARKIT
from vast_jax.face.model import PART_NAMES, FaceModel, gaze_rotation, vertices
from vast_jax.face.rasterise import rotation_matrix, vertex_normals
from vast_jax.files import atomic_path

COLOURS = dict(
    **dict(skin=(222, 172, 147), lips=(196, 118, 108), brows=(92, 66, 52), scalp=(58, 38, 27), clothes=(54, 74, 104)),
    **dict(eye=(236, 230, 226), iris=(84, 116, 126), pupil=(20, 16, 16), teeth=(244, 238, 224)),
    **dict(tongue=(192, 106, 106), mouth=(126, 52, 50)),
)  # sRGB of the materials
_MATERIAL_OF = dict(
    **dict(eye_left="eye", eye_right="eye", upper_teeth="teeth", lower_teeth="teeth", mouth_inside="mouth"),
    **dict(body="skin"),
)  # of parts that are no material of their own name
_IRIS, _PUPIL, _NECKLINE = 6.2, 2.6, 105.0  # mm: radii, and the height y from which the body is dressed
_STILL = 1e-5  # mm: a shape that moves a vertex by less does not move it
_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_ARRAYS, _INDICES = 34962, 34963  # targets of buffer views


class _Buffer:
    """The binary chunk, with its views and accessors."""

    def __init__(self):
        self.data, self.views, self.accessors = bytearray(), [], []

    def view(self, array: np.ndarray, target: int | None = None) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        self.views.append(view | ({"target": target} if target else {}))
        self.data += array.tobytes()
        return len(self.views) - 1

    def floats(self, array: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """An accessor of numbers [N] or vectors [N, 3 or 4]."""
        array = np.ascontiguousarray(array, np.float32)
        kind = "SCALAR" if array.ndim == 1 else f"VEC{array.shape[1]}"
        accessor = {"bufferView": self.view(array, target), "componentType": _FLOAT, "count": len(array), "type": kind}
        return self._add(accessor | (_bounds(array) if bounds else {}))

    def moves(self, array: np.ndarray) -> int:
        """An accessor of displacements [N, 3], sparse where few vertices move."""
        array = np.ascontiguousarray(array, np.float32)
        moved = np.flatnonzero(array.any(1))
        if len(moved) * 14 > len(array) * 12:
            return self.floats(array, _ARRAYS, bounds=True)
        accessor = {"componentType": _FLOAT, "count": len(array), "type": "VEC3", **_bounds(array)}
        if len(moved):
            indices = {"bufferView": self.view(moved.astype(np.uint16)), "componentType": _USHORT}
            accessor["sparse"] = {
                "count": len(moved), "indices": indices, "values": {"bufferView": self.view(array[moved])},
            }  # fmt: skip
        return self._add(accessor)

    def indices(self, triangles: np.ndarray) -> int:
        small = triangles.max() < 65535
        view = self.view(triangles.astype(np.uint16 if small else np.uint32), _INDICES)
        kind = _USHORT if small else _UINT
        return self._add({"bufferView": view, "componentType": kind, "count": triangles.size, "type": "SCALAR"})

    def _add(self, accessor: dict) -> int:
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def write_glb(
    path: Path,
    model: FaceModel,
    identity: np.ndarray,
    expression: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    gaze: np.ndarray,
    fps: float,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Writes a head and its movement: node "head" moves, its children are "face" and the two eyes, which turn.

    Args:
      identity: [I], the shape of the head.
      expression, rotation, translation, gaze: N frames, as in FaceTrack: [N, D], [N, 3], [N, 3] mm, [N, 4].
      fps: frames a second; keys are linear.
      notes: put into the file's `asset.extras`.
    """
    buffer, materials = _Buffer(), list(COLOURS)
    rest = vertices(model, identity, np.zeros((1, len(model.expression_names)), np.float32))[0]
    normals = vertex_normals(rest, model.triangles)
    eyes = [np.flatnonzero(model.regions[name]) for name in ("eye_left", "eye_right")]
    centres = [model.eye_centres[i] + rest[eye].mean(0) - model.neutral[eye].mean(0) for i, eye in enumerate(eyes)]
    groups = _groups(model)
    face = [(name, triangles) for name, triangles in groups if not np.isin(triangles[0], eyes).any()]
    times = buffer.floats(np.arange(len(expression)) / fps, bounds=True)
    meshes: list[dict[str, Any]] = []
    nodes: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []

    def animate(node: int, way: str, values: np.ndarray) -> None:
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": way}})
        samplers.append({"input": times, "output": buffer.floats(values), "interpolation": "LINEAR"})

    def add_mesh(name: str, parts: list, centre: np.ndarray) -> int:
        used = np.unique(np.concatenate([triangles.ravel() for _, triangles in parts]))
        moves = np.abs(model.expression_basis[:, used]).max() > _STILL
        primitives = [
            _primitive(buffer, model, rest - centre, normals, triangles, materials.index(kind), moves)
            for kind, triangles in parts
        ]
        mesh: dict[str, Any] = {"name": name, "primitives": primitives}
        node = {"name": name, "mesh": len(meshes)}
        if moves:
            mesh |= {"weights": [0.0] * len(model.expression_names)}
            mesh |= {"extras": {"targetNames": list(model.expression_names)}}
            animate(len(nodes), "weights", expression.ravel())
        if centre.any():
            node["translation"] = _to_gltf(centre).tolist()
        meshes.append(mesh)
        nodes.append(node)
        return len(nodes) - 1

    nodes.append({"name": "head", "children": [1, 2, 3]})
    animate(0, "rotation", _quaternions(rotation_matrix(rotation)))
    animate(0, "translation", _to_gltf(translation))
    add_mesh("face", face, np.zeros(3, np.float32))
    for i, name in enumerate(("eye_left", "eye_right")):
        ball = [(kind, triangles) for kind, triangles in groups if np.isin(triangles[0], eyes[i]).any()]
        node = add_mesh(name, ball, centres[i])
        animate(node, "rotation", _quaternions(gaze_rotation(gaze[:, 2 * i : 2 * i + 2].astype(np.float64))))
    document = {
        "asset": {"version": "2.0", "generator": f"vast_jax {__version__}"}
        | ({"extras": dict(notes)} if notes else {}),
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": nodes,
        "meshes": meshes,
        "materials": [_material(name, colour) for name, colour in COLOURS.items()],
        "animations": [{"name": "performance", "channels": channels, "samplers": samplers}],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    _write(path, document, bytes(buffer.data))


def _groups(model: FaceModel) -> list[tuple[str, np.ndarray]]:
    """Triangles [F', 3] by material; those of the two eyes apart."""
    corners = np.sort(model.part[model.triangles], axis=1)
    brows = PART_NAMES.index("brows")
    part = np.where(corners[:, 1] == brows, corners[:, 0], corners[:, 1])  # the majority's; brows only if all are
    middle = model.neutral[model.triangles].mean(1)
    labels = np.array([_MATERIAL_OF.get(name, name) for name in PART_NAMES], object)[part]
    labels[model.neutral[model.triangles, 1].min(1) > _NECKLINE] = "clothes"
    groups = []
    for eye, name in enumerate(("eye_left", "eye_right")):
        ball, offset = part == PART_NAMES.index(name), middle - model.eye_centres[eye]
        radius = np.where(offset[:, 2] < 0, np.hypot(offset[:, 0], offset[:, 1]), np.inf)
        labels[ball & (radius < _IRIS)] = "iris"
        labels[ball & (radius < _PUPIL)] = "pupil"
        groups += [(kind, model.triangles[ball & (labels == kind)]) for kind in ("eye", "iris", "pupil")]
        labels[ball] = ""
    groups += [(kind, model.triangles[labels == kind]) for kind in COLOURS]
    return [(kind, triangles) for kind, triangles in groups if len(triangles)]


def _primitive(buffer: _Buffer, model: FaceModel, rest, normals, triangles, material: int, moves: bool) -> dict:
    used, corners = np.unique(triangles, return_inverse=True)
    attributes = {
        "POSITION": buffer.floats(_to_gltf(rest[used]), _ARRAYS, bounds=True),
        "NORMAL": buffer.floats(normals[used] @ TO_ARKIT, _ARRAYS),
        "_VERTEX": buffer.floats(used, _ARRAYS),  # numbers in the face model
    }
    primitive = {"attributes": attributes, "indices": buffer.indices(corners.reshape(-1)), "material": material}
    if moves:
        basis = model.expression_basis[:, used]
        basis = np.where(np.linalg.norm(basis, axis=-1, keepdims=True) > _STILL, basis, 0)
        primitive["targets"] = [{"POSITION": buffer.moves(_to_gltf(shape))} for shape in basis]
    return primitive


def _material(name: str, colour: tuple[int, int, int]) -> dict:
    linear = [round((value / 255) ** 2.2, 4) for value in colour]
    rough = 0.2 if name in ("eye", "iris", "pupil") else 0.4 if name in ("lips", "teeth", "tongue") else 0.6
    look = {"baseColorFactor": [*linear, 1.0], "metallicFactor": 0.0, "roughnessFactor": rough}
    return {"name": name, "pbrMetallicRoughness": look, "doubleSided": name in ("mouth", "brows")}


def _to_gltf(points: np.ndarray) -> np.ndarray:
    """Points [..., 3] in mm and our axes to metres and glTF's."""
    return (np.asarray(points, np.float64) @ TO_ARKIT / 1000).astype(np.float32)


def _quaternions(matrices: np.ndarray) -> np.ndarray:
    """Unit quaternions (x, y, z, w) [N, 4] in glTF's axes of rotation matrices [N, 3, 3] in ours, without jumps."""
    turned = TO_ARKIT @ matrices @ TO_ARKIT
    symmetric = np.empty((len(turned), 4, 4))  # its largest eigenvector is the quaternion (Bar-Itzhack 2000)
    xx, yy, zz = turned[:, 0, 0], turned[:, 1, 1], turned[:, 2, 2]
    symmetric[:, :3, :3] = turned + turned.swapaxes(1, 2)
    symmetric[:, 0, 0], symmetric[:, 1, 1], symmetric[:, 2, 2] = xx - yy - zz, yy - xx - zz, zz - xx - yy
    for i, (a, b) in enumerate(((2, 1), (0, 2), (1, 0))):
        symmetric[:, i, 3] = symmetric[:, 3, i] = turned[:, a, b] - turned[:, b, a]
    symmetric[:, 3, 3] = xx + yy + zz
    quaternion = np.linalg.eigh(symmetric)[1][:, :, -1]
    quaternion *= np.where(quaternion[:1, 3:] < 0, -1, 1)
    turns = np.sign(np.einsum("ni,ni->n", quaternion[1:], quaternion[:-1]) + 1e-12)
    quaternion[1:] *= np.cumprod(turns)[:, None]
    return quaternion


def _bounds(array: np.ndarray) -> dict:
    return {name: np.atleast_1d(values).tolist() for name, values in (("min", array.min(0)), ("max", array.max(0)))}


def _write(path: Path, document: dict, data: bytes) -> None:
    """The container: a header, then the JSON chunk padded with spaces, then the binary one padded with zeros."""
    words = json.dumps(document, separators=(",", ":")).encode()
    words += b" " * (-len(words) % 4)
    data += b"\0" * (-len(data) % 4)
    with atomic_path(path) as part, open(part, "wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, 28 + len(words) + len(data)))
        for kind, chunk in ((b"JSON", words), (b"BIN\0", data)):
            file.write(struct.pack("<I4s", len(chunk), kind) + chunk)
