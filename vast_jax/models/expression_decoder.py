"""Hybrid expression decoder (paper, §3.3): a Transformer for the mouth, an autoregressive LSTM for the rest."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Num

from vast_jax.models.attention import LocalAttention
from vast_jax.types import Array

OUTPUT_LIMIT = 5.0  # standard deviations: a fed-back frame beyond it has never been seen in training
LOG_SCALE = 2.0  # of a style's amplitude over that of all: at most e² times, at least e⁻²
LOG_SIGMA = (-4.0, 0.7)  # of the wandering: next to nothing to twice the deviation of all frames
USUAL_SIGMA, USUAL_BLINK = -0.7, -4.0  # where training starts: half that deviation, 27 blinks a minute


class Chances(NamedTuple):
    """What the weak branch leaves to chance: how far each parameter wanders about its course, and blinks."""

    log_sigma: Array  # [B, T, D], of the wandering's deviation
    blink: Array  # [B, T, 1], logit of a blink beginning at a frame, where none is under way


class Manner(NamedTuple):
    """What the prompt's face does on the whole, [B, 1 or T, D] each: see `style_transfer.manner_of`."""

    rest: Array  # mean over time
    spread: Array  # logarithm of the deviation over time
    blinks: Array | None = None  # [B, 1 or T, 1], `liveliness.blink_rate`


class Modulation(nn.Module):
    """A style's own rest position and amplitude of every parameter, [..., D] each: x -> amplitude x + rest.

    A known manner is followed directly, each parameter by its own learned share.
    """

    outputs: int

    @nn.compact
    def __call__(self, style_xS: Float[Array, "... S"], manner: Manner | None = None) -> tuple[Array, Array]:
        rest_xD = nn.Dense(self.outputs, name="rest")(style_xS)
        log_xD = nn.Dense(self.outputs, kernel_init=nn.initializers.zeros, name="amplitude")(style_xS)
        if manner is not None:
            rest_xD = rest_xD + follow(self, "rest_share", manner.rest)
            log_xD = log_xD + follow(self, "amplitude_share", manner.spread)
        return rest_xD, jnp.exp(jnp.clip(log_xD, -LOG_SCALE, LOG_SCALE))


def follow(module: nn.Module, name: str, manner_xD: Float[Array, "... D"]) -> Array:
    """A learned share of each parameter's manner; a half to begin with."""
    return module.param(name, nn.initializers.constant(0.5), manner_xD.shape[-1:]) * manner_xD


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


class StrongDecoder(nn.Module):
    """D^nar: PPG and style to the speech-bound expression of every frame at once, by a pre-norm Transformer encoder.

    A frame depends on its surroundings of `layers * window` + `context` frames alone.
    """

    outputs: int
    width: int
    layers: int
    heads: int
    window: int
    context: int = 2  # frames of PPG on either side that enter with each frame
    dropout: float = 0.1
    modulated: bool = False  # the style also sets each parameter's rest and amplitude

    @nn.compact
    def __call__(
        self,
        ppg_BxTxP: Float[Array, "B T P"],
        style: Array,
        mask_BxT: Bool[Array, "B T"],
        train: bool = False,
        manner: Manner | None = None,
    ) -> Array:
        """Normalised strong expression [B, T, D]; `style` is [B, S], or [B, T, S] where it changes."""
        style = over_time(style)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        ppg_BxTxP = jnp.where(mask_BxT[..., None], ppg_BxTxP, 0)
        x_BxTxC = nn.Conv(self.width, (2 * self.context + 1,), name="speech")(ppg_BxTxP)
        x_BxTxC = x_BxTxC + nn.Dense(self.width, name="style")(style)
        for _ in range(self.layers):
            attention = LocalAttention(self.heads, self.window, self.window, "alibi", block=self.window)
            x_BxTxC = x_BxTxC + drop(attention(nn.LayerNorm()(x_BxTxC), mask_BxT))
            y_BxTxF = nn.relu(nn.Dense(4 * self.width)(nn.LayerNorm()(x_BxTxC)))
            x_BxTxC = x_BxTxC + drop(nn.Dense(self.width)(y_BxTxF))
        x_BxTxD = nn.Dense(self.outputs, name="expression")(nn.LayerNorm()(x_BxTxC))
        if self.modulated:
            rest, amplitude = Modulation(self.outputs, name="modulation")(style, manner)
            x_BxTxD = amplitude * x_BxTxD + rest
        return x_BxTxD


class _WeakStep(nn.Module):
    """One frame of the LSTM: the four gates in a single product, the part that speech and style feed done before."""

    outputs: int
    width: int
    frame_width: int

    @nn.compact
    def __call__(self, carry: tuple[Array, Array, Array], inputs: tuple[Array, ...]) -> tuple[tuple, Array]:
        h, c, predicted = carry
        gates_in, teacher, forced, noise, keep, rest, amplitude = inputs
        predicted = jax.lax.stop_gradient(jnp.clip(predicted, -OUTPUT_LIMIT, OUTPUT_LIMIT))
        previous = (jnp.where(forced, teacher, predicted) + noise) * keep
        frame = nn.relu(nn.Dense(self.frame_width, name="frame")(previous))
        gates = gates_in + nn.Dense(4 * self.width, use_bias=False, name="recurrent")(jnp.concatenate([h, frame], -1))
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        c = nn.sigmoid(f + 1) * c + nn.sigmoid(i) * nn.tanh(g)
        h = nn.sigmoid(o) * nn.tanh(c)
        predicted = amplitude * nn.Dense(self.outputs, name="expression")(h) + rest
        return (h, c, predicted), predicted


