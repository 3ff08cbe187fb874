"""Dropout whose randomness is a key passed in: `nn.Dropout` would need a collection of keys at every call."""

import jax
import jax.numpy as jnp

from vast_jax.types import Array


def dropout(x: Array, rate: float, key: Array | None, shared: int | None = None) -> Array:
    """Each number is kept with the chance 1 - rate, and then grown by as much; the identity without a key.

    What is dropped along the axis `shared` is the same everywhere, such as whole channels over time.
    """
    if key is None or not rate:
        return x
    shape = tuple(1 if axis == shared else length for axis, length in enumerate(x.shape))
    return jnp.where(jax.random.bernoulli(key, 1 - rate, shape), x / (1 - rate), 0.0)
