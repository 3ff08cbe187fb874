"""A made-up head of 1,824 vertices, in centimetres, y up, facing +z; and landmarks that need no detector."""

import numpy as np

from vast_jax.face.model import load_face_model
from vast_jax.face_models.correspondence import Correspondence

EYES = np.array([[3.15, 2.5, 7.0], [-3.15, 2.5, 7.0]])  # left, right: 63 mm apart
TO_HEAD_FRAME = np.array([10.0, -10.0, -10.0])  # the origin is 25 mm below and 70 mm behind the eyes, as in the frame
NAMES = np.array(["jawOpen", "mouthSmileLeft", "eyeBlinkLeft"])


def ball(centre, radii, rows, columns):
    """Vertices and triangles, counter-clockwise seen from outside, of an ellipsoid."""
    vertices, triangles = [], []
    for i in range(rows):
        for j in range(columns):
            polar, turn = np.pi * (i + 0.5) / rows, 2 * np.pi * j / columns
            direction = [np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)]
            vertices.append(np.array(centre) + np.array(radii) * direction)
            if i + 1 < rows:
                a, b = i * columns + j, i * columns + (j + 1) % columns
                triangles += [(a, a + columns, b), (b, a + columns, b + columns)]
    return np.array(vertices), np.array(triangles)


def made_up_head() -> dict:
    """Arguments of `face_model_arrays`."""
    pieces = [ball((0, 0, 0), (7.5, 11.0, 9.5), 36, 48), *(ball(eye, (1.2, 1.2, 1.2), 6, 8) for eye in EYES)]
    start = np.cumsum([0, *(len(vertices) for vertices, _ in pieces)])
    neutral = np.concatenate([vertices for vertices, _ in pieces])
    triangles = np.concatenate([corners + first for (_, corners), first in zip(pieces, start, strict=False)])
    rng = np.random.default_rng(0)
    expression = 0.05 * rng.normal(size=(3, len(neutral), 3))
    expression[0, :, 1] -= 1.5 * (neutral[:, 1] < -4.5) * (neutral[:, 2] > 0)  # below the lips' line
    return {
        "neutral": neutral,
        "triangles": triangles,
        "expression_basis": expression,
        "expression_names": NAMES,
        "identity_basis": 0.1 * rng.normal(size=(2, len(neutral), 3)),
        "parts": {"eye_left": np.arange(start[1], start[2]), "eye_right": np.arange(start[2], start[3])},
    }


def nearest_landmarks(arrays: dict, jaw=None) -> Correspondence:
    """Stands in for `find_correspondence`: every landmark on the vertex next to the shipped head's."""
    shipped = load_face_model()
    places = np.einsum("lk,lkc->lc", shipped.landmark_weights, shipped.neutral[shipped.landmark_triangles])
    nearest = np.linalg.norm(places[:, None] - arrays["neutral"][None], axis=-1).argmin(1)
    found = {
        "landmark_triangles": np.repeat(nearest[:, None], 3, 1).astype(np.uint16),
        "landmark_weights": np.full((478, 3), 1 / 3, np.float32),
        "landmark_offset": np.zeros((478, 3), np.float32),
    }
    return Correspondence(found, np.full((9, 478), 0.5), np.zeros((8, 12, 3), np.uint8))


def write_obj(path, vertices, faces=()) -> None:
    """A Wavefront OBJ as ICT-FaceKit's: `v x y z`, and `f` with texture coordinates, here polygons of any size."""
    lines = ["mtllib material.mtl", *("v {:.9f} {:.9f} {:.9f}".format(*vertex) for vertex in vertices)]
    lines += ["vt 0.5 0.5", *("f " + " ".join(f"{corner + 1}/1" for corner in face) for face in faces)]
    path.write_text("\n".join(lines) + "\n")
