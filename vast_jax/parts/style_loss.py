"""The loss of style transfer: reconstruction and divergence (paper, §3.2 and 3.3), and what keeps a face alive."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vast_jax import losses
from vast_jax.models.expression_decoder import Chances
from vast_jax.models.style_transfer import Reconstruction, normalise
from vast_jax.parts.style_data import BEGINS, UNDER_WAY
from vast_jax.types import Array, Batch, Metrics


class Weights(NamedTuple):
    """How much each term counts; they are described where they are set, in `style.StylePart`."""

    wandering: float
    blinking: float
    statistics: float
    lips: float
    velocity: float
    kl: float
    free_bits: float


def style_loss(
    out: Reconstruction,
    batch: Batch,
    progress: Array,
    constants: Mapping[str, Array],
    weights: Weights,
    error: Literal["asym", "mse"],
) -> tuple[Array, Metrics]:
    """The loss of a batch [B, T] of clips, and its terms.

    Args:
      out: what the model makes of it.
      batch: see `style_data.Examples`.
      progress: share of the steps that are done.
      constants: of the part: mean, std and weight of each parameter, weak ones' indices, lips [D, measures].
      weights: of the terms.
      error: of an element of the reconstruction.
    """
    mean, std, weight, lips = (jnp.asarray(constants[name]) for name in ("mean", "std", "weight", "lips"))
    weak, element = np.asarray(constants["weak"]), {"asym": losses.asymmetric_error, "mse": losses.squared_error}[error]
    x, seen = normalise(batch["expression"], mean, std), batch["mask"] & batch["valid"]
    metrics = {
        "reconstruction": losses.masked_mean(element(out.expression, x) * weight, seen),
        "lips": losses.masked_mean(jnp.square((out.expression - x) @ lips), seen),
        "velocity": losses.velocity_error(out.expression, x, seen),
    }
    if out.chances is not None:
        terms = _unlikeliness(out.chances, x[..., weak] - out.free, batch["blink"], seen)
        metrics |= dict(zip(("wandering", "blinking"), terms, strict=True))
    if weights.statistics:
        free = out.expression.at[..., weak].set(out.free)
        rest, liveliness = losses.statistics_errors(free, x, seen)
        # not the weak ones' liveliness: free-running, they learned to swing like pendulums for it
        errors = rest + liveliness.at[..., weak].set(0.0)
        metrics["statistics"] = (errors * jnp.maximum(weight, 1)).mean()  # small ones are seen as well where they stay
    total = metrics["reconstruction"]
    for name in ("lips", "velocity", "wandering", "blinking", "statistics"):
        total += getattr(weights, name) * metrics.get(name, 0.0)
    kl = losses.kl_standard_normal(out.mu, out.logvar)
    total += weights.kl * jnp.minimum(progress / 0.2, 1) * losses.free_bits(kl, weights.free_bits)
    return total, metrics | {"kl": kl.sum(-1).mean()}


def _unlikeliness(chances: Chances, departure_BxTxW: Array, blink_BxT: Array, seen_BxT: Array) -> tuple[Array, Array]:
    """Negative log-likelihood of how true frames wander about the course, a parameter and frame, and of their blinks.

    `departure_BxTxW` is from the free-running course, which the wandering does not teach: else it would chase chance.
    """
    departure = jax.lax.stop_gradient(departure_BxTxW)
    centre, _ = losses.mean_and_deviation(departure, seen_BxT)
    scaled = (departure - centre[:, None]) * jnp.exp(-chances.log_sigma)
    wandering = losses.masked_mean(0.5 * jnp.square(scaled) + chances.log_sigma, seen_BxT)
    begins = blink_BxT == BEGINS
    logit = chances.blink[..., 0]
    of_blink = jax.nn.softplus(logit) - begins * logit
    return wandering, losses.masked_mean(of_blink, seen_BxT & (blink_BxT != UNDER_WAY))
