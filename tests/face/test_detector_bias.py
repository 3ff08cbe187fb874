"""The detector's habits: found again where they are known, taken out whatever the face's place, size and roll."""

import numpy as np
import pytest

from vast_jax.face.clip_fit import fit_clip
from vast_jax.face.detector_bias import DetectorBias, learn, unbiased, upright
from vast_jax.face.landmarks import LEFT_EYE, LEFT_IRIS, LIPS, MESH_LANDMARKS
from vast_jax.face.model import landmark_basis, load_face_model, save_face_model
from vast_jax.face.rasterise import Camera, project, rotation_matrix
from vast_jax.face_models import learn_detector_bias as command
from vast_jax.synthesis.measure import rotation_angles

CAMERA = Camera(1.2 * 512, 256.0, 256.0)


def faces(count: int, seed: int, turn: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """True landmarks [N, 478, 3] in pixels of people who look about, and their rotations [N, 3]."""
    rng, basis = np.random.default_rng(seed), landmark_basis(load_face_model())
    people = rng.normal(size=(count, 20)) * 0.6
    heads = basis.neutral + np.einsum("ni,ilc->nlc", people, basis.identity[:20])
    rotation = rng.uniform(-1, 1, (count, 3)) * [turn, turn, 0.1]
    points = np.einsum("nij,nlj->nli", rotation_matrix(rotation), heads) + np.array([0, 0, 600.0])
    return np.concatenate([project(points, CAMERA)[..., :2], points[..., 2:] - 600], -1), rotation


def with_habit(true: np.ndarray) -> np.ndarray:
    """A detector that is wrong by a linear function of what it sees, the same in lips and eyes."""
    rng = np.random.default_rng(9)
    seen = upright(true)
    depth = seen.points[:, 152, 2]  # the chin's: tells pitch and person
    field = rng.normal(size=(MESH_LANDMARKS, 2)) * 0.05
    for region in (LIPS, LEFT_EYE):
        field[region] = field[region].mean(0)
    error = np.einsum("nji,nlj->nli", seen.rotation, (depth[:, None, None] - 0.2) * field) * seen.scale[:, None, None]
    detected = true.copy()
    detected[:, :MESH_LANDMARKS, :2] += error
    return detected


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(first[:, :MESH_LANDMARKS, :2] - second[:, :MESH_LANDMARKS, :2], axis=-1).mean())


@pytest.fixture(scope="module")
def bias() -> DetectorBias:
    true, rotation = faces(400, 1)
    return learn(with_habit(true), true, rotation, components=25, ridge=0.1)


def test_a_known_habit_is_found_and_taken_out_of_people_not_learned_from(bias):
    for number in range(3):
        true, _ = faces(1, 50 + number)
        detected = with_habit(true)
        assert distance(unbiased(bias, detected, np.ones(1, bool)), true) < 0.4 * distance(detected, true)


def test_place_size_and_roll_make_no_difference(bias):
    true, _ = faces(1, 60)
    detected = with_habit(true)
    turn = 1.7 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    moved = np.concatenate([detected[..., :2] @ turn.T + [40, -90], 1.7 * detected[..., 2:]], -1)
    freed = unbiased(bias, detected, np.ones(1, bool))
    np.testing.assert_allclose(unbiased(bias, moved, np.ones(1, bool)), freed @ turn.T + [40, -90], atol=2e-3)


def test_lips_and_eyes_move_as_wholes_and_irises_with_their_eyes(bias):
    true, _ = faces(30, 70)
    shift = unbiased(bias, true, np.ones(30, bool)) - true[..., :2]
    assert np.ptp(shift[:, LIPS], axis=1).max() < 1e-3
    np.testing.assert_allclose(shift[:, LEFT_IRIS], np.repeat(shift[:, LEFT_EYE[:1]], 5, 1), atol=1e-3)
    assert np.abs(shift).max() > 0.1


def test_expression_within_a_clip_is_left_alone_and_frames_that_are_not_valid_tell_nothing(bias):
    true, _ = faces(1, 80)
    clip = np.repeat(true, 20, 0)
    jaw = np.zeros((MESH_LANDMARKS, 3))
    jaw[LIPS] = np.random.default_rng(3).normal(size=(len(LIPS), 3))
    clip[:, :MESH_LANDMARKS] += np.sin(np.arange(20))[:, None, None] * jaw
    shift = unbiased(bias, clip, np.ones(20, bool)) - clip[..., :2]
    alone = learn(
        with_habit(faces(400, 1)[0]), faces(400, 1)[0], np.zeros((400, 3)), 25, 0.1
    )  # no pose known: constant
    steady = unbiased(alone, clip, np.ones(20, bool)) - clip[..., :2]
    assert np.ptp(steady, axis=0).max() < 1e-3
    assert np.ptp(shift, axis=0).max() < 0.5
    clip[5] += 100 * np.random.default_rng(4).normal(size=clip[5].shape)
    usable = np.arange(20) != 5
    np.testing.assert_allclose(unbiased(alone, clip, usable)[usable], (steady + clip[..., :2])[usable], atol=0.05)


def test_a_model_keeps_its_bias_and_one_without_leaves_landmarks_as_they_are(bias, tmp_path):
    from dataclasses import replace

    model = load_face_model()
    assert model.detector_bias is not None
    save_face_model(tmp_path / "with.npz", replace(model, detector_bias=bias))
    save_face_model(tmp_path / "without.npz", replace(model, detector_bias=None))
    stored, bare = load_face_model(tmp_path / "with.npz"), load_face_model(tmp_path / "without.npz")
    np.testing.assert_allclose(stored.detector_bias.shift, bias.shift, rtol=2e-3, atol=1e-5)
    assert stored.hash == bare.hash == model.hash
    true, _ = faces(2, 90)
    np.testing.assert_array_equal(
        unbiased(bare.detector_bias, true, np.ones(2, bool)), true[..., :2].astype(np.float32)
    )


@pytest.mark.slow
def test_the_shipped_bias_turns_rendered_heads_towards_the_truth():
    model = load_face_model()
    people = command.show((None, range(7)))
    assert len(people) >= 6
    errors = {True: [], False: []}
    for detected, _, rotation in people:
        valid = np.ones(2, bool)
        points = np.repeat(detected[None], 2, 0)
        for freed, found in errors.items():
            fit = fit_clip(model, unbiased(model.detector_bias if freed else None, points, valid), valid, CAMERA)
            found.append(rotation_angles(fit.rotation, np.repeat(rotation[None], 2, 0))["pose"])
    assert np.mean(errors[True]) < 0.8 * np.mean(errors[False])
