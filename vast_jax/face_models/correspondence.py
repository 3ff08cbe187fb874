"""Where MediaPipe's 478 landmarks lie on a head: found on pictures of the head itself.

The head is rendered in several poses and jaw openings, the landmarker runs on each picture, and every landmark takes
the surface point that explains all pictures best. One picture would not do: on closed lips, upper and lower coincide.
"""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from vast_jax.face.landmarks import Landmarker
from vast_jax.face.model import IRIS_LANDMARKS, FaceModel, face_model, landmarks
from vast_jax.face.rasterise import Camera, place, project, rasterise, rotation_matrix
from vast_jax.face.shading import shade
from vast_jax.types import CROP, UserError

PICTURE = 640  # pixels
CAMERA = Camera(focal=640.0, cx=128.0, cy=112.0)
DISTANCE = 900.0  # mm
JAWS = (0.0, 0.25, 0.5)
YAWS = (-0.3, 0.0, 0.3)  # radians, symmetric: the mirror of a pose is a pose
SKIN_BELOW, SKIN_ABOVE = 134.75, 90.0  # mm from the eyes: the part of the skin that landmarks can lie on
# MediaPipe's lip contours, corners left out: they belong to both lips.
UPPER_LIP = (
    185, 40, 39, 37, 0, 267, 269, 270, 409, 184, 74, 73, 72, 11, 302, 303, 304, 408, 183, 42, 41, 38, 12, 268, 271, 272,
    407, 191, 80, 81, 82, 13, 312, 311, 310, 415,
)  # fmt: skip
LOWER_LIP = (
    146, 91, 181, 84, 17, 314, 405, 321, 375, 77, 90, 180, 85, 16, 315, 404, 320, 307, 96, 89, 179, 86, 15, 316, 403,
    319, 325, 95, 88, 178, 87, 14, 317, 402, 318, 324,
)  # fmt: skip
EXPOSED = 0.35  # a landmark's surface point faces the viewer at least this much in the frontal view
HIDDEN = 4.0  # mm behind what is seen: a point so deep in every picture is no place for a landmark
MIRRORED = 1.0  # mm, median distance to the mirrored mesh: up to here the head is symmetric, and so are its landmarks
_DETECTED, _FOUND = (60, 230, 60), (255, 60, 60)  # RGB


class Correspondence(NamedTuple):
    """The landmarks of a head, and how well they explain the P pictures that they were found on."""

    arrays: dict[str, np.ndarray]  # landmark_triangles [478, 3], landmark_weights [478, 3], landmark_offset [478, 3]
    error: np.ndarray  # [P, 478] pixels of the CROP crop between the detected landmarks and the points found
    sheet: np.ndarray  # uint8 [2 H, 3 H, 3]: pictures with the detections (green), below them with the points (red)


