"""A minimal reader of glTF, written from the specification alone, sees the head that the face model makes."""

import json
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vast_jax.animation.gltf import write_glb
from vast_jax.face.model import load_face_model
from vast_jax.face.rasterise import place

SIZES = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
TYPES = {5126: "<f4", 5123: "<u2", 5125: "<u4"}


class Reader:
    def __init__(self, path):
        data = path.read_bytes()
        magic, version, length, json_length, json_kind = struct.unpack_from("<4sIII4s", data)
        binary_length, binary_kind = struct.unpack_from("<I4s", data, 20 + json_length)
        assert (magic, version, json_kind, binary_kind) == (b"glTF", 2, b"JSON", b"BIN\0")
        assert length == len(data) == 28 + json_length + binary_length and length % 4 == 0
        self.document, self.binary = json.loads(data[20 : 20 + json_length]), data[28 + json_length :]

    def _items(self, view: int, kind: int, count: int, width: int) -> np.ndarray:
        start = self.document["bufferViews"][view]["byteOffset"]
        return np.frombuffer(self.binary, TYPES[kind], count * width, start).reshape(count, width)

    def accessor(self, number: int) -> np.ndarray:
        about = self.document["accessors"][number]
        count, width = about["count"], SIZES[about["type"]]
        values = np.zeros((count, width))
        if "bufferView" in about:
            values = self._items(about["bufferView"], about["componentType"], count, width)
        if sparse := about.get("sparse"):
            kind = sparse["indices"]["componentType"]
            at = self._items(sparse["indices"]["bufferView"], kind, sparse["count"], 1)[:, 0]
            values[at] = self._items(sparse["values"]["bufferView"], about["componentType"], sparse["count"], width)
        if "min" in about:
            assert (values.min(0) == np.float32(about["min"])).all() and (
                values.max(0) == np.float32(about["max"])
            ).all()
        return values

    def frame(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Vertices in metres by their number in the face model, and the normals of the same, at a key of time."""
        state = {}
        for channel in self.document["animations"][0]["channels"]:
            sampler = self.document["animations"][0]["samplers"][channel["sampler"]]
            keys = len(self.accessor(sampler["input"]))
            target = channel["target"]["node"], channel["target"]["path"]
            state[target] = self.accessor(sampler["output"]).reshape(keys, -1)[row]
        points, normals = np.full((2, len(load_face_model().neutral), 3), np.nan)

        def walk(number: int, turn: np.ndarray, origin: np.ndarray) -> None:
            node = self.document["nodes"][number]
            origin = origin + turn @ state.get((number, "translation"), node.get("translation", np.zeros(3)))
            turn = turn @ Rotation.from_quat(state.get((number, "rotation"), [0, 0, 0, 1])).as_matrix()
            for primitive in self.document["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ():
                names = primitive["attributes"]
                seen = self.accessor(names["POSITION"]).astype(float)
                for weight, move in zip(state.get((number, "weights"), ()), primitive.get("targets", ()), strict=True):
                    seen += weight * self.accessor(move["POSITION"])
                at = self.accessor(names["_VERTEX"])[:, 0].astype(int)
                points[at] = seen @ turn.T + origin
                normals[at] = self.accessor(names["NORMAL"]) @ turn.T
                assert self.accessor(primitive["indices"]).max() == len(seen) - 1
            for child in node.get("children", ()):
                walk(child, turn, origin)

        walk(self.document["scenes"][0]["nodes"][0], np.eye(3), np.zeros(3))
        return points, normals


@pytest.fixture(scope="module")
def performance():
    model, random = load_face_model(), np.random.default_rng(0)
    return dict(
        identity=random.normal(size=len(model.identity_basis)),
        expression=random.uniform(model.expression_low, 1, (4, len(model.expression_names))).astype(np.float32),
        rotation=random.uniform(-0.6, 0.6, (4, 3)),
        translation=random.uniform(-50, 50, (4, 3)),
        gaze=random.uniform(-0.5, 0.5, (4, 4)),
    )


@pytest.fixture(scope="module")
def glb(performance, tmp_path_factory):
    path = tmp_path_factory.mktemp("glb") / "a.glb"
    write_glb(path, load_face_model(), **performance, fps=30.0, notes={"comment": "AI-generated"})
    return Reader(path)


def test_every_frame_is_the_face_models_own(glb, performance):
    model = load_face_model()
    placed = place(model, **performance)
    for row in range(4):
        points, _ = glb.frame(row)
        assert np.isfinite(points).all()  # every vertex is in some primitive
        np.testing.assert_allclose(1000 * points * [1, -1, -1], placed[row], atol=1e-3)  # mm


def test_left_is_left_and_the_surface_faces_out(tmp_path):
    model = load_face_model()
    names = list(model.expression_names)
    expression = np.zeros((2, len(names)), np.float32)
    expression[1, names.index("mouthSmileLeft")] = 1
    still = np.zeros((2, 3))
    write_glb(
        tmp_path / "a.glb", model, np.zeros(len(model.identity_basis)), expression, still, still, np.zeros((2, 4)), 25
    )
    read = Reader(tmp_path / "a.glb")
    (before, normals), (after, _) = read.frame(0), read.frame(1)
    moved = np.linalg.norm(after - before, axis=1)
    assert (
        moved * before[:, 0]
    ).sum() / moved.sum() > 0.01  # to the subject's left is +x where y is up and the face on +z
    nose = before[np.argmax(np.where(model.regions["face"], before[:, 2], -1))]
    assert abs(nose[0]) < 0.01 and nose[2] > 0.08 and normals[np.argmin(np.abs(before - nose).sum(1)), 2] > 0.5
    for mesh in read.document["meshes"]:
        for primitive in mesh["primitives"]:
            at = read.accessor(primitive["attributes"]["_VERTEX"])[:, 0].astype(int)
            a, b, c = before[at[read.accessor(primitive["indices"]).reshape(-1, 3)]].swapaxes(0, 1)
            outward = normals[at[read.accessor(primitive["indices"]).reshape(-1, 3)]].mean(1)
            assert ((np.cross(b - a, c - a) * outward).sum(-1) > 0).mean() > 0.97  # counter-clockwise from outside


def test_names_times_and_size(glb, performance):
    document = glb.document
    face = document["meshes"][0]
    assert face["extras"]["targetNames"] == list(load_face_model().expression_names)
    assert all(len(primitive["targets"]) == len(face["weights"]) for primitive in face["primitives"])
    assert document["asset"]["extras"]["comment"] == "AI-generated"
    times = glb.accessor(document["animations"][0]["samplers"][0]["input"])[:, 0]
    np.testing.assert_allclose(times, np.arange(4) / 30, atol=1e-7)
    assert len(glb.binary) < 4e6
    assert [document["nodes"][child]["name"] for child in document["nodes"][0]["children"]] == [
        "face",
        "eye_left",
        "eye_right",
    ]


def test_rotations_never_jump_between_keys(tmp_path):
    model = load_face_model()
    rotation = np.stack([np.zeros(60), np.linspace(0, 6.2, 60), np.zeros(60)], axis=1)  # almost a whole turn
    nothing = np.zeros((60, len(model.expression_names)), np.float32)
    identity = np.zeros(len(model.identity_basis))
    write_glb(tmp_path / "a.glb", model, identity, nothing, rotation, np.zeros((60, 3)), np.zeros((60, 4)), 25)
    read = Reader(tmp_path / "a.glb")
    animation = read.document["animations"][0]
    (sampler,) = (c["sampler"] for c in animation["channels"] if c["target"] == {"node": 0, "path": "rotation"})
    quaternions = read.accessor(animation["samplers"][sampler]["output"])
    np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1, atol=1e-6)
    assert (np.sum(quaternions[1:] * quaternions[:-1], axis=1) > 0.99).all()
