import numpy as np
import pytest

from vast_jax.audio import PHONES
from vast_jax.models.closing import Closing

D = 4
FREE = np.full(D, -9.0), np.full(D, 9.0)


@pytest.fixture(scope="module")
def closing():
    gap, way = np.array([2.0, 1.0, 0.0, 0.0]), np.array([0.25, 0.5, 0.1, 0.0])
    return Closing(gap, way, np.float32(-1.0))


def speech(**frames):
    """Ten frames of a vowel, but for those of other phones with their posterior."""
    ppg = np.zeros((10, len(PHONES)), np.float32)
    for phone, (at, posterior) in frames.items():
        ppg[at, PHONES.index(phone)] = posterior
    ppg[:, PHONES.index("AA")] += 1 - ppg.sum(1)
    return ppg


@pytest.mark.parametrize("phone", ["B", "P", "M"])
def test_lips_meet_at_bilabials_alone(closing, phone):
    x = np.random.default_rng(0).uniform(0.5, 1, (10, D))
    closed = closing.close(x, speech(**{phone: (4, 0.9)}), *FREE)
    gap = closed @ closing.gap
    assert gap[4] == pytest.approx(-1, abs=1e-5)
    np.testing.assert_allclose(gap[[3, 5]], (x @ closing.gap)[[3, 5]] / 2 - 0.5, rtol=1e-5)  # on their way
    apart = [0, 1, 2, 6, 7, 8, 9]
    np.testing.assert_allclose(closed[apart], x[apart], rtol=1e-6)
    assert (closed[:, 3] == x[:, 3].astype(np.float32)).all()
    np.testing.assert_allclose(closing.close(x, speech(F=(4, 0.9)), *FREE), x, rtol=1e-6)


def test_closed_lips_and_doubtful_phones_are_left_alone(closing):
    shut = np.full((10, D), -1.0)
    np.testing.assert_allclose(closing.close(shut, speech(M=(4, 1.0)), *FREE), shut)
    opened = np.ones((10, D))
    np.testing.assert_allclose(closing.close(opened, speech(M=(4, 0.2)), *FREE), opened)
    half = closing.close(opened, speech(M=(4, 0.4)), *FREE)[4] @ closing.gap
    assert half == pytest.approx((3 - 1) / 2, abs=1e-5)


def test_constants_go_forth_and_back(closing):
    again = Closing.of(closing.constants())
    for one, other in zip(closing, again, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert Closing.of({"mean": np.zeros(D)}) is None


def test_what_cannot_go_further_leaves_the_way_to_others(closing):
    low = np.array([0.9, -9.0, -9.0, -9.0])
    closed = closing.close(np.ones((10, D)), speech(M=(4, 1.0)), low, FREE[1])
    assert closed[4, 0] == pytest.approx(0.9) and closed[4] @ closing.gap < -0.4  # -1 needs more steps than there are
    assert closed[4, 1] < closing.close(np.ones((10, D)), speech(M=(4, 1.0)), *FREE)[4, 1]
