"""The losses of renderer and discriminator (paper, the renderer's section): errors of pictures, and the game of two."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vast_jax import losses
from vast_jax.models.discriminator import Discriminator
from vast_jax.models.renderer import Renderer, composite, conditions
from vast_jax.training.example_loss import OfExamples
from vast_jax.types import Array, Batch, Metrics

HALVINGS = 3  # of the pictures in the coarse errors


class Weights(NamedTuple):
    """How much each term counts; they are described where they are set, in `renderer.RendererPart`."""

    l1: float
    coarse: float
    mouth: float
    perceptual: float
    gan: float
    matching: float


class Game(NamedTuple):
    """Two players who look at the same examples (`renderer_data.Examples`): "renderer" and "discriminator"."""

    renderer: Renderer
    discriminator: Discriminator
    perceptual: Callable[[Array, Array], Array]  # of pictures [N, H, W, 3], made and real
    weights: Weights
    composite: bool  # whether the template's pixels outside the hole are kept, and nothing is asked for there
    judged_frames: int  # of an example, that perceptual and adversarial loss look at; 0: all
    adversarial_from: float  # share of the steps before which the discriminator does not learn
    remat: bool  # whether features are computed again on the way back

    def losses(self) -> dict[str, OfExamples]:
        """{player: loss}; the discriminator's is against the renderer's new weights."""
        return {
            "renderer": OfExamples(self._drawn, self._renderer_loss),
            "discriminator": OfExamples(self._told_apart, self._discriminator_loss),
        }

    def _drawn(self, params, batch: Batch, key: Array, progress: Array):
        """Of one example: (sums and weights of errors by scale, {other term: its mean})."""
        image, frames, mesh, hole = self._render(params, batch)
        open_ = hole if self.composite else jnp.ones_like(hole)
        weight = open_ * (1 + self.weights.mouth * _inside(batch["boxes"], hole))
        fake, real, shape = self._judged(key, image, frames, mesh)
        logits, seen = self._judge(params, shape, fake)
        _, wanted = jax.lax.stop_gradient(self._judge(params, shape, real))
        means = {
            "perceptual": self.perceptual(fake, real),
            "gan": losses.generator_loss(logits),
            "matching": sum(losses.l1(a, b) for a, b in zip(seen, wanted, strict=True)) / len(seen),
        }
        errors = losses.l1_by_scale(image, frames, weight, HALVINGS)
        return errors, {name: value[None] for name, value in means.items()}

    def _renderer_loss(self, of_each, batch: Batch, progress: Array) -> tuple[Array, Metrics]:
        errors, means = of_each
        l1, *coarser = losses.pooled(*errors)
        coarse, found = sum(coarser), {name: value.mean() for name, value in means.items()}
        grown = jnp.clip((progress - self.adversarial_from) / max(self.adversarial_from, 1e-6), 0, 1)
        against = self.weights.gan * found["gan"] + self.weights.matching * found["matching"]
        plain = self.weights.l1 * l1 + self.weights.coarse * coarse + self.weights.perceptual * found["perceptual"]
        return plain + grown * against, {"l1": l1, "coarse": coarse, **found}

    def _told_apart(self, params, batch: Batch, key: Array, progress: Array) -> Array:
        """Of one example: how wrong the discriminator is."""
        image, frames, mesh, _ = jax.lax.stop_gradient(self._render(params, batch))
        fake, real, shape = self._judged(key, image, frames, mesh)
        logits, _ = self._judge(params, jnp.concatenate([shape, shape]), jnp.concatenate([real, fake]))
        return losses.discriminator_loss(*jnp.split(logits, 2))[None]

    def _discriminator_loss(self, of_each: Array, batch: Batch, progress: Array) -> tuple[Array, Metrics]:
        # Not before the renderer minds: one that had learned all of an early renderer's faults would drown it.
        return (progress >= self.adversarial_from) * of_each.mean(), {}

    def _render(self, params, batch: Batch) -> tuple[Array, Array, Array, Array]:
        mesh, frames, hole = pictures(batch)
        pictured = (*conditions(mesh, frames, hole), batch["ppg"])
        generated, _ = self._kept_apart(self.renderer.apply)({"params": params["renderer"]}, *pictured)
        return composite(generated, frames, hole) if self.composite else generated, frames, mesh, hole

    def _judged(self, key: Array, *arrays: Array) -> list[Array]:
        """Some frames of each example, evenly spread from a random one on."""
        total = arrays[0].shape[1]
        count = self.judged_frames or total
        at = (jax.random.randint(key, (), 0, total) + jnp.arange(count) * (total // count)) % total
        return [array[:, at].reshape(-1, *array.shape[2:]) for array in arrays]

    def _judge(self, params, mesh: Array, image: Array) -> tuple[Array, list[Array]]:
        return self._kept_apart(self.discriminator.apply)({"params": params["discriminator"]}, mesh, image)

    def _kept_apart(self, function: Callable) -> Callable:
        return jax.checkpoint(function) if self.remat else function


def pictures(batch: Batch) -> tuple[Array, Array, Array]:
    """Mesh and frames in [-1, 1], hole in [0, 1] with a soft edge, [B, T, H, W, C]."""
    mesh, frames = (batch[name].astype(jnp.float32) / 127.5 - 1 for name in ("mesh", "frames"))
    return mesh, frames, batch["hole"].astype(jnp.float32) / 255


def _inside(boxes: Array, hole: Array) -> Array:
    """1 in any of the boxes [B, n, 4] (top, left, bottom, right), else 0: [B, 1, H, W, 1] of a hole's height, width."""
    height, width = hole.shape[2:4]
    top, left, bottom, right = (boxes[..., i, None] for i in range(4))
    rows = (jnp.arange(height) >= top) & (jnp.arange(height) < bottom)
    columns = (jnp.arange(width) >= left) & (jnp.arange(width) < right)
    inside = (rows[..., :, None] & columns[..., None, :]).any(1)
    return inside[:, None, ..., None].astype(hole.dtype)
