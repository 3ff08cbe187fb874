"""python -m vast_jax.evaluate --data DIR --out REPORT [--avatar DIR] [--style PATH] [--clips N]

Measures trained weights on the held-out clips of prepared footage: the avatar's renderer, the whole pipeline from
speech, and whether the style prompt matters, each where its weights are given. Writes report.md, report.json, pictures.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from PIL import Image, ImageDraw

from vast_jax import __version__, cli, protocols
from vast_jax.audio import load_acoustic
from vast_jax.avatar import load_avatar
from vast_jax.caching import use_compilation_cache
from vast_jax.data.clips import Clip
from vast_jax.data.pipeline import open_clips
from vast_jax.face.landmarks import Landmarker
from vast_jax.face.model import load_face_model
from vast_jax.files import atomic_path
from vast_jax.generate import load_models
from vast_jax.protocols import Outcome
from vast_jax.reporting import duration, image_grid, save_png
from vast_jax.types import UserError

SHEETS = 3  # clips shown as pictures
SHEET_COLUMNS = 8  # frames of each
_CONVENTIONS = {
    "renderer": "Held-out clips of the avatar's person, each its own template (identity, pose, background outside the "
    "hole, which covers the union of the face regions over the clip); the expression is the tracked one, or in the "
    "control the mean over the person's training clips. MediaPipe landmarks (IMAGE mode) of generated and real 256 "
    "crops, both JPEG. LMD: 68 points, Umeyama similarity of all 68 a frame, mean L2 in px; LMD-m: same alignment, 20 "
    f"points of the mouth (control: every {protocols.CONTROL_STRIDE}rd frame). SSIM: Gaussian window, sigma 1.5.",
    "pipeline": "Held-out clips of one person; the prompt is the person's next training clip in name order, the speech "
    "the clip's own, or in the control that of the next held-out clip. Mouth error: mean distance in mm of the mouth "
    "region's vertices from the tracked expression. Lip correlation: of the gap between the inner lips on the mesh.",
    "style": "Held-out prompts with faces, cut into halves. Distance of two expressions of the same speech: mean over "
    "frames of the root mean square in mm over the vertices of mouth and face. Between: halves of prompts of other "
    "people or emotions; within: the two halves of one prompt.",
}


@dataclass(frozen=True)
class Args:
    """Measures trained weights on held-out clips: the renderer, the whole pipeline from speech, the style prompt."""

    data: Path
    """prepared footage, as vast_jax.prepare leaves it: the person of the avatar, and prompts"""
    out: Path
    """folder for report.md, report.json and pictures"""
    avatar: Path | None = None
    """folder of the avatar whose renderer to measure"""
    style: Path | None = None
    """style weights to measure"""
    acoustic: Path | None = None
    """acoustic weights; none: the shipped ones"""
    face_model: Path | None = None
    """face model of the data and weights; none: the shipped one"""
    person: str | None = None
    """whose clips to measure; none: the avatar's person, or who has most held-out clips"""
    clips: int | None = None
    """measure this many held-out clips of the person, evenly spread; none: all"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: evaluate(cli.parse(Args, argv, prog="vast_jax.evaluate")))


def evaluate(args: Args) -> dict[str, Outcome]:
    """Measures, and writes the report; returns what each protocol found.

    Raises:
      UserError: nothing to measure, no clips of the person, or clips prepared with other models than those given.
    """
    if args.avatar is None and args.style is None:
        raise UserError("nothing to measure: give --avatar DIR, --style PATH or both")
    use_compilation_cache()
    started = time.perf_counter()
    face, acoustic = load_face_model(args.face_model), load_acoustic(args.acoustic)
    actor = load_avatar(args.avatar, face, acoustic) if args.avatar else None
    style = load_models(args.style, args.acoustic, args.face_model).style if args.style else None
    held_out, train = open_clips(args.data, "held_out"), open_clips(args.data, "train")
    person = args.person or (actor.person if actor else _best_known(held_out, train))
    mine, known = ([clip for clip in clips if clip.person == person] for clips in (held_out, train))
    if not mine or not known:
        raise UserError(
            f"{args.data} has {len(mine)} held-out and {len(known)} training clips of {person!r}: needs both"
        )
    prompts = [clip for clip in held_out if PurePath(clip.name).parent.name in protocols.PROMPT_FOLDERS]
    _check_ppg([*mine, *known, *prompts], acoustic.hash)
    chosen = _spread(mine, args.clips or len(mine))
    say = _clock(started)

    outcomes, spoken = {}, {}
    if style:
        say(f"whole pipeline from speech: {len(chosen)} clips of {person}")
        outcomes["pipeline"], spoken = protocols.speech_to_expression(face, style, known, mine, chosen, say)
        if prompts:
            say(f"style matters: {len(prompts)} prompts")
            speeches = _spread(mine, protocols.STYLE_SPEECHES)
            outcomes["style"] = protocols.style_matters(face, style, prompts, speeches, say)
    if actor:
        shown = [clip.name for clip in _spread(chosen, SHEETS)]
        by_name = {clip.name: clip for clip in chosen}

        def keep(name: str, frames: dict[str, np.ndarray]) -> None:
            if name in shown:
                if name in spoken:
                    frames["whole pipeline"] = actor.render(by_name[name], spoken[name])
                save_png(args.out / f"{name.replace('/', '+')}.png", contact_sheet(frames))

        say(f"renderer: {len(chosen)} clips of {person}")
        average = protocols.mean_expression(known)
        with Landmarker(num_faces=1) as landmarker:
            outcomes["renderer"] = protocols.render_quality(
                chosen, actor.render, actor.hole, average, landmarker, say, keep
            )
    _write_report(args, person, outcomes, time.perf_counter() - started)
    say(f"wrote {args.out / 'report.md'}")
    return outcomes


def contact_sheet(rows: dict[str, np.ndarray], columns: int = SHEET_COLUMNS) -> np.ndarray:
    """Evenly spaced frames of videos [N, H, W, 3] uint8, one named row each."""
    at = np.linspace(0, min(map(len, rows.values())) - 1, columns).round().astype(int)
    return image_grid([[*_named(frames[at[:1]], name), *frames[at[1:]]] for name, frames in rows.items()])


def _named(frames: np.ndarray, name: str) -> list[np.ndarray]:
    picture = Image.fromarray(frames[0])
    ImageDraw.Draw(picture).text((4, 2), name, fill="white", stroke_width=1, stroke_fill="black")
    return [np.asarray(picture)]


def _check_ppg(clips: Sequence[Clip], acoustic_hash: str) -> None:
    stale = [clip.name for clip in clips if clip.has_speech and clip.ppg_hash != acoustic_hash]
    if stale:
        raise UserError(
            f"{len(stale)} clips, such as {stale[0]}, have phone posteriors of another acoustic model: "
            "run python -m vast_jax.prepare --out DATA --update-ppg"
        )


def _best_known(held_out: Sequence[Clip], train: Sequence[Clip]) -> str:
    """Who has most held-out clips, of those with clips to train on."""
    trained = {clip.person for clip in train}
    people = [clip.person for clip in held_out if clip.person in trained]
    if not people:
        raise UserError("no person has both held-out and training clips")
    return max(sorted(set(people)), key=people.count)


def _spread(clips: Sequence[Clip], count: int) -> list[Clip]:
    """At most `count` clips, evenly spread."""
    at = np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int)
    return [clips[i] for i in at]


def _clock(started: float) -> protocols.Say:
    return lambda line: print(f"{duration(time.perf_counter() - started):>8}  {line}", flush=True)


def _write_report(args: Args, person: str, outcomes: dict[str, Outcome], seconds: float) -> None:
    about = {
        "vast_jax": __version__,
        "person": person,
        "avatar": args.avatar and str(args.avatar),
        "style": args.style and str(args.style),
        "data": str(args.data),
        "seconds": round(seconds),
    }
    found = {name: {"convention": _CONVENTIONS[name], **_json(outcome._asdict())} for name, outcome in outcomes.items()}
    with atomic_path(args.out / "report.json") as part:
        part.write_text(json.dumps({**about, **found}, indent=1), encoding="utf-8")
    lines = ["# Evaluation", "", *(f"- {name}: {value}" for name, value in about.items())]
    for name, outcome in outcomes.items():
        lines += ["", f"## {name}", "", _CONVENTIONS[name], "", "| figure | value |", "| --- | --- |"]
        lines += [f"| {figure} | {_number(value)} |" for figure, value in outcome.figures.items()]
        lines += [f"- failed: {clip}: {fault}" for clip, fault in outcome.failed.items()]
    with atomic_path(args.out / "report.md") as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _json(value):
    """The same with None for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {name: _json(item) for name, item in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"


if __name__ == "__main__":
    main()
