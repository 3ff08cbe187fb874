"""Examples for the acoustic model: cuts of labelled speech, augmented; for a teacher the same before."""

import dataclasses

import flax.linen as nn
import numpy as np

from vast_jax.data import augmentation
from vast_jax.data.labels import UNLABELLED, LabelledUtterances


@dataclasses.dataclass(frozen=True)
class Examples:
    """Makes an example of an utterance: a cut of it, augmented."""

    utterances: LabelledUtterances
    module: nn.Module
    mean: np.ndarray
    window: int
    ctc: bool
    taught: bool

    def __call__(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        utterance = self.utterances[int(index)]
        clean, said = augmentation.cut(utterance, self.window, rng)
        speech, labels = augmentation.distort(clean, said, rng, wordless=not self.ctc)
        fbank = augmentation.colour(self.module.features(speech, 0, len(labels)), self.mean, rng)
        out = {"fbank": fbank.astype(np.float32), "mask": np.ones(len(labels), bool)}
        if self.taught:
            out["clean"] = self.module.features(clean, 0, len(labels)).astype(np.float32)
            out["same"] = labels == said
        if not self.ctc:
            return out | {"labels": labels}
        phones = np.full(self.window, UNLABELLED, np.uint8)
        phones[: len(utterance.phones)] = utterance.phones[: self.window]
        return out | {"phones": phones}
