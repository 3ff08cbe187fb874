"""Inception-v3 up to its last pooling ("pool3", 2048 features): what the standard FID is computed from.

The weights are not shipped and on no package index. A user who has those of the FID, `pt_inception-2015-12-05` of
pytorch-fid (TensorFlow's of 2015, in PyTorch's form), turns them into an .npz once, where PyTorch is installed:

    import numpy, torch
    weights = torch.load("pt_inception-2015-12-05-6726825d.pth", weights_only=True)
    numpy.savez("inception.npz", **{name: value.numpy() for name, value in weights.items()})

The array names are torchvision's: of every convolution `X` (`Conv2d_1a_3x3`, `Mixed_5b.branch1x1`, ...)
`X.conv.weight` [out, in, height, width] and `X.bn.weight`, `X.bn.bias`, `X.bn.running_mean`, `X.bn.running_var` [out];
others (`fc`, `num_batches_tracked`) are not read. Nothing but these weights gives an FID that compares with others'.
"""

import os

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vast_jax.face.model import UNREADABLE
from vast_jax.metrics.perceptual import in_batches
from vast_jax.types import Array, Params, UserError

SIZE = 299  # pixels that frames are resized to
FEATURES = 2048
_EPSILON = 1e-3  # of the batch normalisations


class Convolution(nn.Module):
    """Convolution and ReLU, the batch normalisation folded into kernel and bias."""

    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return nn.relu(nn.Conv(self.width, self.kernel, self.stride, self.padding, name="conv")(x))


class Mixed5(nn.Module):
    """Mixed_5b to 5d."""

    pool_width: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        narrow = Convolution(64, name="branch1x1")(x)
        middle = Convolution(48, name="branch5x5_1")(x)
        middle = Convolution(64, (5, 5), name="branch5x5_2")(middle)
        wide = Convolution(64, name="branch3x3dbl_1")(x)
        wide = Convolution(96, (3, 3), name="branch3x3dbl_2")(wide)
        wide = Convolution(96, (3, 3), name="branch3x3dbl_3")(wide)
        return jnp.concatenate([narrow, middle, wide, Convolution(self.pool_width, name="branch_pool")(_mean(x))], -1)


class Mixed6a(nn.Module):
    """To half the resolution."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        narrow = Convolution(384, (3, 3), 2, "VALID", name="branch3x3")(x)
        wide = Convolution(64, name="branch3x3dbl_1")(x)
        wide = Convolution(96, (3, 3), name="branch3x3dbl_2")(wide)
        wide = Convolution(96, (3, 3), 2, "VALID", name="branch3x3dbl_3")(wide)
        return jnp.concatenate([narrow, wide, _halved(x)], -1)


class Mixed6(nn.Module):
    """Mixed_6b to 6e: 7 x 7 as 1 x 7 and 7 x 1."""

    width: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        narrow = Convolution(192, name="branch1x1")(x)
        middle = Convolution(self.width, name="branch7x7_1")(x)
        middle = Convolution(self.width, (1, 7), name="branch7x7_2")(middle)
        middle = Convolution(192, (7, 1), name="branch7x7_3")(middle)
        wide = Convolution(self.width, name="branch7x7dbl_1")(x)
        wide = Convolution(self.width, (7, 1), name="branch7x7dbl_2")(wide)
        wide = Convolution(self.width, (1, 7), name="branch7x7dbl_3")(wide)
        wide = Convolution(self.width, (7, 1), name="branch7x7dbl_4")(wide)
        wide = Convolution(192, (1, 7), name="branch7x7dbl_5")(wide)
        return jnp.concatenate([narrow, middle, wide, Convolution(192, name="branch_pool")(_mean(x))], -1)


class Mixed7a(nn.Module):
    """To half the resolution."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        narrow = Convolution(192, name="branch3x3_1")(x)
        narrow = Convolution(320, (3, 3), 2, "VALID", name="branch3x3_2")(narrow)
        wide = Convolution(192, name="branch7x7x3_1")(x)
        wide = Convolution(192, (1, 7), name="branch7x7x3_2")(wide)
        wide = Convolution(192, (7, 1), name="branch7x7x3_3")(wide)
        wide = Convolution(192, (3, 3), 2, "VALID", name="branch7x7x3_4")(wide)
        return jnp.concatenate([narrow, wide, _halved(x)], -1)


