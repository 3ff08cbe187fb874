"""SyncNet's small layout: shapes, locality in time, and what it must not see."""

import jax
import numpy as np
import pytest
from random_params import random_weights

from vast_jax.audio import SAMPLES_PER_FRAME
from vast_jax.models.syncnet import SyncNet
from vast_jax.models.syncnet_input import WINDOW, features, grey, level, mfcc
from vast_jax.models.syncnet_model import SyncModel
from vast_jax.types import UserError
from vast_jax.weights import exports

MODULE = SyncNet()
TINY = SyncNet(picture_widths=(4, 4, 4, 4), sound_widths=(4, 4, 4), hidden=8, embedding=6, dropout=0.5)


def inputs(frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (1, frames, 96, 96), np.uint8), rng.normal(size=(1, 2 * frames, 80)).astype(np.float32)


run = jax.jit(TINY.apply)


@pytest.fixture(scope="module")
def tiny() -> dict:
    return random_weights(TINY, *inputs(6))


def test_unit_vectors_for_every_window_and_the_size_that_is_shipped():
    shapes = jax.eval_shape(MODULE.init, jax.random.key(0), *inputs(7))
    assert set(shapes) == {"params"}
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == 1_661_696
    outputs = jax.eval_shape(MODULE.apply, shapes, *inputs(7))
    assert [x.shape for x in outputs] == [(1, 7 - WINDOW + 1, 128)] * 2


def test_a_window_sees_its_five_frames_and_their_sound_only(tiny):
    pictures, sounds = (np.asarray(x)[0] for x in run(tiny, *inputs(9)))
    np.testing.assert_allclose(np.linalg.norm(pictures, axis=1), 1, atol=1e-4)
    frames, sound = inputs(9)
    for at in range(9):
        other_frames, other_sound = frames.copy(), sound.copy()
        other_frames[:, at] = inputs(9, 1)[0][:, at]
        other_sound[:, 2 * at : 2 * at + 2] = 1
        seen = [start for start in range(5) if start <= at < start + WINDOW]
        for before, after in zip((pictures, sounds), run(tiny, other_frames, other_sound), strict=True):
            changed = np.flatnonzero(np.abs(np.asarray(after)[0] - before).max(1) > 1e-5)
            assert changed.tolist() == seen


def test_brightness_and_contrast_hardly_matter(tiny):
    rng = np.random.default_rng(0)
    frames, sound = rng.integers(40, 200, (1, 9, 96, 96)).astype(np.uint8), inputs(9)[1]
    one, other = (np.asarray(run(tiny, shown, sound)[0]) for shown in (frames, frames // 2 + 60))
    likeness = (one * other).sum(-1)
    assert likeness.min() > 0.98


def test_dropout_is_the_key(tiny):
    one, same, other = (np.asarray(run(tiny, *inputs(6), jax.random.key(seed))[0]) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


def test_grey_is_luma():
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]], np.uint8)
    expected = colours @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey(colours), expected, atol=1)


def test_sound_features_do_not_know_level_or_microphone():
    rng = np.random.default_rng(0)
    speech = (rng.normal(size=20 * SAMPLES_PER_FRAME) * np.repeat(rng.uniform(0.02, 0.2, 40), 320)).astype(np.float32)
    np.testing.assert_allclose(features(0.1 * speech), features(speech), atol=1e-3)
    fbank = rng.uniform(-3, 3, (50, 80))
    np.testing.assert_allclose(level(fbank + np.linspace(-1, 1, 80)), level(fbank), atol=1e-5)
    assert not features(np.zeros(6400, np.float32)).any()


def test_mfcc_is_the_textbook_sum():
    rng = np.random.default_rng(3)
    speech = (0.1 * rng.normal(size=6 * SAMPLES_PER_FRAME)).astype(np.float32)
    found = mfcc(speech)
    assert found.shape == (24, 13)
    samples = speech.astype(float) * 32768
    emphasised = [samples[0], *(samples[n] - 0.97 * samples[n - 1] for n in range(1, len(samples)))]
    k = np.arange(257)
    points = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 28) / 2595) - 1)
    bins = np.floor(513 * points / 16000).astype(int)
    for frame in (0, 11):
        n = np.arange(400)
        cut = np.array(emphasised[160 * frame : 160 * frame + 400])
        power = np.abs(np.exp(-2j * np.pi * np.outer(k, n) / 512) @ cut) ** 2 / 512
        logs = []
        for band in range(26):
            low, middle, high = bins[band : band + 3]
            total = sum(power[b] * (b - low) / (middle - low) for b in range(low, middle))
            total += sum(power[b] * (high - b) / (high - middle) for b in range(middle, high))
            logs.append(np.log(total))
        for c in range(1, 13):
            plain = sum(logs[b] * np.cos(np.pi * c * (2 * b + 1) / 52) for b in range(26)) * np.sqrt(2 / 26)
            assert found[frame, c] == pytest.approx(plain * (1 + 11 * np.sin(np.pi * c / 22)), rel=1e-4, abs=1e-3)
        assert found[frame, 0] == pytest.approx(np.log(power.sum()), rel=1e-5)


def test_pieces_of_a_long_clip_are_those_of_the_whole(tiny):
    model = SyncModel(TINY, tiny["params"])
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (75, 96, 96, 3), np.uint8)  # more than one piece
    speech = rng.normal(size=75 * SAMPLES_PER_FRAME).astype(np.float32) * 0.1
    whole = run(tiny, grey(crops)[None], features(speech)[None])
    np.testing.assert_allclose(model.pictures(crops), whole[0][0], atol=1e-4)
    np.testing.assert_allclose(model.sounds(speech), whole[1][0], atol=1e-4)
    with pytest.raises(ValueError, match=r"uint8 \[T, 96, 96, 3\]"):
        model.pictures(crops[:, ::2])


def test_weights_travel_with_their_card(tiny, tmp_path):
    config = {"picture_widths": [4] * 4, "sound_widths": [4] * 3, "hidden": 8, "embedding": 6}
    weights = {"syncnet": tiny["params"], "constants": {"unrelated": np.float32(1.25)}}
    exports.export(tmp_path / "a", "syncnet", weights, {"part": "syncnet", "config": config}, np.float32)
    model = SyncModel.load(tmp_path / "a")
    assert model.unrelated == 1.25
    crops = np.random.default_rng(0).integers(0, 256, (6, 96, 96, 3), np.uint8)
    np.testing.assert_allclose(model.pictures(crops), SyncModel(TINY, tiny["params"]).pictures(crops), atol=1e-6)
    exports.export(tmp_path / "b", "style", weights, {"part": "style"})
    with pytest.raises(UserError, match="'style'"):
        SyncModel.load(tmp_path / "b")
