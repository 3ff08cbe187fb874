import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vast_jax import losses
from vast_jax.models.style_enhancer import StyleEnhancer, householder

S, H = 16, 12


@pytest.fixture(scope="module")
def enhancer():
    module = StyleEnhancer(style_width=S, householder_steps=4)
    h = jnp.tanh(jax.random.normal(jax.random.key(1), (5, H)))
    return jax.jit(module.apply), jax.jit(module.init)(jax.random.key(0), h), h


def test_a_step_is_a_reflection():
    z, v = np.random.default_rng(0).normal(size=(2, S)).astype(np.float32)
    matrix = jax.vmap(lambda row: householder(row, v))(np.eye(S, dtype=np.float32))
    assert np.linalg.det(matrix) == pytest.approx(-1, abs=1e-5)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(S), atol=1e-6)
    np.testing.assert_allclose(householder(v, v), -v, atol=1e-5)
    assert jnp.linalg.norm(householder(z, v)) == pytest.approx(float(np.linalg.norm(z)), rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-10, 1e-20, 0.0])
def test_the_gradient_is_finite_however_small_the_vector(scale):
    z, v = jnp.ones((2, S)), scale * jnp.arange(1.0, S + 1)
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(jnp.sin(householder(z, v)))))(v)
    assert jnp.isfinite(householder(z, v)).all()
    assert jnp.isfinite(gradient).all()


def test_the_flow_keeps_the_norm_and_runs_in_float32(enhancer):
    apply, variables, h = enhancer
    for dtype in (jnp.float32, jnp.bfloat16):
        mu, _, z = apply(variables, h.astype(dtype))
        assert z.dtype == jnp.float32
        np.testing.assert_allclose(jnp.linalg.norm(z, axis=-1), jnp.linalg.norm(mu, axis=-1), rtol=1e-5)
        assert jnp.abs(z - mu).max() > 0.1


def test_without_steps_it_is_a_diagonal_gaussian(enhancer):
    _, _, h = enhancer
    module = StyleEnhancer(style_width=S, householder_steps=0)
    variables = jax.jit(module.init)(jax.random.key(0), h)
    mu, _, z = module.apply(variables, h)
    np.testing.assert_array_equal(mu, z)
    assert set(variables["params"]) == {"mu", "logvar"}


def test_samples_are_seeded_and_scale_with_temperature(enhancer):
    apply, variables, h = enhancer
    key = jax.random.key(3)
    np.testing.assert_array_equal(apply(variables, h, key)[2], apply(variables, h, key)[2])
    centre = apply(variables, h)[2]
    np.testing.assert_allclose(apply(variables, h, key, 0.0)[2], centre, atol=1e-6)
    assert jnp.abs(apply(variables, h, key)[2] - centre).max() > 0.1


def test_analytic_divergence_is_the_mean_of_the_monte_carlo_estimate(enhancer):
    apply, variables, h = enhancer
    h = h[:1]
    mu, logvar, _ = apply(variables, h)
    analytic = losses.kl_standard_normal(mu, logvar).sum()

    def sample(key):  # as published: ln N(z_0; mu, sigma²) - ln N(z_K; 0, I)
        noise = jax.random.normal(key, mu.shape)
        z = apply(variables, h, key)[2]
        return 0.5 * jnp.sum(jnp.square(z) - jnp.square(noise) - logvar)

    estimates = jax.jit(jax.vmap(sample))(jax.random.split(jax.random.key(0), 4000))
    assert jnp.mean(estimates) == pytest.approx(float(analytic), abs=4 * float(jnp.std(estimates)) / 4000**0.5)


def test_log_variance_is_bounded(enhancer):
    apply, variables, h = enhancer
    _, logvar, _ = apply(variables, 1e4 * h)
    assert logvar.min() >= -8
    assert logvar.max() <= 4
