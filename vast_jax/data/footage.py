"""From one video to its prepared clips; names, people and what can be wrong with them."""

import functools
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from vast_jax import audio, media
from vast_jax.audio import load_acoustic
from vast_jax.data.clips import Clip, encode_jpeg, load_clip, save_clip
from vast_jax.data.tracking_check import faults, residual, trusted, widest_mouth, yaw
from vast_jax.face.landmarks import Landmarker
from vast_jax.face.model import FaceModel, load_face_model
from vast_jax.face.overlay import overlay
from vast_jax.face.tracking import Crops, recipe, track_all
from vast_jax.files import atomic_path, sha256
from vast_jax.types import UserError

_SPEAKER_FOLDER = re.compile(r"(s|p|id)\d+|[MW]\d{3}")
_NONE = np.zeros(0)
_PART = re.compile(r"\.part\d+$")
_PERSON_PREFIX = re.compile(r"(.+?)_(clip|level|front|talk)")


@dataclass(frozen=True)
class Job:
    """One video to prepare."""

    source: Path
    name: str
    person: str
    face: str  # which of several faces, see face.following.follow_face
    face_model: Path | None
    ppg: bool
    acoustic: Path | None
    staged: Path  # folder to write the clips to
    pictures: Path  # folder of the overlays to look at
    known: dict[str, str]  # name -> fingerprint of the clips of this video that are prepared already


@dataclass(frozen=True)
class Outcome:
    """What became of a clip, or of a video that gave none: a line of the report."""

    name: str
    source: str
    kept: bool = False
    fresh: bool = False  # prepared now, not in an earlier run
    reason: str = ""  # why it was dropped
    source_frames: int = 0  # of the video at 25 fps
    start: int = 0  # of the clip, in frames of the video
    frames: int = 0  # of the clip: a stretch with the face, without a cut
    tracked: int = 0  # frames of the clip in which the face was seen, and well fitted
    residual: float = 0.0  # pixels of the crop, see tracking_check.residual
    lips_residual: float = 0.0
    yaw: tuple[float, float] = (0.0, 0.0)  # degrees, least and most
    breaks: tuple[str, ...] = ()  # of the video: where it was split, what was left out, and why
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
        below = sorted(
            p.absolute() for p in path.rglob("[!.]*") if p.suffix.lower() in media.VIDEO_SUFFIXES and p.is_file()
        )
        if not below:
            raise UserError(f"no video below {path}: looked for {' '.join(sorted(media.VIDEO_SUFFIXES))}")
        found.update(dict.fromkeys(below))
    return list(found)


def clip_name(path: Path) -> str:
    """The last three parts of the absolute path, without suffix: "grid/s1/bbaz7a", however the video was given."""
    path = Path(os.path.abspath(path)).with_suffix("")
    return "/".join(path.relative_to(path.anchor).parts[-3:])


def video_of(name: str) -> str:
    """The name of the video that a clip is of: "talk/clip" for "talk/clip" and, one of several, "talk/clip.part02"."""
    return _PART.sub("", name)


def _clip_names(video: str, count: int) -> list[str]:
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


def prepare_video(job: Job) -> list[Outcome]:
    """Tracks, crops and stages one video, all its clips or none; what is wrong with it is told, not raised."""
    try:
        return _prepare(job)
    except UserError as error:
        return [Outcome(job.name, str(job.source), reason=str(error))]
    except Exception as error:  # one odd video must not end a night's run
        return [Outcome(job.name, str(job.source), reason=f"{type(error).__name__}: {error}")]


