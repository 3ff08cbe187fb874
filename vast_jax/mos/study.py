"""The folder of a viewing test: clips under blinded names, one page that asks, and apart from both the key."""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib import resources
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vast_jax import media
from vast_jax.files import atomic_path, check_writable
from vast_jax.types import UserError

FOR_RATERS, KEY = "for_raters", "key.json"
RATERS = 60  # numbers that raters may have
SECONDS_TO_ANSWER = 15  # a clip, beyond its length, for the time that the page announces
_CRF = 12  # all clips are coded anew, alike, and so well that no one sees it
_DISCLOSURE = {"title": "Clip of a viewing test", "comment": "May be AI-generated"}  # of real clips too: it is blind

_DATE = 946684800  # of all clips, the year 2000: when one was made tells nothing (and a zip knows no year before 1980)


class Question(NamedTuple):
    """One of the page's questions, answered on a scale from 1 to 5."""

    name: str  # the column of the answers
    title: str
    text: str
    low: str  # what 1 means
    high: str  # what 5 means


QUESTIONS = (  # of the VAST paper's user study
    Question(
        "sync",
        "Speech-lip sync",
        "How much do the lip movements match the audio?",
        "content cannot be read from the lips",
        "nothing different from a real person",
    ),
    Question(
        "expressiveness",
        "Expressiveness and richness",
        "How rich and expressive is the face, the mouth above all?",
        "unreal and monotonous",
        "rich and contagious expression around the mouth",
    ),
    Question(
        "naturalness",
        "Overall naturalness",
        "How natural does the video look as a whole?",
        "artifacts or blur easily seen",
        "high-quality, natural",
    ),
)


class Clip(NamedTuple):
    """What a blinded name stands for."""

    system: str
    sentence: str  # the file name without suffix


class Key(NamedTuple):
    """Which clip is of which system: never for raters."""

    study: str  # a fingerprint that every answer carries
    clips: dict[str, Clip]  # by blinded name


class Study(NamedTuple):
    """A test that was written."""

    folder: Path  # for raters
    key: Path
    notes: list[str]  # what the experimenter should know


