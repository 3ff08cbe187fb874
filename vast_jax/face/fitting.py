"""Fits the parametric face to landmarks by Levenberg-Marquardt in JAX (energy of Wood et al., 2022).

For every frame: residuals (projected landmark - detected) / sigma by region, and the range of each expression
activation: soft bounds while the identity is sought, hard ones after. An expression is a clip's mean and what moves
about it: the mean pays its prior once, what moves pays once a frame.
Rotations are updated by a left increment, R <- exp(delta) R, which has no singularity. Jacobians are analytic: the
model is linear.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from vast_jax.face.landmarks import CONTOUR, LEFT_EYE, LEFT_IRIS, LIPS, OUTER_EYE_CORNERS, RIGHT_EYE, RIGHT_IRIS
from vast_jax.face.model import FaceModel, LandmarkBasis
from vast_jax.face.rasterise import Camera
from vast_jax.face.rest import RestPrior
from vast_jax.types import Array

CHUNK = 25  # frames solved at once: one compilation for clips of any length, and little padding
SIGMA, SIGMA_SHARP, SIGMA_CONTOUR = 1.5, 0.6, 3.0  # pixels at the 256 crop: elsewhere, lips and eyes, face contour
IDENTITY_PRIOR = 20.0  # weaker ones fit better and look inhuman
LEARNED_IDENTITY_PRIOR = 5.0  # of shapes learned from what the detector says about real people
UNLEARNED_REST = 20.0  # times that while identity and held expression are told apart, for a head that learned no rest
EXPRESSION_PRIOR = 1.0
# Shapes that fight over the same landmarks, or that landmarks hardly show: the one that gives way costs more.
EXPRESSION_PRIORS = {
    "mouthClose": 8.0,
    **dict.fromkeys(("eyeSquintLeft", "eyeSquintRight"), 3.0),
    **{f"eyeLook{way}{side}": 6.0 for way in ("Up", "Down", "In", "Out") for side in ("Left", "Right")},
    **{"jawForward": 4.0, "cheekPuff": 4.0, "tongueOut": 20.0},
}
CHIN = np.r_[148, 149, 152, 176, 377, 378, 400]  # the part of the contour that does not slide along the cheek
# Lips and lids that face each other: their gap is what the eye judges, and it is seen better than where they are.
PAIRS = np.array([(13, 14), (82, 87), (312, 317), (81, 178), (311, 402), (159, 145), (386, 374)])
SIGMA_GAP = 0.4  # pixels
BOUND = 300.0  # weight of leaving the range of an activation


class Pose(NamedTuple):
    """State of N frames: what the solver moves."""

    expression: Array  # [N, D]
    rotation: Array  # [N, 3, 3] head to camera
    translation: Array  # [N, 3] mm


class Problem(NamedTuple):
    """What stays fixed over the iterations."""

    neutral: Array  # [478, 3] mm
    identity: Array  # [I, 478, 3]
    expression: Array  # [D, 478, 3]
    weight: Array  # [478] 1 / sigma, 0 for landmarks left out
    prior: Array  # [D] weights of the squared distances of activations from `centre`
    centre: Array  # [D] the clip's mean expression, as far as it is known
    low: Array  # [D] least activations, 0 or, where a shape has two signs, below; the greatest is 1
    rest: RestPrior  # of identity and a clip's mean expression while they are told apart
    identity_prior: Array  # [I] weights of the squared identity after that
    camera: Camera  # pixels


def landmark_weights() -> Float[np.ndarray, "478"]:
    """1 / sigma [478] of the landmarks in 1 / pixels at the 256 crop; 0 for the irises, which turn with the gaze."""
    sigma = np.full(478, SIGMA, np.float32)
    sigma[CONTOUR] = SIGMA_CONTOUR
    sigma[CHIN] = SIGMA
    sigma[np.r_[LIPS, LEFT_EYE, RIGHT_EYE]] = SIGMA_SHARP
    weight = 1 / sigma
    weight[np.r_[LEFT_IRIS, RIGHT_IRIS]] = 0
    return weight


def expression_prior(model: FaceModel) -> Float[np.ndarray, " D"]:
    """Weights [D] of the squared activations of a frame."""
    return np.array([EXPRESSION_PRIORS.get(name, EXPRESSION_PRIOR) for name in model.expression_names], np.float32)


def identity_prior(model: FaceModel) -> Float[np.ndarray, " I"]:
    """Weights [I] of the squared identity, where nothing else is known of people."""
    weight = np.full(len(model.identity_basis), IDENTITY_PRIOR, np.float32)
    weight[len(weight) - model.learned_identity :] = LEARNED_IDENTITY_PRIOR
    return weight


def problem(model: FaceModel, basis: LandmarkBasis, camera: Camera) -> Problem:
    """The fitting problem of one camera; irises are left out, for they turn with the gaze."""
    weight = landmark_weights()
    prior = expression_prior(model)
    camera = Camera(*(np.float32(value) for value in camera))
    arrays = basis.neutral, basis.identity, basis.expression
    of_identity = identity_prior(model)
    rest = model.rest or RestPrior(UNLEARNED_REST * np.diag(of_identity), np.diag(prior))
    centre = np.zeros_like(prior)
    return Problem(*arrays, weight, prior, centre, model.expression_low, rest, of_identity, camera)


def initial_pose(fixed: Problem, target: Float[Array, "N 478 2"]) -> Pose:
    """Frontal, at the depth the distance of the eye corners says; target [N, 478, 2]."""
    corners = np.asarray(OUTER_EYE_CORNERS)
    model, image = np.asarray(fixed.neutral)[corners], target[:, corners]
    size = np.maximum(np.linalg.norm(np.ptp(image, axis=1), axis=-1), 1.0)
    depth = fixed.camera.focal * np.linalg.norm(np.ptp(model, axis=0)) / size
    centre = image.mean(1) - np.array([fixed.camera.cx, fixed.camera.cy])
    place = np.c_[centre * (depth / fixed.camera.focal)[:, None], depth] - model.mean(0)
    count, width = len(target), len(fixed.expression)
    rotation = np.broadcast_to(np.eye(3, dtype=np.float32), (count, 3, 3))
    return Pose(np.zeros((count, width), np.float32), rotation, place.astype(np.float32))


@jax.jit
def fit_frames(
    fixed: Problem,
    identity: Float[Array, " I"],
    pose: Pose,
    target: Float[Array, "N 478 2"],
    free_pose: Shaped[Array, ""] | float,
    iterations: Shaped[Array, ""] | int = 10,
) -> Pose:
    """Expression and pose of independent frames [N] for a known identity [I]; target [N, 478, 2] pixels.

    Activations stay in their range at every step (projected Levenberg-Marquardt). Cut off only afterwards, those that
    others were balanced against would leave the lips of lively faces open.

    free_pose: 1 to move rotation and translation, 0 to hold them.
    """
    person = fixed.neutral + jnp.einsum("i,ilc->lc", identity, fixed.identity)

    def normal_equations(pose, target):
        residual, _, jacobian = _linearise(fixed, person, pose, target)
        slope, curvature = _prior(fixed, pose.expression)
        gradient = jacobian.T @ residual + jnp.pad(slope, (0, 6))
        free = jnp.append(~_held(fixed, pose.expression, gradient[:-6]), jnp.full(6, free_pose > 0))
        matrix = jacobian.T @ jacobian + jnp.diag(jnp.pad(curvature, (0, 6)))
        matrix = jnp.where(free[:, None] & free, matrix, jnp.eye(len(matrix)))
        return matrix, jnp.where(free, gradient, 0)

    def energy(pose, target):
        return _energy(fixed, person, pose, target)

    def one_frame(pose, target):
        def step(_, state):
            pose, _, damping = state
            matrix, gradient = normal_equations(pose, target)
            damped = matrix + jnp.diag(damping * jnp.diag(matrix) + 1e-6)
            candidate = _move(pose, -jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(damped), True), gradient))
            candidate = candidate._replace(expression=jnp.clip(candidate.expression, fixed.low, 1))
            return _accept(state, (candidate, energy(candidate, target)))

        pose = pose._replace(expression=jnp.clip(pose.expression, fixed.low, 1))
        start = (pose, energy(pose, target), jnp.float32(1e-3))
        return jax.lax.fori_loop(0, iterations, step, start)[0]

    return jax.vmap(one_frame)(pose, target)


@jax.jit
def fit_identity(
    fixed: Problem,
    cameras: Camera,
    pose: Pose,
    target: Float[Array, "C N 478 2"],
    iterations: Shaped[Array, ""] | int = 12,
) -> tuple[Float[Array, " I"], Float[Array, "C D"], Pose]:
    """One identity [I] shared by C clips of one person, and the mean expression [C, D] of each clip.

    Also their N frames' expressions and poses. The frames of a clip meet in its mean and in the identity alone, and the
    clips in the identity alone, so each step eliminates the frames and then the means (Schur complements).

    Args:
      cameras: of each clip, fields [C], in the place of the problem's own; pixels.
      pose: the start, fields [C, N, ...].
      target: pixels.
    """
    count, width = fixed.identity.shape[0], fixed.expression.shape[0]
    solve = jax.vmap(lambda factor, right: jax.scipy.linalg.cho_solve((factor, True), right))

    def of_clip(camera, mean):
        return fixed._replace(camera=camera, centre=mean)

    def person_of(identity):
        return fixed.neutral + jnp.einsum("i,ilc->lc", identity, fixed.identity)

    def energy(identity, means, pose):
        person = person_of(identity)

        def clip(camera, mean, pose, target):
            own = of_clip(camera, mean)
            frames = jax.vmap(lambda pose, target: _energy(own, person, pose, target))(pose, target)
            return frames.sum() + 0.5 * mean @ fixed.rest.expression @ mean

        return jax.vmap(clip)(cameras, means, pose, target).sum() + 0.5 * identity @ fixed.rest.identity @ identity

    def frame(own_problem, person, pose, target):
        """Normal equations of one frame: its own unknowns, how they go with the shared ones, and these."""
        residual, shared, own = linearised(own_problem, person, pose, target)
        slope, curvature = _prior(own_problem, pose.expression)
        matrix = own.T @ own + jnp.diag(jnp.pad(curvature, (0, 6)))
        gradient = own.T @ residual + jnp.pad(slope, (0, 6))
        to_mean = jnp.pad(-jnp.diag(fixed.prior), ((0, 6), (0, 0)))
        return matrix, jnp.concatenate([own.T @ shared, to_mean], 1), shared.T @ shared, gradient, shared.T @ residual

    def clip(person, damping, camera, mean, pose, target):
        own_problem = of_clip(camera, mean)
        own, mixed, shared, gradient, shared_gradient = jax.vmap(partial(frame, own_problem, person))(pose, target)
        factor = jnp.linalg.cholesky(own + jax.vmap(jnp.diag)(damping * jnp.diagonal(own, axis1=1, axis2=2) + 1e-6))
        eliminated = solve(factor, jnp.concatenate([mixed, gradient[..., None]], -1))
        of_mean = fixed.rest.expression + len(target) * jnp.diag(fixed.prior)
        total = jax.scipy.linalg.block_diag(shared.sum(0), of_mean)
        total = total + damping * jnp.diag(jnp.diag(total))
        mean_gradient = fixed.rest.expression @ mean + (fixed.prior * (mean - pose.expression)).sum(0)
        right = jnp.concatenate([shared_gradient.sum(0), mean_gradient])
        total = total - jnp.einsum("fpi,fpj->ij", mixed, eliminated[..., :-1])
        right = right - jnp.einsum("fpi,fp->i", mixed, eliminated[..., -1])
        to_mean = jnp.concatenate([total[count:, :count], right[count:, None]], 1)
        means = jnp.linalg.solve(total[count:, count:], to_mean)
        matrix = total[:count, :count] - total[:count, count:] @ means[:, :-1]
        return matrix, right[:count] - total[:count, count:] @ means[:, -1], means, eliminated

    def step(_, state):
        (identity, means, pose), _, damping = state
        parts = jax.vmap(partial(clip, person_of(identity), damping))(cameras, means, pose, target)
        matrix, gradient, to_mean, eliminated = parts
        prior = fixed.rest.identity + damping * jnp.diag(jnp.diag(fixed.rest.identity))
        change = -jnp.linalg.solve(matrix.sum(0) + prior, gradient.sum(0) + fixed.rest.identity @ identity)
        mean_change = -to_mean[..., -1] - to_mean[..., :-1] @ change
        shared = jnp.concatenate([jnp.broadcast_to(change, (len(means), count)), mean_change], 1)
        moves = -eliminated[..., -1] - jnp.einsum("cfpi,ci->cfp", eliminated[..., :-1], shared)
        candidate = identity + change, means + mean_change, jax.vmap(jax.vmap(_move))(pose, moves)
        return _accept(state, (candidate, energy(*candidate)))

    start = (jnp.zeros(count), jnp.zeros((len(target), width)), pose)
    state = (start, energy(*start), jnp.float32(1e-2))
    return jax.lax.fori_loop(0, iterations, step, state)[0]


@jax.jit
def refine_identity(
    fixed: Problem,
    cameras: Camera,
    identity: Float[Array, " I"],
    pose: Pose,
    target: Float[Array, "C N 478 2"],
    iterations: Shaped[Array, ""] | int = 4,
) -> tuple[Float[Array, " I"], Pose]:
    """The identity [I] that also explains what is left of it once held expressions are told apart.

    Expressions stay as they are, so that none of them is taken for identity; poses follow. Arguments: see
    `fit_identity`.
    """

    def frame(camera, person, pose, target):
        residual, shared, own = linearised(fixed._replace(camera=camera), person, pose, target)
        q, r = jnp.linalg.qr(own[:, -6:])
        rows = jnp.c_[shared, residual]
        turn = q.T @ rows
        rows = rows - q @ turn
        return rows[:, :-1].T @ rows, jax.scipy.linalg.solve_triangular(r, turn)

    def step(_, state):
        identity, pose = state
        person = fixed.neutral + jnp.einsum("i,ilc->lc", identity, fixed.identity)
        of_clip = jax.vmap(lambda camera, pose, target: jax.vmap(partial(frame, camera, person))(pose, target))
        both, turns = of_clip(cameras, pose, target)
        both = both.sum((0, 1))
        matrix = both[:, :-1] + jnp.diag(fixed.identity_prior)
        change = -jnp.linalg.solve(matrix, both[:, -1] + fixed.identity_prior * identity)
        moves = -turns[..., -1] - turns[..., :-1] @ change
        still = jnp.zeros(pose.expression.shape)
        return identity + change, jax.vmap(jax.vmap(_move))(pose, jnp.concatenate([still, moves], -1))

    return jax.lax.fori_loop(0, iterations, step, (identity, pose))


def linearised(
    fixed: Problem, person: Float[Array, "478 3"], pose: Pose, target: Float[Array, "478 2"]
) -> tuple[Float[Array, " R"], Float[Array, "R I"], Float[Array, "R P"]]:
    """Weighted residual [R] of one frame of a person, its Jacobian in the identity, and in expression and pose."""
    residual, to_pixels, own = _linearise(fixed, person, pose, target)
    shared = _with_gaps(jnp.einsum("lij,nlj->lin", to_pixels, fixed.identity))
    return residual, shared.reshape(len(residual), -1), own


def predict(fixed: Problem, identity: Float[Array, " I"], pose: Pose) -> Float[Array, "N 478 2"]:
    """The model's landmarks [N, 478, 2] in pixels."""
    person = fixed.neutral + jnp.einsum("i,ilc->lc", identity, fixed.identity)
    head = person + jnp.einsum("nd,dlc->nlc", pose.expression, fixed.expression)
    return _project(fixed.camera, jnp.einsum("nij,nlj->nli", pose.rotation, head) + pose.translation[:, None])


