"""Triangles to pixels: a camera, and a z-buffer in numba.

Camera frame: OpenCV axes (x right, y down, z forward), mm. Pixel centres lie at integer + 0.5.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numba
import numpy as np

from vast_jax.face.model import FaceModel, vertices
from vast_jax.types import CROP, FaceTrack


class Camera(NamedTuple):
    """Pinhole camera in pixels of the crop, which is CROP pixels wide and high."""

    focal: float
    cx: float
    cy: float

    def resized(self, size: int) -> "Camera":
        """The same view in an image of `size` pixels."""
        return Camera(*(value * size / CROP for value in self))


def camera_of(track: FaceTrack) -> Camera:
    """The camera of a track seen through its crop."""
    left, top, side = (float(value) for value in track.crop)
    width, height = (float(value) for value in track.source_size)
    scale = CROP / side
    return Camera(float(track.focal) * scale, (width / 2 - left) * scale, (height / 2 - top) * scale)


def rotation_matrix(rotation: np.ndarray) -> np.ndarray:
    """Rotation matrices [..., 3, 3] of axis-angle vectors [..., 3] (Rodrigues)."""
    rotation = np.asarray(rotation, np.float64)
    angle = np.linalg.norm(rotation, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(rotation, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*rotation.shape, 3)
    safe = np.maximum(angle, 1e-8)
    return np.eye(3) + np.sin(angle) / safe * cross + (1 - np.cos(angle)) / safe**2 * (cross @ cross)


def rotation_vectors(matrices: np.ndarray) -> np.ndarray:
    """Axis-angle [N, 3] float32 of rotation matrices [N, 3, 3]: the inverse of `rotation_matrix`."""
    return np.stack([cv2.Rodrigues(np.asarray(m, np.float64))[0][:, 0] for m in matrices]).astype(np.float32)


def place(
    model: FaceModel,
    identity: np.ndarray,
    expression: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    gaze: np.ndarray | None = None,
) -> np.ndarray:
    """Vertices [N, V, 3] float32 in the camera frame, mm; rotation and translation [N, 3] as in FaceTrack."""
    matrix = rotation_matrix(rotation).astype(np.float32)
    head = vertices(model, identity, expression, gaze)
    return head @ matrix.swapaxes(1, 2) + np.asarray(translation, np.float32)[:, None]


def project(points: np.ndarray, camera: Camera) -> np.ndarray:
    """Camera points [..., 3] in mm to (u, v) in pixels and depth in mm [..., 3]."""
    depth = points[..., 2:]
    centre = np.array([camera.cx, camera.cy], points.dtype)
    return np.concatenate([points[..., :2] / depth * camera.focal + centre, depth], axis=-1)


@numba.njit(cache=True, fastmath=True, nogil=True)
def rasterise(projected, triangles, height, width):
    """Z-buffer of front-facing triangles.

    Args:
      projected: [V, 3] float32 (u, v in pixels, depth).
      triangles: [F, 3] int32, counter-clockwise seen from outside.

    Returns:
      index [height, width] int32, the nearest triangle, -1 where there is none; weights [height, width, 3] float32,
      its perspective-correct barycentric weights; depth [height, width] float32, inf where there is none.
    """
    index = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax, ay, bx, by = projected[a, 0], projected[a, 1], projected[b, 0], projected[b, 1]
        cx, cy = projected[c, 0], projected[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= -1e-9:  # y points down: front faces have negative area
            continue
        az, bz, cz = 1 / projected[a, 2], 1 / projected[b, 2], 1 / projected[c, 2]
        if az <= 0 or bz <= 0 or cz <= 0:
            continue
        left = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0)
        right = min(int(np.floor(max(ax, bx, cx) - 0.5)), width - 1)
        top = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0)
        bottom = min(int(np.floor(max(ay, by, cy) - 0.5)), height - 1)
        inverse = 1 / area
        for y in range(top, bottom + 1):
            py = y + np.float32(0.5)
            for x in range(left, right + 1):
                px = x + np.float32(0.5)
                wa = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse
                wb = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse
                wc = 1 - wa - wb
                if wa < 0 or wb < 0 or wc < 0:
                    continue
                near = wa * az + wb * bz + wc * cz
                z = 1 / near
                if z < depth[y, x]:
                    depth[y, x] = z
                    index[y, x] = f
                    weights[y, x, 0] = wa * az * z
                    weights[y, x, 1] = wb * bz * z
                    weights[y, x, 2] = wc * cz * z
    return index, weights, depth


@numba.njit(cache=True, fastmath=True, nogil=True)
def vertex_normals(points, triangles):
    """Outward unit normals [V, 3] float32 of points [V, 3], area-weighted over the triangles around a vertex."""
    normals = np.zeros_like(points)
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(points.shape[0]):
        x, y, z = normals[v, 0], normals[v, 1], normals[v, 2]
        length = np.sqrt(x * x + y * y + z * z) + np.float32(1e-12)
        normals[v, 0], normals[v, 1], normals[v, 2] = x / length, y / length, z / length
    return normals


def face_mask(model: FaceModel, vertices_camera: np.ndarray, camera: Camera, size: int = CROP) -> np.ndarray:
    """Where the whole face region (brows to chin, ear to ear) is seen: bool [N, size, size]."""
    triangles = triangles_of(model, "face")
    points = np.ascontiguousarray(vertices_camera, np.float32)
    return np.stack(
        [rasterise(project(frame, camera.resized(size)), triangles, size, size)[0] >= 0 for frame in points]
    )


@lru_cache(maxsize=16)
def triangles_of(model: FaceModel, region: str) -> np.ndarray:
    """The triangles [F', 3] int32 whose corners all lie in a region."""
    return np.ascontiguousarray(model.triangles[model.regions[region][model.triangles].all(1)])


def place_track(model: FaceModel, track: FaceTrack, expression: np.ndarray) -> np.ndarray:
    return place(model, track.identity, expression, track.rotation, track.translation, track.gaze)
