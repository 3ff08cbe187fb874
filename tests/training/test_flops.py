import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vast_jax.training.flops import products


def by_xla(function, *arguments) -> float:
    return jax.jit(function).lower(*arguments).cost_analysis()["flops"]


def test_matrix_products_and_convolutions_are_counted_as_xla_counts_them():
    x, kernel = jnp.ones((5, 33, 40)), jnp.ones((40, 24))
    assert products(lambda x, k: x @ k, x, kernel) == 2 * 5 * 33 * 40 * 24
    image, weights = jnp.ones((2, 30, 30, 8)), jnp.ones((3, 3, 4, 16))

    def convolve(image, weights):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            image, weights, (2, 2), "VALID", dimension_numbers=numbers, feature_group_count=2
        )

    assert products(convolve, image, weights) == pytest.approx(by_xla(convolve, image, weights), rel=1e-6)
    backwards = jax.grad(lambda w: (convolve(image, w) ** 2).sum())  # XLA counts the squares too
    assert products(backwards, weights) == pytest.approx(by_xla(backwards, weights), rel=0.1)


def test_a_loop_counts_as_often_as_it_runs():
    matrix = jnp.ones((16, 16))

    def loop(x):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ matrix), None), x, None, length=7)[0]

    assert products(loop, matrix) == 7 * 2 * 16**3
    assert products(jax.checkpoint(jax.jit(loop)), np.asarray(matrix)) == 7 * 2 * 16**3