def _project(camera: Camera, points: Array) -> Array:
    return points[..., :2] / points[..., 2:] * camera.focal + jnp.stack([camera.cx, camera.cy])


def _linearise(fixed: Problem, person: Array, pose: Pose, target: Array) -> tuple[Array, Array, Array]:
    """One frame: residual [2 (478 + pairs)], d pixels / d head point [478, 2, 3], its Jacobian [2 (...), D + 6]."""
    head = person + jnp.einsum("d,dlc->lc", pose.expression, fixed.expression)
    turned = head @ pose.rotation.T
    x, y, z = (turned + pose.translation).T
    zero, scale = jnp.zeros_like(x), fixed.weight * fixed.camera.focal / z
    to_camera = scale[:, None, None] * jnp.stack(
        [jnp.stack([zero + 1, zero, -x / z], -1), jnp.stack([zero, zero + 1, -y / z], -1)], 1
    )
    to_pixels = to_camera @ pose.rotation
    by_expression = jnp.einsum("lij,dlj->lid", to_pixels, fixed.expression)
    a, b, c = turned.T
    cross = jnp.stack([jnp.stack(row, -1) for row in ((zero, c, -b), (-c, zero, a), (b, -a, zero))], 1)
    jacobian = jnp.concatenate([by_expression, to_camera @ cross, to_camera], -1)
    residual = (_project(fixed.camera, turned + pose.translation) - target) * fixed.weight[:, None]
    rows = _with_gaps(residual), _with_gaps(jacobian)
    return rows[0].reshape(-1), to_pixels, rows[1].reshape(rows[0].size, -1)


