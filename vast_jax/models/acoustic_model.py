"""The acoustic model: filter bank to phonetic posteriorgram (paper section 3.1, after Deep Speech, arXiv:1412.5567).

Deep Speech's plan: stacked neighbouring frames -> three dense layers with clipped ReLU -> a layer that looks along time
-> dense -> classes. The layer along time is a bidirectional LSTM as in the paper, or residual dilated convolutions,
whose bounded view makes any cutting into pieces exact and, with few frames ahead, lets the model stream.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vast_jax.audio import HOP, MELS, PHONES, fit, log_fbank, to_video_rate
from vast_jax.models.acoustic_transformer import AcousticTransformer, PhoneClassifier
from vast_jax.types import UserError
from vast_jax.weights import exports, model_config

CTC_TEMPERATURE = 2.0  # of the posteriors without blank, which CTC makes too sure (spec 6)
LSTM_VIEW = 150  # frames that a piece of a recording overlaps its neighbours where an LSTM sees all: 3 s


def clipped_relu(x: jax.Array) -> jax.Array:
    """min(max(x, 0), 20), of Deep Speech."""
    return jnp.clip(x, 0.0, 20.0)


def stack_frames(x_BxTxC: jax.Array, offsets: Sequence[int], stride: int = 1) -> jax.Array:
    """Every `stride`-th frame beside those `offsets` frames from it, [B, T / stride, C len(offsets)].

    Beyond the ends there are zeros.
    """
    frames, reach = x_BxTxC.shape[1], max(map(abs, offsets))
    padded = jnp.pad(x_BxTxC, ((0, 0), (reach, reach), (0, 0)))
    return jnp.concatenate([padded[:, reach + o : reach + o + frames : stride] for o in offsets], axis=-1)


class AcousticModel(PhoneClassifier, nn.Module):
    """Logits of the phones at every filter-bank frame.

    The output on valid frames does not depend on what is masked. With an LSTM the valid frames come first. For `pairs`
    the frames are whole pairs, and all other fields but the context count pairs.
    """

    context: int = 5  # frames stacked before each frame
    context_after: int | None = None  # frames stacked after it; None: as many as before
    dense: int = 256  # units of each of the three layers
    width: int = 256  # units along time
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16)  # of the residual convolutions over three frames
    ahead: tuple[int, ...] | None = None  # frames that each of them looks ahead; None: its dilation, as it looks back
    pairs: bool = False  # one step along time for two frames, a video frame: half the work
    projected: bool = False  # what a convolution adds may have either sign
    lstm: bool = False  # a bidirectional LSTM of `width` a direction instead
    dropout: float = 0.1
    classes: int = len(PHONES)  # one more for CTC: blank, the last

    spectrum = staticmethod(log_fbank)

    @property
    def lookback(self) -> int:
        """Frames before a frame that its logits depend on (with an LSTM: that matter)."""
        view = self.context + self.stride * (LSTM_VIEW if self.lstm else -sum(min(taps) for taps in self._taps))
        return view + self.pairs  # the second of a pair begins with the first

    @property
    def lookahead(self) -> int:
        """Frames after a frame that its logits depend on (with an LSTM: that matter)."""
        after = self.context if self.context_after is None else self.context_after
        view = after + self.stride * (LSTM_VIEW if self.lstm else sum(max(taps) for taps in self._taps))
        return view + self.pairs  # the first of a pair waits for the second

    @property
    def stride(self) -> int:
        """Frames of a step along time."""
        return 1 + self.pairs

    @property
    def _taps(self) -> list[tuple[int, int, int]]:
        """The three frames that each convolution combines: one ahead, or two that lie back."""
        ahead = self.dilations if self.ahead is None else self.ahead
        return [(-d, 0, a) if a else (-2 * d, -d, 0) for d, a in zip(self.dilations, ahead, strict=True)]

    @nn.compact
    def __call__(self, x_BxTxF: jax.Array, mask_BxT: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Normalised log filter bank [B, T, 80], mask [B, T] bool -> logits [B, T, classes]; dropout if given a key."""
        batch, frames, _ = x_BxTxF.shape
        drop = _Dropout(self.dropout, key)
        after = self.context if self.context_after is None else self.context_after
        x_BxTxC = jnp.where(mask_BxT[..., None], x_BxTxF, 0.0)
        x_BxTxC = stack_frames(x_BxTxC, range(-self.context, after + self.stride), self.stride)
        mask_BxTx1 = mask_BxT[:, :: self.stride, None]
        for _ in range(3):
            x_BxTxC = drop(clipped_relu(nn.Dense(self.dense, kernel_init=nn.initializers.he_normal())(x_BxTxC)))
        if self.lstm:
            cells = [nn.RNN(nn.LSTMCell(self.width)) for _ in range(2)]
            x_BxTxC = nn.Bidirectional(*cells)(x_BxTxC, seq_lengths=mask_BxTx1[..., 0].sum(-1))
        else:
            x_BxTxC = nn.Dense(self.width)(x_BxTxC)
            for taps in self._taps:
                y_BxTxC = jnp.where(mask_BxTx1, nn.LayerNorm()(x_BxTxC), 0.0)
                y_BxTxC = clipped_relu(nn.Dense(self.width)(stack_frames(y_BxTxC, taps)))
                x_BxTxC = x_BxTxC + drop(nn.Dense(self.width)(y_BxTxC) if self.projected else y_BxTxC)
            x_BxTxC = nn.LayerNorm()(x_BxTxC)
        x_BxTxC = drop(clipped_relu(nn.Dense(self.width, kernel_init=nn.initializers.he_normal())(x_BxTxC)))
        return nn.Dense(self.stride * self.classes)(x_BxTxC).reshape(batch, frames, self.classes)


