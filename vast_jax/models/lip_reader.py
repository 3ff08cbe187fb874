"""The lip reader: mouth crops to words, after LipNet (Assael et al. 2016, arXiv:1611.01599).

LipNet's plan: spatio-temporal convolutions -> bidirectional GRU -> classes a frame -> CTC. The classes are GRID's 51
words and a blank; a second head tells phones, which teaches what words have in common and is not used to read.
"""

import functools
import itertools
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Num

from vast_jax.audio import PHONES
from vast_jax.data.grid_corpus import BLANK, GRAMMAR, WORDS
from vast_jax.face.mouth_crop import MOUTH_CROP
from vast_jax.models import ctc
from vast_jax.models.dropout import dropout
from vast_jax.types import Array, UserError
from vast_jax.weights import exports, model_config

VIEW = 80  # pixels of the middle of the crop that the reader looks at: nose to chin, no background
SHRINK = 2  # GRID's own resolution is no better
VIEW_SIZE = VIEW // SHRINK


def shrink(views: np.ndarray) -> np.ndarray:
    """[T, 80, 80, 3] uint8 to [T, 40, 40, 3], pixels averaged."""
    return np.stack([cv2.resize(view, (VIEW_SIZE, VIEW_SIZE), interpolation=cv2.INTER_AREA) for view in views])


def middle(mouths: np.ndarray) -> np.ndarray:
    """What the reader sees of mouth crops [T, 96, 96, 3] uint8: [T, 40, 40, 3] uint8."""
    edge = (MOUTH_CROP - VIEW) // 2
    return shrink(mouths[:, edge : edge + VIEW, edge : edge + VIEW])


def beside(x: Array, offsets: tuple[int, ...]) -> Array:
    """Each frame beside those `offsets` frames from it, zeros beyond the ends: [B, T, ..., C] -> [.., len(offsets) C].

    Before a spatial convolution it makes a spatio-temporal one, which CPUs compute faster.
    """
    frames, reach = x.shape[1], max(map(abs, offsets))
    padded = jnp.pad(x, [(0, 0), (reach, reach)] + [(0, 0)] * (x.ndim - 2))
    return jnp.concatenate([padded[:, reach + o : reach + o + frames] for o in offsets], axis=-1)


def standardise(x_BxTxHxWxC: Float[Array, "B T H W C"], mask_BxT: Bool[Array, "B T"]) -> Array:
    """Mean 0 and deviation 1 of each colour over a clip's valid frames; 0 in the others."""
    mask = mask_BxT[:, :, None, None, None]
    count = jnp.maximum(mask.sum((1, 2, 3), keepdims=True), 1) * np.prod(x_BxTxHxWxC.shape[2:4])
    centred = jnp.where(mask, x_BxTxHxWxC, 0.0)
    centred = jnp.where(mask, x_BxTxHxWxC - centred.sum((1, 2, 3), keepdims=True) / count, 0.0)
    variance = jnp.square(centred).sum((1, 2, 3), keepdims=True) / count
    return centred / jnp.sqrt(variance + 1.0)


class GRU(nn.Module):
    """A gated recurrent unit over [B, T, C]; its state is 0 before the first valid frame, and 0 in invalid ones."""

    state: int
    reverse: bool = False

    @nn.compact
    def __call__(self, x_BxTxC: Float[Array, "B T C"], mask_BxT: Bool[Array, "B T"]) -> Array:
        gates_BxTxG = nn.Dense(3 * self.state)(x_BxTxC)
        # One product for all gates, that of the input outside the loop: several times faster than flax's cell.
        kernel = self.param("recurrent", nn.initializers.orthogonal(column_axis=0), (self.state, 3 * self.state))
        bias = self.param("bias", nn.initializers.zeros, (self.state,))

        def step(h_BxH, at):
            gates_BxG, valid_Bx1 = at
            reset, update, new = jnp.split(gates_BxG, 3, axis=-1)
            h_reset, h_update, h_new = jnp.split(h_BxH @ kernel, 3, axis=-1)
            update = nn.sigmoid(update + h_update)
            new = jnp.tanh(new + nn.sigmoid(reset + h_reset) * (h_new + bias))
            h_BxH = jnp.where(valid_Bx1, (1 - update) * new + update * h_BxH, 0.0)
            return h_BxH, h_BxH

        start = jnp.zeros((x_BxTxC.shape[0], self.state), gates_BxTxG.dtype)
        over = gates_BxTxG.swapaxes(0, 1), mask_BxT.swapaxes(0, 1)[..., None]
        return jax.lax.scan(step, start, over, reverse=self.reverse)[1].swapaxes(0, 1)


