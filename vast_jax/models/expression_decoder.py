"""Hybrid expression decoder (paper, §3.3): a Transformer for the mouth, an autoregressive LSTM for the rest."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vast_jax.types import Array

OUTPUT_LIMIT = 5.0  # standard deviations: a fed-back frame beyond it has never been seen in training


def alibi(heads: int, window: int) -> np.ndarray:
    """Bias [heads, W, 3W] of the attention of a block of W queries to the keys of the block and its two neighbours.

    ALiBi (Press et al., 2022), bidirectional: half of the heads look back and half ahead, which tells past from
    future without any absolute position, so any length works. Keys further than `window` frames are out of reach.
    """
    offset = np.arange(3 * window)[None] - window - np.arange(window)[:, None]
    side = heads // 2
    slopes = 2.0 ** (-8.0 * np.arange(1, side + 1) / side)
    bias = -slopes[:, None, None] * np.abs(offset)
    back, ahead = np.where(offset <= 0, bias, -1e9), np.where(offset >= 0, bias, -1e9)
    return np.where(np.abs(offset) <= window, np.concatenate([back, ahead]), -1e9).astype(np.float32)


class LocalAttention(nn.Module):
    """Multi-head self-attention over ±`window` frames, in blocks: time and memory grow linearly with the length."""

    heads: int
    window: int

    @nn.compact
    def __call__(self, x_BxTxC: Array, mask_BxT: Array) -> Array:
        batch, time, width = x_BxTxC.shape
        window, heads, blocks = self.window, self.heads, -(-time // self.window)
        qkv = nn.Dense(3 * width, name="qkv")(x_BxTxC)
        around = ((0, 0), (window, (blocks + 1) * window - time))  # one block more on either side
        qkv = jnp.pad(qkv, (*around, (0, 0))).reshape(batch, blocks + 2, window, 3, heads, width // heads)
        q, k, v = jnp.transpose(qkv, (3, 0, 1, 4, 2, 5))  # [B, N + 2, heads, W, width of a head] each
        mask = jnp.pad(mask_BxT, around).reshape(batch, blocks + 2, window)
        k, v = (jnp.concatenate([y[:, :-2], y[:, 1:-1], y[:, 2:]], axis=3) for y in (k, v))
        mask = jnp.concatenate([mask[:, :-2], mask[:, 1:-1], mask[:, 2:]], axis=2)
        logits = jnp.einsum("bnhqk,bnhsk->bnhqs", q[:, 1:-1] * (width // heads) ** -0.5, k) + alibi(heads, window)
        weights = jax.nn.softmax(jnp.where(mask[:, :, None, None], logits, -1e9))
        y = jnp.einsum("bnhqs,bnhsk->bnqhk", weights, v).reshape(batch, blocks * window, width)
        return nn.Dense(width, name="out")(y[:, :time])


class StrongDecoder(nn.Module):
    """D^nar: PPG and style to the speech-bound expression of every frame at once, by a pre-norm Transformer encoder.

    A frame depends on its surroundings of `layers * window` + `context` frames alone.
    """

    outputs: int
    width: int = 128
    layers: int = 3
    heads: int = 8
    window: int = 32
    context: int = 2  # frames of PPG on either side that enter with each frame
    dropout: float = 0.1

    @nn.compact
    def __call__(self, ppg_BxTxP: Array, style_BxS: Array, mask_BxT: Array, train: bool = False) -> Array:
        drop = nn.Dropout(self.dropout, deterministic=not train)
        ppg_BxTxP = jnp.where(mask_BxT[..., None], ppg_BxTxP, 0)
        x_BxTxC = nn.Conv(self.width, (2 * self.context + 1,), name="speech")(ppg_BxTxP)
        x_BxTxC = x_BxTxC + nn.Dense(self.width, name="style")(style_BxS)[:, None]
        for _ in range(self.layers):
            x_BxTxC = x_BxTxC + drop(LocalAttention(self.heads, self.window)(nn.LayerNorm()(x_BxTxC), mask_BxT))
            y_BxTxF = nn.relu(nn.Dense(4 * self.width)(nn.LayerNorm()(x_BxTxC)))
            x_BxTxC = x_BxTxC + drop(nn.Dense(self.width)(y_BxTxF))
        return nn.Dense(self.outputs, name="expression")(nn.LayerNorm()(x_BxTxC))


class _WeakStep(nn.Module):
    """One frame of the LSTM: the four gates in a single product, the part that speech and style feed done before."""

    outputs: int
    width: int
    frame_width: int

    @nn.compact
    def __call__(self, carry: tuple[Array, Array, Array], inputs: tuple[Array, ...]) -> tuple[tuple, Array]:
        h, c, predicted = carry
        gates_in, teacher, forced, noise, keep = inputs
        predicted = jax.lax.stop_gradient(jnp.clip(predicted, -OUTPUT_LIMIT, OUTPUT_LIMIT))
        previous = (jnp.where(forced, teacher, predicted) + noise) * keep
        frame = nn.relu(nn.Dense(self.frame_width, name="frame")(previous))
        gates = gates_in + nn.Dense(4 * self.width, use_bias=False, name="recurrent")(jnp.concatenate([h, frame], -1))
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        c = nn.sigmoid(f + 1) * c + nn.sigmoid(i) * nn.tanh(g)
        h = nn.sigmoid(o) * nn.tanh(c)
        predicted = nn.Dense(self.outputs, name="expression")(h)
        return (h, c, predicted), predicted


class WeakDecoder(nn.Module):
    """D^ar: x_t = LSTM(x_<t, DP(a_<t), style), the expression that speech only accompanies (paper, Eq. 3).

    The PPG passes a strong dropout, so that the movement's own past carries it; frame t never sees a_t.
    """

    outputs: int
    width: int = 256
    frame_width: int = 128
    ppg_dropout: float = 0.5
    frame_dropout: float = 0.2
    frame_noise: float = 0.05

    @nn.compact
    def __call__(
        self,
        ppg_BxTxP: Array,
        style_BxS: Array,
        first_BxD: Array | None = None,
        teacher_BxTxD: Array | None = None,
        teacher_forcing: Array | float = 0.0,
        train: bool = False,
        noise_key: Array | None = None,
    ) -> Array:
        """Normalised weak expression [B, T, D] (not clipped), free-running unless a teacher is given.

        `first_BxD` is the frame before the first (default zeros, the mean). Each frame of history is the teacher's
        with probability `teacher_forcing`, else the decoder's own output, through which no gradient flows
        (scheduled sampling, Bengio et al., 2015). `train=True` needs the rng "dropout"; without it only a
        `teacher_forcing` of 1 has an effect. `noise_key` adds the training's noise to the history.
        """
        batch, time, _ = ppg_BxTxP.shape
        shape = (batch, time, self.outputs)
        first_BxD = jnp.zeros((batch, self.outputs)) if first_BxD is None else first_BxD
        teacher, forced = jnp.zeros(shape), jnp.zeros((batch, time, 1), bool)
        noise, keep = jnp.zeros(shape), jnp.ones(shape)
        if teacher_BxTxD is not None:
            teacher = jnp.concatenate([first_BxD[:, None], teacher_BxTxD[:, :-1]], axis=1)
            forced = jnp.broadcast_to(jnp.asarray(teacher_forcing) >= 1, forced.shape)
        if train:
            forcing_key, noise_key, keep_key = jax.random.split(self.make_rng("dropout"), 3)
            forced = jax.random.bernoulli(forcing_key, teacher_forcing, forced.shape)
            keep = jax.random.bernoulli(keep_key, 1 - self.frame_dropout, shape) / (1 - self.frame_dropout)
        if noise_key is not None:
            noise = self.frame_noise * jax.random.normal(noise_key, shape)
        past_BxTxP = jnp.pad(ppg_BxTxP, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        past_BxTxP = nn.Dropout(self.ppg_dropout, deterministic=not train)(past_BxTxP)
        gates_BxTxG = nn.Dense(4 * self.width, name="speech")(past_BxTxP)
        gates_BxTxG = gates_BxTxG + nn.Dense(4 * self.width, use_bias=False, name="style")(style_BxS)[:, None]
        step = nn.scan(_WeakStep, variable_broadcast="params", split_rngs={"params": False}, in_axes=1, out_axes=1)(
            self.outputs, self.width, self.frame_width, name="step"
        )
        zeros = jnp.zeros((batch, self.width))
        _, x_BxTxD = step((zeros, zeros, first_BxD), (gates_BxTxG, teacher, forced, noise, keep))
        return x_BxTxD
