import numpy as np
import pytest
from scipy.spatial import procrustes

from vast_jax.metrics.landmarks import IBUG_68, MOUTH, interocular, lip_aperture, lmd, umeyama

RNG = np.random.default_rng(0)


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_umeyama_finds_a_known_similarity():
    source = RNG.normal(size=(3, 20, 2))
    scale, turn, shift = (
        np.array([0.5, 1.0, 2.0]),
        np.stack([rotation(a) for a in (-2.0, 0.1, 3.0)]),
        RNG.normal(size=(3, 2)),
    )
    target = scale[:, None, None] * source @ np.swapaxes(turn, 1, 2) + shift[:, None]
    for found, true in zip(umeyama(source, target), (scale, turn, shift), strict=True):
        np.testing.assert_allclose(found, true, atol=1e-12)


def test_umeyama_residual_is_that_of_procrustes():
    source, target = RNG.normal(size=(2, 30, 2))
    target = source @ rotation(0.7).T * 3 + 0.3 * target
    scale, turn, shift = umeyama(source, target)
    residual = np.square(scale * source @ turn.T + shift - target).sum() / np.square(target - target.mean(0)).sum()
    assert residual == pytest.approx(procrustes(target, source)[2], rel=1e-9)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_umeyama_never_mirrors(dimensions):
    source = RNG.normal(size=(20, dimensions))
    scale, turn, _ = umeyama(source, source * np.r_[-1.0, np.ones(dimensions - 1)])
    assert np.linalg.det(turn) == pytest.approx(1.0) and scale > 0


def test_the_map_is_68_different_points_and_symmetric():
    assert len(set(IBUG_68.tolist())) == 68 and IBUG_68.max() < 478
    assert set(IBUG_68[[36, 45]]) == {33, 263}  # outer eye corners
    assert IBUG_68[62] == 13 and IBUG_68[66] == 14  # middle of the inner lips


def test_lmd_is_zero_under_a_similarity_and_skips_unseen_frames():
    real = RNG.uniform(0, 256, (4, 478, 3))
    generated = 1.2 * real[..., :2] @ rotation(0.2).T + 7
    generated[2] = np.nan
    assert lmd(generated, real) == pytest.approx((0, 0), abs=1e-9)
    assert np.isnan(lmd(np.full_like(real, np.nan), real)).all()


def test_lmd_m_sees_the_mouth_alone():
    real = RNG.uniform(0, 256, (2, 478, 2))
    moved = real.copy()
    moved[:, IBUG_68[MOUTH]] += 5.0
    whole, mouth = lmd(moved, real)
    assert mouth > whole > 0
    # The mouth is 20 of 68 points, so the alignment takes up some of its shift, but never most of it.
    assert 0.5 * 5 * np.sqrt(2) < mouth < 5 * np.sqrt(2)


def test_lip_aperture_is_free_of_scale():
    points = np.zeros((1, 478, 3))
    points[0, 33, 0], points[0, 263, 0], points[0, 14, 1] = -36, 36, 18
    assert interocular(points)[0] == 72
    assert lip_aperture(points)[0] == lip_aperture(points * 3)[0] == 0.25
