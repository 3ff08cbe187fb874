import jax
import numpy as np
import pytest
from random_params import random_weights

from vast_jax.models.closing import BILABIAL, Closing
from vast_jax.models.liveliness import Liveliness, blink_rate
from vast_jax.models.style_model import StyleModel, load_style_model
from vast_jax.models.style_transfer import StyleTransfer, normalise
from vast_jax.types import UserError
from vast_jax.weights import exports

P, D = 41, 7
SMALL = dict(strong=(5, 0, 2), weak=(1, 6, 3, 4), style_width=6, encoder_channels=(8, 8, 8, 8), encoder_state=8)
SMALL |= dict(strong_width=16, strong_layers=1, strong_heads=2, window=8, weak_width=8)


def _clip(frames, seed=0):
    rng = np.random.default_rng(seed)
    expression = rng.uniform(0, 1, (frames, D)).astype(np.float32)
    return expression, rng.dirichlet(np.ones(P), frames).astype(np.float32)


def _random(**fields):
    """A small module with these fields, and random parameters."""
    module = StyleTransfer(**SMALL, **fields)
    x, ppg = (array[None] for array in _clip(4))
    mask = np.ones((1, 4), bool)
    return module, random_weights(module, x, ppg, mask, x, ppg, mask, np.ones(1, bool), jax.random.key(0))["params"]


def lively_constants(weak):
    """Of `weak` wanderings that forget half in a frame, and a blink that takes the first parameter somewhere."""
    at_first = np.eye(weak)[0]
    memory, innovation = np.full((weak, 1), 0.5), np.full(weak, 0.75**0.5)
    return Liveliness(
        np.eye(weak), memory, innovation, np.array([0.5, 1, 0.5]), 2 * at_first, at_first, np.eye(D)[0]
    ).constants()


def closing_constants():
    """Lips that parameter 5 alone opens."""
    return Closing(np.eye(D)[5], np.eye(D)[5], np.float32(0.1)).constants()


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


@pytest.mark.parametrize("fields", [{}, dict(lively=True, modulated=True, manner=True)], ids=["computed", "drawn"])
def test_pieces_are_the_whole(trained, fields):
    """The state is handed on, the noise belongs to the frame, and the Transformer sees its surroundings."""
    module, params, constants = trained
    if fields:
        module, params = _random(**fields)
        constants = constants | lively_constants(len(SMALL["weak"])) | closing_constants()
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


