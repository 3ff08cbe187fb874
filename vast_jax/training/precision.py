"""Mixed precision: the products of dense layers and convolutions in bfloat16, everything else in float32."""

import contextlib
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

_PRODUCTS = (nn.Dense, nn.Conv, nn.ConvTranspose)


@contextlib.contextmanager
def products_in(compute: str) -> Iterator[None]:
    """Linen's dense layers and convolutions that are traced inside compute in this type, and return it.

    Their parameters stay float32 and are rounded at each use, as by Linen's own `dtype`, which it sets where a module
    names none. Norms, softmax, recurrent states and losses stay float32: they meet float32 parameters or constants.
    """
    if compute == "float32":
        yield
        return

    def typed(method, args, kwargs, context):
        module = context.module
        if isinstance(module, _PRODUCTS) and module.dtype is None:
            object.__setattr__(module, "dtype", jnp.dtype(compute))  # a module is frozen but for this trace's copy
        return method(*args, **kwargs)

    with nn.intercept_methods(typed):
        yield


def as_float32(tree: Any) -> Any:
    """The tree with its floating arrays as float32."""
    return jax.tree.map(lambda x: x.astype(jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)
