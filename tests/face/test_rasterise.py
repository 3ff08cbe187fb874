"""The rasteriser against a slow oracle, and what the pictures of the head show."""

import numpy as np
import pytest
from posed_head import CAMERA, put

from vast_jax.face.mesh_image import mesh_images
from vast_jax.face.model import load_face_model
from vast_jax.face.rasterise import Camera, camera_of, face_mask, project, rasterise, rotation_matrix, vertex_normals
from vast_jax.face.shading import shade
from vast_jax.types import FaceTrack


@pytest.fixture(scope="module")
def model():
    return load_face_model()


def test_rasterise_agrees_with_brute_force():
    rng = np.random.default_rng(0)
    points = np.stack([*rng.uniform(-8, 40, (2, 30)), rng.uniform(50, 90, 30)], 1).astype(np.float32)
    triangles = rng.integers(0, 30, (40, 3)).astype(np.int32)
    index, weights, depth = rasterise(points, triangles, 32, 24)
    expected = np.full((32, 24), np.inf)
    for a, b, c in points[triangles].astype(float):
        edges = np.array([[a[0], b[0], c[0]], [a[1], b[1], c[1]], [1, 1, 1]])
        if np.linalg.det(edges) >= 0:  # y points down: seen from behind
            continue
        for y in range(32):
            for x in range(24):
                w = np.linalg.solve(edges, [x + 0.5, y + 0.5, 1])
                if (w > 0).all():
                    expected[y, x] = min(expected[y, x], 1 / (w / [a[2], b[2], c[2]]).sum())
    np.testing.assert_allclose(depth, expected, rtol=1e-4)
    np.testing.assert_array_equal(index >= 0, np.isfinite(expected))
    np.testing.assert_allclose(weights[index >= 0].sum(-1), 1, atol=1e-4)


def test_attributes_are_perspective_correct():
    corners = np.array([[-40, 30, 200], [40, 30, 400], [0, -60, 300]], np.float32)
    triangle = np.array([[0, 1, 2]], np.int32)
    camera = Camera(100.0, 16.0, 16.0)
    index, weights, depth = rasterise(project(corners, camera), triangle, 32, 32)
    if (index < 0).all():
        triangle = triangle[:, ::-1].copy()
        index, weights, depth = rasterise(project(corners, camera), triangle, 32, 32)
    seen = np.einsum("hwk,hwkc->hwc", weights, corners[triangle[index]])
    y, x = np.nonzero(index >= 0)
    assert len(y) > 50
    again = project(seen[y, x], camera)
    np.testing.assert_allclose(again[:, :2], np.stack([x, y], 1) + 0.5, atol=1e-2)
    np.testing.assert_allclose(again[:, 2], depth[y, x], rtol=1e-4)


def test_rotation_matrix_is_rodrigues():
    np.testing.assert_allclose(rotation_matrix(np.zeros(3)), np.eye(3))
    np.testing.assert_allclose(rotation_matrix([0, 0, np.pi / 2]) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    both = rotation_matrix([[0.3, -0.2, 0.5], [0, 1e-12, 0]])
    np.testing.assert_allclose(both @ both.swapaxes(1, 2), np.tile(np.eye(3), (2, 1, 1)), atol=1e-9)


def test_normals_of_a_ball_point_outwards(model):
    ball = model.regions["eye_left"]
    normals = vertex_normals(model.neutral, model.triangles)[ball]
    outwards = model.neutral[ball] - model.eye_centres[0]
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    assert (normals * outwards).sum(1).min() > 0.8


def test_camera_of_a_track_sees_through_its_crop():
    fields = dict.fromkeys(FaceTrack._fields)
    track = FaceTrack(**fields | {"crop": [100.0, 50.0, 128.0], "source_size": [360, 288], "focal": 432.0})
    camera = camera_of(track)
    u, v, _ = project(np.array([30.0, -20.0, 900.0]), camera)
    source = np.array([30.0, -20.0]) / 900 * 432 + np.array([180, 144])
    np.testing.assert_allclose([u, v], (source - [100, 50]) * 2)


def test_face_mask_follows_the_jaw(model):
    closed, opened = (face_mask(model, put(model, jawOpen=a), CAMERA)[0] for a in (0, 0.8))
    assert closed.dtype == bool and 0.1 < closed.mean() < 0.4
    assert np.nonzero(opened)[0].max() > np.nonzero(closed)[0].max() + 5


def test_shaded_head_shows_skin_lips_and_gaze(model):
    (picture,) = shade(model, put(model), CAMERA, size=128)
    assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8
    cheek = picture[72, 45].astype(int)
    assert cheek[0] > cheek[1] > cheek[2] > 60
    (aside,) = shade(model, put(model, gaze=(0.4, 0, 0.4, 0)), CAMERA, size=128)
    changed = np.abs(picture.astype(int) - aside).max(-1) > 20
    rows, _ = np.nonzero(changed)
    assert changed.any() and rows.min() > 45 and rows.max() < 68  # the eyes alone


def test_outside_the_picture_is_no_error(model):
    away = put(model) + np.array([500, 0, 0], np.float32)
    assert (mesh_images(model, away, CAMERA) == 0).all()
    behind = put(model) - np.array([0, 0, 2000], np.float32)
    assert not face_mask(model, behind, CAMERA).any()
