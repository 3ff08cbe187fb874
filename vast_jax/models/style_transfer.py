"""Style transfer (paper, §3.2 and 3.3): speech and a prompt's style to expression; encoder, enhancer and decoder."""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Shaped

from vast_jax.losses import mean_and_deviation
from vast_jax.media import FPS
from vast_jax.models.expression_decoder import (
    OUTPUT_LIMIT,
    Chances,
    Manner,
    StrongDecoder,
    WeakDecoder,
    WeakState,
    over_time,
)
from vast_jax.models.style_encoder import StyleEncoder
from vast_jax.models.style_enhancer import StyleEnhancer
from vast_jax.types import Array

STYLE_SOURCES = ("encoder", "statistics", "none")
FAINT, USUAL_DEVIATION = 0.1, 0.6  # deviation of a parameter within a clip: in doubt, and usual
SETTLE = 25  # frames that the weak branch runs before the first one


class Reconstruction(NamedTuple):
    """What a training call returns, of normalised expression."""

    expression: Array  # [B, T, D], the weak part with the true past
    mu: Array  # [B, S], of the posterior
    logvar: Array  # [B, S]
    free: Array  # [B, T, weak], the weak part with its own past
    chances: Chances | None  # of the weak part with its own past, if it is lively


class Generated(NamedTuple):
    """A piece of new speech, of normalised expression."""

    expression: Array  # [B, T, D], without what is left to chance
    chances: Chances | None
    state: WeakState  # after it


