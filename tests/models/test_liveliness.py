import numpy as np
import pytest

from vast_jax.models.liveliness import Liveliness, blink_rate

W = 3


@pytest.fixture(scope="module")
def lively():
    """Two parameters that wander as one and a lid that a blink shuts, whatever it was; the blink lowers the first."""
    loadings = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    memory = np.array([[0.9, 0.0], [1.2, -0.4], [0.0, 0.0]])
    # deviations that make these autoregressions' own 1: 1 - a² and, of the second order, by Yule and Walker
    first = 1.2 / 1.4
    innovation = np.sqrt([1 - 0.81, 1 - 1.2 * first + 0.4 * (1.2 * first - 0.4), 1.0])
    wave = np.array([0.5, 1.0, 0.25])
    shut, lids = np.array([-0.5, 0.0, 3.0]), np.array([0.0, 0.0, 1.0])
    return Liveliness(loadings, memory, innovation, wave, shut, lids, closures=np.array([0.5, 0, 0.5]))


def test_wandering_has_its_autocorrelation_and_moves_parameters_together(lively):
    x = lively.wander(20000)
    np.testing.assert_allclose(x.std(0), 1, atol=0.06)
    np.testing.assert_array_equal(x[:, 0], x[:, 1])
    lag = [[np.mean(x[k:, d] * x[: len(x) - k, d]) for k in (1, 2)] for d in (0, 2)]
    np.testing.assert_allclose(lag[0], [0.9, 0.81], atol=0.06)
    np.testing.assert_allclose(lag[1], [1.2 / 1.4, 1.2 * 1.2 / 1.4 - 0.4], atol=0.06)


def test_blinks_begin_as_often_as_they_are_likely_and_never_within_another(lively):
    share = 0.02
    closure = lively.closing(np.full(50_000, np.log(share / (1 - share))))
    begins = np.flatnonzero((closure[1:] == 0.5) & (closure[:-1] != 1)) + 1
    assert np.diff(begins).min() >= 3
    for at in begins[:-1]:
        np.testing.assert_array_equal(closure[at : at + 3], lively.wave)
    # of the frames in which none is under way
    assert len(begins) / (50_000 - 2 * len(begins)) == pytest.approx(share, rel=0.1)
    assert not lively.closing(np.full(100, -100.0)).any()


def test_a_blink_shuts_the_lid_whatever_it_was_and_shifts_the_rest(lively):
    x = np.random.default_rng(0).normal(size=(4, W))
    at_once = np.array([100.0, -100, -100, -100])
    played = lively.blink(x, at_once)
    np.testing.assert_allclose(played[1], [x[1, 0] - 0.5, x[1, 1], 3.0], atol=1e-6)
    np.testing.assert_allclose(played[0], [x[0, 0] - 0.25, x[0, 1], (x[0, 2] + 3) / 2], atol=1e-6)
    np.testing.assert_allclose(played[3], x[3], atol=1e-6)


def test_more_frames_do_not_change_the_first_and_the_seed_all(lively):
    sigma, blink = np.full((300, W), 0.5), np.full(300, -2.0)
    whole, blinks = lively.wandering(sigma, 1), lively.closing(blink, 1)
    np.testing.assert_allclose(lively.wandering(sigma[:90], 1), whole[:90], atol=1e-12)
    np.testing.assert_array_equal(lively.closing(blink[:90], 1), blinks[:90])
    np.testing.assert_allclose(whole, np.exp(0.5) * lively.wander(300, 1))
    assert np.abs(whole - lively.wandering(sigma, 2)).max(0).min() > 0.1
    assert np.abs(blinks - lively.closing(blink, -1)).max() > 0.1
    assert lively.wandering(sigma[:0]).shape == (0, W)


def test_constants_go_forth_and_back(lively):
    again = Liveliness.of(lively.constants() | {"mean": np.zeros(3)})
    for one, other in zip(lively, again, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_the_rate_of_blinks_is_told_but_doubted_in_short_clips(lively):
    eyes = np.zeros((100, 3))
    eyes[10:14, [0, 2]] = eyes[60:64, [0, 2]] = 0.9
    assert lively.rate(eyes) == pytest.approx(np.log(3 / 6 / 0.5)) == blink_rate(2, 100)
    assert blink_rate(0, 25) > blink_rate(0, 250) and blink_rate(1, 50) == 0