def _with_gaps(rows: Array) -> Array:
    """Weighted rows [478, 2, ...] of the landmarks, and behind them the gaps of PAIRS, whose ends are all sharp."""
    gaps = (rows[PAIRS[:, 0]] - rows[PAIRS[:, 1]]) * (SIGMA_SHARP / SIGMA_GAP)
    return jnp.concatenate([rows, gaps])


def _held(fixed: Problem, expression: Array, gradient: Array) -> Array:
    """Activations [D] bool at an end of their range that the energy pushes further out."""
    return ((expression <= fixed.low) & (gradient > 0)) | ((expression >= 1) & (gradient < 0))


def _excess(fixed: Problem, expression: Array) -> Array:
    return jnp.minimum(expression - fixed.low, 0) + jnp.maximum(expression - 1, 0)


def _prior(fixed: Problem, expression: Array) -> tuple[Array, Array]:
    """Gradient and (diagonal) curvature [D] of prior and soft bounds."""
    excess = _excess(fixed, expression)
    return fixed.prior * (expression - fixed.centre) + BOUND * excess, fixed.prior + BOUND * (excess != 0)


def _energy(fixed: Problem, person: Array, pose: Pose, target: Array) -> Array:
    head = person + jnp.einsum("d,dlc->lc", pose.expression, fixed.expression)
    points = _project(fixed.camera, head @ pose.rotation.T + pose.translation)
    data = jnp.sum(_with_gaps((points - target) * fixed.weight[:, None]) ** 2)
    bound = BOUND * jnp.sum(_excess(fixed, pose.expression) ** 2)
    return 0.5 * (data + jnp.sum(fixed.prior * (pose.expression - fixed.centre) ** 2) + bound)


def _move(pose: Pose, change: Array) -> Pose:
    turn, shift = change[-6:-3], change[-3:]
    angle = jnp.sqrt(jnp.sum(turn**2) + 1e-20)
    x, y, z = turn / angle
    zero = jnp.zeros_like(x)
    cross = jnp.stack([jnp.stack(row) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))])
    increment = jnp.eye(3) + jnp.sin(angle) * cross + (1 - jnp.cos(angle)) * cross @ cross
    return Pose(pose.expression + change[:-6], increment @ pose.rotation, pose.translation + shift)


def _accept(state: tuple, candidate: tuple) -> tuple:
    """Keeps the better of the current and the candidate (parameters, energy); damping follows."""
    current, cost, damping = state
    better = candidate[1] < cost
    parameters = jax.tree.map(lambda new, old: jnp.where(better, new, old), candidate[0], current)
    damping = jnp.clip(jnp.where(better, damping / 5, damping * 8), 1e-7, 1e6)
    return parameters, jnp.where(better, candidate[1], cost), damping