class StyleTransfer(nn.Module):
    """All of the paper's §3.2 and 3.3 on normalised expression (deviation from the mean, in standard deviations).

    `strong` and `weak` are the indices of the expression parameters that the Transformer and the LSTM produce:
    together every parameter once (`face.model.split_by_mouth_offset`).
    """

    strong: tuple[int, ...]
    weak: tuple[int, ...]
    style_width: int = 64
    householder_steps: int = 4
    encoder_channels: tuple[int, ...] = (128, 128, 192, 192)
    encoder_state: int = 192
    encoder_pooled: bool = False
    strong_width: int = 128
    strong_layers: int = 3
    strong_heads: int = 8
    window: int = 16
    weak_width: int = 128
    ppg_dropout: float = 0.5
    modulated: bool = False
    lively: bool = False
    manner: bool = False  # the prompt's mean and deviation of each parameter are part of the style (with `modulated`)
    style_source: str = "encoder"  # or "statistics": StyleAvatar's code; or "none": speech alone
    variational: bool = True  # else the style is the encoder's own, and nothing is drawn

    def setup(self) -> None:
        if self.style_source not in STYLE_SOURCES:
            raise ValueError(f"style_source is one of {', '.join(STYLE_SOURCES)}, not {self.style_source}")
        order = (*self.strong, *self.weak)
        if sorted(order) != list(range(len(order))):
            raise ValueError("strong and weak must name every expression parameter exactly once")
        # From the decoders' order, strong then weak, back to the face model's.
        self.position = tuple(order.index(d) for d in range(len(order)))
        self.encoder = StyleEncoder(
            channels=self.encoder_channels, state_width=self.encoder_state, pooled=self.encoder_pooled
        )
        self.enhancer = StyleEnhancer(self.style_width, self.householder_steps)
        self.strong_decoder = StrongDecoder(
            len(self.strong),
            self.strong_width,
            self.strong_layers,
            self.strong_heads,
            self.window,
            modulated=self.modulated,
        )
        if self.weak:
            self.weak_decoder = WeakDecoder(
                len(self.weak),
                self.weak_width,
                ppg_dropout=self.ppg_dropout,
                modulated=self.modulated,
                lively=self.lively,
            )

    def encode(
        self,
        x_BxTxD: Float[Array, "B T D"],
        ppg_BxTxP: Float[Array, "B T P"],
        mask_BxT: Bool[Array, "B T"],
        has_speech_B: Bool[Array, " B"],
        key: Array | None = None,
        temperature: Shaped[Array, ""] | float = 1.0,
        blinks_B: Float[Array, " B"] | None = None,
    ) -> tuple[Array, Array, Array]:
        """A prompt's posterior and style: mu, logvar, z_K; without a key z_K is the centre's image.

        [B, S] each, but where the style has a manner, that comes after z_K: 2 D numbers more, and in a lively model
        `blinks_B` (`liveliness.blink_rate`; none: the usual).
        """
        if self.style_source == "encoder":
            h_BxH = self.encoder(x_BxTxD, ppg_BxTxP, mask_BxT, has_speech_B)
            mu_BxS, logvar_BxS, style_BxS = self.enhancer(h_BxH, key if self.variational else None, temperature)
            if self.manner:
                manner = [manner_of(x_BxTxD, mask_BxT)]
                if self.lively:
                    manner += [(jnp.zeros(len(x_BxTxD)) if blinks_B is None else blinks_B)[:, None]]
                style_BxS = jnp.concatenate([style_BxS, *manner], axis=-1)
            return mu_BxS, logvar_BxS, style_BxS
        nothing_BxS = jnp.zeros((len(x_BxTxD), self.width_of_style))
        code_BxS = nothing_BxS if self.style_source == "none" else statistics_code(x_BxTxD, mask_BxT)
        return code_BxS, nothing_BxS, code_BxS

    @property
    def width_of_style(self) -> int:
        """`style_width` and what the manner adds to it, or as many numbers as the statistics code has."""
        statistics = 2 * (len(self.strong) + len(self.weak))
        if self.style_source == "statistics":
            return statistics
        return self.style_width + (statistics + self.lively if self.manner else 0)

    def _split(self, style: Array, parameters: tuple[int, ...]) -> tuple[Array, Manner | None]:
        """A style [B, S] or [B, T, S] as the networks' own part and the manner of some parameters."""
        if not self.manner:
            return style, None
        begins = self.style_width + len(self.position) * np.arange(3)
        own, rest, spread, blinks = jnp.split(style, begins, axis=-1)
        rest, spread = (over_time(x)[..., list(parameters)] for x in (rest, spread))
        return own, Manner(rest, spread, over_time(blinks) if self.lively else None)

    def start(self, ppg_BxP: Float[Array, "B P"], style_BxS: Float[Array, "B S"], key: Array) -> WeakState:
        """The weak branch's state before the first frame, whose PPG and style are given.

        It starts from the mean and settles into the style: brows and lids take about a second to reach the style's own,
        and that second is not shown.
        """
        if not self.weak:
            zeros = jnp.zeros((len(ppg_BxP), self.weak_width))
            return WeakState(zeros, zeros, zeros[:, :0], jnp.zeros_like(ppg_BxP), jnp.zeros((), jnp.int32))
        before_BxKxP = jnp.repeat(ppg_BxP[:, None], SETTLE, axis=1)
        own_BxS, manner = self._split(style_BxS, self.weak)
        return self.weak_decoder.run(before_BxKxP, own_BxS, noise_key=key, manner=manner)[2]

    def generate(
        self,
        ppg_BxNxP: Float[Array, "B N P"],
        style_BxNxS: Float[Array, "B N S"],
        mask_BxN: Bool[Array, "B N"],
        state: WeakState,
        key: Array,
        around: int = 0,
    ) -> Generated:
        """Normalised expression of the next frames of new speech, free-running, within ±5 standard deviations.

        Args:
          ppg_BxNxP, style_BxNxS: speech and style of T frames and of `around` more on either side.
          mask_BxN: frames that there are.
          state: of the weak branch before the T frames: from `start`, or from the piece before.
          key: of the noise in the weak branch's history.
          around: frames of context, at least `reach` for pieces to equal the whole.
        """
        inner = slice(around, ppg_BxNxP.shape[1] - around)
        own_BxNxS, manner = self._split(style_BxNxS, self.strong)
        strong_BxTxD = self.strong_decoder(ppg_BxNxP, own_BxNxS, mask_BxN, manner=manner)[:, inner]
        weak_BxTxD, chances = jnp.zeros((*strong_BxTxD.shape[:2], 0)), None
        if self.weak:
            own_BxTxS, manner = self._split(style_BxNxS[:, inner], self.weak)
            weak_BxTxD, chances, state = self.weak_decoder.run(
                ppg_BxNxP[:, inner], own_BxTxS, noise_key=key, state=state, manner=manner
            )
        x_BxTxD = jnp.clip(self._merge(strong_BxTxD, weak_BxTxD), -OUTPUT_LIMIT, OUTPUT_LIMIT)
        return Generated(x_BxTxD, chances, state)

    @property
    def reach(self) -> int:
        """Frames on either side that a frame of the strong branch depends on."""
        return self.strong_layers * self.window + StrongDecoder.context

    def __call__(
        self,
        x_BxTxD: Float[Array, "B T D"],
        ppg_BxTxP: Float[Array, "B T P"],
        mask_BxT: Bool[Array, "B T"],
        prompt_x_BxNxD: Float[Array, "B N D"],
        prompt_ppg_BxNxP: Float[Array, "B N P"],
        prompt_mask_BxN: Bool[Array, "B N"],
        has_speech_B: Bool[Array, " B"],
        key: Array,
        first_BxD: Float[Array, "B D"] | None = None,
        teacher_forcing: Array | float = 1.0,
        train: bool = False,
        prompt_blinks_B: Float[Array, " B"] | None = None,
    ) -> Reconstruction:
        """Reconstructs a clip from its speech and the style of its prompt, for training (rng "dropout" if `train`).

        `has_speech_B` says of which prompts the speech is known; `key` samples the style.
        """
        mu_BxS, logvar_BxS, style_BxS = self.encode(
            prompt_x_BxNxD, prompt_ppg_BxNxP, prompt_mask_BxN, has_speech_B, key, blinks_B=prompt_blinks_B
        )
        first_BxW = None if first_BxD is None else first_BxD[:, list(self.weak)]
        own_BxS, manner = self._split(style_BxS, self.strong)
        strong_BxTxD = self.strong_decoder(ppg_BxTxP, own_BxS, mask_BxT, train, manner)
        if not self.weak:
            nothing_BxTxD = strong_BxTxD[..., :0]
            return Reconstruction(self._merge(strong_BxTxD, nothing_BxTxD), mu_BxS, logvar_BxS, nothing_BxTxD, None)
        _, manner = self._split(style_BxS, self.weak)
        run = functools.partial(self.weak_decoder.run, ppg_BxTxP, own_BxS, first_BxW, manner=manner)
        weak_BxTxD, _, _ = run(x_BxTxD[:, :, list(self.weak)], teacher_forcing, train)
        free_BxTxD, chances, _ = run(noise_key=jax.random.fold_in(key, 1))
        return Reconstruction(self._merge(strong_BxTxD, weak_BxTxD), mu_BxS, logvar_BxS, free_BxTxD, chances)

    def _merge(self, strong_BxTxD: Float[Array, "B T strong"], weak_BxTxD: Float[Array, "B T weak"]) -> Array:
        return jnp.concatenate([strong_BxTxD, weak_BxTxD], axis=-1)[..., list(self.position)]


