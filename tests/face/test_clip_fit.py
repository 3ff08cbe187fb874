import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

from vast_jax.face import clip_fit, fitting
from vast_jax.face.landmarks import LEFT_EYE, LIPS, RIGHT_EYE
from vast_jax.face.model import IRIS_LANDMARKS, FaceModel, gaze_rotation, landmark_basis, landmarks
from vast_jax.face.model import vertices as head_vertices
from vast_jax.face.rasterise import Camera, project, rotation_matrix

CAMERA = Camera(400.0, 120.0, 130.0)
EYES = np.array([[32.0, -30, -60], [-32, -30, -60]], np.float32)


@pytest.fixture(scope="module")
def model():
    """A face of 478 vertices, one a landmark, with random smooth shapes."""
    rng = np.random.default_rng(0)
    neutral = rng.uniform([-70, -90, -100], [70, 90, -30], (478, 3)).astype(np.float32)
    neutral[[33, 263]] = [[-45, -30, -60], [45, -30, -60]]
    regions = {}
    for eye, iris in enumerate(IRIS_LANDMARKS):
        neutral[list(iris)] = EYES[eye] + [0, 0, -12] + rng.normal(0, 0.5, (5, 3))
        regions[("eye_left", "eye_right")[eye]] = np.isin(np.arange(478), iris)

    def shapes(count, size):
        waves = rng.normal(0, 0.02, (count, 3, 3))
        basis = size * np.sin(np.einsum("kij,vj->kvi", waves, neutral) + rng.uniform(0, 6, (count, 1, 3)))
        basis[:, np.r_[IRIS_LANDMARKS]] = 0
        return basis.astype(np.float32)

    index = np.arange(478, dtype=np.int32)
    return FaceModel(
        neutral=neutral,
        identity_basis=shapes(6, 3.0),
        expression_basis=shapes(8, 8.0),
        expression_names=("eyeBlinkLeft", "eyeBlinkRight", "jawOpen", "mouthClose", "a", "b", "c", "d"),
        expression_low=np.zeros(8, np.float32),
        triangles=np.zeros((0, 3), np.int32),
        part=np.zeros(478, np.uint8),
        regions=regions,
        paint={},
        eye_centres=EYES,
        landmark_triangles=np.stack([index] * 3, 1),
        landmark_weights=np.tile(np.float32([1, 0, 0]), (478, 1)),
        landmark_offset=np.zeros((478, 3), np.float32),
        hash="synthetic",
    )


def clip(model, count, noise=0.0):
    """A talking, nodding head: its parameters and the landmarks it shows."""
    rng = np.random.default_rng(1)
    time = np.arange(count)[:, None] / 25
    identity = rng.normal(0, 0.8, 6).astype(np.float32)
    expression = 0.3 + 0.25 * np.sin(2 * np.pi * time * rng.uniform(0.3, 1.5, 8) + rng.uniform(0, 6, 8))
    expression[:, :2] *= 0.3
    rotation = 0.3 * np.sin(2 * np.pi * time * [0.2, 0.3, 0.1] + [0, 1, 2])
    translation = np.array([5.0, -3, 500]) + 4 * np.sin(time * [1.0, 2, 3])
    gaze = 0.25 * np.sin(2 * np.pi * time * [0.3, 0.2, 0.3, 0.2] + [0, 1, 0, 1])
    head = landmarks(model, head_vertices(model, identity, expression, gaze))
    points = np.einsum("nij,nlj->nli", rotation_matrix(rotation), head) + translation[:, None]
    seen = project(points, CAMERA) + rng.normal(0, noise, points.shape) if noise else project(points, CAMERA)
    return identity, expression, rotation, translation, gaze, seen.astype(np.float32)


@pytest.fixture(scope="module")
def fitted(model):
    truth = clip(model, 70)
    return truth, clip_fit.fit_clip(model, truth[-1], np.ones(70, bool), CAMERA)


def test_recovers_expression_pose_and_gaze(fitted):
    (_, expression, rotation, translation, gaze, _), found = fitted
    assert np.corrcoef(found.expression.ravel(), expression.ravel())[0, 1] > 0.95
    assert np.abs(found.rotation - rotation).max() < 0.03
    assert np.abs(found.translation - translation).max() < 15
    assert np.abs(found.gaze - gaze).mean() < 0.05
    assert found.expression.min() >= 0 and found.expression.max() <= 1
    assert all(array.dtype == np.float32 for array in found)


