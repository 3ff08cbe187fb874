"""Image fidelity, over a whole frame or inside a mask: SSIM and PSNR of 8-bit RGB frames."""

import cv2
import numpy as np

PEAK = 255.0
SSIM_SIGMA = 1.5
SSIM_RADIUS = 5  # an 11 x 11 window
_C1, _C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


def ssim_map(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Structural similarity at each pixel, mean of the channels: two uint8 [H, W, C] -> float32 [H, W].

    Wang et al., "Image quality assessment: from error visibility to structural similarity", TIP 2004: Gaussian window
    of sigma 1.5 (11 x 11), population covariance, K = (.01, .03), data range 255. The border is mirrored.
    """

    height, width, channels = first.shape
    total = np.zeros((height, width), np.float32)
    for c in range(channels):  # one at a time: small arrays stay in the cache
        x, y = first[..., c].astype(np.float32), second[..., c].astype(np.float32)
        mean_x, mean_y = _blur(x), _blur(y)
        product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
        covariance = _blur(x * y) - product
        variances = _blur(x * x + y * y) - squares  # only the sum of the two is needed
        total += (2 * product + _C1) / (squares + _C1) * (2 * covariance + _C2) / (variances + _C2)
    return total / channels


def _blur(image: np.ndarray) -> np.ndarray:
    size = (2 * SSIM_RADIUS + 1,) * 2
    return cv2.GaussianBlur(image, size, SSIM_SIGMA, borderType=cv2.BORDER_REFLECT)


def ssim_mean(similarity: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean of an SSIM map [H, W]: inside `mask` (bool [H, W]), or in the frame less the window's radius."""
    if mask is None:  # as is usual: only where the window lies inside the frame
        mask = (slice(SSIM_RADIUS, -SSIM_RADIUS),) * 2
    return float(similarity[mask].mean())


def ssim(first: np.ndarray, second: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean SSIM of two uint8 [H, W, C], where `ssim_mean` takes it."""
    return ssim_mean(ssim_map(first, second), mask)


def psnr(first: np.ndarray, second: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 [H, W, C], inside `mask` (bool [H, W]) if given; inf if equal."""
    error = np.square(first.astype(np.float64) - second)
    mean = (error if mask is None else error[mask]).mean()
    return float(10 * np.log10(PEAK**2 / mean)) if mean > 0 else float("inf")
