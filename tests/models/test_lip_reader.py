import jax
import numpy as np
import pytest
from random_params import random_weights

from vast_jax.data.grid_corpus import GRAMMAR, WORDS
from vast_jax.models.lip_reader import GRU, VIEW_SIZE, LipNet, LipReader, beside, middle, standardise
from vast_jax.types import UserError

GOLDEN_WORDS = (-0.687496, -0.346631, -0.09776, -0.07164)
GOLDEN_PHONES = (-0.94754, -1.044141, -1.345872, -0.604033)
SMALL = LipNet(channels=(4, 4, 6), width=12, dilations=(1,), state=5)


def views(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (1, frames, VIEW_SIZE, VIEW_SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def params():
    return random_weights(SMALL, views(6), np.ones((1, 6), bool))["params"]


@pytest.fixture(scope="module")
def apply(params):
    run = jax.jit(lambda x, mask, key=None: SMALL.apply({"params": params}, x, mask, key))
    return lambda *args: [np.asarray(out) for out in run(*args)]


def test_shapes_and_collections(apply):
    words, phones = apply(views(9), np.ones((1, 9), bool))
    assert words.shape == (1, 9, len(WORDS) + 1) and phones.shape == (1, 9, 41)
    collections = jax.eval_shape(SMALL.init, jax.random.key(0), views(3), np.ones((1, 3), bool))
    assert set(collections) == {"params"}


def test_what_is_masked_does_not_matter(apply):
    """Neither the padding's pictures nor its length, nor the other clips of the batch."""
    x = views(9)
    alone = apply(x, np.ones((1, 9), bool))
    padded = np.concatenate([x, views(7, seed=1)], axis=1)
    both = np.concatenate([padded, views(16, seed=2)])
    mask = np.stack([np.arange(16) < 9, np.ones(16, bool)])
    for one, many in zip(alone, apply(both, mask), strict=True):
        np.testing.assert_allclose(many[:1, :9], one, atol=1e-4)


def test_every_frame_is_heard_from_both_sides(apply):
    """And the mask is no mere cut: a change in the last valid frame is felt in the first."""
    x, mask = views(9), np.arange(9)[None] < 7
    for frame, felt in ((6, True), (7, False)):
        changed = x.copy()
        changed[0, frame, ::2] = 255 - changed[0, frame, ::2]
        assert (np.abs(apply(changed, mask)[0] - apply(x, mask)[0])[0, 0].max() > 1e-6) == felt


def test_light_does_not_matter(apply):
    x, mask = views(9) // 2, np.ones((1, 9), bool)
    bright = x * np.array([2, 1, 2], np.uint8) + np.uint8(1)
    np.testing.assert_allclose(apply(bright, mask)[0], apply(x, mask)[0], atol=2e-2)


def test_standardise():
    x = views(5).astype(np.float32)
    out = np.asarray(standardise(x, np.arange(5)[None] < 3))
    np.testing.assert_allclose(out[:, :3].mean((0, 1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(out[:, :3].std((0, 1, 2, 3)), 1, atol=1e-3)
    assert not out[:, 3:].any()


def test_frames_lie_beside_each_other():
    x = np.arange(1.0, 5.0).reshape(1, 4, 1, 1)
    np.testing.assert_allclose(beside(x, (-1, 0, 2))[0, :, 0], [[0, 1, 3], [1, 2, 4], [2, 3, 0], [3, 4, 0]])


@pytest.mark.parametrize("reverse", [False, True])
def test_gru_is_the_equations(reverse):
    """Cho et al. 2014, with the reset after the product, frame by frame in numpy."""
    module, rng = GRU(3, reverse), np.random.default_rng(0)
    x, mask = rng.normal(size=(1, 6, 4)).astype(np.float32), np.array([[True] * 4 + [False] * 2])
    params = random_weights(module, x, mask)["params"]
    kernel, inward = params["recurrent"], params["Dense_0"]
    h, out = np.zeros(3), np.zeros((6, 3))
    sigmoid = lambda value: 1 / (1 + np.exp(-value))  # noqa: E731
    for t in range(3, -1, -1) if reverse else range(4):
        from_x, from_h = x[0, t] @ inward["kernel"] + inward["bias"], h @ kernel
        reset, update = sigmoid(from_x[:3] + from_h[:3]), sigmoid(from_x[3:6] + from_h[3:6])
        h = (1 - update) * np.tanh(from_x[6:] + reset * (from_h[6:] + params["bias"])) + update * h
        out[t] = h
    np.testing.assert_allclose(module.apply({"params": params}, x, mask)[0], out, atol=1e-5)


def test_randomness_is_the_key(apply):
    x, mask = views(9), np.ones((1, 9), bool)
    one, two = (apply(x, mask, jax.random.key(seed))[0] for seed in (1, 2))
    assert not np.allclose(one, two)
    np.testing.assert_array_equal(one, apply(x, mask, jax.random.key(1))[0])


def test_golden_numbers(apply):
    """Of random weights of one seed: a change of the model that changes what weights mean shows here."""
    words, phones = apply(views(9), np.ones((1, 9), bool))
    np.testing.assert_allclose(words[0, 2, :4], GOLDEN_WORDS, atol=2e-4)
    np.testing.assert_allclose(phones[0, 2, :4], GOLDEN_PHONES, atol=2e-4)


def test_the_middle_of_the_crop():
    mouths = np.zeros((2, 96, 96, 3), np.uint8)
    mouths[:, 8:10, 8:10], mouths[1, 86:88, 86:88] = 100, 50
    out = middle(mouths)
    assert out.shape == (2, VIEW_SIZE, VIEW_SIZE, 3)
    assert (out[:, 0, 0] == 100).all() and (out[:, -1, -1, 0] == [0, 50]).all() and out.astype(int).sum() == 3 * 250


def test_reader(params, apply):
    reader = LipReader(SMALL, params)
    mouths = np.random.default_rng(0).integers(0, 255, (9, 96, 96, 3), np.uint8)
    found = reader.log_probabilities(mouths)
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, atol=1e-5)
    logits = apply(middle(mouths)[None], np.ones((1, 9), bool))[0][0]
    np.testing.assert_allclose(found, jax.nn.log_softmax(logits), atol=1e-4)  # padding to the bucket does not matter
    reading = reader.read(mouths)
    assert all(word in place for word, place in zip(reading.constrained, GRAMMAR, strict=True))
    assert set(reading.greedy) <= set(WORDS)
    assert reader.log_probabilities(mouths[:0]).shape == (0, len(WORDS) + 1)


def test_bad_crops(params):
    reader = LipReader(SMALL, params)
    for bad in (
        np.zeros((9, 48, 48, 3), np.uint8),
        np.zeros((9, 96, 96, 3), np.float32),
        np.zeros((96, 96, 3), np.uint8),
    ):
        with pytest.raises(UserError, match="mouth crops"):
            reader.read(bad)
    with pytest.raises(UserError, match="too short"):
        reader.read(np.zeros((5, 96, 96, 3), np.uint8))
