import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_like

from vast_jax.models.expression_decoder import (
    LOG_SIGMA,
    USUAL_BLINK,
    USUAL_SIGMA,
    Modulation,
    StrongDecoder,
    WeakDecoder,
)

P, S, D = 41, 6, 5


def _speech(time, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(P), (batch, time)).astype(np.float32), rng.normal(size=(batch, S)).astype(np.float32)


@pytest.fixture(scope="module")
def strong():
    module = StrongDecoder(outputs=D, width=16, layers=2, heads=4, window=4, context=1)
    ppg, style = _speech(20)
    variables = jax.jit(module.init)(jax.random.key(0), ppg, style, np.ones((2, 20), bool))
    return jax.jit(lambda ppg, style, mask: module.apply(variables, ppg, style, mask))


@pytest.fixture(scope="module")
def weak():
    module = WeakDecoder(outputs=D, width=12, frame_width=8)
    variables = jax.jit(module.init)(jax.random.key(0), *_speech(20))
    return jax.jit(module.apply, static_argnums=6), variables


def test_strong_decoder_does_not_see_padding(strong):
    ppg, style = _speech(23)
    alone = strong(ppg[:, :17], style, np.ones((2, 17), bool))
    ppg[:, 17:] = np.nan
    padded = strong(ppg, style, np.arange(23)[None].repeat(2, 0) < 17)
    np.testing.assert_allclose(padded[:, :17], alone, atol=1e-5)


def test_strong_decoder_in_chunks_with_overlap_is_the_whole(strong):
    ppg, style = _speech(60)
    whole = strong(ppg, style, np.ones((2, 60), bool))
    reach = 2 * 4 + 1  # layers * window + context
    for start, stop in ((0, 20), (20, 41)):
        low, high = max(start - reach, 0), min(stop + reach, 60)
        part = strong(ppg[:, low:high], style, np.ones((2, high - low), bool))
        np.testing.assert_allclose(part[:, start - low : stop - low], whole[:, start:stop], atol=1e-5)


def test_strong_decoder_hears_past_and_future_and_the_style(strong):
    ppg, style = _speech(20)
    mask = np.ones((2, 20), bool)
    gradient = jax.grad(lambda a: jnp.sum(strong(a, style, mask)[:, 10] ** 2))(ppg)
    heard = np.abs(gradient).sum((0, 2)) > 0
    assert heard[5] and heard[15]
    assert not heard[0]
    assert np.abs(strong(ppg, style, mask) - strong(ppg, style + 1, mask)).max() > 1e-2


def test_weak_frame_depends_on_speech_before_it_only(weak):
    apply, variables = weak
    ppg, style = _speech(20)
    gradient = jax.grad(lambda a: jnp.sum(apply(variables, a, style)[:, 10] ** 2))(ppg)
    heard = np.abs(gradient).sum((0, 2)) > 0
    assert heard[:10].all()
    assert not heard[10:].any()  # a_t included


def test_weak_frame_depends_on_true_frames_before_it_only(weak):
    apply, variables = weak
    ppg, style = _speech(20)
    teacher = np.random.default_rng(0).normal(size=(2, 20, D)).astype(np.float32)
    call = lambda x, forcing: apply(variables, ppg, style, None, x, forcing)  # noqa: E731
    gradient = jax.grad(lambda x: jnp.sum(call(x, 1.0)[:, 10] ** 2))(teacher)
    seen = np.abs(gradient).sum((0, 2)) > 0
    assert seen[:10].all() and not seen[10:].any()
    assert not np.abs(jax.grad(lambda x: jnp.sum(call(x, 0.0) ** 2))(teacher)).any()


def test_teacher_forcing_with_its_own_output_is_free_running(weak):
    apply, variables = weak
    ppg, style = _speech(20)
    free = apply(variables, ppg, style)
    np.testing.assert_allclose(apply(variables, ppg, style, None, free, 1.0), free, atol=1e-5)


