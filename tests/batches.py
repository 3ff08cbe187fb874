"""Made-up constants and batches of every part, from a seed: numbers in the right shapes and ranges, nothing more."""

import functools

import numpy as np

from vast_jax.audio import MELS, PHONES
from vast_jax.data.grid_corpus import WORDS
from vast_jax.parts.acoustic import AcousticPart
from vast_jax.parts.lipreader import LipReaderPart
from vast_jax.parts.renderer import RendererPart
from vast_jax.parts.style import StylePart
from vast_jax.parts.syncnet import SyncNetPart
from vast_jax.training.part import Part
from vast_jax.types import Batch

P = len(PHONES)


@functools.singledispatch
def constants_of(part: Part) -> dict[str, np.ndarray]:
    """As `part.constants` measures them on data."""
    return {}


@constants_of.register
def _(part: StylePart, strong: int = 6, weak: int = 4) -> dict[str, np.ndarray]:
    if part.strong_count is not None:  # the paper's
        strong, weak = part.strong_count, 148
    rng = np.random.default_rng(0)
    every, order = strong + weak, rng.permutation(strong + weak)
    return {
        "mean": rng.uniform(0, 0.2, every).astype(np.float32),
        "std": rng.uniform(0.05, 0.2, every).astype(np.float32),
        "weight": rng.uniform(0.5, 1.5, every).astype(np.float32),
        "lips": rng.normal(0, 0.3, (every, 5)).astype(np.float32),
        "strong": np.sort(order[:strong]),
        "weak": np.sort(order[strong:]),
    }


@constants_of.register
def _(part: AcousticPart) -> dict[str, np.ndarray]:
    return {"mean": np.full(MELS, -9.2, np.float32), "std": np.full(MELS, 3.0, np.float32)}


@functools.singledispatch
def batch_of(part: Part, examples: int = 2) -> Batch:
    """As `part.dataset` makes them."""
    raise NotImplementedError(type(part))


def _phones(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.dirichlet(np.ones(P), shape).astype(np.float32)


@batch_of.register
def _(part: StylePart, examples: int = 2) -> Batch:
    rng, frames = np.random.default_rng(0), part.example_frames
    mean, std = (constants_of(part)[name] for name in ("mean", "std"))
    mask = np.arange(frames) < np.linspace(frames, frames // 2, examples)[:, None]

    def shown() -> dict[str, np.ndarray]:
        expression = (mean + std * rng.normal(size=(examples, frames, len(mean)))).astype(np.float32)
        return {"expression": expression, "ppg": _phones(rng, examples, frames), "mask": mask, "valid": mask}

    batch = shown() | {f"prompt_{name}": array for name, array in shown().items()}
    batch["prompt_has_speech"] = np.arange(examples) % 2 == 0
    if part.lively and part.autoregressive:
        batch["blink"] = rng.integers(0, 3, (examples, frames), np.int32)
        batch["prompt_blinks"] = rng.normal(0, 0.3, examples).astype(np.float32)
    return batch


@batch_of.register
def _(part: RendererPart, examples: int = 2) -> Batch:
    rng, shape = np.random.default_rng(0), (examples, part.clip_frames, part.patch, part.patch)
    low, middle, high = part.patch // 4, part.patch // 2, 3 * part.patch // 4
    hole = np.zeros((*shape, 1), np.uint8)
    hole[..., low:high, low:high, :], hole[..., high : high + 2, low:high, :] = 255, 100
    boxes = [[middle, low, high, high], [low, low, middle, middle], [low, middle, middle, high]]
    return {
        "mesh": rng.integers(0, 256, (*shape, 10), np.uint8),
        "frames": rng.integers(0, 256, (*shape, 3), np.uint8),
        "hole": hole,
        "ppg": _phones(rng, examples, part.clip_frames, 9),
        "boxes": np.array([boxes] * examples, np.int32),
    }


@batch_of.register
def _(part: AcousticPart, examples: int = 2) -> Batch:
    rng, frames = np.random.default_rng(0), 2 * part.window
    mask = np.arange(frames) < np.linspace(frames, frames // 2, examples)[:, None]
    heard = frames * (2 if part.network == "transformer" else 1)  # Whisper's features come every 10 ms
    batch = {"fbank": rng.normal(-9, 3, (examples, heard, MELS)).astype(np.float32), "mask": mask}
    if part.ctc:
        return batch | {"phones": rng.integers(0, P, (examples, part.window), np.uint8)}
    return batch | {"labels": rng.integers(0, P, (examples, frames), np.uint8)}


@batch_of.register
def _(part: LipReaderPart, examples: int = 2) -> Batch:
    rng, frames = np.random.default_rng(0), part.window
    return {
        "views": rng.integers(0, 256, (examples, frames, 40, 40, 3), np.uint8),
        "mask": np.arange(frames) < np.linspace(frames, frames // 2, examples)[:, None],
        "labels": rng.integers(0, len(WORDS) + 1, (examples, frames), np.int32),
        "phones": _phones(rng, examples, frames),
        "words": rng.integers(1, len(WORDS) + 1, (examples, 6), np.int32),
    }


@batch_of.register
def _(part: SyncNetPart, examples: int = 2) -> Batch:
    rng = np.random.default_rng(0)
    return {
        "frames": rng.integers(0, 256, (examples, part.window, 96, 96), np.uint8),
        "sound": rng.normal(size=(examples, 2 * part.window, MELS)).astype(np.float32),
    }
