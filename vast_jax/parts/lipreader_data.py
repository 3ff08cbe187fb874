"""Examples for the lip reader: GRID's sentences in crops, respoken from words of several clips and distorted."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vast_jax.data import builders
from vast_jax.data.clips import Clip
from vast_jax.data.grid_corpus import BLANK, GRAMMAR, frame_labels, grid_sentence, is_grid_name, read_alignment
from vast_jax.data.pipeline import Example, open_clips, pad_frames
from vast_jax.face.mouth_crop import MOUTH_CROP, mouth_crops
from vast_jax.media import FPS
from vast_jax.models.lip_reader import VIEW, shrink
from vast_jax.types import UserError

_WHOLE = 3 * FPS  # frames of every GRID video

# What distorts an example; shares are of examples.
SPLICE = 0.7  # share that is spoken by several clips, word by word
SWITCH = 0.4  # share of word borders at which the clip changes, in those
STILL = 0.03  # share whose first frame is repeated and says nothing
SPEED, WORD_SPEED = 0.15, 0.1  # shares by which the sentence, and each word besides, is faster or slower
SHIFT, SCALE, TURN = 5.0, 0.12, 7.0  # pixels, share, degrees
SHAKE = 0.4  # pixels, from frame to frame
CONTRAST, COLOUR, GAMMA = 0.35, 0.12, 0.3
BLUR, SOFT = 0.5, 2.0  # share, and greatest sigma in pixels of the crop: generated mouths are softer
NOISE = 6.0  # grey levels
HOLD, HOLD_FRAMES = 2, 6  # stretches of at most so many frames that stand still


@dataclass(frozen=True)
class Sentence:
    """A clip whose words are known frame by frame."""

    name: str
    mouths: np.ndarray  # [T, 96, 96, 3] uint8
    labels: np.ndarray  # [T] int32, classes of `grid_corpus`
    phones: np.ndarray  # [T, P] float32, posteriors of the speech; zeros where there are none
    borders: np.ndarray  # [7] int: piece k, a word with the silence about it, is borders[k] to borders[k + 1]


def sentences(data_dir: str | os.PathLike, align: str | os.PathLike | None) -> list[Sentence]:
    """The training clips of GRID that have an alignment (NAME.align in `align`) and are known to begin where they do.

    Raises:
      UserError: no alignments are given, or none fits a clip.
    """
    if align is None or not Path(align).is_dir():
        raise UserError(f"--part.align {align}: give the folder of GRID's word alignments (NAME.align)")
    starts, found = clip_starts(data_dir), []
    for clip in grid_clips(data_dir, "train"):
        path = Path(align) / f"{clip.name.split('/')[-1]}.align"
        start = starts.get(clip.name, 0 if len(clip) == _WHOLE else None)
        if start is not None and path.is_file() and (sentence := of_clip(clip, path, start)) is not None:
            found.append(sentence)
    if not found:
        raise UserError(f"no training clip of GRID in {data_dir} has its alignment in {align}")
    return found


def grid_clips(data_dir: str | os.PathLike, split: str) -> list[Clip]:
    """The prepared clips whose names encode sentences."""
    clips = open_clips(data_dir, split)
    return [clip for clip in clips if clip.name.startswith("grid/") and is_grid_name(clip.name)]


def clip_starts(data_dir: str | os.PathLike) -> dict[str, int]:
    """Frame of its video at which each clip begins, as the reports of `vast_jax.prepare` have it."""
    starts = {}
    for parent in {folder.parent for folder in builders.folders(data_dir)}:
        if (parent / "report.json").is_file():
            lines = json.loads((parent / "report.json").read_text())["clips"]
            starts |= {name: line["start"] for name, line in lines.items() if line.get("start") is not None}
    return starts


def of_clip(clip: Clip, path: Path, start: int) -> Sentence | None:
    """A clip with its alignment; None where a word lies outside the clip or the words are not those of its name."""
    words = read_alignment(path, start)
    if tuple(word for *_, word in words) != grid_sentence(clip.name) or words[0][0] < 0 or words[-1][1] > len(clip):
        return None
    between = [(words[k][1] + words[k + 1][0]) / 2 for k in range(len(GRAMMAR) - 1)]
    return Sentence(
        name=clip.name,
        mouths=mouth_crops(clip.frames(), clip.track.landmarks),
        labels=frame_labels(words, len(clip)),
        phones=np.asarray(clip.ppg, np.float32),
        borders=np.ceil(np.array([0, *between, len(clip)]) - 0.5).astype(int),  # by a frame's middle, as labels
    )


class Examples:
    """Makes the examples of a batch.

    An example has views [T, 40, 40, 3] uint8, mask [T] (a prefix), labels [T] int32, phones [T, P] and words [6] int32,
    the sentence's classes, BLANK where it has fewer. T is `window`.
    """

    def __init__(self, source: Sequence[Sentence], window: int):
        self.source, self.window = list(source), window

    def __call__(self, index: int, rng: np.random.Generator) -> Example:
        """Sentence `index`, or one that begins as it does, distorted."""
        pieces = self._pieces(index, rng)
        mouths, labels, phones = (np.concatenate([piece[i] for piece in pieces]) for i in range(3))
        at = self._times([len(piece[1]) for piece in pieces], labels, rng)
        words = np.array([piece[1].max() for piece in pieces], np.int32)
        if rng.random() < STILL:
            at, labels, words = np.full_like(at, at[0]), np.zeros_like(labels), np.full_like(words, BLANK)
        near = np.minimum(at + 0.5, len(labels) - 1).astype(int)
        example = {
            "views": colour(resample(geometry(mouths, rng), _hold(at, rng)), rng),
            "mask": np.ones(len(at), bool),
            "labels": labels[near],
            "phones": phones[near],
        }
        return {name: pad_frames(array, self.window) for name, array in example.items()} | {"words": words}

    def _pieces(self, index: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        sentence, out = self.source[index], []
        splice = rng.random() < SPLICE
        for k in range(len(GRAMMAR)):
            if k > 0 and splice and rng.random() < SWITCH:
                sentence = self.source[rng.integers(len(self.source))]
            part = slice(sentence.borders[k], sentence.borders[k + 1])
            out.append((sentence.mouths[part], sentence.labels[part], sentence.phones[part]))
        return out

    def _times(self, lengths: Sequence[int], labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Where in the pieces, put one after another, each frame of the example is taken: [n], n at most `window`.

        Silence is cut from the ends at random, and as far as the window asks for.
        """
        speed = 1 + rng.uniform(-SPEED, SPEED)
        own = speed * (1 + rng.uniform(-WORD_SPEED, WORD_SPEED, len(lengths)))
        rate = np.repeat(own, lengths)
        clock = np.concatenate([[0], np.cumsum(1 / rate)])  # time at which each frame begins
        at = np.interp(np.arange(0.5, clock[-1]), clock, np.arange(len(clock))) - 0.5
        at = np.clip(at, 0, len(labels) - 1)
        spoken = np.flatnonzero(labels[np.minimum(at + 0.5, len(labels) - 1).astype(int)] != BLANK)
        first, last = spoken[0], spoken[-1] + 1
        if last - first > self.window:  # very slow: as fast as the window asks for
            return np.linspace(at[first], at[last - 1], self.window)
        start = rng.integers(max(0, first) + 1) if rng.random() < 0.5 else 0
        start = max(start, min(first, last - self.window))
        stop = rng.integers(last, len(at) + 1) if rng.random() < 0.5 else len(at)
        return (
            at[start : min(stop, start + self.window)] if last <= start + self.window else at[last - self.window : last]
        )


