"""How much of the sky each vertex of the head sees, by shadow maps from many directions."""

import numpy as np

from vast_jax.face.rasterise import rasterise, vertex_normals

DIRECTIONS = 160
SIZE = 512  # pixels of a map, about a millimetre each
BIAS = 1.5  # mm
JAW_OPEN = 0.45  # at which the inside of the mouth is measured: closed, it would see nothing


def ambient_occlusion(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Cosine-weighted share [V] of directions from which a vertex is seen; the mouth's inside with the jaw open."""
    jaw = arrays["expression_basis"][list(arrays["expression_names"]).index("jawOpen")].astype(np.float32)
    triangles = arrays["triangles"].astype(np.int32)
    closed = seen_share(arrays["neutral"], triangles)
    opened = seen_share(arrays["neutral"] + JAW_OPEN * jaw, triangles)
    inner = arrays["region_inside"] | arrays["region_teeth"] | arrays["region_tongue"]
    return np.where(inner, opened, np.maximum(closed, 0.25))


def seen_share(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    normals = vertex_normals(np.ascontiguousarray(points, np.float32), triangles)
    k = np.arange(DIRECTIONS) + 0.5
    polar, turn = np.arccos(1 - 2 * k / DIRECTIONS), np.pi * (1 + 5**0.5) * k  # Fibonacci sphere
    seen, possible = np.zeros(len(points)), np.full(len(points), 1e-9)
    for light in np.stack([np.cos(turn) * np.sin(polar), np.cos(polar), np.sin(turn) * np.sin(polar)], 1):
        right = np.cross([0.0, 0.9, 0.1], -light)
        right /= np.linalg.norm(right)
        view = ((points - points.mean(0)) @ np.stack([right, np.cross(-light, right), -light], 1)).astype(np.float32)
        view += np.array([SIZE / 2, SIZE / 2, 1000], np.float32)
        depth = rasterise(view, triangles, SIZE, SIZE)[2]
        column, row = np.clip(view[:, :2].astype(int), 0, SIZE - 1).T
        facing = np.maximum(normals @ light, 0)
        seen += facing * (view[:, 2] < depth[row, column] + BIAS)
        possible += facing
    return seen / possible
