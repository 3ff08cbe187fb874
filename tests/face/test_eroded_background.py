import numpy as np

from vast_jax.face import eroded_background
from vast_jax.face.eroded_background import jitter


def dot(height=128, width=128, row=60, column=60):
    mask = np.zeros((height, width), bool)
    mask[row, column] = True
    return mask


def test_hole_grows_20_down_4_up_8_sideways():
    rows, columns = np.nonzero(eroded_background.grow(dot()))
    assert (rows.min(), rows.max()) == (60 - 4, 60 + 20)
    assert (columns.min(), columns.max()) == (60 - 8, 60 + 8)


def test_growth_is_dilation_by_definition():
    rng = np.random.default_rng(0)
    mask = rng.random((40, 50)) > 0.995
    down, up, side = 6, 2, 3
    expected = np.zeros_like(mask)
    offsets = np.argwhere(eroded_background._half_axes_ellipse(down, up, side)) - [up, side]
    for row, column in np.argwhere(mask):
        for y, x in offsets + np.array([row, column]):
            if 0 <= y < 40 and 0 <= x < 50:
                expected[y, x] = True
    np.testing.assert_array_equal(eroded_background.grow(mask, down, up, side), expected)


def test_jitter_is_seeded_covers_the_hole_and_moves_it_little():
    hole = eroded_background.grow(np.stack([dot(), dot(row=64)]))
    first = jitter(hole, np.random.default_rng(3))
    np.testing.assert_array_equal(first, jitter(hole, np.random.default_rng(3)))
    shapes = {jitter(hole, np.random.default_rng(seed)).sum() for seed in range(8)}
    assert len(shapes) > 4
    reach = eroded_background.GROW_DOWN + 2 * eroded_background.JITTER_GROW + 2 * int(eroded_background.JITTER_SHIFT)
    limit = eroded_background.grow(hole, reach, reach, reach)
    for seed in range(20):
        moved = jitter(hole, np.random.default_rng(seed))
        assert (moved | ~hole).all() and (limit | ~moved).all()


def test_union_hole_covers_every_frame():
    masks = np.stack([dot(row=row) for row in (40, 60, 80)])
    union = eroded_background.union_hole(masks)
    assert (union | ~eroded_background.grow(masks)).all()
    np.testing.assert_array_equal(union, eroded_background.grow(masks).any(0))
