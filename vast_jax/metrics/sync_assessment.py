"""How far the lip-sync metric can be trusted: offsets of real clips, offsets put in on purpose, other words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vast_jax import cli
from vast_jax.audio import SAMPLES_PER_FRAME
from vast_jax.data.clips import Clip
from vast_jax.data.pipeline import open_clips
from vast_jax.face.mouth_crop import mouth_crops
from vast_jax.files import atomic_path
from vast_jax.metrics.sync import UNRELATED, Sync, compare, load_sync
from vast_jax.models.syncnet_model import SyncModel
from vast_jax.types import UserError

MOVED = 3  # frames that the sound is moved by, both ways
LEAST_FRAMES = 50  # two seconds


class Trial(NamedTuple):
    """A clip measured with its own sound, with that sound moved, and with the sound of another clip."""

    name: str
    frames: int
    own: Sync
    moved: dict[int, Sync]  # {frames later: measured}
    other: Sync


def move(speech: np.ndarray, frames: int) -> np.ndarray:
    """Speech later by `frames` video frames (earlier if negative), as long as before, with silence let in."""
    by = frames * SAMPLES_PER_FRAME
    return np.pad(speech, (max(by, 0), max(-by, 0)))[max(-by, 0) :][: len(speech)]


def assess(model: SyncModel, clips: Sequence[Clip]) -> list[Trial]:
    """Measures clips with speech; the other sound is that of the next clip in the list.

    Distances are those of the embeddings, without the model's unit.
    """
    trials = []
    for clip, next_clip in zip(clips, [*clips[1:], clips[0]], strict=True):
        speech = clip.speech
        pictures = model.pictures(mouth_crops(clip.frames(), clip.track.landmarks))
        own = compare(pictures, model.sounds(speech))
        moved = {by: compare(pictures, model.sounds(move(speech, by))) for by in (-MOVED, MOVED)}
        sounds = model.sounds(next_clip.speech)
        common = min(len(pictures), len(sounds))
        trials.append(Trial(clip.name, len(clip), own, moved, compare(pictures[:common], sounds[:common])))
    return trials


def area_under_curve(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Probability that a positive is above a negative (area under the ROC curve), ties half."""
    positive, negative = np.asarray(positive)[:, None], np.asarray(negative)[None]
    return float(((positive > negative) + 0.5 * (positive == negative)).mean())


def unrelated_distance(trials: Sequence[Trial]) -> float:
    """The median distance of these mouths to other clips' sound: what `SyncModel.unrelated` holds."""
    return float(np.median([np.nanmedian(trial.other.curve) for trial in trials]))


def figures(trials: Sequence[Trial], unrelated: float) -> dict[str, float]:
    """What a group of trials comes to, distances in tenths of `unrelated`.

    Offsets are judged against perfect sync, and moves also against the offset found before (`moved_from_own_within_1`),
    for footage itself may be out of sync. AUC: of own sound against another clip's.
    """
    scale = UNRELATED / unrelated
    own, other = [trial.own for trial in trials], [trial.other for trial in trials]
    moves = [(trial.own.offset, by, found.offset) for trial in trials for by, found in trial.moved.items()]
    return {
        "clips": len(trials),
        "offset_within_1": float(np.mean([abs(found.offset) <= 1 for found in own])),
        "offset_median": float(np.median([found.offset for found in own])),
        "moved_within_1": float(np.mean([abs(found - by) <= 1 for _, by, found in moves])),
        "moved_from_own_within_1": float(np.mean([abs(found - before - by) <= 1 for before, by, found in moves])),
        "confidence_auc": area_under_curve([x.confidence for x in own], [x.confidence for x in other]),
        "distance_auc": area_under_curve([-x.distance for x in own], [-x.distance for x in other]),
        "distance": scale * float(np.median([x.distance for x in own])),
        "confidence": scale * float(np.median([x.confidence for x in own])),
        "other_distance": scale * float(np.median([x.distance for x in other])),
        "other_confidence": scale * float(np.median([x.confidence for x in other])),
    }


def groups(data_dir: str | Path, left_out: Sequence[str] = ()) -> dict[str, list[Clip]]:
    """Clips to measure on: "known" people with held-out sentences, and "unseen" people.

    Held-out clips with speech of two seconds or more; training clips that fit `left_out` join the unseen.
    """
    train, held_out = open_clips(data_dir, "train"), open_clips(data_dir, "held_out")
    kept_back = [clip for clip in train if any(fnmatchcase(clip.name, pattern) for pattern in left_out)]
    names = {clip.name for clip in kept_back}
    people = {clip.person for clip in train if clip.name not in names}
    usable = [clip for clip in [*held_out, *kept_back] if clip.has_speech and len(clip) >= LEAST_FRAMES]
    found = {"known": [clip for clip in usable if clip.person in people]}
    found["unseen"] = [clip for clip in usable if clip.person not in people]
    return {name: clips for name, clips in found.items() if len(clips) > 1}


@dataclass(frozen=True)
class Args:
    """Measures the lip-sync metric itself on held-out clips and unseen people."""

    data: Path
    """prepared footage, as vast_jax.prepare leaves it"""
    weights: Path | None = None
    """SyncNet weights; none: the shipped ones"""
    out: Path | None = None
    """JSON file for all figures and clips"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: _command(cli.parse(Args, argv, prog="python -m vast_jax.metrics.sync_assessment")))


def _command(args: Args) -> None:
    cli.use_compilation_cache()
    model = load_sync(args.weights)
    if model.module.layout == "original":
        raise UserError(
            f"{args.weights} sees whole faces, and prepared clips are measured on their mouths: use measure()"
        )
    trials = {name: assess(model, clips) for name, clips in groups(args.data, model.card.get("left_out", ())).items()}
    unrelated = model.unrelated or unrelated_distance([trial for group in trials.values() for trial in group])
    found = {name: figures(group, unrelated) for name, group in trials.items()}
    for name, values in found.items():
        print(f"{name}: " + ", ".join(f"{figure} {value:.4g}" for figure, value in values.items()))
    if args.out:
        clips = {trial.name: _row(trial, unrelated) for group in trials.values() for trial in group}
        with atomic_path(args.out) as part:
            part.write_text(json.dumps({"figures": found, "clips": clips}, indent=1), encoding="utf-8")


def _row(trial: Trial, unrelated: float) -> Mapping[str, float]:
    scale = UNRELATED / unrelated
    moved = {f"offset_moved_{by:+d}": found.offset for by, found in trial.moved.items()}
    return {
        "frames": trial.frames,
        "offset": trial.own.offset,
        "distance": scale * trial.own.distance,
        "confidence": scale * trial.own.confidence,
        **moved,
        "other_distance": scale * trial.other.distance,
        "other_confidence": scale * trial.other.confidence,
    }
