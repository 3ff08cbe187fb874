import numpy as np
import pytest

from vast_jax.data.tracking_check import residual, widest_mouth
from vast_jax.face.model import landmarks, load_face_model, vertices
from vast_jax.face.rasterise import camera_of, project, rotation_matrix
from vast_jax.types import FaceTrack

FRAMES = 6
CROP = np.asarray([10, 20, 200], np.float32)


@pytest.fixture(scope="module")
def model():
    return load_face_model()


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
    assert residual(model, track) < 1e-3
    moved = track._replace(landmarks=track.landmarks + np.asarray([3, 4, 100], np.float32))
    assert residual(model, moved) == pytest.approx(5, abs=1e-3)  # depth does not count
    moved.landmarks[2] += 500  # nor does a frame without a face
    assert residual(model, moved._replace(valid=np.arange(FRAMES) != 2)) == pytest.approx(5, abs=1e-3)


def test_widest_mouth_is_of_a_frame_that_shows_the_face(track):
    assert widest_mouth(track) == FRAMES - 1
    assert widest_mouth(track._replace(valid=np.arange(FRAMES) < 3)) == 2
