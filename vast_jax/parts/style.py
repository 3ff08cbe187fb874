"""Trains style transfer: encoder, enhancer and decoder together, one player (paper, §3.2 to 3.4)."""

import dataclasses
import os
from collections.abc import Mapping
from typing import ClassVar, Literal

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vast_jax.data import pipeline
from vast_jax.data.clips import RESEARCH_ONLY, origin_of
from vast_jax.face.model import FaceModel, load_face_model, split_by_mouth_offset
from vast_jax.models.style_model import StyleModel, load_style_model
from vast_jax.models.style_transfer import Reconstruction, StyleTransfer, normalise
from vast_jax.parts import style_constants, style_liveliness, style_report
from vast_jax.parts.style_data import Examples, shares, usable
from vast_jax.parts.style_loss import Weights, style_loss
from vast_jax.training.example_loss import OfExamples
from vast_jax.training.part import Part
from vast_jax.types import Batch, Players, UserError
from vast_jax.weights import exports

__all__ = ["StyleModel", "StylePart", "load_style_model"]


@dataclasses.dataclass(frozen=True)
class StylePart(Part):
    """The style transfer model and how it is trained."""

    renamed: ClassVar[Mapping[str, str]] = {"reach": "attention_window", "window": "example_frames"}
    d_style: int = StyleTransfer.style_width
    """Dimensions of the style."""
    householder_steps: int = StyleTransfer.householder_steps
    """K of the enhancer; 0 is the ablation without flow."""
    encoder_channels: tuple[int, ...] = StyleTransfer.encoder_channels
    """Of the style encoder's four convolutions."""
    encoder_state: int = StyleTransfer.encoder_state
    """Units of its GRU."""
    encoder_pooled: bool = True
    """Whether it also sees each parameter's mean and deviation over the prompt."""
    strong_width: int = StyleTransfer.strong_width
    """Of the Transformer."""
    strong_layers: int = StyleTransfer.strong_layers
    """Of the Transformer."""
    strong_heads: int = StyleTransfer.strong_heads
    """Half look back, half ahead."""
    attention_window: int = StyleTransfer.window
    """Frames that a layer of the Transformer sees on either side."""
    weak_width: int = StyleTransfer.weak_width
    """Units of the autoregressive LSTM."""
    ppg_dropout: float = StyleTransfer.ppg_dropout
    """Of the speech that the LSTM hears."""
    lively: bool = True
    """Whether blinks, and the wandering of what speech does not move, are drawn; else they are regressed as in the
    paper, and fade away."""
    closing: bool = True
    """Whether lips are made to meet at b, p and m, whatever the style."""
    modulated: bool = True
    """Whether the style sets each parameter's rest position and amplitude too."""
    manner: bool = True
    """Whether the prompt's own rest position and amplitude of each parameter are part of the style."""
    style_source: Literal["encoder", "statistics", "none"] = "encoder"
    """Where the style comes from: the paper's encoder; or, to compare, StyleAvatar's statistics code; or nowhere."""
    variational: bool = True
    """Whether the style is drawn from a posterior; else it is the encoder's own, without divergence."""
    autoregressive: bool = True
    """Whether weak parameters have their LSTM; else the Transformer makes all."""
    face_model: str | None = None
    """Face model that the data was prepared with; none: the one that comes with vast_jax."""
    mouth_threshold: float = 2.0
    """Millimetres by which a strong parameter moves the mouth at least."""
    strong_count: int | None = None
    """Number of strong parameters instead of a threshold: 85 of 233 in the paper."""
    example_frames: int = 96
    """Frames of a training example (25 a second)."""
    loss: Literal["asym", "mse"] = "asym"
    """Reconstruction error."""
    wandering_weight: float = 1.0
    """Of the negative log-likelihood of the weak parameters' wandering, a frame and parameter."""
    blinking_weight: float = 5.0
    """Of that of blinks, a frame."""
    statistics_weight: float = 1.0
    """Of the errors over the window of each parameter's mean, the weak ones free-running, and of the strong ones'
    deviation."""
    lips_weight: float = 1.0
    """Of the error of gaps, widths and positions of the lips, which several parameters make together."""
    velocity_weight: float = 0.0
    """Of the error of frame-to-frame differences."""
    kl_weight: float = 1e-3
    """Of the divergence from the prior, after a linear warm-up over a fifth of the steps."""
    free_bits: float = 0.05
    """Nats a dimension that cost nothing."""
    teacher_forcing: float = 0.5
    """Share of true frames in the LSTM's history at the end; 1 at the start."""
    silent_prompt: float = 0.2
    """Share of prompts whose speech is hidden, so that silent videos serve as prompts."""
    other_window: float = 0.5
    """Share of prompts from another moment (or GRID clip) of the same talker; the paper always has the target itself,
    which lets the style carry content."""
    stretch: float = 0.15
    """Examples are played up to so much faster or slower, with their speech (log scale)."""
    amplitude: float = 0.2
    """Examples move up to so much more or less around their means (log scale)."""
    muted: float = 0.15
    """Share of examples whose speech stops for a while, so that silence shuts the mouth and leaves the eyes alive."""
    corpora: str = ""
    """Train only on clips whose names begin so: "grid/" for weights without the limits of the other clips' licences."""
    grid_share: float = 0.5
    """Share of examples from GRID, whose neutral sentences are most of the clips."""
    learning_rate: float = 6e-4
    """Peak of a cosine after a linear warm-up over a twentieth of the steps."""
    weight_decay: float = 1e-2
    """Of AdamW."""

    def module(self, constants: Mapping[str, np.ndarray]) -> StyleTransfer:
        return StyleTransfer(
            strong=tuple(int(d) for d in constants["strong"]),
            weak=tuple(int(d) for d in constants["weak"]),
            style_width=self.d_style,
            householder_steps=self.householder_steps,
            encoder_channels=self.encoder_channels,
            encoder_state=self.encoder_state,
            encoder_pooled=self.encoder_pooled,
            strong_width=self.strong_width,
            strong_layers=self.strong_layers,
            strong_heads=self.strong_heads,
            window=self.attention_window,
            weak_width=self.weak_width,
            ppg_dropout=self.ppg_dropout,
            modulated=self.modulated,
            lively=self.lively,
            manner=self.manner and self.modulated and self.style_source == "encoder",
            style_source=self.style_source,
            variational=self.variational,
        )

    def constants(self, data_dir: str | os.PathLike) -> dict[str, np.ndarray]:
        """What is measured once on the training clips: of `style_constants`, and of `style_liveliness` if lively.

        Also the indices of strong and weak parameters.
        """
        clips = self._clips(data_dir, "train")
        model = load_face_model(self.face_model)
        share = shares(clips, self.grid_share)
        strong, weak = self._split(model)
        constants = style_constants.measure(model, clips, share)
        if self.closing:
            constants |= style_constants.closing(model, clips, share, strong).constants()
        if not self.autoregressive:
            strong, weak = np.concatenate([strong, weak]), weak[:0]
        if self.lively and len(weak):
            lively = style_liveliness.measure(model, clips, share, constants["mean"], constants["std"], weak)
            constants |= lively.constants()
        return constants | {"strong": strong, "weak": weak}

    def _calm(self, clips: pipeline.Clips, model: FaceModel) -> dict[str, style_liveliness.Calm]:
        """The clips without their blinks, by name."""
        *_, moved = style_liveliness.blinked(model, clips, self._split(model)[1])
        return {clip.name: style_liveliness.calm(model, clip, moved) for clip in clips}

    def _split(self, model: FaceModel) -> tuple[np.ndarray, np.ndarray]:
        """Indices of strong and weak parameters (paper, appendix A)."""
        return split_by_mouth_offset(model, self.mouth_threshold, self.strong_count)

    def players(self, constants: Mapping[str, np.ndarray]) -> Players:
        """One player, "style"; its loss is the reconstruction's plus the weighted divergence."""
        module = self.module(constants)
        mean, std = (jnp.asarray(constants[name]) for name in ("mean", "std"))

        def inputs(batch: Batch):
            x, prompt = (normalise(batch[name], mean, std) for name in ("expression", "prompt_expression"))
            return x, batch["ppg"], batch["mask"], prompt, batch["prompt_ppg"], batch["prompt_mask"]

        def init(key, batch: Batch):
            return {"style": module.init({"params": key}, *inputs(batch), batch["prompt_has_speech"], key)["params"]}

        def each(params, batch: Batch, key, progress):
            style_key, drop_key, hide_key, first_key = jax.random.split(key, 4)
            known = batch["prompt_has_speech"]
            known &= ~jax.random.bernoulli(hide_key, self.silent_prompt, known.shape)
            x, *rest = inputs(batch)
            # The frame before the first is the mean for half of the clips, as it is at inference.
            first = x[:, 0] * jax.random.bernoulli(first_key, 0.5, (len(x), 1))
            forcing = 1 - (1 - self.teacher_forcing) * progress
            variables = {"params": params["style"]}
            return module.apply(
                variables, x, *rest, known, style_key, first, forcing, True, batch.get("prompt_blinks"),
                rngs={"dropout": drop_key},
            )  # fmt: skip

        def total(out: Reconstruction, batch: Batch, progress):
            return style_loss(out, batch, progress, constants, self._weights(), self.loss)

        return Players(init=init, losses={"style": OfExamples(each, total)})

    def _weights(self) -> Weights:
        drawn = self.variational and self.style_source == "encoder"
        of_terms = (getattr(self, f"{name}_weight") for name in Weights._fields[:-2])
        return Weights(*of_terms, self.kl_weight * drawn, self.free_bits)

    def dataset(self, data_dir: str | os.PathLike, split: str, batch_size: int, seed: int) -> grain.IterDataset:
        """Endless batches of `style_data.Examples` from the clips with speech."""
        clips = self._clips(data_dir, split)
        model = load_face_model(self.face_model)
        make = Examples(
            clips,
            model.expression_names,
            self.example_frames,
            self.other_window,
            self.grid_share,
            self.stretch,
            self.amplitude,
            self.muted,
            strong=self._split(model)[0],
            lip_gap=style_constants.lip_gap(model),
            calm=self._calm(clips, model) if self.lively and self.autoregressive else None,
        )
        return pipeline.batches(range(1 << 20), make, batch_size, seed)

    def optimisers(self, steps: int) -> dict[str, optax.GradientTransformation]:
        warm_up = max(1, steps // 20)
        rate = optax.warmup_cosine_decay_schedule(0.0, self.learning_rate, warm_up, max(steps, warm_up + 1))
        return {"style": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=self.weight_decay))}

    def report(self, params, constants, data_dir, out_dir, step) -> dict[str, float]:
        """Free-running figures on held-out clips, curves and mesh strips: see `style_report.report`."""
        model = StyleModel(self.module(constants), params["style"], constants)
        train, held_out = (self._clips(data_dir, split) for split in ("train", "held_out"))
        return style_report.report(model, load_face_model(self.face_model), train, held_out, out_dir, step)

    def export(self, params, constants, directory, data_dir, figures) -> None:
        """Writes style.safetensors and its card, which names the corpora and what their licences leave."""
        clips = self._clips(data_dir, "train")
        module = self.module(constants)
        model = StyleModel(module, params["style"], constants)
        constants = {**constants, **style_constants.spread_of_styles(model, clips, shares(clips, self.grid_share))}
        names = [field.name for field in dataclasses.fields(module) if field.name not in ("parent", "name")]
        card = origin_of(clips, RESEARCH_ONLY) | dict(
            part="style",
            config={name: getattr(module, name) for name in names},
            face_model=clips[0].track.face_model,
            acoustic_model=clips[0].ppg_hash,
            figures=figures,
        )
        exports.export(directory, "style", {"style": params["style"], "constants": constants}, card)

    def _clips(self, data_dir: str | os.PathLike, split: str) -> pipeline.Clips:
        """The clips of a split that can teach; UserError if there are none or they do not fit the face model."""
        clips = pipeline.open_clips(data_dir, split)
        chosen = [clip for clip in usable(clips) if split != "train" or clip.name.startswith(self.corpora)]
        kept = pipeline.Clips(chosen)
        if not len(kept):
            raise UserError(f"{data_dir}: none of its {len(clips)} {split} clips has speech and a face for a second")
        if not kept.ppg_hash or kept[0].track.face_model != load_face_model(self.face_model).hash:
            raise UserError(f"{data_dir} was prepared with another face model: prepare it again, or use --face-model")
        return kept