class LipNet(nn.Module):
    """Logits of words and phones at every video frame. What is masked does not matter to the valid frames."""

    channels: tuple[int, ...] = (32, 64, 128)  # of the convolutions, of strides 4, 2 and 1
    width: int = 256  # units of a frame
    dilations: tuple[int, ...] = (1, 2)  # of the residual convolutions over three frames
    state: int = 160  # units of the GRU, a direction
    dropout: float = 0.3
    words: int = len(WORDS) + 1
    phones: int = len(PHONES)

    @nn.compact
    def __call__(
        self, views_BxTxHxWxC: Num[Array, "B T H W C"], mask_BxT: Bool[Array, "B T"], key: Array | None = None
    ) -> tuple[Array, Array]:
        """Views [B, T, 40, 40, 3] of 0 to 255, mask [B, T] bool -> logits [B, T, words], [B, T, phones].

        Dropout if given a key. Class 0 of the words is CTC's blank.
        """
        batch, frames, height, width, colours = views_BxTxHxWxC.shape
        keys = itertools.repeat(None) if key is None else iter(jax.random.split(key, 4 + len(self.dilations)))
        mask_BxTx1 = mask_BxT[..., None]

        def drop(x_BxTxC):
            return dropout(x_BxTxC, self.dropout, next(keys), shared=1)

        def convolve(x_BxTxHxWxC, channels, stride, temporal=False):
            if temporal:
                seen = mask_BxT[:, :, None, None, None]
                x_BxTxHxWxC = beside(jnp.where(seen, x_BxTxHxWxC, 0.0), (-1, 0, 1))
            x_NxHxWxC = x_BxTxHxWxC.reshape(batch * frames, *x_BxTxHxWxC.shape[2:])
            x_NxHxWxC = nn.relu(nn.LayerNorm()(nn.Conv(channels, (3, 3), (stride, stride))(x_NxHxWxC)))
            return x_NxHxWxC.reshape(batch, frames, *x_NxHxWxC.shape[1:])

        x = standardise(jnp.asarray(views_BxTxHxWxC, jnp.float32), mask_BxT)
        x = x.reshape(batch, frames, height // 2, 2, width // 2, 2, colours).swapaxes(3, 4)
        x = x.reshape(batch, frames, height // 2, width // 2, 4 * colours)  # space to depth
        x = convolve(x, self.channels[0], 2, temporal=True)
        x = convolve(x, self.channels[1], 2)
        x = convolve(x, self.channels[2], 1)
        x_BxTxC = nn.Dense(self.width)(drop(x.reshape(batch, frames, -1)))
        for dilation in self.dilations:
            y_BxTxC = jnp.where(mask_BxTx1, nn.LayerNorm()(x_BxTxC), 0.0)
            y_BxTxC = nn.Dense(self.width)(beside(y_BxTxC, (-dilation, 0, dilation)))
            x_BxTxC = x_BxTxC + drop(nn.relu(y_BxTxC))
        x_BxTxC = drop(nn.LayerNorm()(x_BxTxC))
        both = [GRU(self.state, reverse)(x_BxTxC, mask_BxT) for reverse in (False, True)]
        phones = nn.Dense(self.phones)(x_BxTxC)
        return nn.Dense(self.words)(drop(jnp.concatenate(both, axis=-1))), phones


class Reading(NamedTuple):
    """What was read from a clip."""

    greedy: tuple[str, ...]  # without the grammar: any of the 51 words, any number of them
    constrained: tuple[str, ...]  # the most probable of the grammar's 64,000 sentences


class LipReader:
    """A lip reader with its weights: mouth crops of any length to log-probabilities of words a frame."""

    BUCKET = 25  # frames: lengths are padded to a multiple, so that few programs are compiled

    def __init__(self, module: LipNet, params: Mapping[str, Any], card: Mapping[str, Any] | None = None):
        self.module, self.card = module, dict(card or {})
        self._params = params

    @classmethod
    def load(cls, path: str | os.PathLike | None = None) -> "LipReader":
        """Of a .safetensors file or export folder; None: the shipped one. UserError: see exports.load."""
        path = _SHIPPED if path is None else path
        params, _, card = exports.load_part(path, "lipreader")
        module = model_config.build(LipNet, card["config"], path)
        if module.words != len(WORDS) + 1 or len(module.channels) != 3:
            raise UserError(f"{path}: its card describes no lip reader of {len(WORDS)} words; train it again")
        return cls(module, params, card)

    def log_probabilities(self, mouths: np.ndarray) -> np.ndarray:
        """Mouth crops [T, 96, 96, 3] uint8 -> [T, 52] float32; class 0 is the blank.

        Raises:
          UserError: crops of another shape or type.
        """
        if mouths.ndim != 4 or mouths.shape[1:] != (MOUTH_CROP, MOUTH_CROP, 3) or mouths.dtype != np.uint8:
            raise UserError(f"the lip reader needs uint8 mouth crops [T, 96, 96, 3], not {mouths.dtype} {mouths.shape}")
        if len(mouths) == 0:
            return np.zeros((0, self.module.words), np.float32)
        length = -(-len(mouths) // self.BUCKET) * self.BUCKET
        views = np.zeros((1, length, VIEW_SIZE, VIEW_SIZE, 3), np.uint8)
        views[0, : len(mouths)] = middle(mouths)
        return np.asarray(self._run(views, np.arange(length)[None] < len(mouths)))[0, : len(mouths)]

    def read(self, mouths: np.ndarray) -> Reading:
        """The words of mouth crops [T, 96, 96, 3] uint8 at 25 frames a second.

        Raises:
          UserError: crops of another shape or type, or fewer than six.
        """
        if len(mouths) < len(GRAMMAR):
            raise UserError(f"a clip of {len(mouths)} frames is too short for a sentence of {len(GRAMMAR)} words")
        log_probabilities = self.log_probabilities(mouths)
        places = [[WORDS.index(word) + 1 for word in place] for place in GRAMMAR]
        return Reading(
            _spelled(ctc.greedy(log_probabilities, BLANK)),
            _spelled(ctc.best_sentence(log_probabilities, places, BLANK)),
        )

    @functools.cached_property
    def _run(self):
        params = jax.tree.map(jnp.asarray, self._params)

        @jax.jit
        def run(params, views_BxTxHxWxC, mask_BxT):
            return nn.log_softmax(self.module.apply({"params": params}, views_BxTxHxWxC, mask_BxT)[0])

        return functools.partial(run, params)


def _spelled(classes: list[int]) -> tuple[str, ...]:
    return tuple(WORDS[c - 1] for c in classes)


_SHIPPED = os.path.join(os.path.dirname(os.path.dirname(__file__)), "assets", "lipreader.safetensors")
