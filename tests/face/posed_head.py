"""The mean head before a camera, in any pose and expression."""

import numpy as np

from vast_jax.face.rasterise import Camera, place

CAMERA = Camera(640.0, 128.0, 112.0)


def put(model, rotation=(0, 0, 0), gaze=None, **activations):
    """Vertices [1, V, 3]."""
    expression = np.zeros((1, len(model.expression_names)), np.float32)
    for name, value in activations.items():
        expression[0, model.expression_names.index(name)] = value
    gaze = None if gaze is None else np.array([gaze])
    identity = np.zeros(len(model.identity_basis))
    return place(model, identity, expression, np.array([rotation]), np.array([[0.0, 24.0, 800.0]]), gaze)
