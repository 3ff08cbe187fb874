"""Hybrid expression decoder (paper, §3.3): a Transformer for the mouth, an autoregressive LSTM for the rest."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vast_jax.types import Array

OUTPUT_LIMIT = 5.0  # standard deviations: a fed-back frame beyond it has never been seen in training
LOG_SCALE = 2.0  # of a style's amplitude over that of all: at most e² times, at least e⁻²
LOG_SIGMA = (-3.0, 1.0)  # of a component: the tracker's noise is not worth more precision


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


class Mixture(NamedTuple):
    """K Gaussians over D parameters at once, each of its own likelihood; their axes come last."""

    logits: Array  # [..., K]
    mean: Array  # [..., K, D]
    log_sigma: Array  # [..., K, D]

    def log_likelihood(self, x_xD: Array, weight_D: Array | float = 1.0) -> Array:
        """Of frames [..., D], [...], without constants; `weight_D` raises each parameter's density to a power."""
        deviation = (x_xD[..., None, :] - self.mean) * jnp.exp(-self.log_sigma)
        of_each = jnp.sum(-weight_D * (0.5 * jnp.square(deviation) + self.log_sigma), axis=-1)
        return jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + of_each, axis=-1)

    def draw(self, gumbel_xK: Array) -> Array:
        """The centre of a component [..., D]: a random one, or with zeros for `gumbel_xK` the likeliest.

        No noise around it: what a face does next is open between few things, a blink or none, but each is smooth.
        """
        chosen = jax.nn.one_hot(jnp.argmax(self.logits + gumbel_xK, axis=-1), self.logits.shape[-1])
        return jnp.einsum("...k,...kd->...d", chosen, self.mean)


class Modulation(nn.Module):
    """A style's own rest position and amplitude of every parameter, [..., D] each: x -> amplitude x + rest."""

    outputs: int

    @nn.compact
    def __call__(self, style_xS: Array) -> tuple[Array, Array]:
        rest_xD = nn.Dense(self.outputs, name="rest")(style_xS)
        log_xD = nn.Dense(self.outputs, kernel_init=nn.initializers.zeros, name="amplitude")(style_xS)
        return rest_xD, jnp.exp(jnp.clip(log_xD, -LOG_SCALE, LOG_SCALE))


class WeakState(NamedTuple):
    """What the weak branch remembers between two frames: it goes on from here as if it had never stopped."""

    h: Array  # [B, C], of the LSTM
    c: Array  # [B, C]
    frame: Array  # [B, D], the last expression
    ppg: Array  # [B, P], of the last frame
    count: Array  # frames so far, which the noise depends on


def over_time(style: Array) -> Array:
    """A style [B, S] as one that may change from frame to frame: [B, 1, S]; [B, T, S] as it is."""
    return style[:, None] if style.ndim == 2 else style


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
    modulated: bool = False  # the style also sets each parameter's rest and amplitude

    @nn.compact
    def __call__(self, ppg_BxTxP: Array, style: Array, mask_BxT: Array, train: bool = False) -> Array:
        """Normalised strong expression [B, T, D]; `style` is [B, S], or [B, T, S] where it changes."""
        style = over_time(style)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        ppg_BxTxP = jnp.where(mask_BxT[..., None], ppg_BxTxP, 0)
        x_BxTxC = nn.Conv(self.width, (2 * self.context + 1,), name="speech")(ppg_BxTxP)
        x_BxTxC = x_BxTxC + nn.Dense(self.width, name="style")(style)
        for _ in range(self.layers):
            x_BxTxC = x_BxTxC + drop(LocalAttention(self.heads, self.window)(nn.LayerNorm()(x_BxTxC), mask_BxT))
            y_BxTxF = nn.relu(nn.Dense(4 * self.width)(nn.LayerNorm()(x_BxTxC)))
            x_BxTxC = x_BxTxC + drop(nn.Dense(self.width)(y_BxTxF))
        x_BxTxD = nn.Dense(self.outputs, name="expression")(nn.LayerNorm()(x_BxTxC))
        if self.modulated:
            rest, amplitude = Modulation(self.outputs, name="modulation")(style)
            x_BxTxD = amplitude * x_BxTxD + rest
        return x_BxTxD


class _WeakStep(nn.Module):
    """One frame of the LSTM: the four gates in a single product, the part that speech and style feed done before."""

    outputs: int
    width: int
    frame_width: int
    mixtures: int

    @nn.compact
    def __call__(self, carry: tuple[Array, Array, Array], inputs: tuple[Array, ...]) -> tuple[tuple, tuple]:
        h, c, predicted = carry
        gates_in, teacher, forced, noise, keep, gumbel, rest, amplitude = inputs
        predicted = jax.lax.stop_gradient(jnp.clip(predicted, -OUTPUT_LIMIT, OUTPUT_LIMIT))
        previous = (jnp.where(forced, teacher, predicted) + noise) * keep
        frame = nn.relu(nn.Dense(self.frame_width, name="frame")(previous))
        gates = gates_in + nn.Dense(4 * self.width, use_bias=False, name="recurrent")(jnp.concatenate([h, frame], -1))
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        c = nn.sigmoid(f + 1) * c + nn.sigmoid(i) * nn.tanh(g)
        h = nn.sigmoid(o) * nn.tanh(c)
        if self.mixtures == 1:
            predicted, mixture = amplitude * nn.Dense(self.outputs, name="expression")(h) + rest, None
        else:
            shape = (*h.shape[:-1], self.mixtures, self.outputs)
            mean = nn.Dense(self.mixtures * self.outputs, name="mean")(h).reshape(shape)
            sigma = nn.Dense(self.mixtures * self.outputs, name="log_sigma")(h).reshape(shape)
            mixture = Mixture(
                logits=nn.Dense(self.mixtures, name="logits")(h),
                mean=amplitude[..., None, :] * mean + rest[..., None, :],
                log_sigma=jnp.clip(sigma + jnp.log(amplitude)[..., None, :], *LOG_SIGMA),
            )
            predicted = mixture.draw(gumbel)
        return (h, c, predicted), (predicted, mixture)


