"""Where MediaPipe's 478 landmarks lie on the head: found on pictures of the head itself.

The head is rendered in several poses and jaw openings, the landmarker runs on each picture, and every landmark takes
the surface point that explains all pictures best. One picture would not do: on closed lips, upper and lower coincide.
"""

import tempfile
from pathlib import Path

import mediapipe
import numpy as np
from scipy.optimize import linear_sum_assignment

from vast_jax.face.model import ASSET, IRIS_LANDMARKS, FaceModel, load_face_model
from vast_jax.face.rasterise import SIZE, Camera, place, project, rotation_matrix
from vast_jax.face.shading import shade

PICTURE = 640  # pixels
CAMERA = Camera(focal=640.0, cx=128.0, cy=112.0)
DISTANCE = 900.0  # mm
JAWS = (0.0, 0.25, 0.5)
YAWS = (-0.3, 0.0, 0.3)  # radians, symmetric: the mirror of a pose is a pose
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


def embed_landmarks(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays landmark_triangles [478, 3], landmark_weights [478, 3] and landmark_offset [478, 3] (zero) of a head."""
    blank = {
        "landmark_triangles": np.zeros((478, 3), np.uint16),
        "landmark_weights": np.full((478, 3), 1 / 3, np.float32),
        "landmark_offset": np.zeros((478, 3), np.float32),
    }
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "head.npz", **arrays, **blank)
        model = load_face_model(Path(folder) / "head.npz")
    expression, rotation, translation = poses(model)
    placed = place(model, np.zeros(len(model.identity_basis)), expression, rotation, translation)
    seen = symmetric(detect(shade(model, placed, CAMERA, PICTURE)))

    corners, weights = surface_points(model, model.regions["skin_points"])
    side = lip_side(model, corners, weights)
    cost = reprojection_cost(placed, corners, weights, seen)
    cost[np.ix_(UPPER_LIP, side >= 0.4)] = np.inf
    cost[np.ix_(LOWER_LIP, side <= 0.6)] = np.inf
    best = cost.argmin(1)
    chosen, chosen_weights = corners[best], weights[best]
    for eye, name in enumerate(("eye_left", "eye_right")):
        corners, weights = surface_points(model, model.regions[name])
        iris = list(IRIS_LANDMARKS[eye])
        best = reprojection_cost(placed, corners, weights, seen[:, iris]).argmin(1)
        chosen[iris], chosen_weights[iris] = corners[best], weights[best]
    points = np.einsum("lk,nlkc->nlc", chosen_weights, placed[:, chosen])
    error = np.linalg.norm(project(points, CAMERA)[..., :2] - seen, axis=-1)
    print(f"landmark residual {error.mean():.2f} px of {SIZE}, lips {error[:, UPPER_LIP + LOWER_LIP].mean():.2f}")
    return blank | {"landmark_triangles": chosen.astype(np.uint16), "landmark_weights": chosen_weights}


def poses(model: FaceModel):
    """Expression [P, D], rotation [P, 3] and translation [P, 3] of the pictures; the yaw varies fastest."""
    grid = [(jaw, yaw) for jaw in JAWS for yaw in YAWS]
    expression = np.zeros((len(grid), len(model.expression_names)), np.float32)
    expression[:, model.expression_names.index("jawOpen")] = [jaw for jaw, _ in grid]
    rotation = np.array([[0, yaw, 0] for _, yaw in grid])
    eyes = np.einsum("pij,j->pi", rotation_matrix(rotation), model.eye_centres.mean(0))
    return expression, rotation, np.array([0, 0, DISTANCE]) - eyes * [1, 1, 0]


def detect(pictures: np.ndarray) -> np.ndarray:
    """Landmarks [P, 478, 2] in pixels of the SIZE crop on pictures [P, H, W, 3]."""
    vision = mediapipe.tasks.vision
    task = str(ASSET.parent / "face_landmarker.task")
    options = vision.FaceLandmarkerOptions(base_options=mediapipe.tasks.BaseOptions(model_asset_path=task))
    found = []
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for number, picture in enumerate(pictures):
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
            faces = landmarker.detect(image).face_landmarks
            if not faces:
                raise RuntimeError(f"no face found in picture {number} of the head: it does not look human enough")
            found.append([[point.x * SIZE, point.y * SIZE] for point in faces[0]])
    return np.array(found)


def symmetric(seen: np.ndarray) -> np.ndarray:
    """Averages landmarks [P, 478, 2] with the mirrored pose's, mirrored: the head is symmetric, its light is not."""
    flip = np.array([2 * CAMERA.cx, 0]), np.array([-1, 1])
    mirrored = flip[0] + flip[1] * seen.reshape(len(JAWS), len(YAWS), 478, 2)[:, ::-1].reshape(seen.shape)
    front = len(YAWS) // 2 + (len(JAWS) - 1) * len(YAWS)  # jaw open: lips well apart
    distance = np.linalg.norm(seen[front][:, None] - mirrored[front][None], axis=-1)
    return (seen + mirrored[:, linear_sum_assignment(distance)[1]]) / 2


def surface_points(model: FaceModel, region: np.ndarray, steps: int = 6):
    """A dense grid of points on the exposed triangles of a region: corners [S, 3] and barycentric weights [S, 3]."""
    triangles = model.triangles[region[model.triangles].all(1)]
    a, b, c = model.neutral[triangles].swapaxes(0, 1)
    normal = np.cross(b - a, c - a)
    triangles = triangles[-normal[:, 2] > EXPOSED * np.linalg.norm(normal, axis=1) - 1e-9]
    grid = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
    weights = np.array(grid, np.float32) / steps
    return np.repeat(triangles, len(grid), 0), np.tile(weights, (len(triangles), 1))


def lip_side(model: FaceModel, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """0 on the upper, 1 on the lower lip [S]: how far a point follows the jaw, from the lips' least to most there."""
    drop = model.expression_basis[model.expression_names.index("jawOpen")][:, 1]
    lips = np.flatnonzero(model.regions["lips"])
    across = np.abs(model.neutral[:, 0])
    stations = np.arange(0.0, across[lips].max(), 1.5)
    near = [drop[lips[np.abs(across[lips] - station) < 3.0]] for station in stations]
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
