from pathlib import Path

import jax
import numpy as np
import pytest

from vast_jax import audio
from vast_jax.media import read_speech
from vast_jax.models.acoustic_model import AcousticModel, clipped_relu, stack_frames
from vast_jax.models.recogniser import Recogniser, load_acoustic
from vast_jax.parts.acoustic import AcousticPart

DEMO = Path(audio.__file__).parent / "assets" / "demo_speech.flac"
SMALL = dict(context=2, dense=16, width=12, dilations=(1, 2), dropout=0.5)


@pytest.fixture(params=[{}, dict(lstm=True), dict(pairs=True, projected=True)], ids=["convolutions", "lstm", "pairs"])
def model(request):
    module = AcousticModel(**SMALL, **request.param)
    x, mask = np.zeros((1, 8, audio.MELS), np.float32), np.ones((1, 8), bool)
    return module, jax.jit(module.init)(jax.random.key(0), x, mask)["params"]


def features(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, frames, audio.MELS)).astype(np.float32)


def apply(model, x, mask, key=None):
    module, params = model
    return np.asarray(module.apply({"params": params}, x, mask, key))


def test_shape_and_collections(model):
    assert apply(model, features(10), np.ones((1, 10), bool)).shape == (1, 10, len(audio.PHONES))


def test_clipped_relu():
    np.testing.assert_allclose(clipped_relu(np.array([-1.0, 3.0, 25.0])), [0, 3, 20])


def test_stacked_frames_lie_where_they_belong():
    x = np.arange(1.0, 5.0).reshape(1, 4, 1)
    np.testing.assert_allclose(stack_frames(x, (-1, 0, 2))[0], [[0, 1, 3], [1, 2, 4], [2, 3, 0], [3, 4, 0]])
    np.testing.assert_allclose(stack_frames(x, (-1, 0, 2), 2)[0], [[0, 1, 3], [2, 3, 0]])


def test_padding_does_not_matter(model):
    x = features(20)
    alone = apply(model, x, np.ones((1, 20), bool))
    padded = np.concatenate([x, 1e3 * features(12, seed=1)], axis=1)
    np.testing.assert_allclose(apply(model, padded, np.arange(32)[None] < 20)[:, :20], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "lookback", "lookahead"),
    [
        ({}, 5, 5),
        (dict(context=3, context_after=1, ahead=(0, 1)), 7, 2),
        (dict(context=3, context_after=1, ahead=(0, 1), pairs=True), 12, 4),
    ],
)
def test_no_logit_depends_on_frames_beyond_the_view(fields, lookback, lookahead):
    module = AcousticModel(**SMALL | fields)
    assert (module.lookback, module.lookahead) == (lookback, lookahead)
    x, mask = features(30), np.ones((1, 30), bool)
    params = jax.jit(module.init)(jax.random.key(0), x, mask)["params"]

    @jax.jit
    @jax.grad
    def seen(x, frame):
        return (module.apply({"params": params}, x, mask)[0, frame] ** 2).sum()

    views = [np.flatnonzero(np.abs(seen(x, frame)[0]).sum(-1)) - frame for frame in (14, 15)]
    assert (min(view[0] for view in views), max(view[-1] for view in views)) == (-lookback, lookahead)


def test_the_default_streams():
    module = AcousticPart().module()
    # the last frame's window ends 10 ms after the frame does
    assert module.lookahead * 20 + 10 <= 200
    shapes = jax.eval_shape(module.init, jax.random.key(0), features(8), np.ones((1, 8), bool))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) <= 4e6


def test_randomness_is_the_key(model):
    x, mask = features(20), np.ones((1, 20), bool)
    one, two = (apply(model, x, mask, jax.random.key(seed)) for seed in (1, 2))
    assert not np.allclose(one, two)
    np.testing.assert_array_equal(one, apply(model, x, mask, jax.random.key(1)))


def recogniser(short: int, long: int, **fields) -> Recogniser:
    module = AcousticModel(**SMALL | fields)
    x, mask = np.zeros((1, 8, audio.MELS), np.float32), np.ones((1, 8), bool)
    params = jax.jit(module.init)(jax.random.key(0), x, mask)["params"]
    constants = {"mean": np.full(audio.MELS, -5.0, np.float32), "std": np.full(audio.MELS, 3.0, np.float32)}
    out = Recogniser(module, params, constants, hash="")
    out.SHORT, out.LONG = short, long
    return out


@pytest.mark.parametrize("fields", [{}, dict(context_after=0, ahead=(1, 0)), dict(pairs=True, ahead=(1, 0))])
def test_pieces_are_the_whole(fields):
    signal = 0.1 * np.random.default_rng(0).standard_normal(100 * audio.SAMPLES_PER_FRAME).astype(np.float32)
    whole = recogniser(256, 256, **fields).posteriors(signal)
    np.testing.assert_allclose(recogniser(20, 30, **fields).posteriors(signal), whole, atol=1e-5)
    np.testing.assert_allclose(whole.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("frames", [0, 1, 7])
def test_any_length(frames):
    signal = np.zeros(frames * audio.SAMPLES_PER_FRAME + 3, np.float32)
    assert recogniser(16, 24)(signal, frames).shape == (frames, len(audio.PHONES))


def test_shipped_weights_hear_speech_and_silence():
    model = load_acoustic()
    assert len(model.hash) == 64
    speech = read_speech(DEMO)
    ppg = model(speech, audio.video_frames(len(speech), audio.SAMPLE_RATE))
    assert ppg.dtype == np.float32
    np.testing.assert_allclose(ppg.sum(-1), 1, atol=1e-5)
    assert ppg[:4, audio.SILENCE].min() > 0.5  # the recording begins and ends with a fifth of a second of silence
    assert (ppg[:, audio.SILENCE] > 0.5).mean() < 0.4
    assert model(np.zeros(16000, np.float32), 25)[:, audio.SILENCE].min() > 0.9
    assert {audio.PHONES[i] for i in ppg.argmax(-1)} >= {"L", "OW", "S", "SH", "N", "IY"}
