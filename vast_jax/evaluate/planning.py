"""What there is to measure: the clips of two folders, or an avatar's held-out clips, whose videos are made first."""

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from vast_jax import media
from vast_jax.data.clips import Clip
from vast_jax.data.pipeline import open_clips, spread
from vast_jax.evaluate import control_figures, held_out, page, style_figures
from vast_jax.evaluate.measuring import REAL
from vast_jax.evaluate.style_figures import Outcome, Say
from vast_jax.files import sha256
from vast_jax.generation.avatar_bundle import load_avatar
from vast_jax.generation.performance import Models
from vast_jax.metrics.style_space import plot_points, tsne
from vast_jax.types import UserError
from vast_jax.weights.unpacking import opened

MONOLOGUE = 20  # clips in a row that each prompt speaks, to count blinks
STYLE_CONVENTIONS = {
    "pipeline": "Held-out clips of one person; the prompt is the person's next training clip in name order, the speech "
    "the clip's own, or in the control that of the next held-out clip. Mouth error: mean distance in mm of the mouth "
    "region's vertices from the tracked expression. Lip correlation: of the gap between the inner lips on the mesh; "
    "lip spread: its deviation over the true one's. "
    "Dvt: of generated and real expressions (compare only their ratios with the paper's).",
    "style": "Held-out prompts with faces, cut into halves. Distance of two expressions of the same speech: mean over "
    "frames of the root mean square in mm over the vertices of mouth and face. Between: halves of prompts of other "
    "people or emotions; within: the two halves of one prompt. Style similarity: rank correlation over whole prompts "
    "of what each parameter does (mean, spread, speed, range) in prompt and result. Blinks a minute: of all prompts, "
    "of all results over a minute of speech, and the share of prompts of ten seconds and more that are met within a "
    "factor of two.",
    "controls": "From the person's own manner (their first training clip) to each prompt's and beyond, --intensity 0, "
    "0.5, 1, 1.5: share of prompts and speeches in which the distance from the own manner grows at each step. Lips "
    "closed: at b, p and m heard in the speech, the lip gap within two frames is below 15% of the clip's 95th "
    "percentile. A mix of two prompts by halves lies between if it is nearer to both than they are to each other.",
    "style space": "Style vectors of every three seconds of held-out prompts whose emotion is known. Emotion is told "
    "by what other persons' vectors teach; the speaker by other recordings. Chance: the commonest label.",
}


class Job(NamedTuple):
    """A clip to measure."""

    name: str
    paths: dict[str, Path]  # by system


class Plan(NamedTuple):
    """What is to be measured, and what was found out on the way there."""

    title: str
    systems: dict[str, str]  # what each is
    jobs: list[Job]
    remarks: dict[str, str]  # by clip
    outcomes: dict[str, Outcome]  # of expressions
    sections: list[str]  # of the page


def of_folders(generated: Path, reference: Path, clips: int | None) -> Plan:
    """Two folders of videos, of which `clips` are measured (None: all). UserError: no video of one name in both."""
    made, real = media.videos_in(generated), media.videos_in(reference)
    names = sorted(made.keys() & real.keys())
    if not names:
        raise UserError(f"no video of {generated} has the name of one in {reference}")
    remarks = {name: f"no such video in {reference}" for name in sorted(made.keys() - real.keys())}
    remarks |= {name: f"no such video in {generated}" for name in sorted(real.keys() - made.keys())}
    jobs = [Job(name, {REAL: real[name], held_out.GENERATED: made[name]}) for name in spread(names, clips)]
    systems = {REAL: f"the videos of {reference}", held_out.GENERATED: f"the videos of {generated}"}
    title = f"{generated.resolve().name} beside {reference.resolve().name}"
    return Plan(title, systems, jobs, remarks, {}, [])