def manner_of(x_BxTxD: Float[Array, "B T D"], mask_BxT: Bool[Array, "B T"]) -> Array:
    """What a face does on the whole, [B, 2D]: mean of each parameter over time, and logarithm of its deviation.

    Of normalised expression: of a parameter that moves as usual both are about 0. A deviation in doubt, as that of the
    tracker's noise, is not told from none; of half a second, half of the spread is the talker's, the rest the usual.
    """
    mean, deviation = mean_and_deviation(x_BxTxD, mask_BxT)
    known_Bx1 = jnp.minimum(jnp.sum(mask_BxT, axis=1, keepdims=True) / FPS, 1)
    return jnp.concatenate([mean, known_Bx1 * (jnp.log(deviation + FAINT) - jnp.log(USUAL_DEVIATION))], axis=-1)


def statistics_code(x_BxTxD: Float[Array, "B T D"], mask_BxT: Bool[Array, "B T"]) -> Array:
    """StyleAvatar's style of a clip, [B, 2D]: deviation over time of each parameter and of its frame-to-frame change.

    Of normalised expression, so that the code is about 1 and .2; brought to unit range by these, as its authors do by
    the statistics of their training set.
    """
    moved_BxT = mask_BxT[:, 1:] & mask_BxT[:, :-1]
    pairs = ((x_BxTxD, mask_BxT), (jnp.diff(x_BxTxD, axis=1), moved_BxT))
    deviation, change = (mean_and_deviation(x, mask, 1e-8)[1] for x, mask in pairs)
    return jnp.concatenate([2 * (deviation - 1), 10 * (change - 0.2)], axis=-1)


def normalise(x_BxTxD: Float[Array, "..."], mean_D: Float[Array, "..."], std_D: Float[Array, "..."]) -> Array:
    """Activations to what the model reads: deviations in standard deviations, within the ±5 that it can produce."""
    return jnp.clip((x_BxTxD - mean_D) / std_D, -OUTPUT_LIMIT, OUTPUT_LIMIT)
