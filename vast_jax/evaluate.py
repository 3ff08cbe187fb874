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
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from vast_jax import __version__, cli
from vast_jax.audio import load_acoustic
from vast_jax.avatar import load_avatar
from vast_jax.caching import use_compilation_cache
from vast_jax.data.clips import Clip
from vast_jax.data.pipeline import open_clips
from vast_jax.evaluation import held_out, page, store, style_figures
from vast_jax.evaluation.measuring import REAL, Instruments, Measured, measure_clip
from vast_jax.evaluation.seen import see
from vast_jax.evaluation.style_figures import Outcome, Say
from vast_jax.evaluation.summary import FIGURES, PAPER_NOTE, TABLE_1, Value, summarise
from vast_jax.face.landmarks import Landmarker
from vast_jax.face.model import load_face_model
from vast_jax.files import atomic_path, sha256
from vast_jax.generate import load_models
from vast_jax.metrics.inception import load_inception
from vast_jax.metrics.lip_reading import load_lip_reader
from vast_jax.metrics.perceptual import load_lpips
from vast_jax.metrics.style_space import plot_points, tsne
from vast_jax.metrics.sync import load_sync, unit
from vast_jax.mos.study import VIDEO_SUFFIXES, write_study
from vast_jax.reporting import duration
from vast_jax.types import UserError

_STYLE_CONVENTIONS = {
    "pipeline": "Held-out clips of one person; the prompt is the person's next training clip in name order, the speech "
    "the clip's own, or in the control that of the next held-out clip. Mouth error: mean distance in mm of the mouth "
    "region's vertices from the tracked expression. Lip correlation: of the gap between the inner lips on the mesh. "
    "Dvt: of generated and real expressions (compare only their ratios with the paper's).",
    "style": "Held-out prompts with faces, cut into halves. Distance of two expressions of the same speech: mean over "
    "frames of the root mean square in mm over the vertices of mouth and face. Between: halves of prompts of other "
    "people or emotions; within: the two halves of one prompt. Style similarity: rank correlation over whole prompts "
    "of what each parameter does (mean, spread, speed, range) in prompt and result.",
    "style space": "Style vectors of every three seconds of held-out prompts whose emotion is known. Emotion is told "
    "by what other persons' vectors teach; the speaker by other recordings. Chance: the commonest label.",
}


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
    """whose clips of --data to measure; none: the avatar's person, or who has most held-out clips"""
    clips: int | None = None
    """measure this many clips, evenly spread; none: all"""
    every: int = 8
    """LPIPS and Frechet distances look at every so many frames; 0 leaves them out"""
    inception: Path | None = None
    """Inception weights of the standard FID as .npz (metrics.inception says how to make them): adds the FID"""
    syncnet: Path | None = None
    """SyncNet weights, such as the published ones converted (models.syncnet_original); none: the shipped ones"""
    mos: bool = False
    """also make a viewing test with people (vast_jax.mos) of the real and the generated videos"""


class Job(NamedTuple):
    """A clip to measure."""

    name: str
    paths: dict[str, Path]  # by system


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: evaluate(cli.parse(Args, argv, prog="vast_jax.evaluate")))


def evaluate(args: Args) -> dict[str, dict[str, Value]]:
    """Measures, and writes the report; returns every system's figures.

    Raises:
      UserError: nothing to measure, no clips of the person, clips prepared with other models than those given, or not
        one clip that could be measured.
    """
    _check(args)
    use_compilation_cache()
    started, say = time.perf_counter(), _clock()
    tools, instruments = _instruments(args)
    outcomes, sections, failed = {}, [], {}
    if args.data:
        systems, jobs, outcomes, sections, title = _of_data(args, tools, say)
    else:
        systems, jobs, failed = _of_folders(args)
        title = f"{args.generated.name} beside {args.reference.name}"
    clips = {}
    for job, measured, faults in _measure(jobs, tools, instruments, args.out, say):
        clips |= {job.name: measured} if len(measured) > 1 else {}
        failed |= faults
    if jobs and not clips:
        raise UserError(f"no clip could be measured; the first: {next(iter(failed.values()), 'no video')}")
    prompts = _prompts(args, [name for name in clips], tools, failed, say) if args.prompts else None
    table = summarise(clips, list(systems), tools.face, unit(tools.sync), prompts) if clips else {}
    if args.mos and jobs:
        _viewing_test(args, systems, jobs, say)
    about = {
        "title": title,
        "vast_jax": __version__,
        "clips": len(clips),
        "clips not measured": len(jobs) - len(clips) or None,
        "SyncNet": str(args.syncnet or "shipped"),
        "LPIPS and FD frames": f"every {args.every}th" if args.every else "none",
        "time": duration(time.perf_counter() - started),
        "peak memory": f"{_peak_memory():.1f} GB",
    }
    _write(args, about, systems, table, clips, {job.name: job.paths for job in jobs}, failed, outcomes, sections)
    for line in _lines(table):
        print(line)
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
    if (args.clips is not None and args.clips < 1) or args.every < 0:
        raise UserError("--clips must be 1 or more, --every 0 or more")


