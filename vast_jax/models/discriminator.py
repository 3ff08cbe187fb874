"""The discriminator D(M, I) (paper 3.4): does a patch of the frame look real, and does it fit the mesh image?"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Float

from vast_jax.types import Array

DETAIL_GAIN = 10.0


def detail(image_NxHxWxC: Float[Array, "N H W C"]) -> Array:
    """What an image has beyond the mean of the 3x3 pixels around, its edges repeated: pores, lashes, stubble."""
    padded = jnp.pad(image_NxHxWxC, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    return image_NxHxWxC - nn.avg_pool(padded, (3, 3))


class Discriminator(nn.Module):
    """PatchGAN (Isola et al., 2017) of 4x4 convolutions; with three of stride 2 and two of stride 1 a logit sees 70x70.

    It is shown the image's detail apart, amplified: what is missing in a blurred frame is a hundredth of its contrast,
    and a discriminator that sees the image alone took it for real (cross-entropy 1.39 after 100 steps, with it 0.5).
    Normalised per frame and judging per frame, so that `params` is the only collection.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256)  # all but the last have stride 2; the paper-sized preset doubles them

    @nn.compact
    def __call__(
        self, mesh_NxHxWxM: Float[Array, "N H W M"], image_NxHxWx3: Float[Array, "N H W 3"]
    ) -> tuple[Array, list[Array]]:
        """Logits [N, H / 8 - 2, W / 8 - 2, 1] that the patches are real, and the features of each layer before.

        Mesh and image are in [-1, 1].
        """
        pad = ((1, 1), (1, 1))
        x = jnp.concatenate([mesh_NxHxWxM, image_NxHxWx3, DETAIL_GAIN * detail(image_NxHxWx3)], axis=-1)
        features = []
        for i, width in enumerate(self.widths):
            stride = 2 if i < len(self.widths) - 1 else 1
            x = nn.Conv(width, (4, 4), (stride, stride), pad, name=f"conv{i + 1}")(x)
            if i > 0:
                x = nn.InstanceNorm(name=f"norm{i + 1}")(x)
            x = nn.leaky_relu(x, 0.2)
            features.append(x)
        return nn.Conv(1, (4, 4), padding=pad, name="logits")(x), features
