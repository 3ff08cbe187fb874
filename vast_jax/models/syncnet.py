"""SyncNet: a mouth and a sound to embeddings that are close where they belong together (Chung and Zisserman, 2016).

Two towers look at 0.2 s each: five frames of video, and the sound of the same time. Two layouts: "small" is this
project's, trained by `parts/syncnet.py`; "original" has the layers of the published syncnet_v2 and takes its weights
(`models/syncnet_original.py`).
"""

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Num

from vast_jax.models.dropout import dropout
from vast_jax.models.syncnet_input import FEATURES_PER_FRAME, WINDOW, windows
from vast_jax.models.syncnet_original import OriginalPicture, OriginalSound
from vast_jax.types import Array


class SyncNet(nn.Module):
    """Both towers, convolutional along time: T frames and their sound give W = T - 4 embeddings each, [B, W, E].

    The i-th sees frames i to i + 4. "small" gives unit vectors; the original's have any length.
    """

    layout: Literal["small", "original"] = "small"
    picture_widths: tuple[int, ...] = (32, 64, 96, 128)  # of the small layout's convolutions, as the next two
    sound_widths: tuple[int, ...] = (32, 64, 96, 128)
    hidden: int = 256
    embedding: int = 128
    dropout: float = 0.1

    def setup(self) -> None:
        if self.layout == "small":
            self.picture = _SmallPicture(self.picture_widths, self.hidden, self.embedding, self.dropout)
            self.sound = _SmallSound(self.sound_widths, self.hidden, self.embedding, self.dropout)
        else:
            self.picture, self.sound = OriginalPicture(), OriginalSound()

    def pictures(self, frames: Array, key: Array | None = None) -> Array:
        """Frames in 0 to 255 to [B, W, E]: grey [B, T, 96, 96], or RGB [B, T, 224, 224, 3] in the original layout.

        `key` is for dropout; without one there is none.
        """
        return self.picture(frames.astype(jnp.float32), key)

    def sounds(self, features_BxFxC: Float[Array, "B F C"], key: Array | None = None) -> Array:
        """Sound to [B, W, E]: [B, 2T, 80] of `syncnet_input.features`, or [B, 4T, 13] of its `mfcc` in the original."""
        return self.sound(features_BxFxC, key)

    def __call__(
        self, frames: Array, features_BxFxC: Float[Array, "B F C"], key: Array | None = None
    ) -> tuple[Array, Array]:
        """Both, for training."""
        keys = (None, None) if key is None else jax.random.split(key)
        return self.pictures(frames, keys[0]), self.sounds(features_BxFxC, keys[1])


def _unit(x: Array) -> Array:
    return x / jnp.sqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-8)


class _SmallPicture(nn.Module):
    """Five grey frames, each levelled in brightness and contrast, as channels of one picture."""

    widths: Sequence[int]
    hidden: int
    embedding: int
    dropout: float

    @nn.compact
    def __call__(self, frames_BxTxHxW: Num[Array, "B T H W"], key: Array | None) -> Array:
        mean, deviation = (f(frames_BxTxHxW, (2, 3), keepdims=True) for f in (jnp.mean, jnp.std))
        x = jnp.moveaxis(windows((frames_BxTxHxW - mean) / (deviation + 4.0), WINDOW, 1), 2, -1)
        batch, count = x.shape[:2]
        x = x.reshape(batch * count, *x.shape[2:])
        for index, width in enumerate(self.widths):
            kernel, stride = (7, 4) if index == 0 else (3, 2)
            x = nn.relu(nn.LayerNorm()(nn.Conv(width, (kernel, kernel), (stride, stride))(x)))
        x = dropout(x.reshape(batch, count, -1), self.dropout, key)
        return _unit(nn.Dense(self.embedding)(nn.relu(nn.Dense(self.hidden)(x))))


class _SmallSound(nn.Module):
    """Convolutions over bands and time, whose last sees the ten features of 0.2 s."""

    widths: Sequence[int]
    hidden: int
    embedding: int
    dropout: float

    @nn.compact
    def __call__(self, features_BxFxC: Float[Array, "B F C"], key: Array | None) -> Array:
        x = features_BxFxC[..., None]
        length, hop = WINDOW * FEATURES_PER_FRAME["small"], FEATURES_PER_FRAME["small"]
        for index, width in enumerate(self.widths):
            kernel = 3 if index < 2 else 1  # along time, where nothing is padded
            x = nn.relu(nn.LayerNorm()(nn.Conv(width, (kernel, 5), (1, 2), ((0, 0), (2, 2)))(x)))
            length -= kernel - 1
        x = dropout(x.reshape(*x.shape[:2], -1), self.dropout, key)
        x = nn.relu(nn.Conv(self.hidden, (length,), (hop,), "VALID")(x))
        return _unit(nn.Dense(self.embedding)(x))
