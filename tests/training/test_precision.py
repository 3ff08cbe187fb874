import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vast_jax.training.example_loss import OfExamples
from vast_jax.training.precision import as_float32, products_in


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        first = nn.Conv(8, (3,))(x)
        norm = nn.LayerNorm()(first)
        state = nn.RNN(nn.GRUCell(4))(norm)
        return first, norm, state, nn.Dense(2)(state)


def test_products_are_rounded_and_the_rest_is_not():
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    params = Net().init(jax.random.key(0), x)
    exact = Net().apply(params, x)
    with products_in("bfloat16"):
        found = Net().apply(params, x)
    assert [array.dtype for array in found] == [jnp.bfloat16, jnp.float32, jnp.float32, jnp.bfloat16]
    for a, b in zip(found, exact, strict=True):
        assert 0 < np.abs(np.float32(a) - b).max() < 0.05
    assert all(array.dtype == jnp.float32 for array in Net().apply(params, x))  # no trace is left in the modules
    kept = as_float32({"a": found[0], "b": jnp.arange(3)})
    assert kept["a"].dtype == jnp.float32 and kept["b"].dtype == jnp.int32


def test_gradients_of_float32_parameters_are_float32_and_near():
    x = np.random.default_rng(1).normal(size=(4, 5, 3)).astype(np.float32)
    params = Net().init(jax.random.key(0), x)["params"]
    loss = OfExamples(
        lambda p, batch, key, progress: Net().apply({"params": p}, batch["x"])[-1],
        lambda found, batch, progress: (jnp.square(found).mean(), {"loss": found.mean()}),
    )

    def gradient(loss):
        return jax.jit(jax.grad(lambda p: loss(p, {"x": x}, None, 0.0)[0]))(params)

    exact, rounded = gradient(loss), gradient(dataclasses.replace(loss, compute="bfloat16"))
    assert {leaf.dtype for leaf in jax.tree.leaves(rounded)} == {jnp.dtype("float32")}
    a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (exact, rounded))
    assert 0 < np.linalg.norm(a - b) < 0.03 * np.linalg.norm(a)