def test_what_is_left_to_chance_is_seeded_and_moves_weak_parameters_alone(trained):
    _, _, constants = trained
    module, params = _random(lively=True, modulated=True)
    model = StyleModel(module, params, constants | lively_constants(len(SMALL["weak"])))
    ppg, style = _clip(60)[1], np.ones(6, np.float32)
    one, again, other = (model.decode(ppg, style, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(one[:, SMALL["strong"]], other[:, SMALL["strong"]])
    assert np.abs(one - other)[:, SMALL["weak"]].max(0).min() > 0.01


def test_a_manner_is_a_prompts_rest_and_spread_and_is_followed(trained):
    """Behind z: mean and log deviation of normalised expression; each parameter follows its own, and no other's."""
    _, _, constants = trained
    module, params = _random(manner=True, modulated=True)
    model = StyleModel(module, params, constants)
    expression, ppg = _clip(60)
    style = model.encode(expression, ppg)
    assert style.shape == (6 + 2 * D,) == (module.width_of_style,)
    normal = (expression - 0.4) / 0.2
    np.testing.assert_allclose(style[6 : 6 + D], normal.mean(0), atol=1e-4)
    np.testing.assert_allclose(style[6 + D :], np.log((normal.std(0) + 0.1) / 0.6), atol=1e-3)
    plain = model.decode(ppg, style)
    for parameter in range(D):
        raised = style.copy()
        raised[6 + parameter] += 0.5
        change = np.abs(model.decode(ppg, raised) - plain).mean(0)
        others = [d for d in SMALL["strong"] if d != parameter]  # weak ones hear each other by the LSTM's history
        assert change[parameter] > 1e-3 and change[others].max() < 1e-6


def test_who_blinks_often_is_let_blink_often(trained):
    _, _, constants = trained
    module, params = _random(manner=True, modulated=True, lively=True)
    params["weak_decoder"]["blink_share"] = np.ones(1, np.float32)
    model = StyleModel(module, params, constants | lively_constants(len(SMALL["weak"])))
    expression, ppg = _clip(100)
    expression[:, 0] = 0
    calm = model.encode(expression, ppg)
    expression[20:23, 0] = expression[60:63, 0] = 1
    assert calm[-1] == pytest.approx(blink_rate(0, 100)) and len(calm) == module.width_of_style
    often = model.encode(expression, ppg)
    assert often[-1] == pytest.approx(blink_rate(2, 100))
    seldom, often = np.r_[often[:-1], -1.0], np.r_[often[:-1], 1.0]
    lid = SMALL["weak"][0]
    ppg = np.tile(ppg, (5, 1))
    shut = [np.mean(model.decode(ppg, style, gains=(1.0, 0.0))[:, lid] > 0.7) for style in (seldom, often)]
    assert shut[1] > 1.2 * shut[0] > 0


def test_spread_of_a_manner_makes_wide_movements(trained):
    _, _, constants = trained
    module, params = _random(manner=True, modulated=True, lively=True)
    wide = {"low": np.full(D, -99.0), "high": np.full(D, 99.0)}
    model = StyleModel(module, params, constants | lively_constants(len(SMALL["weak"])) | wide)
    expression, ppg = _clip(100)
    style = model.encode(expression, ppg)
    raised = style.copy()
    raised[6 + D : 6 + 2 * D] += 1
    ratio = model.decode(ppg, raised).std(0) / model.decode(ppg, style).std(0)
    shares = [params[f"{name}_decoder"]["modulation"]["amplitude_share"] for name in ("strong", "weak")]
    np.testing.assert_allclose(ratio[SMALL["strong"],], np.exp(shares[0]), rtol=0.05)
    assert (np.sign(ratio[SMALL["weak"],] - 1) == 1).any()


def test_gains_leave_blinks_shut_and_lips_closed(trained):
    """Gains of 0 stop all else: what is left is the mean face, its blinks and its closed lips."""
    _, _, constants = trained
    module, params = _random(modulated=True, lively=True)
    model = StyleModel(module, params, constants | lively_constants(len(SMALL["weak"])) | closing_constants())
    ppg = np.tile(_clip(60)[1], (4, 1))
    ppg[50], ppg[:50, BILABIAL], ppg[51:, BILABIAL] = np.eye(P)[BILABIAL[0]], 0, 0
    still = model.decode(ppg, np.ones(6), gains=(0.0, 0.0))
    lid = SMALL["weak"][0]
    others = [d for d in range(D) if d not in (lid, 5)]
    np.testing.assert_allclose(still[:, others], 0.4, atol=1e-6)
    assert still[50, 5] == pytest.approx(0.1, abs=1e-5) and still[0, 5] == pytest.approx(0.4)
    assert still[:, lid].max() == pytest.approx(0.4 + 2 * 0.2, abs=1e-5)  # the blink's own depth
    doubled = model.decode(ppg, np.ones(6), gains=(2.0, 1.0))
    moved = model.decode(ppg, np.ones(6))
    inside = (np.abs(doubled - 0.4) < 0.39)[:, 0]
    np.testing.assert_allclose(doubled[inside, 0] - 0.4, 2 * (moved[inside, 0] - 0.4), atol=1e-5)


def test_drawn_styles_are_seeded_and_as_far_out_as_their_temperature(model, trained):
    np.testing.assert_array_equal(model.draw(3), model.draw(3))
    assert np.abs(model.draw(3) - model.draw(4)).max() > 0.1 and not model.draw(5, 0.0).any()
    np.testing.assert_allclose(model.draw(3, 0.5), 0.5 * model.draw(3), rtol=1e-6)
    centre, axes = np.arange(6.0), np.eye(2, 6)
    drawn = StyleModel(*trained[:2], trained[2] | {"drawn_mean": centre, "drawn_axes": axes}).draw(3) - centre
    assert np.abs(drawn[:2]).min() > 0.01 and not drawn[2:].any()


def test_a_style_may_change_over_time(model):
    expression, ppg = _clip(60)
    one = model.encode(expression, ppg)
    other = one + 2
    changing = model.decode(ppg, np.where(np.arange(60)[:, None] < 30, one, other))
    np.testing.assert_allclose(changing[:20], model.decode(ppg, one)[:20], atol=1e-5)
    strong = [5, 0, 2]
    np.testing.assert_allclose(changing[40:, strong], model.decode(ppg, other)[40:, strong], atol=1e-5)


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
    path = exports.export(tmp_path, "style", {"style": params, "constants": constants}, card)
    loaded = load_style_model(path)
    expression, ppg = _clip(40)
    style = loaded.encode(expression, ppg)
    np.testing.assert_allclose(style, model.encode(expression, ppg), atol=2e-2)  # stored as float16
    np.testing.assert_allclose(loaded.decode(ppg, style), model.decode(ppg, style), atol=2e-2)


def test_weights_of_another_part_are_refused(trained, tmp_path):
    exports.export(tmp_path, "other", {"style": trained[1], "constants": trained[2]}, {"part": "acoustic"})
    with pytest.raises(UserError, match="acoustic"):
        load_style_model(tmp_path)


def test_a_folder_that_happens_to_be_called_default_is_not_the_shipped_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default").mkdir()
    assert load_style_model().card["part"] == "style"
    with pytest.raises(UserError, match="default"):
        load_style_model("default")
