import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vast_jax.training.example_loss import OfExamples


class Net(nn.Module):
    """A convolution, a norm, dropout and a recurrence."""

    @nn.compact
    def __call__(self, x_BxTxC, key):
        x = nn.LayerNorm()(nn.Conv(8, (3,))(x_BxTxC))
        if key is not None:
            x = x * jax.random.bernoulli(key, 0.5, x.shape)
        return nn.Dense(1)(nn.RNN(nn.GRUCell(4))(x))


def each(params, batch, key, progress):
    return Net().apply({"params": params}, batch["x"], key)


def total(found_BxTx1, batch, progress):
    """Neither part is a mean of the examples' own: a mean over all frames that count, and a square of a mean."""
    mask = batch["mask"][..., None]
    mean = (found_BxTx1 * mask).sum() / mask.sum()
    return mean + jnp.maximum(found_BxTx1.mean(), 0.01) ** 2, {"type": jnp.zeros((), found_BxTx1.dtype)}


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    batch = {"x": rng.normal(size=(8, 6, 3)).astype(np.float32), "mask": np.arange(6) < rng.integers(1, 7, (8, 1))}
    return Net().init(jax.random.key(0), batch["x"], None)["params"], batch


def value_and_gradient(loss, params, batch, key=jax.random.key(3)):  # noqa: B008
    return jax.jit(jax.value_and_grad(lambda p: loss(p, batch, key, 0.0)[0]))(params)


@pytest.mark.parametrize("pieces", [2, 8])
def test_pieces_change_nothing_but_rounding(case, pieces):
    loss = OfExamples(each, total)
    whole, split = (value_and_gradient(one, *case) for one in (loss, dataclasses.replace(loss, pieces=pieces)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), whole, split)


def test_what_is_drawn_belongs_to_an_example_and_its_place(case):
    params, batch = case

    def found(batch, key):
        shown = OfExamples(each, lambda found, *_: (0.0, {"found": found}))
        return np.asarray(shown(params, batch, key, 0.0)[1]["found"])

    key = jax.random.key(1)
    all_of_them, some = found(batch, key), found({name: array[:4] for name, array in batch.items()}, key)
    np.testing.assert_allclose(some, all_of_them[:4], atol=1e-6)
    twice = found({name: array[[0, 0]] for name, array in batch.items()}, key)
    assert not np.allclose(twice[0], twice[1])
    assert not np.allclose(found(batch, jax.random.key(2)), all_of_them)


def test_without_a_key_nothing_is_drawn(case):
    params, batch = case
    plain, _ = OfExamples(each, total)(params, batch, None, 0.0)
    expected, _ = total(Net().apply({"params": params}, batch["x"], None), batch, 0.0)
    assert float(plain) == pytest.approx(float(expected), rel=1e-5)


def test_a_pieces_memory_is_all_that_is_held():
    """Of a wide hidden layer, whose activations are most of the memory."""
    kernel, batch = jnp.ones((4, 4096)), {"x": np.ones((16, 64, 4), np.float32)}

    def wide(kernel, batch, key, progress):
        return jnp.tanh(jnp.tanh(batch["x"] @ kernel) * 2).mean((1, 2))

    def memory(pieces):
        loss = OfExamples(wide, lambda found, *_: (found.mean(), {}), pieces=pieces)
        step = jax.jit(jax.grad(lambda k: loss(k, batch, None, 0.0)[0]))
        return step.lower(kernel).compile().memory_analysis().temp_size_in_bytes

    assert memory(8) < 0.4 * memory(1)
