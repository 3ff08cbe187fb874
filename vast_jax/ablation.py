"""What each piece of style transfer is worth: ablations and baselines, trained and measured alike (paper, Tables 2, 3).

    python -m vast_jax.ablation --data DATA --out OUT [--steps 3500] [--seeds 0 1 2] [--variants full mse]

Trains every variant with every seed (a run that was stopped goes on), measures each on held-out clips and prompts as
`vast_jax.evaluate` does, and writes OUT/table.md, OUT/figures.json and for each run its curves, mesh strips and style
space.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vast_jax import cli
from vast_jax.evaluate import planning
from vast_jax.face.model import load_face_model
from vast_jax.files import atomic_path
from vast_jax.generation.performance import Models
from vast_jax.models.recogniser import load_acoustic
from vast_jax.models.style_model import load_style_model
from vast_jax.parts.style import StylePart
from vast_jax.reporting import jsonable
from vast_jax.training.config import Config
from vast_jax.training.loop import fit
from vast_jax.types import UserError

_NO_FLOW = dict(householder_steps=0)
_NO_ENHANCER = _NO_FLOW | dict(variational=False)
_NO_STYLE = _NO_ENHANCER | dict(style_source="none")
VARIANTS: dict[str, tuple[str, dict]] = {  # name -> title and what is changed; the paper's removals add up
    "full": ("ours", {}),
    "no_hf": ("without HF", _NO_FLOW),
    "no_enhancer": ("without HF, E^v", _NO_ENHANCER),
    "no_style": ("without HF, E^v, s", _NO_STYLE),
    "no_ar": ("without HF, E^v, s, D^ar", _NO_STYLE | dict(autoregressive=False)),
    "only_nar": ("without D^ar alone", dict(autoregressive=False)),
    "no_manner": ("without the prompt's own rest and spread", dict(manner=False)),
    "regressed": ("nothing drawn: blinks and brows regressed", dict(lively=False)),
    "mse": (
        "deterministic decoder, MSE (Neural Voice Puppetry)",
        _NO_STYLE
        | dict(
            autoregressive=False, loss="mse", lips_weight=0.0, statistics_weight=0.0, modulated=False, closing=False
        ),
    ),
    "statistics": ("statistics code as style (StyleAvatar)", dict(style_source="statistics", variational=False)),
}
COLUMNS = {  # figure -> heading, digits
    "pipeline_mouth_error_mm_own_median": ("mouth error, mm", 2),
    "pipeline_lip_correlation_own_median": ("lip corr.", 3),
    "pipeline_lip_spread_over_real_own_median": ("lip spread / real", 2),
    "style_ratio_of_medians": ("between / within", 2),
    "style_style_similarity_strong": ("style sim. strong", 2),
    "style_style_similarity_weak": ("style sim. weak", 2),
    "style_blinks_near_prompt": ("blinks near prompt's", 2),
    "pipeline_dvt_frame_all_generated": ("Dvt", 2),
}


@dataclass(frozen=True)
class Args:
    """Trains and measures ablations and baselines of style transfer."""

    data: Path
    """prepared footage"""
    out: Path
    """folder of the runs and the table"""
    variants: tuple[str, ...] = ()
    """which of them; none: all"""
    seeds: tuple[int, ...] = (0,)
    """each variant is trained with each"""
    steps: int = 3500
    """of each training"""
    batch_size: int = 16
    """of each training"""
    clips: int | None = None
    """held-out clips of one person to measure; none: all"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: ablate(cli.parse(Args, argv, prog="python -m vast_jax.ablation")))


def ablate(args: Args, part: StylePart = StylePart()) -> dict[str, list[dict[str, float]]]:  # noqa: B008
    """Figures of every variant, of each seed. UserError: an unknown variant, no data."""
    if unknown := set(args.variants) - set(VARIANTS):
        raise UserError(f"no variant {', '.join(sorted(unknown))}: there are {', '.join(VARIANTS)}")
    cli.use_compilation_cache()
    face, acoustic = load_face_model(part.face_model), load_acoustic()
    found: dict[str, list[dict[str, float]]] = {}
    for name in args.variants or VARIANTS:
        for seed in args.seeds:
            run = args.out / f"{name}-{seed}"
            changed = dataclasses.replace(part, **VARIANTS[name][1])
            config = Config(changed, steps=args.steps, batch_size=args.batch_size, seed=seed, log_every=50)
            if fit(config, args.data, run).step < args.steps:
                raise KeyboardInterrupt(f"run the same command again to go on with {run}")
            models = Models(face, acoustic, load_style_model(run / "export"))
            found.setdefault(name, []).append(_measure(args, models, run))
            _write(args.out, found)
    print(table(found))
    return found


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Markdown: a row for each variant, mean over seeds, and with several their deviation."""
    lines = ["| | " + " | ".join(heading for heading, _ in COLUMNS.values()) + " |"]
    lines.append("| --- |" + " ---: |" * len(COLUMNS))
    for name, runs in found.items():
        cells = []
        for figure, (_, digits) in COLUMNS.items():
            values = [run[figure] for run in runs if np.isfinite(run.get(figure, np.nan))]
            cell = f"{np.mean(values):.{digits}f}" if values else ""
            cells.append(cell + (f" ± {np.std(values):.{digits}f}" if len(values) > 1 else ""))
        lines.append(f"| {VARIANTS[name][0]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _measure(args: Args, models: Models, run: Path) -> dict[str, float]:
    """Figures of a trained run, named "pipeline_...", "style_..." and "style_space_..."; pictures in its folder."""
    plan = planning.of_data(args.data, None, models, None, args.clips, run, print)
    return {
        f"{name.replace(' ', '_')}_{figure}": value
        for name, outcome in plan.outcomes.items()
        for figure, value in outcome.figures.items()
    }


def _write(out: Path, found: Mapping) -> None:
    with atomic_path(out / "table.md") as part:
        part.write_text(table(found) + "\n")
    with atomic_path(out / "figures.json") as part:
        part.write_text(json.dumps(jsonable(found), indent=1))


if __name__ == "__main__":
    main()
