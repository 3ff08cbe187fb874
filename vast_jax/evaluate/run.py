"""Every clip measured, or read where an earlier run measured it; whatever is wrong with one, the others count."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vast_jax import media
from vast_jax.evaluate import store
from vast_jax.evaluate.cropped_video import LONGEST, CroppedVideo, crop_video
from vast_jax.evaluate.held_out import GENERATED
from vast_jax.evaluate.measuring import REAL, Instruments, Measured, measure_clip
from vast_jax.evaluate.planning import Job, words_of
from vast_jax.evaluate.style_figures import Say
from vast_jax.evaluate.summary import FIGURES
from vast_jax.face.landmarks import Landmarker
from vast_jax.face.tracking import recipe
from vast_jax.files import sha256
from vast_jax.reporting import duration
from vast_jax.types import UserError


def measure(
    jobs: Sequence[Job], tools: Instruments, instruments: str, out: Path, say: Say
) -> Iterator[tuple[Job, store.Stored, bool]]:
    """Measures every clip, or reads what an earlier run found; whether it was measured now."""
    begun, fresh = time.perf_counter(), 0
    with Landmarker() as landmarker:
        for count, job in enumerate(jobs, 1):
            path, lasting = out / "measured" / f"{job.name}.npz", True
            try:
                key = store.key_of(job.paths, instruments)
                if (known := store.load(path, key)) is not None:
                    begun = begun if fresh else time.perf_counter()
                    yield job, known, False
                    continue
                clip_begun = time.perf_counter()
                measured, remarks, lasting = _measured(job, tools, landmarker)
                found = store.Stored(measured, remarks, time.perf_counter() - clip_begun)
                fresh += 1
            except Exception as error:  # whatever is wrong with one clip, the others count
                found, lasting = store.Stored({}, {job.name: words_of(error)}, 0.0), False
            if lasting:
                with contextlib.suppress(OSError):  # it only saves time later
                    store.save(path, key, found)
            left = (time.perf_counter() - begun) / max(fresh, 1) * (len(jobs) - count)
            say(f"{count:3d}/{len(jobs)} {job.name}  {_shown(found)}  ({duration(left)} left)")
            yield job, found, True


def track_prompts(
    folder: Path, names: Sequence[str], tools: Instruments, out: Path, say: Say
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Expressions of the prompts [T, D] by clip, and what is wrong with others; each video is tracked once."""
    remarks: dict[str, str] = {}
    videos, tracked = media.videos_in(folder), {}
    say(f"tracking {sum(name in videos for name in names)} prompts")
    with Landmarker() as landmarker:
        for name in names:
            try:
                if name not in videos:
                    raise UserError(f"no such video in {folder}")
                digest = sha256(videos[name])
                path = out / "measured" / "prompts" / f"{digest}.npz"
                if (known := store.load(path, recipe(tools.face))) is None:
                    expression = crop_video(videos[name], tools.face, landmarker).track.expression
                    known = store.Stored({REAL: Measured({}, {}, {"expression": expression})}, {}, 0.0)
                    store.save(path, recipe(tools.face), known)
                tracked[name] = known.measured[REAL].arrays["expression"]
            except Exception as error:  # the other figures do not need it
                remarks[f"{name}, prompt"] = words_of(error)
    return tracked, remarks


def _measured(job: Job, tools: Instruments, landmarker) -> tuple[dict[str, Measured], dict[str, str], bool]:
    """One clip, remarks, and whether these will be the same next time: whatever is wrong with the videos themselves."""
    if REAL not in job.paths:
        return {}, {}, False
    real, made, remarks, lasting = crop_video(job.paths[REAL], tools.face, landmarker), {}, {}, True
    for system, path in job.paths.items():
        try:
            video = real if system == REAL else crop_video(path, tools.face, landmarker, real)
        except Exception as error:
            remarks[f"{job.name}, {system}"], lasting = words_of(error), lasting and isinstance(error, UserError)
            continue
        if system != REAL:
            made[system] = video
        if words := "; ".join(_oddities(video, real)):
            remarks[f"{job.name}, {system}"] = words
    return measure_clip(tools, job.name, real, made) if made else {}, remarks, lasting


def _oddities(video: CroppedVideo, real: CroppedVideo) -> Iterator[str]:
    """What the figures of a video do not tell."""
    if len(video.frames) != len(real.frames):
        yield f"{len(video.frames)} frames for {len(real.frames)} real ones: those in common compared"
    if video.size != real.size:
        yield "of another size than the real video: cropped by its own face"
    if lost := int((~video.track.valid).sum()):
        yield f"{lost} frames without a face are left out"
    if video.cut:
        yield f"longer than {LONGEST // media.FPS} s: only these measured"


def _shown(found: store.Stored) -> str:
    words = []
    if GENERATED in found.measured:
        figures = found.measured[GENERATED].figures
        names = ("lmd_m", "ssim_hole", "sync_distance")
        words = [f"{FIGURES[name].title} {figures[name]:.3f}" for name in names if name in figures]
    return "  ".join([*words, *(f"{name}: {remark}" for name, remark in found.remarks.items())])
