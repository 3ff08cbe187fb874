import dataclasses

import numpy as np
import pytest

from vast_jax.face.landmarks import LIPS
from vast_jax.face.model import landmarks, load_face_model, vertices
from vast_jax.face.overlay import landmarks_in_camera
from vast_jax.face.rasterise import camera_of, project, rotation_matrix
from vast_jax.prepare.tracking_check import Residual, faults, leaves_crop, residual, trusted, widest_mouth, yaw
from vast_jax.types import FaceTrack

FRAMES = 6
CROP = np.asarray([10, 20, 200], np.float32)


@pytest.fixture(scope="module")
def model():
    """Without a detector bias: these landmarks are the head's own."""
    return dataclasses.replace(load_face_model(), detector_bias=None)


@pytest.fixture
def track(model):
    """A track that its own landmarks fit exactly, the jaw opening from frame to frame."""
    identity = np.zeros(len(model.identity_basis), np.float32)
    expression = np.zeros((FRAMES, len(model.expression_basis)), np.float32)
    expression[:, model.expression_names.index("jawOpen")] = np.linspace(0, 0.5, FRAMES)
    rotation = np.tile(np.asarray([[0.1, -0.2, 0.05]], np.float32), (FRAMES, 1))
    # In the middle of the crop.
    translation = np.tile(np.asarray([[-41, 14, 600]], np.float32), (FRAMES, 1))
    track = FaceTrack(
        identity,
        expression,
        rotation,
        translation,
        gaze=np.zeros((FRAMES, 4), np.float32),
        landmarks=np.zeros((FRAMES, 478, 3), np.float32),
        valid=np.ones(FRAMES, bool),
        crop=CROP,
        source_size=np.asarray([300, 200], np.int32),
        focal=360.0,
        fps=25.0,
        face_model=model.hash,
    )
    head = landmarks(model, vertices(model, identity, expression))
    turned = head @ rotation_matrix(rotation).swapaxes(1, 2) + translation[:, None]
    return track._replace(landmarks=project(turned, camera_of(track)).astype(np.float32))


def test_residual_is_the_mean_distance_of_the_landmarks(model, track):
    assert residual(model, track).all.max() < 1e-3
    moved = track._replace(landmarks=track.landmarks + np.asarray([3, 4, 100], np.float32))  # depth does not count
    np.testing.assert_allclose(residual(model, moved), 5, atol=1e-3)
    moved = track._replace(landmarks=track.landmarks.copy())
    moved.landmarks[2, LIPS, 0] += 10
    errors = residual(model, moved)
    np.testing.assert_allclose(errors.lips, [0, 0, 10, 0, 0, 0], atol=1e-3)
    np.testing.assert_allclose(errors.all[2], 10 * len(LIPS) / 478, atol=1e-3)


def test_residual_follows_gaze_in_the_irises(model, track):
    """Against the model's own mesh, eyes turned."""
    gaze = np.tile(np.asarray([[0.3, 0.1, 0.2, -0.1]], np.float32), (FRAMES, 1))
    head = landmarks(model, vertices(model, track.identity, track.expression, gaze))
    head = head @ rotation_matrix(track.rotation).swapaxes(1, 2) + track.translation[:, None]
    turned = track._replace(gaze=gaze)
    still = np.arange(478) < 468
    points = landmarks_in_camera(model, turned)
    np.testing.assert_allclose(points[:, still], head[:, still], atol=1e-2)
    np.testing.assert_allclose(points[:, ~still], head[:, ~still], atol=0.3)  # the detector's offset turns too


@pytest.mark.parametrize("degrees", [-60, -10, 0, 35])
def test_yaw_is_the_turn_about_the_vertical(track, degrees):
    about_y = np.tile(np.radians([[0.0, -degrees, 0.0]]), (FRAMES, 1))
    np.testing.assert_allclose(yaw(track._replace(rotation=about_y)), degrees, atol=1e-3)
    nod = np.tile([[0.3, 0.0, 0.0]], (FRAMES, 1))
    np.testing.assert_allclose(yaw(track._replace(rotation=nod)), 0, atol=1e-3)


def test_a_face_turned_to_the_image_right_has_its_nose_there(model, track):
    """The sign, by what is seen: the tip of the nose against the middle of the face's edge."""
    turned = track._replace(rotation=np.tile(np.radians([[0.0, -30, 0.0]]), (FRAMES, 1)))
    points = project(landmarks_in_camera(model, turned), camera_of(turned))
    assert yaw(turned)[0] == pytest.approx(30) and points[0, 1, 0] > points[0, [234, 454], 0].mean() + 5


def test_frames_not_to_trust(track):
    normal = np.asarray([1.0, 1.2, 1.1, 0.9, 1.0, 1.0], np.float32)
    assert trusted(track, Residual(normal, normal)).all()
    hand = np.where(np.arange(FRAMES) == 3, 4.0, normal)
    np.testing.assert_array_equal(np.flatnonzero(~trusted(track, Residual(hand, hand))), [3])
    small = np.where(np.arange(FRAMES) == 3, 2.4, normal)  # twice the usual, but still a good fit
    assert trusted(track, Residual(small, small)).all()
    lost = track._replace(valid=np.arange(FRAMES) != 1)
    np.testing.assert_array_equal(np.flatnonzero(~trusted(lost, Residual(hand, hand))), [1, 3])


def test_each_fault_is_told(model, track):
    good = residual(model, track)
    assert list(faults(track, good)) == []
    outside = track._replace(landmarks=track.landmarks.copy())
    outside.landmarks[:2, :, 0] += 200
    np.testing.assert_array_equal(leaves_crop(outside), [True, True, False, False, False, False])
    assert list(faults(outside, good)) == ["the face leaves the crop in 2 frames (33%)"]
    profile = track._replace(rotation=np.where(np.arange(FRAMES)[:, None] == 1, [[0, 0.9, 0]], track.rotation))
    assert list(faults(profile, good)) == ["turned by more than 40 degrees in 1 frame (17%)"]
    assert "small face" in next(faults(track._replace(crop=np.asarray([0, 0, 100], np.float32)), good))
    assert "2 frames without a face" in next(faults(track._replace(valid=np.arange(FRAMES) > 1), good))
    hand = Residual(good.all + 4 * (np.arange(FRAMES) == 5), good.lips)
    assert list(faults(track, hand)) == ["badly fitted in 1 frame (17%)"]
    assert "the mesh is 3.0 pixels off" in next(faults(track, Residual(good.all + 3, good.lips)))


def test_widest_mouth_is_of_a_frame_that_shows_the_face(track):
    assert widest_mouth(track) == FRAMES - 1
    assert widest_mouth(track._replace(valid=np.arange(FRAMES) < 3)) == 2
