"""Self-attention over a bounded surrounding of each frame, in blocks: time and memory grow linearly with the length."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from vast_jax.types import Array

BLOCK = 64  # frames whose attention is computed together, unless told otherwise
UNSEEN = -1e9  # added to the logit of a key out of reach


def alibi(heads: int, back: int, ahead: int) -> np.ndarray:
    """Bias [heads, back + 1 + ahead] of keys by their offset from -back to ahead frames.

    ALiBi (Press et al., 2022), bidirectional: half of the heads look back and half ahead, which tells past from
    future without any absolute position, so any length works.
    """
    offset = np.arange(-back, ahead + 1)
    side = heads // 2
    slopes = 2.0 ** (-8.0 * np.arange(1, side + 1) / side)
    bias = -slopes[:, None] * np.abs(offset)
    return np.concatenate([np.where(offset <= 0, bias, UNSEEN), np.where(offset >= 0, bias, UNSEEN)]).astype(np.float32)


class LocalAttention(nn.Module):
    """Multi-head self-attention over `back` frames before and `ahead` after each frame, with a bias by offset; or over
    all frames, without."""

    heads: int
    back: int | None  # None: all see all
    ahead: int
    bias: Literal["alibi", "learned"]
    block: int | None = None  # frames whose attention is computed together; None: BLOCK

    @nn.compact
    def __call__(self, x_BxTxC: Float[Array, "B T C"], mask_BxT: Bool[Array, "B T"]) -> Array:
        """Frames [B, T, C], of which those that are not masked are seen: [B, T, C]."""
        batch, frames, width = x_BxTxC.shape
        qkv = nn.Dense(3 * width, name="qkv")(x_BxTxC).reshape(batch, frames, 3, self.heads, width // self.heads)
        q, k, v = jnp.moveaxis(qkv, 2, 0)
        q = q * (width // self.heads) ** -0.5
        y_BxTxC = _attend(q, k, v, mask_BxT, 0.0) if self.back is None else self._nearby(q, k, v, mask_BxT)
        return nn.Dense(width, name="out")(y_BxTxC.reshape(batch, frames, width))

    def _nearby(self, q: Array, k: Array, v: Array, mask_BxT: Bool[Array, "B T"]) -> Array:
        """Attention of [B, T, H, D] within reach: blocks of frames, each with what lies around it."""
        batch, frames, heads, depth = q.shape
        if self.bias == "learned":
            bias_HxO = self.param("bias", nn.initializers.zeros, (self.heads, self.back + self.ahead + 1))
        else:
            bias_HxO = alibi(self.heads, self.back, self.ahead)
        block = min(self.block or BLOCK, frames)
        starts = range(0, frames, block)
        view, spare = block + self.back + self.ahead, len(starts) * block - frames

        def around(x: Array) -> Array:
            padded = jnp.pad(x, ((0, 0), (self.back, self.ahead + spare), *((0, 0) for _ in x.shape[2:])))
            return jnp.concatenate([padded[:, start : start + view] for start in starts])

        q = jnp.pad(q, ((0, 0), (0, spare), (0, 0), (0, 0)))
        q = jnp.concatenate([q[:, start : start + block] for start in starts])
        offset = np.arange(view)[None] - np.arange(block)[:, None]
        seen = (offset >= 0) & (offset <= self.back + self.ahead)
        bias = jnp.where(seen, bias_HxO[:, np.clip(offset, 0, self.back + self.ahead)], UNSEEN)
        y = _attend(q, around(k), around(v), around(mask_BxT), bias).reshape(len(starts), batch, block, heads, depth)
        return jnp.moveaxis(y, 0, 1).reshape(batch, len(starts) * block, heads, depth)[:, :frames]


def _attend(q: Array, k: Array, v: Array, mask_BxS: Bool[Array, "B S"], bias) -> Array:
    """Softmax attention of queries [B, T, H, D] to keys and values [B, S, H, D] that are not masked: [B, T, H, D]."""
    logits = jnp.einsum("bqhd,bkhd->bhqk", q, k) + bias
    weights = jax.nn.softmax(jnp.where(mask_BxS[:, None, None], logits, UNSEEN)).astype(v.dtype)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, v)
