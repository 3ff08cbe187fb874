"""From one video to its prepared clips, and what can be wrong with them."""

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from vast_jax import audio, media
from vast_jax.data.clips import Clip, encode_jpeg, load_clip, save_clip
from vast_jax.data.names import clip_names
from vast_jax.face.landmarks import Landmarker
from vast_jax.face.model import FaceModel, load_face_model
from vast_jax.face.overlay import overlay
from vast_jax.face.tracking import Crops, recipe, track_all
from vast_jax.files import atomic_path, room_for, sha256
from vast_jax.models.recogniser import load_acoustic
from vast_jax.prepare.jobs import Job, Outcome
from vast_jax.prepare.quality import Quality, doubts, quality
from vast_jax.prepare.store import outcomes_of, read_outcomes, staged_clips, write_outcomes
from vast_jax.prepare.tracking_check import faults, residual, trusted, widest_mouth, yaw
from vast_jax.types import Segment, Source, Unwritable, UserError

_NONE = np.zeros(0)


def prepare_video(job: Job) -> list[Outcome]:
    """Tracks, crops and stages one video, all its clips or none; what is wrong with it is told, not raised.

    Unwritable: the data set is, where no other video can be staged either.
    """
    try:
        with room_for(job.staged.parent):
            return _prepare(job)
    except Unwritable:
        raise
    except UserError as error:
        return [Outcome(job.name, str(job.source), reason=str(error))]
    except Exception as error:  # one odd video must not end a night's run
        return [Outcome(job.name, str(job.source), reason=f"{type(error).__name__}: {error}")]


def renewed(fingerprint: str, model: FaceModel) -> str:
    """A clip's fingerprint where the face is fitted by this version with that model: what names its source is kept."""
    return f"{fingerprint.split()[0]} {sha256(recipe(model).encode())}"


def _prepare(job: Job) -> list[Outcome]:
    model = load_face_model(job.face_model)
    info = media.probe(job.source)
    fingerprint = renewed(sha256(f"{_content(job)} {job.face}".encode()), model)
    staged = read_outcomes(outcomes_of(job.staged))
    if staged and {clip.fingerprint for clip in staged_clips(job.staged)} == {fingerprint}:
        return staged
    if done := sorted(name for name, other in job.known.items() if other == fingerprint):
        return [Outcome(name, str(job.source), kept=True) for name in done]
    times: dict[str, float] = {}
    try:
        with _timed(times, "landmarks"):
            stretches = track_all(job.source, model, _landmarker(), face=job.face)
    except UserError as error:
        return [Outcome(job.name, str(job.source), reason=str(error), source_frames=info.frames or 0)]
    signal, sound_fault = _sound(job.source if info.has_audio else job.sound)
    names, remaining, outcomes = iter(clip_names(job.name, len(stretches))), iter(stretches), []
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
        write_outcomes(outcomes_of(staged), outcomes)
    return outcomes


def _content(job: Job) -> str:
    """Names what is read: the files by their hash, and the part of the video."""
    hashes = [_file_hash(*_version(path)) for path in (media.file_of(job.source), job.sound) if path]
    times = [job.source.start, job.source.stop] if isinstance(job.source, Segment) else []
    return " ".join(map(str, [*hashes, *times]))


def _version(path: Path) -> tuple[Path, int, int]:
    state = path.stat()
    return path, state.st_mtime_ns, state.st_size


@functools.lru_cache(maxsize=64)
def _file_hash(path: Path, _changed: int, _size: int) -> str:
    return sha256(path)  # once for all parts of a long video


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
    found_quality = Quality()
    if job.score:
        with _timed(times, "score"):
            found_quality = quality(load_clip(staged / stem))
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
        **found_quality._asdict(),
        faults=(*found, *doubts(found_quality), *(() if has_speech else ("no sound",))),
    )


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


def _sound(source: Source | None) -> tuple[np.ndarray, str]:
    """float32 [n] mono, empty where there is no sound, and what is wrong with it."""
    if source is not None:
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