class WeakDecoder(nn.Module):
    """D^ar: x_t = LSTM(x_<t, DP(a_<t), style), the expression that speech only accompanies (paper, Eq. 3).

    The PPG passes a strong dropout, so that the movement's own past carries it; frame t never sees a_t. With several
    `mixtures` the next frame is drawn from that many Gaussians (Graves, 2013, arXiv:1308.0850): blinks and brows have
    no cause in the speech, and the mean of a blink and none is an eye half shut. One is the paper's LSTM.
    """

    outputs: int
    width: int = 256
    frame_width: int = 128
    ppg_dropout: float = 0.5
    frame_dropout: float = 0.2
    frame_noise: float = 0.05
    mixtures: int = 1
    modulated: bool = False  # the style also sets each parameter's rest and amplitude

    def __call__(self, *args, **kwargs) -> Array:
        """Normalised weak expression [B, T, D] (not clipped), see `run`."""
        return self.run(*args, **kwargs)[0]

    @nn.compact
    def run(
        self,
        ppg_BxTxP: Array,
        style: Array,
        first_BxD: Array | None = None,
        teacher_BxTxD: Array | None = None,
        teacher_forcing: Array | float = 0.0,
        train: bool = False,
        noise_key: Array | None = None,
        state: WeakState | None = None,
    ) -> tuple[Array, Mixture | None, WeakState]:
        """Normalised weak expression [B, T, D] (not clipped), free-running unless a teacher is given.

        Beside it the mixture that it was drawn from, if any, and the state after the last frame, which given back as
        `state` goes on. `style` is [B, S], or [B, T, S] where it changes. `first_BxD` is the frame before the first
        (default zeros, the mean). Each frame of history is the teacher's with probability `teacher_forcing`, else the
        decoder's own output, through which no gradient flows (scheduled sampling, Bengio et al., 2015). `train=True`
        needs the rng "dropout"; without it only a `teacher_forcing` of 1 has an effect. `noise_key` adds the training's
        noise to the history and draws from the mixture; without it, and not in training, the likeliest of its
        components follow each other.
        """
        batch, time, phones = ppg_BxTxP.shape
        shape = (batch, time, self.outputs)
        if state is None:
            zeros = jnp.zeros((batch, self.width))
            first_BxD = jnp.zeros((batch, self.outputs)) if first_BxD is None else first_BxD
            state = WeakState(zeros, zeros, first_BxD, jnp.zeros((batch, phones)), jnp.zeros((), jnp.int32))
        teacher, forced = jnp.zeros(shape), jnp.zeros((batch, time, 1), bool)
        noise, keep, gumbel = jnp.zeros(shape), jnp.ones(shape), jnp.zeros((batch, time, self.mixtures))
        if teacher_BxTxD is not None:
            teacher = jnp.concatenate([state.frame[:, None], teacher_BxTxD[:, :-1]], axis=1)
            forced = jnp.broadcast_to(jnp.asarray(teacher_forcing) >= 1, forced.shape)
        if train:
            forcing_key, noise_key, keep_key = jax.random.split(self.make_rng("dropout"), 3)
            forced = jax.random.bernoulli(forcing_key, teacher_forcing, forced.shape)
            keep = jax.random.bernoulli(keep_key, 1 - self.frame_dropout, shape) / (1 - self.frame_dropout)
        if noise_key is not None:
            noise, gumbel = self._noise(noise_key, state.count + jnp.arange(time), batch)
        past_BxTxP = jnp.concatenate([state.ppg[:, None], ppg_BxTxP[:, :-1]], axis=1)
        past_BxTxP = nn.Dropout(self.ppg_dropout, deterministic=not train)(past_BxTxP)
        style = over_time(style)
        gates_BxTxG = nn.Dense(4 * self.width, name="speech")(past_BxTxP)
        gates_BxTxG = gates_BxTxG + nn.Dense(4 * self.width, use_bias=False, name="style")(style)
        rest, amplitude = jnp.zeros(shape), jnp.ones(shape)
        if self.modulated:
            modulation = Modulation(self.outputs, name="modulation")(style)
            rest, amplitude = (jnp.broadcast_to(x, shape) for x in modulation)
        step = nn.scan(_WeakStep, variable_broadcast="params", split_rngs={"params": False}, in_axes=1, out_axes=1)(
            self.outputs, self.width, self.frame_width, self.mixtures, name="step"
        )
        inputs = gates_BxTxG, teacher, forced, noise, keep, gumbel, rest, amplitude
        last, (x_BxTxD, mixture) = step(state[:3], inputs)
        return x_BxTxD, mixture, WeakState(*last, ppg_BxTxP[:, -1], state.count + time)

    def _noise(self, key: Array, frames_T: Array, batch: int) -> tuple[Array, Array]:
        """Of the history [B, T, D] and of the draw [B, T, K]; a frame's does not depend on how speech was cut."""

        @jax.vmap
        def of_frame(frame):
            history, draw = jax.random.split(jax.random.fold_in(key, frame))
            return jax.random.normal(history, (batch, self.outputs)), jax.random.gumbel(draw, (batch, self.mixtures))

        history, draw = (jnp.swapaxes(x, 0, 1) for x in of_frame(frames_T))
        return self.frame_noise * history, draw
