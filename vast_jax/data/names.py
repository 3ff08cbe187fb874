"""Names of videos, of the clips they become, and a guess at who is in them."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from vast_jax import media
from vast_jax.types import UserError

_SPEAKER_FOLDER = re.compile(r"(s|p|id)\d+|[MW]\d{3}")
_PART = re.compile(r"\.part\d+$")
_PERSON_PREFIX = re.compile(r"(.+?)_(clip|level|front|talk)")


def find_videos(paths: Iterable[Path]) -> list[Path]:
    """Files as given, and all videos below folders, in order of their names, each once.

    Raises:
      UserError: a path does not exist, or a folder holds no video.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_file():
            found[path.absolute()] = None
            continue
        if not path.is_dir():
            raise UserError(f"{path} does not exist: give videos or folders of videos")
        below = videos_below(path.absolute())
        if not below:
            raise UserError(f"no video below {path}: looked for {' '.join(sorted(media.VIDEO_SUFFIXES))}")
        found.update(dict.fromkeys(below))
    return list(found)


def videos_below(folder: Path) -> list[Path]:
    """All videos of a folder at any depth, in order."""
    return sorted(p for p in folder.rglob("[!.]*") if p.suffix.lower() in media.VIDEO_SUFFIXES and p.is_file())


def clip_name(path: Path) -> str:
    """The last three parts of the absolute path, without suffix: "grid/s1/bbaz7a", however the video was given."""
    path = Path(os.path.abspath(path)).with_suffix("")
    return "/".join(path.relative_to(path.anchor).parts[-3:])


def video_of(name: str) -> str:
    """The name of the video that a clip is of: "talk/clip" for "talk/clip" and, one of several, "talk/clip.part02"."""
    return _PART.sub("", name)


def clip_names(video: str, count: int) -> list[str]:
    """One clip is named as its video is."""
    width = max(2, len(str(count)))
    return [video] if count == 1 else [f"{video}.part{number:0{width}d}" for number in range(1, count + 1)]


def person_of(name: str) -> str:
    """A guess at who is in a clip: the folder where it is a speaker's ("s1", "id00012", "M030"), else what stands
    before "_clip", "_level", "_front" or "_talk" in the file's name, else the file's name: a person of its own.
    """
    *folders, stem = name.split("/")
    if folders and _SPEAKER_FOLDER.fullmatch(folders[-1]):
        return folders[-1]
    prefix = _PERSON_PREFIX.match(stem)
    return prefix[1] if prefix else stem
