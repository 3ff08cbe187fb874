import jax
import jax.numpy as jnp
import numpy as np
from flax.linen import Conv
from random_params import random_weights

from vast_jax.models.discriminator import Discriminator, detail


def test_a_logit_sees_seventy_pixels():
    module = Discriminator((4, 4, 4, 4))
    image = jnp.zeros((1, 128, 128, 3))
    mesh = jax.random.normal(jax.random.key(1), (1, 128, 128, 7))
    params = random_weights(module, mesh, image)
    plain = jax.tree.map(jnp.abs, params)  # nothing cancels
    seen = jax.jit(jax.grad(lambda mesh: convolutions(plain, mesh)[0, 7, 7, 0]))(jnp.ones((1, 128, 128, 13)))
    rows, columns = np.nonzero(np.asarray(jnp.abs(seen).sum((0, 3))))
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == 70
    logits, features = jax.eval_shape(module.apply, params, mesh, image)
    assert logits.shape == (1, 14, 14, 1) and len(features) == 4
    assert set(params) == {"params"}


def convolutions(params, x):
    """The discriminator without its normalisation, which looks at the whole frame."""
    pad = ((1, 1), (1, 1))
    layers = [(f"conv{i}", 2 if i < 4 else 1) for i in range(1, 5)] + [("logits", 1)]
    for name, stride in layers:
        leaf = params["params"][name]
        conv = Conv(leaf["kernel"].shape[-1], (4, 4), (stride, stride), pad)
        x = conv.apply({"params": leaf}, x)
    return x


def test_examples_are_judged_apart_and_the_mesh_counts():
    module = Discriminator((4, 4, 4, 4))
    mesh, image = (jax.random.normal(jax.random.key(c), (2, 48, 48, c)) for c in (7, 3))
    params = random_weights(module, mesh, image)
    both, _ = module.apply(params, mesh, image)
    np.testing.assert_allclose(module.apply(params, mesh[1:], image[1:])[0], both[1:], atol=1e-5)
    assert jnp.abs(module.apply(params, mesh[::-1], image)[0] - both).max() > 1e-3


def test_detail_is_what_a_blur_takes_away():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 9, 9, 2)).astype(np.float32)
    around = image[0, 2:5, 5:8].mean((0, 1))
    np.testing.assert_allclose(detail(image)[0, 3, 6], image[0, 3, 6] - around, atol=1e-6)
    corner = np.pad(image[0], ((1, 1), (1, 1), (0, 0)), mode="edge")[:3, :3].mean((0, 1))
    np.testing.assert_allclose(detail(image)[0, 0, 0], image[0, 0, 0] - corner, atol=1e-6)
    np.testing.assert_allclose(detail(np.ones((1, 9, 9, 2), np.float32)), 0, atol=1e-6)  # at the edges too
