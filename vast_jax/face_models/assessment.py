"""How good the tracks of prepared footage are: python -m vast_jax.face_models.assessment --data DIR [--align DIR]

Needs no truth but the detector's landmarks and, for the closing of the lips, word alignments as the GRID corpus has
them. Prints a table, one line a folder, for the clips that were held out from training (`--split train` for others).

With --rest it tells instead how well one clip tells what a face holds through it. Of people with several clips each
clip is fitted alone, and all together with one identity, which is taken for the truth.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vast_jax import cli
from vast_jax.data import grid_corpus
from vast_jax.data.builders import SPLITS, folder_of, folders, read_folder
from vast_jax.data.clips import Clip
from vast_jax.face import tracking
from vast_jax.face.clip_fit import Fit, fit_clips
from vast_jax.face.detector_bias import unbiased
from vast_jax.face.landmarks import INNER_LIPS, LIPS, MESH_LANDMARKS
from vast_jax.face.model import FaceModel, landmark_basis, load_face_model
from vast_jax.face.overlay import landmarks_in_camera
from vast_jax.face.rasterise import camera_of, project
from vast_jax.files import atomic_path
from vast_jax.media import FPS
from vast_jax.metrics.expression import correlation
from vast_jax.metrics.landmarks import interocular
from vast_jax.types import UserError

LIDS = ((159, 145), (386, 374))  # middles of upper and lower lid, right and left eye
CALM_FRAMES = 5
STILL = 0.2  # share of a clip's frames, those that move least, on which jitter is measured
CLOSED = 0.1  # of the clip's 95th percentile of the lip gap
ONSET = 3  # frames by which an alignment may be wrong
NEUTRAL = ("neutral", "calm")  # in the name of a clip without emotion
TOGETHER = 0.02  # activations that count as acting
LIP_CLOSING = tuple("bpm")  # letters with which words begin whose lips close

_SIDES = ("Left", "Right")
# Muscles that pull against each other: on a real face one of a pair acts at a time.
OPPOSITES = (
    ("mouthLeft", "mouthRight"),
    ("jawLeft", "jawRight"),
    *(
        (f"{first}{side}", f"{second}{side}")
        for side in _SIDES
        for first, second in (
            ("mouthSmile", "mouthFrown"),
            ("eyeWide", "eyeBlink"),
            ("eyeWide", "eyeSquint"),
            ("browOuterUp", "browDown"),
            ("eyeLookUp", "eyeLookDown"),
            ("eyeLookIn", "eyeLookOut"),
        )
    ),
)

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Args:
    """Tells how good the tracks of prepared footage are."""

    data: Path
    """Folder of prepared clips."""
    align: Path | None = None
    """Folder of GRID's word alignments (NAME.align): how well lips close is told where one is found."""
    split: Literal["held_out", "train", "all"] = "held_out"
    """Which clips."""
    face_model: Path | None = None
    """Face model of the data; none: the one that comes with vast_jax."""
    json: Path | None = None
    """File for the figures, besides the printed ones."""
    rest: bool = False
    """Tell instead how well one clip tells what a face holds, for people with several clips."""