def find_correspondence(arrays: dict[str, np.ndarray], jaw: np.ndarray | None = None) -> Correspondence:
    """Finds the landmarks on a head.

    Args:
      arrays: those of a face model file without its landmarks; where region_lips is empty, a landmark may take either
        lip (see `lip_side`).
      jaw: activations [D] at which the mouth is wide open; None is the shape jawOpen.

    UserError: no shape opens the mouth, or the head does not look like one.
    """
    blank = {
        "landmark_triangles": np.zeros((478, 3), np.uint32),
        "landmark_weights": np.full((478, 3), 1 / 3, np.float32),
        "landmark_offset": np.zeros((478, 3), np.float32),
    }
    model = face_model(arrays | blank, "")
    jaw = _jaw_open(model) if jaw is None else np.asarray(jaw, np.float32)
    expression, rotation, translation = poses(model, jaw)
    placed = place(model, np.zeros(len(model.identity_basis)), expression, rotation, translation)
    pictures = shade(model, placed, CAMERA, PICTURE)
    detected = detect(pictures)
    seen = symmetric(detected) if is_symmetric(model) else detected

    corners, weights = surface_points(model, skin_points(model))
    cost = reprojection_cost(placed, corners, weights, seen)
    cost[:, ~visible(model, placed, corners, weights)] = np.inf
    if model.regions["lips"].any():
        side = lip_side(model, np.tensordot(jaw, model.expression_basis, 1)[:, 1], corners, weights)
        cost[np.ix_(UPPER_LIP, side >= 0.4)] = np.inf
        cost[np.ix_(LOWER_LIP, side <= 0.6)] = np.inf
    best = cost.argmin(1)
    chosen, chosen_weights = corners[best], weights[best]
    for eye, name in enumerate(("eye_left", "eye_right")):
        corners, weights = surface_points(model, model.regions[name])
        iris = list(IRIS_LANDMARKS[eye])
        best = reprojection_cost(placed, corners, weights, seen[:, iris]).argmin(1)
        chosen[iris], chosen_weights[iris] = corners[best], weights[best]
    kind = np.uint16 if len(model.neutral) <= 2**16 else np.uint32
    found = blank | {"landmark_triangles": chosen.astype(kind), "landmark_weights": chosen_weights}
    points = project(landmarks(face_model(arrays | found, ""), placed), CAMERA)[..., :2]
    error = np.linalg.norm(points - seen, axis=-1)
    return Correspondence(found, error, sheet(pictures, detected, points))


