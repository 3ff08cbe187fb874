"""Lip-sync: by how many frames the sound is late, and how sure that is (Chung and Zisserman, 2016).

    python -m vast_jax.metrics.sync --data DATA [--weights PATH]

The protocol is SyncNet's: every window of five frames against the sound at shifts of -15 to 15 frames; the distance of
a shift is the mean over windows, D the least of them, C = median - least. Two things differ. A shift counts only the
windows for which it has sound (the original takes a vector of zeros for what lies outside the clip), and is left out if
those are fewer than half. And an offset is positive where the sound is later than the picture; the original's sign is
the other way round.

Figures are not comparable with published LSE-D and LSE-C unless made with weights of the original (see
`models/syncnet_original.py`): the shipped weights are others, on crops of the mouth. Theirs are in tenths of the
distance of a mouth to unrelated speech: 10 at a shift where nothing fits.
"""

import os
from typing import NamedTuple

import numpy as np

from vast_jax.audio import SAMPLES_PER_FRAME
from vast_jax.models.syncnet_model import SyncModel

MAX_SHIFT = 15  # frames, either way
LEAST = 25  # frames: in a shorter clip the median over shifts says nothing
UNRELATED = 10.0  # the distance of unrelated speech, where the weights tell it


class Sync(NamedTuple):
    """How well a clip's sound fits its mouth."""

    offset: int  # frames, positive: the sound is later than the picture
    distance: float  # at that offset: D
    confidence: float  # median over shifts less the distance: C
    curve: np.ndarray  # [31] distance if the sound is late by -15, ..., 15 frames; NaN where the clip is too short


def load_sync(path: str | os.PathLike | None = None) -> SyncModel:
    """SyncNet of an export folder or .safetensors file; None: the one shipped. UserError: see exports.load."""
    return SyncModel.load(path)


def measure(model: SyncModel, crops: np.ndarray, speech: np.ndarray) -> Sync:
    """How well speech fits a mouth.

    Args:
      model: from `load_sync`.
      crops: [T, 96, 96, 3] uint8 RGB, of `face.mouth_crop.mouth_crops`; [T, 224, 224, 3] in the original layout.
      speech: [640 T] float32 in [-1, 1] at 16 kHz, as `audio.fit` makes it.

    Raises:
      ValueError: fewer than 25 frames, or sound of another length.
    """
    check_lengths(len(crops), len(speech))
    return compare(model.pictures(crops), model.sounds(speech), unit(model))


def check_lengths(frames: int, samples: int) -> None:
    """ValueError for a clip too short to measure, or sound of another length than the picture."""
    if frames < LEAST:
        raise ValueError(f"a clip of {frames} frames is too short to measure lip-sync: {LEAST} are the least")
    if samples != frames * SAMPLES_PER_FRAME:
        raise ValueError(
            f"{frames} frames need {frames * SAMPLES_PER_FRAME} samples of speech, not {samples}: see audio.fit"
        )


def unit(model: SyncModel) -> float:
    """What distances of the model's embeddings are multiplied by."""
    return UNRELATED / model.unrelated if model.unrelated else 1.0


def compare(pictures: np.ndarray, sounds: np.ndarray, scale: float = 1.0, max_shift: int = MAX_SHIFT) -> Sync:
    """The measure on embeddings of the same windows, both [W, E]; distances are multiplied by `scale`."""
    count = len(pictures)
    curve = np.full(2 * max_shift + 1, np.nan)
    for shift in range(-max_shift, max_shift + 1):
        if 2 * abs(shift) <= count:  # at least half of the windows have sound
            seen = pictures[max(0, -shift) : count - max(0, shift)]
            heard = sounds[max(0, shift) : count - max(0, -shift)]
            curve[shift + max_shift] = scale * np.linalg.norm(seen - heard, axis=1).mean()
    at = int(np.nanargmin(curve))
    least = float(curve[at])
    return Sync(at - max_shift, least, float(np.nanmedian(curve)) - least, curve)
