import itertools

import cv2
import numpy as np
import pytest

from vast_jax.metrics.sharpness import BLOCK, cpbd


def stripes(width: int, low: int, high: int, size: int = 256) -> np.ndarray:
    """Grey [size, size]: in every block a bright bar whose flanks are straight ramps of `width` pixels."""
    x = np.arange(size) % BLOCK
    profile = np.clip((x - 16) / width, 0, 1) * np.clip((48 - x) / width, 0, 1)
    return np.tile(np.round(low + (high - low) * profile).astype(np.uint8), (size, 1))


def photograph() -> np.ndarray:
    """Discs, bars and texture of many contrasts, RGB [256, 256, 3], sharp."""
    rng = np.random.default_rng(0)
    image = np.full((256, 256, 3), 128, np.uint8)
    for _ in range(60):
        centre, colour = rng.integers(0, 256, 2).tolist(), rng.integers(0, 256, 3).tolist()
        cv2.circle(image, centre, int(rng.integers(5, 40)), colour, -1, cv2.LINE_AA)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("contrast", "just_noticeable"), [(40, 5), (50, 5), (51, 3), (150, 3)])
@pytest.mark.parametrize("width", range(1, 9))
def test_an_edge_is_blurred_beyond_the_just_noticeable_width(contrast, just_noticeable, width):
    assert cpbd(stripes(width, 60, 60 + contrast)) == float(width <= just_noticeable)


def test_it_is_the_share_of_edges():
    image = stripes(1, 50, 200)
    image[:BLOCK] = stripes(4, 50, 200)[:BLOCK]  # a quarter of the rows
    assert cpbd(image) == pytest.approx(0.75, abs=0.01)
    mask = np.zeros(image.shape, bool)
    mask[: BLOCK - 2] = True
    assert cpbd(image, mask) == 0 and cpbd(image, ~mask) == pytest.approx(1, abs=0.02)


def test_only_blocks_with_edges_and_only_vertical_edges_count():
    assert np.isnan(cpbd(np.full((256, 256), 99, np.uint8)))
    assert np.isnan(cpbd(stripes(2, 50, 200).T.copy()))
    image = stripes(1, 50, 200)[:100, :100]  # only the first block is whole
    image[:, BLOCK:] = stripes(4, 50, 200)[:100, BLOCK:100]
    assert cpbd(image) == 1


def test_it_falls_with_blur_and_not_with_colour():
    image = photograph()
    values = [cpbd(image), *(cpbd(cv2.GaussianBlur(image, (0, 0), sigma)) for sigma in (0.6, 0.9, 1.3, 2, 3))]
    assert all(a > b or a == b == 0 for a, b in itertools.pairwise(values)), values
    assert values[0] > 0.5 and values[-1] < 0.02
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    assert cpbd(grey) == values[0] == cpbd(np.stack([grey] * 3, -1))


def test_the_value_stays_what_it_was():
    values = [cpbd(photograph()), cpbd(cv2.GaussianBlur(photograph(), (0, 0), 0.6))]
    assert values == pytest.approx([0.5576, 0.0717], abs=0.003)


def test_a_frame_too_small_has_no_block():
    with pytest.raises(ValueError, match="64 pixels"):
        cpbd(np.zeros((63, 80), np.uint8))
