import numpy as np
import pytest

from vast_jax.metrics.steadiness import flicker, still_pixels, tremble


@pytest.fixture
def video():
    """Fifty frames: noise of +-1 on the left, of +-8 on the right."""
    rng = np.random.default_rng(0)
    frames = np.full((50, 8, 8, 3), 100, np.int16)
    frames[:, :, :4] += rng.choice([-1, 1], (50, 8, 4, 3)).astype(np.int16)
    frames[:, :, 4:] += rng.choice([-8, 8], (50, 8, 4, 3)).astype(np.int16)
    return frames.astype(np.uint8)


def test_still_is_the_calmer_half_of_the_region(video):
    region = np.zeros((8, 8), bool)
    region[2:6] = True
    still = still_pixels(video, region)
    assert still[2:6, :4].all() and still.sum() == 16
    assert not still_pixels(video, np.zeros((8, 8), bool)).any()


def test_flicker_is_the_mean_difference_of_successive_frames(video):
    everywhere = np.ones((8, 8), bool)
    want = np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(video[1:], video[:-1], strict=True)])
    assert flicker(video, everywhere) == pytest.approx(want, rel=1e-5)
    assert flicker(np.repeat(video[:1], 5, 0), everywhere) == 0
    assert np.isnan(flicker(video, ~everywhere)) and np.isnan(flicker(video[:1], everywhere))


@pytest.mark.parametrize(("hertz", "trembles"), [(2.0, False), (4.0, False), (8.0, True), (11.0, True)])
def test_tremble_is_the_effective_value_of_what_is_fast(hertz, trembles):
    t = np.arange(200) / 25
    wave = 100 + 30 * np.sin(2 * np.pi * hertz * t)
    mouths = np.broadcast_to(wave[:, None, None, None], (200, 6, 6, 3)).round().astype(np.uint8)
    if trembles:
        assert tremble(mouths) == pytest.approx(30 / np.sqrt(2), rel=0.02)
    else:
        assert tremble(mouths) < 0.5
    assert np.isnan(tremble(mouths[:20]))
