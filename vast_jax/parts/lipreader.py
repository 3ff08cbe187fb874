"""Trains the lip reader on GRID: labels of frames from word alignments first, then CTC (arXiv:1611.01599)."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from vast_jax.data import pipeline
from vast_jax.data.grid_corpus import BLANK, GRAMMAR, LETTER, WORDS, grid_sentence
from vast_jax.metrics import lip_reading
from vast_jax.models.lip_reader import LipNet, LipReader
from vast_jax.parts.lipreader_data import Examples, Sentence, grid_clips, sentences
from vast_jax.training.example_loss import OfExamples
from vast_jax.training.part import Part
from vast_jax.types import Batch, Players
from vast_jax.weights import exports

SHOWN = 4  # held-out clips whose posteriors are drawn
PICTURES = 12  # of each


@dataclasses.dataclass(frozen=True)
class LipReaderPart(Part):
    """The lip reader and how it is trained."""

    align: str | None = None
    """Folder of GRID's word alignments (NAME.align)."""
    channels: tuple[int, ...] = (32, 64, 128)
    """Of the three convolutions."""
    width: int = 256
    """Units of a frame."""
    dilations: tuple[int, ...] = (1, 2)
    """Of the residual convolutions along time."""
    state: int = 160
    """Units of the GRU, a direction."""
    dropout: float = 0.3
    window: int = 80
    """Video frames of a training example (25 a second)."""
    frames_until: float = 0.35
    """Share of the steps in which the labels of frames teach alone; CTC then sets in over a tenth of the steps."""
    frames_weight: float = 0.3
    """Of the frames' cross-entropy beside CTC."""
    phones_weight: float = 0.5
    """Of the cross-entropy with the phone posteriors of the clips' speech."""
    learning_rate: float = 1e-3
    """Peak of a cosine after a linear warm-up over a twentieth of the steps."""
    weight_decay: float = 0.05
    """Of AdamW."""

    def module(self) -> LipNet:
        names = [field.name for field in dataclasses.fields(LipNet) if hasattr(self, field.name)]
        return LipNet(**{name: getattr(self, name) for name in names if name not in ("parent", "name")})

    def constants(self, data_dir: str | os.PathLike) -> dict[str, np.ndarray]:
        """None: clips are standardised one by one."""
        return {}

    def players(self, constants: Mapping[str, np.ndarray]) -> Players:
        """One player, "lipreader"; its loss is the weighted sum of frames, CTC (a word) and phones (a frame)."""
        module = self.module()

        def init(key, batch: Batch):
            return {"lipreader": module.init(key, batch["views"][:1], batch["mask"][:1])["params"]}

        def each(params, batch: Batch, key, progress):
            return module.apply({"params": params["lipreader"]}, batch["views"], batch["mask"], key)

        def total(found, batch: Batch, progress):
            logits_BxTxC, phones_BxTxP = found
            mask_BxT, labels_BxT, words_BxW = batch["mask"], batch["labels"], batch["words"]
            frame_BxT = optax.softmax_cross_entropy_with_integer_labels(logits_BxTxC, labels_BxT)
            frames = _mean(frame_BxT, mask_BxT)
            ctc_B = optax.ctc_loss(logits_BxTxC, ~mask_BxT, words_BxW, words_BxW == BLANK, blank_id=BLANK)
            ctc = ctc_B.mean() / words_BxW.shape[1]
            heard_BxT = mask_BxT & (batch["phones"].sum(-1) > 0)
            phones = _mean(optax.softmax_cross_entropy(phones_BxTxP, batch["phones"]), heard_BxT)
            share = jnp.clip((progress - self.frames_until) / 0.1, 0, 1)
            total = (1 - share * (1 - self.frames_weight)) * frames + share * ctc + self.phones_weight * phones
            right = _mean(logits_BxTxC.argmax(-1) == labels_BxT, mask_BxT & (labels_BxT != BLANK))
            return total, {"frames": frames, "ctc": ctc, "phones": phones, "accuracy": right}

        return Players(init=init, losses={"lipreader": OfExamples(each, total)})

    def dataset(self, data_dir: str | os.PathLike, split: str, batch_size: int, seed: int) -> grain.IterDataset:
        """Endless batches of `lipreader_data.Examples` from the training clips that have an alignment."""
        source = _sentences(os.fspath(data_dir), self.align)
        return pipeline.batches(range(len(source)), Examples(source, self.window), batch_size, seed)

    def optimisers(self, steps: int) -> dict[str, optax.GradientTransformation]:
        warm_up = max(1, steps // 20)
        rate = optax.warmup_cosine_decay_schedule(0.0, self.learning_rate, warm_up, max(steps, warm_up + 1))

        def kernels(params):
            return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

        adam = optax.adamw(rate, weight_decay=self.weight_decay, mask=kernels)
        return {"lipreader": optax.chain(optax.clip_by_global_norm(1.0), adam)}

    def report(self, params, constants, data_dir, out_dir, step) -> dict[str, float]:
        """Error rates on the held-out clips and on the controls of `lip_reading.measure`.

        Writes words.png, posteriors of a few clips with what was read, and letters.png, letters read for letters said.
        """
        mouths = _held_out(os.fspath(data_dir))
        reader = LipReader(self.module(), params["lipreader"])
        figures = {}
        for control, line in lip_reading.measure(reader, mouths).items():
            names = line if control == "real" else ("wer", "grammar_wer")
            figures |= {f"{control.replace(' ', '_')}_{name}": line[name] for name in names}
        _plot_words(Path(out_dir) / "words.png", reader, mouths, step)
        _plot_letters(Path(out_dir) / "letters.png", reader, mouths, step)
        return figures | {"clips": len(mouths)}

    def export(self, params, constants, directory, data_dir, figures) -> None:
        """Writes lipreader.safetensors and its card."""
        module, source = self.module(), _sentences(os.fspath(data_dir), self.align)
        names = [field.name for field in dataclasses.fields(module) if field.name not in ("parent", "name")]
        folders = sorted({sentence.name.rpartition("/")[0] for sentence in source})
        card = dict(
            part="lipreader",
            config={name: getattr(module, name) for name in names},
            words=WORDS,
            data=f"{len(source)} clips of {', '.join(folders)}",
            licence="Apache-2.0; trained on GRID (CC-BY 4.0)",
            figures=figures,
        )
        exports.export(directory, "lipreader", {"lipreader": params["lipreader"]}, card)


def _mean(value, mask):
    return (value * mask).sum() / jnp.maximum(mask.sum(), 1)


@functools.lru_cache(maxsize=1)
def _sentences(data_dir: str, align: str | None) -> list[Sentence]:
    return sentences(data_dir, align)


@functools.lru_cache(maxsize=1)
def _held_out(data_dir: str) -> dict[str, np.ndarray]:
    return {clip.name: lip_reading.clip_mouths(clip) for clip in grid_clips(data_dir, "held_out")}


def _plot_words(path: Path, reader: LipReader, mouths: Mapping[str, np.ndarray], step: int) -> None:
    shown = list(mouths)[:: max(1, len(mouths) // SHOWN)][:SHOWN]
    figure, axes = plt.subplots(len(shown), 2, figsize=(18, 5.5 * len(shown)), squeeze=False)
    for (left, right), name in zip(axes, shown, strict=True):
        clip, reading = mouths[name], reader.read(mouths[name])
        left.imshow(np.concatenate(list(clip[:: max(1, len(clip) // PICTURES)][:PICTURES]), axis=1))
        left.axis("off")
        left.set_title(f"{name}: {' '.join(grid_sentence(name))}")
        right.imshow(
            np.exp(reader.log_probabilities(clip)).T, aspect="auto", interpolation="nearest", cmap="magma", vmax=1
        )
        right.set_yticks(range(len(WORDS) + 1), ("", *WORDS), fontsize=6)
        right.set_title(
            f"step {step}: {' '.join(reading.greedy)} | grammar: {' '.join(reading.constrained)}", fontsize=9
        )
    figure.tight_layout()
    figure.savefig(path, dpi=60)
    plt.close(figure)


def _plot_letters(path: Path, reader: LipReader, mouths: Mapping[str, np.ndarray], step: int) -> None:
    letters = GRAMMAR[LETTER]
    counts = np.zeros((len(letters),) * 2, int)
    for name, clip in mouths.items():
        said, read = grid_sentence(name)[LETTER], reader.read(clip).constrained[LETTER]
        counts[letters.index(said), letters.index(read)] += 1
    figure, axis = plt.subplots(figsize=(7, 6.5))
    axis.imshow(counts, cmap="magma")
    axis.set_xticks(range(len(letters)), letters)
    axis.set_yticks(range(len(letters)), letters)
    axis.set(xlabel="read", ylabel="said", title=f"letters of {len(mouths)} held-out clips, step {step}")
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)
