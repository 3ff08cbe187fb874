"""The original's layers, with weights as PyTorch names and stores them, against sums written out in numpy."""

import numpy as np
import pytest

from vast_jax.metrics.sync import load_sync
from vast_jax.models.syncnet_original import convert_original, save_original
from vast_jax.types import UserError

LAYERS = {
    "netcnnlip": {
        0: (96, 3, 5, 7, 7), 4: (256, 96, 1, 5, 5), 8: (256, 256, 1, 3, 3), 11: (256, 256, 1, 3, 3),
        14: (256, 256, 1, 3, 3), 18: (512, 256, 1, 6, 6),
    },
    "netcnnaud": {
        0: (64, 1, 3, 3), 4: (192, 64, 3, 3), 8: (384, 192, 3, 3), 11: (256, 384, 3, 3), 14: (256, 256, 3, 3),
        18: (512, 256, 5, 4),
    },
    "netfclip": {0: (512, 512), 3: (1024, 512)},
    "netfcaud": {0: (512, 512), 3: (1024, 512)},
}  # fmt: skip


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    out = {}
    for sequence, layers in LAYERS.items():
        for at, shape in layers.items():
            scale = np.float32(np.sqrt(2 / np.prod(shape[1:])))
            out[f"{sequence}.{at}.weight"] = rng.standard_normal(shape, np.float32) * scale
            out[f"{sequence}.{at}.bias"] = 0.1 * rng.standard_normal(shape[0], np.float32)
            if at != 3:
                for name, low in (("weight", 0.8), ("running_var", 0.5), ("bias", -0.2), ("running_mean", -0.2)):
                    out[f"{sequence}.{at + 1}.{name}"] = rng.uniform(low, low + 0.4, shape[0]).astype(np.float32)
    return out


def convolved(state, name: str, at: int, x: np.ndarray, stride: int, pad: int) -> np.ndarray:
    """Convolution, batch norm and ReLU of [channels, (time,) height, width]; strides and padding in space only."""
    weight = state[f"{name}.{at}.weight"]
    if weight.ndim == 4:
        weight, x = weight[:, :, None], x[:, None]
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    views = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(1, 2, 3))[:, :, ::stride, ::stride]
    y = np.einsum("cthwijk,ocijk->othw", views, weight, optimize=True)
    y = normed(state, name, at, y + state[f"{name}.{at}.bias"][:, None, None, None])
    return y[:, 0]  # one moment


def normed(state, name: str, at: int, y: np.ndarray) -> np.ndarray:
    gain, shift, mean, variance = (
        state[f"{name}.{at + 1}.{leaf}"].reshape(-1, *[1] * (y.ndim - 1))
        for leaf in ("weight", "bias", "running_mean", "running_var")
    )
    return np.maximum((y - mean) / np.sqrt(variance + 1e-5) * gain + shift, 0)


def pooled(x: np.ndarray, stride: tuple[int, int], pad: int = 0) -> np.ndarray:
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
    views = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    return views[:, :: stride[0], :: stride[1]].max((-1, -2))


def dense(state, name: str, x: np.ndarray) -> np.ndarray:
    x = normed(state, name, 0, state[f"{name}.0.weight"] @ x + state[f"{name}.0.bias"])
    return state[f"{name}.3.weight"] @ x + state[f"{name}.3.bias"]


def lip(state, frames: np.ndarray) -> np.ndarray:
    """[5, 224, 224, 3] RGB to [1024]: the original reads BGR."""
    name = "netcnnlip"
    x = np.moveaxis(frames[..., ::-1].astype(np.float32), -1, 0)
    x = pooled(convolved(state, name, 0, x, 2, 0), (2, 2))
    x = pooled(convolved(state, name, 4, x[:, None], 2, 1), (2, 2), 1)
    for at in (8, 11, 14):
        x = convolved(state, name, at, x[:, None], 1, 1)
    return dense(state, "netfclip", convolved(state, name, 18, pooled(x, (2, 2))[:, None], 1, 0).ravel())


def heard(state, cepstra: np.ndarray) -> np.ndarray:
    """[20, 13] MFCC to [1024]."""
    name = "netcnnaud"
    x = convolved(state, name, 4, convolved(state, name, 0, cepstra.T[None], 1, 1), 1, 1)
    x = pooled(x, (1, 2))
    for at in (8, 11, 14):
        x = convolved(state, name, at, x, 1, 1)
    return dense(state, "netfcaud", convolved(state, name, 18, pooled(x, (2, 2)), 1, 0).ravel())


def test_converted_weights_compute_what_the_original_does(state, tmp_path):
    save_original(state, tmp_path)
    model = load_sync(tmp_path)
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (6, 224, 224, 3), np.uint8)
    found = model.pictures(frames)
    assert found.shape == (2, 1024)
    expected = lip(state, frames[1:6])
    np.testing.assert_allclose(found[1], expected, atol=1e-3 * np.abs(expected).max())
    cepstra = rng.normal(size=(24, 13)).astype(np.float32)
    found = np.asarray(model.module.apply({"params": convert_original(state)}, cepstra[None], method="sounds"))[0]
    expected = heard(state, cepstra[4:24])
    np.testing.assert_allclose(found[1], expected, atol=1e-3 * np.abs(expected).max())


def test_other_weights_are_refused(state):
    with pytest.raises(UserError, match=r"netfcaud\.3\.bias"):
        convert_original({name: array for name, array in state.items() if name != "netfcaud.3.bias"})