def write_study(
    systems: Mapping[str, Path | Mapping[str, Path]],
    out: Path,
    clips: int | None = None,
    seed: int = 0,
    raters: int = RATERS,
    practice: Path | None = None,
) -> Study:
    """Makes out/for_raters (index.html and clips/) and out/key.json.

    All clips are coded anew in the same way (25 fps, H.264, AAC), so that any browser plays them and neither metadata
    nor the manner of coding tells whose they are.

    systems: by name, a folder of videos, whose file names say the sentence, or videos by sentence; the sentences that
      all of them have count. clips: draw this many sentences. raters: how many orders there are. practice: a video to
      begin with that does not count.

    UserError: no or unlike folders, no sentence in common, a video without sound or unreadable, an `out` that exists
    or cannot be written.
    """
    out = Path(out)
    if not systems:
        raise UserError("no videos: give --videos NAME=DIR for each system")
    if raters < 1 or (clips is not None and clips < 1):
        raise UserError("--raters and --clips must be 1 or more")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: exists already, perhaps with answers in it; choose another folder")
    check_writable(out.parent)
    rng = np.random.default_rng(seed)
    found = {name: at if isinstance(at, Mapping) else media.videos_in(at) for name, at in systems.items()}
    videos, notes = _common(found, clips, rng)
    infos = {clip: _probe(path) for clip, path in videos.items()}
    notes += _telling(infos)
    if practice is not None:
        _probe(Path(practice))
    names = _blinded_names(rng, len(videos))
    key = _key(dict(sorted(zip(names, videos, strict=True))))
    turns = orders(len(systems), len(videos) // len(systems), raters, rng)
    shown = sorted(names)
    page = {
        "study": key.study,
        "questions": [question._asdict() for question in QUESTIONS],
        "clips": shown,
        "orders": [[shown.index(names[i]) for i in turn] for turn in turns],
        "practice": practice is not None,
        "minutes": ceil(sum((info.duration or 5) + SECONDS_TO_ANSWER for info in infos.values()) / 60),
    }
    with atomic_path(out) as part:
        folder = part / FOR_RATERS
        for name, path in sorted(zip(names, videos.values(), strict=True)):  # the order of writing tells nothing
            _copy(path, folder / "clips" / f"{name}.mp4")
        if practice is not None:
            _copy(Path(practice), folder / "clips" / "practice.mp4")
        template = (resources.files("vast_jax.mos") / "page.html").read_text(encoding="utf-8")
        (folder / "index.html").write_text(template.replace("{{study}}", json.dumps(page)), encoding="utf-8")
        described = {name: clip._asdict() for name, clip in key.clips.items()}
        content = {"study": key.study, "seed": seed, "clips": described}
        (part / KEY).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return Study(out / FOR_RATERS, out / KEY, notes)


def orders(systems: int, sentences: int, raters: int, rng: np.random.Generator) -> np.ndarray:
    """The order of clips for each rater: int [raters, systems * sentences], clip system * sentences + sentence.

    Every rater sees all clips, in as many rounds as there are systems. A round has each sentence once, its systems as
    equally often as can be; over `systems` raters in a row, each sentence is first seen from each system once (a Latin
    square). No sentence comes twice in a row where there are two or more.
    """
    lead = rng.permutation(np.arange(sentences) % systems)
    rows = []
    for rater in range(raters):
        if rater % systems == 0:
            cycle = rng.permutation(systems)
        row = []
        for turn in range(systems):
            told = rng.permutation(sentences)
            if row and sentences > 1 and told[0] == row[-1] % sentences:
                swap = rng.integers(1, sentences)
                told[[0, swap]] = told[[swap, 0]]
            row += [cycle[(lead[i] + turn + rater) % systems] * sentences + i for i in told]
        rows.append(row)
    return np.array(rows)


def read_key(path: Path) -> Key:
    """Reads key.json. UserError: missing, or not what `write_study` wrote."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; the answers need the key of their test (--key)")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        clips = {name: Clip(item["system"], item["sentence"]) for name, item in content["clips"].items()}
        words = [content["study"], *(word for clip in clips.values() for word in clip)]
        if not clips or not all(isinstance(word, str) for word in words):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path}: not the key of a viewing test; give the key.json that make wrote") from None
    return Key(content["study"], clips)


def _key(clips: dict[str, Clip]) -> Key:
    return Key(hashlib.sha256(json.dumps(clips).encode()).hexdigest()[:12], clips)


def _common(found: dict[str, dict[str, Path]], clips: int | None, rng) -> tuple[dict[Clip, Path], list[str]]:
    """The videos of the sentences that all systems have, or of those drawn, system by system; what was left out."""
    sentences = sorted(set.intersection(*(set(videos) for videos in found.values())))
    if not sentences:
        raise UserError(f"no file name is in all of {', '.join(found)}: name the videos of a sentence alike")
    left = {name: len(videos) - len(sentences) for name, videos in found.items()}
    notes = [f"{name}: {count} videos that not every system has are left out" for name, count in left.items() if count]
    if clips is not None and clips > len(sentences):
        raise UserError(f"--clips {clips}: only {len(sentences)} sentences are there from every system")
    if clips is not None:
        sentences = sorted(rng.choice(sentences, clips, replace=False).tolist())
    return {Clip(name, sentence): videos[sentence] for name, videos in found.items() for sentence in sentences}, notes


def _probe(path: Path) -> media.VideoInfo:
    info = media.probe(path)
    if not info.has_audio:
        raise UserError(f"{path}: no sound, so nobody can judge its lips; add the speech")
    return info


def _telling(infos: Mapping[Clip, media.VideoInfo]) -> list[str]:
    """Notes where the size or length of a sentence's videos tells the systems apart."""
    sizes, lengths = {}, {}
    for clip, info in infos.items():
        sizes.setdefault(clip.sentence, set()).add(info[:2])
        lengths.setdefault(clip.sentence, []).append(info.duration or 0)
    notes = []
    if unlike := [name for name, found in sizes.items() if len(found) > 1]:
        notes.append(f"size in pixels differs between systems ({len(unlike)} sentences): raters may know them by it")
    if unlike := [name for name, found in lengths.items() if max(found) - min(found) > 0.5]:
        notes.append(f"length differs between systems by over 0.5 s ({len(unlike)} sentences, such as {unlike[0]})")
    return notes


def _blinded_names(rng: np.random.Generator, count: int) -> list[str]:
    names = {}
    while len(names) < count:
        names[f"{rng.integers(2**32):08x}"] = None
    return list(names)


def _copy(source: Path, target: Path) -> None:
    size = media.probe(source)[:2]
    media.write_video(target, media.read_frames(source), size, media.native_audio(source), _DISCLOSURE, _CRF)
    os.utime(target, (_DATE, _DATE))
