"""The mouth's crop: upright, of one scale, steady, and through frames without a face."""

import cv2
import numpy as np
import pytest

from vast_jax.face.landmarks import OUTER_EYE_CORNERS
from vast_jax.face.mouth_crop import LIP_CORNERS, MOUTH_CROP, mouth_crops

FACE = {OUTER_EYE_CORNERS[0]: (92, 112), OUTER_EYE_CORNERS[1]: (164, 112), LIP_CORNERS[0]: (108, 170)}
FACE[LIP_CORNERS[1]] = (148, 170)


def landmarks(frames: int) -> np.ndarray:
    points = np.zeros((frames, 478, 3), np.float32)
    for index, place in FACE.items():
        points[:, index, :2] = place
    return points


def picture(size: int = 256) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (size // 8, size // 8, 3), np.uint8)
    return cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)


def test_a_level_face_of_the_usual_size_is_cut_out_without_resampling_the_scale():
    frame = picture()
    crop = mouth_crops(frame[None], landmarks(1))[0]
    left, top = 128 - MOUTH_CROP // 2, 170 - MOUTH_CROP // 2
    expected = frame[top : top + MOUTH_CROP + 1, left : left + MOUTH_CROP + 1].astype(float)
    halfway = (expected[1:, 1:] + expected[1:, :-1] + expected[:-1, 1:] + expected[:-1, :-1]) / 4  # even: centre .5 off
    assert np.abs(crop - halfway).max() <= 1.5


def test_turned_moved_and_scaled_faces_give_the_same_crop():
    frame, points = picture(), landmarks(1)
    turn = np.array([[1.3, -0.5, 60.0], [0.5, 1.3, 10.0]])
    other = cv2.warpAffine(frame, turn, (512, 512), flags=cv2.INTER_CUBIC)
    moved = points.copy()
    moved[..., :2] = points[..., :2] @ turn[:, :2].T + turn[:, 2]
    apart = mouth_crops(frame[None], points)[0].astype(int) - mouth_crops(other[None], moved)[0]
    assert np.abs(apart).mean() < 3


def test_frames_without_a_face_are_bridged_and_a_clip_without_any_is_refused():
    frames, points = np.stack([picture()] * 5), landmarks(5)
    points[2] = np.nan
    crops = mouth_crops(frames, points)
    np.testing.assert_array_equal(crops[2], crops[1])
    with pytest.raises(ValueError, match="no frame"):
        mouth_crops(frames, np.full_like(points, np.nan))


def test_moving_lips_do_not_move_the_crop():
    frames, points = np.stack([picture()] * 40), landmarks(40)
    points[::2, LIP_CORNERS, 1] += 6  # the corners shake, as in speech
    crops = mouth_crops(frames, points).astype(int)
    assert np.abs(np.diff(crops[10:30], axis=0)).max() <= 2
