"""Trains SyncNet: which of the sounds around belongs to these five frames, and the other way round.

Footage is not always in sync: a clip's own offset is a hidden variable, inferred at each step from how well each fits
(expectation maximisation), with most clips in sync a priori.
"""

import dataclasses
import os

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vast_jax.data import pipeline
from vast_jax.data.clips import RESEARCH_ONLY, origin_of
from vast_jax.models.syncnet import SyncNet
from vast_jax.models.syncnet_model import SyncModel
from vast_jax.parts import syncnet_report
from vast_jax.parts.syncnet_data import Examples, suitable
from vast_jax.training.example_loss import OfExamples
from vast_jax.training.part import Part
from vast_jax.types import Array, Batch, Players, UserError
from vast_jax.weights import exports


@dataclasses.dataclass(frozen=True)
class SyncNetPart(Part):
    """SyncNet in its small layout and how it is trained."""

    picture_widths: tuple[int, ...] = (32, 64, 96, 128)
    """Channels of the convolutions over five frames: the first strides by four, the others by two."""
    sound_widths: tuple[int, ...] = (32, 64, 96, 128)
    """Channels of the convolutions over the filter bank."""
    hidden: int = 256
    """Units before the embedding."""
    embedding: int = 128
    """Dimensions that pictures and sounds share."""
    dropout: float = 0.1
    """Of the features before the dense layers."""
    window: int = 36
    """Frames of a training example (25 a second)."""
    temperature: float = 0.07
    """Of the softmax over cosines."""
    neighbour: float = 0.1
    """Share of the target at either side of the right moment: footage itself is off by part of a frame."""
    others_weight: float = 0.3
    """Of the softmax over all moments of all clips of the batch, beside that over the moments of the clip."""
    most_late: int = 7
    """Frames, either way, by which the sound of a training clip may itself be off: found while training."""
    in_sync: float = 0.5
    """Prior share of the clips that are not."""
    grid_share: float = 0.3
    """Share of examples from GRID, most of whose clips are one person's."""
    left_out: tuple[str, ...] = ("grid/others/*",)
    """Training clips (shell patterns) kept to measure unseen people."""
    learning_rate: float = 1.5e-3
    """Peak of a cosine after a linear warm-up over a twentieth of the steps."""
    weight_decay: float = 5e-2
    """Of AdamW."""

    def module(self) -> SyncNet:
        names = ("picture_widths", "sound_widths", "hidden", "embedding", "dropout")
        return SyncNet(**{name: getattr(self, name) for name in names})

    def constants(self, data_dir: str | os.PathLike) -> dict[str, np.ndarray]:
        """None: pictures and sounds are levelled one by one."""
        return {}

    def players(self, constants) -> Players:
        """One player, "syncnet", with cross-entropies over moments (InfoNCE), pictures to sounds and back."""
        module = self.module()

        def init(key, batch: Batch):
            return {"syncnet": module.init(key, batch["frames"][:1], batch["sound"][:1])["params"]}

        def each(params, batch: Batch, key, progress):
            return module.apply({"params": params["syncnet"]}, batch["frames"], batch["sound"], key)

        def total(found, batch: Batch, progress):
            v_BxWxE, a_BxWxE = found
            targets_OxWxW, prior_O = self._targets(v_BxWxE.shape[1])
            all_BxWxBxW = jnp.einsum("bie,cje->bicj", v_BxWxE, a_BxWxE) / self.temperature
            own_BxWxW = jnp.einsum("bibj->bij", all_BxWxBxW)
            own_BxO = _scores(_log_softmaxes(own_BxWxW, 2, 1), targets_OxWxW)
            # How late each clip is, as seen now; neighbouring windows share frames, two count as one.
            late_BxO = jax.lax.stop_gradient(nn.softmax(prior_O + own_BxO * v_BxWxE.shape[1] / 2))
            own = -(late_BxO * own_BxO).sum(-1).mean()
            all_BxWxW = jnp.einsum("bibj->bij", _log_softmaxes(all_BxWxBxW, (2, 3), (0, 1)))
            others = -(late_BxO * _scores(all_BxWxW, targets_OxWxW)).sum(-1).mean()
            late_B = late_BxO.argmax(-1) - self.most_late
            right_BxW = jnp.abs(own_BxWxW.argmax(-1) - jnp.arange(own_BxWxW.shape[1]) - late_B[:, None]) <= 1
            metrics = dict(own=own, others=others, window_accuracy=right_BxW.mean(), late=(jnp.abs(late_B) > 1).mean())
            return own + self.others_weight * others, metrics

        return Players(init=init, losses={"syncnet": OfExamples(each, total)})

    def _targets(self, count: int) -> tuple[Array, Array]:
        """Which sound belongs to which window, if sound is late by each O of the frames possible: [O, W, W]; log prior.

        Entries sum to 1 over a matrix.
        """
        targets = []
        for late in range(-self.most_late, self.most_late + 1):
            beside = jnp.eye(count, k=late - 1) + jnp.eye(count, k=late + 1)
            target_WxW = (1 - 2 * self.neighbour) * jnp.eye(count, k=late) + self.neighbour * beside
            targets.append(target_WxW / target_WxW.sum())
        elsewhere = (1 - self.in_sync) / max(1, 2 * self.most_late)
        prior_O = jnp.full(len(targets), elsewhere).at[self.most_late].set(self.in_sync)
        return jnp.stack(targets), jnp.log(prior_O + 1e-9)

    def dataset(self, data_dir: str | os.PathLike, split: str, batch_size: int, seed: int):
        """Endless batches of `syncnet_data.Examples`."""
        make = Examples(self._clips(data_dir, split), self.window, self.grid_share)
        return pipeline.batches(range(1 << 20), make, batch_size, seed)

    def optimisers(self, steps: int) -> dict[str, optax.GradientTransformation]:
        warm_up = max(1, steps // 20)
        rate = optax.warmup_cosine_decay_schedule(0.0, self.learning_rate, warm_up, max(steps, warm_up + 1))
        adam = optax.adamw(rate, weight_decay=self.weight_decay)
        return {"syncnet": optax.chain(optax.clip_by_global_norm(1.0), adam)}

    def report(self, params, constants, data_dir, out_dir, step) -> dict[str, float]:
        """Offsets and confidences of at most 24 held-out GRID clips and of unseen people: see `syncnet_report`."""
        model = SyncModel(self.module(), params["syncnet"])
        return syncnet_report.report(model, data_dir, self.left_out, out_dir, step)

    def export(self, params, constants, directory, data_dir, figures) -> None:
        """Writes syncnet.safetensors and its card."""
        clips = self._clips(data_dir, "train")
        module = self.module()
        names = [field.name for field in dataclasses.fields(module) if field.name not in ("parent", "name")]
        card = origin_of(clips, RESEARCH_ONLY) | dict(
            part="syncnet",
            config={name: getattr(module, name) for name in names},
            figures=figures,
            left_out=list(self.left_out),
            distance="in tenths of that of unrelated speech; not comparable with published LSE-D and LSE-C",
        )
        weights = {"syncnet": params["syncnet"]}
        if figures.get("unrelated"):
            weights["constants"] = {"unrelated": np.float32(figures["unrelated"])}
        exports.export(directory, "syncnet", weights, card)

    def _clips(self, data_dir: str | os.PathLike, split: str) -> list:
        clips = pipeline.open_clips(data_dir, split)
        kept = suitable(clips, self.window, self.left_out)
        if not kept:
            raise UserError(
                f"{data_dir}: none of its {len(clips)} {split} clips has speech and a face for {self.window} frames"
            )
        return kept


def _log_softmaxes(logits: Array, sounds: int | tuple[int, ...], pictures: int | tuple[int, ...]) -> Array:
    """Mean of the log softmax over all sounds and of that over all pictures."""
    return (nn.log_softmax(logits, sounds) + nn.log_softmax(logits, pictures)) / 2


def _scores(log_BxWxW: Array, targets_OxWxW: Array) -> Array:
    """Mean log probability [B, O] of what belongs together, for each number of frames that the sound is late."""
    return jnp.einsum("bij,oij->bo", log_BxWxW, targets_OxWxW)
