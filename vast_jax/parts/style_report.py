"""What style transfer has learned, on held-out clips: figures, curves and mesh strips; always free-running."""

import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vast_jax.data.clips import Clip
from vast_jax.data.pipeline import spread
from vast_jax.face.model import FaceModel
from vast_jax.face.rasterise import camera_of, place
from vast_jax.face.shading import shade
from vast_jax.media import FPS
from vast_jax.metrics.expression import (
    correlation,
    mean_activation,
    mean_distance,
    mesh_lip_aperture,
    metric_coordinates,
)
from vast_jax.models.style_model import StyleModel
from vast_jax.reporting import image_grid, plot_curves, save_png

GRID_CLIPS, OTHER_CLIPS, STYLES = 24, 10, 12  # at most, so that a look takes seconds
_STRIP_FRAMES, _STRIP_SIZE = 10, 128
_CURVES = {
    "jaw open": ("jawOpen",),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "eyes closed": ("eyeBlinkLeft", "eyeBlinkRight"),
    "brows raised": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
}


class _Trial(NamedTuple):
    """A held-out clip to speak again: frames [start, N), in the manner of a prompt that is not among them."""

    clip: Clip
    start: int
    style: np.ndarray  # [S]


def report(
    model: StyleModel, face: FaceModel, train: Sequence[Clip], held_out: Sequence[Clip], out_dir: Path, step: int
) -> dict[str, float]:
    """Speaks held-out clips again and compares; writes curves_*.png, meshes_*.png and styles.png.

    Prompts: of a GRID clip the talker's next training clip by name, of others their own first half while the second is
    spoken. Figures of each corpus group: mean distance of the mouth's vertices from the true ones in mm, for the
    clip's own speech, for another clip's, and for the mean expression; the share of clips in which own beats other;
    the correlation of the lip aperture. Then, over styles of different talkers: how far the same speech differs
    between two of them over how far between two halves of one (`style_ratio`), and the posterior's health.
    """
    figures: dict[str, float] = {}
    grid = spread([clip for clip in held_out if clip.name.startswith("grid/")], GRID_CLIPS)
    others = spread([clip for clip in held_out if not clip.name.startswith("grid/")], OTHER_CLIPS)
    average = model.constants["mean"]
    for group, clips in (("grid", grid), ("other", others)):
        trials = [trial for clip in clips if (trial := _trial(model, clip, train))]
        if not trials:
            continue
        figures |= {f"{group}_{name}": value for name, value in _speak(model, face, trials, average).items()}
        for trial in trials[:2]:
            _picture(model, face, trial, Path(out_dir), step)
    prompts = _one_each([*others, *spread(train, len(train)), *grid], STYLES)
    if len(prompts) > 1:
        figures |= _style_figures(model, face, prompts, (grid or others)[:3], Path(out_dir), step)
    figures |= _posterior_figures(model, spread(train, 64))
    if model.module.style_source == "encoder" and figures["active_units"] < 0.1 * model.module.style_width:
        warnings.warn(f"step {step}: only {figures['active_units']:.0f} style dimensions are in use", stacklevel=2)
    return figures


def _trial(model: StyleModel, clip: Clip, train: Sequence[Clip]) -> _Trial | None:
    if clip.name.startswith("grid/"):
        own = [other for other in train if other.person == clip.person and other.name.startswith("grid/")]
        if own:
            prompt = min(own, key=lambda other: (other.name < clip.name, other.name))  # the next one, or the first
            return _Trial(clip, 0, model.encode(prompt.track.expression, prompt.ppg, prompt.has_speech))
    half = len(clip) // 2
    if half < FPS:
        return None
    return _Trial(clip, half, model.encode(clip.track.expression[:half], clip.ppg[:half], clip.has_speech))


def _speak(model: StyleModel, face: FaceModel, trials: Sequence[_Trial], average: np.ndarray) -> dict[str, float]:
    rows = []
    for index, trial in enumerate(trials):
        true = trial.clip.track.expression[trial.start :]
        other = trials[(index + 1) % len(trials)]
        own = model.decode(trial.clip.ppg[trial.start :], trial.style)
        others = other.clip.ppg[other.start :]
        foreign = model.decode(np.resize(others, (len(true), others.shape[1])), trial.style)  # repeated if shorter
        still = np.broadcast_to(average, true.shape)
        errors = [mean_distance(face, x, true) for x in (own, foreign, still)]
        gaps = [mesh_lip_aperture(face, trial.clip.track.identity, x) for x in (own, foreign, true)]
        lively = own.std(0).mean() / max(true.std(0).mean(), 1e-6)
        rows.append([*errors, correlation(gaps[0], gaps[2]), correlation(gaps[1], gaps[2]), lively])
    rows = np.array(rows)
    names = ("mouth_error_mm", "mouth_error_mm_other_speech", "mouth_error_mm_mean", "lip_correlation")
    names = (*names, "lip_correlation_other_speech", "movement_over_true")
    medians = dict(zip(names, np.median(rows, axis=0).tolist(), strict=True))
    return medians | {
        "share_own_below_other": float(np.mean(rows[:, 0] < rows[:, 1])),
        "share_own_below_mean": float(np.mean(rows[:, 0] < rows[:, 2])),
    }