def test_residual_is_a_fraction_of_a_pixel(model, fitted):
    (*_, seen), found = fitted
    head = landmarks(model, head_vertices(model, found.identity, found.expression, found.gaze))
    points = np.einsum("nij,nlj->nli", rotation_matrix(found.rotation), head) + found.translation[:, None]
    error = np.linalg.norm((project(points, CAMERA) - seen)[..., :2], axis=-1)
    assert error.mean() < 0.35
    assert error[:, np.r_[LIPS, LEFT_EYE, RIGHT_EYE]].mean() < 0.3


def test_frames_do_not_depend_on_the_chunk_they_fall_in(model):
    """The same frames, moved across the boundary of a chunk, get the same fit."""
    *_, seen = clip(model, 70)
    fixed = fitting.problem(model, landmark_basis(model), CAMERA)
    target, identity = seen[..., :2], np.zeros(6, np.float32)
    start = fitting.initial_pose(fixed, target)
    whole = clip_fit._in_chunks(fixed, identity, start, target, 1.0)
    part = clip_fit._in_chunks(fixed, identity, fitting.Pose(*(a[50:] for a in start)), target[50:], 1.0)
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_allclose(a[50:], b, rtol=1e-3, atol=1e-3)


def test_analytic_jacobian_is_the_derivative(model):
    *_, seen = clip(model, 3)
    fixed = fitting.problem(model, landmark_basis(model), CAMERA)
    rotation = jnp.asarray(rotation_matrix(np.array([0.2, -0.4, 0.1])), jnp.float32)
    pose = fitting.Pose(jnp.full(8, 0.3), rotation, jnp.array([4.0, -6, 480]))
    target = seen[0, :, :2]

    def residual(change):
        return fitting._linearise(fixed, fixed.neutral, fitting._move(pose, change), target)[0]

    analytic = fitting._linearise(fixed, fixed.neutral, pose, target)[2]
    automatic = jax.jit(jax.jacfwd(residual))(jnp.full(14, 1e-6))
    np.testing.assert_allclose(analytic, automatic, rtol=2e-3, atol=2e-2)


def test_held_pose_stays(model):
    *_, seen = clip(model, 5)
    fixed = fitting.problem(model, landmark_basis(model), CAMERA)
    start = fitting.initial_pose(fixed, seen[..., :2])
    held = clip_fit._in_chunks(fixed, np.zeros(6, np.float32), start, seen[..., :2], 0.0)
    np.testing.assert_array_equal(held.rotation, start.rotation)
    np.testing.assert_array_equal(held.translation, start.translation)
    assert np.abs(held.expression - start.expression).max() > 0.01


def test_where_the_range_ends_the_other_shapes_make_up_for_it(model):
    """A mouth that needs two shapes beyond their range: no energy within is less than the one found, by scipy."""
    _, expression, rotation, translation, *_ = clip(model, 4)
    expression[:, 2], expression[:, 5] = 1.5, -0.6
    head = landmarks(model, head_vertices(model, np.zeros(6, np.float32), expression.astype(np.float32)))
    matrices = rotation_matrix(rotation).astype(np.float32)
    seen = project(np.einsum("nij,nlj->nli", matrices, head) + translation[:, None], CAMERA)[..., :2]
    fixed = fitting.problem(model, landmark_basis(model), CAMERA)
    start = fitting.Pose(np.full_like(expression, 0.5, np.float32), matrices, translation.astype(np.float32))
    found = clip_fit._in_chunks(fixed, np.zeros(6, np.float32), start, seen.astype(np.float32), 0.0)
    assert found.expression.min() == 0 and found.expression.max() == 1
    for i in range(4):

        def residual(e, i=i):
            pose = fitting.Pose(e.astype(np.float32), matrices[i], start.translation[i])
            points = np.asarray(fitting.predict(fixed, np.zeros(6), fitting.Pose(*(a[None] for a in pose))))[0]
            rows = fitting._with_gaps((points - seen[i]) * fixed.weight[:, None])
            return np.concatenate([np.ravel(rows), np.sqrt(fixed.prior) * e])

        oracle = least_squares(residual, np.full(8, 0.5), bounds=(0, 1), diff_step=1e-3)
        assert 0.5 * np.sum(residual(found.expression[i]) ** 2) < 1.0001 * oracle.cost


