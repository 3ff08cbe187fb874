"""The layers of the published SyncNet, syncnet_v2, and its weights.

The weights are not shipped (their licence is for you to check). With PyTorch at hand they are converted once:

    state = torch.load("syncnet_v2.model", weights_only=True, map_location="cpu")
    save_original({name: array.numpy() for name, array in state.items()}, "syncnet_v2")
    model = vast_jax.metrics.sync.load_sync("syncnet_v2")  # sees faces of 224 pixels, as the original crops them

The arrays of the safetensors file are syncnet/<tower>/<layer>/{kernel, scale, bias}, tower "picture" or "sound", layer
"conv1" to "conv6", "dense1" and "dense2". A kernel is [(time,) height, width, in, out] or [in, out]; of the sound,
height is the cepstrum and width time. Batch norm is folded: output = scale * (kernel applied) + bias. Input channels of
picture/conv1 are RGB; the original's are BGR.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Num

from vast_jax.models.syncnet_input import FEATURES_PER_FRAME, WINDOW, windows
from vast_jax.types import Array, UserError
from vast_jax.weights import exports

_CONVOLUTIONS = (0, 4, 8, 11, 14, 18)  # positions in the original's sequences; the batch norm is the next
_TOWERS = {"picture": ("netcnnlip", "netfclip"), "sound": ("netcnnaud", "netfcaud")}
_EPSILON = 1e-5  # of the batch norms


def convert_original(state: Mapping[str, np.ndarray]) -> dict:
    """Params of `SyncNet("original")` from the original's state dict as numpy arrays.

    Raises:
      UserError: an array is missing.
    """

    def layer(name: str, norm: str | None) -> dict[str, np.ndarray]:
        kernel = np.moveaxis(state[f"{name}.weight"], (0, 1), (-1, -2))
        scale, bias = np.ones(kernel.shape[-1], np.float32), state[f"{name}.bias"]
        if norm:
            scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + _EPSILON)
            bias = state[f"{norm}.bias"] + (bias - state[f"{norm}.running_mean"]) * scale
        return {"kernel": kernel, "scale": scale, "bias": bias}

    params = {}
    try:
        for tower, (convolutions, dense) in _TOWERS.items():
            params[tower] = {
                f"conv{number}": layer(f"{convolutions}.{at}", f"{convolutions}.{at + 1}")
                for number, at in enumerate(_CONVOLUTIONS, 1)
            }
            params[tower] |= {"dense1": layer(f"{dense}.0", f"{dense}.1"), "dense2": layer(f"{dense}.3", None)}
    except KeyError as error:
        raise UserError(f"these are not the weights of syncnet_v2: {error} is missing") from None
    first = params["picture"]["conv1"]
    first["kernel"] = first["kernel"][..., ::-1, :]
    return params


def save_original(state: Mapping[str, np.ndarray], directory: str | os.PathLike) -> Path:
    """Writes the converted weights, float32, to a folder that `load_sync` takes. UserError: see `convert_original`."""
    card = {
        "part": "syncnet",
        "config": {"layout": "original"},
        "data": "see the authors",
        "licence": "see the authors",
    }
    return exports.export(directory, "syncnet", {"syncnet": convert_original(state)}, card, np.float32)


class _Scaled(nn.Module):
    """A convolution or (kernel ()) a dense layer whose batch norm is a scale and a bias a channel."""

    width: int
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] | None = None
    padding: str | tuple[tuple[int, int], ...] = "VALID"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        spatial = len(self.kernel)
        kernel = self.param("kernel", nn.initializers.he_normal(), (*self.kernel, x.shape[-1], self.width))
        scale = self.param("scale", nn.initializers.ones, (self.width,))
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        if not spatial:
            return x @ kernel * scale + bias
        axes = "DHW"[-spatial:]
        layout = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
        strides = self.strides or (1,) * spatial
        return jax.lax.conv_general_dilated(x, kernel, strides, self.padding, dimension_numbers=layout) * scale + bias


class OriginalPicture(nn.Module):
    """netcnnlip and netfclip of syncnet_v2."""

    @nn.compact
    def __call__(self, frames_BxTxHxWx3: Num[Array, "B T H W 3"], key: Array | None = None) -> Array:
        def conv(name, width, kernel, stride=1, pad=0):
            padding = ((0, 0), (pad, pad), (pad, pad))
            return _Scaled(width, kernel, (1, stride, stride), padding, name=name)

        def pool(x, pad=0):
            return nn.max_pool(x, (1, 3, 3), (1, 2, 2), ((0, 0), (pad, pad), (pad, pad)))

        x = pool(nn.relu(conv("conv1", 96, (5, 7, 7), 2)(frames_BxTxHxWx3)))
        x = pool(nn.relu(conv("conv2", 256, (1, 5, 5), 2, 1)(x)), 1)
        for name in ("conv3", "conv4", "conv5"):
            x = nn.relu(conv(name, 256, (1, 3, 3), pad=1)(x))
        x = nn.relu(conv("conv6", 512, (1, 6, 6))(pool(x)))[:, :, 0, 0]
        return _Scaled(1024, name="dense2")(nn.relu(_Scaled(512, name="dense1")(x)))


class OriginalSound(nn.Module):
    """netcnnaud and netfcaud of syncnet_v2, on windows of 20 MFCC."""

    @nn.compact
    def __call__(self, features_BxFxC: Float[Array, "B F C"], key: Array | None = None) -> Array:
        hop = FEATURES_PER_FRAME["original"]
        x = jnp.swapaxes(windows(features_BxFxC, WINDOW * hop, hop), 2, 3)[..., None]
        batch, count = x.shape[:2]
        x = x.reshape(batch * count, *x.shape[2:])

        def conv(name, width, x):
            return nn.relu(_Scaled(width, (3, 3), None, ((1, 1), (1, 1)), name=name)(x))

        x = nn.max_pool(conv("conv2", 192, conv("conv1", 64, x)), (3, 3), (1, 2))
        x = conv("conv5", 256, conv("conv4", 256, conv("conv3", 384, x)))
        x = nn.max_pool(x, (3, 3), (2, 2))
        x = nn.relu(_Scaled(512, (5, 4), name="conv6")(x)).reshape(batch, count, -1)
        return _Scaled(1024, name="dense2")(nn.relu(_Scaled(512, name="dense1")(x)))
