"""How far apart two sequences of expression parameters are, in millimetres of the face they move.

The face model is linear in identity and expression, so the distance of two expressions on the same head, whoever's it
is, is that of their difference on the expression basis alone.
"""

from collections.abc import Sequence

import numpy as np

from vast_jax.face.model import FaceModel, landmark_basis
from vast_jax.metrics.landmarks import lip_aperture


def mean_distance(model: FaceModel, first: np.ndarray, second: np.ndarray, region: str = "mouth") -> float:
    """Mean over frames and the region's vertices of the distance in mm; `first` and `second` are [T, D]."""
    basis = model.expression_basis[:, model.regions[region]]
    offset = (first - second) @ basis.reshape(len(basis), -1)
    return float(np.linalg.norm(offset.reshape(len(first), -1, 3), axis=-1).mean())


def metric_coordinates(model: FaceModel, *regions: str) -> np.ndarray:
    """A matrix M [D, D] such that ‖(a - b) M‖ is the distance of expressions a and b [D] in mm.

    The distance is the root mean square over the vertices of the regions' union. M is the root of the basis' Gram
    matrix, so that D numbers stand for thousands of vertices where many sequences are compared.
    """
    members = np.logical_or.reduce([model.regions[region] for region in regions])
    basis = model.expression_basis[:, members].reshape(len(model.expression_basis), -1).astype(np.float64)
    values, vectors = np.linalg.eigh(basis @ basis.T / members.sum())
    return vectors * np.sqrt(np.maximum(values, 0))


def mesh_lip_aperture(model: FaceModel, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """Lip gap over interocular distance, [T], of the face [I] in expressions [T, D], seen from the front."""
    basis = landmark_basis(model)
    person = basis.neutral + np.tensordot(identity, basis.identity, 1)
    return lip_aperture(person + np.tensordot(expression, basis.expression, 1))


def mean_activation(model: FaceModel, expression: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Mean over the named parameters of an expression [T, D], [T]; zeros if the face model has none of them."""
    columns = [model.expression_names.index(name) for name in names if name in model.expression_names]
    return expression[:, columns].mean(-1) if columns else np.zeros(len(expression))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation of two sequences [T]; 0 where either does not move."""
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt(np.square(first).sum() * np.square(second).sum())
    return float((first * second).sum() / scale) if scale > 1e-12 else 0.0
