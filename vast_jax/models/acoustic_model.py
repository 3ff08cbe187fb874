"""The acoustic model: filter bank to phonetic posteriorgram (paper section 3.1, after Deep Speech, arXiv:1412.5567).

Deep Speech's plan: stacked neighbouring frames -> three dense layers with clipped ReLU -> a layer that looks along time
-> dense -> classes. The layer along time is a bidirectional LSTM as in the paper, or residual dilated convolutions,
whose bounded view makes any cutting into pieces exact and, with few frames ahead, lets the model stream.
"""

import itertools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from vast_jax.audio import PHONES, log_fbank
from vast_jax.models.acoustic_transformer import PhoneClassifier
from vast_jax.models.dropout import dropout
from vast_jax.types import Array

LSTM_VIEW = 150  # frames that a piece of a recording overlaps its neighbours where an LSTM sees all: 3 s


def clipped_relu(x: Array) -> Array:
    """min(max(x, 0), 20), of Deep Speech."""
    return jnp.clip(x, 0.0, 20.0)


def stack_frames(x_BxTxC: Float[Array, "B T C"], offsets: Sequence[int], stride: int = 1) -> Array:
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
    def __call__(self, x_BxTxF: Float[Array, "B T F"], mask_BxT: Bool[Array, "B T"], key: Array | None = None) -> Array:
        """Normalised log filter bank [B, T, 80], mask [B, T] bool -> logits [B, T, classes]; dropout if given a key."""
        batch, frames, _ = x_BxTxF.shape
        keys = itertools.repeat(None) if key is None else (jax.random.fold_in(key, i) for i in itertools.count(1))

        def drop(x_BxTxC: Float[Array, "B T C"]) -> Array:
            """Whole channels of an example."""
            return dropout(x_BxTxC, self.dropout, next(keys), shared=1)

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