def assess(model: FaceModel, clip: Clip, words: Sequence[tuple[int, str]] = ()) -> tuple[Figures, list[float]]:
    """Figures of one clip, and the lip gap at each of its lip-closing words.

    Pixels are those of the 256 crop; detected landmarks are as the detector gave them, not smoothed.
      residual, lips: mean distance of fitted from detected landmarks freed of the detector's habits (`detector_bias`),
        all 468 of the mesh, and those of the lips.
      gap, slope: Pearson's correlation of the fitted with the detected gap of the inner lips, and its regression slope.
      blink: correlation of the fitted with the detected opening of the eyes, in distances of the eye corners.
      calm: mean expression of the five calmest frames over the 95th percentile; an expression's size is the root mean
        square over the landmarks of how far it moves them.
      opposed: share of frames in which activations act together that exclude each other.
      jitter: standard deviation of a fitted landmark about its neighbours in time, in the fifth of frames that moves
        least, from second differences.

    words: (frame of the clip at which it begins, word); the gap at one is the least within 3 frames of that, in parts
    of the clip's 95th percentile.
    """
    track, seen = clip.track, clip.track.valid
    fitted = project(landmarks_in_camera(model, track), camera_of(track))[:, :MESH_LANDMARKS, :2]
    detected = track.landmarks[:, :MESH_LANDMARKS, :2]
    target = unbiased(model.detector_bias, track.landmarks, seen)[:, :MESH_LANDMARKS, :2]
    apart = np.linalg.norm(fitted - target, axis=-1)[seen]
    gaps = [_distance(points, *INNER_LIPS) for points in (fitted, detected)]
    lids = [sum(_distance(points, *pair) for pair in LIDS) / interocular(points) for points in (fitted, detected)]
    basis = landmark_basis(model).expression[:, :MESH_LANDMARKS]
    moved = np.einsum("nd,dlc->nlc", track.expression[seen], basis)
    size = np.sqrt(np.square(moved).sum(-1).mean(-1))
    second = [np.linalg.norm(p[1:-1] - (p[2:] + p[:-2]) / 2, axis=-1).mean(-1) for p in (fitted, detected)]
    still = np.argsort(second[1])[: max(int(len(second[1]) * STILL), 1)]
    limit = np.quantile(gaps[0], 0.95)
    closings = []
    for frame, word in words:
        around = gaps[0][max(frame - ONSET, 0) : frame + ONSET]
        if word.startswith(LIP_CLOSING) and len(around) == 2 * ONSET:
            closings.append(float(around.min() / limit))
    detected_gap, fitted_gap = gaps[1][seen], gaps[0][seen]
    figures = {
        "residual": float(apart.mean()),
        "lips": float(apart[:, LIPS].mean()),
        "gap": correlation(fitted_gap, detected_gap),
        "slope": float(np.polyfit(detected_gap, fitted_gap, 1)[0]),
        "blink": correlation(lids[0][seen], lids[1][seen]),
        "calm": float(np.sort(size)[:CALM_FRAMES].mean() / max(np.quantile(size, 0.95), 1e-9)),
        # white noise of deviation s gives such a difference the deviation s * sqrt(3 / 2), in each direction
        "jitter": float(second[0][still].mean() / np.sqrt(1.5)),
        "opposed": opposites_together(model, track.expression[seen]),
    }
    return figures, closings


def opposites_together(model: FaceModel, expression: np.ndarray) -> float:
    """Share of frames [N, D] in which two activations act together that exclude each other (`OPPOSITES`)."""
    number = {name: index for index, name in enumerate(model.expression_names)}
    pairs = [[number[name] for name in pair] for pair in OPPOSITES if all(name in number for name in pair)]
    return float((expression[:, pairs] > TOGETHER).all(-1).any(-1).mean()) if pairs else 0.0


def held(model: FaceModel, clips: Sequence[Clip]) -> Figures:
    """How well one clip tells what a face holds, from all clips of one person.

    slope, correlation: of the clips' mean displacements of the landmarks [468, 3], each clip fitted alone, against
      those of a fit with one identity for all clips; both less those of the neutral clip (one with "neutral" or
      "calm" in its name), or where there is none less their mean. The slope is that of a line through 0.
    neutral, mean: root mean square over the landmarks of the mean displacement, mm, each clip fitted alone: of the
      neutral clip, and the mean over all clips.
    """
    observed = [tracking.seen(clip.track, model) for clip in clips]
    basis = landmark_basis(model).expression[:, :MESH_LANDMARKS]

    def displacements(fits: Sequence[Fit]) -> np.ndarray:
        means = [fit.expression[one.valid].mean(0) for fit, one in zip(fits, observed, strict=True)]
        return np.einsum("kd,dlc->klc", np.array(means), basis)

    alone = displacements([fit_clips(model, [one])[0] for one in observed])
    together = displacements(fit_clips(model, observed))
    neutral = [k for k, clip in enumerate(clips) if any(word in clip.name for word in NEUTRAL)]
    others = [k for k in range(len(clips)) if k not in neutral]
    x, y = (
        (array[others] - (array[neutral].mean(0) if neutral else array.mean(0))).ravel() for array in (together, alone)
    )
    size = np.sqrt(np.square(alone).sum(-1).mean(-1))
    return {
        "slope": float(x @ y / max(x @ x, 1e-9)),
        "correlation": correlation(x, y),
        "neutral": float(size[neutral].mean()) if neutral else float("nan"),
        "mean": float(size.mean()),
    }


