"""The face model: linear, turned by its gaze, split into strong and weak, and like a head."""

import numpy as np
import pytest

from vast_jax.face.model import (
    IRIS_LANDMARKS,
    PART_NAMES,
    gaze_rotation,
    landmark_basis,
    landmarks,
    load_face_model,
    mouth_offset,
    split_by_mouth_offset,
    vertices,
)
from vast_jax.types import UserError


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture
def draw(model):
    rng = np.random.default_rng(0)
    identity = rng.normal(size=len(model.identity_basis)).astype(np.float32)
    expression = rng.uniform(size=(3, len(model.expression_basis))).astype(np.float32)
    return identity, expression


def shape_of(model, name):
    return model.expression_basis[model.expression_names.index(name)]


def test_is_a_head_in_millimetres(model):
    left, right = model.eye_centres
    assert left[0] > 0 > right[0]  # the subject's left is at the image's right
    assert np.linalg.norm(left - right) == pytest.approx(63, abs=0.5)
    outer = model.neutral[model.landmark_triangles[[33, 263]]].mean(1)
    assert 80 < np.linalg.norm(outer[0] - outer[1]) < 100
    nose, chin, brow = (model.neutral[model.landmark_triangles[k]].mean(0) for k in (1, 152, 9))
    assert nose[2] < left[2] < 0  # looks along -z
    assert brow[1] < nose[1] < chin[1]  # y points down


def test_triangles_face_outwards(model):
    corners = model.neutral[model.triangles[model.regions["eye_left"][model.triangles].all(1)]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outwards = corners.mean(1) - model.eye_centres[0]
    assert ((normal * outwards).sum(1) > 0).all()


def test_has_the_arkit_shapes(model):
    assert len(model.expression_names) == len(model.expression_basis) >= 52
    assert {"jawOpen", "eyeBlinkLeft", "mouthPucker", "tongueOut"} <= set(model.expression_names)


def test_jaw_carries_lower_teeth_and_tongue_alone(model):
    drop = shape_of(model, "jawOpen")[:, 1]
    assert drop[model.part == PART_NAMES.index("lower_teeth")].min() > 8
    assert drop[model.part == PART_NAMES.index("tongue")].mean() > 3
    assert np.abs(drop[model.part == PART_NAMES.index("upper_teeth")]).max() < 1


def test_left_and_right_are_the_subjects(model):
    left = np.linalg.norm(shape_of(model, "eyeBlinkLeft"), axis=1)
    assert model.neutral[left.argmax(), 0] > 0


def test_vertices_are_linear(model, draw):
    identity, expression = draw
    expected = (
        model.neutral
        + np.tensordot(identity, model.identity_basis, 1)
        + np.tensordot(expression, model.expression_basis, 1)
    )
    np.testing.assert_allclose(vertices(model, identity, expression), expected, atol=1e-3)


def test_expression_leaves_eyeballs_to_the_gaze(model):
    balls = model.regions["eye_left"] | model.regions["eye_right"]
    assert np.abs(model.expression_basis[:, balls]).max() == 0


def test_gaze_rotation_is_a_rotation_that_looks_where_it_says():
    gaze = np.array([[0.3, 0.0], [0.0, 0.2], [-0.4, 0.25]])
    matrix = gaze_rotation(gaze)
    np.testing.assert_allclose(matrix @ matrix.swapaxes(1, 2), np.tile(np.eye(3), (3, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(matrix), 1)
    x, y, _ = (matrix @ np.array([0.0, 0.0, -1.0])).T
    assert x[0] > 0 and y[1] > 0 and x[2] < 0 < y[2]


def test_gaze_turns_the_eyes_about_their_centres(model, draw):
    identity, expression = draw
    gaze = np.tile(np.array([0.3, 0.1, -0.2, 0.0], np.float32), (3, 1))
    still, moved = vertices(model, identity, expression), vertices(model, identity, expression, gaze)
    balls = model.regions["eye_left"] | model.regions["eye_right"]
    np.testing.assert_array_equal(still[:, ~balls], moved[:, ~balls])
    for eye, name in enumerate(("eye_left", "eye_right")):
        ball = model.regions[name]
        shift = np.tensordot(identity, model.identity_basis[:, ball].mean(1), 1)
        centre = model.eye_centres[eye] + shift
        radius, after = (np.linalg.norm(points[:, ball] - centre, axis=-1) for points in (still, moved))
        np.testing.assert_allclose(radius, after, atol=1e-3)
        assert np.abs(still[:, ball] - moved[:, ball]).max() > 1


def test_landmark_basis_equals_landmarks_of_vertices(model, draw):
    identity, expression = draw
    basis = landmark_basis(model)
    fast = basis.neutral + np.tensordot(identity, basis.identity, 1) + np.tensordot(expression, basis.expression, 1)
    np.testing.assert_allclose(fast, landmarks(model, vertices(model, identity, expression)), atol=1e-3)


def test_landmarks_lie_where_they_belong(model):
    weights = model.landmark_weights
    assert weights.min() >= -1e-6
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    for eye, name in enumerate(("eye_left", "eye_right")):
        assert model.regions[name][model.landmark_triangles[list(IRIS_LANDMARKS[eye])]].all()
    jaw = shape_of(model, "jawOpen")[:, 1]
    follow = (jaw[model.landmark_triangles] * weights).sum(1)
    assert (follow[[14, 17, 87, 317]] > 4 * np.abs(follow[[13, 0, 82, 312]])).all()  # each lip's on its own lip


def test_split_is_an_ordered_partition(model):
    strong, weak = split_by_mouth_offset(model)
    offset = mouth_offset(model)
    assert sorted([*strong, *weak]) == list(range(len(offset)))
    assert (np.diff(strong) > 0).all() and (np.diff(weak) > 0).all()
    assert offset[strong].min() >= 2 > offset[weak].max()
    names = model.expression_names
    assert names.index("jawOpen") in strong and names.index("mouthPucker") in strong
    assert names.index("browInnerUp") in weak and names.index("eyeBlinkLeft") in weak


def test_split_by_count_takes_the_strongest_and_breaks_ties_in_order(model):
    offset = mouth_offset(model)
    for count in (0, 7, len(offset)):
        strong, weak = split_by_mouth_offset(model, count=count)
        assert len(strong) == count and len(strong) + len(weak) == len(offset)
        np.testing.assert_array_equal(strong, np.sort(np.argsort(-offset, kind="stable")[:count]))


def test_unreadable_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"none\.npz"):
        load_face_model(tmp_path / "none.npz")
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"broken\.npz"):
        load_face_model(broken)
