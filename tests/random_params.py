"""Random weights without the seconds that compiling a module's own initialisation takes."""

import jax
import numpy as np


def random_weights(module, *inputs, seed: int = 0) -> dict:
    """Variables of a Linen module."""
    return random_like(jax.eval_shape(module.init, jax.random.key(0), *inputs), seed)


def random_like(shapes, seed: int = 0) -> dict:
    """A tree of params of these shapes: normal, scaled by the square root of the fan-in; scales around 1."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        if len(leaf.shape) > 1:
            return noise / np.sqrt(np.prod(leaf.shape[:-1])).astype(np.float32)
        return 0.1 * noise + np.float32(path[-1].key == "scale")

    return jax.tree_util.tree_map_with_path(draw, shapes)