def _prepare(job: Job) -> list[Outcome]:
    model = load_face_model(job.face_model)
    info = media.probe(job.source)
    fingerprint = sha256(f"{sha256(job.source)} {recipe(model)} {job.face}".encode())
    known = job.known | {clip.name: clip.fingerprint for clip in staged_clips(job.staged)}
    if done := sorted(name for name, other in known.items() if other == fingerprint):
        return [Outcome(name, str(job.source), kept=True) for name in done]
    times: dict[str, float] = {}
    try:
        with _timed(times, "landmarks"):
            stretches = track_all(job.source, model, _landmarker(), face=job.face)
    except UserError as error:
        return [Outcome(job.name, str(job.source), reason=str(error), source_frames=info.frames or 0)]
    signal, sound_fault = _sound(job.source, info.has_audio)
    names, remaining, outcomes = iter(_clip_names(job.name, len(stretches))), iter(stretches), []
    with atomic_path(job.staged) as staged:
        staged.mkdir()
        while True:
            with _timed(times, "fit"):
                track, crops = next(remaining, (None, None))
            if track is None:
                break
            clip = Clip(next(names), job.person, fingerprint, track, _NONE, False, _NONE, "", jpegs=())
            outcome = _prepare_clip(job, model, clip, crops, signal, staged, times)
            if sound_fault:
                outcome = replace(outcome, faults=(*outcome.faults, sound_fault))
            outcomes.append(replace(outcome, source_frames=stretches.source_frames, breaks=stretches.breaks))
            times = {}  # the search for the face is counted with the first clip
    return outcomes


def _prepare_clip(
    job: Job, model: FaceModel, clip: Clip, crops: Crops, signal: np.ndarray, staged: Path, times: dict[str, float]
) -> Outcome:
    """Fills in, writes and judges a clip of which the track is known; signal: the sound of the whole video."""
    track, frames = clip.track, len(clip)
    with _timed(times, "check"):
        errors = residual(model, track)
        found = tuple(faults(track, errors))
        track = track._replace(valid=trusted(track, errors))
    with _timed(times, "speech"):
        speech = _to_int16(audio.fit(signal[crops.start * audio.SAMPLES_PER_FRAME :], frames))
        has_speech = bool(speech.any())
        ppg, ppg_hash = phone_posteriors(speech, has_speech, frames, job.acoustic) if job.ppg else no_posteriors(frames)
    stem = clip.name.split("/")[-1]
    clip = replace(clip, track=track, speech_int16=speech, has_speech=has_speech, ppg=ppg, ppg_hash=ppg_hash)
    with _timed(times, "write"):
        save_clip(staged / stem, clip, map(encode_jpeg, crops))
    with _timed(times, "picture"):
        shown = [widest_mouth(track), int(errors.all.argmax())]
        job.pictures.mkdir(parents=True, exist_ok=True)
        picture = overlay(track, [load_clip(staged / stem).frame(index) for index in shown], model, shown)
        (job.pictures / f"{stem}.jpg").write_bytes(encode_jpeg(picture))
    return Outcome(
        clip.name,
        str(job.source),
        kept=True,
        fresh=True,
        start=crops.start,
        frames=frames,
        tracked=int(track.valid.sum()),
        residual=float(np.median(errors.all)),
        lips_residual=float(np.median(errors.lips)),
        yaw=tuple(round(float(angle), 1) for angle in np.quantile(yaw(track), (0, 1))),
        milliseconds=times,
        faults=(*found, *(() if has_speech else ("no sound",))),
    )


def staged_clips(staged: Path) -> list[Clip]:
    """The clips that `prepare_video` has staged in this folder."""
    return [load_clip(path) for path in sorted(staged.iterdir()) if path.is_dir()] if staged.is_dir() else []


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


def _sound(source: Path, has_audio: bool) -> tuple[np.ndarray, str]:
    """float32 [n] mono, empty where there is no sound, and what is wrong with it."""
    if has_audio:
        try:
            return media.read_speech(source, audio.SAMPLE_RATE), ""
        except UserError as error:
            return np.zeros(0, np.float32), str(error)
    return np.zeros(0, np.float32), ""


def _to_int16(signal: np.ndarray) -> np.ndarray:
    return np.clip(np.round(signal * 32768), -32768, 32767).astype(np.int16)


@contextmanager
def _timed(times: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times[stage] = 1000 * (time.perf_counter() - start)
