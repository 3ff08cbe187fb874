import numpy as np
import pytest

from vast_jax.generation import footage_range

NAMES = ("jawOpen", "browDownLeft")


@pytest.fixture
def shown():
    """What a footage of 1,000 frames shows: the jaw between 0 and 1, the brow nearly still."""
    rng = np.random.default_rng(0)
    return np.stack([rng.uniform(0, 1, 1000), rng.normal(0.1, 0.01, 1000)], 1)


def test_the_range_is_the_footages_but_for_its_last_half_per_cent(shown):
    low, high = footage_range.measure(shown)
    np.testing.assert_allclose(low, np.quantile(shown, 0.005, axis=0), atol=1e-6)
    assert ((shown < low).mean(0) < 0.0051).all() and ((shown > high).mean(0) < 0.0051).all()


def test_within_the_range_nothing_changes_and_beyond_it_the_order_is_kept(shown):
    limits = footage_range.measure(shown)
    inside = np.clip(shown, *limits)
    np.testing.assert_allclose(footage_range.soften(inside, limits, 0.3), inside, atol=1e-6)
    brow = np.linspace(-1, 2, 61)
    soft = footage_range.soften(np.stack([np.full(61, 0.5), brow], 1), limits, 0.3)[:, 1]
    assert (np.diff(soft) >= 0).all()
    assert soft.min() >= limits[0, 1] - 0.3 and soft.max() <= limits[1, 1] + 0.3
    near = limits[1, 1] + 0.02
    assert footage_range.soften(np.array([[0.5, near]]), limits, 0.3)[0, 1] == pytest.approx(near, abs=1e-4)  # smooth


def test_no_distance_cuts_and_any_distance_leaves_as_it_is(shown):
    limits, wild = footage_range.measure(shown), np.array([[3.0, -2.0]])
    np.testing.assert_allclose(footage_range.soften(wild, limits, 0.0)[0], [limits[1, 0], limits[0, 1]])
    np.testing.assert_array_equal(footage_range.soften(wild, limits, np.inf), wild)


def test_what_leaves_the_range_is_named(shown):
    limits = footage_range.measure(shown)
    assert footage_range.leaving(shown, limits, NAMES) is None
    away = shown.copy()
    away[:100, 1] = 0.9
    said = footage_range.leaving(away, limits, NAMES)
    assert said.startswith("10% of the frames") and "browDownLeft by 0.7" in said and "jawOpen" not in said