class _Dropout:
    """Dropout of whole channels of an example, the randomness a key passed in; the identity without one."""

    def __init__(self, rate: float, key: jax.Array | None):
        self.rate, self.key, self.calls = rate, key, 0

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.key is None or self.rate == 0:
            return x
        self.calls += 1
        key, shape = jax.random.fold_in(self.key, self.calls), (x.shape[0], 1, x.shape[2])
        kept = jax.random.bernoulli(key, 1 - self.rate, shape)
        return jnp.where(kept, x / (1 - self.rate), 0.0)


Module = AcousticModel | AcousticTransformer


class Recogniser:
    """An acoustic model with its weights: speech of any length to its PPG, piece by piece in flat memory.

    A recording is cut into pieces of one of two fixed lengths, so that only two programs are ever compiled; each piece
    is given the frames around it that its output depends on.
    """

    SHORT, LONG = 256, 1024  # frames of a piece with its surroundings

    def __init__(
        self,
        module: Module,
        params: Mapping,
        constants: Mapping[str, np.ndarray],
        hash: str,
    ):
        self.module, self.hash = module, hash
        self.card: dict[str, Any] = {}
        self._params, self._constants = params, constants
        if module.lookback + module.lookahead >= self.SHORT:
            self.SHORT = self.LONG

    @classmethod
    def load(cls, path: str | os.PathLike | None = None) -> "Recogniser":
        """The model of a .safetensors file or export folder; None: the shipped one. UserError: see exports.load."""
        path = _SHIPPED if path is None else path
        params, constants, card = exports.load_part(path, "acoustic")
        config = dict(card["config"])
        network = AcousticTransformer if config.pop("network", None) == "transformer" else AcousticModel
        module = model_config.build(network, config, path)
        model_config.check_constants(constants, {"mean": (MELS,), "std": (MELS,)}, path)
        if network is AcousticTransformer:
            misfit = module.back is None  # a teacher, whose positions end after 30 s
        else:
            misfit = module.ahead is not None and len(module.ahead) != len(module.dilations)
        if misfit or module.classes - len(PHONES) not in (0, 1) or not constants["std"].all():
            raise UserError(f"{path}: its card or constants are those of no acoustic model here; train it again")
        out = cls(module, params, constants, card["sha256"])
        out.card = card
        return out

    def __call__(self, signal: np.ndarray, n_frames: int) -> np.ndarray:
        """PPG float32 [n_frames, 41] of `signal` float [n] in [-1, 1] at 16 kHz, padded or trimmed to n_frames."""
        return to_video_rate(self.posteriors(fit(signal, n_frames)))

    def posteriors(self, signal: np.ndarray) -> np.ndarray:
        """Phone posteriors at 50 Hz, [640 T] -> [2T, 41] float32."""
        lookback, lookahead, frames = self.module.lookback, self.module.lookahead, len(signal) // HOP
        length = self.SHORT if frames <= self.SHORT else self.LONG
        out = np.empty((frames, len(PHONES)), np.float32)
        done = 0
        while done < frames:
            start = max(0, (done - lookback) // 2 * 2)  # even, as all borders are: pairs stay together
            there = min(length, frames - start)
            piece = self.module.features(signal, start, start + there)
            padded = np.pad(piece, ((0, len(piece) // there * (length - there)), (0, 0)))
            posteriors = np.asarray(self._run(padded[None], np.arange(length)[None] < there))[0]
            end = frames if start + length >= frames else start + length - lookahead - lookahead % 2
            out[done:end] = posteriors[done - start : end - start]
            done = end
        return out

    @functools.cached_property
    def _run(self):
        mean, std = self._constants["mean"], self._constants["std"]
        params = jax.tree.map(jnp.asarray, self._params)

        @jax.jit
        def run(params, fbank_BxTxF, mask_BxT):
            logits_BxTxC = self.module.apply({"params": params}, (fbank_BxTxF - mean) / std, mask_BxT)
            if self.module.blank is not None:
                logits_BxTxC = logits_BxTxC[..., : self.module.blank] / CTC_TEMPERATURE
            return nn.softmax(logits_BxTxC)

        return functools.partial(run, params)


_SHIPPED = os.path.join(os.path.dirname(os.path.dirname(__file__)), "assets", "acoustic.safetensors")
