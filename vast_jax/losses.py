"""Losses of every part: pure functions of arrays, each a mean over what it judges unless it says otherwise."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Shaped

from vast_jax.types import Array

UNDERSHOOT = 1.5  # weights of the asymmetric loss, 1:3 as in Tran et al. (2018), normalised to keep the
OVERSHOOT = 0.5  # average curvature of the squared error


def masked_mean(values: Shaped[Array, "..."], mask: Shaped[Array, "..."] | None = None) -> Float[Array, ""]:
    """Mean of `values` where `mask` (broadcast over trailing axes) is true; 0 if it is true nowhere."""
    if mask is None:
        return jnp.mean(values)
    mask = mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim)).astype(values.dtype)
    mask = jnp.broadcast_to(mask, values.shape)
    return jnp.sum(values * mask) / jnp.maximum(jnp.sum(mask), 1)


def l1(x: Float[Array, "*S"], y: Float[Array, "*S"], mask: Shaped[Array, "..."] | None = None) -> Float[Array, ""]:
    """Mean absolute error of two arrays of one shape, over the masked positions only where a mask is given."""
    return masked_mean(jnp.abs(x - y), mask)


def l1_by_scale(
    x: Float[Array, "B *T H W C"], y: Float[Array, "B *T H W C"], weight: Float[Array, "B *T H W 1"], halvings: int
) -> tuple[Float[Array, "B S"], Float[Array, "B S"]]:
    """Absolute errors of pictures and of their means over squares of 2, 4, ... pixels: sums and weights, [B, S] each.

    x, y [B, ..., H, W, C], H and W multiples of 2^halvings; weight [B, ..., H, W, 1]; S = halvings + 1. Of a picture's
    fine detail much is chance, and outweighs in plain L1 that a mouth is too light or too shut, which the coarser ones
    see alone.
    """
    difference, sums, weights = x - y, [], []
    for i in range(halvings + 1):
        if i:
            difference, weight = (_halved(array) for array in (difference, weight))
        sums.append(jnp.sum(jnp.abs(difference) * weight, axis=range(1, difference.ndim)))
        weights.append(jnp.sum(weight, axis=range(1, weight.ndim)) * difference.shape[-1])
    return jnp.stack(sums, -1), jnp.stack(weights, -1)


def pooled(sums_BxS: Float[Array, "B S"], weights_BxS: Float[Array, "B S"]) -> Float[Array, " S"]:
    """Weighted means [S] over a batch, from each example's sums and weights."""
    return sums_BxS.sum(0) / jnp.maximum(weights_BxS.sum(0), 1)


def _halved(image: Float[Array, "*B H W C"]) -> Float[Array, "*B {image.shape[-3]//2} {image.shape[-2]//2} C"]:
    """Means over squares of two pixels: [..., H, W, C] to [..., H/2, W/2, C]."""
    *front, height, width, channels = image.shape
    return image.reshape(*front, height // 2, 2, width // 2, 2, channels).mean((-4, -2))


def squared_error(prediction: Float[Array, "..."] | float, target: Float[Array, "..."] | float) -> Float[Array, "..."]:
    """Squared error of each element: the symmetric counterpart of `asymmetric_error`."""
    return jnp.square(prediction - target)


def asymmetric_error(
    prediction: Float[Array, "..."] | float,
    target: Float[Array, "..."] | float,
    overshoot: float = OVERSHOOT,
    undershoot: float = UNDERSHOOT,
) -> Float[Array, "..."]:
    """Squared error of each element that costs more where the prediction falls short of the target (paper, §3.4).

    The loss of Tran et al. (2018, "Extreme 3D Face Reconstruction") in its element form: with e = sign(g) p - |g|,
    `overshoot` e² where e > 0 and `undershoot` e² otherwise. Magnitude is measured from zero, so both arrays are
    deviations from the mean movement. The sign of a zero target counts as positive: with sign(0) = 0 such an element
    would have no loss and no gradient, whatever was predicted.
    """
    error = jnp.where(target >= 0, prediction, -prediction) - jnp.abs(target)
    return jnp.where(error > 0, overshoot, undershoot) * jnp.square(error)


def velocity_error(
    prediction: Float[Array, "B T *D"], target: Float[Array, "B T *D"], mask: Bool[Array, "B T"] | None = None
) -> Float[Array, ""]:
    """Mean squared error of the frame-to-frame differences of two [B, T, ...] arrays; both frames must be valid."""
    pair = None if mask is None else mask[:, 1:] & mask[:, :-1]
    return masked_mean(jnp.square(jnp.diff(prediction, axis=1) - jnp.diff(target, axis=1)), pair)


def mean_and_deviation(
    x: Float[Array, "B T D"], mask: Bool[Array, "B T"], epsilon: float = 1e-4
) -> tuple[Float[Array, "B D"], Float[Array, "B D"]]:
    """Over the masked [B, T] frames of [B, T, D], [B, D] each; what lies behind the mask is never seen, even NaN.

    `epsilon` is added to the variance, so that the gradient is finite where nothing moves.
    """
    mask = mask[..., None]
    x = jnp.where(mask, x, 0)
    count = jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1)
    mean = jnp.sum(x, axis=1, keepdims=True) / count
    variance = jnp.sum(jnp.square(x - mean) * mask, axis=1) / count[:, 0]
    return mean[:, 0], jnp.sqrt(variance + epsilon)