def embed_landmarks(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`find_correspondence(arrays).arrays`, and says how well they fit."""
    found = find_correspondence(arrays)
    print(describe(found.error))
    return found.arrays


def describe(error: np.ndarray) -> str:
    lips = error[:, UPPER_LIP + LOWER_LIP].mean()
    return f"landmark residual {error.mean():.2f} px of {CROP}, lips {lips:.2f}"


def _jaw_open(model: FaceModel) -> np.ndarray:
    if "jawOpen" not in model.expression_names:
        raise UserError("no expression is named jawOpen: name it, or give jaw_open, activations that open the mouth")
    return np.eye(len(model.expression_names), dtype=np.float32)[model.expression_names.index("jawOpen")]


def poses(model: FaceModel, jaw: np.ndarray):
    """Expression [P, D], rotation [P, 3] and translation [P, 3] of the pictures; the yaw varies fastest."""
    grid = [(opening, yaw) for opening in JAWS for yaw in YAWS]
    expression = np.array([opening * jaw for opening, _ in grid], np.float32)
    rotation = np.array([[0, yaw, 0] for _, yaw in grid])
    eyes = np.einsum("pij,j->pi", rotation_matrix(rotation), model.eye_centres.mean(0))
    return expression, rotation, np.array([0, 0, DISTANCE]) - eyes * [1, 1, 0]


def detect(pictures: np.ndarray) -> np.ndarray:
    """Landmarks [P, 478, 2] in pixels of the CROP crop on pictures [P, H, W, 3]. UserError: no face in one of them."""
    found = []
    with Landmarker(num_faces=1) as landmarker:
        for picture in pictures:
            faces = landmarker.detect(picture)
            if not faces:
                raise UserError(
                    f"no face found in a picture of the head ({len(found) + 1} of {len(pictures)}): it does not look "
                    "like one; check its axes (up, front), its part names and which eye is the left one"
                )
            found.append(faces[0][:, :2].astype(np.float64) * CROP / picture.shape[0])
    return np.array(found)


def is_symmetric(model: FaceModel) -> bool:
    skin = model.neutral[skin_points(model)]
    return np.median(cKDTree(skin).query(skin * [-1, 1, 1])[0]) < MIRRORED


def symmetric(seen: np.ndarray) -> np.ndarray:
    """Averages landmarks [P, 478, 2] with the mirrored pose's, mirrored: the head is symmetric, its light is not."""
    flip = np.array([2 * CAMERA.cx, 0]), np.array([-1, 1])
    mirrored = flip[0] + flip[1] * seen.reshape(len(JAWS), len(YAWS), 478, 2)[:, ::-1].reshape(seen.shape)
    front = len(YAWS) // 2 + (len(JAWS) - 1) * len(YAWS)  # jaw open: lips well apart
    distance = np.linalg.norm(seen[front][:, None] - mirrored[front][None], axis=-1)
    return (seen + mirrored[:, linear_sum_assignment(distance)[1]]) / 2


def skin_points(model: FaceModel) -> np.ndarray:
    """The vertices [V] bool that a landmark of the face can lie on: skin and lips, not neck and crown."""
    above_eyes = model.eye_centres[:, 1].mean() - model.neutral[:, 1]
    skin = model.regions["casters"] & ~model.regions["inside"]
    return skin & (-above_eyes < SKIN_BELOW) & (above_eyes < SKIN_ABOVE)


def surface_points(model: FaceModel, region: np.ndarray, steps: int = 6):
    """A dense grid of points on the exposed triangles of a region: corners [S, 3] and barycentric weights [S, 3]."""
    triangles = model.triangles[region[model.triangles].all(1)]
    a, b, c = model.neutral[triangles].swapaxes(0, 1)
    normal = np.cross(b - a, c - a)
    triangles = triangles[-normal[:, 2] > EXPOSED * np.linalg.norm(normal, axis=1) - 1e-9]
    grid = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
    weights = np.array(grid, np.float32) / steps
    return np.repeat(triangles, len(grid), 0), np.tile(weights, (len(triangles), 1))


def visible(model: FaceModel, placed: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Which surface points [S] lie on what is seen in at least one picture: not the socket behind an eyeball."""
    found = np.zeros(len(corners), bool)
    for frame in placed:
        depth = rasterise(project(frame, CAMERA.resized(PICTURE)), model.triangles, PICTURE, PICTURE)[2]
        points = project(np.einsum("sk,skc->sc", weights, frame[corners]), CAMERA.resized(PICTURE))
        column, row = np.clip(points[:, :2].astype(int), 0, PICTURE - 1).T
        found |= points[:, 2] < depth[row, column] + HIDDEN
    return found


def lip_side(model: FaceModel, drop: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """0 on the upper, 1 on the lower lip [S]: how far a point follows the jaw, from the lips' least to most there.

    drop [V]: how far an opening jaw lowers a vertex.
    """
    lips = np.flatnonzero(model.regions["lips"])
    across = np.abs(model.neutral[:, 0])
    stations = np.arange(0.0, across[lips].max(), 1.5)
    near = [drop[lips[np.abs(across[lips] - station) < 3.0]] for station in stations]
    stations, near = zip(*((at, values) for at, values in zip(stations, near, strict=True) if len(values)), strict=True)
    where = (across[corners] * weights).sum(1)
    least, most = (np.interp(where, stations, [edge(values) for values in near]) for edge in (np.min, np.max))
    return ((drop[corners] * weights).sum(1) - least) / np.maximum(most - least, 1e-3)


def reprojection_cost(placed: np.ndarray, corners: np.ndarray, weights: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mean squared distance [L, S] px^2 of surface points from landmarks [P, L, 2] over all pictures."""
    cost = np.zeros((seen.shape[1], len(corners)), np.float32)
    for vertices, target in zip(placed, seen.astype(np.float32), strict=True):
        points = project(np.einsum("sk,skc->sc", weights, vertices[corners]), CAMERA)[:, :2]
        cost += (target[:, :1] - points[:, 0]) ** 2 + (target[:, 1:] - points[:, 1]) ** 2
    return cost / len(placed)


def sheet(pictures: np.ndarray, detected: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Three of the pictures: jaw closed from the front and the side, jaw open; detections above, points found below."""
    front = len(YAWS) // 2
    shown = (front, 2 * front, front + (len(JAWS) - 1) * len(YAWS))
    rows = []
    for places, colour in ((detected, _DETECTED), (points, _FOUND)):
        row = []
        for pose in shown:
            picture = pictures[pose].copy()
            for x, y in places[pose] * PICTURE / CROP:
                cv2.circle(picture, (round(16 * x), round(16 * y)), 24, colour, -1, cv2.LINE_AA, 4)
            row.append(picture)
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)
