"""Variational style enhancer E^v (paper, §3.2): a Gaussian posterior made flexible by Householder steps."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Shaped

from vast_jax.types import Array

LOGVAR_RANGE = (-8.0, 4.0)  # keeps exp(logvar), hence the loss, finite whatever the encoder says


def householder(z_xS: Float[Array, "... S"], v_xS: Float[Array, "... S"]) -> Array:
    """Reflects z in the hyperplane orthogonal to v, (I - 2 u uᵀ) z with u = v / ‖v‖, in float32.

    The determinant is -1, so the step keeps norms and volume (Tomczak and Welling, 2016). The small constant keeps
    the gradient finite at v = 0; bfloat16 would lose the norm by about 0.15 %.
    """
    z_xS, v_xS = z_xS.astype(jnp.float32), v_xS.astype(jnp.float32)
    u_xS = v_xS * jax.lax.rsqrt(jnp.sum(jnp.square(v_xS), axis=-1, keepdims=True) + 1e-12)
    return z_xS - 2 * u_xS * jnp.sum(u_xS * z_xS, axis=-1, keepdims=True)


class StyleEnhancer(nn.Module):
    """Encoder summary h to the posterior of the style: z_0 ~ N(mu, diag exp logvar), then K Householder steps.

    The prior is N(0, I), which the steps leave as it is, so the divergence is that of the Gaussian
    (`losses.kl_standard_normal`) and the flow acts through the decoder alone. `householder_steps=0` is the paper's
    ablation without flow.
    """

    style_width: int
    householder_steps: int

    @nn.compact
    def __call__(
        self, h_BxH: Float[Array, "B H"], key: Array | None = None, temperature: Shaped[Array, ""] | float = 1.0
    ) -> tuple[Array, Array, Array]:
        """Returns mu, logvar and z_K, each [B, S] float32; without a key z_0 is mu, the posterior's centre."""
        h_BxH = h_BxH.astype(jnp.float32)
        mu_BxS = nn.Dense(self.style_width, name="mu")(h_BxH)
        logvar_BxS = jnp.clip(nn.Dense(self.style_width, name="logvar")(h_BxH), *LOGVAR_RANGE)
        z_BxS = mu_BxS
        if key is not None:
            noise_BxS = jax.random.normal(key, mu_BxS.shape)
            z_BxS = mu_BxS + temperature * jnp.exp(0.5 * logvar_BxS) * noise_BxS
        v_BxS = h_BxH
        for k in range(self.householder_steps):
            # Biases of unit variance start ‖v‖ near √S, far from zero, where the direction is undefined.
            v_BxS = nn.Dense(self.style_width, bias_init=nn.initializers.normal(1.0), name=f"v_{k + 1}")(v_BxS)
            z_BxS = householder(z_BxS, v_BxS)
        return mu_BxS, logvar_BxS, z_BxS
