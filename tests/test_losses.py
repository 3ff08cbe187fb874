import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vast_jax import losses


def test_l1_counts_only_masked_positions():
    x = jnp.array([[1.0, 2.0, 9.0], [0.0, 5.0, 7.0]])[..., None]
    mask = jnp.array([[True, True, False], [True, False, False]])
    assert losses.l1(x, jnp.zeros_like(x), mask) == pytest.approx(1.0)
    assert losses.l1(x, jnp.zeros_like(x)) == pytest.approx(4.0)
    assert losses.l1(x, jnp.zeros_like(x), jnp.zeros_like(mask)) == 0


def test_asymmetric_error_is_the_published_formula():
    rng = np.random.default_rng(0)
    g, p = rng.normal(size=(2, 1000))
    magnitude, signed = np.abs(g), np.sign(g) * p
    largest = np.maximum(magnitude, signed)
    oracle = 0.5 * (magnitude - largest) ** 2 + 1.5 * (signed - largest) ** 2
    np.testing.assert_allclose(losses.asymmetric_error(p, g), oracle, atol=1e-5)


def test_asymmetric_error_sees_a_zero_target():
    gradient = jax.grad(lambda p: losses.asymmetric_error(p, 0.0))
    assert gradient(0.3) > 0
    assert gradient(-0.3) < 0


def test_asymmetric_error_prefers_overshoot():
    assert losses.asymmetric_error(2.5, 2.0) < losses.asymmetric_error(1.5, 2.0)
    assert losses.asymmetric_error(-2.5, -2.0) < losses.asymmetric_error(-1.5, -2.0)
    assert losses.asymmetric_error(2.0, 2.0) == 0


def test_asymmetric_minimiser_inflates_amplitude_only_where_the_sign_is_known():
    rng = np.random.default_rng(1)
    grid = np.linspace(-1, 3, 401)

    def minimiser(mean):
        target = rng.normal(mean, 1, size=20_000)
        return grid[np.argmin([losses.asymmetric_error(p, target).mean() for p in grid])]

    assert minimiser(1.0) == pytest.approx(1.14, abs=0.05)
    assert minimiser(0.0) == pytest.approx(0.0, abs=0.05)


def test_statistics_error_compares_rest_and_liveliness_not_frames():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 40, 3)).astype(np.float32)
    y = (2 * rng.normal(size=(2, 40, 3)) + 1).astype(np.float32)
    mask = np.arange(40)[None] < np.array([[25], [40]])
    oracle = [
        ((a[m].mean(0) - b[m].mean(0)) ** 2, (np.sqrt(a[m].var(0) + 1e-4) - np.sqrt(b[m].var(0) + 1e-4)) ** 2)
        for a, b, m in zip(x, y, mask, strict=True)
    ]
    np.testing.assert_allclose(np.stack(losses.statistics_errors(x, y, mask), 1), oracle, rtol=1e-4)
    for error in losses.statistics_errors(x, x[:, ::-1], np.ones((2, 40), bool)):
        np.testing.assert_allclose(error, 0, atol=1e-9)


def test_velocity_error_ignores_a_constant_offset_and_padding():
    rng = np.random.default_rng(2)
    x = jnp.asarray(rng.normal(size=(2, 9, 3)))
    mask = jnp.arange(9) < jnp.array([[9], [5]])
    padded = jnp.where(mask[..., None], x + 4.0, 99.0)
    assert losses.velocity_error(padded, x, mask) == pytest.approx(0, abs=1e-9)
    assert losses.velocity_error(2 * x, x, mask) > 0.1


def test_kl_of_the_prior_is_zero_and_of_a_shift_is_half_its_square():
    assert losses.kl_standard_normal(jnp.zeros(3), jnp.zeros(3)).tolist() == [0, 0, 0]
    assert losses.kl_standard_normal(2.0, 0.0) == pytest.approx(2.0)


def test_free_bits_leave_small_dimensions_alone():
    kl = jnp.array([[0.01, 1.0], [0.03, 3.0]])
    assert losses.free_bits(kl, 0.05) == pytest.approx(2.05)
    gradient = jax.grad(lambda kl: losses.free_bits(kl, 0.05))(kl)
    assert gradient[:, 0].tolist() == [0, 0]
    assert gradient[:, 1].tolist() == [0.5, 0.5]


def test_adversarial_losses():
    sure, unsure = jnp.full((2, 4), 8.0), jnp.zeros((2, 4))
    assert losses.discriminator_loss(sure, -sure) < 1e-2
    assert losses.discriminator_loss(unsure, unsure) == pytest.approx(2 * np.log(2))
    assert jax.grad(losses.generator_loss)(-sure).sum() == pytest.approx(-1, abs=1e-2)  # does not saturate


def test_feature_distance_needs_the_same_layers():
    a, b = [jnp.ones((1, 2)), jnp.zeros((1, 3))], [jnp.zeros((1, 2)), jnp.full((1, 3), 2.0)]
    assert losses.feature_distance(a, b) == pytest.approx(5.0)
    with pytest.raises(ValueError):
        losses.feature_distance(a, b[:1])


def test_l1_by_scale_sees_a_shade_at_every_scale_and_chance_at_the_finest_alone():
    rng = np.random.default_rng(0)
    weight = np.ones((2, 16, 16, 1))
    shade = losses.pooled(*losses.l1_by_scale(np.full((2, 16, 16, 3), 0.5), np.zeros((2, 16, 16, 3)), weight, 3))
    np.testing.assert_allclose(shade, 0.5)
    chance = rng.normal(size=(2, 64, 64, 3))
    noise = losses.l1_by_scale(chance, np.zeros_like(chance), np.ones((2, 64, 64, 1)), 3)
    np.testing.assert_allclose(
        losses.pooled(*noise), np.sqrt(2 / np.pi) / 2.0 ** np.arange(4), rtol=0.1
    )  # half as much each time


def test_l1_by_scale_counts_by_weight():
    error, weight = np.zeros((1, 4, 4, 1)), np.zeros((1, 4, 4, 1))
    error[:, :2, :2], weight[:, :2, :2] = 1.0, 3.0
    error[:, 2:, 2:] = 9.0  # weighs nothing
    weight[:, :2, 2:] = 1.0
    found = losses.pooled(*losses.l1_by_scale(error, np.zeros_like(error), weight, 1))
    np.testing.assert_allclose(found, [(4 * 3) / 16, 3 / 4], rtol=1e-6)