class WeakDecoder(nn.Module):
    """D^ar: x_t = LSTM(x_<t, DP(a_<t), style), the expression that speech only accompanies (paper, Eq. 3).

    The PPG passes a strong dropout, so that the movement's own past carries it; frame t never sees a_t. A `lively` one
    also says what it leaves to chance: blinks and brows have no cause in the speech, the mean of a blink and none is
    an eye half shut, and an LSTM that computes its next frame comes to rest. Blinks follow the style alone: told by the
    LSTM's state as well, they came twice too often with speech of another kind than the training's.
    """

    outputs: int
    width: int
    frame_width: int = 128
    ppg_dropout: float = 0.5
    frame_dropout: float = 0.2
    frame_noise: float = 0.05
    modulated: bool = False  # the style also sets each parameter's rest and amplitude
    lively: bool = False

    def __call__(self, *args, **kwargs) -> Array:
        """Normalised weak expression [B, T, D] (not clipped), see `run`."""
        return self.run(*args, **kwargs)[0]

    @nn.compact
    def run(
        self,
        ppg_BxTxP: Float[Array, "B T P"],
        style: Array,
        first_BxD: Float[Array, "B D"] | None = None,
        teacher_BxTxD: Float[Array, "B T D"] | None = None,
        teacher_forcing: Array | float = 0.0,
        train: bool = False,
        noise_key: Array | None = None,
        state: WeakState | None = None,
        manner: Manner | None = None,
    ) -> tuple[Array, Chances | None, WeakState]:
        """Normalised weak expression [B, T, D] (not clipped), free-running unless a teacher is given.

        Beside it what is left to chance, if the decoder is lively, and the state after the last frame, which given back
        as `state` goes on. `style` is [B, S], or [B, T, S] where it changes. `first_BxD` is the frame before the first
        (default zeros, the mean). Each frame of history is the teacher's with probability `teacher_forcing`, else the
        decoder's own output, through which no gradient flows (scheduled sampling, Bengio et al., 2015). `train=True`
        needs the rng "dropout"; without it only a `teacher_forcing` of 1 has an effect. `noise_key` adds the training's
        noise to the history.
        """
        batch, time, phones = ppg_BxTxP.shape
        shape = (batch, time, self.outputs)
        if state is None:
            zeros = jnp.zeros((batch, self.width))
            first_BxD = jnp.zeros((batch, self.outputs)) if first_BxD is None else first_BxD
            state = WeakState(zeros, zeros, first_BxD, jnp.zeros((batch, phones)), jnp.zeros((), jnp.int32))
        teacher, forced = jnp.zeros(shape), jnp.zeros((batch, time, 1), bool)
        noise, keep = jnp.zeros(shape), jnp.ones(shape)
        if teacher_BxTxD is not None:
            teacher = jnp.concatenate([state.frame[:, None], teacher_BxTxD[:, :-1]], axis=1)
            forced = jnp.broadcast_to(jnp.asarray(teacher_forcing) >= 1, forced.shape)
        if train:
            forcing_key, noise_key, keep_key = jax.random.split(self.make_rng("dropout"), 3)
            forced = jax.random.bernoulli(forcing_key, teacher_forcing, forced.shape)
            keep = jax.random.bernoulli(keep_key, 1 - self.frame_dropout, shape) / (1 - self.frame_dropout)
        if noise_key is not None:
            noise = self._noise(noise_key, state.count + jnp.arange(time), batch)
        past_BxTxP = jnp.concatenate([state.ppg[:, None], ppg_BxTxP[:, :-1]], axis=1)
        past_BxTxP = nn.Dropout(self.ppg_dropout, deterministic=not train)(past_BxTxP)
        style = over_time(style)
        gates_BxTxG = nn.Dense(4 * self.width, name="speech")(past_BxTxP)
        gates_BxTxG = gates_BxTxG + nn.Dense(4 * self.width, use_bias=False, name="style")(style)
        rest, amplitude = jnp.zeros(shape), jnp.ones(shape)
        if self.modulated:
            modulation = Modulation(self.outputs, name="modulation")(style, manner)
            rest, amplitude = (jnp.broadcast_to(x, shape) for x in modulation)
        step = nn.scan(_WeakStep, variable_broadcast="params", split_rngs={"params": False}, in_axes=1, out_axes=1)(
            self.outputs, self.width, self.frame_width, name="step"
        )
        last, x_BxTxD = step(state[:3], (gates_BxTxG, teacher, forced, noise, keep, rest, amplitude))
        chances = None
        if self.lively:
            usual, zeros = nn.initializers.constant, nn.initializers.zeros
            sigma = nn.Dense(self.outputs, kernel_init=zeros, bias_init=usual(USUAL_SIGMA), name="wandering")(style)
            if manner is None:
                blink = nn.Dense(1, kernel_init=zeros, bias_init=usual(USUAL_BLINK), name="blink")(style)
            else:
                sigma = sigma + follow(self, "wandering_share", manner.spread)
                blink = self.param("blink", usual(USUAL_BLINK), (1,)) + follow(self, "blink_share", manner.blinks)
            sigma = jnp.broadcast_to(jnp.clip(sigma, *LOG_SIGMA), shape)
            chances = Chances(sigma, jnp.broadcast_to(blink, (batch, time, 1)))
        return x_BxTxD, chances, WeakState(*last, ppg_BxTxP[:, -1], state.count + time)

    def _noise(self, key: Array, frames_T: Num[Array, " T"], batch: int) -> Array:
        """Of the history, [B, T, D]; a frame's does not depend on how speech was cut."""
        of_frame = jax.vmap(lambda frame: jax.random.normal(jax.random.fold_in(key, frame), (batch, self.outputs)))
        return self.frame_noise * jnp.swapaxes(of_frame(frames_T), 0, 1)