def _picture(model: StyleModel, face: FaceModel, trial: _Trial, out_dir: Path, step: int) -> None:
    """Curves and meshes of a clip, true and generated."""
    clip, track = trial.clip, trial.clip.track
    true = track.expression[trial.start :]
    generated = model.decode(clip.ppg[trial.start :], trial.style)
    kinds = {"true": true, "generated": generated}
    curves = {"lip gap": {kind: mesh_lip_aperture(face, track.identity, x) for kind, x in kinds.items()}}
    curves |= {
        label: {kind: mean_activation(face, x, names) for kind, x in kinds.items()} for label, names in _CURVES.items()
    }
    name = clip.name.replace("/", "_")
    title = f"{clip.name}, step {step}"
    plot_curves(out_dir / f"curves_{name}.png", curves, title=title, x_label="seconds", x_scale=1 / FPS)
    at = np.linspace(0, min(len(true), 3 * FPS) - 1, _STRIP_FRAMES).round().astype(int)
    pose = [np.broadcast_to(x[trial.start], (len(at), *x[0].shape)) for x in (track.rotation, track.translation)]
    camera = camera_of(track)
    rows = [shade(face, place(face, track.identity, x[at], *pose), camera, _STRIP_SIZE) for x in kinds.values()]
    save_png(out_dir / f"meshes_{name}.png", image_grid(rows))


def _style_figures(
    model: StyleModel, face: FaceModel, prompts: Sequence[Clip], speeches: Sequence[Clip], out_dir: Path, step: int
) -> dict[str, float]:
    """Between: the first halves of two prompts (then the second); within: the two halves of one. Equal lengths."""
    to_millimetres = metric_coordinates(face, "mouth", "face")
    spoken = []
    for clip in prompts:
        half = min(len(clip) // 2, model.WINDOW)
        parts = (slice(0, half), slice(len(clip) - half, None))
        styles = [model.encode(clip.track.expression[part], clip.ppg[part], clip.has_speech) for part in parts]
        spoken.append([np.concatenate([model.decode(speech.ppg, style) for speech in speeches]) for style in styles])
    spoken = np.array(spoken)  # [prompts, 2, frames, D]
    millimetres = spoken @ to_millimetres
    within = [np.linalg.norm(a - b, axis=-1).mean() for a, b in millimetres]
    between = [np.linalg.norm(one - two, axis=-1).mean() for one, two in itertools.combinations(millimetres, 2)]
    shown = {clip.name: x[0, : len(speeches[0])] for clip, x in zip(prompts[:5], spoken, strict=False)}
    curves = {
        label: {name: mean_activation(face, x, names) for name, x in shown.items()} for label, names in _CURVES.items()
    }
    title = f"{speeches[0].name} in the manner of others, step {step}"
    plot_curves(out_dir / "styles.png", curves, title=title, x_label="seconds", x_scale=1 / FPS)
    return {
        "style_between_mm": float(np.median(between)),
        "style_within_mm": float(np.median(within)),
        "style_ratio": float(np.median(between) / max(np.median(within), 1e-9)),
    }


def _posterior_figures(model: StyleModel, clips: Sequence[Clip]) -> dict[str, float]:
    """Dimensions whose centre varies over clips by a variance of 0.01 or more, and the mean divergence of each."""
    posteriors = [model.posterior(clip.track.expression[: model.WINDOW], clip.ppg[: model.WINDOW]) for clip in clips]
    mu, logvar = (np.concatenate([posterior[i] for posterior in posteriors]) for i in (0, 1))
    divergence = 0.5 * (np.square(mu) + np.exp(logvar) - 1 - logvar)
    return {"active_units": float((mu.var(0) > 0.01).sum()), "kl_per_dimension": float(divergence.mean())}


def _one_each(clips: Sequence[Clip], count: int) -> list[Clip]:
    """The first clip of each person that is long enough for two halves, at most `count`."""
    found: dict[str, Clip] = {}
    for clip in clips:
        if len(clip) >= 2 * FPS:
            found.setdefault(clip.person, clip)
    return list(found.values())[:count]