def _instruments(args: Args) -> tuple[Instruments, str]:
    """The models that measure, and a text that says which."""
    face, acoustic, sync, lips = (
        load_face_model(args.face_model),
        load_acoustic(args.acoustic),
        load_sync(args.syncnet),
        load_lip_reader(),
    )
    lpips = load_lpips() if args.every else None
    inception = load_inception(args.inception) if args.inception and args.every else None
    names = [face.hash, acoustic.hash, sync.card.get("sha256"), lips.card.get("sha256"), args.every]
    names += [sha256(args.inception) if inception is not None else None]
    return Instruments(face, acoustic, sync, lips, lpips, inception, args.every), json.dumps(names)


def _of_folders(args: Args) -> tuple[dict[str, str], list[Job], dict[str, str]]:
    """Systems, clips and faults of two folders of videos."""
    made, real = _videos(args.generated), _videos(args.reference)
    names = sorted(made.keys() & real.keys())
    if not names:
        raise UserError(f"no video of {args.generated} has the name of one in {args.reference}")
    failed = {name: f"no such video in {args.reference}" for name in sorted(made.keys() - real.keys())}
    jobs = [Job(name, {REAL: real[name], held_out.GENERATED: made[name]}) for name in _spread(names, args.clips)]
    systems = {REAL: f"the videos of {args.reference}", held_out.GENERATED: f"the videos of {args.generated}"}
    return systems, jobs, failed


def _of_data(
    args: Args, tools: Instruments, say: Say
) -> tuple[dict[str, str], list[Job], dict[str, Outcome], list[str], str]:
    """Systems, clips, figures of expressions, sections of the page, and the title, of prepared footage."""
    face, acoustic = tools.face, tools.acoustic
    actor = load_avatar(args.avatar, face, acoustic) if args.avatar else None
    style = load_models(args.style, args.acoustic, args.face_model).style
    kept, train = open_clips(args.data, "held_out"), open_clips(args.data, "train")
    person = args.person or (actor.person if actor else _best_known(kept, train))
    mine, known = ([clip for clip in clips if clip.person == person] for clips in (kept, train))
    if not mine or not known:
        raise UserError(
            f"{args.data} has {len(mine)} held-out and {len(known)} training clips of {person!r}: needs both"
        )
    prompts = [clip for clip in kept if PurePath(clip.name).parent.name in style_figures.PROMPT_FOLDERS]
    _check_ppg([*mine, *known, *prompts], acoustic.hash)
    chosen = _spread(mine, args.clips)

    say(f"expression from speech: {len(chosen)} clips of {person}")
    outcomes = {"pipeline": style_figures.speech_to_expression(face, style, known, mine, chosen, say)}
    plots = {}
    if prompts:
        say(f"what the style prompt does: {len(prompts)} prompts")
        speeches = _spread(mine, style_figures.STYLE_SPEECHES)
        outcomes["style"] = style_figures.style_matters(face, style, prompts, speeches, say)
        figures, space = style_figures.emotion_space(style, prompts)
        outcomes["style space"] = Outcome(figures, {}, {})
        if len(space.vectors) >= 4:
            plots["style space"] = _plot(args.out / "style_space.png", space)
    sections = [
        page.style_section(name.capitalize(), _STYLE_CONVENTIONS[name], outcome.figures, plots.get(name))
        for name, outcome in outcomes.items()
    ]
    jobs = []
    if actor:
        weights = json.dumps([actor.card.get("figures"), sha256(args.avatar / "renderer.safetensors"), style.card])
        average = held_out.mean_expression(known)
        for count, clip in enumerate(chosen, 1):
            key = sha256(f"{weights} {clip.fingerprint} {clip.ppg_hash} {average.tobytes().hex()}".encode())
            videos = held_out.write_videos(actor, style, clip, known, mine, average, args.out / "videos", key)
            say(f"{count:3d}/{len(chosen)} {clip.name}  made {len(list(videos))} videos")
            stem = held_out.file_stem(clip.name)
            paths = {system: args.out / "videos" / system / f"{stem}.mp4" for system in held_out.SYSTEMS}
            jobs.append(Job(stem, paths))
    return held_out.SYSTEMS if actor else {}, jobs, outcomes, sections, person


def _measure(
    jobs: Sequence[Job], tools: Instruments, instruments: str, out: Path, say: Say
) -> Iterator[tuple[Job, dict[str, Measured], dict[str, str]]]:
    """Measures every clip, or reads what an earlier run found."""
    begun = fresh = 0
    with Landmarker() as landmarker:
        for count, job in enumerate(jobs, 1):
            path, faults = out / "measured" / f"{job.name}.npz", {}
            try:
                key = store.key_of(job.paths, instruments)
                if (known := store.load(path, key)) is not None:
                    yield job, *known
                    continue
                begun = begun or time.perf_counter()
                measured = _measured(job, tools, landmarker, faults)
                store.save(path, key, measured, faults)
                fresh += 1
            except Exception as error:  # whatever is wrong with one clip, the others count
                measured, faults = {}, {**faults, job.name: _words(error)}
            left = (time.perf_counter() - begun) / max(fresh, 1) * (len(jobs) - count)
            say(f"{count:3d}/{len(jobs)} {job.name}  {_shown(measured, faults)}  ({duration(left)} left)")
            yield job, measured, faults


