from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_weights

from vast_jax.models.renderer import ConvLSTM, Renderer, Up, composite

B, T, SIZE = 2, 4, 16
MODELS = {
    "shuffle": Renderer((4, 8, 8), 4),
    "transposed": Renderer((4, 8, 8), 4, upsampling="transposed"),
    "spatial memory": Renderer((4, 8, 8), 4, recurrence_kernel=3),
}


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    mesh, background = (rng.uniform(-1, 1, (B, T, SIZE, SIZE, c)).astype(np.float32) for c in (7, 3))
    hole = (rng.random((B, T, SIZE, SIZE, 1)) < 0.5).astype(np.float32)
    return mesh, background, hole, rng.dirichlet(np.ones(41), (B, T, 9)).astype(np.float32)


@pytest.fixture(scope="module", params=MODELS)
def model(request, inputs):
    module = MODELS[request.param]
    return module, random_weights(module, *inputs), jax.jit(module.apply)


def cut(inputs, *at):
    return [array[at] for array in inputs]


def test_frames_and_carry_have_their_shapes_at_any_size(model):
    module, params, _ = model
    apply = partial(jax.eval_shape, module.apply)
    frames, (c, h) = apply(params, *(jnp.zeros((1, 2, 40, 16, n)) for n in (7, 3, 1)), jnp.zeros((1, 2, 9, 41)))
    assert frames.shape == (1, 2, 40, 16, 3) and c.shape == h.shape == (1, 5, 2, 8)
    assert set(params) == {"params"}
    with pytest.raises(ValueError, match="multiples of 8"):
        module.apply(params, *(jnp.zeros((1, 1, 36, 32, n)) for n in (7, 3, 1)), jnp.zeros((1, 1, 9, 41)))


def test_chunks_with_the_carry_make_the_same_frames(model, inputs):
    module, params, apply = model
    whole, end = apply(params, *inputs)
    carry, parts = module.initial_carry(B, SIZE, SIZE), []
    for at in (slice(0, 1), slice(1, 4)):
        frames, carry = apply(params, *cut(inputs, slice(None), at), carry)
        parts.append(frames)
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=2e-5)
    np.testing.assert_allclose(carry[1], end[1], atol=2e-5)


def test_frames_depend_on_no_later_frame_and_on_no_other_example(model, inputs):
    _, params, apply = model
    whole, _ = apply(params, *inputs)
    changed = [array.copy() for array in inputs]
    for array in changed:
        array[:, 2:] = 0
        array[1] = 0
    frames, _ = apply(params, *changed)
    np.testing.assert_allclose(frames[0, :2], whole[0, :2], atol=2e-5)
    assert np.abs(frames[0, 2:] - whole[0, 2:]).max() > 1e-3


def test_the_past_matters_through_the_carry_alone(model, inputs):
    _, params, apply = model
    carry = apply(params, *inputs)[1]
    assert np.abs(apply(params, *inputs, carry)[0] - apply(params, *inputs)[0]).max() > 1e-4


def test_every_input_is_used(model, inputs):
    _, params, apply = model
    gradients = jax.grad(lambda x: (apply(params, *x)[0] ** 2).sum())(list(inputs))
    assert all(np.abs(g).max() > 1e-6 for g in gradients)
    every_tap = np.abs(gradients[3]).max((0, 1, 3))
    assert (every_tap > 0).all()  # all nine frames of the PPG window


def test_conv_lstm_is_the_lstm_of_its_equations():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1, 3, 2, 2, 4)).astype(np.float32)
    zeros = np.zeros((1, 2, 2, 5), np.float32)
    module = ConvLSTM(5)
    params = random_weights(module, x, (zeros, zeros))
    got, (c_end, _) = module.apply(params, x, (zeros, zeros))
    w, u = (np.asarray(params["params"][name]["kernel"]) for name in ("input", "hidden"))
    b = np.asarray(params["params"]["input"]["bias"])
    c, h = zeros, zeros
    for t in range(3):
        i, f, g, o = np.split(x[:, t] @ w + b + h @ u, 4, axis=-1)
        sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(got[:, t], h, atol=1e-5)
    np.testing.assert_allclose(c_end, c, atol=1e-5)


def test_shuffle_turns_four_channels_into_four_pixels():
    x = np.random.default_rng(2).normal(size=(1, 3, 3, 2)).astype(np.float32)
    module = Up(1)
    params = module.init(jax.random.key(0), x)
    kernel = np.zeros((3, 3, 2, 4), np.float32)
    kernel[1, 1, 0] = [1, 2, 3, 4]  # of the pixel itself
    out = module.apply({"params": {"shuffle": {"kernel": kernel, "bias": np.zeros(4, np.float32)}}}, x)
    assert jax.tree.structure(params["params"]["shuffle"]) == jax.tree.structure({"bias": 0, "kernel": 0})
    want = np.kron(x[0, :, :, 0], np.array([[1, 2], [3, 4]], np.float32))
    np.testing.assert_allclose(out[0, :, :, 0], want, rtol=1e-6)


def test_the_composite_keeps_the_template_bit_for_bit():
    rng = np.random.default_rng(3)
    template = rng.uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    generated = rng.uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    hole = np.zeros((2, 8, 8, 1), np.float32)
    hole[:, 2:5], hole[:, 5] = 1, 0.25
    image = np.asarray(jax.jit(composite)(generated, template, hole))
    np.testing.assert_array_equal(image[:, :2], template[:, :2])
    np.testing.assert_array_equal(image[:, 6:], template[:, 6:])
    np.testing.assert_allclose(image[:, 2:5], generated[:, 2:5], atol=1e-6)
    np.testing.assert_allclose(image[:, 5], 0.75 * template[:, 5] + 0.25 * generated[:, 5], atol=1e-6)


def test_a_renderer_that_adds_nothing_shows_the_meshs_own_colours():
    module, size = Renderer((4, 8, 8), 4, textured=True), 48
    rng = np.random.default_rng(0)
    mesh, rest = (rng.uniform(-1, 1, (1, 2, size, size, c)).astype(np.float32) for c in (10, 4))
    mesh[..., :16, :, 6], mesh[..., 16:, :, 6] = -1, 0.5  # no face above
    mesh[..., 16:20, 23, 6] = -1  # a notch
    inputs = mesh, rest[..., :3], rest[..., 3:], rng.dirichlet(np.ones(41), (1, 2, 9)).astype(np.float32)
    params = random_weights(module, *inputs)["params"]
    params = params | {"head": jax.tree.map(jnp.zeros_like, params["head"])}
    frames, _ = jax.jit(module.apply)({"params": params}, *inputs)
    inside = np.s_[:, :, 20 + 7 : -7, 7:-7]
    np.testing.assert_allclose(frames[inside], 0.98 * mesh[inside][..., 7:], atol=1e-5)
    assert not np.any(frames[:, :, :16]) and not np.any(frames[:, :, 16:20, 23])
    shown = np.abs(frames / mesh[..., 7:])[..., :16, :].mean((0, 1, 3, 4))
    assert (np.diff(shown[16:23]) > 0).all()  # faded in from the edge
