import numpy as np
import pytest

from vast_jax.generation.performance import loop


@pytest.mark.parametrize("n_template", [1, 2, 3, 75])
@pytest.mark.parametrize("n_frames", [0, 1, 3, 400])
def test_a_looped_template_never_jumps(n_template, n_frames):
    order = loop(n_template, n_frames)
    assert len(order) == n_frames
    if n_frames:
        assert order[0] == 0 and order.min() >= 0 and order.max() < n_template
    if n_template > 1:
        assert (np.abs(np.diff(order)) == 1).all()
    if n_frames >= n_template:
        assert set(order) == set(range(n_template))  # all of the footage is used
