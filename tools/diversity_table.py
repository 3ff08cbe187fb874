"""How much livelier an avatar's person becomes by others' styles: the paper's Table 2, of any person.

    python tools/diversity_table.py --data DATA --person EDTalk_pose_source2 --models ours=STYLE_EXPORT mse=RUN/export

Each model lets the person's own speech be spoken in the style of every held-out expressive prompt. Dvt (see
`metrics.expressiveness.diversity`) of the person's own performance, of each model's, and of the prompts, and over the
person's own. "shipped" as an export is the model that comes with vast_jax.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from vast_jax import cli
from vast_jax.data.pipeline import open_clips, spread
from vast_jax.evaluate.style_figures import LEAST_PROMPT, PROMPT_FOLDERS
from vast_jax.face.model import load_face_model
from vast_jax.metrics.expressiveness import diversity, parameter_groups
from vast_jax.models.style_model import load_style_model
from vast_jax.types import UserError


@dataclass(frozen=True)
class Args:
    """Dvt of a person's own performance, and in others' styles."""

    data: Path
    """prepared footage: the person's, and held-out prompts"""
    person: str
    """whose speech"""
    clips: int | None = None
    """so many clips of the person, evenly spread; none: all"""
    models: tuple[str, ...] = ("shipped=shipped",)
    """NAME=EXPORT of each model"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: compare(cli.parse(Args, argv, prog="tools/diversity_table.py")))


def compare(args: Args) -> None:
    """Prints the table. UserError: no such person, or no prompts."""
    train, held_out = (open_clips(args.data, split) for split in ("train", "held_out"))
    own = [clip for clip in (*train, *held_out) if clip.person == args.person and clip.has_speech]
    own = spread(own, args.clips)
    if not own:
        raise UserError(f"{args.data} has no clip with speech of {args.person}")
    prompts = [clip for clip in held_out if PurePath(clip.name).parent.name in PROMPT_FOLDERS]
    prompts = [clip for clip in prompts if len(clip) >= LEAST_PROMPT and clip.person != args.person]
    if not prompts:
        raise UserError(f"{args.data} has no held-out prompts: {', '.join(PROMPT_FOLDERS)}")
    groups = parameter_groups(load_face_model())
    original = [clip.track.expression[clip.track.valid] for clip in own]
    rows = {"original": original}
    for named in args.models:
        name, _, export = named.partition("=")
        style = load_style_model(None if export == "shipped" else export)
        manners = [style.encode(clip.track.expression, clip.ppg, clip.has_speech) for clip in prompts]
        rows[name] = [np.asarray(style.decode(clip.ppg, manner, 0)) for clip in own for manner in manners]
    rows["prompts"] = [clip.track.expression[clip.track.valid] for clip in prompts]
    print(f"{args.person}: {len(own)} clips, {len(prompts)} prompts\n")
    print("| | " + " | ".join(f"Dvt {group} | over the original" for group in groups) + " |")
    print("| --- |" + " ---: | ---: |" * len(groups))
    first = {}
    for name, sequences in rows.items():
        found = diversity(sequences, original, groups)
        values = [found[f"dvt_frame_{group}"] for group in groups]
        first = first or dict(zip(groups, values, strict=True))
        cells = [f"{value:.1f} | {value / first[group]:.2f}" for group, value in zip(groups, values, strict=True)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
