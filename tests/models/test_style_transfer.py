import jax
import numpy as np
import pytest
from weights import random_weights

from vast_jax import checkpoint
from vast_jax.models.style_transfer import StyleModel, StyleTransfer, load_style_model, normalise
from vast_jax.types import UserError

P, D = 41, 7
SMALL = dict(strong=(5, 0, 2), weak=(1, 6, 3, 4), style_width=6, encoder_channels=(8, 8, 8, 8), encoder_state=8)
SMALL |= dict(strong_width=16, strong_layers=1, strong_heads=2, window=8, weak_width=8)


def _clip(frames, seed=0):
    rng = np.random.default_rng(seed)
    expression = rng.uniform(0, 1, (frames, D)).astype(np.float32)
    return expression, rng.dirichlet(np.ones(P), frames).astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    module = StyleTransfer(**SMALL)
    x, ppg = (array[None] for array in _clip(20))
    mask, known, key = np.ones((1, 20), bool), np.ones(1, bool), jax.random.key(0)
    init = jax.jit(lambda key: module.init({"params": key}, x, ppg, mask, x, ppg, mask, known, key))
    constants = {"mean": np.full(D, 0.4, np.float32), "std": np.full(D, 0.2, np.float32)}
    constants |= {"low": np.zeros(D, np.float32), "high": np.ones(D, np.float32)}
    return module, init(key)["params"], constants


@pytest.fixture(scope="module")
def model(trained):
    return StyleModel(*trained)


def test_every_parameter_must_have_one_decoder():
    module = StyleTransfer(**(SMALL | {"weak": (1, 6, 3)}))
    with pytest.raises(ValueError, match="exactly once"):
        module.init(jax.random.key(0), np.zeros((1, P)), np.zeros((1, 6)), jax.random.key(1), method="start")


def test_outputs_are_in_the_face_models_order(trained):
    module, params, constants = trained
    ppg, style = _clip(9)[1], np.ones(6, np.float32)
    before = StyleModel(module, params, constants | {"std": np.full(D, 1e-3, np.float32)}).decode(ppg, style)
    changed = jax.tree.map(lambda leaf: leaf, params)
    changed["strong_decoder"]["expression"]["bias"] += np.array([1.0, 2.0, 3.0])  # of parameters 5, 0 and 2
    after = StyleModel(module, changed, constants | {"std": np.full(D, 1e-3, np.float32)}).decode(ppg, style)
    np.testing.assert_allclose(1e3 * (after - before), np.broadcast_to([2, 0, 3, 0, 0, 1, 0], before.shape), atol=1e-3)


def test_normalised_expression_is_bounded():
    x = normalise(np.array([0.4, 100.0, -100.0]), np.float32(0.4), np.float32(0.2))
    np.testing.assert_allclose(x, [0, 5, -5], atol=1e-6)


def test_style_and_speech_both_reach_the_expression(model):
    expression, ppg = _clip(60)
    style = model.encode(expression, ppg)
    assert style.shape == (6,)
    out = model.decode(ppg, style)
    assert out.shape == (60, D) and out.dtype == np.float32
    assert out.min() >= 0 and out.max() <= 1
    assert np.abs(out - model.decode(ppg, style + 1)).mean(0).min() > 1e-4
    assert np.abs(out - model.decode(_clip(60, 1)[1], style)).max() > 1e-4
    np.testing.assert_array_equal(out, model.decode(ppg, style))


@pytest.mark.parametrize("fields", [{}, dict(weak_mixtures=3, modulated=True)], ids=["computed", "drawn"])
def test_pieces_are_the_whole(trained, fields):
    """The state is handed on, the noise belongs to the frame, and the Transformer sees its surroundings."""
    module, params, constants = trained
    if fields:
        module = StyleTransfer(**SMALL, **fields)
        x, ppg = (array[None] for array in _clip(4))
        mask = np.ones((1, 4), bool)
        inputs = (x, ppg, mask, x, ppg, mask, np.ones(1, bool), jax.random.key(0))
        params = random_weights(module, *inputs)["params"]
    expression, ppg = _clip(70)
    whole, pieces = StyleModel(module, params, constants), StyleModel(module, params, constants)
    pieces.SHORT, pieces.LONG = 5, 16
    style = whole.encode(expression, ppg)
    for manner in (style, style + np.linspace(0, 1, 70)[:, None].astype(np.float32)):
        out = whole.decode(ppg, manner, seed=3)
        assert len(out) == 70 and len(whole.decode(ppg[:0], style)) == 0
        np.testing.assert_allclose(pieces.decode(ppg, manner, seed=3), out, atol=1e-5)
    reach = module.reach
    np.testing.assert_allclose(whole.decode(ppg[: 40 + reach], style)[:40], whole.decode(ppg, style)[:40], atol=1e-5)


def test_a_style_may_change_over_time(model):
    expression, ppg = _clip(60)
    one = model.encode(expression, ppg)
    other = one + 2
    changing = model.decode(ppg, np.where(np.arange(60)[:, None] < 30, one, other))
    np.testing.assert_allclose(changing[:20], model.decode(ppg, one)[:20], atol=1e-5)
    strong = [5, 0, 2]
    np.testing.assert_allclose(changing[40:, strong], model.decode(ppg, other)[40:, strong], atol=1e-5)


def test_the_given_first_frame_is_gone_on_from(model):
    expression, ppg = _clip(20)
    style = model.encode(expression, ppg)
    low, high = (model.decode(ppg, style, first=np.full(D, value, np.float32)) for value in (0.1, 0.9))
    assert np.abs(low[0] - high[0]).max() > 1e-3 and np.abs(low - model.decode(ppg, style)).max() > 1e-3


def test_silent_prompt_is_encoded_without_its_speech(model):
    expression, ppg = _clip(40)
    silent = model.encode(expression, np.zeros_like(ppg), has_speech=False)
    np.testing.assert_allclose(silent, model.encode(expression, ppg, has_speech=False), atol=1e-6)
    assert np.abs(silent - model.encode(expression, ppg)).max() > 1e-4


def test_long_prompt_is_the_mean_of_its_windows(model):
    expression, ppg = _clip(200)
    windows = [model.encode(expression[i : i + 96], ppg[i : i + 96]) for i in (0, 48, 96, 104)]
    np.testing.assert_allclose(model.encode(expression, ppg), np.mean(windows, 0), atol=1e-5)


def test_temperature_samples_the_style(model):
    expression, ppg = _clip(40)
    one, again, other = (model.encode(expression, ppg, temperature=1.0, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-2


def test_export_and_load_give_the_same_expression(trained, model, tmp_path):
    _, params, constants = trained
    card = {"part": "style", "config": {**SMALL, "householder_steps": 4}}
    path = checkpoint.export(tmp_path, "style", {"style": params, "constants": constants}, card)
    loaded = load_style_model(path)
    expression, ppg = _clip(40)
    style = loaded.encode(expression, ppg)
    np.testing.assert_allclose(style, model.encode(expression, ppg), atol=2e-2)  # stored as float16
    np.testing.assert_allclose(loaded.decode(ppg, style), model.decode(ppg, style), atol=2e-2)


def test_weights_of_another_part_are_refused(trained, tmp_path):
    checkpoint.export(tmp_path, "other", {"style": trained[1], "constants": trained[2]}, {"part": "acoustic"})
    with pytest.raises(UserError, match="acoustic"):
        load_style_model(tmp_path)
