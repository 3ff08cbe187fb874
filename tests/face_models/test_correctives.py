"""Learned shapes: found where they are known, even or odd, spread over one lip and not the other, taken off again."""

from dataclasses import replace

import numpy as np
import pytest

from vast_jax.face.landmarks import INNER_LIPS
from vast_jax.face.model import landmark_basis, landmarks, load_face_model, save_face_model, vertices, without_learned
from vast_jax.face.rasterise import Camera, project, rotation_matrix
from vast_jax.face_models import correctives
from vast_jax.face_models.spreading import MESH_LANDMARKS, Spreader
from vast_jax.types import UserError

CAMERA = Camera(420.0, 128.0, 128.0)
FLIP = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def bare():
    return replace(without_learned(load_face_model()), landmark_offset=np.zeros((478, 3), np.float32))


@pytest.fixture(scope="module")
def mirror(bare):
    return correctives.mirrored_landmarks(bare)


@pytest.fixture(scope="module")
def spread(bare):
    return Spreader(bare)


def bump(bare, centre: int, direction, width: float = 12.0) -> np.ndarray:
    """A smooth displacement [468, 3] about a landmark, 3 mm at most."""
    points = landmark_basis(bare).neutral[:MESH_LANDMARKS]
    distance = np.linalg.norm(points - points[centre], axis=1)
    return 3 * np.exp(-((distance / width) ** 2))[:, None] * np.asarray(direction, float)


def test_the_mirror_pairs_the_sides(mirror):
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(mirror)))
    assert [mirror[k] for k in (33, 61, 13, 152)] == [263, 291, 13, 152]


def test_components_are_even_or_odd_orthogonal_and_carry_the_variance(mirror, bare):
    rng = np.random.default_rng(0)
    even = bump(bare, 61, (0, 1, 0)) + bump(bare, 291, (0, 1, 0))
    odd = bump(bare, 61, (0, 1, 0)) - bump(bare, 291, (0, 1, 0))
    weights = rng.normal(0, [1.0, 0.5], (400, 2))
    fields = weights[:, :1, None] * even + weights[:, 1:, None] * odd
    found = correctives.principal_shapes(fields, np.ones(400), mirror, 2)
    assert found.odd.tolist() == [False, True]
    for field, known, is_odd, deviation in zip(found.fields, (even, odd), found.odd, (1.0, 0.5), strict=True):
        np.testing.assert_allclose(field[mirror] * FLIP, -field if is_odd else field, atol=1e-9)
        # The mesh is symmetric to a fraction of a millimetre only, so the known fields are nearly even and odd.
        likeness = (field * known).sum() / np.linalg.norm(field) / np.linalg.norm(known)
        assert abs(likeness) > 0.98
        assert np.linalg.norm(field) / np.linalg.norm(known) == pytest.approx(deviation, rel=0.1)


def test_a_field_weighs_what_it_is_told(mirror, bare):
    brow, chin = bump(bare, 9, (0, 1, 0)), bump(bare, 152, (0, 1, 0))
    found = correctives.principal_shapes(np.stack([brow, chin]), np.array([0.9, 0.1]), mirror, 1)
    assert np.abs((found.fields[0] * brow).sum()) > 5 * np.abs((found.fields[0] * chin).sum())


def test_asking_for_more_shapes_than_there_are_is_refused(mirror, bare):
    fields = np.stack([bump(bare, 13, (0, 1, 0))] * 5)
    with pytest.raises(UserError, match="fewer than 4"):
        correctives.principal_shapes(fields, np.ones(5), mirror, 4)


def test_spreading_passes_the_landmarks_and_keeps_the_lips_apart(spread, bare):
    upper, lower = INNER_LIPS
    field = np.zeros((MESH_LANDMARKS, 3))
    ring = [13, 312, 311, 310, 82, 81, 80, 0, 267, 269, 37, 39]  # of the upper lip
    field[ring] = [0, -2.0, 0]
    moved = spread(field[None])[0]
    at = np.einsum("lk,lkc->lc", bare.landmark_weights, moved[bare.landmark_triangles])
    assert np.linalg.norm(at[ring] - field[ring], axis=1).mean() < 0.5
    assert abs(at[lower, 1]) < 0.25 < 1.5 < abs(at[upper, 1])
    still = bare.regions["teeth"] | bare.regions["tongue"] | bare.regions["eye_left"]
    assert not moved[still].any()
    back = bare.neutral[:, 2] > 60
    assert np.abs(moved[back]).max() < 0.1