class Mixed7(nn.Module):
    """Mixed_7b and 7c. The network of the FID has a maximum instead of a mean in the last one."""

    maximum: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        narrow = Convolution(320, name="branch1x1")(x)
        middle = Convolution(384, name="branch3x3_1")(x)
        middle = [Convolution(384, k, name=f"branch3x3_2{n}")(middle) for n, k in (("a", (1, 3)), ("b", (3, 1)))]
        wide = Convolution(448, name="branch3x3dbl_1")(x)
        wide = Convolution(384, (3, 3), name="branch3x3dbl_2")(wide)
        wide = [Convolution(384, k, name=f"branch3x3dbl_3{n}")(wide) for n, k in (("a", (1, 3)), ("b", (3, 1)))]
        pooled = nn.max_pool(x, (3, 3), padding="SAME") if self.maximum else _mean(x)
        return jnp.concatenate([narrow, *middle, *wide, Convolution(192, name="branch_pool")(pooled)], -1)


def _mean(x: Array) -> Array:
    """Of 3 x 3; what lies beyond the border does not count."""
    return nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


def _halved(x: Array) -> Array:
    return nn.max_pool(x, (3, 3), (2, 2))


class InceptionV3(nn.Module):
    """Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016, as the FID has it."""

    @nn.compact
    def __call__(self, image_NxHxWx3: Array) -> Array:
        """Images in [-1, 1] of 299 x 299 -> the mean over space of the last block's output, [N, 2048]."""
        x = Convolution(32, (3, 3), 2, "VALID", name="Conv2d_1a_3x3")(image_NxHxWx3)
        x = Convolution(32, (3, 3), 1, "VALID", name="Conv2d_2a_3x3")(x)
        x = _halved(Convolution(64, (3, 3), name="Conv2d_2b_3x3")(x))
        x = Convolution(80, name="Conv2d_3b_1x1")(x)
        x = _halved(Convolution(192, (3, 3), 1, "VALID", name="Conv2d_4a_3x3")(x))
        for letter, width in (("b", 32), ("c", 64), ("d", 64)):
            x = Mixed5(width, name=f"Mixed_5{letter}")(x)
        x = Mixed6a(name="Mixed_6a")(x)
        for letter, width in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
            x = Mixed6(width, name=f"Mixed_6{letter}")(x)
        x = Mixed7a(name="Mixed_7a")(x)
        for letter, maximum in (("b", False), ("c", True)):
            x = Mixed7(maximum, name=f"Mixed_7{letter}")(x)
        return x.mean((1, 2))


def shapes() -> Params:
    """Shapes of the params of `InceptionV3`."""
    image = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    return jax.eval_shape(InceptionV3().init, jax.random.key(0), image)["params"]


def load_inception(path: str | os.PathLike) -> Params:
    """Params of `InceptionV3` from an .npz as described above.

    Raises:
      UserError: no such file, not an .npz of arrays, or an array missing or of another shape.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if not name.startswith(("fc.", "AuxLogits."))}
    except UNREADABLE as error:
        raise UserError(f"{path} is not a readable .npz of Inception's weights ({error})") from error

    def fold(place: tuple[str, ...], module: dict) -> dict:
        if "kernel" not in module:
            return {name: fold((*place, name), inner) for name, inner in module.items()}
        prefix = ".".join(place[:-1])
        height, width, inputs, outputs = module["kernel"].shape
        kernel = array(f"{prefix}.conv.weight", (outputs, inputs, height, width))
        scale, shift, mean, variance = (
            array(f"{prefix}.bn.{leaf}", (outputs,)) for leaf in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / np.sqrt(variance + _EPSILON)
        kernel = kernel.transpose(2, 3, 1, 0) * scale
        return {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(shift - mean * scale, jnp.float32)}

    def array(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in arrays or arrays[name].shape != shape:
            found = f"has the shape {arrays[name].shape} there" if name in arrays else "is not in it"
            raise UserError(f"{path} has not Inception's weights: {name} {shape} {found}")
        return arrays[name].astype(np.float64)

    return fold((), shapes())


def inception_features(params: Params, frames: np.ndarray) -> np.ndarray:
    """Frames uint8 [N, H, W, 3] RGB -> [N, 2048] float32; resized to 299 x 299, bilinear without antialiasing.

    `distributions.frechet_distance` of these is the FID as pytorch-fid has it, given its weights.
    """
    return in_batches(lambda x: _features(params, x), frames)


@jax.jit
def _features(params: Params, frames: Array) -> Array:
    images = jax.image.resize(
        frames.astype(jnp.float32), (len(frames), SIZE, SIZE, 3), method="bilinear", antialias=False
    )
    return InceptionV3().apply({"params": params}, images / 127.5 - 1)
