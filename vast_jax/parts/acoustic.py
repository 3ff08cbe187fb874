"""Trains the acoustic model: frame cross-entropy on labelled speech, or CTC where no times are known."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vast_jax import audio
from vast_jax.data import augmentation, pipeline
from vast_jax.data.labels import UNLABELLED, LabelledUtterances, Utterance, read
from vast_jax.models.acoustic_model import AcousticModel
from vast_jax.models.acoustic_transformer import POSITIONS, AcousticTransformer
from vast_jax.models.recogniser import Recogniser
from vast_jax.parts import acoustic_report
from vast_jax.parts.acoustic_data import Examples
from vast_jax.training.example_loss import OfExamples
from vast_jax.training.part import Part
from vast_jax.types import Batch, Players, UserError
from vast_jax.weights import exports, model_config

TEACHER = "acoustic_teacher"  # the part of its card
MEASURED = 5000  # utterances that the mean and deviation of the features are taken from


@dataclasses.dataclass(frozen=True)
class AcousticPart(Part):
    """The acoustic model and how it is trained."""

    network: Literal["convolutions", "lstm", "transformer"] = "convolutions"
    """Along time: residual convolutions; a bidirectional LSTM as in the paper; or Whisper's encoder, made to stream,
    which begins from `parts.acoustic_start` and takes only `hidden`, `back`, `layer_ahead` and `dropout`."""
    hidden: int = 1536
    """Of the Transformer: units inside a layer."""
    back: int = 50
    """Of the Transformer: frames that a layer looks back."""
    layer_ahead: tuple[int, ...] = (2, 2, 2, 2)
    """Of the Transformer: frames that each layer looks ahead; 8 are 183 ms with the last window."""
    context: int = 6
    """Frames stacked before each frame."""
    context_after: int | None = 2
    """Frames stacked after it; None: as many as before."""
    dense: int = 384
    """Units of each of the three dense layers."""
    width: int = 320
    """Units along time."""
    pairs: bool = True
    """One step along time for two frames, which halves the work."""
    projected: bool = True
    """A second layer in each convolution, so that what it adds may have either sign."""
    dilations: tuple[int, ...] = (1, 1, 2, 4, 8)
    """Of the residual convolutions along time, in steps."""
    ahead: tuple[int, ...] | None = (1, 1, 1, 0, 0)
    """Steps that each convolution looks ahead: with the stacked frames 9 frames, 190 ms with the last one's window.
    None: as far as back."""
    dropout: float = 0.1
    window: int = 80
    """Video frames of a training example (25 a second). With CTC, which needs whole utterances: of the longest."""
    ctc: bool = False
    """Connectionist temporal classification: learns from the phones in a row, without their times."""
    balance: float = 0.7
    """Corpora are drawn from as their hours to this power: 1, all speech alike; 0, all corpora alike."""
    teacher: str | None = None
    """Of the Transformer: a folder with the layers that it began from as they are; `parts.acoustic_start` makes both.
    It hears the speech before it was distorted, all of it at once, and the model learns to say at each layer what it
    says: so little speech teaches the layers to stream, and makes them forget nothing."""
    teaching: float = 6.0
    """Weight of that."""
    spread: int = 0
    """What is wanted of a frame is the mean of the labels of so many frames before and after it, for the times of the
    labels are no surer than that."""
    stored: Literal["float16", "int8"] = "float16"
    """How weights are exported."""
    learning_rate: float = 2e-3
    warm_up: float = 0.03
    """Share of the steps."""
    weight_decay: float = 1e-2
    licence: str = ""
    """Of the exported weights, with the attribution that the data ask for."""

    def module(self) -> AcousticModel | AcousticTransformer:
        """The model to train. UserError: the convolutions are not one look-ahead each."""
        config = self._config()
        if config.pop("network") == "transformer":
            return AcousticTransformer(**config)
        if self.ahead is not None and len(self.ahead) != len(self.dilations):
            raise UserError(f"{len(self.dilations)} dilations need as many values of ahead, not {len(self.ahead)}")
        return AcousticModel(**config)

    def _config(self) -> dict:
        """The module's fields, and which one it is."""
        classes = len(audio.PHONES) + self.ctc
        if self.network == "transformer":
            fields = dict(hidden=self.hidden, back=self.back, ahead=self.layer_ahead, dropout=self.dropout)
        else:
            names = AcousticModel.__dataclass_fields__
            fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name in names}
            fields["lstm"] = self.network == "lstm"
        return fields | {"network": self.network, "classes": classes}

    def constants(self, data_dir: str | os.PathLike) -> dict[str, np.ndarray]:
        """Mean and deviation of each mel band over the training speech, or much of it, [80] each; or Whisper's."""
        if self.network == "transformer":  # (log10 + 4) / 4
            scale = np.full(audio.MELS, 4 * np.log(10), np.float32)
            return {"mean": -scale, "std": scale}
        total, square, count = 0.0, 0.0, 0
        for utterance in _some(read(data_dir, "train"), MEASURED):
            fbank = audio.log_fbank(utterance.signal).astype(np.float64)
            total, square, count = total + fbank.sum(0), square + np.square(fbank).sum(0), count + len(fbank)
        mean = total / count
        std = np.sqrt(np.maximum(square / count - mean**2, 1e-6))
        return {"mean": mean.astype(np.float32), "std": std.astype(np.float32)}

    def players(self, constants: Mapping[str, np.ndarray]) -> Players:
        """One player, "acoustic". Its loss is the mean cross-entropy of the labelled frames, or of CTC, by phone."""
        module, mean, std = self.module(), jnp.asarray(constants["mean"]), jnp.asarray(constants["std"])
        heard = self._teacher()

        def init(key, batch: Batch):
            return {"acoustic": module.init(key, batch["fbank"], batch["mask"])["params"]}

        def each(params, batch: Batch, key, progress):
            inputs, variables = ((batch["fbank"] - mean) / std, batch["mask"], key), {"params": params["acoustic"]}
            if heard is None:
                return module.apply(variables, *inputs), None
            logits_BxTxC, layers = module.apply(variables, *inputs, mutable=[module.LAYERS])
            wanted = heard((batch["clean"] - mean) / std, batch["mask"])
            return logits_BxTxC, _apart(layers, wanted)

        def total(found, batch: Batch, progress):
            logits_BxTxC, apart_BxT = found
            if self.ctc:
                loss, metrics = _ctc(logits_BxTxC, batch, module.blank)
            else:
                loss, metrics = _by_frame(logits_BxTxC, batch, self.spread)
            if apart_BxT is None:
                return loss, metrics
            same_BxT = batch["mask"] & batch["same"]
            apart = (apart_BxT * same_BxT).sum() / jnp.maximum(same_BxT.sum(), 1)
            return loss + self.teaching * apart, metrics | {"apart": apart}

        return Players(init=init, losses={"acoustic": OfExamples(each, total)})

    def _teacher(self) -> Callable | None:
        """(normalised log mel, mask) -> what comes out of each layer of the teacher. UserError: none that fits."""
        if self.teacher is None:
            return None
        params, _, card = exports.load_part(self.teacher, TEACHER)
        module = model_config.build(AcousticTransformer, card["config"], self.teacher)
        learner = self.module()
        fits = isinstance(learner, AcousticTransformer) and len(learner.ahead) == len(module.ahead)
        if not fits or learner.width != module.width or module.back is not None:
            raise UserError(f"{self.teacher}: no teacher of a Transformer of {len(self.layer_ahead)} layers")
        if 2 * self.window > POSITIONS:
            raise UserError(f"--part.window {self.window}: the teacher hears {POSITIONS // 2} video frames at most")
        return lambda *inputs: module.apply({"params": params}, *inputs, mutable=[module.LAYERS])[1]

    def dataset(self, data_dir: str | os.PathLike, split: str, batch_size: int, seed: int) -> grain.IterDataset:
        """Endless batches, augmented on the fly: "mask" [B, T], T = 2 window, and "fbank", the model's features.

        With a teacher also "clean", the same before it was distorted, and "same" [B, T], where it says the same. Beside
        them "labels" [B, T]; with CTC "phones" [B, T / 2], filled up with UNLABELLED. An utterance is drawn as
        often as it holds windows; with CTC once, if all of it fits. UserError: CTC, and no utterance fits.
        """
        utterances, module = read(data_dir, split), self.module()
        some = [(utterance.signal, len(utterance.labels)) for utterance in _some(utterances, 50)]
        mean = np.mean([module.features(speech, 0, frames).mean(0) for speech, frames in some], 0)

        example = Examples(utterances, module, mean, self.window, self.ctc, self.teacher is not None)
        return pipeline.batches(self._draws(utterances), example, batch_size, seed)

    def _draws(self, utterances: LabelledUtterances) -> np.ndarray:
        """Places of utterances, one for each draw of a round."""
        draws = {}
        for corpus, places in utterances.corpora().items():
            frames = utterances.frames[places]
            if self.ctc:
                draws[corpus] = np.array(places)[frames <= 2 * self.window / augmentation.LONGEST]
            else:
                draws[corpus] = np.repeat(places, -(-frames // (2 * self.window)))
        sizes = {corpus: len(places) for corpus, places in draws.items() if len(places)}
        if not sizes:
            raise UserError(f"no utterance fits into --part.window {self.window}: give a longer one")
        most = max(sizes.values())
        wanted = {corpus: round(size * (most / size) ** (1 - self.balance)) for corpus, size in sizes.items()}
        return np.concatenate([np.resize(draws[corpus], count) for corpus, count in wanted.items()])

    def optimisers(self, steps: int) -> dict[str, optax.GradientTransformation]:
        warm_up = max(1, round(self.warm_up * steps))
        rate = optax.warmup_cosine_decay_schedule(0.0, self.learning_rate, warm_up, max(steps, warm_up + 1))
        adam = optax.adamw(rate, weight_decay=self.weight_decay)
        return {"acoustic": optax.chain(optax.clip_by_global_norm(1.0), adam)}

    def report(self, params, constants, data_dir, out_dir, step) -> dict[str, float]:
        """Figures and pictures of the held-out utterances: see `acoustic_report.report`."""
        recogniser = Recogniser(self.module(), params["acoustic"], constants, hash="")
        return acoustic_report.report(recogniser, read(data_dir, "held_out"), out_dir, step)

    def export(self, params, constants, directory, data_dir, figures) -> None:
        speech = read(data_dir, "train")
        hours = {
            corpus: speech.frames[places].sum() * audio.HOP / audio.SAMPLE_RATE / 3600
            for corpus, places in speech.corpora().items()
        }
        data = ", ".join(f"{corpus} ({count:.2f} h)" for corpus, count in hours.items())
        card = dict(part="acoustic", config=self._config(), data=data, figures=figures, phones=audio.PHONES)
        card["licence"] = self.licence
        weights = {"acoustic": params["acoustic"], "constants": constants}
        exports.export(directory, "acoustic", weights, card, np.dtype(self.stored))


def _by_frame(logits_BxTxC: jax.Array, batch: Batch, spread: int) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean cross-entropy of the labelled frames, `spread` of whose neighbours' labels count as their own; beside it
    the share of right phones."""
    labels_BxT = batch["labels"].astype(jnp.int32)
    known_BxT = batch["mask"] & (labels_BxT != UNLABELLED)
    said_BxTxC = jax.nn.one_hot(jnp.where(known_BxT, labels_BxT, -1), logits_BxTxC.shape[-1])
    around = jnp.pad(said_BxTxC, ((0, 0), (spread, spread), (0, 0)))
    wanted_BxTxC = sum(around[:, i : i + labels_BxT.shape[1]] for i in range(2 * spread + 1))
    wanted_BxTxC /= jnp.maximum(wanted_BxTxC.sum(-1, keepdims=True), 1)
    loss_BxT = optax.softmax_cross_entropy(logits_BxTxC, wanted_BxTxC)
    spoken_BxT = known_BxT & (labels_BxT != audio.SILENCE)
    right_BxT = logits_BxTxC.argmax(-1) == labels_BxT
    accuracy = (right_BxT & spoken_BxT).sum() / jnp.maximum(spoken_BxT.sum(), 1)
    return (loss_BxT * known_BxT).sum() / jnp.maximum(known_BxT.sum(), 1), {"accuracy": accuracy}


def _ctc(logits_BxTxC: jax.Array, batch: Batch, blank: int) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The loss by phone."""
    padding_BxL = batch["phones"] == UNLABELLED
    phones_BxL = jnp.where(padding_BxL, 0, batch["phones"]).astype(jnp.int32)
    loss_B = optax.ctc_loss(logits_BxTxC, ~batch["mask"], phones_BxL, padding_BxL, blank_id=blank)
    return loss_B.sum() / jnp.maximum((~padding_BxL).sum(), 1), {}


def _apart(layers: Mapping, wanted: Mapping) -> jax.Array:
    """Mean square by which two models' layers differ, each frame of them normalised, the last counting half: [B, T]."""
    outputs, targets = ([jax.nn.standardize(x) for x in jax.tree.leaves(found)] for found in (layers, wanted))
    *inner, last = (jnp.square(x - y).mean(-1) for x, y in zip(outputs, targets, strict=True))
    return 0.5 * last + 0.5 * sum(inner) / max(len(inner), 1)


def _some(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    """At most about `count` of them, evenly chosen."""
    return utterances[:: max(1, len(utterances) // count)]