def test_what_is_held_is_paid_once_and_what_moves_once_a_frame(model):
    """The identity and the means found lower the energy as it is written down here, against any small change."""
    _, expression, rotation, translation, _, seen = clip(model, 12)
    fixed = fitting.problem(model, landmark_basis(model), CAMERA)
    pose = fitting.Pose(
        0.5 * expression.astype(np.float32),
        rotation_matrix(rotation).astype(np.float32),
        translation.astype(np.float32),
    )
    two = fitting.Pose(*(np.stack([array[:6], array[6:]]) for array in pose))
    target = np.stack([seen[:6, :, :2], seen[6:, :, :2]])
    cameras = type(CAMERA)(*(np.float32([value, value]) for value in CAMERA))
    found, means, fitted_pose = fitting.fit_identity(fixed, cameras, two, target, 30)

    def energy(identity, means, expression):
        total = identity @ fixed.rest.identity @ identity
        for k in range(2):
            at = fitting.Pose(expression[k], fitted_pose.rotation[k], fitted_pose.translation[k])
            rows = (fitting.predict(fixed, identity, at) - target[k]) * fixed.weight[:, None]
            total += sum(jnp.sum(fitting._with_gaps(row) ** 2) for row in rows)
            total += jnp.sum(fixed.prior * (expression[k] - means[k]) ** 2)
            total += means[k] @ fixed.rest.expression @ means[k]
            beyond = jnp.minimum(expression[k] - fixed.low, 0) + jnp.maximum(expression[k] - 1, 0)
            total += fitting.BOUND * jnp.sum(beyond**2)
        return total / 2

    least = energy(found, means, fitted_pose.expression)
    slopes = jax.jit(jax.grad(energy, (0, 1, 2)))(found, means, fitted_pose.expression)
    steepest = max(float(jnp.abs(slope).max()) for slope in slopes)
    assert steepest < 2e-3 * float(least) + 0.5, (steepest, least)
    assert energy(found, 0.9 * means, fitted_pose.expression) > least


def test_clips_of_one_person_share_the_identity_and_one_alone_is_the_same_fit(model):
    *_, seen = clip(model, 40)
    parts = [clip_fit.Seen(part, np.ones(20, bool), CAMERA) for part in (seen[:20], seen[20:])]
    first, second = clip_fit.fit_clips(model, parts)
    np.testing.assert_array_equal(first.identity, second.identity)
    alone = clip_fit.fit_clip(model, *parts[0])
    same = clip_fit.fit_clips(model, parts[:1])[0]
    for one, other in zip(alone, same, strict=True):
        np.testing.assert_array_equal(one, other)


def test_gaze_is_held_through_a_blink(model):
    identity, expression, rotation, translation, gaze, seen = clip(model, 20)
    expression[8:12, :2] = 0.9
    seen[8:12, 468:] += 30  # what a detector says about a covered iris
    found = clip_fit.fit_gaze(
        model,
        landmark_basis(model),
        identity,
        expression,
        rotation_matrix(rotation),
        translation,
        seen,
        CAMERA,
    )
    assert np.abs(found - gaze).max() < 0.1
    looked = gaze_rotation(np.array([0.3, 0.0])) @ np.array([0, 0, -1])
    assert looked[0] > 0  # positive yaw looks to the image right


def test_smoothing_keeps_constants_and_length():
    np.testing.assert_allclose(clip_fit.smooth(np.full((7, 2), 3.0), 0.6), 3.0)
    step = np.r_[np.zeros(10), np.ones(10)]
    assert clip_fit.smooth(step, 1.0).shape == (20,)
    assert clip_fit.smooth(step, 0.6)[8] < 0.01


def test_rotation_vectors_invert_rotation_matrix():
    vectors = np.random.default_rng(0).normal(0, 0.7, (9, 3))
    np.testing.assert_allclose(clip_fit.rotation_vectors(rotation_matrix(vectors)), vectors, atol=1e-5)