def statistics_errors(
    prediction: Float[Array, "B T D"], target: Float[Array, "B T D"], mask: Bool[Array, "B T"]
) -> tuple[Float[Array, "B D"], Float[Array, "B D"]]:
    """Squared errors of the mean and of the standard deviation over time of each parameter, [B, T, D] -> [B, D] each.

    A regression shrinks what it cannot foresee; these keep rest positions and liveliness. `mask` [B, T].
    """
    pairs = zip(mean_and_deviation(prediction, mask), mean_and_deviation(target, mask), strict=True)
    rest, liveliness = (jnp.square(predicted - true) for predicted, true in pairs)
    return rest, liveliness


def kl_standard_normal(mu: Float[Array, "..."] | float, logvar: Float[Array, "..."] | float) -> Float[Array, "..."]:
    """KL(N(mu, diag exp logvar) || N(0, I)) of each dimension, in nats, closed form (sum the last axis for the whole).

    Householder steps are orthogonal, so they change neither the density under the isotropic prior nor the volume:
    this is also the divergence of the posterior after the flow (paper, Eq. 2).
    """
    return 0.5 * (jnp.square(mu) + jnp.exp(logvar) - 1 - logvar)


def free_bits(kl_BxS: Float[Array, "B S"], nats: float) -> Float[Array, ""]:
    """Sum over dimensions of the batch's mean divergence, each held at `nats` or more so that none is pushed to zero.

    Kingma et al. (2016), "Improved Variational Inference with Inverse Autoregressive Flow".
    """
    return jnp.sum(jnp.maximum(jnp.mean(kl_BxS, axis=0), nats))


def discriminator_loss(real_logits: Float[Array, "..."], fake_logits: Float[Array, "..."]) -> Float[Array, ""]:
    """Binary cross-entropy of a discriminator: real towards 1, generated towards 0 (Goodfellow et al., 2014)."""
    return jnp.mean(jax.nn.softplus(-real_logits)) + jnp.mean(jax.nn.softplus(fake_logits))


def generator_loss(fake_logits: Float[Array, "..."]) -> Float[Array, ""]:
    """Non-saturating generator loss, -log D(G(.)): its gradient does not vanish where the discriminator is sure."""
    return jnp.mean(jax.nn.softplus(-fake_logits))


def feature_distance(
    features_a: Sequence[Float[Array, "..."]], features_b: Sequence[Float[Array, "..."]]
) -> Float[Array, ""]:
    """Sum over layers of the mean squared difference of two networks' features: the paper's perceptual loss (§3.5)."""
    return sum(jnp.mean(jnp.square(a - b)) for a, b in zip(features_a, features_b, strict=True))
