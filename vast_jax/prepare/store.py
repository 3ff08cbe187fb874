"""From staged clips to the datasets of a folder: whole or not at all, and again where it was left."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from vast_jax.data import builders
from vast_jax.data.clips import Clip, load_clip
from vast_jax.data.names import video_of
from vast_jax.files import atomic_path
from vast_jax.prepare.jobs import Outcome

STAGING = ".staging"
_OUTCOMES = "outcomes.json"


def staged_path(out: Path, name: str) -> Path:
    """Where the clips of a video wait for its folder to be complete."""
    return out / STAGING / builders.folder_of(name) / name.split("/")[-1]


def staged_clips(staged: Path) -> list[Clip]:
    """The clips of one video that are staged in this folder."""
    return [load_clip(path) for path in sorted(staged.iterdir()) if path.is_dir()] if staged.is_dir() else []


def write_outcomes(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Keeps what became of videos, beside what they became."""
    with atomic_path(path) as part:
        part.write_text(json.dumps([outcome.record() for outcome in outcomes]) + "\n")


def read_outcomes(path: Path) -> list[Outcome]:
    """What `write_outcomes` kept, nothing where it did not."""
    return [Outcome.of(record) for record in json.loads(path.read_text())] if path.is_file() else []


def outcomes_of(staged: Path) -> Path:
    """Where what became of a staged video is kept."""
    return staged / _OUTCOMES


def stored_clips(folder: Path) -> list[Clip]:
    """Clips of both splits of a folder, none where it does not exist."""
    if not folder.is_dir():
        return []
    return [clip for split in builders.SPLITS for clip in builders.read_folder(folder, split)]


def add_staged(out: Path, folder: str) -> None:
    """Moves the staged clips of a folder into its datasets; those of the same video are replaced."""
    staging = out / STAGING / folder
    new = [clip for path in _finished(staging) for clip in staged_clips(path)]
    if new:
        videos = {video_of(clip.name) for clip in new}
        old = [clip for clip in stored_clips(out / folder) if video_of(clip.name) not in videos]
        builders.write_folder(out / folder, [*old, *new])
    shutil.rmtree(staging, ignore_errors=True)
    remove_if_empty(out / STAGING)


def tidy(out: Path, folders: Iterable[str]) -> None:
    """Leaves no empty folder where nothing was staged; what was stays for the next run."""
    for folder in folders:
        remove_if_empty(out / STAGING / folder)
    remove_if_empty(out / STAGING)


def remove_if_empty(folder: Path) -> None:
    """Leaves no empty folder; nothing where there is none."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _finished(staging: Path) -> list[Path]:
    """Whole videos only: one that is being written has a name that starts with a dot."""
    return [path for path in staging.iterdir() if not path.name.startswith(".")] if staging.is_dir() else []
