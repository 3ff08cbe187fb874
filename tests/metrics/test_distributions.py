import numpy as np
import pytest
from scipy.linalg import sqrtm

from vast_jax.metrics.distributions import Moments, frechet_distance, kernel_distance


def sets(count: int = 60, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(width, width))
    return rng.normal(size=(count, width)), rng.normal(size=(count + 15, width)) @ mix + 0.5


def test_moments_of_batches_are_those_of_the_whole():
    features = sets()[1] + 1e3  # a mean far from 0, where summing squares would lose digits
    moments = Moments(np.split(features, [1, 2, 30, 30, 70]))
    assert moments.count == len(features)
    np.testing.assert_allclose(moments.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(features.T), rtol=1e-9)


def test_frechet_is_that_of_the_matrix_root():
    a, b = sets()
    first, second = np.cov(a.T), np.cov(b.T)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, Moments([a[:10], a[10:]])) == pytest.approx(expected, rel=1e-9)


def gaussian(mean: np.ndarray, deviation: np.ndarray, axes: np.ndarray) -> Moments:
    """Moments of a set with exactly these: points at +-deviation sqrt(...) along orthogonal axes."""
    points = np.concatenate([s * np.diag(deviation) @ axes for s in (1, -1)])
    return Moments([mean + points * np.sqrt((len(points) - 1) / 2)])


def test_frechet_of_gaussians_with_common_axes_is_analytic():
    rng = np.random.default_rng(1)
    axes = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    means, deviations = rng.normal(size=(2, 5)), rng.uniform(0.1, 3, (2, 5))
    deviations[1, 2:] = 0  # one of the two is flat
    a, b = (gaussian(*pair, axes) for pair in zip(means, deviations, strict=True))
    expected = np.square(means[0] - means[1]).sum() + np.square(deviations[0] - deviations[1]).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-7)


def test_frechet_of_fewer_points_than_features():
    a, b = sets(count=6, width=30)
    shift = np.linspace(0, 1, 30)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a + shift) == pytest.approx(np.square(shift).sum(), rel=1e-6)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6) and frechet_distance(a, b) > 0
    assert np.isnan(frechet_distance(a[:1], b)) and np.isnan(kernel_distance(a, b[:1]))


def test_kernel_distance_is_that_of_its_definition():
    a, b = sets(count=12, width=4)

    def mean(x, y, skip):
        terms = [(np.dot(p, q) / 4 + 1) ** 3 for i, p in enumerate(x) for j, q in enumerate(y) if not skip or i != j]
        return np.mean(terms)

    expected = mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_is_unbiased():
    rng = np.random.default_rng(0)
    same = [kernel_distance(*rng.normal(size=(2, 20, 3))) for _ in range(400)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 20  # a plain mean over all pairs would lie 0.5 above
    assert np.mean(same) < 0.1 < kernel_distance(rng.normal(size=(50, 3)), 1 + rng.normal(size=(50, 3)))


def test_the_values_stay_what_they_were():
    assert [frechet_distance(*sets()), kernel_distance(*sets())] == pytest.approx([28.9817194, 42.7255392], rel=1e-6)