def test_free_running_does_not_depend_on_what_follows_and_starts_from_the_given_frame(weak):
    apply, variables = weak
    ppg, style = _speech(20)
    free = apply(variables, ppg, style)
    np.testing.assert_allclose(apply(variables, ppg[:, :7], style), free[:, :7], atol=1e-6)
    first = np.full((2, D), 2.0, np.float32)
    assert np.abs(apply(variables, ppg, style, first)[:, 0] - free[:, 0]).max() > 1e-3


def test_no_gradient_flows_through_fed_back_frames(weak):
    apply, variables = weak
    ppg, style = _speech(3)

    def last(params, feedback):
        return jnp.sum(apply({"params": params}, ppg, style, None, feedback, 1.0)[:, -1])

    free = apply(variables, ppg, style)
    forced = jax.grad(last)(variables["params"], free)
    running = jax.grad(lambda p: jnp.sum(apply({"params": p}, ppg, style)[:, -1]))(variables["params"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), forced, running)


def test_training_noise_is_seeded_and_absent_outside_training(weak):
    apply, variables = weak
    ppg, style = _speech(20)
    teacher = np.ones((2, 20, D), np.float32)
    train = lambda key: apply(variables, ppg, style, None, teacher, 0.5, True, rngs={"dropout": key})  # noqa: E731
    np.testing.assert_array_equal(train(jax.random.key(0)), train(jax.random.key(0)))
    assert np.abs(train(jax.random.key(0)) - train(jax.random.key(1))).max() > 1e-3
    noisy = apply(variables, ppg, style, noise_key=jax.random.key(0))
    assert 0 < np.abs(noisy - apply(variables, ppg, style)).max() < 0.5


def test_style_sets_rest_and_amplitude():
    style = np.random.default_rng(0).normal(size=(2, S)).astype(np.float32)
    module = Modulation(D)
    params = random_like(jax.eval_shape(module.init, jax.random.key(0), style))["params"]
    rest, amplitude = module.apply({"params": params}, style)
    assert rest.shape == amplitude.shape == (2, D) and (amplitude > 0).all()
    ppg, _ = _speech(8)
    decoder = WeakDecoder(outputs=D, width=12, frame_width=8, modulated=True)
    variables = random_like(jax.eval_shape(decoder.init, jax.random.key(0), ppg, style), seed=1)
    still = jax.tree.map(np.zeros_like, variables)
    still["params"]["modulation"] = params
    x = decoder.apply(still, ppg, style)  # nothing moves: what is left is the rest
    np.testing.assert_allclose(x, np.broadcast_to(rest[:, None], x.shape), atol=1e-6)
    assert np.ptp(decoder.apply(variables, ppg, style), axis=1).max() > 0.01


def test_a_lively_decoder_leaves_its_course_alone():
    """Untrained, what is left to chance is the usual; the course is that of a decoder which leaves nothing."""
    ppg, style = _speech(12)
    lively = WeakDecoder(outputs=D, width=12, frame_width=8, lively=True)
    variables = lively.init(jax.random.key(0), ppg, style)
    x, chances, _ = lively.apply(variables, ppg, style, method="run")
    assert chances.log_sigma.shape == (2, 12, D) and chances.blink.shape == (2, 12, 1)
    assert (chances.log_sigma == USUAL_SIGMA).all() and (chances.blink == USUAL_BLINK).all()
    names = ("wandering", "blink")
    plain = {"params": {name: leaf for name, leaf in variables["params"].items() if name not in names}}
    computed, nothing, _ = lively.clone(lively=False).apply(plain, ppg, style, method="run")
    assert nothing is None
    np.testing.assert_array_equal(x, computed)
    loud = jax.tree.map(lambda leaf: leaf, variables)
    loud["params"]["wandering"]["bias"] += 100.0
    assert lively.apply(loud, ppg, style, method="run")[1].log_sigma.max() == np.float32(LOG_SIGMA[1])