def _hold(at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lets the picture stand still for a few frames, now and then: the words must be told from what is left."""
    at = at.copy()
    for _ in range(HOLD):
        start, length = rng.integers(len(at)), rng.integers(0, HOLD_FRAMES + 1)
        at[start : start + length] = at[start]
    return at


def geometry(mouths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another place, size, turn and sharpness, and perhaps mirrored: [n, 96, 96, 3] to [n, 40, 40, 3] uint8."""
    angle, scale = np.radians(rng.uniform(-TURN, TURN)), 1 + rng.uniform(-SCALE, SCALE)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turn[:, 0] *= rng.choice((-1, 1))
    shift = rng.uniform(-SHIFT, SHIFT, 2)
    soft = rng.uniform(0.3, SOFT) if rng.random() < BLUR else 0.0
    views = []
    for mouth, shake in zip(mouths, rng.normal(0, SHAKE, (len(mouths), 2)), strict=True):
        offset = (VIEW - 1) / 2 + shift + shake - turn @ np.full(2, (MOUTH_CROP - 1) / 2)
        view = cv2.warpAffine(mouth, np.c_[turn, offset], (VIEW, VIEW), borderMode=cv2.BORDER_REPLICATE)
        views.append(cv2.GaussianBlur(view, (0, 0), soft) if soft else view)
    return shrink(np.stack(views))


def resample(views: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Frames at the times `at` [n], between two a mixture of both, float32."""
    low = np.minimum(at.astype(int), len(views) - 1)
    high = np.minimum(low + 1, len(views) - 1)
    share = (at - low).astype(np.float32)[:, None, None, None]
    return views[low] * (1 - share) + views[high] * share


def colour(views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another light and camera: contrast, tint, gamma and noise; to uint8."""
    gain = np.exp(rng.uniform(-CONTRAST, CONTRAST) + rng.uniform(-COLOUR, COLOUR, 3)).astype(np.float32)
    mean = views.mean((0, 1, 2), keepdims=True)
    views = (views - mean) * gain + mean * np.float32(np.exp(rng.uniform(-CONTRAST, CONTRAST) / 2))
    views = 255 * (np.clip(views, 0, 255) / 255) ** np.float32(np.exp(rng.uniform(-GAMMA, GAMMA)))
    if rng.random() < 0.5:
        views = views + rng.standard_normal(views.shape, np.float32) * np.float32(rng.uniform(0, NOISE))
    return np.clip(views, 0, 255).astype(np.uint8)
