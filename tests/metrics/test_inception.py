import jax
import numpy as np
import pytest
from random_params import random_weights

from vast_jax.metrics import inception
from vast_jax.metrics.inception import FEATURES, SIZE, InceptionV3, Mixed5, Mixed7, load_inception, shapes
from vast_jax.types import UserError


def convolve(x: np.ndarray, params: dict) -> np.ndarray:
    """[H, W, C] through a convolution of zero padding and a ReLU."""
    kernel, bias = (np.asarray(params["conv"][leaf], np.float64) for leaf in ("kernel", "bias"))
    height, width = kernel.shape[:2]
    padded = np.pad(x, ((height // 2,) * 2, (width // 2,) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (0, 1))
    return np.maximum(np.einsum("yxcij,ijco->yxo", windows, kernel) + bias, 0)


def pool(x: np.ndarray, function) -> np.ndarray:
    """Of what lies inside the picture of 3 x 3 around each pixel."""
    rows, columns = x.shape[:2]
    near = lambda i: slice(max(i - 1, 0), i + 2)  # noqa: E731
    return np.stack([[function(x[near(i), near(j)], axis=(0, 1)) for j in range(columns)] for i in range(rows)])


def chain(x: np.ndarray, params: dict, *names: str) -> np.ndarray:
    for name in names:
        x = convolve(x, params[name])
    return x


@pytest.mark.parametrize("maximum", [False, True])
def test_the_last_blocks_are_their_branches_one_by_one(maximum):
    module = Mixed7(maximum)
    image = np.random.default_rng(0).normal(size=(1, 5, 4, 6)).astype(np.float32)
    params = random_weights(module, image)["params"]
    found = np.asarray(jax.jit(module.apply)({"params": params}, image))[0]
    x = image[0].astype(np.float64)
    middle = chain(x, params, "branch3x3_1")
    wide = chain(x, params, "branch3x3dbl_1", "branch3x3dbl_2")
    expected = [
        chain(x, params, "branch1x1"),
        *(chain(middle, params, f"branch3x3_2{letter}") for letter in "ab"),
        *(chain(wide, params, f"branch3x3dbl_3{letter}") for letter in "ab"),
        chain(pool(x, np.max if maximum else np.mean), params, "branch_pool"),
    ]
    assert found.shape == (5, 4, FEATURES)
    np.testing.assert_allclose(found, np.concatenate(expected, -1), atol=1e-4)


def test_the_first_block_is_its_branches_one_by_one():
    module = Mixed5(32)
    image = np.random.default_rng(0).normal(size=(1, 6, 5, 7)).astype(np.float32)
    params = random_weights(module, image)["params"]
    x = image[0].astype(np.float64)
    expected = [
        chain(x, params, "branch1x1"),
        chain(x, params, "branch5x5_1", "branch5x5_2"),
        chain(x, params, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
        chain(pool(x, np.mean), params, "branch_pool"),
    ]
    found = np.asarray(jax.jit(module.apply)({"params": params}, image))[0]
    assert found.shape[-1] == 256
    np.testing.assert_allclose(found, np.concatenate(expected, -1), atol=1e-4)


def test_sizes_are_those_of_the_published_network():
    params = shapes()
    image = jax.ShapeDtypeStruct((2, SIZE, SIZE, 3), np.float32)
    assert jax.eval_shape(InceptionV3().apply, {"params": params}, image).shape == (2, FEATURES)
    # 94 convolutions, whose kernels and shifts are 21,768,352 numbers: trainable parameters without top in Keras.
    assert len(jax.tree.leaves(params)) == 2 * 94
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 21_768_352


@pytest.fixture
def one_convolution(monkeypatch):
    """As if the network had only one of its convolutions, and a file for it."""
    leaf = {"kernel": np.zeros((1, 7, 3, 5)), "bias": np.zeros(5)}
    monkeypatch.setattr(inception, "shapes", lambda: {"Mixed_6b": {"branch7x7_2": {"conv": leaf}}})
    rng = np.random.default_rng(0)
    arrays = {f"bn.{name}": rng.normal(size=5) for name in ("weight", "bias", "running_mean")}
    arrays |= {"conv.weight": rng.normal(size=(5, 3, 1, 7)), "bn.running_var": rng.uniform(0.01, 2, 5)}
    return {f"Mixed_6b.branch7x7_2.{name}": value.astype(np.float32) for name, value in arrays.items()}


def test_weights_are_read_and_normalisation_folded_in(one_convolution, tmp_path):
    np.savez(tmp_path / "inception.npz", **one_convolution, **{"fc.weight": np.zeros(3)})
    leaf = load_inception(tmp_path / "inception.npz")["Mixed_6b"]["branch7x7_2"]["conv"]
    weight, gamma, beta, mean, variance = (
        one_convolution[f"Mixed_6b.branch7x7_2.{name}"]
        for name in ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    )
    patch = np.random.default_rng(1).normal(size=(1, 7, 3))
    summed = np.einsum("hwi,oihw->o", patch, weight)
    expected = (summed - mean) / np.sqrt(variance + 0.001) * gamma + beta
    found = np.einsum("hwi,hwio->o", patch, np.asarray(leaf["kernel"])) + np.asarray(leaf["bias"])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_wrong_file_is_named(one_convolution, tmp_path):
    path = tmp_path / "weights.npz"
    with pytest.raises(UserError, match=r"weights\.npz is not a readable"):
        load_inception(path)
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"weights\.npz is not a readable"):
        load_inception(path)
    name = "Mixed_6b.branch7x7_2.bn.bias"
    np.savez(path, **one_convolution | {name: np.zeros(4)})
    with pytest.raises(UserError, match=r"bn\.bias \(5,\) has the shape \(4,\)"):
        load_inception(path)
    del one_convolution[name]
    np.savez(path, **one_convolution)
    with pytest.raises(UserError, match=r"bn\.bias \(5,\) is not in it"):
        load_inception(path)
