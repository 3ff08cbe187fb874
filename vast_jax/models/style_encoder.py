"""Style encoder E^p (paper, §3.2): a clip's expression and speech to one vector that says how the person speaks."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Bool, Float

from vast_jax.losses import mean_and_deviation
from vast_jax.types import Array


class StyleEncoder(nn.Module):
    """Masked convolutions over time, then a GRU whose state at the last valid frame is the summary.

    The order of expression parameters means nothing, so the convolutions run over time alone, unlike those over
    spectrograms of the reference encoder they follow (Skerry-Ryan et al., 2018). The result does not depend on what
    lies behind the mask, nor on how much of it there is.

    `pooled` adds mean and deviation over time of each expression parameter, as speaker encoders pool (Snyder et al.,
    2018, x-vectors): what is said of a face by plain statistics then holds for faces unlike those of the training.
    """

    channels: tuple[int, ...]
    state_width: int
    strides: tuple[int, ...] = (1, 2, 1, 2)
    speech_width: int = 64
    pooled: bool = False

    @nn.compact
    def __call__(
        self,
        x_BxTxD: Float[Array, "B T D"],
        ppg_BxTxP: Float[Array, "B T P"],
        mask_BxT: Bool[Array, "B T"],
        has_speech_B: Bool[Array, " B"],
    ) -> Array:
        """Normalised expression, PPG, valid frames (a prefix of each row) and whether the speech is known -> [B, H].

        Where `has_speech_B` is false the PPG is not looked at: a learned vector stands for unknown speech.
        """
        pooled = mean_and_deviation(x_BxTxD, mask_BxT) if self.pooled else ()
        speech_BxTxE = nn.Dense(self.speech_width, name="speech")(ppg_BxTxP)
        unknown_E = self.param("unknown_speech", nn.initializers.zeros, (self.speech_width,))
        speech_BxTxE = jnp.where(has_speech_B[:, None, None], speech_BxTxE, unknown_E)
        y_BxTxC = jnp.concatenate([x_BxTxD, speech_BxTxE], axis=-1)
        for channels, stride in zip(self.channels, self.strides, strict=True):
            y_BxTxC = jnp.where(mask_BxT[..., None], y_BxTxC, 0)
            # Explicit padding: "SAME" would centre strided windows by the padded length.
            y_BxTxC = nn.Conv(channels, (3,), (stride,), padding=((1, 1),))(y_BxTxC)
            mask_BxT = mask_BxT[:, ::stride]
            y_BxTxC = nn.relu(nn.LayerNorm()(y_BxTxC))
        lengths_B = jnp.maximum(jnp.sum(mask_BxT, axis=1), 1)
        y_BxTxC = jnp.where(mask_BxT[..., None], y_BxTxC, 0)
        state_BxH, _ = nn.RNN(nn.GRUCell(self.state_width), return_carry=True)(y_BxTxC, seq_lengths=lengths_B)
        return jnp.concatenate([nn.tanh(state_BxH), *pooled], axis=-1)
