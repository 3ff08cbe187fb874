"""Displacements at the landmarks spread over the whole face: the smoothest surface that nearly passes through them."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from vast_jax.face.landmarks import MESH_LANDMARKS
from vast_jax.face.model import FaceModel

STIFFNESS = 0.3  # of the surface against the landmarks
FADE = 1e-4  # pull to zero where no landmark is near


class Spreader:
    """Spreads displacements at the landmarks over the skin: the smoothest field that nearly passes through them."""

    def __init__(self, model: FaceModel):
        self._shape = model.neutral.shape
        moved = ~np.logical_or.reduce([model.regions[n] for n in ("eye_left", "eye_right", "teeth", "tongue")])
        self._free = np.flatnonzero(moved)
        number = np.full(len(moved), -1)
        number[self._free] = np.arange(len(self._free))
        triangles = number[model.triangles]
        triangles = triangles[(triangles >= 0).all(1)]
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        count = len(self._free)
        ones = np.ones(len(edges))
        adjacency = sparse.coo_array((ones, (edges[:, 0], edges[:, 1])), (count, count)).tocsr()
        adjacency = ((adjacency + adjacency.T) > 0).astype(float)
        degree = np.asarray(adjacency.sum(1)).ravel()
        laplacian = sparse.eye_array(count) - sparse.diags_array(1 / np.maximum(degree, 1)) @ adjacency
        corners = number[model.landmark_triangles[:MESH_LANDMARKS]]
        rows = np.repeat(np.arange(MESH_LANDMARKS), 3)
        inside = corners.ravel() >= 0
        values = model.landmark_weights[:MESH_LANDMARKS].ravel().astype(float)
        at = (values[inside], (rows[inside], corners.ravel()[inside]))
        self._landmarks = sparse.coo_array(at, (MESH_LANDMARKS, count)).tocsr()
        matrix = (
            STIFFNESS * laplacian.T @ laplacian + self._landmarks.T @ self._landmarks + FADE * sparse.eye_array(count)
        )
        self._solver = splu(matrix.tocsc())

    def __call__(self, fields: np.ndarray) -> np.ndarray:
        """Displacements [K, V, 3] mm of the mesh from those [K, 468, 3] of its landmarks."""
        spread = np.zeros((len(fields), *self._shape), np.float32)
        for k, field in enumerate(fields):
            spread[k, self._free] = self._solver.solve(self._landmarks.T @ field)
        return spread
