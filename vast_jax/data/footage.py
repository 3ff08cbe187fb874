"""From one video to one prepared clip; names, people and what can be wrong with it."""

import functools
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from vast_jax import audio, media
from vast_jax.audio import load_acoustic
from vast_jax.data.clips import Clip, encode_jpeg, load_clip, save_clip
from vast_jax.data.tracking_check import residual, widest_mouth
from vast_jax.face.landmarks import CROP, Landmarker
from vast_jax.face.model import load_face_model
from vast_jax.face.overlay import overlay
from vast_jax.face.tracking import track_video
from vast_jax.files import sha256
from vast_jax.types import FaceTrack, UserError

VIDEO_SUFFIXES = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv"))
MIN_FRAMES = 10
MAX_RESIDUAL = 2.5  # pixels, mean over all landmarks; beyond it the report speaks of a bad fit
_ESTIMATE_ERROR = 5  # frames
_RECIPE = "1"  # change it when the same video would give another clip
_SPEAKER_FOLDER = re.compile(r"(s|p|id)\d+|[MW]\d{3}")
_PERSON_PREFIX = re.compile(r"(.+?)_(clip|level|front|talk)")


@dataclass(frozen=True)
class Job:
    """One video to prepare."""

    source: Path
    name: str
    person: str
    face: str  # which of several faces, see face.landmarks.follow_face
    ppg: bool
    acoustic: Path | None
    staged: Path  # folder to write the clip to
    picture: Path  # overlay to look at
    known: str  # fingerprint of the clip of this name that is prepared already, or ""


