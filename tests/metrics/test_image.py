import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vast_jax.metrics.image import psnr, ssim, ssim_map


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :80]
    clean = np.stack([127 + 100 * np.sin(x / 9 + c) * np.cos(y / 7) for c in range(3)], -1)
    return clean.astype(np.uint8), np.clip(clean + rng.normal(0, 20, clean.shape), 0, 255).astype(np.uint8)


def test_ssim_is_that_of_skimage(pair):
    settings = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=-1)
    mean, full = structural_similarity(*pair, full=True, **settings)
    assert ssim(*pair) == pytest.approx(mean, abs=1e-5)
    np.testing.assert_allclose(ssim_map(*pair), full.mean(-1), atol=1e-4)


def test_ssim_of_a_flat_frame_is_stable_and_of_itself_is_one(pair):
    flat = np.full_like(pair[0], 255)
    assert ssim(flat, flat) == pytest.approx(1, abs=1e-4)
    assert ssim(pair[0], pair[0]) == pytest.approx(1, abs=1e-6)


def test_psnr_is_that_of_skimage(pair):
    assert psnr(*pair) == pytest.approx(peak_signal_noise_ratio(*pair, data_range=255), abs=1e-9)
    assert psnr(pair[0], pair[0]) == float("inf")


def test_a_mask_sees_only_what_lies_inside(pair):
    clean, noisy = pair
    half = clean.copy()
    half[:48] = noisy[:48]
    mask = np.zeros(clean.shape[:2], bool)
    mask[60:] = True  # further below the noise than the window's radius
    assert ssim(clean, half, mask) == pytest.approx(1, abs=1e-6) and psnr(clean, half, mask) == float("inf")
    assert ssim(clean, half, ~mask) < ssim(clean, half)