def _measured(job: Job, tools: Instruments, landmarker, faults: dict[str, str]) -> dict[str, Measured]:
    """One clip; a system whose video cannot be looked at is named among the faults."""
    real, made = see(job.paths[REAL], tools.face, landmarker), {}
    for system, path in job.paths.items():
        if system != REAL:
            try:
                made[system] = see(path, tools.face, landmarker, real)
                if abs(len(made[system].frames) - len(real.frames)) > 1:
                    faults[f"{job.name}, {system}"] = (
                        f"{len(made[system].frames)} frames for {len(real.frames)} real ones: those in common compared"
                    )
            except Exception as error:
                faults[f"{job.name}, {system}"] = _words(error)
    return measure_clip(tools, job.name, real, made) if made else {}


def _prompts(
    args: Args, names: Sequence[str], tools: Instruments, failed: dict[str, str], say: Say
) -> dict[str, np.ndarray]:
    """Expressions of the prompts [T, D] by clip; one prompt may serve many clips, and is tracked once."""
    videos, tracked = _videos(args.prompts), {}
    say(f"tracking {sum(name in videos for name in names)} prompts")
    with Landmarker() as landmarker:
        for name in names:
            try:
                if name not in videos:
                    raise UserError(f"no such video in {args.prompts}")
                digest = sha256(videos[name])
                if digest not in tracked:
                    tracked[digest] = see(videos[name], tools.face, landmarker).track.expression
                tracked[name] = tracked[digest]
            except UserError as error:
                failed[f"{name}, prompt"] = _words(error)
    return {name: tracked[name] for name in names if name in tracked}


def _viewing_test(args: Args, systems: Mapping[str, str], jobs: Sequence[Job], say: Say) -> None:
    folders = {name: jobs[0].paths[name].parent for name in (REAL, held_out.GENERATED) if name in systems}
    if (args.out / "mos").exists():
        say(f"{args.out / 'mos'} is there already: the viewing test was kept")
        return
    study = write_study(folders, args.out / "mos", args.clips)
    say(f"viewing test for people: {study.folder}; keep its key from them: {study.key}")


def _write(args: Args, about, systems, table, clips, videos, failed, outcomes: Mapping[str, Outcome], sections) -> None:
    failed = dict(failed)
    for name, outcome in outcomes.items():
        failed |= {f"{clip} ({name})": fault for clip, fault in outcome.failed.items()}
    content = {
        **about,
        "avatar": args.avatar and str(args.avatar),
        "data": args.data and str(args.data),
        "systems": systems,
        "figures": {
            system: {
                name: {**value._asdict(), "unit": FIGURES[name].unit, "convention": FIGURES[name].convention}
                for name, value in values.items()
            }
            for system, values in table.items()
        },
        **{name: {"convention": _STYLE_CONVENTIONS[name], **o._asdict()} for name, o in outcomes.items()},
        "clips_measured": {
            name: {system: {**m.figures, **m.words} for system, m in found.items()} for name, found in clips.items()
        },
        "failed": failed,
        "paper_note": PAPER_NOTE,
    }
    with atomic_path(args.out / "report.json") as part:
        part.write_text(json.dumps(_json(content), indent=1), encoding="utf-8")
    shown = {name: paths for name, paths in videos.items() if name in clips}
    with atomic_path(args.out / "report.html") as part:
        page.write_page(part, about, systems, table, clips, shown, failed, sections)


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


def _spread(items: Sequence, count: int | None) -> list:
    """At most `count` of them, evenly spread; None: all."""
    at = np.linspace(0, len(items) - 1, min(count or len(items), len(items))).round().astype(int)
    return [items[i] for i in at]


def _videos(folder: Path) -> dict[str, Path]:
    """Videos of a folder by name without suffix."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one of videos")
    found = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES}
    if not found:
        raise UserError(f"{folder}: no video in it")
    return found


def _shown(measured: Mapping[str, Measured], faults: Mapping[str, str]) -> str:
    words = []
    if held_out.GENERATED in measured:
        figures = measured[held_out.GENERATED].figures
        names = ("lmd_m", "ssim_hole", "sync_distance")
        words = [f"{FIGURES[name].title} {figures[name]:.3f}" for name in names if name in figures]
    return "  ".join([*words, *(f"{name}: {fault}" for name, fault in faults.items())])


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _clock() -> Say:
    started = time.perf_counter()
    return lambda line: print(f"{duration(time.perf_counter() - started):>8}  {line}", flush=True)


def _peak_memory() -> float:
    """Of this process, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)


def _json(value):
    """The same with None for numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {str(name): _json(item) for name, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


if __name__ == "__main__":
    main()
