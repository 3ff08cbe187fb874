"""Style transfer (paper, §3.2 and 3.3): speech and a prompt's style to expression; encoder, enhancer and decoder."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vast_jax import checkpoint
from vast_jax.losses import mean_and_deviation
from vast_jax.models.expression_decoder import OUTPUT_LIMIT, Mixture, StrongDecoder, WeakDecoder, WeakState
from vast_jax.models.style_encoder import StyleEncoder
from vast_jax.models.style_enhancer import StyleEnhancer
from vast_jax.types import Array

STYLE_SOURCES = ("encoder", "statistics", "none")
SETTLE = 25  # frames that the weak branch runs before the first one, where no first expression is given
_SHIPPED = Path(__file__).parent.parent / "assets" / "style.safetensors"


class Reconstruction(NamedTuple):
    """What a training call returns, of normalised expression."""

    expression: Array  # [B, T, D], the weak part with the true past
    mu: Array  # [B, S], of the posterior
    logvar: Array  # [B, S]
    mixture: Mixture | None  # of the weak part, if it is drawn from one
    free: Array  # [B, T, weak], the weak part with its own past


class StyleTransfer(nn.Module):
    """All of the paper's §3.2 and 3.3 on normalised expression (deviation from the mean, in standard deviations).

    `strong` and `weak` are the indices of the expression parameters that the Transformer and the LSTM produce:
    together every parameter once (`face.model.split_by_mouth_offset`).
    """

    strong: tuple[int, ...]
    weak: tuple[int, ...]
    style_width: int = 64
    householder_steps: int = 4
    encoder_channels: tuple[int, ...] = (128, 128, 256, 256)
    encoder_state: int = 256
    encoder_pooled: bool = False
    strong_width: int = 128
    strong_layers: int = 3
    strong_heads: int = 8
    window: int = 32
    weak_width: int = 256
    ppg_dropout: float = 0.5
    weak_mixtures: int = 1
    modulated: bool = False
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
                mixtures=self.weak_mixtures,
                modulated=self.modulated,
            )

    def encode(
        self,
        x_BxTxD: Array,
        ppg_BxTxP: Array,
        mask_BxT: Array,
        has_speech_B: Array,
        key: Array | None = None,
        temperature: float = 1.0,
    ) -> tuple[Array, Array, Array]:
        """A prompt's posterior and style: mu, logvar, z_K, each [B, S]; without a key z_K is the centre's image."""
        if self.style_source == "encoder":
            h_BxH = self.encoder(x_BxTxD, ppg_BxTxP, mask_BxT, has_speech_B)
            return self.enhancer(h_BxH, key if self.variational else None, temperature)
        nothing_BxS = jnp.zeros((len(x_BxTxD), self.width_of_style))
        code_BxS = nothing_BxS if self.style_source == "none" else statistics_code(x_BxTxD, mask_BxT)
        return code_BxS, nothing_BxS, code_BxS

    @property
    def width_of_style(self) -> int:
        """S: `style_width`, or as many numbers as the statistics code has."""
        parameters = len(self.strong) + len(self.weak)
        return 2 * parameters if self.style_source == "statistics" else self.style_width

    def start(self, ppg_BxP: Array, style_BxS: Array, key: Array, first_BxD: Array | None = None) -> WeakState:
        """The weak branch's state before the first frame, whose PPG and style are given.

        `first_BxD` is the expression before it; without it the branch starts from the mean and settles into the style:
        brows and lids take about a second to reach the style's own, and that second is not shown.
        """
        if first_BxD is not None or not self.weak:
            zeros = jnp.zeros((len(ppg_BxP), self.weak_width))
            first_BxW = jnp.zeros((len(ppg_BxP), 0)) if first_BxD is None else first_BxD[:, list(self.weak)]
            return WeakState(zeros, zeros, first_BxW, jnp.zeros_like(ppg_BxP), jnp.zeros((), jnp.int32))
        before_BxKxP = jnp.repeat(ppg_BxP[:, None], SETTLE, axis=1)
        return self.weak_decoder.run(before_BxKxP, style_BxS, noise_key=key)[2]

    def generate(
        self, ppg_BxNxP: Array, style_BxNxS: Array, mask_BxN: Array, state: WeakState, key: Array, around: int = 0
    ) -> tuple[Array, WeakState]:
        """Normalised expression of the next frames of new speech, free-running, within ±5 standard deviations.

        Args:
          ppg_BxNxP, style_BxNxS: speech and style of T frames and of `around` more on either side.
          mask_BxN: frames that there are.
          state: of the weak branch before the T frames: from `start`, or from the piece before.
          key: of the weak branch's randomness.
          around: frames of context, at least `reach` for pieces to equal the whole.

        Returns:
          Expression [B, T, D] and the state after it.
        """
        inner = slice(around, ppg_BxNxP.shape[1] - around)
        strong_BxTxD = self.strong_decoder(ppg_BxNxP, style_BxNxS, mask_BxN)[:, inner]
        weak_BxTxD = jnp.zeros((*strong_BxTxD.shape[:2], 0))
        if self.weak:
            weak_BxTxD, _, state = self.weak_decoder.run(
                ppg_BxNxP[:, inner], style_BxNxS[:, inner], noise_key=key, state=state
            )
        return jnp.clip(self._merge(strong_BxTxD, weak_BxTxD), -OUTPUT_LIMIT, OUTPUT_LIMIT), state

    @property
    def reach(self) -> int:
        """Frames on either side that a frame of the strong branch depends on."""
        return self.strong_layers * self.window + StrongDecoder.context

    def __call__(
        self,
        x_BxTxD: Array,
        ppg_BxTxP: Array,
        mask_BxT: Array,
        prompt_x_BxNxD: Array,
        prompt_ppg_BxNxP: Array,
        prompt_mask_BxN: Array,
        has_speech_B: Array,
        key: Array,
        first_BxD: Array | None = None,
        teacher_forcing: Array | float = 1.0,
        train: bool = False,
    ) -> Reconstruction:
        """Reconstructs a clip from its speech and the style of its prompt, for training (rng "dropout" if `train`).

        `has_speech_B` says of which prompts the speech is known; `key` samples the style.
        """
        mu_BxS, logvar_BxS, style_BxS = self.encode(
            prompt_x_BxNxD, prompt_ppg_BxNxP, prompt_mask_BxN, has_speech_B, key
        )
        first_BxW = None if first_BxD is None else first_BxD[:, list(self.weak)]
        strong_BxTxD = self.strong_decoder(ppg_BxTxP, style_BxS, mask_BxT, train)
        if not self.weak:
            nothing_BxTxD = strong_BxTxD[..., :0]
            return Reconstruction(self._merge(strong_BxTxD, nothing_BxTxD), mu_BxS, logvar_BxS, None, nothing_BxTxD)
        weak_BxTxD, mixture, _ = self.weak_decoder.run(
            ppg_BxTxP, style_BxS, first_BxW, x_BxTxD[:, :, list(self.weak)], teacher_forcing, train
        )
        free_BxTxD = self.weak_decoder(ppg_BxTxP, style_BxS, first_BxW, noise_key=jax.random.fold_in(key, 1))
        return Reconstruction(self._merge(strong_BxTxD, weak_BxTxD), mu_BxS, logvar_BxS, mixture, free_BxTxD)

    def _merge(self, strong_BxTxD: Array, weak_BxTxD: Array) -> Array:
        return jnp.concatenate([strong_BxTxD, weak_BxTxD], axis=-1)[..., list(self.position)]


def statistics_code(x_BxTxD: Array, mask_BxT: Array) -> Array:
    """StyleAvatar's style of a clip, [B, 2D]: deviation over time of each parameter and of its frame-to-frame change.

    Of normalised expression, so that the code is about 1 and .2; brought to unit range by these, as its authors do by
    the statistics of their training set.
    """
    moved_BxT = mask_BxT[:, 1:] & mask_BxT[:, :-1]
    pairs = ((x_BxTxD, mask_BxT), (jnp.diff(x_BxTxD, axis=1), moved_BxT))
    deviation, change = (mean_and_deviation(x, mask, 1e-8)[1] for x, mask in pairs)
    return jnp.concatenate([2 * (deviation - 1), 10 * (change - 0.2)], axis=-1)


def normalise(x_BxTxD: Array, mean_D: Array, std_D: Array) -> Array:
    """Activations to what the model reads: deviations in standard deviations, within the ±5 that it can produce."""
    return jnp.clip((x_BxTxD - mean_D) / std_D, -OUTPUT_LIMIT, OUTPUT_LIMIT)


class StyleModel:
    """Style transfer with its weights: whole clips of any length in and out, in activations of the face model."""

    WINDOW = 96  # frames of a prompt seen at once: as in training
    SHORT, LONG = 250, 1500  # frames of a piece: two programs are compiled at most

    def __init__(
        self, module: StyleTransfer, params: Mapping[str, Any], constants: Mapping[str, np.ndarray], card=None
    ):
        self.module, self.constants, self.card = module, constants, dict(card or {})
        self._variables = {"params": params}
        self._encode = jax.jit(functools.partial(module.apply, method="encode"))
        self._start = jax.jit(functools.partial(module.apply, method="start"))
        self._generate = jax.jit(functools.partial(module.apply, method="generate", around=module.reach))

    @classmethod
    def load(cls, path: str | os.PathLike | None = None) -> "StyleModel":
        """The model of a .safetensors file or export folder; None: the shipped one. UserError: see checkpoint.load."""
        weights, config, card = checkpoint.load_part(_SHIPPED if path is None else path, "style")
        return cls(StyleTransfer(**config), weights["style"], weights["constants"], card)

    def posterior(
        self, expression: np.ndarray, ppg: np.ndarray, has_speech: bool = True, temperature: float = 0.0, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """mu, logvar and z_K [windows, S] of half-overlapping windows of a prompt: [N, D] and [N, 41], N >= 1."""
        frames = len(expression)
        starts = sorted({*range(0, max(frames - self.WINDOW, 0), self.WINDOW // 2), max(frames - self.WINDOW, 0)})
        count = 1 << (len(starts) - 1).bit_length()  # a power of two: few programs
        x = np.zeros((count, self.WINDOW, expression.shape[1]), np.float32)
        a = np.zeros((count, self.WINDOW, ppg.shape[1]), np.float32)
        mask = np.zeros((count, self.WINDOW), bool)
        mask[:, 0] = True
        for row, start in enumerate(starts):
            length = min(self.WINDOW, frames - start)
            x[row, :length], a[row, :length] = expression[start : start + length], ppg[start : start + length]
            mask[row, :length] = True
        x = normalise(x, self.constants["mean"], self.constants["std"])
        known = np.full(count, bool(has_speech))
        key = jax.random.key(seed) if temperature > 0 else None
        return tuple(
            np.asarray(y)[: len(starts)] for y in self._encode(self._variables, x, a, mask, known, key, temperature)
        )

    def encode(
        self, expression: np.ndarray, ppg: np.ndarray, has_speech: bool = True, temperature: float = 0.0, seed: int = 0
    ) -> np.ndarray:
        """The style [S] of a prompt: expression [N, D] and PPG [N, 41], the latter unread without `has_speech`.

        A prompt longer than the training's clips is read in windows, whose styles are averaged. At temperature 0 it is
        the posterior's centre, above it a sample.
        """
        return self.posterior(expression, ppg, has_speech, temperature, seed)[2].mean(0)

    def decode(self, ppg: np.ndarray, style: np.ndarray, seed: int = 0, first: np.ndarray | None = None) -> np.ndarray:
        """Expression [T, D] of speech, PPG [T, 41], in a style [S], or [T, S] where it changes over time.

        Within the range seen in training. Made piece by piece, which changes nothing, so that an hour needs no more
        memory than a minute. `seed`: of the weak branch's randomness. `first` [D] is the expression before the first
        frame (default: the style's own, settled from the mean).
        """
        frames, reach, key = len(ppg), self.module.reach, jax.random.key(seed)
        if not frames:
            return np.zeros((0, len(self.constants["mean"])), np.float32)
        mean, std = self.constants["mean"], self.constants["std"]
        style = np.broadcast_to(np.asarray(style, np.float32), (frames, np.shape(style)[-1]))
        length = self.SHORT if frames <= self.SHORT else self.LONG
        first = None if first is None else normalise(first, mean, std)[None]
        state = self._start(self._variables, np.asarray(ppg[:1], np.float32), style[:1], key, first)
        pieces = []
        for start in range(0, frames, length):
            at = np.arange(start - reach, start + length + reach)
            there = (at >= 0) & (at < frames)
            row = np.clip(at, 0, frames - 1)
            speech = np.where(there[:, None], ppg[row], 0).astype(np.float32)
            x, state = self._generate(self._variables, speech[None], style[row][None], there[None], state, key)
            pieces.append(np.asarray(x)[0])
        expression = np.concatenate(pieces)[:frames] * std + mean
        return np.clip(expression, self.constants["low"], self.constants["high"]).astype(np.float32)


def load_style_model(path: str | os.PathLike | None = None) -> StyleModel:
    """The style model of an export folder or .safetensors file; None: the one shipped with the package."""
    return StyleModel.load(path)