def test_the_landmark_offset_is_found_and_people_count_alike():
    rng = np.random.default_rng(1)
    offset = rng.normal(0, 1, (MESH_LANDMARKS, 3))
    rotations = rotation_matrix(rng.normal(0, 0.4, (20, 3)))
    slopes = 2.0 * np.broadcast_to(np.eye(3)[:2], (20, MESH_LANDMARKS, 2, 3)) @ rotations[:, None]

    def clip(known):
        residual = np.einsum("nlij,lj->nli", slopes, known)
        return correctives.Leftover(np.zeros((20, MESH_LANDMARKS, 3)), slopes, residual, 0.0)

    found = correctives.landmark_offset([clip(offset)], ["a"])
    assert np.abs(found[:MESH_LANDMARKS] - offset).mean() < 0.2  # the ridge pulls a little
    assert not found[MESH_LANDMARKS:].any()
    many = correctives.landmark_offset([clip(offset)] * 3 + [clip(-offset)], ["a", "a", "a", "b"])
    assert np.abs(many).max() < 1e-5


def test_learned_shapes_come_last_and_can_be_taken_off(bare, spread, tmp_path):
    shape = spread(bump(bare, 291, (1, 0, 0))[None])
    model = bare.extended(shape, shape, ("corrective01",))
    assert model.expression_names[:-1] == bare.expression_names
    assert model.expression_low[-1] == -1 and model.hash != bare.hash
    save_face_model(tmp_path / "head.npz", model)
    again = load_face_model(tmp_path / "head.npz")
    for name in ("identity_basis", "expression_basis", "expression_low", "landmark_offset", "neutral"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
    assert (again.hash, again.learned_identity, again.learned_expression) == (model.hash, 1, 1)
    off = without_learned(again)
    assert off.expression_names == bare.expression_names and len(off.identity_basis) == len(bare.identity_basis)


def test_the_shipped_head_has_72_parameters_with_arkit_first():
    model = load_face_model()
    names = model.expression_names
    assert len(names) == 72 and sum(name.startswith("corrective") for name in names) == 20
    assert all(name.startswith("corrective") for name in names[52:])
    assert model.learned_expression == 20 and set(model.expression_low[52:]) == {-1}
    assert set(model.expression_low[:52]) == {np.float32(0), np.float32(-0.15)}


def observed(model, rng, person: str, frames: int = 20) -> correctives.Observed:
    """Perfect landmarks of a talking face of a model whose last shape is to be found."""
    time = np.arange(frames)[:, None] / 25
    expression = np.zeros((frames, len(model.expression_names)), np.float32)
    jaw = model.expression_names.index("jawOpen")
    expression[:, jaw] = 0.15 + 0.1 * np.sin(2 * np.pi * time[:, 0] * 2)
    expression[:, -1] = np.sin(2 * np.pi * time[:, 0] * rng.uniform(1.5, 2.5) + rng.uniform(0, 6))
    identity = np.zeros(len(model.identity_basis), np.float32)
    identity[:6] = rng.normal(0, 0.5, 6)
    head = landmarks(model, vertices(model, identity, expression))
    rotation = rotation_matrix(0.05 * np.sin(time * [1, 2, 3]) + [0.0, rng.uniform(-0.2, 0.2), 0])
    points = np.einsum("nij,nlj->nli", rotation, head) + np.array([0, 10, 560.0])
    return correctives.Observed(project(points, CAMERA).astype(np.float32), np.ones(frames, bool), CAMERA, person)


@pytest.mark.slow
def test_a_shape_that_the_head_lacks_is_learned(bare, spread):
    """Faces that move in a way no named shape can: after learning, the residual is a fraction of what it was."""
    rng = np.random.default_rng(2)
    hidden = spread((bump(bare, 205, (0, 1.4, 0), 9) + bump(bare, 425, (0, 1.4, 0), 9))[None])  # the cheeks
    truth = bare.extended(np.zeros((0, *bare.neutral.shape)), hidden, ("corrective01",))
    clips = [observed(truth, rng, f"person {k}") for k in range(4)]
    learned = correctives.learn(bare, clips[:3], count=1, identity=0)
    assert learned.expression_names[-1] == "corrective01"
    before, after = (correctives.leftover(model, clips[3]).pixels for model in (bare, learned))
    assert after < 0.75 * before
    cheeks = learned.expression_basis[-1][bare.landmark_triangles[[205, 425]]].mean(1)
    assert np.abs(cheeks[:, 1]).min() > 4 * np.abs(cheeks[:, 0]).max()  # it moves them up and down