def of_data(
    data: Path, avatar: Path | None, models: Models, person: str | None, clips: int | None, out: Path, say: Say
) -> Plan:
    """Prepared footage: figures of expressions, and in `out` the avatar's videos of its held-out clips.

    UserError: no clips of the person, or clips prepared with other models than those given.
    """
    face, style = models.face, models.style
    actor = load_avatar(avatar, face, models.acoustic) if avatar else None
    kept, train = open_clips(data, "held_out"), open_clips(data, "train")
    person = actor.person if actor else person or _best_known(kept, train)
    mine, known = ([clip for clip in group if clip.person == person] for group in (kept, train))
    if not mine or not known:
        raise UserError(f"{data} has {len(mine)} held-out and {len(known)} training clips of {person!r}: needs both")
    prompts = [clip for clip in kept if PurePath(clip.name).parent.name in style_figures.PROMPT_FOLDERS]
    _check_ppg([*mine, *known, *prompts], models.acoustic.hash)
    chosen = spread(mine, clips)

    say(f"expression from speech: {len(chosen)} clips of {person}")
    outcomes = {"pipeline": style_figures.speech_to_expression(face, style, known, mine, chosen, say)}
    plots = {}
    if prompts:
        say(f"what the style prompt does: {len(prompts)} prompts")
        speeches = spread(mine, style_figures.STYLE_SPEECHES)
        monologue = np.concatenate([clip.ppg for clip in spread(mine, MONOLOGUE)])
        outcomes["style"] = style_figures.style_matters(face, style, prompts, speeches, monologue, say)
        say("intensity and mixes")
        own = min(known, key=lambda clip: clip.name)
        outcomes["controls"] = control_figures.controls(face, style, own, prompts, speeches, say)
        figures, space = style_figures.emotion_space(style, prompts)
        outcomes["style space"] = Outcome(figures, {}, {})
        if len(space.vectors) >= 4 and np.ptp(space.vectors, axis=0).any():  # a model without styles has none to show
            plots["style space"] = _plot(out / "style_space.png", space)
    sections = [
        page.style_section(name.capitalize(), STYLE_CONVENTIONS[name], outcome.figures, plots.get(name))
        for name, outcome in outcomes.items()
    ]
    remarks = {f"{c} ({name})": fault for name, outcome in outcomes.items() for c, fault in outcome.failed.items()}
    jobs = []
    if actor:
        weights = f"{sha256(opened(avatar) / 'renderer.safetensors')} {style.card.get('sha256')}"
        cast = held_out.Cast(actor, style, known, mine, held_out.mean_expression(known), weights)
        for count, clip in enumerate(chosen, 1):
            paths, failed = held_out.write_videos(cast, clip, out / "videos")
            stem = held_out.file_stem(clip.name)
            remarks |= {f"{stem}, {system}": words_of(error) for system, error in failed.items()}
            say(
                f"{count:3d}/{len(chosen)} {clip.name}  {len(paths)} videos"
                + (f", {len(failed)} failed" if failed else "")
            )
            jobs.append(Job(stem, paths))
    return Plan(person, held_out.systems_of(mine) if actor else {}, jobs, remarks, outcomes, sections)


def words_of(error: Exception) -> str:
    """An error for people."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _plot(path: Path, space: style_figures.Space) -> bytes:
    plot_points(path, tsne(space.vectors), space.emotions, "style vectors, t-SNE (figures, not the picture, count)")
    return path.read_bytes()


def _check_ppg(clips: Sequence[Clip], acoustic_hash: str) -> None:
    stale = [clip.name for clip in clips if clip.has_speech and clip.ppg_hash != acoustic_hash]
    if stale:
        raise UserError(
            f"{len(stale)} clips, such as {stale[0]}, have phone posteriors of another acoustic model: "
            "run python -m vast_jax.prepare --out DATA --update-ppg"
        )


def _best_known(kept: Sequence[Clip], train: Sequence[Clip]) -> str:
    """Who has most held-out clips, of those with clips to train on."""
    trained = {clip.person for clip in train}
    people = [clip.person for clip in kept if clip.person in trained]
    if not people:
        raise UserError("no person has both held-out and training clips")
    return max(sorted(set(people)), key=people.count)
