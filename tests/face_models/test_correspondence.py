"""Where the landmarks lie on a head: found again on the shipped one, and each step against a plain computation."""

import numpy as np
import pytest

from vast_jax.face.landmarks import CONTOUR
from vast_jax.face.model import ASSET, IRIS_LANDMARKS, load_face_model
from vast_jax.face.rasterise import project
from vast_jax.face_models import correspondence
from vast_jax.face_models.correspondence import (
    CAMERA,
    JAWS,
    LOWER_LIP,
    PICTURE,
    UPPER_LIP,
    YAWS,
    find_correspondence,
    lip_side,
    reprojection_cost,
    skin_points,
    surface_points,
    symmetric,
    visible,
)
from vast_jax.types import CROP, UserError


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def arrays():
    with np.load(ASSET) as file:
        return {name: file[name] for name in file.files if not name.startswith("landmark_")}


@pytest.fixture(scope="module")
def found(arrays):
    return find_correspondence(arrays)


def places(model, arrays):
    corners = model.neutral[arrays["landmark_triangles"].astype(int)]
    return np.einsum("lk,lkc->lc", arrays["landmark_weights"], corners)


def test_finds_the_shipped_landmarks_again(model, arrays, found):
    shipped = {"landmark_triangles": model.landmark_triangles, "landmark_weights": model.landmark_weights}
    distance = np.linalg.norm(places(model, found.arrays) - places(model, shipped), axis=1)
    assert distance.mean() < 0.3 and np.quantile(distance, 0.95) < 1 and distance.max() < 2.5  # mm
    assert found.error.shape == (9, 478) and found.error.mean() < 1.2  # px


def test_puts_every_landmark_on_its_own_surface(model, found):
    corners, weights = found.arrays["landmark_triangles"].astype(int), found.arrays["landmark_weights"]
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    for eye, name in enumerate(("eye_left", "eye_right")):
        assert model.regions[name][corners[list(IRIS_LANDMARKS[eye])]].all()
    assert skin_points(model)[corners[:468]].all()
    drop = model.expression_basis[model.expression_names.index("jawOpen")][:, 1]
    follow = (drop[corners] * weights).sum(1)
    assert np.mean(follow[list(LOWER_LIP)]) > 4 * np.mean(follow[list(UPPER_LIP)])
    assert follow[[14, 17, 87, 317]].min() > 3 * follow[[13, 0, 82, 312]].max()


def test_the_sheet_shows_three_pictures_twice(found):
    assert found.sheet.shape == (2 * PICTURE, 3 * PICTURE, 3)
    upper, lower = np.split(found.sheet.astype(int), 2)
    green, red = upper[..., 1] - upper[..., 0] > 120, lower[..., 0] - lower[..., 1] > 120
    assert green.sum() > 3000 and red.sum() > 3000
    assert not (lower[..., 1] - lower[..., 0] > 120).any()


def test_averages_with_the_mirrored_pose():
    rng = np.random.default_rng(0)
    half = rng.uniform(20, 100, (3, 239, 2))
    even = np.concatenate([half, [2 * CAMERA.cx, 0] + [-1, 1] * half], 1)  # a symmetric face, whatever the jaw
    seen = np.repeat(even[:, None], len(YAWS), 1).reshape(len(JAWS) * len(YAWS), 478, 2)
    np.testing.assert_allclose(symmetric(seen), seen, atol=1e-9)
    shifted = symmetric(seen + np.array([2.0, 0.0]))  # a light from one side shifts what is found
    np.testing.assert_allclose(shifted, seen, atol=1e-9)


def test_cost_is_the_mean_squared_distance_in_pixels(model):
    rng = np.random.default_rng(1)
    placed = model.neutral + np.float32([[[0, 0, 900]], [[20, 0, 900]]])
    corners, weights = model.triangles[[5, 900, 4000]], rng.dirichlet(np.ones(3), 3).astype(np.float32)
    seen = rng.uniform(50, 200, (2, 4, 2))
    cost = reprojection_cost(placed, corners, weights, seen)
    for landmark, point in np.ndindex(4, 3):
        expected = []
        for picture in range(2):
            x, y, z = weights[point] @ placed[picture][corners[point]]
            pixel = CAMERA.focal * np.array([x, y]) / z + [CAMERA.cx, CAMERA.cy]
            expected.append(((pixel - seen[picture, landmark]) ** 2).sum())
        assert cost[landmark, point] == pytest.approx(np.mean(expected), rel=1e-3)


def test_surface_points_are_exposed_and_inside_their_triangles(model):
    corners, weights = surface_points(model, skin_points(model), steps=2)
    assert len(corners) % 6 == 0 and weights.min() >= 0
    a, b, c = model.neutral[corners].swapaxes(0, 1)
    normal = np.cross(b - a, c - a)
    assert (-normal[:, 2] / np.linalg.norm(normal, axis=1)).min() > 0.34


def test_what_lies_behind_the_face_is_not_visible(model):
    placed = (model.neutral + np.float32([0, 0, 900]))[None]
    nose = model.landmark_triangles[1]
    behind = model.triangles[(model.neutral[model.triangles][..., 2] > 60).all(1)][0]  # the back of the head
    seen = visible(model, placed, np.stack([nose, behind]), np.full((2, 3), 1 / 3, np.float32))
    assert seen.tolist() == [True, False]


def test_lips_are_told_apart_by_the_jaw(model):
    drop = model.expression_basis[model.expression_names.index("jawOpen")][:, 1]
    middle = model.landmark_triangles[[13, 14]]
    upper, lower = lip_side(model, drop, middle, model.landmark_weights[[13, 14]])
    assert upper < 0.4 and lower > 0.6


def test_contour_points_frame_the_face(model, found):
    pixels = project(places(model, found.arrays) + np.array([0, 0, 900]), CAMERA)[:, :2]
    inside = np.setdiff1d(np.arange(468), CONTOUR)
    low, high = pixels[CONTOUR].min(0), pixels[CONTOUR].max(0)
    assert (pixels[inside] > low - 3).all() and (pixels[inside] < high + 3).all()
    assert (high - low).max() < CROP


def test_a_head_without_a_face_is_a_user_error(arrays, monkeypatch):
    monkeypatch.setattr(correspondence, "shade", lambda *_: np.full((9, PICTURE, PICTURE, 3), 120, np.uint8))
    with pytest.raises(UserError, match="no face found in a picture of the head"):
        find_correspondence(arrays)


def test_a_mouth_that_nothing_opens_is_a_user_error(arrays):
    names = np.array([str(name).replace("jawOpen", "gape") for name in arrays["expression_names"]])
    with pytest.raises(UserError, match="jawOpen"):
        find_correspondence(arrays | {"expression_names": names})
