"""Every metric in one command: a report as numbers (report.json) and as a page to look at (report.html).

    python -m vast_jax.evaluate --avatar DIR --data DIR --out REPORT           # makes the held-out clips first
    python -m vast_jax.evaluate --generated DIR --reference DIR --out REPORT   # videos of any system

Run it again to go on after an interruption, or with more clips.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vast_jax import __version__, cli
from vast_jax.data.grid_corpus import is_grid_name
from vast_jax.evaluate import page
from vast_jax.evaluate.held_out import GENERATED
from vast_jax.evaluate.measuring import REAL, Instruments
from vast_jax.evaluate.planning import STYLE_CONVENTIONS, Job, Plan, of_data, of_folders
from vast_jax.evaluate.run import measure, track_prompts
from vast_jax.evaluate.style_figures import Say
from vast_jax.evaluate.summary import FIGURES, PAPER_NOTE, PAPER_TABLE_1, TABLE_1, Value, conventions, summarise
from vast_jax.evaluate.summary import remarks as remarks_on
from vast_jax.face.model import load_face_model
from vast_jax.face.tracking import recipe
from vast_jax.files import atomic_path, check_writable, sha256
from vast_jax.generation.generate import load_models
from vast_jax.generation.performance import Models
from vast_jax.metrics.inception import load_inception
from vast_jax.metrics.lip_reading import load_lip_reader, require_jiwer
from vast_jax.metrics.perceptual import load_lpips
from vast_jax.metrics.sync import load_sync, unit
from vast_jax.models.recogniser import load_acoustic
from vast_jax.mos.study import write_study
from vast_jax.reporting import duration, jsonable
from vast_jax.types import UserError


@dataclass(frozen=True)
class Args:
    """Measures an avatar on held-out clips, or any system's videos beside the real ones."""

    out: Path
    """folder for report.json, report.html, the videos made, and what was measured of each clip"""
    generated: Path | None = None
    """folder of videos to measure"""
    reference: Path | None = None
    """folder of the real videos, named as the generated ones"""
    prompts: Path | None = None
    """folder of the style prompts, named as the generated ones: adds the style similarity"""
    avatar: Path | None = None
    """folder of an avatar: generates the held-out clips of its person first"""
    data: Path | None = None
    """prepared footage, as vast_jax.prepare leaves it: the avatar's person, and held-out prompts"""
    style: Path | None = None
    """style weights; none: the shipped ones"""
    acoustic: Path | None = None
    """acoustic weights; none: the shipped ones"""
    face_model: Path | None = None
    """face model of the data and weights; none: the shipped one"""
    person: str | None = None
    """without an avatar, whose clips of --data to measure; none: who has most held-out clips"""
    clips: int | None = None
    """measure this many clips, evenly spread; none: all"""
    every: int = 8
    """LPIPS, Frechet distances and FID look at one frame in so many; 0 leaves them out"""
    inception: Path | None = None
    """Inception weights of the standard FID as .npz (metrics.inception says how to make them): adds the FID"""
    syncnet: Path | None = None
    """SyncNet weights, such as the published ones converted (models.syncnet_original); none: the shipped ones"""
    mos: bool = False
    """also make a viewing test with people (vast_jax.mos) of the real and the generated videos"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: evaluate(cli.parse(Args, argv, prog="python -m vast_jax.evaluate")))


def evaluate(args: Args) -> dict[str, dict[str, Value]]:
    """Measures, and writes the report; returns every system's figures.

    Raises:
      UserError: nothing to measure, no clips of the person, clips prepared with other models than those given, or not
        one clip that could be measured.
    """
    _check(args)
    cli.use_compilation_cache()
    started, say = time.perf_counter(), _clock()
    if args.data:
        models = load_models(args.style, args.acoustic, args.face_model)
    else:
        models = Models(load_face_model(args.face_model), load_acoustic(args.acoustic), None)
    tools, instruments = _instruments(args, models)
    if args.data:
        plan = of_data(args.data, args.avatar, models, args.person, args.clips, args.out, say)
    else:
        plan = of_folders(args.generated, args.reference, args.clips)
    if any(is_grid_name(job.name) for job in plan.jobs):
        require_jiwer()
    try:
        (args.out / "measured").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{args.out}: cannot be a folder for the report ({error.strerror})") from None
    remarks, clips, before = dict(plan.remarks), {}, 0.0
    for job, found, fresh in measure(plan.jobs, tools, instruments, args.out, say):
        if set(found.measured) == set(plan.systems):  # every system's figures are then of the same clips
            clips[job.name] = found.measured
        remarks |= found.remarks
        before += 0 if fresh else found.seconds
    if plan.jobs and not clips:
        raise UserError(f"no clip could be measured; the first: {next(iter(remarks.values()), 'no video')}")
    prompts = None
    if args.prompts:
        prompts, faults = track_prompts(args.prompts, list(clips), tools, args.out, say)
        remarks |= faults
    table = summarise(clips, list(plan.systems), tools.face, unit(tools.sync), prompts) if clips else {}
    about = {
        "title": plan.title,
        "vast_jax": __version__,
        "clips": len(clips),
        "clips left out": len(plan.jobs) - len(clips) or None,
        "SyncNet": str(args.syncnet or "shipped"),
        "frames for LPIPS and FD": f"one in {args.every}" if args.every else "none",
        "time": duration(time.perf_counter() - started + before),
        "peak memory of this process": f"{_peak_memory():.1f} GB",
    }
    _write(args, about, plan, table, clips, remarks, tools)
    for line in [*_lines(table), *remarks_on(table)]:
        print(line)
    if args.mos and clips:
        _viewing_test(args, [job for job in plan.jobs if job.name in clips], say)
    say(f"wrote {args.out / 'report.html'}")
    return table


def _check(args: Args) -> None:
    folders = args.generated is not None, args.reference is not None
    if args.data is None and not all(folders):
        raise UserError("give --generated DIR and --reference DIR, or --avatar DIR and --data DIR")
    if args.data is not None and any(folders):
        raise UserError("--data makes the videos itself: leave out --generated and --reference")
    if args.avatar is not None and args.data is None:
        raise UserError("--avatar needs --data, prepared footage of its person")
    if args.prompts is not None and args.data is not None:
        raise UserError("--prompts goes with --generated: with --data the prompts are those of the protocol")
    if args.person is not None and (args.data is None or args.avatar is not None):
        raise UserError("--person goes with --data without an avatar: an avatar is measured on its own person")
    if args.style is not None and args.data is None:
        raise UserError("--style goes with --data: videos of folders are measured as they are")
    if (args.clips is not None and args.clips < 1) or args.every < 0:
        raise UserError("--clips must be 1 or more, --every 0 or more")
    if args.inception is not None and not args.every:
        raise UserError("--inception needs frames: give --every 1 or more")
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"{args.out}: is no folder; choose another name for the report's")
    check_writable(args.out)


def _instruments(args: Args, models: Models) -> tuple[Instruments, str]:
    """The models that measure, and a text that says which."""
    sync, lips = load_sync(args.syncnet), load_lip_reader()
    inception = load_inception(args.inception) if args.inception else None
    lpips = load_lpips() if args.every else None
    names = [recipe(models.face), models.acoustic.hash, sync.card.get("sha256"), lips.card.get("sha256"), args.every]
    names += [sha256(args.inception) if args.inception else None]
    tools = Instruments(models.face, models.acoustic, sync, lips, lpips, inception, args.every)
    return tools, json.dumps(names)


def _viewing_test(args: Args, jobs: Sequence[Job], say: Say) -> None:
    if (args.out / "mos").exists():
        say(f"{args.out / 'mos'} is there already: the viewing test was kept")
        return
    systems = {name: {job.name: job.paths[name] for job in jobs} for name in (REAL, GENERATED)}
    try:
        study = write_study(systems, args.out / "mos")
    except UserError as error:
        say(f"no viewing test: {error}")
        return
    say(f"viewing test for people: {study.folder}; keep its key from them: {study.key}")


def _write(args: Args, about, plan: Plan, table, clips, remarks, tools: Instruments) -> None:
    published = tools.sync.module.layout == "original"
    told = conventions(published)
    content = {
        **about,
        "avatar": args.avatar and str(args.avatar),
        "data": args.data and str(args.data),
        "systems": plan.systems,
        "figures": {
            system: {
                name: {**value._asdict(), "unit": FIGURES[name].unit, "convention": told[name]}
                for name, value in values.items()
            }
            for system, values in table.items()
        },
        **{name: {"convention": STYLE_CONVENTIONS[name], **o._asdict()} for name, o in plan.outcomes.items()},
        "clips_measured": {
            name: {system: {**m.figures, **m.words} for system, m in found.items()} for name, found in clips.items()
        },
        "remarks": remarks,
        "paper": {"columns": TABLE_1, **PAPER_TABLE_1, "note": PAPER_NOTE},
    }
    with atomic_path(args.out / "report.json") as part:
        part.write_text(json.dumps(jsonable(content), indent=1), encoding="utf-8")
    videos = {job.name: job.paths for job in plan.jobs if job.name in clips}
    with atomic_path(args.out / "report.html") as part:
        page.write_page(part, about, plan.systems, table, clips, videos, remarks, plan.sections, published)


def _lines(table: Mapping[str, Mapping[str, Value]]) -> Iterator[str]:
    """The paper's row as text."""
    if not table:
        return
    width = max(map(len, table)) + 2
    yield " " * width + "".join(f"{FIGURES[name].title:>12}" for name in TABLE_1)
    for system, values in table.items():
        cells = (
            f"{values[name].mean:12.{FIGURES[name].digits}f}" if name in values else f"{'-':>12}" for name in TABLE_1
        )
        yield f"{system:{width}}" + "".join(cells)


def _clock() -> Say:
    started = time.perf_counter()
    return lambda line: print(f"{duration(time.perf_counter() - started):>8}  {line}", flush=True)


def _peak_memory() -> float:
    """Of this process, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)


if __name__ == "__main__":
    main()
