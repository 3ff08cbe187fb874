"""The acoustic model that begins with what Whisper has learned: its encoder, made to stream.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022): log mel spectrum at 100 Hz -> two
convolutions -> pre-norm Transformer at 50 Hz. Here attention sees a second back and a few frames ahead, and its
absolute positions have become a bias of each head for each distance, so that any cutting into pieces is exact.
"""

from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from vast_jax.audio import HOP, PHONES, log_mel
from vast_jax.models.attention import LocalAttention
from vast_jax.models.dropout import dropout
from vast_jax.types import Array

POSITIONS = 1500  # frames for which Whisper has positions: 30 s


class PhoneClassifier:
    """What every acoustic model has: `classes`, and features of its own."""

    spectrum: ClassVar[Callable[[np.ndarray], np.ndarray]]  # of a signal of whole video frames
    per_frame: ClassVar[int] = 1  # rows of it for a frame of labels

    @property
    def blank(self) -> int | None:
        """The class of CTC that is no phone; None: trained frame by frame."""
        return len(PHONES) if self.classes > len(PHONES) else None

    @classmethod
    def features(cls, signal: np.ndarray, start: int, end: int) -> np.ndarray:
        """What the model reads for frames [start, end) of `signal` [320 T], even borders: [rows, 80]."""
        first, last = max(0, start - 2), end + 2  # a video frame more on each side, for the window
        rows = cls.spectrum(signal[first * HOP : last * HOP])
        return rows[(start - first) * cls.per_frame : (end - first) * cls.per_frame]


class AcousticTransformer(PhoneClassifier, nn.Module):
    """Logits of the phones at every frame, 50 a second, from `audio.log_mel` at 100.

    The output on valid frames, which come first, does not depend on what is masked.
    """

    width: int = 384
    heads: int = 6
    hidden: int = 1536  # units between the two dense layers of a block
    back: int | None = 50  # frames that a layer looks back; None: all see all, by Whisper's absolute positions
    ahead: tuple[int, ...] = (2, 2, 2, 2)  # frames that each layer looks ahead
    dropout: float = 0.0
    classes: int = len(PHONES)  # one more for CTC: blank, the last

    LAYERS: ClassVar[str] = "layers"  # collection in which `apply` finds what comes out of each layer, if it asks

    spectrum = staticmethod(log_mel)
    per_frame = 2

    @property
    def lookback(self) -> int:
        """Frames before a frame that its logits depend on."""
        return len(self.ahead) * self.back + 1

    @property
    def lookahead(self) -> int:
        """Frames after a frame that its logits depend on."""
        return sum(self.ahead) + 1

    @nn.compact
    def __call__(self, x_BxUxF: Float[Array, "B U F"], mask_BxT: Bool[Array, "B T"], key: Array | None = None) -> Array:
        """Normalised log mel [B, 2T, 80], mask [B, T] bool -> logits [B, T, classes]; dropout if given a key."""

        def drop(x_BxTxC: Float[Array, "B T C"], call: int) -> Array:
            return dropout(x_BxTxC, self.dropout, None if key is None else jax.random.fold_in(key, call))

        mask_BxUx1 = jnp.repeat(mask_BxT, 2, axis=1)[..., None]
        padding = ((1, 1),)
        x_BxUxC = nn.gelu(nn.Conv(self.width, (3,), padding=padding)(jnp.where(mask_BxUx1, x_BxUxF, 0)), False)
        x_BxTxC = nn.gelu(nn.Conv(self.width, (3,), 2, padding=padding)(jnp.where(mask_BxUx1, x_BxUxC, 0)), False)
        if self.back is None:
            positions = self.param("position", nn.initializers.zeros, (POSITIONS, self.width))
            x_BxTxC = x_BxTxC + positions[: x_BxTxC.shape[1]]
        else:
            x_BxTxC = x_BxTxC + self.param("position", nn.initializers.zeros, (self.width,))  # Whisper's mean one
        for layer, ahead in enumerate(self.ahead):
            attention = LocalAttention(self.heads, self.back, ahead, "learned", name=f"attention_{layer}")
            x_BxTxC = x_BxTxC + drop(attention(nn.LayerNorm(epsilon=1e-5)(x_BxTxC), mask_BxT), 2 * layer)
            y_BxTxH = nn.gelu(nn.Dense(self.hidden)(nn.LayerNorm(epsilon=1e-5)(x_BxTxC)), False)
            x_BxTxC = x_BxTxC + drop(nn.Dense(self.width)(y_BxTxH), 2 * layer + 1)
            self.sow(self.LAYERS, "outputs", x_BxTxC)
        return nn.Dense(self.classes, kernel_init=nn.initializers.zeros)(nn.LayerNorm(epsilon=1e-5)(x_BxTxC))