def retrieval(identities: np.ndarray, people: Sequence[str]) -> tuple[float, int]:
    """Share of clips whose nearest other identity [clips, I], by cosine, is the same person's, and how many count.

    Clips of people with a single one are among the candidates only.
    """
    people = np.array(people)
    unit = identities / np.maximum(np.linalg.norm(identities, axis=1, keepdims=True), 1e-9)
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -np.inf)
    counted = np.array([(people == person).sum() > 1 for person in people])
    hits = people[likeness.argmax(1)] == people
    return (float(hits[counted].mean()) if counted.any() else float("nan")), int(counted.sum())


def read_alignment(path: Path, clip: Clip, start: int = 0) -> list[tuple[int, str]]:
    """Words of a GRID alignment with the frames, counted from `start` of the video, at which they begin."""
    words = [(round(begin) - start, word) for begin, _, word in grid_corpus.read_alignment(path)]
    return [(frame, word) for frame, word in words if 0 <= frame < len(clip)]


def _distance(points: np.ndarray, first: int, second: int) -> np.ndarray:
    return np.linalg.norm(points[:, first] - points[:, second], axis=-1)


def report(options: Args) -> dict:
    """Assesses all clips of the split; prints the table and returns the figures a folder, or with `rest` a person.

    Raises:
      UserError: no clips, or clips of another face model.
    """
    return report_rest(options) if options.rest else report_tracks(options)


def report_rest(options: Args) -> dict:
    """`held` for each person with several clips, as a table."""
    model = load_face_model(options.face_model)
    people = defaultdict(list)
    for clip in _clips(options):
        people[folder_of(clip.name), clip.person].append(clip)
    result = {}
    for (folder, person), clips in sorted(people.items()):
        if len(clips) < 2:
            continue
        figures = held(model, clips)
        if not result:
            print(f"{'person':32} {'clips':>5} " + " ".join(f"{name:>11}" for name in figures))
        result[f"{folder} {person}"] = figures
        line = " ".join(f"{value:11.2f}" for value in figures.values())
        print(f"{folder + ' ' + person:32} {len(clips):5} {line}", flush=True)
    if not result:
        raise UserError(f"{options.data}: nobody has two {options.split} clips; prepare some with --person NAME")
    _write(options, result)
    return result


def report_tracks(options: Args) -> dict:
    """`assess` for all clips of the split, as a table."""
    model = load_face_model(options.face_model)
    rows, closings, identities = defaultdict(dict), [], {}
    for clip in _clips(options):
        if clip.track.face_model != model.hash:
            raise UserError(f"{options.data} was prepared with another face model: prepare it again")
        path = options.align / f"{clip.name.split('/')[-1]}.align" if options.align else None
        whole = len(clip) == 3 * FPS  # a GRID clip that begins later has lost its clock
        words = read_alignment(path, clip) if path and path.is_file() and whole else ()
        rows[folder_of(clip.name)][clip.name], closed = assess(model, clip, words)
        closings += closed
        identities[clip.name] = clip.person, clip.track.identity
    if not rows:
        raise UserError(f"{options.data} has no {options.split} clips")
    names = list(next(iter(next(iter(rows.values())).values())))
    print(f"{'folder':24} {'clips':>5} " + " ".join(f"{name:>8}" for name in names))
    result = {}
    for folder, clips in rows.items():
        result[folder] = {name: float(np.mean([figures[name] for figures in clips.values()])) for name in names}
        print(f"{folder:24} {len(clips):5} " + " ".join(f"{value:8.3f}" for value in result[folder].values()))
    if closings:
        share = float(np.mean(np.array(closings) < CLOSED))
        result["lips closed"] = {"share": share, "words": len(closings), "mean gap": float(np.mean(closings))}
        print(f"lips closed at word-initial {', '.join(LIP_CLOSING)}: {share:.1%} of {len(closings)} words")
    people, vectors = zip(*identities.values(), strict=True)
    share, count = retrieval(np.array(vectors), people)
    result["retrieval"] = {"share": share, "clips": count}
    print(f"nearest identity is the same person's: {share:.1%} of {count} clips, {len(vectors)} candidates")
    _write(options, result | {"clips": rows})
    return result


def _clips(options: Args) -> Iterator[Clip]:
    """The clips of the split, folder by folder."""
    for folder in folders(options.data):
        for split in SPLITS if options.split == "all" else (options.split,):
            yield from read_folder(folder, split)


def _write(options: Args, figures: dict) -> None:
    if options.json:
        with atomic_path(options.json) as part:
            part.write_text(json.dumps(figures, indent=1) + "\n")


def main(argv: list[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: report(cli.parse(Args, argv, prog="python -m vast_jax.face_models.assessment")))


if __name__ == "__main__":
    main()
