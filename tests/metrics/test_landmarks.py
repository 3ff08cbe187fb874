import numpy as np
import pytest
from scipy.spatial import procrustes

from vast_jax.metrics.landmarks import (
    IBUG_68,
    MOUTH,
    aperture_lag,
    interocular,
    lip_aperture,
    lmd,
    lmd_interocular,
    umeyama,
)

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


def test_lmd_over_the_interocular_distance_is_free_of_scale():
    real = RNG.uniform(0, 256, (4, 478, 3))
    real[:, 33, :2], real[:, 263, :2] = [(92, 112)], [(164, 112)]
    moved = real + RNG.normal(0, 3, real.shape)
    moved[1] = np.nan
    np.testing.assert_allclose(lmd_interocular(moved, real), np.divide(lmd(moved, real), 72), rtol=1e-12)
    sizes = np.array([0.5, 1, 2, 5])[:, None, None]  # a camera that zooms: pixels differ, shares of the face do not
    np.testing.assert_allclose(lmd_interocular(sizes * moved, sizes * real), lmd_interocular(moved, real), rtol=1e-9)
    assert np.isnan(lmd_interocular(np.full_like(real, np.nan), real)).all()


def aperture(count: int = 80) -> np.ndarray:
    return np.convolve(np.random.default_rng(2).normal(size=count + 4), np.ones(5) / 5, "valid")


@pytest.mark.parametrize("late", [-10, -3, 0, 1, 7])
def test_the_lag_is_the_shift_and_positive_if_late(late):
    whole = aperture(120)
    real, generated = whole[20:100], 0.5 * whole[20 - late : 100 - late] + 3
    assert aperture_lag(generated, real) == (late, pytest.approx(1))
    real[5] = generated[50] = np.nan  # frames without a face
    assert aperture_lag(generated, real) == (late, pytest.approx(1))


def test_the_lag_stays_within_bounds():
    whole = aperture(120)
    lag, correlation = aperture_lag(whole[5:85], whole[20:100], max_lag=10)  # 15 frames late
    assert abs(lag) <= 10 and correlation < 0.9
    assert aperture_lag(whole[5:85], whole[20:100], max_lag=15) == (15, pytest.approx(1))
    lag, correlation = aperture_lag(np.ones(30), whole[:30])
    assert lag == 0 and np.isnan(correlation)
    short = np.array([0.0, 1, 0, 2, 0, 3])  # lags of more than 3 frames leave too little
    assert abs(aperture_lag(short, short[::-1])[0]) <= 3
    assert np.isnan(aperture_lag(np.full(9, np.nan), np.arange(9.0))[1])