@dataclass(frozen=True)
class Outcome:
    """What became of a video: a line of the report."""

    name: str
    source: str
    kept: bool = False
    fresh: bool = False  # prepared now, not in an earlier run
    reason: str = ""  # why it was dropped
    source_frames: int = 0  # of the video at 25 fps
    frames: int = 0  # of the clip: the longest stretch with the face
    tracked: int = 0  # frames of the clip in which the face was seen
    residual: float = 0.0  # see tracking_check.residual
    milliseconds: dict[str, float] = field(default_factory=dict)  # a stage, all frames together
    faults: tuple[str, ...] = ()  # of a clip that was kept

    def line(self) -> dict:
        return {key: value for key, value in asdict(self).items() if key not in ("name", "fresh")}


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
        below = sorted(p.absolute() for p in path.rglob("[!.]*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
        if not below:
            raise UserError(f"no video below {path}: looked for {' '.join(sorted(VIDEO_SUFFIXES))}")
        found.update(dict.fromkeys(below))
    return list(found)


def clip_name(path: Path) -> str:
    """The last three parts of the absolute path, without suffix: "grid/s1/bbaz7a", however the video was given."""
    path = Path(os.path.abspath(path)).with_suffix("")
    return "/".join(path.relative_to(path.anchor).parts[-3:])


def person_of(name: str) -> str:
    """A guess at who is in a clip: the folder where it is a speaker's ("s1", "id00012", "M030"), else what stands
    before "_clip", "_level", "_front" or "_talk" in the file's name, else the file's name: a person of its own.
    """
    *folders, stem = name.split("/")
    if folders and _SPEAKER_FOLDER.fullmatch(folders[-1]):
        return folders[-1]
    prefix = _PERSON_PREFIX.match(stem)
    return prefix[1] if prefix else stem


def prepare_clip(job: Job) -> Outcome:
    """Tracks, crops and stages one video; whatever is wrong with it is told in the outcome, not raised."""
    try:
        return _prepare(job)
    except UserError as error:
        return Outcome(job.name, str(job.source), reason=str(error))
    except Exception as error:  # one odd video must not end a night's run
        return Outcome(job.name, str(job.source), reason=f"{type(error).__name__}: {error}")


def _prepare(job: Job) -> Outcome:
    model = load_face_model()
    info = media.probe(job.source)
    fingerprint = sha256(f"{sha256(job.source)} {model.hash} {job.face} {_RECIPE}".encode())
    if fingerprint in (job.known, _staged_fingerprint(job.staged)):
        return Outcome(job.name, str(job.source), kept=True)
    times: dict[str, float] = {}
    try:
        with _timed(times, "track"):
            track, crops = track_video(job.source, model, _landmarker(), face=job.face)
    except UserError as error:
        return Outcome(job.name, str(job.source), reason=str(error), source_frames=info.frames or 0)
    frames, tracked = len(track.valid), int(track.valid.sum())
    source_frames = _source_frames(info, crops.start + frames)
    seen = {"source_frames": source_frames, "frames": frames, "tracked": tracked}
    if frames < MIN_FRAMES:
        return Outcome(job.name, str(job.source), reason=f"a face in only {frames} frames on end", **seen)
    with _timed(times, "speech"):
        speech, sound_fault = _speech(job.source, info.has_audio, crops.start, frames)
        has_speech = bool(speech.any())
        ppg, ppg_hash = phone_posteriors(speech, has_speech, frames, job.acoustic) if job.ppg else no_posteriors(frames)
    clip = Clip(job.name, job.person, fingerprint, track, speech, has_speech, ppg, ppg_hash, jpegs=())
    with _timed(times, "write"):
        save_clip(job.staged, clip, map(encode_jpeg, crops))
    with _timed(times, "check"):
        error = residual(model, track)
        shown = widest_mouth(track)
        job.picture.parent.mkdir(parents=True, exist_ok=True)
        job.picture.write_bytes(encode_jpeg(overlay(track, [load_clip(job.staged).frame(shown)], model, [shown])))
    faults = (*_faults(track, crops.start, source_frames, error), *sound_fault)
    return Outcome(job.name, str(job.source), True, True, residual=error, milliseconds=times, faults=faults, **seen)


def phone_posteriors(
    speech: np.ndarray, has_speech: bool, frames: int, acoustic: Path | None
) -> tuple[np.ndarray, str]:
    """PPG [frames, 41] of int16 speech [640 frames], zeros for silence, and the hash of the acoustic model."""
    model = _acoustic(acoustic)
    if not has_speech:
        return no_posteriors(frames)[0], model.hash
    return np.asarray(model(speech.astype(np.float32) / 32768, frames), np.float32), model.hash


def no_posteriors(frames: int) -> tuple[np.ndarray, str]:
    return np.zeros((frames, len(audio.PHONES)), np.float32), ""


@functools.lru_cache(maxsize=1)
def _acoustic(path: Path | None):
    return load_acoustic(path)


@functools.cache
def _landmarker() -> Landmarker:
    return Landmarker()  # one a process, for it takes a while to start


def _source_frames(info: media.VideoInfo, seen: int) -> int:
    """Frames of the video, of which `seen` have been read: the header's estimate counts a longer sound as well."""
    estimate = info.frames or 0
    return estimate if estimate > seen + _ESTIMATE_ERROR else seen


def _speech(source: Path, has_audio: bool, start: int, frames: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """int16 [640 frames] from video frame `start` on, zeros where there is no sound, and what is wrong with it."""
    fault: tuple[str, ...] = ()
    signal = np.zeros(0, np.float32)
    if has_audio:
        try:
            signal = media.read_speech(source, audio.SAMPLE_RATE)
        except UserError as error:
            fault = (str(error),)
    signal = audio.fit(signal[start * audio.SAMPLES_PER_FRAME :], frames)
    speech = np.clip(np.round(signal * 32768), -32768, 32767).astype(np.int16)
    return speech, fault or (() if speech.any() else ("no sound",))


def _faults(track: FaceTrack, start: int, source_frames: int, error: float) -> Iterator[str]:
    frames = len(track.valid)
    if frames < source_frames:
        yield f"kept frames {start} to {start + frames} of {source_frames}, the longest stretch with the face"
    missing = int((~track.valid).sum())
    if missing:
        yield f"{missing} frames without a face, bridged"
    if error > MAX_RESIDUAL:
        yield f"the mesh is {error:.1f} pixels off its landmarks"
    if track.crop[2] < CROP / 2:
        yield f"small face: a crop of {track.crop[2]:.0f} pixels blown up to {CROP}"


def _staged_fingerprint(staged: Path) -> str:
    return load_clip(staged).fingerprint if staged.is_dir() else ""


@contextmanager
def _timed(times: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times[stage] = 1000 * (time.perf_counter() - start)
